/* SPDX-License-Identifier: MIT */
/* What is to be done once. */
#include "races.h"

#define TASKS 8

struct work {
    weft_once_flag o;
    weft_event go;
    atomic_int runs, inside;
    int fails; /* so many of the runs */
    long rc;   /* of the nested call */
};

struct caller {
    struct work *w;
    atomic_int *near;
    long rc;
};

static long works(void *arg)
{
    struct work *w = arg;
    int run = atomic_fetch_add(&w->runs, 1);
    int rc;

    t_equal(atomic_fetch_add(&w->inside, 1), 0);
    rc = weft_event_wait(&w->go);
    atomic_fetch_sub(&w->inside, 1);
    if (rc)
        return rc;
    return run < w->fails ? -EIO : 42;
}

static long calls(void *arg)
{
    struct caller *c = arg;

    if (c->near)
        atomic_fetch_add(c->near, 1);
    c->rc = weft_once(&c->w->o, works, c->w);
    return 0;
}

/* ---- running ------------------------------------------------------------ */

static long call_all(void *arg)
{
    struct work *w = arg;
    struct caller c[TASKS];
    int failed = 0;
    weft_group g;

    t_check(!weft_once_done(&w->o));
    weft_with_group(&g) {
        for (int i = 0; i < TASKS; i++) {
            c[i] = (struct caller){w, NULL, 1};
            t_equal(weft_spawn(&g, calls, &c[i]), 0);
        }
        t_check(t_wait_waiting("once", TASKS - 1));
        t_equal(atomic_load(&w->runs), 1);
        t_check(!weft_once_done(&w->o));
        weft_event_set(&w->go);
    }
    for (int i = 0; i < TASKS; i++) {
        t_check(c[i].rc == 42 || c[i].rc == -EIO);
        failed += c[i].rc == -EIO;
    }
    t_equal(failed, w->fails);
    t_equal(atomic_load(&w->runs), w->fails + 1);
    t_check(weft_once_done(&w->o));
    t_equal(weft_once(&w->o, works, w), 42);
    t_equal(atomic_load(&w->runs), w->fails + 1);
    return 0;
}

static void it_runs_once_and_all_get_its_result(void **state)
{
    struct work w = {.fails = 0};

    assert_int_equal(t_run(t_workers(state), call_all, &w), 0);
    assert_true(weft_once_done(&w.o));
}

static void one_that_fails_lets_the_next_caller_try(void **state)
{
    struct work w = {.fails = 3};

    assert_int_equal(t_run(t_workers(state), call_all, &w), 0);
}

static long call_again(void *arg)
{
    struct work w = {.fails = 2};

    (void)arg;
    weft_event_set(&w.go);
    t_equal(weft_once(&w.o, works, &w), -EIO);
    t_check(!weft_once_done(&w.o));
    t_equal(weft_once(&w.o, works, &w), -EIO);
    t_equal(weft_once(&w.o, works, &w), 42);
    t_check(weft_once_done(&w.o));
    t_equal(weft_once(&w.o, works, &w), 42);
    t_equal(atomic_load(&w.runs), 3);
    return 0;
}

static void a_later_caller_tries_again_too(void **state)
{
    assert_int_equal(t_run(t_workers(state), call_again, NULL), 0);
}

static long nests(void *arg)
{
    struct work *w = arg;

    w->rc = weft_once(&w->o, works, w);
    return 7;
}

static long nest(void *arg)
{
    struct work w = {.rc = 0};

    (void)arg;
    t_equal(weft_once(&w.o, nests, &w), 7);
    t_equal(w.rc, -EDEADLK);
    t_equal(atomic_load(&w.runs), 0);
    t_check(weft_once_done(&w.o));
    return 0;
}

static void from_within_it_cannot_be_waited_for(void **state)
{
    assert_int_equal(t_run(t_workers(state), nest, NULL), 0);
}

/* ---- cancel ------------------------------------------------------------- */

static long cancel_some(void *arg)
{
    struct work w = {.fails = 0};
    struct caller c[3];
    weft_task *t[3];
    weft_group g;

    (void)arg;
    weft_with_timeout(0)
        t_equal(weft_once(&w.o, works, &w), -ETIMEDOUT);
    t_equal(atomic_load(&w.runs), 0);
    weft_with_group(&g) {
        for (int i = 0; i < 3; i++) {
            c[i] = (struct caller){&w, NULL, 1};
            t_equal(weft_spawn_task(&g, calls, &c[i], &t[i]), 0);
            t_check(t_wait_waiting(i ? "once" : "event", i ? i : 1));
        }
        /* One who waits only. */
        t_equal(weft_task_cancel(t[1]), 0);
        t_equal(weft_await(t[1]), 0);
        t_equal(atomic_load(&w.runs), 1);
        /* The one who runs it: then it has failed, and the next has a try. */
        t_equal(weft_task_cancel(t[0]), 0);
        t_equal(weft_await(t[0]), 0);
        while (atomic_load(&w.runs) < 2)
            t_equal(weft_yield(), 0);
        weft_event_set(&w.go);
    }
    t_equal(c[0].rc, -ECANCELED);
    t_equal(c[1].rc, -ECANCELED);
    t_equal(c[2].rc, 42);
    t_equal(atomic_load(&w.runs), 2);
    return 0;
}

static void a_cancelled_caller_leaves_it_to_the_others(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_some, NULL), 0);
}

static void sets(void *e)
{
    weft_event_set(e);
}

/* The run ends, well or badly, as the first who waits is cancelled. */
static long race_cancels(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        struct work w = {.fails = i % 3};
        atomic_int near = 0;
        struct caller c[4];
        weft_task *t[4];
        int done = 0, failed = 0, cancelled = 0;
        weft_group g;

        weft_with_group(&g) {
            for (int k = 0; k < 4; k++) {
                c[k] = (struct caller){&w, &near, 1};
                t_equal(weft_spawn_task(&g, calls, &c[k], &t[k]), 0);
            }
            race_let_in(&near, 4);
            race(v, sets, &w.go, race_cancel, t[i / 3 % 4], i);
        }
        for (int k = 0; k < 4; k++) {
            done += c[k].rc == 42;
            failed += c[k].rc == -EIO;
            cancelled += c[k].rc == -ECANCELED;
        }
        t_equal(done + failed + cancelled, 4);
        t_check(cancelled <= 1);
        t_check(failed <= w.fails);
        t_check(done >= 1);
        t_check(weft_once_done(&w.o));
        t_equal(weft_once(&w.o, works, &w), 42);
        t_equal(atomic_load(&w.inside), 0);
    }
    return 0;
}

static void cancels_that_race_its_end_lose_nothing(void **state)
{
    long rounds = t_scale(1000);

    assert_int_equal(t_run(t_workers(state), race_cancels, &rounds), 0);
}

/* ---- its end, threads --------------------------------------------------- */

static long answers(void *arg)
{
    (void)arg;
    return 1;
}

static void calls_it(void *o)
{
    t_equal(weft_once(o, answers, NULL), 1);
}

static void looks_and_frees(void *o)
{
    for (long i = 1; !weft_once_done(o); i++)
        if (i % 1024 == 0)
            t_equal(weft_yield(), 0);
    t_equal(weft_once(o, answers, NULL), 1);
    race_overwrite(o, sizeof(weft_once_flag));
}

static long free_at_once(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        weft_once_flag o = {{0}};

        race(v, calls_it, &o, looks_and_frees, &o, i);
    }
    return 0;
}

static void who_sees_it_done_may_free_the_flag(void **state)
{
    long rounds = t_scale(800);

    assert_int_equal(t_run(t_workers(state), free_at_once, &rounds), 0);
}

static void it_needs_a_task(void **state)
{
    weft_once_flag o = {{0}};

    (void)state;
    assert_int_equal(weft_once(&o, answers, NULL), -EPERM);
    assert_false(weft_once_done(&o));
}

static const struct CMUnitTest tests[] = {
    T_EACH(it_runs_once_and_all_get_its_result),
    T_EACH(one_that_fails_lets_the_next_caller_try),
    T_EACH(a_later_caller_tries_again_too),
    T_EACH(from_within_it_cannot_be_waited_for),
    T_EACH(a_cancelled_caller_leaves_it_to_the_others),
    T_EACH(cancels_that_race_its_end_lose_nothing),
    T_EACH(who_sees_it_done_may_free_the_flag),
    cmocka_unit_test(it_needs_a_task),
};

T_MAIN(tests)
