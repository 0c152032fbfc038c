/* SPDX-License-Identifier: MIT */
/* Supervisors: one is restarted, all are, or they give up. */
#include "support/cases.h"

/* What an actor was made of survives its lives; its state does not. */
struct part {
    weft_actor *a;
    atomic_int lives, ends, handled, dropped;
    int start_error;
};

struct state {
    struct part *part;
    int handled; /* in this life */
};

enum { COUNT, CRASH, SLEEP, GET };

static int starts(void **out, void *arg)
{
    struct part *p = arg;
    struct state *s;

    atomic_fetch_add(&p->lives, 1);
    if (p->start_error)
        return p->start_error;
    s = calloc(1, sizeof *s);
    s->part = p;
    *out = s;
    return 0;
}

static void stops(void *state, void *arg)
{
    struct part *p = arg;

    atomic_fetch_add(&p->ends, 1);
    free(state);
}

static void drops(void *message, void *arg)
{
    (void)message;
    atomic_fetch_add(&((struct part *)arg)->dropped, 1);
}

static long handles(void *state, void *message)
{
    struct state *s = state;
    int rc;

    switch ((long)(intptr_t)message) {
    case CRASH:
        return -EIO;
    case SLEEP:
        rc = weft_sleep(100 * WEFT_SEC);
        return rc;
    case GET:
        return s->handled;
    default:
        s->handled++;
        atomic_fetch_add(&s->part->handled, 1);
        return 0;
    }
}

static int add(weft_supervisor *s, struct part *p)
{
    struct weft_actor_options o = {.on_start = starts, .on_stop = stops,
                                   .drop = drops, .arg = p};

    memset(p, 0, sizeof *p);
    return weft_supervisor_add(s, handles, &o, &p->a);
}

static int send(struct part *p, long what, int times)
{
    int rc = 0;

    while (times-- && rc == 0)
        rc = weft_actor_send(p->a, (void *)(intptr_t)what);
    return rc;
}

static long get(struct part *p)
{
    return weft_actor_ask(p->a, (void *)(intptr_t)GET);
}

struct failures {
    atomic_int n;
    long last;
};

static void failed(weft_actor *a, long error, void *arg)
{
    struct failures *f = arg;

    t_check(a != NULL);
    f->last = error;
    atomic_fetch_add(&f->n, 1);
}

/* ---- one ----------------------------------------------------------------- */

static long restarts_one(void *arg)
{
    struct failures f = {0, 0};
    struct weft_supervisor_options o = {.on_failure = failed, .arg = &f};
    struct part a, b;
    weft_supervisor *s;
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_supervisor_open(&s, &g, &o), 0);
        t_equal(add(s, &a), 0);
        t_equal(add(s, &b), 0);
        t_equal(send(&a, COUNT, 3), 0);
        t_equal(send(&b, COUNT, 3), 0);
        t_equal(get(&a), 3);
        t_equal(send(&a, CRASH, 1), 0);
        t_equal(send(&a, COUNT, 2), 0); /* stay in the mailbox */
        t_equal(get(&a), 2);            /* fresh state */
        t_equal(get(&b), 3);
        weft_supervisor_stop(s);
        t_equal(send(&a, COUNT, 1), -ESHUTDOWN);
    }
    t_equal(weft_group_wait(&g), 0);
    t_equal(a.lives, 2);
    t_equal(a.ends, 2);
    t_equal(b.lives, 1);
    t_equal(b.ends, 1);
    t_equal(f.n, 1);
    t_equal(f.last, -EIO);
    t_equal(a.dropped + b.dropped, 0);
    weft_actor_close(a.a);
    weft_actor_close(b.a);
    weft_supervisor_close(s);
    return 0;
}

static void one_that_fails_starts_anew_with_its_mailbox(void **state)
{
    t_run(t_workers(state), restarts_one, NULL);
}

static long asks_a_crash(void *arg)
{
    struct part a;
    weft_supervisor *s;
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_supervisor_open(&s, &g, NULL), 0);
        t_equal(add(s, &a), 0);
        t_equal(weft_actor_ask(a.a, (void *)(intptr_t)CRASH), -EIO);
        t_equal(get(&a), 0);
        weft_actor_close(a.a);
        weft_supervisor_close(s);
    }
    t_equal(weft_group_wait(&g), 0);
    t_equal(a.lives, 2);
    return 0;
}

static void who_asked_gets_the_error_and_may_ask_again(void **state)
{
    t_run(t_workers(state), asks_a_crash, NULL);
}

/* ---- all ----------------------------------------------------------------- */

static long restarts_all(void *arg)
{
    struct failures f = {0, 0};
    struct weft_supervisor_options o = {.restart = WEFT_RESTART_ALL,
                                        .on_failure = failed, .arg = &f};
    struct part a, b, c;
    weft_supervisor *s;
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_supervisor_open(&s, &g, &o), 0);
        t_equal(add(s, &a), 0);
        t_equal(add(s, &b), 0);
        t_equal(add(s, &c), 0);
        t_equal(send(&b, COUNT, 3), 0);
        t_equal(get(&b), 3);
        t_equal(send(&c, SLEEP, 1), 0); /* its handler is cancelled */
        t_equal(send(&c, COUNT, 2), 0);
        t_check(t_wait_waiting("sleep", 1));
        t_equal(send(&a, CRASH, 1), 0);
        t_equal(get(&c), 2);
        t_equal(get(&b), 0);
        t_equal(get(&a), 0);
        weft_supervisor_stop(s);
    }
    t_equal(weft_group_wait(&g), 0);
    t_equal(a.lives, 2);
    t_equal(b.lives, 2);
    t_equal(c.lives, 2);
    t_equal(a.ends + b.ends + c.ends, 6);
    t_equal(f.n, 1);
    weft_actor_close(a.a);
    weft_actor_close(b.a);
    weft_actor_close(c.a);
    weft_supervisor_close(s);
    return 0;
}

static void all_start_anew_when_one_fails(void **state)
{
    t_run(t_workers(state), restarts_all, NULL);
}

static long storm(void *arg)
{
    struct weft_supervisor_options o = {.restart = *(enum weft_restart *)arg,
                                        .max = 100000};
    struct part p[4];
    int handled = 0, n = (int)t_scale(200);
    weft_supervisor *s;
    weft_group g;

    weft_with_group(&g) {
        t_equal(weft_supervisor_open(&s, &g, &o), 0);
        for (int i = 0; i < 4; i++)
            t_equal(add(s, &p[i]), 0);
        for (int i = 0; i < n; i++) {
            t_equal(send(&p[i % 4], CRASH, 1), 0);
            for (int k = 0; k < 4; k++)
                t_equal(send(&p[k], COUNT, 1), 0);
        }
        weft_supervisor_stop(s);
    }
    t_equal(weft_group_wait(&g), 0);
    for (int i = 0; i < 4; i++) {
        handled += p[i].handled;
        t_equal(p[i].dropped, 0);
        t_equal(p[i].lives, p[i].ends);
        if (o.restart == WEFT_RESTART_ONE)
            t_equal(p[i].lives, 1 + (n + 3 - i) / 4);
        weft_actor_close(p[i].a);
    }
    t_equal(handled, 4 * n);
    weft_supervisor_close(s);
    return 0;
}

static void a_storm_of_failures_loses_no_other_message(void **state)
{
    enum weft_restart r = WEFT_RESTART_ONE;

    t_run(t_workers(state), storm, &r);
    r = WEFT_RESTART_ALL;
    t_run(t_workers(state), storm, &r);
}

/* ---- giving up ----------------------------------------------------------- */

static long gives_up(void *arg)
{
    struct failures f = {0, 0};
    struct weft_supervisor_options o = {.max = 2, .within = 100 * WEFT_SEC,
                                        .on_failure = failed, .arg = &f};
    struct part a, b, c;
    weft_supervisor *s;
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_supervisor_open(&s, &g, &o), 0);
        t_equal(add(s, &a), 0);
        t_equal(add(s, &b), 0);
        t_equal(send(&b, SLEEP, 1), 0);
        t_equal(send(&b, COUNT, 4), 0);
        t_check(t_wait_waiting("sleep", 1));
        t_equal(send(&a, CRASH, 2), 0);
        t_equal(get(&a), 0);
        t_equal(send(&a, CRASH, 1), 0);
        t_equal(weft_sleep(100 * WEFT_SEC), -ECANCELED);
    }
    t_equal(weft_group_wait(&g), -EIO);
    t_equal(f.n, 3);
    t_equal(a.lives, 3);
    t_equal(b.lives, 1);
    t_equal(b.ends, 1);
    t_equal(b.dropped, 4);
    t_equal(add(s, &c), -ESHUTDOWN);
    t_check(c.a == NULL);
    t_equal(weft_actor_trysend(a.a, NULL), -ESHUTDOWN);
    weft_actor_close(a.a);
    weft_actor_close(b.a);
    weft_supervisor_close(s);
    return 0;
}

static void too_many_failures_end_all_and_fail_the_group(void **state)
{
    t_run(t_workers(state), gives_up, NULL);
}

static long slowly(void *arg)
{
    struct weft_supervisor_options o = {.max = 1, .within = 20 * WEFT_MS};
    struct part a;
    weft_supervisor *s;
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_supervisor_open(&s, &g, &o), 0);
        t_equal(add(s, &a), 0);
        for (int i = 0; i < 4; i++) {
            t_equal(send(&a, CRASH, 1), 0);
            t_equal(get(&a), 0); /* it lives again: the clock has started */
            t_equal(weft_sleep(25 * WEFT_MS), 0);
        }
        weft_actor_close(a.a);
        weft_supervisor_close(s);
    }
    t_equal(weft_group_wait(&g), 0);
    t_equal(a.lives, 5);
    return 0;
}

static void failures_far_apart_are_mended_for_ever(void **state)
{
    t_run(t_workers(state), slowly, NULL);
}

static long never_starts(void *arg)
{
    struct part a;
    weft_supervisor *s;
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        struct weft_actor_options o = {.on_start = starts, .on_stop = stops,
                                       .arg = &a};

        memset(&a, 0, sizeof a);
        a.start_error = -ENODEV;
        t_equal(weft_supervisor_open(&s, &g, NULL), 0);
        t_equal(weft_supervisor_add(s, handles, &o, &a.a), 0);
        t_equal(weft_sleep(100 * WEFT_SEC), -ECANCELED);
    }
    t_equal(weft_group_wait(&g), -ENODEV);
    t_equal(a.lives, 4); /* three restarts are the default */
    t_equal(a.ends, 0);
    weft_actor_close(a.a);
    weft_supervisor_close(s);
    return 0;
}

static void a_start_that_fails_counts(void **state)
{
    t_run(t_workers(state), never_starts, NULL);
}

/* ---- ends ---------------------------------------------------------------- */

static long one_leaves(void *arg)
{
    struct weft_supervisor_options o = {.restart = WEFT_RESTART_ALL};
    struct part a, b;
    weft_supervisor *s;
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_supervisor_open(&s, &g, &o), 0);
        t_equal(add(s, &a), 0);
        t_equal(add(s, &b), 0);
        t_equal(send(&a, COUNT, 5), 0);
        weft_actor_close(a.a); /* drained first */
        t_check(t_wait_for(&a.ends, 1));
        t_equal(a.handled, 5);
        t_equal(send(&b, CRASH, 1), 0);
        t_equal(get(&b), 0);
        t_equal(a.lives, 1);
        weft_actor_close(b.a);
        weft_supervisor_close(s);
    }
    t_equal(weft_group_wait(&g), 0);
    return 0;
}

static void a_stopped_actor_leaves_it(void **state)
{
    t_run(t_workers(state), one_leaves, NULL);
}

static long cancelled(void *arg)
{
    struct part a;
    weft_supervisor *s;
    weft_group g;
    int early = *(int *)arg;

    weft_with_group(&g) {
        t_equal(weft_supervisor_open(&s, &g, NULL), 0);
        t_equal(add(s, &a), 0);
        t_equal(weft_actor_trysend(a.a, (void *)(intptr_t)SLEEP), 0);
        t_equal(weft_actor_trysend(a.a, (void *)(intptr_t)COUNT), 0);
        if (!early)
            t_check(t_wait_waiting("sleep", 1));
        weft_group_cancel(&g);
    }
    t_equal(weft_group_wait(&g), -ECANCELED);
    t_equal(a.lives, a.ends);
    t_equal(a.handled, 0);
    t_equal(a.dropped, early && !a.lives ? 2 : 1);
    t_equal(weft_actor_trysend(a.a, NULL), -ESHUTDOWN);
    weft_actor_close(a.a);
    weft_supervisor_close(s);
    weft_supervisor_close(NULL);
    return 0;
}

static void a_cancelled_group_ends_it(void **state)
{
    int early = 0;

    t_run(t_workers(state), cancelled, &early);
}

static void cancelled_before_its_turn_it_drops_all(void **state)
{
    int early = 1;

    (void)state;
    t_run(1, cancelled, &early);
}

static const struct CMUnitTest tests[] = {
    T_EACH(one_that_fails_starts_anew_with_its_mailbox),
    T_EACH(who_asked_gets_the_error_and_may_ask_again),
    T_EACH(all_start_anew_when_one_fails),
    T_EACH(a_storm_of_failures_loses_no_other_message),
    T_EACH(too_many_failures_end_all_and_fail_the_group),
    T_EACH(failures_far_apart_are_mended_for_ever),
    T_EACH(a_start_that_fails_counts),
    T_EACH(a_stopped_actor_leaves_it),
    T_EACH(a_cancelled_group_ends_it),
    cmocka_unit_test(cancelled_before_its_turn_it_drops_all),
};

T_MAIN(tests)
