/* SPDX-License-Identifier: MIT */
/* Several tasks at once: gather, race, wait, as they end. */
#include "support/cases.h"

#define LONG_TIME (60 * WEFT_SEC)

static long value(void *arg)
{
    return (long)(intptr_t)arg;
}

static long sleep_then(void *arg)
{
    long ms = (long)(intptr_t)arg;
    int rc = weft_sleep(ms * WEFT_MS);

    return rc ? rc : ms;
}

static long fail_after(void *arg)
{
    int rc = weft_sleep((long)(intptr_t)arg * WEFT_MS);

    return rc ? rc : weft_fail(-EIO, "after %ld ms", (long)(intptr_t)arg);
}

static atomic_int begun, cancelled;

static long forever(void *arg)
{
    long rc;

    (void)arg;
    atomic_fetch_add(&begun, 1);
    rc = weft_sleep(LONG_TIME);
    if (rc == -ECANCELED)
        atomic_fetch_add(&cancelled, 1);
    return rc;
}

/* Fails once so many have begun to wait for ever. */
static long fail_after_begun(void *arg)
{
    t_check(t_wait_for(&begun, (int)(intptr_t)arg));
    return weft_fail(-EIO, "all have begun");
}

/* Waits for its turn; a second one fails in it. */
struct turn {
    weft_event come;
    long result;
};

static long in_turn(void *arg)
{
    struct turn *t = arg;
    int rc = weft_event_wait(&t->come);

    return rc < 0 ? rc : t->result < 0 ? weft_fail(t->result, "its turn")
                                       : t->result;
}

#define MS(n) ((void *)(intptr_t)(n))

/* ---- gather -------------------------------------------------------------- */

static long order(void *arg)
{
    struct weft_call c[] = {
        {.fn = sleep_then, .arg = MS(30)}, {.fn = value, .arg = MS(7)},
        {.fn = sleep_then, .arg = MS(10)}, {.fn = value, .arg = MS(0)}};

    (void)arg;
    t_equal(weft_gather(c, T_LEN(c)), 0);
    t_equal(c[0].ret, 30);
    t_equal(c[1].ret, 7);
    t_equal(c[2].ret, 10);
    t_equal(c[3].ret, 0);
    t_equal(weft_gather(c, 0), 0);
    return 0;
}

static void gather_keeps_the_order_of_results(void **state)
{
    assert_int_equal(t_run(t_workers(state), order, NULL), 0);
}

static long first_error(void *arg)
{
    struct weft_call c[] = {{.fn = forever},
                            {.fn = fail_after_begun, .arg = MS(2)},
                            {.fn = forever},
                            {.fn = NULL}};
    int64_t start = weft_now();
    weft_group g;

    (void)arg;
    atomic_store(&begun, 0);
    atomic_store(&cancelled, 0);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, value, MS(3), &c[3].task), 0);
        t_equal(weft_await(c[3].task), 3);
        t_equal(weft_gather(c, T_LEN(c)), -EIO);
    }
    t_equal(c[0].ret, -ECANCELED);
    t_equal(c[1].ret, -EIO);
    t_equal(c[2].ret, -ECANCELED);
    t_equal(c[3].ret, 3);
    t_equal(atomic_load(&cancelled), 2);
    t_check(weft_now() - start < LONG_TIME / 2);
    t_equal(weft_check(), 0);
    return 0;
}

static void gather_ends_with_the_first_error_and_cancels_the_rest(void **state)
{
    assert_int_equal(t_run(t_workers(state), first_error, NULL), 0);
}

static long collect(void *arg)
{
    struct weft_call c[] = {{.fn = fail_after, .arg = MS(1)},
                            {.fn = sleep_then, .arg = MS(20)},
                            {.fn = fail_after, .arg = MS(2)}};

    (void)arg;
    t_equal(weft_gather_collect(c, T_LEN(c)), 2);
    t_equal(c[0].ret, -EIO);
    t_equal(c[1].ret, 20);
    t_equal(c[2].ret, -EIO);
    t_equal(weft_gather_collect(c, 0), 0);
    return 0;
}

static void gather_collect_cancels_nobody(void **state)
{
    static struct t_errors errors;
    struct weft_options o = t_options(t_workers(state));

    memset(&errors, 0, sizeof errors);
    o.on_unhandled = t_collect;
    o.unhandled_arg = &errors;
    assert_int_equal(t_run_with(o, collect, NULL), 0);
    assert_int_equal(errors.n, 0);
}

static long cancel_gather(void *arg)
{
    struct weft_call c[] = {{.fn = forever}, {.fn = forever}};

    (void)arg;
    atomic_store(&begun, 0);
    atomic_store(&cancelled, 0);
    weft_with_timeout(5 * WEFT_MS)
        t_equal(weft_gather(c, T_LEN(c)), -ETIMEDOUT);
    weft_with_timeout(5 * WEFT_MS)
        t_equal(weft_gather_collect(c, T_LEN(c)), -ETIMEDOUT);
    t_equal(atomic_load(&cancelled), atomic_load(&begun));
    t_equal(weft_check(), 0);
    return 0;
}

static void a_cancelled_gather_cancels_its_calls(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_gather, NULL), 0);
}

static atomic_int runs;

static long counted(void *arg)
{
    atomic_fetch_add(&runs, 1);
    return sleep_then(arg);
}

static long same_twice(void *arg)
{
    weft_group g;
    weft_task *t = NULL;

    (void)arg;
    atomic_store(&runs, 0);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, counted, MS(10), &t), 0);
        struct weft_call c[] = {
            {.task = t}, {.fn = value, .arg = MS(1)}, {.task = t}};

        t_equal(weft_gather(c, T_LEN(c)), 0);
        t_equal(c[0].ret, 10);
        t_equal(c[1].ret, 1);
        t_equal(c[2].ret, 10);
    }
    t_equal(atomic_load(&runs), 1);
    struct weft_call bad = {.fn = NULL};
    t_equal(weft_gather(&bad, 1), -EINVAL);
    bad.task = weft_self();
    t_equal(weft_gather(&bad, 1), -EDEADLK);
    return 0;
}

static void the_same_task_twice_is_waited_for_once_and_told_twice(void **state)
{
    assert_int_equal(t_run(t_workers(state), same_twice, NULL), 0);
}

static long many_calls(void *arg)
{
    enum { N = 2000 };
    struct weft_call *c = calloc(N, sizeof *c);

    (void)arg;
    for (int i = 0; i < N; i++)
        c[i] = (struct weft_call){.fn = value, .arg = MS(i)};
    t_equal(weft_gather(c, N), 0);
    for (int i = 0; i < N; i++)
        t_equal(c[i].ret, i);
    free(c);
    return 0;
}

static void gather_of_thousands(void **state)
{
    assert_int_equal(t_run(t_workers(state), many_calls, NULL), 0);
}

/* ---- race ---------------------------------------------------------------- */

static long race(void *arg)
{
    struct weft_call c[] = {{.fn = forever},
                            {.fn = fail_after, .arg = MS(1)},
                            {.fn = sleep_then, .arg = MS(10)},
                            {.fn = forever}};
    struct weft_call f[] = {{.fn = fail_after, .arg = MS(1)},
                            {.fn = fail_after, .arg = MS(2)}};
    size_t winner = 77;

    (void)arg;
    atomic_store(&begun, 0);
    atomic_store(&cancelled, 0);
    t_equal(weft_race(c, T_LEN(c), &winner), 10);
    t_equal(winner, 2);
    t_equal(atomic_load(&cancelled), atomic_load(&begun));
    t_equal(weft_race(f, T_LEN(f), &winner), -EIO);
    t_equal(winner, T_LEN(f));
    t_equal(weft_race(c, 0, NULL), -EINVAL);
    c[2].fn = forever;
    weft_with_timeout(3 * WEFT_MS)
        t_equal(weft_race(c, T_LEN(c), &winner), -ETIMEDOUT);
    t_equal(winner, T_LEN(c));
    t_equal(weft_check(), 0);
    return 0;
}

static void a_race_is_won_by_the_first_success(void **state)
{
    assert_int_equal(t_run(t_workers(state), race, NULL), 0);
}

/* ---- wait ---------------------------------------------------------------- */

static long waits(void *arg)
{
    struct turn last = {.result = 40};
    weft_group g;
    weft_task *t[3];
    long i;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, in_turn, &last, &t[0]), 0);
        t_equal(weft_spawn_task(&g, sleep_then, MS(5), &t[1]), 0);
        t_equal(weft_spawn_task(&g, sleep_then, MS(5), &t[2]), 0);
        i = weft_wait_any(t, 3);
        t_check(i == 1 || i == 2);
        t_check(!weft_task_done(t[0]));
        t_equal(weft_wait_all(t + 1, 2), 0);
        t_check(weft_task_done(t[1]) && weft_task_done(t[2]));
        i = weft_wait_any(t, 3);
        t_check(i == 1 || i == 2);
        weft_event_set(&last.come);
        t_equal(weft_wait_all(t, 3), 0);
        t_equal(weft_task_result(t[0]), 40);
        t_equal(weft_wait_error(t, 3), 3);
        t_equal(weft_wait_all(t, 0), 0);
        t_equal(weft_wait_error(t, 0), 0);
        t_equal(weft_wait_any(t, 0), -EINVAL);
        t[0] = weft_self();
        t_equal(weft_wait_any(t, 3), -EDEADLK);
    }
    return 0;
}

static void wait_for_one_and_for_all(void **state)
{
    assert_int_equal(t_run(t_workers(state), waits, NULL), 0);
}

static long wait_error(void *arg)
{
    struct turn bad = {.result = -EIO};
    weft_group g;
    weft_task *t[4];

    (void)arg;
    weft_with_group(&g) {
        weft_group_collect(&g);
        t_equal(weft_spawn_task(&g, forever, NULL, &t[0]), 0);
        t_equal(weft_spawn_task(&g, value, MS(1), &t[1]), 0);
        t_equal(weft_spawn_task(&g, in_turn, &bad, &t[2]), 0);
        t_equal(weft_spawn_task(&g, forever, NULL, &t[3]), 0);
        weft_task_cancel(t[3]); /* is no error */
        weft_with_timeout(3 * WEFT_MS)
            t_equal(weft_wait_error(t, 4), -ETIMEDOUT);
        weft_event_set(&bad.come);
        t_equal(weft_wait_error(t, 4), 2);
        t_check(!weft_task_done(t[0]));
        t_check(weft_task_error(t[2]) != NULL);
        /* A time-out leaves them as they are. */
        weft_with_timeout(3 * WEFT_MS)
            t_equal(weft_wait_any(t, 1), -ETIMEDOUT);
        weft_with_timeout(3 * WEFT_MS)
            t_equal(weft_wait_all(t, 4), -ETIMEDOUT);
        t_check(!weft_task_done(t[0]));
        weft_task_cancel(t[0]);
        t_equal(weft_wait_all(t, 4), 0);
    }
    return 0;
}

static void wait_for_an_error_ignores_the_cancelled(void **state)
{
    assert_int_equal(t_run(t_workers(state), wait_error, NULL), 0);
}

static long wait_many(void *arg)
{
    enum { N = 300 };
    weft_task *t[N];
    weft_group g;

    (void)arg;
    for (int round = 0; round < t_scale(20); round++)
        weft_with_group(&g) {
            long i;

            for (int k = 0; k < N; k++)
                t_equal(weft_spawn_task(&g, k % 3 ? value : sleep_then,
                                        MS(k % 3), &t[k]), 0);
            i = weft_wait_any(t, N);
            t_check(i >= 0 && i < N && weft_task_done(t[i]));
            t_equal(weft_wait_error(t, N), N);
            for (int k = 0; k < N; k++)
                t_equal(weft_task_result(t[k]), k % 3);
        }
    return 0;
}

static void waiting_for_hundreds_loses_none(void **state)
{
    assert_int_equal(t_run(t_workers(state), wait_many, NULL), 0);
}

/* ---- as they end ----------------------------------------------------------- */

/* They end in this order, and each before the next may. */
static const int ends[] = {3, 1, 2, 0};

struct parade {
    weft_event gate[4];
    weft_task *t[4];
    struct marcher {
        struct parade *p;
        long number;
    } m[4];
};

static long marches(void *arg)
{
    struct marcher *m = arg;
    int rc = weft_event_wait(&m->p->gate[m->number]);

    return rc < 0 ? rc : m->number;
}

static void open_gates(struct parade *p, int from, int to)
{
    for (int i = from; i < to; i++) {
        weft_event_set(&p->gate[ends[i]]);
        while (!weft_task_done(p->t[ends[i]]))
            t_equal(weft_sleep(WEFT_MS / 5), 0);
    }
}

static long opens_rest(void *arg)
{
    t_equal(weft_sleep(WEFT_MS), 0);
    open_gates(arg, 2, 4);
    return 0;
}

static long next(void *arg)
{
    struct parade p;
    weft_group g;
    weft_task *t;

    (void)arg;
    memset(&p, 0, sizeof p);
    weft_with_group(&g) {
        for (long i = 0; i < 4; i++) {
            p.m[i] = (struct marcher){&p, i};
            t_equal(weft_spawn_task(&g, marches, &p.m[i], &p.t[i]), 0);
        }
        open_gates(&p, 0, 2);
        t_equal(weft_spawn(&g, opens_rest, &p), 0); /* no handle */
        for (int i = 0; i < 4; i++) {
            t_equal(weft_group_next(&g, &t), 1);
            t_check(weft_task_done(t));
            t_equal(weft_task_result(t), ends[i]);
        }
        t_equal(weft_group_next(&g, &t), 0);
        t_equal(weft_spawn_task(&g, value, MS(5), &t), 0);
        t_equal(weft_group_next(&g, &t), 1);
        t_equal(weft_task_result(t), 5);
        t_equal(weft_group_next(&g, &t), 0);
    }
    return 0;
}

static void next_tells_of_children_in_the_order_of_their_ends(void **state)
{
    assert_int_equal(t_run(t_workers(state), next, NULL), 0);
}

static long next_deadline(void *arg)
{
    struct turn first = {.result = 40}, second = {.result = -EIO};
    weft_group g;
    weft_task *t;

    (void)arg;
    weft_with_group(&g) {
        weft_group_collect(&g);
        t_equal(weft_spawn_task(&g, in_turn, &first, &t), 0);
        t_equal(weft_spawn_task(&g, in_turn, &second, &t), 0);
        weft_with_timeout(5 * WEFT_MS)
            t_equal(weft_group_next(&g, &t), -ETIMEDOUT);
        weft_event_set(&first.come);
        t_equal(weft_group_next(&g, &t), 1);
        t_equal(weft_task_result(t), 40);
        weft_event_set(&second.come);
        t_equal(weft_group_next(&g, &t), 1);
        t_equal(weft_task_result(t), -EIO);
        t_check(weft_task_error(t) &&
                strcmp(weft_task_error(t)->message, "its turn") == 0);
        t_equal(weft_group_next(&g, &t), 0);
    }
    t_equal(weft_group_wait(&g), 0);
    return 0;
}

static void next_goes_on_after_a_deadline_and_a_failure(void **state)
{
    assert_int_equal(t_run(t_workers(state), next_deadline, NULL), 0);
}

static long next_race(void *arg)
{
    weft_group g;
    weft_task *t;
    long rounds = t_scale(300);

    (void)arg;
    for (long r = 0; r < rounds; r++) {
        int got = 0, timeouts = 0;

        weft_with_group(&g) {
            for (int i = 0; i < 20; i++)
                t_equal(weft_spawn_task(&g, i % 2 ? value : sleep_then, MS(0),
                                        &t), 0);
            while (got < 20) {
                int rc = 0;

                weft_with_timeout((r % 7) * 3 * WEFT_US)
                    rc = weft_group_next(&g, &t);
                if (rc == -ETIMEDOUT && ++timeouts < 50)
                    continue;
                if (rc == -ETIMEDOUT)
                    rc = weft_group_next(&g, &t);
                t_equal(rc, 1);
                got++;
            }
            t_equal(weft_group_next(&g, &t), 0);
        }
    }
    return 0;
}

static void next_racing_time_outs_loses_no_child(void **state)
{
    assert_int_equal(t_run(t_workers(state), next_race, NULL), 0);
}

/* ---- callbacks -------------------------------------------------------------- */

static atomic_int called;

static long callback(void *arg)
{
    atomic_fetch_add(&called, (int)(intptr_t)arg);
    return 0;
}

static long on_done(void *arg)
{
    weft_callback a = {{0}}, b = {{0}}, c = {{0}};
    weft_group g;
    weft_task *t;

    (void)arg;
    atomic_store(&called, 0);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, sleep_then, MS(10), &t), 0);
        t_equal(weft_task_on_done(t, &a, callback, MS(1)), 0);
        t_equal(weft_task_on_done(t, &a, callback, MS(1)), -EBUSY);
        t_equal(weft_task_on_done(t, &b, callback, MS(10)), 0);
        t_equal(weft_task_off_done(t, &b), 1);
        t_equal(weft_task_off_done(t, &b), 0);
        t_equal(atomic_load(&called), 0);
        t_equal(weft_await(t), 10);
        t_check(t_wait_for(&called, 1));
        t_equal(weft_task_on_done(t, &c, callback, MS(100)), 0);
        t_check(t_wait_for(&called, 101));
        t_equal(weft_task_off_done(t, &c), 0);
        t_equal(weft_task_on_done(t, &a, callback, MS(1000)), 0);
        t_check(t_wait_for(&called, 1101));
    }
    t_equal(atomic_load(&called), 1101);
    t_equal(weft_post(callback, MS(10000)), 0);
    t_check(t_wait_for(&called, 11101));
    return 0;
}

static void callbacks_run_when_the_task_has_ended(void **state)
{
    assert_int_equal(t_run(t_workers(state), on_done, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    T_EACH(gather_keeps_the_order_of_results),
    T_EACH(gather_ends_with_the_first_error_and_cancels_the_rest),
    T_EACH(gather_collect_cancels_nobody),
    T_EACH(a_cancelled_gather_cancels_its_calls),
    T_EACH(the_same_task_twice_is_waited_for_once_and_told_twice),
    T_EACH(gather_of_thousands),
    T_EACH(a_race_is_won_by_the_first_success),
    T_EACH(wait_for_one_and_for_all),
    T_EACH(wait_for_an_error_ignores_the_cancelled),
    T_EACH(waiting_for_hundreds_loses_none),
    T_EACH(next_tells_of_children_in_the_order_of_their_ends),
    T_EACH(next_goes_on_after_a_deadline_and_a_failure),
    T_EACH(next_racing_time_outs_loses_no_child),
    T_EACH(callbacks_run_when_the_task_has_ended),
};
T_MAIN(tests)
