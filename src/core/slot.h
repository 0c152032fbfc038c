/* SPDX-License-Identifier: MIT */
/* slot.h - the task that runs next: lock-free and free for its worker.
 *
 * What      One entry, put and taken by the owner with plain stores; a thief
 *           may take it too, rarely, and pays for both.
 * Sources   Go's runnext and Tokio's LIFO slot for what it is for; the biased
 *           lock of Dice, Moir and Scherer for how it is guarded.
 * Roles     owner: slot_put slot_take slot_remove.   thief: slot_steal (one at
 *           a time, by slot->thief).   any: slot_full (a hint).
 * State         entry: the task, or 0.  owner: 1 while the owner is at it.
 *               thief: 1 while a thief is.
 * Invariants
 *   I1  entry is written by the owner while owner == 1 and thief was 0 after
 *       that, or by a thief that set thief and then saw owner == 0.
 * Ordering
 *   D1  owner: store owner 1; light fence; load thief
 *       against
 *       thief: cas thief 1; heavy fence; load owner.
 *       Whichever comes second sees the other and keeps away: the owner waits
 *       for the thief to finish, the thief gives up.
 *   O1  put: entry store release -> steal: entry load acquire (the task)
 *   O2  owner: owner store 0 release -> thief: owner load acquire (its writes
 *       to entry)
 *   O3  thief: thief store 0 release -> owner: thief load acquire
 * Lifetime  Lives in its worker, which outlives all thieves.
 * Wrap      None.
 * Progress  The owner waits for a thief's few instructions; a thief never
 *           waits.
 * Rejected  an atomic exchange on each side: 5 ns twice for each wake-up, on the
 *           hottest path there is, to guard against what happens once in 100 us
 *           at the most.
 * Checked   tests/core/test_slot.c (stress, every entry once), TSan.
 */
#ifndef WEFT_CORE_SLOT_H
#define WEFT_CORE_SLOT_H

#include "base/barrier.h"
#include "base/sys.h"
#include "core/runq.h"

struct slot {
    _Atomic w_entry entry;
    _Atomic uint32_t owner;
    _Atomic uint32_t thief;
};

static W_COLD __attribute__((unused)) void slot_await_thief(struct slot *s)
{
    do {
        store_release(&s->owner, 0); /* O2 */
        for (unsigned n = 1; load_acquire(&s->thief); n++) /* O3 */
            if (n % 64)
                cpu_pause();
            else
                sys_yield();
        store_relaxed(&s->owner, 1);
        fence_light(); /* D1 */
    } while (load_acquire(&s->thief));
}

static inline void slot_enter(struct slot *s)
{
    store_relaxed(&s->owner, 1);
    fence_light(); /* D1 */
    if (unlikely(load_acquire(&s->thief))) /* O3 */
        slot_await_thief(s);
}

static inline void slot_leave(struct slot *s)
{
    store_release(&s->owner, 0); /* O2 */
}

static inline bool slot_full(struct slot *s)
{
    return load_relaxed(&s->entry) != 0;
}

/* Owner: what stood there before, or 0. */
static inline w_entry slot_put(struct slot *s, w_entry e)
{
    w_entry old;

    slot_enter(s);
    old = load_relaxed(&s->entry);
    store_release(&s->entry, e); /* O1 */
    slot_leave(s);
    return old;
}

/* Owner. */
static inline w_entry slot_take(struct slot *s)
{
    w_entry e;

    if (!slot_full(s))
        return 0;
    slot_enter(s);
    e = load_relaxed(&s->entry);
    store_relaxed(&s->entry, 0);
    slot_leave(s);
    return e;
}

/* Owner: takes e if it is there. */
static inline bool slot_remove(struct slot *s, w_entry e)
{
    bool found;

    if (load_relaxed(&s->entry) != e)
        return false;
    slot_enter(s);
    found = load_relaxed(&s->entry) == e;
    if (found)
        store_relaxed(&s->entry, 0);
    slot_leave(s);
    return found;
}

/* Thief. */
static inline w_entry slot_steal(struct slot *s)
{
    uint32_t none = 0;
    w_entry e = 0;

    if (!slot_full(s) || !cas_acquire(&s->thief, &none, 1))
        return 0;
    fence_heavy(); /* D1 */
    if (!load_acquire(&s->owner)) { /* O2 */
        e = load_acquire(&s->entry); /* O1 */
        if (e)
            store_relaxed(&s->entry, 0);
    }
    store_release(&s->thief, 0); /* O3 */
    return e;
}

#endif
