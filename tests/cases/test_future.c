/* SPDX-License-Identifier: MIT */
/* The future. */
#include "races.h"

#include <limits.h>
#include <pthread.h>

#define TASKS 8

struct waiter {
    weft_future *f;
    atomic_int *near;
    long rc;
};

static long waits(void *arg)
{
    struct waiter *w = arg;

    if (w->near)
        atomic_fetch_add(w->near, 1);
    w->rc = weft_future_wait(w->f);
    return 0;
}

/* ---- values ------------------------------------------------------------- */

static long set_values(void *arg)
{
    static const long value[] = {0, 1, LONG_MAX, -EIO, -ECANCELED, -5000};

    (void)arg;
    for (size_t i = 0; i < T_LEN(value); i++) {
        weft_future f = {{0}};
        struct waiter w[TASKS];
        weft_group g;

        t_check(!weft_future_done(&f));
        t_equal(weft_future_result(&f), -EAGAIN);
        weft_with_group(&g) {
            for (int k = 0; k < TASKS; k++) {
                w[k] = (struct waiter){&f, NULL, 1};
                t_equal(weft_spawn(&g, waits, &w[k]), 0);
            }
            t_check(t_wait_waiting("future", TASKS));
            t_equal(value[i] == -ECANCELED ? weft_future_cancel(&f)
                                           : weft_future_set(&f, value[i]),
                    0);
            t_check(weft_future_done(&f));
            t_equal(weft_future_result(&f), value[i]);
            t_equal(weft_future_set(&f, 3), -EALREADY);
            t_equal(weft_future_cancel(&f), -EALREADY);
            t_equal(weft_future_wait(&f), value[i]);
        }
        for (int k = 0; k < TASKS; k++)
            t_equal(w[k].rc, value[i]);
        t_equal(weft_future_result(&f), value[i]);
    }
    return 0;
}

static void all_who_wait_get_the_value(void **state)
{
    assert_int_equal(t_run(t_workers(state), set_values, NULL), 0);
}

static long set_many(void *arg)
{
    long n = *(long *)arg;

    for (long i = 0; i < n; i++) {
        weft_future f = {{0}};
        struct waiter w = {&f, NULL, 1};
        weft_group g;

        weft_with_group(&g) {
            t_equal(weft_spawn(&g, waits, &w), 0);
            if (i % 2)
                t_equal(weft_yield(), 0);
            t_equal(weft_future_set(&f, i), 0);
        }
        t_equal(w.rc, i);
    }
    return 0;
}

static void no_wakeup_is_lost(void **state)
{
    long rounds = t_scale(20000);

    assert_int_equal(t_run(t_workers(state), set_many, &rounds), 0);
}

struct setter {
    weft_future *f;
    long value;
    int rc;
};

static void sets(void *arg)
{
    struct setter *s = arg;

    s->rc = s->value == -ECANCELED ? weft_future_cancel(s->f)
                                   : weft_future_set(s->f, s->value);
}

static long race_setters(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        weft_future f = {{0}};
        struct setter a = {&f, i, 1}, b = {&f, -ECANCELED, 1};
        struct waiter w = {&f, NULL, 1};
        weft_group g;

        weft_with_group(&g) {
            t_equal(weft_spawn(&g, waits, &w), 0);
            race(v, sets, &a, sets, &b, i);
        }
        t_check((a.rc == 0) != (b.rc == 0));
        t_equal(a.rc + b.rc, -EALREADY);
        t_equal(w.rc, a.rc == 0 ? a.value : b.value);
        t_equal(weft_future_result(&f), w.rc);
    }
    return 0;
}

static void of_two_who_set_it_one_is_refused(void **state)
{
    long rounds = t_scale(800);

    assert_int_equal(t_run(t_workers(state), race_setters, &rounds), 0);
}

/* ---- cancel ------------------------------------------------------------- */

static long cancel_waiter(void *arg)
{
    weft_future f = {{0}};
    struct waiter w[2] = {{&f, NULL, 1}, {&f, NULL, 1}};
    weft_task *t[2];
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        for (int i = 0; i < 2; i++)
            t_equal(weft_spawn_task(&g, waits, &w[i], &t[i]), 0);
        t_check(t_wait_waiting("future", 2));
        t_equal(weft_task_cancel(t[0]), 0);
        t_equal(weft_await(t[0]), 0);
        t_check(!weft_future_done(&f));
        t_equal(weft_future_set(&f, 5), 0);
    }
    t_equal(w[0].rc, -ECANCELED);
    t_equal(w[1].rc, 5);
    weft_with_timeout(0)
        t_equal(weft_future_wait(&f), -ETIMEDOUT);
    t_equal(weft_future_wait(&f), 5);
    return 0;
}

static void a_cancelled_waiter_does_not_cancel_it(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_waiter, NULL), 0);
}

static long race_cancels(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        weft_future f = {{0}};
        atomic_int near = 0;
        struct setter s = {&f, i, 1};
        struct waiter w[2] = {{&f, &near, 1}, {&f, &near, 1}};
        weft_task *first;
        weft_group g;
        long rc = 1;

        weft_with_group(&g) {
            t_equal(weft_spawn_task(&g, waits, &w[0], &first), 0);
            t_equal(weft_spawn(&g, waits, &w[1]), 0);
            race_let_in(&near, 2);
            if (i % 2) {
                race(v, sets, &s, race_cancel, first, i);
            } else {
                race_start(v, sets, &s, i * 7919 % 512 * 40);
                weft_with_timeout(i % 51 * WEFT_US)
                    rc = weft_future_wait(&f);
                race_finish(v);
                t_check(rc == i || rc == -ETIMEDOUT);
                t_equal(weft_future_wait(&f), i);
            }
        }
        t_check(w[0].rc == i || (i % 2 && w[0].rc == -ECANCELED));
        t_equal(w[1].rc, i);
    }
    return 0;
}

static void cancels_and_timeouts_that_race_it_lose_no_waiter(void **state)
{
    long rounds = t_scale(1200);

    assert_int_equal(t_run(t_workers(state), race_cancels, &rounds), 0);
}

/* ---- callbacks ---------------------------------------------------------- */

struct call {
    weft_callback cb;
    weft_future *f;
    atomic_int ran;
    long value;
};

static long runs(void *arg)
{
    struct call *c = arg;

    t_check(weft_self() != NULL);
    c->value = weft_future_result(c->f);
    atomic_fetch_add(&c->ran, 1);
    return 0;
}

static void wait_ran(struct call *c, int n)
{
    t_check(t_wait_for(&c->ran, n));
    t_equal(weft_yield(), 0);
    t_equal(atomic_load(&c->ran), n);
}

static long call_back(void *arg)
{
    weft_future f = {{0}}, second = {{0}};
    struct call c[3] = {{.f = &f}, {.f = &f}, {.f = &f}};
    struct waiter w = {&f, NULL, 1};
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_future_on_done(&f, &c[0].cb, runs, &c[0]), 0);
        t_equal(weft_spawn(&g, waits, &w), 0);
        t_check(t_wait_waiting("future", 1));
        t_equal(weft_future_on_done(&f, &c[1].cb, runs, &c[1]), 0);
        t_equal(weft_future_on_done(&f, &c[1].cb, runs, &c[1]), -EBUSY);
        t_equal(weft_future_on_done(&f, &c[2].cb, runs, &c[2]), 0);
        t_equal(weft_future_off_done(&f, &c[2].cb), 1);
        t_equal(weft_future_off_done(&f, &c[2].cb), 0);
        t_equal(weft_future_set(&f, 9), 0);
        wait_ran(&c[0], 1);
        wait_ran(&c[1], 1);
        t_equal(weft_future_off_done(&f, &c[1].cb), 0);
        /* Set already: at once. */
        t_equal(weft_future_on_done(&f, &c[0].cb, runs, &c[0]), 0);
        wait_ran(&c[0], 2);
        t_equal(atomic_load(&c[2].ran), 0);
    }
    t_equal(w.rc, 9);
    t_equal(c[0].value, 9);
    t_equal(c[1].value, 9);
    /* Used again. */
    c[2].f = &second;
    t_equal(weft_future_on_done(&second, &c[2].cb, runs, &c[2]), 0);
    t_equal(weft_future_cancel(&second), 0);
    wait_ran(&c[2], 1);
    t_equal(c[2].value, -ECANCELED);
    return 0;
}

static void callbacks_become_tasks_when_it_is_set(void **state)
{
    assert_int_equal(t_run(t_workers(state), call_back, NULL), 0);
}

struct remover {
    struct call *c;
    int mine;
};

static void takes_back(void *arg)
{
    struct remover *r = arg;

    r->mine = weft_future_off_done(r->c->f, &r->c->cb);
}

static long race_callbacks(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        weft_future f = {{0}};
        struct call c = {.f = &f};
        struct setter s = {&f, i, 1};
        struct remover r = {&c, -1};

        t_equal(weft_future_on_done(&f, &c.cb, runs, &c), 0);
        race(v, sets, &s, takes_back, &r, i);
        t_check(r.mine == 0 || r.mine == 1);
        t_equal(s.rc, 0);
        while (atomic_load(&c.ran) < 1 - r.mine)
            t_equal(weft_yield(), 0);
        t_equal(atomic_load(&c.ran), 1 - r.mine);
    }
    return 0;
}

static void a_callback_runs_unless_it_was_taken_back(void **state)
{
    long rounds = t_scale(1000);

    assert_int_equal(t_run(t_workers(state), race_callbacks, &rounds), 0);
}

/* ---- its end, threads --------------------------------------------------- */

static void waits_and_frees(void *f)
{
    t_equal(weft_future_wait(f), 1);
    race_overwrite(f, sizeof(weft_future));
}

static void looks_and_frees(void *f)
{
    for (long i = 1; !weft_future_done(f); i++)
        if (i % 1024 == 0)
            t_equal(weft_yield(), 0);
    t_equal(weft_future_result(f), 1);
    race_overwrite(f, sizeof(weft_future));
}

static long free_at_once(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        weft_future f = {{0}};
        struct setter s = {&f, 1, 1};

        race(v, sets, &s, i % 4 < 3 ? looks_and_frees : waits_and_frees, &f, i);
        t_equal(s.rc, 0);
    }
    return 0;
}

static void who_has_the_value_may_free_it(void **state)
{
    long rounds = t_scale(1000);

    assert_int_equal(t_run(t_workers(state), free_at_once, &rounds), 0);
}

static long ignored(void *arg)
{
    (void)arg;
    return 0;
}

static void *strange_thread(void *arg)
{
    weft_future *f = arg, own = {{0}};
    weft_callback cb;
    long n = 0;

    memset(&cb, 0, sizeof cb);
    n += weft_future_wait(&own) == -EPERM;
    n += weft_future_on_done(&own, &cb, ignored, NULL) == -EPERM;
    n += weft_future_result(&own) == -EAGAIN;
    n += weft_future_cancel(&own) == 0;
    n += weft_future_done(&own) != 0;
    usleep(2000);
    n += weft_future_set(f, 11) == 0;
    return (void *)(intptr_t)n;
}

static long wait_for_thread(void *arg)
{
    weft_future f = {{0}};
    struct call c = {.f = &f};
    pthread_t thread;
    void *n;

    (void)arg;
    t_equal(weft_future_on_done(&f, &c.cb, runs, &c), 0);
    t_equal(pthread_create(&thread, NULL, strange_thread, &f), 0);
    t_equal(weft_future_wait(&f), 11);
    t_equal(pthread_join(thread, &n), 0);
    t_equal((intptr_t)n, 6);
    wait_ran(&c, 1);
    t_equal(c.value, 11);
    return 0;
}

static void a_foreign_thread_may_set_it(void **state)
{
    assert_int_equal(t_run(t_workers(state), wait_for_thread, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    T_EACH(all_who_wait_get_the_value),
    T_EACH(no_wakeup_is_lost),
    T_EACH(of_two_who_set_it_one_is_refused),
    T_EACH(a_cancelled_waiter_does_not_cancel_it),
    T_EACH(cancels_and_timeouts_that_race_it_lose_no_waiter),
    T_EACH(callbacks_become_tasks_when_it_is_set),
    T_EACH(a_callback_runs_unless_it_was_taken_back),
    T_EACH(who_has_the_value_may_free_it),
    T_EACH(a_foreign_thread_may_set_it),
};

T_MAIN(tests)
