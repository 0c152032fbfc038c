/* SPDX-License-Identifier: MIT */
/* runq.h - a worker's ready tasks: lock-free, FIFO, stolen by halves.
 *
 * What      Bounded ring of entries. The owner pushes at the tail and takes at
 *           the head (oldest first, so nothing starves) or, for a join that
 *           runs its own children, at the tail; thieves take up to half from
 *           the head.
 * Sources   Tokio's queue (two-phase steal in one packed word), Chase & Lev
 *           2005 for the owner's end. Theirs reserve with a second index or
 *           never take many; here the reservation is one compare-and-swap and
 *           the slots themselves say when a thief is done with them.
 * Roles     owner: push take take_newest.   thief: steal.   any: looks_empty.
 * State         head -> [ oldest ... newest ] <- tail      slots indexed & mask
 *           head packs (tag:32, index:32). The tag changes with every steal and
 *           every take_newest. A slot is 0 when nobody needs it.
 * Invariants
 *   I1  only the owner writes tail; the index in head only grows, by
 *       compare-and-swap; whoever moves it over an entry owns the entry.
 *   I2  the owner lowers tail only in take_newest, and there changes the tag
 *       before it uses the entry: a thief that saw the old tail must fail.
 *   I3  a slot is overwritten only when it is 0: whoever took an entry zeroes
 *       its slot after reading it.
 *   I4  tail - index <= RUNQ_SIZE in modulo-2^32 arithmetic.
 * Ordering
 *   O1  push: slot store release        -> take, steal: slot load acquire
 *       (the task's fields)
 *   O2  push: tail store release        -> steal: tail load acquire (slot full)
 *   O3  taker: slot store 0 release     -> push: slot load acquire (the reader
 *       is done before the slot is written again)
 *   O4  take_newest: tail store, then head cas acq_rel -> steal: head load
 *       acquire, then tail load: a thief that sees the new tag sees a tail no
 *       higher than the lowered one (or a later push's, which is valid too);
 *       a thief that saw the old tag fails its cas.
 * Lifetime  The ring lives in its worker, which outlives all thieves.
 * Wrap      A thief that sleeps between its load and its cas is fooled only if
 *           2^32 takes pass with not one steal or take_newest and it wakes at
 *           exactly the same index: a minute at the least, one chance in 2^32.
 * Progress  push wait-free; take and steal lock-free. push reports a full ring
 *           also while a slow thief still reads the slot that is needed.
 * Rejected  one more index for "being stolen" (Tokio): one thief at a time, and
 *           the owner's push must watch it; tail and head in one word: an
 *           atomic read-modify-write a push; Chase-Lev with single steals: a
 *           thief of a burst pays for each task.
 * Checked   tests/core/test_runq.c (stress, every entry once), TSan.
 */
#ifndef WEFT_CORE_RUNQ_H
#define WEFT_CORE_RUNQ_H

#include "base/atomic.h"
#include "base/base.h"

/* A task pointer, tagged with ENTRY_NEW if it announces a task that has not
 * started (such an entry may turn out stale: somebody else started it). */
typedef uintptr_t w_entry;
#define ENTRY_NEW ((w_entry)1)

#ifndef RUNQ_SIZE
#define RUNQ_SIZE 256u
#endif

struct runq {
    alignas(W_ISOLATED) _Atomic uint64_t head;
    alignas(W_ISOLATED) _Atomic uint32_t tail;
    _Atomic w_entry slots[RUNQ_SIZE];
};

static inline uint32_t runq_index(uint64_t head)
{
    return (uint32_t)head;
}

static inline uint64_t runq_head(uint64_t old, uint32_t index, uint32_t tag_add)
{
    return (((old >> 32) + tag_add) << 32) | index;
}

static inline _Atomic w_entry *runq_slot(struct runq *q, uint32_t i)
{
    return &q->slots[i & (RUNQ_SIZE - 1)];
}

static inline w_entry runq_empty_slot(struct runq *q, uint32_t i)
{
    w_entry e = load_acquire(runq_slot(q, i)); /* O1 */

    store_release(runq_slot(q, i), 0); /* O3 */
    return e;
}

/* Any: a hint. */
static inline uint32_t runq_len(struct runq *q)
{
    uint32_t t = load_acquire(&q->tail);

    return t - runq_index(load_acquire(&q->head));
}

static inline bool runq_looks_empty(struct runq *q)
{
    int32_t n = (int32_t)runq_len(q);

    return n <= 0;
}

/* Owner. False: no room. */
static inline W_MUST_CHECK bool runq_push(struct runq *q, w_entry e)
{
    uint32_t t = load_relaxed(&q->tail);

    if (unlikely(load_acquire(runq_slot(q, t)))) /* O3 */
        return false;
    store_release(runq_slot(q, t), e); /* O1 */
    store_release(&q->tail, t + 1);    /* O2 */
    return true;
}

/* Owner: the oldest, or 0. */
static inline w_entry runq_take(struct runq *q)
{
    uint32_t t = load_relaxed(&q->tail);
    uint64_t h = load_acquire(&q->head);

    while (runq_index(h) != t)
        if (cas_acq_rel(&q->head, &h, runq_head(h, runq_index(h) + 1, 0)))
            return runq_empty_slot(q, runq_index(h));
    return 0;
}

/* Owner: the newest, at most max, oldest of them first; how many. */
static inline uint32_t runq_take_newest(struct runq *q, w_entry *out,
                                        uint32_t max)
{
    uint32_t t = load_relaxed(&q->tail);
    uint64_t h = load_acquire(&q->head);
    uint32_t n;

    while ((n = t - runq_index(h)) != 0) {
        if (n > max)
            n = max;
        store_release(&q->tail, t - n); /* O4 */
        if (cas_acq_rel(&q->head, &h, runq_head(h, runq_index(h), 1))) {
            for (uint32_t i = 0; i < n; i++)
                out[i] = runq_empty_slot(q, t - n + i);
            return n;
        }
        store_release(&q->tail, t);
    }
    return 0;
}

/* Owner: what take_newest would give, without taking it; a hint that a thief
 * may falsify at once. */
static inline w_entry runq_peek_newest(struct runq *q)
{
    return load_relaxed(runq_slot(q, load_relaxed(&q->tail) - 1));
}

/* Thief: takes half of q, at most max entries, into out; returns how many. */
static inline uint32_t runq_steal(struct runq *q, w_entry *out, uint32_t max)
{
    uint64_t h = load_acquire(&q->head); /* O4 */

    for (;;) {
        uint32_t n = load_acquire(&q->tail) - runq_index(h); /* O2 */

        if (n == 0 || n > RUNQ_SIZE)
            return 0; /* empty, or head and tail were of different moments */
        n -= n / 2;
        if (n > max)
            n = max;
        if (!cas_acq_rel(&q->head, &h, runq_head(h, runq_index(h) + n, 1)))
            continue;
        for (uint32_t i = 0; i < n; i++)
            out[i] = runq_empty_slot(q, runq_index(h) + i);
        return n;
    }
}

#endif
