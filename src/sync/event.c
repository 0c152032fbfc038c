/* SPDX-License-Identifier: MIT */
/* Event: a flag that tasks wait for. */
#include <weft/sync.h>

#include "sync/waitq.h"

struct event {
    _Atomic uint32_t set; /* L to write */
    struct spin lock;
    struct list waiters; /* L */
};
static_assert(sizeof(struct event) <= sizeof(weft_event), "weft_event");

static struct event *E(const weft_event *e)
{
    return (struct event *)(uintptr_t)e;
}

/* Claimed waiters cannot leave their frames before they are queued, so their
 * nodes can still be walked after the lock is gone. */
void weft_event_set(weft_event *ep)
{
    struct event *e = E(ep);
    struct wakes k = {0};
    struct list claimed;
    struct waiter *x;
    struct list *n;

    list_init(&claimed);
    spin_lock(&e->lock);
    store_release(&e->set, 1);
    while ((x = waitq_claim(&e->waiters)))
        list_push_back(&claimed, &x->node);
    spin_unlock(&e->lock);
    while ((n = list_pop_front(&claimed))) {
        struct weft_task *t = container_of(n, struct waiter, node)->task;

        if (k.rt != task_rt(t))
            wakes_flush(&k);
        k.rt = task_rt(t);
        w_ready_later(&k.chain, t);
    }
    wakes_flush(&k);
}

void weft_event_clear(weft_event *ep)
{
    struct event *e = E(ep);

    spin_lock(&e->lock);
    store_release(&e->set, 0);
    spin_unlock(&e->lock);
}

int weft_event_is_set(const weft_event *e)
{
    return (int)load_acquire(&E(e)->set);
}

int weft_event_wait(weft_event *ep)
{
    struct event *e = E(ep);
    struct worker *w = w_worker();
    struct waiter x = {.task = w ? w->current : NULL};
    int rc;

    if (unlikely(!x.task))
        return -EPERM;
    w_budget(w);
    if (load_acquire(&e->set))
        return w_cancel_error(x.task);
    rc = w_wait_begin(x.task, &x.epoch);
    if (rc)
        return rc;
    spin_lock(&e->lock);
    if (load_relaxed(&e->set)) {
        spin_unlock(&e->lock);
        w_wait_abort(x.task);
        return 0;
    }
    list_lazy_init(&e->waiters);
    list_push_back(&e->waiters, &x.node);
    spin_unlock(&e->lock);
    return waitq_wait(&x, &e->lock, "event");
}
