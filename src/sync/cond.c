/* SPDX-License-Identifier: MIT */
/* Condition: a queue. A waiter is in it before it lets go of the mutex, so no
 * signal given under the mutex afterwards can miss it. */
#include "core/join.h"
#include "sync/mutex.h"
#include "sync/waitq.h"

struct cond {
    struct spin lock;
    struct list waiters; /* L */
};
static_assert(sizeof(struct cond) <= sizeof(weft_cond), "weft_cond");

static struct cond *C(weft_cond *c)
{
    return (struct cond *)(void *)c;
}

/* t holds m, and does so again afterwards. */
static int wait_once(struct cond *c, weft_mutex *m, struct weft_task *t)
{
    struct waiter x = {.task = t};
    int rc = w_wait_begin(t, &x.epoch);

    if (rc)
        return rc;
    spin_lock(&c->lock);
    list_lazy_init(&c->waiters);
    list_push_back(&c->waiters, &x.node);
    spin_unlock(&c->lock);
    (void)weft_mutex_unlock(m);
    rc = waitq_wait(&x, &c->lock, "condition");
    w_mutex_lock_shielded(m, t);
    return rc;
}

/* 0 or why t may not wait. */
static int may_wait(struct weft_task **t, weft_mutex *m)
{
    struct worker *w = w_worker();

    *t = w ? w->current : NULL;
    if (unlikely(!*t || !w_mutex_is_held_by(m, *t)))
        return -EPERM;
    w_budget(w);
    return w_cancel_error(*t);
}

int weft_cond_wait(weft_cond *c, weft_mutex *m)
{
    struct weft_task *t;
    int rc = may_wait(&t, m);

    return rc ? rc : wait_once(C(c), m, t);
}

int weft_cond_wait_for(weft_cond *c, weft_mutex *m, weft_predicate *holds,
                       void *arg)
{
    struct weft_task *t;
    int rc = may_wait(&t, m);

    while (rc == 0 && !holds(arg))
        rc = wait_once(C(c), m, t);
    return rc;
}

int weft_cond_signal_n(weft_cond *cp, int n)
{
    struct cond *c = C(cp);
    struct list claimed;
    struct waiter *x;
    int woken = 0;

    list_init(&claimed);
    spin_lock(&c->lock);
    while (woken < n && (x = waitq_claim(&c->waiters))) {
        list_push_back(&claimed, &x->node);
        woken++;
    }
    spin_unlock(&c->lock);
    w_waiters_ready(&claimed);
    return woken;
}

int weft_cond_signal(weft_cond *c)
{
    return weft_cond_signal_n(c, 1);
}

int weft_cond_broadcast(weft_cond *c)
{
    return weft_cond_signal_n(c, INT_MAX);
}
