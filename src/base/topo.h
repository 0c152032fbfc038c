/* SPDX-License-Identifier: MIT */
/* Where workers stand: cores, caches, packages and NUMA nodes.
 *
 * The only place that knows hwloc. A topo is read once, never changes and may
 * be used by any number of threads at a time; only w_topo_bind and
 * w_topo_unbind act, on the calling thread.
 */
#ifndef WEFT_BASE_TOPO_H
#define WEFT_BASE_TOPO_H

#include "base/base.h"

/* An index of something the machine does not have or does not tell. */
#define W_TOPO_NONE UINT_MAX

struct topo;

/* Indices are hwloc's logical ones, which follow distance, not numbering. */
struct topo_place {
    unsigned core;
    unsigned pu; /* the kernel's number, for binding */
    unsigned node;
    unsigned package;
    unsigned l3; /* W_TOPO_NONE: there is none */
};

/* synthetic: hwloc's description of an invented machine, NULL for this one.
 * cpus: further restriction in the kernel's list syntax ("0-3,8"), or NULL.
 * -EINVAL if either does not parse or no CPU is left.
 */
W_MUST_CHECK int w_topo_open(struct topo **out, const char *synthetic,
                             const char *cpus);
void w_topo_close(struct topo *t);

/* Allowed physical cores: SMT siblings count once. At least 1. */
unsigned w_topo_cores(const struct topo *t);

/* Cores, lowered by the cgroup's CPU quota. At least 1. */
unsigned w_topo_default_workers(const struct topo *t);

/* CPUs' worth of time that the cgroups above this process allow; 0: no limit.
 * root goes before /proc and /sys; "" outside tests.
 */
double w_topo_quota(const char *root);

/* n lowered to what a quota can keep busy, rounded up, at least 1. */
static inline unsigned w_topo_cap(unsigned n, double quota)
{
    if (quota > 0 && quota < n) {
        unsigned whole = (unsigned)quota;
        n = whole + (quota > whole);
    }
    return n ? n : 1;
}

/* One worker a core, neighbours in index near in hardware; when cores are
 * used up their SMT siblings, then all of it again.
 */
void w_topo_place(const struct topo *t, unsigned n, struct topo_place *places);

/* The n - 1 others as worker self shall try them: same core, same L3, same
 * package (its own NUMA node first), the rest. Workers of equal distance are
 * rotated by self, so that thieves of one neighbourhood start apart.
 */
void w_topo_victims(const struct topo *t, const struct topo_place *places,
                    unsigned n, unsigned self, unsigned *order);

/* Whether binding n workers is wise: the mask is the whole machine, there is a
 * PU for each, and the quota lets all of them run. Two processes that share a
 * machine by mask or quota and both bind from the first core stand in each
 * other's way, and of several workers on one PU the kernel could move none.
 */
bool w_topo_can_bind(const struct topo *t, unsigned n);

/* 0 or -errno; -ENOTSUP if the topology is not this machine's. */
int w_topo_bind(const struct topo *t, const struct topo_place *p);

/* Gives the calling thread back the mask that w_topo_open found. A thread
 * inherits its creator's binding; one that shall roam calls this.
 */
int w_topo_unbind(const struct topo *t);

#endif
