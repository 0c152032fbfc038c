/* SPDX-License-Identifier: MIT */
/* Future: a value that is set once. Tasks wait for it, callbacks too. As an
 * event (event.c) it may be freed by whoever has seen that it is set. */
#include "core/join.h"
#include "sync/select.h"
#include "sync/waitq.h"

struct future {
    _Atomic uint32_t set; /* L to write; once */
    struct spin lock;
    long value;          /* L until set */
    struct list waiters; /* L */
};
static_assert(sizeof(struct future) <= sizeof(weft_future), "weft_future");

static struct future *F(const weft_future *f)
{
    return (struct future *)(uintptr_t)f;
}

static bool is_set(struct future *f)
{
    return load_acquire(&f->set) && waitq_settle(&f->lock);
}

int weft_future_set(weft_future *fp, long value)
{
    struct future *f = F(fp);
    struct list claimed;

    spin_lock(&f->lock);
    if (load_relaxed(&f->set)) {
        spin_unlock(&f->lock);
        return -EALREADY;
    }
    f->value = value;
    store_release(&f->set, 1);
    w_waiters_claim(&f->waiters, &claimed);
    spin_unlock(&f->lock);
    w_waiters_ready(&claimed);
    return 0;
}

int weft_future_cancel(weft_future *f)
{
    return weft_future_set(f, -ECANCELED);
}

int weft_future_done(const weft_future *f)
{
    return is_set(F(f));
}

long weft_future_result(const weft_future *f)
{
    return is_set(F(f)) ? F(f)->value : -EAGAIN;
}

bool w_future_enroll(weft_future *fp, struct waiter *x)
{
    struct future *f = F(fp);
    bool set;

    spin_lock(&f->lock);
    set = load_relaxed(&f->set);
    if (!set) {
        list_lazy_init(&f->waiters);
        list_push_back(&f->waiters, &x->node);
        callback_linked(x);
    }
    spin_unlock(&f->lock);
    return set;
}

void w_future_withdraw(weft_future *f, struct waiter *x)
{
    waitq_withdraw(x, &F(f)->lock);
}

long weft_future_wait(weft_future *fp)
{
    struct future *f = F(fp);
    struct worker *w = w_worker();
    struct waiter x = {.task = w ? w->current : NULL};
    int rc;

    if (unlikely(!x.task))
        return -EPERM;
    w_budget(w);
    if (is_set(f)) {
        rc = w_cancel_error(x.task);
        return rc ? rc : f->value;
    }
    rc = w_wait_begin(x.task, &x.epoch);
    if (rc)
        return rc;
    if (w_future_enroll(fp, &x)) {
        w_wait_abort(x.task);
        return f->value;
    }
    rc = waitq_wait(&x, &f->lock, "future");
    return rc ? rc : f->value;
}

int weft_future_on_done(weft_future *f, weft_callback *cbp, weft_fn *fn,
                        void *arg)
{
    struct callback *cb = (struct callback *)cbp;
    int rc = w_callback_arm(cb, fn, arg);

    if (rc == 0 && w_future_enroll(f, &cb->x))
        w_callback_fire(cb);
    return rc;
}

int weft_future_off_done(weft_future *fp, weft_callback *cbp)
{
    struct future *f = F(fp);
    bool mine;

    spin_lock(&f->lock);
    mine = callback_take((struct callback *)cbp);
    spin_unlock(&f->lock);
    if (!mine)
        w_callback_settle((struct callback *)cbp);
    return mine;
}
