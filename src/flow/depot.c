/* SPDX-License-Identifier: MIT */
/* Depot: a stack of idle resources, a count of slots, takers in a row.
 *
 * A slot is the right to have a resource open; there are `max`. Whoever gives
 * back a resource or a slot hands it to the first taker under the lock; a
 * taker that was claimed has what was handed over even if it is cancelled at
 * the same time (a slot that it then cannot use goes on to the next). */
#include <weft/flow.h>
#include <weft/scope.h>

#include "base/sys.h"
#include "flow/start.h"
#include "sync/waitq.h"

#define MAX 16

struct idle_one {
    void *resource;
    int64_t since;
};

struct weft_depot {
    struct spin lock;
    bool closing;                   /* L */
    unsigned slots;                 /* L: in use, idle ones too */
    unsigned n_idle;                /* L */
    unsigned inside;                /* L: takers that will touch the depot */
    struct list takers;             /* L */
    struct waiter *closer;          /* L: waits for the others to go */
    struct weft_depot_options opts; /* I */
    struct idle_one idle[];         /* L: the one used last is on top */
};

int weft_depot_open(weft_depot **out, const struct weft_depot_options *opts)
{
    unsigned max = opts && opts->max ? opts->max : MAX, max_idle;
    weft_depot *d;

    if (!opts || !opts->open || !opts->close || opts->idle_time < 0)
        return -EINVAL;
    max_idle = opts->max_idle && opts->max_idle < max ? opts->max_idle : max;
    d = sys_calloc(1, sizeof *d + max_idle * sizeof d->idle[0]);
    if (!d)
        return -ENOMEM;
    d->opts = *opts;
    d->opts.max = max;
    d->opts.max_idle = max_idle;
    list_init(&d->takers);
    *out = d;
    return 0;
}

/* ---- under the lock ------------------------------------------------------ */

/* The closer, if the caller was the last to go: to be made ready, as nobody
 * else touches the depot any more. */
static struct weft_task *last_one(weft_depot *d)
{
    struct waiter *x = d->closer;

    if (!x || d->slots != d->n_idle || d->inside)
        return NULL;
    d->closer = NULL;
    return w_claim_waiter(x) ? x->task : NULL;
}

/* What a taker gets, beside errors. */
enum { RESOURCE, SLOT };

/* Gives a resource or a slot to the first taker. */
static struct weft_task *hand_over(weft_depot *d, int what, void *resource)
{
    struct list *n;

    while ((n = list_pop_front(&d->takers))) {
        struct waiter *x = container_of(n, struct waiter, node);
        struct weft_task *t = x->task;

        x->value = resource;
        x->status = what;
        if (w_claim_waiter(x))
            return t;
    }
    return NULL;
}

/* A taker has done its last access. */
static struct weft_task *go(weft_depot *d)
{
    d->inside--;
    return last_one(d);
}

static bool expired(const weft_depot *d, unsigned i, int64_t now)
{
    return d->opts.idle_time && now - d->idle[i].since >= d->opts.idle_time;
}

/* ---- slots --------------------------------------------------------------- */

static void wake(struct weft_task *t)
{
    if (t)
        w_ready(t);
}

static void release_slot(weft_depot *d)
{
    struct weft_task *t;

    spin_lock(&d->lock);
    t = d->closing ? NULL : hand_over(d, SLOT, NULL);
    if (!t) {
        d->slots--;
        t = last_one(d);
    }
    spin_unlock(&d->lock);
    wake(t);
}

/* The functions of the user that clean up are not cancelled. */
static void shut(weft_depot *d, void *resource)
{
    weft_with_shield()
        d->opts.close(resource, d->opts.arg);
}

/* Closes those that were idle for too long. The caller keeps d from being
 * freed. */
static void purge(weft_depot *d)
{
    void *resource;

    while (d->opts.idle_time) {
        spin_lock(&d->lock);
        if (!d->n_idle || !expired(d, 0, sys_now())) {
            spin_unlock(&d->lock);
            return;
        }
        resource = d->idle[0].resource;
        d->n_idle--;
        memmove(d->idle, d->idle + 1, d->n_idle * sizeof d->idle[0]);
        spin_unlock(&d->lock);
        shut(d, resource);
        release_slot(d);
    }
}

/* ---- take ---------------------------------------------------------------- */

/* With a slot. */
static int open_one(weft_depot *d, void **resource)
{
    int rc;

    *resource = NULL;
    rc = d->opts.open(resource, d->opts.arg);
    if (rc >= 0)
        return 0;
    release_slot(d);
    return rc;
}

/* Under the lock, which it gives back: RESOURCE, SLOT or an error. While
 * anybody waits there is neither an idle one nor a free slot, since what comes
 * is handed over: so nobody is overtaken. */
static int take_or_wait(weft_depot *d, struct weft_task *t, void **resource)
{
    struct waiter x = {.task = t};
    int rc;

    if (d->closing) {
        rc = -ESHUTDOWN;
    } else if (d->n_idle) {
        *resource = d->idle[--d->n_idle].resource;
        rc = RESOURCE;
    } else if (d->slots < d->opts.max) {
        d->slots++;
        rc = SLOT;
    } else {
        rc = w_wait_begin(t, &x.epoch);
        if (rc == 0) {
            list_push_back(&d->takers, &x.node);
            spin_unlock(&d->lock);
            rc = waitq_wait(&x, &d->lock, "depot");
            *resource = x.value;
            return rc ? rc : x.status;
        }
    }
    spin_unlock(&d->lock);
    return rc;
}

int weft_depot_take(weft_depot *d, void **resource)
{
    struct worker *w = w_worker();
    struct weft_task *t = w ? w->current : NULL, *last;
    int rc;

    if (!t)
        return -EPERM;
    w_budget(w);
    rc = w_cancel_error(t);
    if (rc)
        return rc;
    spin_lock(&d->lock);
    d->inside++;
    if (d->n_idle && expired(d, 0, sys_now())) {
        spin_unlock(&d->lock);
        purge(d);
        spin_lock(&d->lock);
    }
    rc = take_or_wait(d, t, resource);
    if (rc == SLOT)
        rc = open_one(d, resource);
    spin_lock(&d->lock);
    last = go(d);
    spin_unlock(&d->lock);
    wake(last);
    return rc;
}

/* ---- give ---------------------------------------------------------------- */

void weft_depot_drop(weft_depot *d, void *resource)
{
    shut(d, resource);
    release_slot(d);
}

static bool broken(weft_depot *d, void *resource)
{
    int rc = 0;

    if (d->opts.check)
        weft_with_shield()
            rc = d->opts.check(resource, d->opts.arg);
    return rc != 0;
}

void weft_depot_give(weft_depot *d, void *resource)
{
    int64_t now = d->opts.idle_time ? sys_now() : 0;
    struct weft_task *t = NULL;
    bool kept = true;

    if (broken(d, resource)) {
        weft_depot_drop(d, resource);
        return;
    }
    purge(d);
    spin_lock(&d->lock);
    if (d->closing || !(t = hand_over(d, RESOURCE, resource))) {
        kept = !d->closing && d->n_idle < d->opts.max_idle;
        if (kept)
            d->idle[d->n_idle++] = (struct idle_one){resource, now};
    }
    spin_unlock(&d->lock);
    wake(t);
    if (!kept)
        weft_depot_drop(d, resource);
}

struct weft_lease weft_lease_enter_(weft_depot *d)
{
    struct weft_lease l = {d, NULL, 1};

    if (weft_depot_take(d, &l.resource) < 0)
        l = (struct weft_lease){NULL, NULL, 1};
    return l;
}

void weft_lease_leave_(struct weft_lease *l)
{
    if (l->depot)
        weft_depot_give(l->depot, l->resource);
}

/* ---- close --------------------------------------------------------------- */

static void refuse(weft_depot *d, struct list *claimed)
{
    struct list *n;

    list_init(claimed);
    while ((n = list_pop_front(&d->takers))) {
        struct waiter *x = container_of(n, struct waiter, node);

        x->status = -ESHUTDOWN;
        if (w_claim_waiter(x))
            list_push_back(claimed, n);
    }
}

void weft_depot_close(weft_depot *d)
{
    struct waiter x = {.task = w_current()};
    struct list claimed, *n;

    spin_lock(&d->lock);
    d->closing = true;
    refuse(d, &claimed);
    spin_unlock(&d->lock);
    while ((n = list_pop_front(&claimed)))
        w_ready(container_of(n, struct waiter, node)->task);

    if (!x.task) {
        w_bug("weft_depot_close: the caller is no task");
        return;
    }
    x.epoch = w_wait_begin_shielded(x.task);
    spin_lock(&d->lock);
    if (d->slots != d->n_idle || d->inside) {
        d->closer = &x;
        spin_unlock(&d->lock);
        wait_shielded(x.task, "depot close");
    } else {
        spin_unlock(&d->lock);
        w_wait_abort(x.task);
    }
    while (d->n_idle)
        shut(d, d->idle[--d->n_idle].resource);
    sys_free(d);
}
