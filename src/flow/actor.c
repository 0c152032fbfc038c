/* SPDX-License-Identifier: MIT */
/* Actors: a task, a mailbox, and a state for each life.
 *
 * The handle and the task hold a reference each. A life is a scope within the
 * task, so that a supervisor can end it from outside; it may not do so when the
 * scope is about to be entered or was left, hence `scoped` and its lock. */
#include "flow/actor.h"

#include <stdio.h>
#include <weft/task.h>

#include "base/sys.h"
#include "flow/start.h"

int w_actor_new(weft_actor **out, weft_actor_fn *fn,
                const struct weft_actor_options *opts, const char *site)
{
    weft_actor *a = sys_calloc(1, sizeof *a);
    int rc;

    if (!a)
        return -ENOMEM;
    if (opts)
        a->opts = *opts;
    rc = w_mailbox_open(&a->mailbox, a->opts.mailbox);
    if (rc) {
        sys_free(a);
        return rc;
    }
    store_relaxed(&a->refs, 2);
    a->fn = fn;
    a->site = site;
    snprintf(a->name, sizeof a->name, "%s", a->opts.name ? a->opts.name : site);
    *out = a;
    return 0;
}

static void free_actor(weft_actor *a)
{
    w_mailbox_close(&a->mailbox);
    sys_free(a);
}

void w_actor_unref(weft_actor *a)
{
    if (sub_acq_rel(&a->refs, 1) == 1)
        free_actor(a);
}

/* ---- a life -------------------------------------------------------------- */

static void enter_life(weft_actor *a)
{
    bool broken;

    (void)weft_scope_enter(&a->scope);
    spin_lock(&a->lock);
    a->scoped = true;
    broken = a->broken_off;
    spin_unlock(&a->lock);
    if (broken)
        (void)weft_scope_cancel(&a->scope, "restart");
}

static bool leave_life(weft_actor *a)
{
    bool broken;

    spin_lock(&a->lock);
    a->scoped = false;
    broken = a->broken_off;
    a->broken_off = false;
    spin_unlock(&a->lock);
    (void)weft_scope_leave(&a->scope);
    return broken;
}

void w_actor_break_off(weft_actor *a)
{
    spin_lock(&a->lock);
    a->broken_off = true;
    if (a->scoped)
        (void)weft_scope_cancel(&a->scope, "restart");
    spin_unlock(&a->lock);
}

void w_actor_renew(weft_actor *a)
{
    spin_lock(&a->lock);
    a->broken_off = false;
    spin_unlock(&a->lock);
}

static long serve(weft_actor *a, void *state)
{
    struct letter l;
    long rc;

    for (;;) {
        rc = w_mailbox_get(&a->mailbox, &l);
        if (rc)
            return rc == -ESHUTDOWN ? 0 : rc;
        rc = a->fn(state, l.message);
        if (l.ask)
            w_mailbox_answer(&a->mailbox, l.ask, rc);
        if (w_is_error(rc))
            return rc;
    }
}

long w_actor_live(weft_actor *a, bool *broken)
{
    void *state = a->opts.arg;
    bool started;
    long rc = 0;

    store_release(&a->task, w_current());
    enter_life(a);
    if (a->opts.on_start)
        rc = a->opts.on_start(&state, a->opts.arg);
    started = rc >= 0;
    if (started)
        rc = serve(a, state);
    *broken = leave_life(a);
    if (started && a->opts.on_stop)
        weft_with_shield()
            a->opts.on_stop(state, a->opts.arg);
    store_release(&a->task, NULL);
    return rc;
}

void w_actor_finish(weft_actor *a)
{
    struct letter l;

    w_mailbox_shut(&a->mailbox);
    while (w_mailbox_tryget(&a->mailbox, &l)) {
        if (l.ask)
            w_mailbox_answer(&a->mailbox, l.ask, -ESHUTDOWN);
        else if (a->opts.drop)
            a->opts.drop(l.message, a->opts.arg);
    }
}

/* ---- without a supervisor ------------------------------------------------ */

static long alone(void *arg)
{
    weft_actor *a = arg;
    bool broken;
    long rc = w_actor_live(a, &broken);

    w_actor_finish(a);
    w_actor_unref(a);
    return rc;
}

int weft_actor_open_at(weft_actor **out, weft_group *g, weft_actor_fn *fn,
                       const struct weft_actor_options *opts, const char *site)
{
    weft_actor *a;
    int rc = w_actor_new(&a, fn, opts, site);

    if (rc)
        return rc;
    *out = a;
    rc = spawn_owner(g, alone, a, a->opts.name ? a->name : NULL, site);
    if (rc) {
        *out = NULL;
        free_actor(a); /* nobody has seen it */
    }
    return rc;
}

/* ---- messages ------------------------------------------------------------ */

static int put(weft_actor *a, struct letter l)
{
    struct weft_task *self = w_current();
    int rc;

    if (!self || self != load_acquire(&a->task))
        return w_mailbox_put(&a->mailbox, l);
    rc = w_mailbox_tryput(&a->mailbox, l);
    return rc == -EAGAIN ? -EDEADLK : rc;
}

int weft_actor_send(weft_actor *a, void *message)
{
    return put(a, (struct letter){message, NULL});
}

int weft_actor_trysend(weft_actor *a, void *message)
{
    return w_mailbox_tryput(&a->mailbox, (struct letter){message, NULL});
}

long weft_actor_ask(weft_actor *a, void *message)
{
    struct ask ask = {.waiting = false};
    int rc;

    if (w_current() && w_current() == load_acquire(&a->task))
        return -EDEADLK;
    rc = w_mailbox_put(&a->mailbox, (struct letter){message, &ask});
    return rc ? rc : w_mailbox_await(&a->mailbox, &ask);
}

size_t weft_actor_pending(const weft_actor *a)
{
    return load_relaxed(&((weft_actor *)(uintptr_t)a)->mailbox.len);
}

void weft_actor_stop(weft_actor *a)
{
    w_mailbox_shut(&a->mailbox);
}

void weft_actor_close(weft_actor *a)
{
    if (!a)
        return;
    weft_actor_stop(a);
    w_actor_unref(a);
}
