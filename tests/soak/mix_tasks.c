/* SPDX-License-Identifier: MIT */
/* Scenarios of tasks, scopes and time. */
#include "soak.h"

#include <string.h>

/* ---- families ----------------------------------------------------------- */

#define FAMILY 4

struct child {
    struct player p;
    long result; /* if it comes to its end */
    atomic_int began, ended;
    weft_task *task;
};

static long lives(void *arg)
{
    struct child *c = arg;

    check(atomic_fetch_add(&c->began, 1) == 0);
    lend(TASKS);
    if (one_in(&c->p, 3))
        play(&c->p, 1 + dice(&c->p, 3));
    else
        went(linger(&c->p));
    give_back(TASKS);
    check(atomic_fetch_add(&c->ended, 1) == 0);
    return c->result < 0 ? weft_fail(c->result, "child %p", arg) : c->result;
}

static struct child newborn(struct player *p, bool may_fail)
{
    struct child c = {.p = young(p), .result = dice(p, 1000)};

    if (may_fail && one_in(p, 3))
        c.result = ON_PURPOSE;
    return c;
}

/* A child that was spawned and has ended: once, or it never began. */
static void ended_well(const struct child *c, long rc)
{
    int began = atomic_load(&c->began);

    check(began <= 1 && began == atomic_load(&c->ended));
    if (began)
        check_rc(rc == c->result, rc);
    else
        check_rc(stopped(rc), rc);
}

static void spawn_child(struct player *p, weft_group *g, struct child *c)
{
    struct weft_task_options o = {
        .name = one_in(p, 4) ? "child" : NULL,
        .stack_size = one_in(p, 8) ? 65536 : 0,
        .eager = one_in(p, 4),
        .always = one_in(p, 4),
        .background = one_in(p, 4),
    };
    int rc = one_in(p, 2) ? weft_spawn_task(g, lives, c, &c->task)
                          : weft_spawn_with(g, lives, c, &o, &c->task);

    if (rc) {
        c->task = NULL;
        check_rc(rc == -ECANCELED, rc);
    }
}

static void family(struct player *p)
{
    bool may_fail = one_in(p, 4), meddles = one_in(p, 3);
    struct child c[FAMILY];
    weft_group g;
    long rc;

    weft_with_group(&g) {
        for (int i = 0; i < FAMILY; i++) {
            c[i] = newborn(p, may_fail);
            spawn_child(p, &g, &c[i]);
        }
        for (int i = 0; i < FAMILY; i++)
            if (c[i].task && one_in(p, 4)) {
                rc = weft_await(c[i].task);
                check(weft_task_done(c[i].task));
                ended_well(&c[i], rc);
            } else if (c[i].task && meddles && one_in(p, 4)) {
                weft_task_cancel_with(c[i].task, "soak");
            }
        if (meddles && one_in(p, 3))
            weft_group_cancel(&g);
        if (meddles && one_in(p, 3))
            break;
    }
    rc = weft_group_wait(&g);
    for (int i = 0; i < FAMILY; i++)
        check(atomic_load(&c[i].began) == atomic_load(&c[i].ended));
    check_rc(rc == 0 || stopped(rc) || (may_fail && rc == ON_PURPOSE), rc);
    if (may_fail || meddles || weft_check() != 0)
        return;
    check_rc(rc == 0, rc);
    for (int i = 0; i < FAMILY; i++)
        check(atomic_load(&c[i].ended) == 1);
}

/* The ends of children, failed or not, one by one. */
static void ends(struct player *p)
{
    struct child c[FAMILY];
    weft_task *t;
    weft_group g;
    int n = 0, told = 0, rc = 0;

    weft_with_group(&g) {
        weft_group_collect(&g);
        for (int i = 0; i < FAMILY; i++) {
            c[i] = newborn(p, true);
            spawn_child(p, &g, &c[i]);
            n += c[i].task != NULL;
        }
        while ((rc = weft_group_next(&g, &t)) == 1) {
            told++;
            for (int i = 0; i < FAMILY; i++)
                if (c[i].task == t)
                    ended_well(&c[i], weft_task_result(t));
        }
        if (went(rc))
            check_rc(told == n, told);
    }
}

static void gathers(struct player *p)
{
    struct child c[FAMILY];
    struct weft_call calls[FAMILY];
    unsigned how = dice(p, 3);
    size_t winner = FAMILY;
    long rc;

    for (int i = 0; i < FAMILY; i++) {
        c[i] = newborn(p, one_in(p, 2));
        calls[i] = (struct weft_call){.fn = lives, .arg = &c[i]};
    }
    if (how == 0)
        rc = weft_gather(calls, FAMILY);
    else if (how == 1)
        rc = weft_gather_collect(calls, FAMILY);
    else
        rc = weft_race(calls, FAMILY, &winner);
    if (rc != ON_PURPOSE && !went(rc))
        return;
    for (int i = 0; i < FAMILY; i++) {
        ended_well(&c[i], calls[i].ret);
        if (how == 1 && weft_check() == 0)
            check(atomic_load(&c[i].ended) == 1);
    }
    if (how == 2 && rc >= 0)
        check(winner < FAMILY && rc == c[winner].result);
}

static void waits(struct player *p)
{
    struct child c[FAMILY];
    weft_task *t[FAMILY];
    weft_group g;
    size_t n = 0;
    long rc;

    weft_with_group(&g) {
        weft_group_collect(&g);
        for (int i = 0; i < FAMILY; i++) {
            c[i] = newborn(p, one_in(p, 3));
            spawn_child(p, &g, &c[i]);
            if (c[i].task)
                t[n++] = c[i].task;
        }
        if (!n)
            break;
        rc = weft_wait_any(t, n);
        if (went(rc))
            check(weft_task_done(t[rc]));
        rc = weft_wait_error(t, n);
        if (went(rc) && rc < (long)n)
            check(weft_task_result(t[rc]) == ON_PURPOSE);
        if (went(weft_wait_all(t, n)))
            for (size_t i = 0; i < n; i++)
                check(weft_task_done(t[i]));
    }
}

/* ---- nobody's tasks ----------------------------------------------------- */

static long lands(void *arg)
{
    (void)arg;
    give_back(POSTED);
    return 0;
}

static void posts(struct player *p)
{
    for (uint32_t n = dice(p, 8); n--;) {
        lend(POSTED);
        if (!check(weft_post(lands, NULL) == 0))
            give_back(POSTED);
    }
    went(linger(p));
}

static long called_back(void *arg)
{
    give_back(CALLBACKS);
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

/* Waits for what will surely run, whatever becomes of the caller. */
static void until(atomic_int *ran)
{
    weft_with_shield()
        while (!atomic_load(ran))
            check(weft_sleep(20 * WEFT_US) == 0);
}

static void callbacks(struct player *p)
{
    struct child c = newborn(p, false);
    weft_callback cb = {{0}}, cf = {{0}};
    atomic_int ran = 0, set = 0;
    weft_future f = {{0}};
    weft_group g;

    lend(CALLBACKS);
    check(weft_future_on_done(&f, &cf, called_back, &set) == 0);
    weft_with_group(&g) {
        spawn_child(p, &g, &c);
        if (!c.task)
            break;
        lend(CALLBACKS);
        check(weft_task_on_done(c.task, &cb, called_back, &ran) == 0);
        went(linger(p));
        if (one_in(p, 2) && weft_task_off_done(c.task, &cb) == 1)
            called_back(&ran);
    }
    if (one_in(p, 2) && weft_future_off_done(&f, &cf) == 1)
        called_back(&set);
    check(weft_future_set(&f, 1) == 0);
    check(weft_future_cancel(&f) == -EALREADY);
    if (c.task)
        until(&ran);
    until(&set);
    check(atomic_load(&ran) <= 1 && atomic_load(&set) == 1);
}

/* ---- scopes ------------------------------------------------------------- */

static void timeouts(struct player *p)
{
    int64_t outer = moment(p, 500), inner = moment(p, 500);
    int64_t nap = moment(p, 500), began = weft_now(), took;
    int rc = 0;

    weft_with_timeout(outer)
        weft_with_timeout(inner)
            rc = weft_sleep(nap);
    took = weft_now() - began;
    if (rc == 0)
        check(took >= nap);
    else if (weft_check() == 0)
        check_rc(rc == -ETIMEDOUT && took >= (outer < inner ? outer : inner),
                 rc);
}

static void shields(struct player *p)
{
    int rc = 1;

    weft_with_timeout(moment(p, 100))
        weft_with_shield() {
            rc = weft_sleep(moment(p, 300));
            check_rc(rc == 0 && weft_check() == 0, rc);
        }
    check(rc == 0);
}

static long ends_scope(void *arg)
{
    int rc = weft_scope_cancel(arg, "soak");

    return rc == -EINVAL ? 0 : rc; /* it was left meanwhile */
}

static void scopes(struct player *p)
{
    weft_scope s;
    weft_group g;
    int rc = 0;

    weft_with_group(&g) {
        weft_scope_enter(&s);
        rc = weft_spawn(&g, ends_scope, &s);
        if (rc == 0) {
            rc = weft_sleep(one_in(p, 2) ? 30 * WEFT_SEC : moment(p, 50));
            check_rc(rc == 0 || weft_check() != 0, rc);
        }
        rc = weft_scope_leave(&s);
        check_rc(rc == 0 || rc == -ECANCELED, rc);
    }
    went(weft_group_wait(&g));
}

static void bounded_calls(struct player *p)
{
    struct child c = newborn(p, true);
    long rc = weft_wait_for(lives, &c, moment(p, 400));

    check(atomic_load(&c.began) == atomic_load(&c.ended));
    if (atomic_load(&c.ended))
        check_rc(rc == c.result || stopped(rc), rc);
    else
        check_rc(stopped(rc), rc);
}

static long undone(void *arg)
{
    give_back(DEFERS);
    ++*(int *)arg;
    return weft_yield();
}

static void defers(struct player *p)
{
    int ran = 0, n = 0;

    weft_with_timeout(moment(p, 200)) {
        for (uint32_t i = 1 + dice(p, 5); i--; n++) {
            lend(DEFERS);
            check(weft_defer(undone, &ran) == 0);
        }
        went(linger(p));
        if (one_in(p, 2))
            break;
    }
    check(ran == n);
}

static weft_local local;

static long inherits(void *arg)
{
    check(weft_local_get(&local) == arg);
    went(weft_yield());
    check(weft_local_set(&local, &arg) == 0);
    went(weft_yield());
    check(weft_local_get(&local) == (void *)&arg);
    return 0;
}

static void locals(struct player *p)
{
    weft_group g;

    check(weft_local_set(&local, p) == 0);
    weft_with_group(&g)
        for (int i = 0; i < 2; i++) {
            int rc = weft_spawn(&g, inherits, p);

            check_rc(rc == 0 || rc == -ECANCELED, rc);
        }
    check(weft_local_get(&local) == p);
}

/* ---- time --------------------------------------------------------------- */

static long rings(void *arg)
{
    give_back(TIMERS);
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static void timers(struct player *p)
{
    weft_timer t[3] = {0};
    atomic_int rang[3] = {0};

    for (int i = 0; i < 3; i++) {
        lend(TIMERS);
        check(weft_timer_start(&t[i], weft_now() + moment(p, 300), rings,
                               &rang[i]) == 0);
    }
    went(weft_sleep(moment(p, 300)));
    for (int i = 0; i < 3; i++) {
        if (weft_timer_stop(&t[i]) == 1)
            rings(&rang[i]);
        until(&rang[i]);
        check(atomic_load(&rang[i]) == 1);
    }
}

static void tickers(struct player *p)
{
    int64_t period = 10 * WEFT_US + moment(p, 100);
    weft_ticker k = {{0}};
    int64_t before = weft_now();
    long rc;

    check(weft_ticker_start(&k, period) == 0);
    for (int i = 0; i < 5; i++) {
        if (!went(rc = weft_ticker_wait(&k)))
            return;
        check(weft_ticker_time(&k) <= weft_now());
    }
    check(weft_now() - before >= 4 * period);
}

/* ---- generators --------------------------------------------------------- */

static long counts(weft_gen *g, void *arg)
{
    struct player *p = arg;
    int rc = 0;

    for (long i = 1; i <= 10 && rc == 0; i++) {
        if (one_in(p, 4))
            (void)linger(p);
        rc = weft_gen_yield(g, (void *)i);
    }
    return rc;
}

static void generators(struct player *p)
{
    struct player own = young(p);
    long next = 1, n = dice(p, 13);
    weft_gen g;
    void *v;
    int rc = 1;

    if (!check(weft_gen_open(&g, counts, &own) == 0))
        return;
    while (n-- && (rc = weft_gen_next(&g, &v)) == 1)
        check((long)v == next++);
    if (went(rc) && rc == 0)
        check(next == 11 || weft_check() != 0);
    rc = (int)weft_gen_close(&g);
    check_rc(rc == 0 || stopped(rc), rc);
}

static struct scenario scenarios[] = {
    {"tasks.family", 20, family, NESTS, 0},
    {"tasks.ends", 8, ends, NESTS, 0},
    {"tasks.gathers", 8, gathers, NESTS, 0},
    {"tasks.waits", 8, waits, NESTS, 0},
    {"tasks.posts", 8, posts, HOME, 0},
    {"tasks.callbacks", 8, callbacks, HOME | NESTS, 0},
    {"scopes.timeouts", 8, timeouts, 0, 0},
    {"scopes.shields", 6, shields, 0, 0},
    {"scopes.scopes", 6, scopes, 0, 0},
    {"scopes.calls", 6, bounded_calls, NESTS, 0},
    {"scopes.defers", 6, defers, 0, 0},
    {"scopes.locals", 6, locals, 0, 0},
    {"time.timers", 8, timers, HOME, 0},
    {"time.tickers", 4, tickers, 0, 0},
    {"time.generators", 8, generators, 0, 0},
};

struct part part_tasks = {scenarios, LEN(scenarios), NULL, NULL};
