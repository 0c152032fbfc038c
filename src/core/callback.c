/* SPDX-License-Identifier: MIT */
/* Waking all who wait for the end of a task or for a future: tasks, and
 * callbacks, which become detached tasks. */
#include "core/join.h"

#include "base/sys.h"
#include "core/runtime.h"

int w_callback_arm(struct callback *cb, weft_fn *fn, void *arg)
{
    struct worker *w = w_worker();

    if (!w || !w->current)
        return -EPERM;
    if (load_acquire(&cb->armed))
        return -EBUSY;
    memset(&cb->x, 0, sizeof cb->x);
    cb->rt = w->thread.rt;
    cb->fn = fn;
    cb->arg = arg;
    store_relaxed(&cb->armed, CALLBACK_FIRES); /* until it is linked */
    return 0;
}

/* Without memory there is none to be had for an error either: others will give
 * some back. */
void w_callback_fire(struct callback *cb)
{
    struct weft_runtime *rt = cb->rt;
    struct worker *w = w_worker();
    bool here = w && w->thread.rt == rt;
    struct weft_task *t;

    while (!(t = w_root_task(rt, here ? w : NULL, cb->fn, cb->arg,
                             WEFT_SITE("callback"))))
        sys_sleep(WEFT_MS);
    /* cb is its user's again. */
    store_release(&cb->armed, CALLBACK_IDLE);
    if (here)
        w_worker_ready(w, (w_entry)t | ENTRY_NEW);
    else
        w_submit_foreign(rt, (w_entry)t | ENTRY_NEW);
}

void w_callback_settle(struct callback *cb)
{
    while (load_acquire(&cb->armed) == CALLBACK_FIRES)
        cpu_pause();
}

/* ---- all waiters of an object -------------------------------------------- */

void w_waiters_claim(struct list *waiters, struct list *claimed)
{
    struct list *n;

    list_init(claimed);
    while ((n = list_pop_front(waiters))) {
        struct waiter *x = container_of(n, struct waiter, node);

        if (!x->task)
            store_relaxed(&container_of(x, struct callback, x)->armed,
                          CALLBACK_FIRES);
        else if (!w_claim_waiter(x))
            continue;
        list_push_back(claimed, n);
    }
}

void w_waiters_ready(struct list *claimed)
{
    struct chain c = {0, 0, 0};
    struct weft_runtime *rt = NULL;
    struct list *n;

    /* A claimed waiter cannot leave its frame before it is queued. */
    while ((n = list_pop_front(claimed))) {
        struct waiter *x = container_of(n, struct waiter, node);
        struct weft_task *t = x->task;

        if (!t) {
            w_callback_fire(container_of(x, struct callback, x));
            continue;
        }
        if (c.n && rt != task_rt(t)) {
            w_submit(rt, c);
            c = (struct chain){0, 0, 0};
        }
        rt = task_rt(t);
        w_ready_later(&c, t);
    }
    if (c.n)
        w_submit(rt, c);
    sim_point();
}
