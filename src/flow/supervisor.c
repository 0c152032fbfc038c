/* SPDX-License-Identifier: MIT */
/* Supervisors: a task whose group holds a task for each life of each actor.
 *
 * An actor's task only says that it has ended; all that follows is decided in
 * the supervisor's own task, one after the other. So lives of one actor never
 * overlap, and a restart of all begins when the last of them has ended. */
#include <weft/flow.h>
#include <weft/sync.h>
#include <weft/task.h>

#include "base/sys.h"
#include "flow/actor.h"
#include "flow/start.h"

#define MAX 3
#define WITHIN (5 * WEFT_SEC)

struct weft_supervisor {
    _Atomic uint32_t refs;
    struct weft_supervisor_options opts; /* I */
    weft_event event;                    /* there is something to do */
    struct spin lock;
    struct list actors;  /* L; only its task takes out */
    bool stopped;        /* L: takes no more actors */
    bool restarting;     /* T: waits for all to end */
    uint64_t n_restarts; /* T */
    int64_t times[];     /* T: of the last opts.max */
};

static void unref(weft_supervisor *s)
{
    if (sub_acq_rel(&s->refs, 1) == 1)
        sys_free(s);
}

/* ---- lives --------------------------------------------------------------- */

static long one_life(void *arg)
{
    weft_actor *a = arg;
    weft_supervisor *s = a->supervisor;
    bool broken;
    long rc = w_actor_live(a, &broken);

    spin_lock(&s->lock);
    a->phase = ACTOR_ENDED;
    a->result = rc;
    a->was_broken = broken;
    spin_unlock(&s->lock);
    weft_event_set(&s->event);
    return 0;
}

static int start(weft_supervisor *s, weft_group *g, weft_actor *a)
{
    struct weft_task_options o = {.name = a->name};
    int rc;

    w_actor_renew(a);
    spin_lock(&s->lock);
    a->phase = ACTOR_LIVE;
    spin_unlock(&s->lock);
    rc = weft_spawn_task_at(g, one_life, a, a->opts.name ? &o : NULL, NULL,
                            a->site);
    if (rc) {
        spin_lock(&s->lock);
        a->phase = ACTOR_NEW;
        spin_unlock(&s->lock);
    }
    return rc;
}

static void retire(weft_supervisor *s, weft_actor *a)
{
    spin_lock(&s->lock);
    list_remove(&a->node);
    spin_unlock(&s->lock);
    w_actor_finish(a);
    w_actor_unref(a);
}

/* Under the lock. */
static bool any(const weft_supervisor *s, enum actor_phase phase)
{
    list_each(n, &s->actors)
        if (container_of(n, struct weft_actor, node)->phase == phase)
            return true;
    return false;
}

/* ---- what becomes of a failure ------------------------------------------- */

static bool too_often(weft_supervisor *s)
{
    int64_t *oldest = &s->times[s->n_restarts % s->opts.max], now = sys_now();

    if (s->n_restarts >= s->opts.max && now - *oldest < s->opts.within)
        return true;
    *oldest = now;
    s->n_restarts++;
    return false;
}

static void break_off_all(weft_supervisor *s)
{
    spin_lock(&s->lock);
    s->restarting = true;
    list_each(n, &s->actors) {
        weft_actor *a = container_of(n, struct weft_actor, node);

        if (a->phase == ACTOR_LIVE)
            w_actor_break_off(a);
    }
    spin_unlock(&s->lock);
}

/* a has ended. 0, or the error to give up with. */
static long attend(weft_supervisor *s, weft_actor *a)
{
    if (a->result == 0) {
        retire(s, a);
        return 0;
    }
    if (!a->was_broken && !s->restarting) {
        if (s->opts.on_failure)
            s->opts.on_failure(a, a->result, s->opts.arg);
        if (too_often(s))
            return weft_fail(a->result, "actor %s failed too often", a->name);
        if (s->opts.restart == WEFT_RESTART_ALL)
            break_off_all(s);
    }
    spin_lock(&s->lock);
    a->phase = ACTOR_NEW;
    spin_unlock(&s->lock);
    return 0;
}

/* An actor in that phase, or NULL. Only this task takes actors out. */
static weft_actor *next_in(weft_supervisor *s, enum actor_phase phase)
{
    weft_actor *a = NULL;

    spin_lock(&s->lock);
    list_each(n, &s->actors) {
        a = container_of(n, struct weft_actor, node);
        if (a->phase == phase)
            break;
        a = NULL;
    }
    spin_unlock(&s->lock);
    return a;
}

static long work(weft_supervisor *s, weft_group *g, bool *end)
{
    weft_actor *a;
    long rc;

    while ((a = next_in(s, ACTOR_ENDED))) {
        rc = attend(s, a);
        if (rc)
            return rc;
    }
    spin_lock(&s->lock);
    if (s->restarting && !any(s, ACTOR_LIVE) && !any(s, ACTOR_ENDED))
        s->restarting = false;
    spin_unlock(&s->lock);
    while (!s->restarting && (a = next_in(s, ACTOR_NEW))) {
        rc = start(s, g, a);
        if (rc)
            return rc;
    }
    spin_lock(&s->lock);
    *end = s->stopped && list_empty(&s->actors);
    spin_unlock(&s->lock);
    return 0;
}

static void retire_all(weft_supervisor *s)
{
    struct list *n;

    for (;;) {
        spin_lock(&s->lock);
        s->stopped = true;
        n = list_pop_front(&s->actors);
        spin_unlock(&s->lock);
        if (!n)
            return;
        w_actor_finish(container_of(n, struct weft_actor, node));
        w_actor_unref(container_of(n, struct weft_actor, node));
    }
}

static long supervise(void *arg)
{
    weft_supervisor *s = arg;
    weft_group lives;
    bool end = false;
    long rc;

    (void)weft_group_enter(&lives);
    do {
        rc = weft_event_wait(&s->event);
        weft_event_clear(&s->event);
        if (rc == 0)
            rc = work(s, &lives, &end);
    } while (rc == 0 && !end);
    if (rc)
        weft_group_cancel(&lives);
    (void)weft_group_leave(&lives);
    retire_all(s);
    unref(s);
    return rc;
}

/* ---- handles ------------------------------------------------------------- */

int weft_supervisor_open_at(weft_supervisor **out, weft_group *g,
                            const struct weft_supervisor_options *opts,
                            const char *site)
{
    unsigned max = opts && opts->max ? opts->max : MAX;
    weft_supervisor *s = sys_calloc(1, sizeof *s + max * sizeof s->times[0]);
    int rc;

    if (!s)
        return -ENOMEM;
    if (opts)
        s->opts = *opts;
    s->opts.max = max;
    if (s->opts.within <= 0)
        s->opts.within = WITHIN;
    list_init(&s->actors);
    store_relaxed(&s->refs, 2);
    *out = s;
    rc = spawn_owner(g, supervise, s, s->opts.name, site);
    if (rc) {
        *out = NULL;
        sys_free(s);
    }
    return rc;
}

int weft_supervisor_add_at(weft_supervisor *s, weft_actor_fn *fn,
                           const struct weft_actor_options *opts,
                           weft_actor **out, const char *site)
{
    weft_actor *a;
    bool refused;
    int rc = w_actor_new(&a, fn, opts, site);

    if (rc)
        return rc;
    a->supervisor = s;
    *out = a;
    spin_lock(&s->lock);
    refused = s->stopped;
    if (!refused)
        list_push_back(&s->actors, &a->node);
    spin_unlock(&s->lock);
    if (!refused) {
        weft_event_set(&s->event);
        return 0;
    }
    *out = NULL;
    w_actor_unref(a);
    w_actor_unref(a);
    return -ESHUTDOWN;
}

void weft_supervisor_stop(weft_supervisor *s)
{
    spin_lock(&s->lock);
    s->stopped = true;
    list_each(n, &s->actors)
        w_mailbox_shut(&container_of(n, struct weft_actor, node)->mailbox);
    spin_unlock(&s->lock);
    weft_event_set(&s->event);
}

void weft_supervisor_close(weft_supervisor *s)
{
    if (!s)
        return;
    weft_supervisor_stop(s);
    unref(s);
}
