/* SPDX-License-Identifier: MIT */
/* park.h - how a task waits and who may wake it: lock-free.
 *
 * What      One word a task, (epoch, shield, cause, state). A wait takes a new
 *           epoch; whoever may end it (object, fd, timer, canceller) holds
 *           (task, epoch), and one compare-and-swap decides who does.
 * Sources   Go's gopark and sudog, bthread's butex and set_remained, brpc's
 *           lesson that a woken task may free the object it waited on.
 * Roles     parker: the task itself, and after the switch the worker that ran
 *           it.   waker: w_claim under the object's lock, w_ready after it.
 *           canceller: w_cancel_wait.
 * State
 *   IDLE         runs.
 *   PARKING      waits, but still stands on its stack; may be claimed.
 *   PARKED       off its stack; may be claimed.
 *   CLAIMED      was PARKED; the claimer will queue it.
 *   HELD         claimed while PARKING by a waker that still holds a lock.
 *   HELD_READY   ... and has let go: the parker queues the task itself.
 *   HELD_PARKED  ... and the parker came first: the waker queues it.
 *   JOINING      runs a child on its own stack; a canceller cancels the child.
 *   JOIN_BUSY    a canceller is doing so.
 *   INSPECTED    PARKED, while somebody reads its stack; wakers spin.
 * Invariants
 *   I1  nobody touches a waiting task's stack before the switch away from it is
 *       complete: it is queued only out of CLAIMED, HELD_PARKED (by the waker)
 *       or HELD_READY (by the parker's commit, on the next stack).
 *   I2  a won claim is never undone: the grant wins, a cancellation stays
 *       pending for the next wait.
 *   I3  a waiter's node is unlinked under the object's lock before the wait's
 *       function returns, so a waker may write into a node it found there.
 *   I4  the owner alone reads attention and makes it 0; it finds 1 there as
 *       long as anything lasts for which a canceller raised it.
 * Ordering
 *   O1  claim cas acq_rel -> resumed task: load acquire (what the waker wrote)
 *   O2  commit cas acq_rel -> claimer: load acquire (the saved context)
 *   D1  begin: store wait PARKING; light fence; load attention, family's
 *       cancelled
 *       against
 *       canceller: store cancelled, or attention; heavy fence; load wait.
 *       Either the task sees the cancellation before it waits or the canceller
 *       sees it waiting. (base/barrier.h: the rare side pays.)
 *   O3  canceller: store cancelled; attention or 1, acq_rel
 *       against
 *       owner, out of a scope: attention swap 0, acquire; load all that cancels
 *       it still; attention or 1 if anything does.
 *       One word decides, so this needs no fence. Once the task is shared the
 *       word changes by read-modify-writes alone: each reads the one before it
 *       and passes on what that one released. If the canceller's comes before
 *       the swap, the swap acquires from it, whoever came between, and the
 *       loads see `cancelled`. If it comes after, the 1 stays, and D1 goes on
 *       as if the word had been 0 all along.
 * Lifetime  Records are type-stable (task.h); a stale (task, epoch) fails.
 * Wrap      43 bits of epoch: a day of nothing but waits at 1e8 a second.
 *           Groups keep 31 of them, for a token that lives nanoseconds.
 * Progress  claim is lock-free; a parker and a waker never wait for each other.
 *           An inspector (weft_task_backtrace) holds up wakers for as long as
 *           it follows a few frames.
 * Rejected  publishing only after the switch (Go): the object's lock is then
 *           held across a switch and each object needs its own commit.
 *           Plain stores to attention: one that comes after a canceller's, as
 *           the owner's own at a time-out of 0, would hide that from the swap.
 * Checked   tests/model/park.c, scope.c; tests/stress, tests/cases (each race
 *           of wake, cancel, time-out); TSan.
 */
#ifndef WEFT_CORE_PARK_H
#define WEFT_CORE_PARK_H

#include "base/barrier.h"
#include "core/inject.h"
#include "core/task.h"

enum wait_state {
    WAIT_IDLE,
    WAIT_PARKING,
    WAIT_PARKED,
    WAIT_CLAIMED,
    WAIT_HELD,
    WAIT_HELD_READY,
    WAIT_HELD_PARKED,
    WAIT_JOINING,
    WAIT_JOIN_BUSY,
    WAIT_INSPECTED,
};

#define WAIT_STATE(w) ((enum wait_state)((w)&15))
#define WAIT_CANCELLED UINT64_C(16)
#define WAIT_SHIELD_SHIFT 5
#define WAIT_SHIELD(w) ((uint16_t)((w) >> WAIT_SHIELD_SHIFT))
#define WAIT_EPOCH_SHIFT 21
#define WAIT_EPOCH(w) ((w) >> WAIT_EPOCH_SHIFT)
#define SHIELD_ALL 0xffffu

static inline uint64_t wait_set_state(uint64_t w, enum wait_state s)
{
    return (w & ~UINT64_C(15)) | s;
}

/* What an object keeps of a waiter: a node on the waiter's stack. A wait for
 * several objects has a node with each, all with the wait's one epoch: the
 * first claim wins and marks its node; the waiter withdraws the others (I3)
 * before it reads which one won. */
struct waiter {
    struct list node; /* L: object's */
    struct weft_task *task;
    uint64_t epoch;
    void *value; /* what the waker hands over, or the waiter offers */
    int status;
    bool won;    /* written by the claimer before it lets the task go */
};

/* Begins a wait of the running task t: from here on its epoch (in *epoch) may
 * be claimed. 0, or the error of a cancelled scope, or -ENOMEM (no stack to go
 * on with): then there is no wait. */
static inline W_MUST_CHECK int w_wait_begin(struct weft_task *t,
                                            uint64_t *epoch);

/* A wait that nothing can cancel. */
uint64_t w_wait_begin_shielded(struct weft_task *t);

/* Suspends until the wait is claimed. True: a waker did. False: a canceller;
 * the caller unlinks its node, then returns w_cancel_error(t). `why` is a
 * static string for the dump. */
W_MUST_CHECK bool w_wait(struct weft_task *t, const char *why);

/* Ends a begun wait that was not registered anywhere. */
void w_wait_abort(struct weft_task *t);

/* Any thread: tries to end the wait. True: the caller decided it and owes
 * w_ready (or w_ready_later) once it holds no lock that the task may need. */
static inline W_MUST_CHECK bool w_claim(struct weft_task *t, uint64_t epoch);

/* The same for the task of a node, which is marked as the one that won. */
static inline W_MUST_CHECK bool w_claim_waiter(struct waiter *x);

/* The running task ends its own begun wait, of which x is a node: it found x's
 * object ready while it enrolled with several. False: somebody else was
 * quicker. Either way w_wait follows, which then returns at once. */
W_MUST_CHECK bool w_claim_self(struct waiter *x);

/* The same with 31 bits of the epoch. */
W_MUST_CHECK bool w_claim_low(struct weft_task *t, uint32_t epoch);

/* Any thread: queues a claimed task. */
void w_ready(struct weft_task *t);

/* The same for several, to be given to w_submit. */
void w_ready_later(struct chain *c, struct weft_task *t);

/* Any thread: wakes t if its wait can be cancelled from depth `depth` of its
 * scopes. The cancelling flags must be set before (D1). */
void w_cancel_wait(struct weft_task *t, unsigned depth, struct chain *c);

/* Whoever cancels t in any way, after it said so. */
static inline void w_attention_raise(struct weft_task *t)
{
    (void)or_acq_rel(&t->attention, 1); /* O3 */
}

/* Between that and w_cancel_wait by the canceller, which may mark several
 * before. */
static inline void w_cancel_fence(void)
{
    fence_heavy(); /* D1 */
}

/* 0, or what a waiting call of the running task t must return now. */
static inline int w_cancel_error(struct weft_task *t);

/* The running task t has left a scope. */
static inline void w_attention_review(struct weft_task *t);

/* While t runs on its own stack the task it awaits, or a child of the group it
 * joins (as in waits_for); a canceller of t cancels that, under no lock of t's.
 * Returns as w_wait_begin. */
W_MUST_CHECK int w_join_begin(struct weft_task *t, uintptr_t waits_for);
void w_join_end(struct weft_task *t);

/* Any thread: holds t where it is parked while its stack is read; short. False:
 * it is not parked. */
W_MUST_CHECK bool w_inspect_begin(struct weft_task *t);
void w_inspect_end(struct weft_task *t);

int w_cancel_error_slow(struct weft_task *t);
void w_attention_review_slow(struct weft_task *t);

static inline int w_cancel_error(struct weft_task *t)
{
    if (likely(!load_acquire(&t->attention) &&
               !load_acquire(&t->family->cancelled)))
        return 0;
    return w_cancel_error_slow(t);
}

static inline void w_attention_review(struct weft_task *t)
{
    if (unlikely(load_relaxed(&t->attention)))
        w_attention_review_slow(t);
}

/* For a task that waits for the first time, or a worker without a stack to go
 * on with. False: no stack. */
bool w_wait_prepare(struct weft_task *t);
bool w_claim_slow(struct weft_task *t, uint64_t seen);

static inline uint64_t wait_open(struct weft_task *t, unsigned shield,
                                 enum wait_state state)
{
    uint64_t epoch = WAIT_EPOCH(load_relaxed(&t->wait)) + 1;

    store_release(&t->wait, epoch << WAIT_EPOCH_SHIFT |
                                (uint64_t)shield << WAIT_SHIELD_SHIFT | state);
    fence_light(); /* D1 */
    return epoch;
}

static inline int w_wait_begin(struct weft_task *t, uint64_t *epoch)
{
    int rc;

    if (unlikely(!w_wait_prepare(t)))
        return -ENOMEM;
    *epoch = wait_open(t, t->shield, WAIT_PARKING);
    rc = w_cancel_error(t); /* D1 */
    if (unlikely(rc))
        w_wait_abort(t);
    return rc;
}

static inline bool w_claim(struct weft_task *t, uint64_t epoch)
{
    uint64_t x = load_acquire(&t->wait);

    if (unlikely(WAIT_EPOCH(x) != epoch))
        return false;
    if (likely(WAIT_STATE(x) == WAIT_PARKED) &&
        cas_acq_rel(&t->wait, &x, wait_set_state(x, WAIT_CLAIMED))) /* O1 O2 */
        return true;
    return WAIT_EPOCH(x) == epoch && w_claim_slow(t, x);
}

static inline bool w_claim_waiter(struct waiter *x)
{
    if (!w_claim(x->task, x->epoch))
        return false;
    x->won = true;
    return true;
}

#endif
