/* SPDX-License-Identifier: MIT */
/* Tickers. */
#include "support/cases.h"

#define PERIOD (5 * WEFT_MS)

static int64_t start_of(const weft_ticker *k)
{
    return weft_ticker_time(k);
}

/* ---- the rate ----------------------------------------------------------- */

/* Each round takes a random part of the period: were the period counted from
 * the end of the round, the last tick would come that much later. */
static long works_between_ticks(void *arg)
{
    weft_ticker k = {{0}};
    int64_t start, before = weft_now();
    uint64_t ticks = 0;

    (void)arg;
    t_equal(weft_ticker_start(&k, PERIOD), 0);
    start = start_of(&k);
    t_check(start >= before && start <= weft_now());
    for (int i = 0; i < 40; i++) {
        long missed = weft_ticker_wait(&k);

        if (!t_check(missed >= 0))
            break;
        ticks += 1 + (uint64_t)missed;
        t_equal(weft_ticker_time(&k), start + (int64_t)ticks * PERIOD);
        t_check(weft_now() >= weft_ticker_time(&k));
        t_spin(i % 4 * WEFT_MS);
    }
    t_equal(weft_ticker_missed(&k), ticks - 40);
    return 0;
}

static void the_rate_does_not_drift(void **state)
{
    assert_int_equal(t_run(t_workers(state), works_between_ticks, NULL), 0);
}

static long misses_some(void *arg)
{
    weft_ticker k;
    int64_t start;
    long missed;

    (void)arg;
    t_equal(weft_ticker_start(&k, PERIOD), 0);
    start = start_of(&k);
    t_spin(7 * PERIOD / 2);
    missed = weft_ticker_wait(&k); /* ticks 1 and 2 at least */
    t_check(missed >= 2);
    t_equal(weft_ticker_missed(&k), missed);
    t_equal(weft_ticker_time(&k), start + (missed + 1) * PERIOD);
    t_check(weft_now() >= weft_ticker_time(&k));
    /* They are not made up: the next one is still to come. */
    missed = weft_ticker_wait(&k);
    t_check(missed >= 0);
    t_check(weft_now() >= start + 4 * PERIOD);
    /* Starting again forgets. */
    t_equal(weft_ticker_start(&k, WEFT_SEC), 0);
    t_equal(weft_ticker_missed(&k), 0);
    t_check(start_of(&k) > start);
    return 0;
}

static void missed_ticks_are_counted_and_skipped(void **state)
{
    assert_int_equal(t_run(t_workers(state), misses_some, NULL), 0);
}

/* ---- cancellation ------------------------------------------------------- */

static long is_cancelled(void *arg)
{
    weft_ticker k;
    int64_t start;

    (void)arg;
    t_equal(weft_ticker_start(&k, 50 * WEFT_MS), 0);
    start = start_of(&k);
    weft_with_timeout(5 * WEFT_MS) {
        t_equal(weft_ticker_wait(&k), -ETIMEDOUT);
        t_equal(weft_ticker_wait(&k), -ETIMEDOUT);
    }
    weft_with_timeout(0) {
        t_spin(start + 60 * WEFT_MS - weft_now());
        t_equal(weft_ticker_wait(&k), -ETIMEDOUT); /* though it is due */
    }
    /* No tick was used up, and none counts as missed but what went by. */
    t_check(weft_ticker_wait(&k) >= 0);
    t_equal((weft_ticker_time(&k) - start) / (50 * WEFT_MS),
            weft_ticker_missed(&k) + 1);
    return 0;
}

static void a_cancelled_wait_uses_up_no_tick(void **state)
{
    assert_int_equal(t_run(t_workers(state), is_cancelled, NULL), 0);
}

static long never_ticks(void *arg)
{
    weft_ticker k;

    t_equal(weft_ticker_start(&k, WEFT_NEVER), 0);
    atomic_store((atomic_int *)arg, 1);
    return weft_ticker_wait(&k);
}

static long cancel_one(void *arg)
{
    atomic_int waits = 0;
    weft_task *t;
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, never_ticks, &waits, &t), 0);
        t_check(t_wait_for(&waits, 1));
        t_equal(weft_sleep(WEFT_MS), 0);
        t_check(!weft_task_done(t));
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_await(t), -ECANCELED);
    }
    return 0;
}

static void a_ticker_that_never_ticks_can_be_cancelled(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_one, NULL), 0);
}

/* ---- fairness ----------------------------------------------------------- */

static long is_always_late(void *arg)
{
    int64_t end = weft_now() + 10 * WEFT_SEC;
    weft_ticker k;

    t_equal(weft_ticker_start(&k, 1), 0);
    while (!atomic_load((atomic_int *)arg) && weft_now() < end)
        if (!t_check(weft_ticker_wait(&k) >= 0))
            break;
    return 0;
}

static long says_so(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
    return 0;
}

static long one_of_each(void *arg)
{
    unsigned n = *(unsigned *)arg;
    atomic_int said = 0;
    weft_group g;

    /* On each worker one that never has to wait. */
    weft_with_group(&g) {
        for (unsigned i = 0; i < n; i++)
            t_equal(weft_spawn(&g, is_always_late, &said), 0);
        t_equal(weft_sleep(5 * WEFT_MS), 0);
        t_equal(weft_spawn(&g, says_so, &said), 0);
    }
    t_equal(atomic_load(&said), 1);
    return weft_group_wait(&g);
}

static void one_that_is_always_late_starves_nobody(void **state)
{
    unsigned n = t_workers(state);
    int64_t start = weft_now();

    assert_int_equal(t_run(n, one_of_each, &n), 0);
    assert_true(weft_now() - start < 9 * WEFT_SEC);
}

/* ---- misuse ------------------------------------------------------------- */

static long misuses(void *arg)
{
    weft_ticker k = {{0}};

    (void)arg;
    t_equal(weft_ticker_wait(&k), -EINVAL);
    t_equal(weft_ticker_start(&k, 0), -EINVAL);
    t_equal(weft_ticker_start(&k, -1), -EINVAL);
    t_equal(weft_ticker_wait(&k), -EINVAL);
    return 0;
}

static void one_that_was_not_started_is_refused(void **state)
{
    weft_ticker k = {{0}};

    assert_int_equal(t_run(t_workers(state), misuses, NULL), 0);
    assert_int_equal(weft_ticker_wait(&k), -EPERM);
}

static const struct CMUnitTest tests[] = {
    T_EACH(the_rate_does_not_drift),
    T_EACH(missed_ticks_are_counted_and_skipped),
    T_EACH(a_cancelled_wait_uses_up_no_tick),
    T_EACH(a_ticker_that_never_ticks_can_be_cancelled),
    T_EACH(one_that_is_always_late_starves_nobody),
    T_EACH(one_that_was_not_started_is_refused),
};

T_MAIN(tests)
