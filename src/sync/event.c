/* SPDX-License-Identifier: MIT */
/* Event: a flag that tasks wait for.
 *
 * The flag is read without the lock, and who finds it set may free the event.
 * So a reader also looks at the lock: its taking comes before the flag's store,
 * and a reader who sees it free has seen the setter's last access. */
#include "core/join.h"
#include "sync/select.h"
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

void weft_event_set(weft_event *ep)
{
    struct event *e = E(ep);
    struct list claimed;

    spin_lock(&e->lock);
    store_release(&e->set, 1);
    w_waiters_claim(&e->waiters, &claimed);
    spin_unlock(&e->lock);
    w_waiters_ready(&claimed);
}

void weft_event_clear(weft_event *ep)
{
    struct event *e = E(ep);

    sim_point();
    spin_lock(&e->lock);
    store_release(&e->set, 0);
    spin_unlock(&e->lock);
}

static bool is_set(struct event *e)
{
    return load_acquire(&e->set) && waitq_settle(&e->lock);
}

int weft_event_is_set(const weft_event *e)
{
    return is_set(E(e));
}

bool w_event_enroll(weft_event *ep, struct waiter *x)
{
    struct event *e = E(ep);
    bool set;

    spin_lock(&e->lock);
    set = load_relaxed(&e->set);
    if (!set) {
        list_lazy_init(&e->waiters);
        list_push_back(&e->waiters, &x->node);
    }
    spin_unlock(&e->lock);
    return set;
}

void w_event_withdraw(weft_event *e, struct waiter *x)
{
    waitq_withdraw(x, &E(e)->lock);
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
    if (is_set(e))
        return w_cancel_error(x.task);
    rc = w_wait_begin(x.task, &x.epoch);
    if (rc)
        return rc;
    if (w_event_enroll(ep, &x)) {
        w_wait_abort(x.task);
        return 0;
    }
    return waitq_wait(&x, &e->lock, "event");
}
