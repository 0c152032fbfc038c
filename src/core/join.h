/* SPDX-License-Identifier: MIT */
/* Waiting for a task beside weft_await, and callbacks at its end. */
#ifndef WEFT_CORE_JOIN_H
#define WEFT_CORE_JOIN_H

#include "core/park.h"

/* What several nodes of one wait share, through their `value`, that shall not
 * be woken by each end. */
struct wait_set {
    _Atomic size_t left; /* ends until it is due */
    bool on_error;       /* or the first that failed */
};

/* One end. Under the lock of the task that ended, or by the waiter. */
static inline bool w_wait_set_due(struct wait_set *s, long result)
{
    bool last = sub_acq_rel(&s->left, 1) == 1;

    return last || (s->on_error && w_is_error(result) && result != -ECANCELED);
}

/* True: t has ended, x was not enrolled. Else x, a node of a wait that the
 * running task has begun, is claimed when t ends; x->value is NULL or a
 * wait_set. */
bool w_task_enroll(struct weft_task *t, struct waiter *x);
void w_task_withdraw(struct weft_task *t, struct waiter *x);

enum { CALLBACK_IDLE, CALLBACK_WAITS, CALLBACK_FIRES };

/* Behind weft_callback: fn(arg) shall become a detached task of rt. It stands
 * among an object's waiters as one without a task. */
struct callback {
    struct waiter x;
    struct weft_runtime *rt;
    weft_fn *fn;
    void *arg;
    _Atomic uint32_t armed;    /* A: CALLBACK_ */
};
static_assert(sizeof(struct callback) <= sizeof(weft_callback),
              "weft_callback");

/* Of the running task; 0, -EPERM, -EBUSY. Then the caller links cb->x, or fires
 * it at once. */
W_MUST_CHECK int w_callback_arm(struct callback *cb, weft_fn *fn, void *arg);

/* Unlinked, under no lock; cb may be gone afterwards. Any thread. */
void w_callback_fire(struct callback *cb);

/* Until nobody touches cb any more, which was taken out by others. */
void w_callback_settle(struct callback *cb);

/* For objects whose waiters may be tasks and callbacks, and that wake all.
 * Under the object's lock: empties `waiters`; whom the caller got is in
 * *claimed. After unlocking: readies or fires those. */
void w_waiters_claim(struct list *waiters, struct list *claimed);
void w_waiters_ready(struct list *claimed);

/* Under the object's lock: x was linked there. */
static inline void callback_linked(struct waiter *x)
{
    if (unlikely(!x->task))
        store_relaxed(&container_of(x, struct callback, x)->armed,
                      CALLBACK_WAITS);
}

/* Under the object's lock: takes cb out again; false if it was not in. */
static inline W_MUST_CHECK bool callback_take(struct callback *cb)
{
    if (load_acquire(&cb->armed) != CALLBACK_WAITS)
        return false;
    list_remove(&cb->x.node);
    store_release(&cb->armed, CALLBACK_IDLE);
    return true;
}

#endif
