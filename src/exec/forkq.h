/* SPDX-License-Identifier: MIT */
/* forkq.h - how forked children get to other threads: lock-free.
 *
 * What      A thread's forked children are records on a stack of their own, at
 *           first private: nobody else reads them. Who wants work says so in
 *           the thread's `bound`; at its next fork or join it puts its oldest
 *           ones into a small ring, of which it is the owner and all others
 *           are thieves. A public child has a word that says who runs it.
 * Sources   Chase & Lev 2005 for the ring, Le et al. 2013 for its orders; Lace
 *           (van Dijk & van de Pol 2014) for the split in private and public
 *           and the flag; Wagner & Calder 1993 for leapfrogging.
 * Roles     owner: push pop, and the stack.   thief: steal, then runs the child
 *           and ends its word.   joiner: the child's owner, waits on its word.
 * State         ring: top -> [ oldest ... newest ] <- bottom
 *           stack: records [ public ... ) split [ private ... newest ) top
 *           bound: split, or UINTPTR_MAX while somebody asks
 *           word: 0 -> thief -> (thief | WAITING) -> DONE
 * Invariants
 *   I1  only the owner writes bottom and the stack; top only grows, by
 *       compare-and-swap; each index in [top, bottom) is one live child, and
 *       whoever takes the index out of the range runs that child, once.
 *   I2  every public child is older than every private one. So a join, which
 *       is of the newest, whose child lies below split finds none private, and
 *       its child is the newest of the ring or was stolen; if stolen, so was
 *       everything older (thieves take the oldest), and the ring is empty.
 *   I3  a thread begins a stolen child only when none of its own is private or
 *       in the ring: what it then forks, above the records it waits for, is a
 *       descendant of that child until that one ends.
 *   I4  bottom - top <= FORKQ_SIZE; a push that finds no room keeps its child.
 *   I5  the word is written by the owner before the push, by the thief after
 *       the steal; the joiner only adds WAITING; after DONE the thief touches
 *       neither record nor frame.
 * Ordering
 *   O1  push: slot store release     -> steal: slot load acquire (the child)
 *   O2  push: bottom store release   -> steal: bottom load acquire (slot full)
 *   O3  steal: top cas               -> push: top load acquire (slot is free)
 *   O4  thief: word swap DONE acq_rel -> joiner: word load acquire (result)
 *   O5  joiner: cas WAITING acq_rel  -> thief: word swap (whom to wake)
 *   D1  pop: bottom store; fence; top load
 *       against
 *       steal: top load; fence; bottom load. Either the thief sees the lowered
 *       bottom or the owner a top no older than the thief's: the last child is
 *       decided by the compare-and-swap of top.
 *   D2  feed: push; fence; load asleep, searching
 *       against
 *       a thread about to sleep: searching lowered, asleep raised; fence; look
 *       at every ring. Either it sees the child or the owner sees a sleeper
 *       and wakes it. A thread that begins work asks itself, so its first
 *       fork comes here whatever the sleeper saw of it.
 *   A request in bound carries no data and no order: it may come late or twice.
 *   It is answered before the push, so one after that stays; where a join moves
 *   split down it does so by compare-and-swap, and a request stays there, too.
 * Lifetime  Rings, stacks of records and bounds live as long as the pool. A
 *           record is used again after its join returned, thus after DONE; a
 *           thief reads a slot's pointer but follows it only once it has won
 *           the index. The joiner is woken through its thread's futex, not
 *           through the child.
 * Wrap      64-bit indices do not.
 * Progress  push, pop wait-free; steal lock-free: it may lose to another, which
 *           is then told apart from an empty ring. A join waits for a thief.
 *           No cycle: frames on one thread are in order of their beginning, a
 *           frame waits only for what was forked after it began.
 * Rejected  records in the frames that fork, chained: two stores more, and the
 *           frame's address is known, so that no call at its end becomes a jump
 *           (fib: 3.4 ms instead of 2.3); records of one size (Lace): arguments
 *           would be limited; all children public: a fence a join; a thief that
 *           walks the private ones: they change under it.
 * Checked   tests/exec/test_forkq.c (every child once), test_fork.c (trees with
 *           checksums, many roots, more thieves than cores), TSan.
 */
#ifndef WEFT_EXEC_FORKQ_H
#define WEFT_EXEC_FORKQ_H

#include "base/atomic.h"
#include "base/base.h"

#ifndef FORKQ_SIZE
#define FORKQ_SIZE 32
#endif

struct weft_forked_;

struct forkq {
    alignas(W_ISOLATED) _Atomic int64_t top;
    alignas(W_ISOLATED) _Atomic int64_t bottom;
    _Atomic(struct weft_forked_ *) slots[FORKQ_SIZE];
};

/* Any: a hint. */
static inline bool forkq_looks_empty(struct forkq *q)
{
    int64_t t = load_acquire(&q->top);

    return load_acquire(&q->bottom) <= t;
}

/* Owner: how many more it takes, at least. */
static inline int64_t forkq_room(struct forkq *q)
{
    return FORKQ_SIZE - (load_relaxed(&q->bottom) - load_acquire(&q->top));
}

/* Owner. There is room. */
static inline void forkq_push(struct forkq *q, struct weft_forked_ *f)
{
    int64_t b = load_relaxed(&q->bottom);

    assert(b - load_acquire(&q->top) < FORKQ_SIZE);    /* I4 O3 */
    store_release(&q->slots[b & (FORKQ_SIZE - 1)], f); /* O1 */
    store_release(&q->bottom, b + 1);                  /* O2 */
}

/* Owner: the newest, or NULL. */
static inline struct weft_forked_ *forkq_pop(struct forkq *q)
{
    int64_t b = load_relaxed(&q->bottom) - 1, t;
    struct weft_forked_ *f = NULL;

    store_release(&q->bottom, b);
    fence_seq_cst(); /* D1 */
    t = load_acquire(&q->top);
    if (t <= b) {
        f = load_relaxed(&q->slots[b & (FORKQ_SIZE - 1)]);
        if (t < b)
            return f;
        if (!cas_seq_cst(&q->top, &t, t + 1))
            f = NULL;
    }
    store_release(&q->bottom, b + 1);
    return f;
}

enum forkq_steal { FORKQ_EMPTY, FORKQ_LOST, FORKQ_GOT };

/* Thief: the oldest. */
static inline enum forkq_steal forkq_steal(struct forkq *q,
                                           struct weft_forked_ **f)
{
    int64_t t = load_acquire(&q->top);

    fence_seq_cst();                   /* D1 */
    if (load_acquire(&q->bottom) <= t) /* O2 */
        return FORKQ_EMPTY;
    *f = load_acquire(&q->slots[t & (FORKQ_SIZE - 1)]);              /* O1 */
    return cas_seq_cst(&q->top, &t, t + 1) ? FORKQ_GOT : FORKQ_LOST; /* O3 */
}

#endif
