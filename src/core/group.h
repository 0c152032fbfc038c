/* SPDX-License-Identifier: MIT */
/* group.h - task groups: lock-free count of children, and their errors.
 *
 * What      `pending` counts the children that have not ended. The owner adds
 *           its spawns lazily, when it waits; so a spawn by the owner costs no
 *           atomic operation, and the count may be negative until then.
 * Sources   Trio's nurseries, asyncio.TaskGroup; the count is rayon's latch
 *           ("setting a latch may free it").
 * Roles     owner: enter, spawn, wait, leave.   child's runner: children_end.
 *           any: spawn, cancel.
 * State     pending = count:32 (signed) | epoch:31 | WAITING:1
 * Invariants
 *   I1  count == 0 with WAITING, or seen by the owner after it published its
 *       spawns, means that every child has ended.
 *   I2  a worker tells of children that ended in lots, and holds a lot back
 *       only while it runs another child of the same group.
 *   I3  the subtraction that brings the count to zero while WAITING is set, and no
 *       other, wakes the owner; its thread has read the owner before, and uses
 *       of the group nothing but what the subtraction returned.
 * Ordering
 *   O1  child: pending sub acq_rel -> owner: pending load or add acquire (the
 *       children's writes)
 *   O2  child: ended cas acq_rel (push) -> owner: ended swap acquire (the link);
 *       owner: next_epoch, ended cas acq_rel (WAITING) -> child: its cas, which
 *       takes WAITING off; one child does, and claims. It is not counted as
 *       ended yet, so the group is still there.
 * Lifetime  The group is the owner's; after the subtraction a child must not
 *           touch it. The owner's record is type-stable.
 * Wrap      2^31 children at a time; 31 bits of epoch see park.h.
 * Progress  wait-free for children.
 * Rejected  a count under the family's lock: two lock operations a child.
 * Checked   tests/cases/test_groups.c, tests/stress; TSan.
 */
#ifndef WEFT_CORE_GROUP_H
#define WEFT_CORE_GROUP_H

#include "core/scope.h"

struct worker;

#define ENDED_WAITING ((uintptr_t)1) /* in `ended`: the owner waits for one */
#define GROUP_WAITING UINT64_C(1)
#define GROUP_ONE (UINT64_C(1) << 32)
#define GROUP_COUNT(p) ((int32_t)((p) >> 32))
#define GROUP_EPOCH(p) ((uint32_t)((p) >> 1) & INT32_MAX)

/* Behind weft_group. What children count down, what the owner writes at each
 * spawn and what thieves read stand a line apart, wherever the group lies. */
struct group {
    _Atomic uint64_t pending;    /* A */
    char pad0[56];

    uint32_t spawned;            /* T: by the owner, not yet in pending */
    bool open;                   /* T: entered and not left */
    bool block_ended;            /* T: control fell off the block's end */
    bool collect;                /* T: before spawns: no failure cancels */
    uint32_t n_handles;          /* T: in `handles` */
    uint32_t told;               /* T: children handed out */
    struct weft_task *handles;   /* T: of tasks that the owner spawned */
    struct weft_task *next, *next_last; /* T: ended, oldest first */
    struct scope scope;          /* T: of the owner */

    struct weft_runtime *rt;     /* I */
    struct weft_task *owner;     /* I */
    struct failure *failure;     /* L: the first error; others hang on it */
    struct failure *suppressed;  /* L: the last of those */
    _Atomic long error;          /* A: the first error's code */
    const char *_Atomic reason;  /* A: of the first canceller, or NULL */
    _Atomic uintptr_t ended;     /* A: stack of children that have ended */
    _Atomic uint64_t next_epoch; /* T: the owner's wait for the next; once it
                                  * was left: the failure's serial */
    struct family family;        /* the children */
    struct weft_task *others;    /* L: family.lock: handles given to others */
    uint32_t n_others;           /* L: in `others` */
    uint32_t n_suppressed;       /* L */
};
static_assert(offsetof(struct group, rt) - offsetof(struct group, spawned) >=
                  64 + sizeof(uint32_t),
              "lines apart");
static_assert(sizeof(struct group) <= sizeof(weft_group), "weft_group");

/* The newest entry of w if it is a child of g that has not started; else 0. */
w_entry w_worker_take_child(struct worker *w, struct group *g);

/* The last touch of a group by the runner of n children that ended. */
void w_group_children_end(struct group *g, uint32_t n);

/* A child with a handle has ended: tells who waits for the next one. Before the
 * child's end is counted. The second: the owner itself has run it. */
void w_group_told(struct group *g, struct weft_task *t);
static inline void w_group_told_owner(struct group *g, struct weft_task *t);

void w_group_take_ended(struct group *g);

static inline void w_group_told_owner(struct group *g, struct weft_task *t)
{
    if (unlikely(load_relaxed(&g->ended) != 0))
        w_group_take_ended(g); /* those ended before */
    t->sibling.next = NULL;
    if (g->next)
        g->next_last->sibling.next = (struct list *)(void *)t;
    else
        g->next = t;
    g->next_last = t;
}

/* Cancels the children and the owner's block. */
void w_group_cancel_now(struct group *g);

/* A child failed: keeps the first error and cancels the rest; keeps some of
 * those that follow. f may be NULL; references are the group's own. */
void w_group_fail(struct group *g, long code, struct failure *f);

#endif
