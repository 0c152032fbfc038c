/* SPDX-License-Identifier: MIT */
/* Generators. */
#include "support/cases.h"

static void *P(intptr_t n)
{
    return (void *)n;
}

/* Gives 1 .. arg. */
static long counts(weft_gen *g, void *arg)
{
    intptr_t n = (intptr_t)arg;
    int rc = 0;

    for (intptr_t i = 1; i <= n && rc == 0; i++)
        rc = weft_gen_yield(g, P(i));
    return rc < 0 ? rc : 5;
}

static long for_ever(weft_gen *g, void *arg)
{
    int rc = 0;

    for (intptr_t i = 1; rc == 0; i++)
        rc = weft_gen_yield(g, P(i));
    if (arg)
        *(int *)arg = rc;
    return rc;
}

/* ---- values ------------------------------------------------------------- */

static long takes_all(void *arg)
{
    long n = *(long *)arg;
    int64_t start = weft_now();
    void *v = NULL;
    weft_gen g;
    long i;

    if (!t_equal(weft_gen_open(&g, counts, P(n)), 0))
        return -1;
    for (i = 1; weft_gen_next(&g, &v) == 1; i++)
        if (!t_equal((intptr_t)v, i))
            break;
    t_equal(i, n + 1);
    t_equal(weft_gen_next(&g, &v), 0);
    t_equal(weft_gen_next(&g, &v), 0);
    if (getenv("WEFT_TEST_TIMES"))
        fprintf(stderr, "%ld ns a value\n",
                (long)((weft_now() - start) / (n ? n : 1)));
    t_equal(weft_gen_close(&g), 5);
    t_equal(weft_gen_close(&g), 5);
    return 0;
}

static void all_values_come_in_order_and_then_the_end(void **state)
{
    long n[] = {0, 1, 7, t_scale(100000)};

    for (size_t i = 0; i < T_LEN(n); i++)
        assert_int_equal(t_run(t_workers(state), takes_all, &n[i]), 0);
}

struct steps {
    atomic_int n;
};

static long steps(weft_gen *g, void *arg)
{
    struct steps *s = arg;
    int rc = 0;

    while (rc == 0) {
        atomic_fetch_add(&s->n, 1);
        rc = weft_gen_yield(g, NULL);
    }
    return rc;
}

static long steps_through(void *arg)
{
    struct steps s = {0};
    void *v;
    weft_gen g;

    (void)arg;
    t_equal(weft_gen_open(&g, steps, &s), 0);
    t_equal(weft_sleep(2 * WEFT_MS), 0);
    t_equal(atomic_load(&s.n), 0); /* not even begun */
    for (int i = 1; i <= 5; i++) {
        t_equal(weft_gen_next(&g, &v), 1);
        t_equal(weft_sleep(WEFT_MS), 0);
        t_equal(atomic_load(&s.n), i);
    }
    t_equal(weft_gen_close(&g), 0);
    t_equal(atomic_load(&s.n), 5);
    return 0;
}

static void it_runs_only_while_a_value_is_awaited(void **state)
{
    assert_int_equal(t_run(t_workers(state), steps_through, NULL), 0);
}

/* ---- closing ------------------------------------------------------------ */

static long drops(void *arg)
{
    int ended = 0;
    void *v;
    weft_gen g;

    (void)arg;
    /* Half-way. */
    t_equal(weft_gen_open(&g, for_ever, &ended), 0);
    for (int i = 1; i <= 3; i++)
        t_equal(weft_gen_next(&g, &v), 1);
    t_equal(ended, 0);
    t_equal(weft_gen_close(&g), 0);
    t_equal(ended, -ECANCELED);
    t_equal(weft_gen_next(&g, &v), -EPERM);
    /* Never begun. */
    ended = 0;
    t_equal(weft_gen_open(&g, for_ever, &ended), 0);
    t_equal(weft_gen_close(&g), 0);
    t_equal(ended, 0);
    /* The task itself is none the worse for it. */
    t_equal(weft_check(), 0);
    return weft_yield();
}

static void one_that_is_dropped_half_way_is_cancelled_and_awaited(void **state)
{
    assert_int_equal(t_run(t_workers(state), drops, NULL), 0);
}

static long cleans_up(weft_gen *g, void *arg)
{
    int rc = weft_gen_yield(g, NULL);

    t_equal(rc, -ECANCELED);
    t_equal(weft_gen_yield(g, NULL), -ECANCELED);
    t_equal(weft_sleep(0), -ECANCELED);
    t_check(weft_cancel_reason() &&
            strcmp(weft_cancel_reason(), "the generator is closed") == 0);
    weft_with_shield()
        t_equal(weft_sleep(2 * WEFT_MS), 0);
    *(int *)arg = 1;
    return -EIO;
}

static long closes_a_slow_one(void *arg)
{
    int cleaned = 0;
    void *v;
    weft_gen g;

    (void)arg;
    t_equal(weft_gen_open(&g, cleans_up, &cleaned), 0);
    t_equal(weft_gen_next(&g, &v), 1);
    t_equal(weft_gen_close(&g), -EIO);
    t_equal(cleaned, 1);
    return weft_check();
}

static void close_waits_for_the_cleanup_and_tells_its_error(void **state)
{
    static struct t_errors errors;
    struct weft_options o = t_options(t_workers(state));

    memset(&errors, 0, sizeof errors);
    o.on_unhandled = t_collect;
    o.unhandled_arg = &errors;
    assert_int_equal(t_run_with(o, closes_a_slow_one, NULL), 0);
    assert_int_equal(errors.n, 0);
}

/* ---- errors ------------------------------------------------------------- */

static long fails(weft_gen *g, void *arg)
{
    (void)arg;
    t_equal(weft_gen_yield(g, P(1)), 0);
    return weft_fail(-EDOM, "no more of them");
}

static long fails_with(weft_gen *g, void *arg)
{
    (void)g;
    return (intptr_t)arg;
}

static long passes_on(void *arg)
{
    void *v;
    weft_gen g;
    long rc;

    (void)arg;
    t_equal(weft_gen_open(&g, fails, NULL), 0);
    t_equal(weft_gen_next(&g, &v), 1);
    rc = weft_gen_next(&g, &v);
    t_equal(rc, -EDOM);
    t_equal(weft_gen_next(&g, &v), -EDOM);
    t_equal(weft_check(), 0); /* the error is no cancellation */
    t_equal(weft_sleep(WEFT_MS), 0);
    t_equal(weft_gen_close(&g), -EDOM);
    return rc;
}

static long meets_errors(void *arg)
{
    static const int codes[] = {-EAGAIN, -ECANCELED, -ETIMEDOUT, -EIO};
    weft_task *t;
    weft_group group;
    weft_gen g;
    void *v;

    (void)arg;
    for (size_t i = 0; i < T_LEN(codes); i++) {
        t_equal(weft_gen_open(&g, fails_with, P(codes[i])), 0);
        t_equal(weft_gen_next(&g, &v), codes[i]);
        t_equal(weft_gen_next(&g, &v), codes[i]);
        t_equal(weft_gen_close(&g), codes[i]);
    }
    weft_with_group(&group) {
        t_equal(weft_spawn_task(&group, passes_on, NULL, &t), 0);
        t_equal(weft_await(t), -EDOM);
        t_check(weft_task_message(t) &&
                strcmp(weft_task_message(t), "no more of them") == 0);
    }
    return 0;
}

static void its_error_comes_out_of_next_and_cancels_nothing(void **state)
{
    static struct t_errors errors;
    struct weft_options o = t_options(t_workers(state));

    memset(&errors, 0, sizeof errors);
    o.on_unhandled = t_collect;
    o.unhandled_arg = &errors;
    assert_int_equal(t_run_with(o, meets_errors, NULL), 0);
    assert_int_equal(errors.n, 0);
}

/* ---- cancelling next ---------------------------------------------------- */

struct slow {
    atomic_int started;
    weft_event go;
};

static long slow(weft_gen *g, void *arg)
{
    struct slow *s = arg;

    for (intptr_t i = 1; i <= 3; i++) {
        int rc;

        atomic_fetch_add(&s->started, 1);
        rc = weft_event_wait(&s->go);
        if (rc == 0)
            rc = weft_gen_yield(g, P(i));
        if (rc)
            return rc;
    }
    return 0;
}

static long loses_patience(void *arg)
{
    struct slow s = {0};
    void *v = NULL;
    weft_gen g;

    (void)arg;
    t_equal(weft_gen_open(&g, slow, &s), 0);
    for (int i = 0; i < 2; i++)
        weft_with_timeout(2 * WEFT_MS) {
            t_equal(weft_gen_next(&g, &v), -ETIMEDOUT);
            t_equal(weft_gen_next(&g, &v), -ETIMEDOUT);
        }
    t_equal(atomic_load(&s.started), 1);
    weft_event_set(&s.go);
    t_equal(weft_sleep(5 * WEFT_MS), 0); /* the value comes, nobody waits */
    t_equal(atomic_load(&s.started), 1);
    weft_with_timeout(0)
        t_equal(weft_gen_next(&g, &v), -ETIMEDOUT); /* though it is there */
    for (intptr_t i = 1; i <= 3; i++) {
        t_equal(weft_gen_next(&g, &v), 1);
        t_equal((intptr_t)v, i);
    }
    t_equal(weft_gen_next(&g, &v), 0);
    return weft_gen_close(&g);
}

static void a_cancelled_next_loses_no_value(void **state)
{
    assert_int_equal(t_run(t_workers(state), loses_patience, NULL), 0);
}

static long cancels_at_random(void *arg)
{
    long n = *(long *)arg, got = 0;
    void *v;
    weft_gen g;

    t_equal(weft_gen_open(&g, counts, P(n)), 0);
    for (;;) {
        int rc = -ETIMEDOUT;

        weft_with_timeout(1 + got * 7919 % (20 * WEFT_US))
            rc = weft_gen_next(&g, &v);
        if (rc == 0)
            break;
        if (rc == -ETIMEDOUT)
            continue;
        if (!t_equal(rc, 1) || !t_equal((intptr_t)v, got + 1))
            break;
        got++;
    }
    t_equal(got, n);
    return weft_gen_close(&g) == 5 ? 0 : -1;
}

static void values_and_time_outs_may_race(void **state)
{
    long n = t_scale(20000);

    assert_int_equal(t_run(t_workers(state), cancels_at_random, &n), 0);
}

/* A wait in yield that a scope of the generator's own ends: what it yields
 * then is given only when it is asked for. */
struct impatient {
    atomic_int late;
    bool goes_on;
    weft_scope *_Atomic scope; /* the one around the yield */
};

static long is_impatient(weft_gen *g, void *arg)
{
    struct impatient *x = arg;

    for (intptr_t i = 1; i <= 2; i++) {
        weft_scope s;

        weft_with_scope(&s) {
            atomic_store(&x->scope, &s);
            t_equal(weft_gen_yield(g, P(i)), -ECANCELED);
        }
        atomic_fetch_add(&x->late, 1);
    }
    return x->goes_on ? weft_gen_yield(g, P(3)) : 0;
}

static long dawdles(void *arg)
{
    struct impatient x = {0};
    void *v = NULL;
    weft_gen g;

    (void)arg;
    for (int i = 0; i < 2; i++) {
        atomic_store(&x.late, 0);
        x.goes_on = i;
        t_equal(weft_gen_open(&g, is_impatient, &x), 0);
        t_equal(weft_gen_next(&g, &v), 1);
        t_equal((intptr_t)v, 1);
        for (int n = 1; n <= 2; n++) {
            t_check(t_wait_waiting("generator's turn", 1));
            t_equal(weft_scope_cancel(atomic_load(&x.scope), "enough"), 0);
            t_check(t_wait_for(&x.late, n));
        }
        /* The second's time was up before it was wanted. */
        if (x.goes_on) {
            t_equal(weft_gen_next(&g, &v), 1);
            t_equal((intptr_t)v, 3);
        }
        t_equal(weft_gen_next(&g, &v), 0);
        t_equal(weft_gen_close(&g), 0);
    }
    return 0;
}

static void a_scope_around_yield_ends_its_wait(void **state)
{
    assert_int_equal(t_run(t_workers(state), dawdles, NULL), 0);
}

static long owner_waits(void *arg)
{
    struct slow *s = arg;
    void *v;
    weft_gen g;
    int rc;

    t_equal(weft_gen_open(&g, slow, s), 0);
    rc = weft_gen_next(&g, &v);
    t_equal(rc, -ECANCELED);
    t_equal(weft_gen_next(&g, &v), -ECANCELED);
    t_equal(weft_gen_close(&g), 0);
    return rc;
}

static long cancels_the_owner(void *arg)
{
    struct slow s = {0};
    weft_task *t;
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, owner_waits, &s, &t), 0);
        t_check(t_wait_for(&s.started, 1));
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_await(t), -ECANCELED);
    }
    return 0;
}

static void a_cancelled_owner_takes_it_along(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancels_the_owner, NULL), 0);
}

/* ---- within each other -------------------------------------------------- */

static long evens(weft_gen *g, void *arg)
{
    void *v;
    weft_gen all;
    int rc = weft_gen_open(&all, for_ever, arg);

    while (rc == 0 && (rc = weft_gen_next(&all, &v)) == 1) {
        rc = 0;
        if ((intptr_t)v % 2 == 0)
            rc = weft_gen_yield(g, v);
    }
    t_equal(weft_gen_close(&all), 0);
    return rc;
}

static long nests(void *arg)
{
    int inner = 0;
    weft_gen g, h;
    void *v = NULL;

    (void)arg;
    t_equal(weft_gen_open(&g, evens, &inner), 0);
    for (intptr_t i = 1; i <= 100; i++) {
        t_equal(weft_gen_next(&g, &v), 1);
        t_equal((intptr_t)v, 2 * i);
    }
    /* Two of one task, and other scopes, in nested order. */
    weft_with_timeout(10 * WEFT_SEC) {
        t_equal(weft_gen_open(&h, counts, P(2)), 0);
        t_equal(weft_gen_next(&h, &v), 1);
        t_equal(weft_gen_next(&g, &v), 1);
        t_equal((intptr_t)v, 202);
        t_equal(weft_gen_next(&h, &v), 1);
        t_equal(weft_gen_next(&h, &v), 0);
        t_equal(weft_gen_close(&h), 5);
    }
    t_equal(weft_gen_close(&g), 0);
    t_equal(inner, -ECANCELED);
    return 0;
}

static void a_generator_may_feed_on_another(void **state)
{
    assert_int_equal(t_run(t_workers(state), nests, NULL), 0);
}

/* ---- many --------------------------------------------------------------- */

static long one_of_many(void *arg)
{
    long sum = 0, n = *(long *)arg;
    void *v;
    weft_gen g;

    t_equal(weft_gen_open(&g, counts, P(n)), 0);
    while (weft_gen_next(&g, &v) == 1)
        sum += (intptr_t)v;
    t_equal(sum, n * (n + 1) / 2);
    return weft_gen_close(&g) == 5 ? 0 : -1;
}

static long many(void *arg)
{
    weft_group g;

    weft_with_group(&g)
        for (int i = 0; i < 100; i++)
            t_equal(weft_spawn(&g, one_of_many, arg), 0);
    return weft_group_wait(&g);
}

static void a_hundred_go_on_at_once(void **state)
{
    long n = t_scale(2000);

    assert_int_equal(t_run(t_workers(state), many, &n), 0);
}

/* ---- misuse ------------------------------------------------------------- */

static long stranger(void *arg)
{
    void *v;

    t_equal(weft_gen_next(arg, &v), -EPERM);
    t_equal(weft_gen_yield(arg, NULL), -EPERM);
    return 0;
}

static long misuses(void *arg)
{
    weft_gen g = {{0}};
    void *v;
    weft_group group;

    (void)arg;
    t_equal(weft_gen_next(&g, &v), -EPERM);
    t_equal(weft_gen_close(&g), 0);
    t_equal(weft_gen_open(&g, counts, P(1)), 0);
    t_equal(weft_gen_yield(&g, NULL), -EPERM);
    weft_with_group(&group)
        t_equal(weft_spawn(&group, stranger, &g), 0);
    return weft_gen_close(&g);
}

static void strangers_are_refused(void **state)
{
    weft_gen g = {{0}};
    void *v;

    assert_int_equal(t_run(t_workers(state), misuses, NULL), 0);
    assert_int_equal(weft_gen_open(&g, counts, NULL), -EPERM);
    assert_int_equal(weft_gen_next(&g, &v), -EPERM);
}

static const struct CMUnitTest tests[] = {
    T_EACH(all_values_come_in_order_and_then_the_end),
    T_EACH(it_runs_only_while_a_value_is_awaited),
    T_EACH(one_that_is_dropped_half_way_is_cancelled_and_awaited),
    T_EACH(close_waits_for_the_cleanup_and_tells_its_error),
    T_EACH(its_error_comes_out_of_next_and_cancels_nothing),
    T_EACH(a_cancelled_next_loses_no_value),
    T_EACH(values_and_time_outs_may_race),
    T_EACH(a_scope_around_yield_ends_its_wait),
    T_EACH(a_cancelled_owner_takes_it_along),
    T_EACH(a_generator_may_feed_on_another),
    T_EACH(a_hundred_go_on_at_once),
    T_EACH(strangers_are_refused),
};

T_MAIN(tests)
