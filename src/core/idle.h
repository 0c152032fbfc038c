/* SPDX-License-Identifier: MIT */
/* idle.h - who sleeps, who searches, whom to wake: lock-free.
 *
 * What      A bitmap of sleeping workers and a count of searching ones.
 * Sources   Go's proc.go ("Worker thread parking/unparking"), Tokio's idle.rs,
 *           rayon's sleep README.
 * Roles     any: idle_wake_one after making work visible.
 *           worker: idle_search_begin/end, idle_sleep_begin/end.
 * State     searching: workers that look for work in other queues.
 *           sleepers: bit i = worker i is about to sleep or sleeps.
 * Invariants
 *   I1  a bit is set by its worker only and cleared by whoever takes it, the
 *       worker itself or one waker; a waker that took it owes one eventfd write
 *       and has counted the sleeper as searching.
 *   I2  at most half of the workers search (one at the least).
 *   I3  whoever stops searching because it found work, and was the last,
 *       wakes another (the chain that spreads a burst).
 * Ordering
 *   D1  submit: publish work; SC fence; load searching, load sleepers
 *       against
 *       sleep: leave searching (SC), set own bit (SC); SC fence; look at every
 *       queue, timer and event source again.
 *       If the submitter sees no bit and no searcher, the sleeper's second look
 *       comes after the publication and finds it. If it sees a searcher, that
 *       one's second look comes after its decrement and thus after the
 *       publication. So no work waits while every worker sleeps.
 *       A waker counts as searching before it has its sleeper, and searches
 *       nothing: if it gets none it takes the count back and begins anew, for
 *       whoever relied on it meanwhile.
 * Lifetime  Lives in the runtime.
 * Wrap      None.
 * Progress  lock-free: a waker begins anew when a sleeper woke by itself.
 * Rejected  one packed word (no room for a bitmap, and the count of sleepers
 *           alone does not say whom to wake); a mutexed stack of sleepers;
 *           waking on each push.
 * Checked   tests/model/idle.c, tests/model/park.pml; tests/core/test_idle.c,
 *           tests/stress; TSan.
 */
#ifndef WEFT_CORE_IDLE_H
#define WEFT_CORE_IDLE_H

#include "base/atomic.h"
#include "base/base.h"

#define IDLE_WORKERS_MAX 1024u

struct idle {
    alignas(W_ISOLATED) _Atomic uint32_t searching;
    unsigned workers; /* I */
    unsigned words;   /* I */
    alignas(W_ISOLATED) _Atomic uint64_t sleepers[IDLE_WORKERS_MAX / 64];
};

static inline void idle_open(struct idle *d, unsigned workers)
{
    d->workers = workers;
    d->words = (workers + 63) / 64;
}

static inline bool idle_any_asleep(struct idle *d)
{
    for (unsigned i = 0; i < d->words; i++)
        if (load_seq_cst(&d->sleepers[i]))
            return true;
    return false;
}

static inline bool idle_is_asleep(struct idle *d, unsigned worker)
{
    return load_relaxed(&d->sleepers[worker / 64]) >> (worker % 64) & 1;
}

static inline bool idle_all_asleep(struct idle *d)
{
    unsigned n = 0;

    for (unsigned i = 0; i < d->words; i++)
        n += (unsigned)__builtin_popcountll(load_seq_cst(&d->sleepers[i]));
    return n == d->workers;
}

/* Takes the bit of one sleeper; its index, or -1. The nearest to `near`, by
 * number: neighbours in number are neighbours on the machine. */
static inline int idle_take_sleeper(struct idle *d, unsigned near)
{
    for (unsigned k = 0; k < d->words; k++) {
        unsigned i = (near / 64 + k) % d->words;
        uint64_t w;

        while ((w = load_seq_cst(&d->sleepers[i]))) {
            uint64_t above = k ? 0 : w & (~UINT64_C(0) << (near % 64));
            unsigned b = (unsigned)__builtin_ctzll(above ? above : w);

            if (and_seq_cst(&d->sleepers[i], ~(UINT64_C(1) << b)) >> b & 1)
                return (int)(i * 64 + b);
        }
    }
    return -1;
}

/* Any, after making work visible. The worker to wake (it counts as searching
 * from here on), or -1: nobody must be woken. */
static inline int idle_wake_one(struct idle *d, unsigned near)
{
    int w;

    fence_seq_cst(); /* D1 */
    while (!load_seq_cst(&d->searching) && idle_any_asleep(d)) {
        uint32_t none = 0;

        if (!cas_seq_cst(&d->searching, &none, 1))
            return -1;
        w = idle_take_sleeper(d, near);
        if (w >= 0)
            return w;
        /* Meanwhile another may have relied on us, who search nothing. */
        sub_seq_cst(&d->searching, 1);
    }
    return -1;
}

/* Worker. False: enough search already. */
static inline bool idle_search_begin(struct idle *d)
{
    uint32_t n = load_relaxed(&d->searching);

    if (d->workers < 2 || 2 * n >= d->workers)
        return false;
    add_seq_cst(&d->searching, 1);
    return true;
}

/* Worker. True: it was the last one. */
static inline bool idle_search_end(struct idle *d)
{
    uint32_t n = sub_seq_cst(&d->searching, 1);

    assert(n > 0);
    return n == 1;
}

/* Worker; it must look at all queues again before it sleeps. */
static inline void idle_sleep_begin(struct idle *d, unsigned worker)
{
    or_seq_cst(&d->sleepers[worker / 64], UINT64_C(1) << (worker % 64));
    fence_seq_cst(); /* D1 */
}

/* Worker. False: a waker took the bit before; the caller counts as
 * searching. */
static inline bool idle_sleep_end(struct idle *d, unsigned worker)
{
    uint64_t bit = UINT64_C(1) << (worker % 64);

    return and_seq_cst(&d->sleepers[worker / 64], ~bit) & bit;
}

#endif
