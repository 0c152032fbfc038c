/* SPDX-License-Identifier: MIT */
/* Awaiting and cancelling single tasks. */
#include "core/join.h"

#include "core/debugmode.h"
#include "core/group.h"
#include "core/runtime.h"

void w_task_cancel_now(struct weft_task *t)
{
    struct chain c = {0, 0, 0};

    w_task_cancel(t, &c);
    if (c.n)
        w_submit(task_rt(t), c);
}

int weft_task_cancel_with(weft_task *t, const char *reason)
{
    const char *none = NULL;

    if (!task_is_done(t)) {
        if (reason)
            (void)cas_relaxed(&t->reason, &none, reason);
        if (t == w_current())
            t->flags |= TASK_USED; /* without a handle nobody else wipes it */
        w_task_cancel_now(t);
    }
    return 0;
}

int weft_task_cancel(weft_task *t)
{
    return weft_task_cancel_with(t, NULL);
}

/* t was claimed by us: nobody else will run it. */
static void run_child(struct weft_task *self, struct weft_task *t)
{
    if (w_join_begin(self, (uintptr_t)t) < 0) {
        w_task_cancel_now(t);
        w_run_inline(w_worker(), t);
        return;
    }
    w_run_inline(w_worker(), t);
    w_join_end(self);
}

bool w_task_enroll(struct weft_task *t, struct waiter *x)
{
    bool done;

    spin_lock(&t->lock);
    list_lazy_init(&t->waiters);
    list_push_back(&t->waiters, &x->node);
    done = or_acq_rel(&t->state, TASK_AWAITED) & TASK_DONE; /* O1 */
    if (done)
        list_remove(&x->node);
    else
        callback_linked(x);
    spin_unlock(&t->lock);
    return done;
}

void w_task_withdraw(struct weft_task *t, struct waiter *x)
{
    spin_lock(&t->lock);
    if (list_linked(&x->node))
        list_remove(&x->node);
    spin_unlock(&t->lock);
}

/* 0: t is done. */
static int wait_done(struct weft_task *self, struct weft_task *t,
                     bool cancellable)
{
    struct waiter x = {.task = self};
    bool woken;

    if (cancellable) {
        int rc = w_wait_begin(self, &x.epoch);

        if (rc)
            return w_refused(rc);
    } else {
        x.epoch = w_wait_begin_shielded(self);
    }
    if (w_task_enroll(t, &x)) {
        w_wait_abort(self);
        return 0;
    }
    if (debugging())
        w_debug_waits(self, t);
    else
        store_relaxed(&self->waits_for, (uintptr_t)t);
    woken = w_wait(self, "task");
    store_relaxed(&self->waits_for, 0);
    if (woken)
        return 0;
    w_task_withdraw(t, &x);
    return w_cancel_error(self);
}

long weft_await(weft_task *t)
{
    struct worker *w = w_worker();
    struct weft_task *self = w ? w->current : NULL;

    if (!self)
        return -EPERM;
    if (t == self)
        return -EDEADLK;
    if ((load_relaxed(&t->state) & (TASK_NEW | TASK_APART)) == TASK_NEW &&
        task_rt(t) == task_rt(self) && w_inline_room(w)) {
        bool taken = w_worker_take_entry(w, t);

        if (taken ? task_claim_entry(t) : task_claim_handle(t)) {
            run_child(self, t);
            w_worker_drop_stale(w_worker());
        } else if (taken) {
            w_task_stale(t);
        }
    }
    while (!task_is_done(t)) {
        int rc = wait_done(self, t, true);

        if (rc) {
            if (rc != -ENOMEM)
                w_task_cancel_now(t);
            while (!task_is_done(t))
                (void)wait_done(self, t, false);
        }
    }
    if (unlikely(t->failure))
        w_task_learn(self, t->failure);
    return t->result;
}

int weft_task_on_done(weft_task *t, weft_callback *cbp, weft_fn *fn, void *arg)
{
    struct callback *cb = (struct callback *)cbp;
    int rc = w_callback_arm(cb, fn, arg);

    if (rc == 0 && w_task_enroll(t, &cb->x))
        w_callback_fire(cb);
    return rc;
}

int weft_task_off_done(weft_task *t, weft_callback *cbp)
{
    struct callback *cb = (struct callback *)cbp;
    bool mine;

    spin_lock(&t->lock);
    mine = callback_take(cb);
    spin_unlock(&t->lock);
    if (!mine)
        w_callback_settle(cb);
    return mine;
}
