/* SPDX-License-Identifier: MIT */
/* What all sync objects share: a lock, who waits, and waking after unlocking.
 *
 * A waiter's node stands in the frame of the waiting call. A waker pops it,
 * writes into it and claims the task under the object's lock; it queues the
 * task after it has let go of the lock, since the task may free the object. A
 * waiter that was cancelled unlinks its node under the lock before it returns,
 * so no waker sees a node that is gone. A claim that fails goes to the next. */
#ifndef WEFT_SYNC_WAITQ_H
#define WEFT_SYNC_WAITQ_H

#include "core/park.h"
#include "core/runtime.h"

/* The top of every call that may wait: *t is the running task. 0, -EPERM, or
 * the error of a cancelled scope. */
static inline W_MUST_CHECK int waitq_enter(struct weft_task **t)
{
    struct worker *w = w_worker();

    *t = w ? w->current : NULL;
    if (unlikely(!*t))
        return -EPERM;
    w_budget(w);
    return w_cancel_error(*t);
}

/* Under the object's lock: pops waiters until one can be claimed; that task,
 * or NULL. */
static inline struct waiter *waitq_claim(struct list *q)
{
    struct list *n;

    while ((n = list_pop_front(q))) {
        struct waiter *x = container_of(n, struct waiter, node);

        if (w_claim_waiter(x))
            return x;
    }
    return NULL;
}

/* Under the object's lock: empties `from`; those the caller got are in *claimed
 * and have `status`. */
static inline void waitq_claim_all(struct list *from, int status,
                                   struct list *claimed)
{
    struct waiter *x;

    while ((x = waitq_claim(from))) {
        x->status = status;
        list_push_back(claimed, &x->node);
    }
}

/* Takes x out if it is still in. */
static inline void waitq_withdraw(struct waiter *x, struct spin *lock)
{
    spin_lock(lock);
    if (list_linked(&x->node))
        list_remove(&x->node);
    spin_unlock(lock);
}

/* Waits until whoever held the lock when the caller came has let go of it:
 * they will not touch it any more. True. */
static inline bool waitq_settle(struct spin *lock)
{
    if (unlikely(load_acquire(&lock->held))) {
        spin_lock(lock);
        spin_unlock(lock);
    }
    return true;
}

/* The wait of a registered node; 0 or the error of a cancelled wait, whose
 * node is then unlinked. */
static inline int waitq_wait(struct waiter *x, struct spin *lock,
                             const char *why)
{
    if (likely(w_wait(x->task, why)))
        return 0;
    waitq_withdraw(x, lock);
    return w_cancel_error(x->task);
}

#endif
