/* SPDX-License-Identifier: MIT */
/* Sleeping and callback timers: cases 19 and 26. */
#include "support/cases.h"

/* ---- sleeping zero ------------------------------------------------------ */

struct step {
    int steps;
    bool over;
};

static long steps(void *arg)
{
    struct step *s = arg;

    while (!s->over) {
        s->steps++;
        t_equal(weft_yield(), 0);
    }
    return 0;
}

static long zero_and_negative(void *arg)
{
    static const int64_t times[] = {0, -1, -WEFT_SEC, INT64_MIN};
    struct step s = {0, false};
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, steps, &s), 0);
        while (s.steps == 0)
            t_equal(weft_yield(), 0);
        for (size_t i = 0; i < T_LEN(times); i++) {
            int before = s.steps;

            t_equal(weft_sleep(times[i]), 0);
            t_equal(s.steps, before + 1);
            t_equal(weft_sleep_until(times[i]), 0);
            t_equal(s.steps, before + 2);
        }
        s.over = true;
    }
    return 0;
}

static void sleeping_zero_or_less_yields_once(void **state)
{
    (void)state;
    assert_int_equal(t_run(1, zero_and_negative, NULL), 0);
}

static long zero_does_not_wait(void *arg)
{
    int64_t start = weft_now();

    (void)arg;
    for (int i = 0; i < 1000; i++) {
        t_equal(weft_sleep(0), 0);
        t_equal(weft_sleep(-WEFT_SEC), 0);
        t_equal(weft_sleep_until(start), 0);
    }
    t_check(weft_now() - start < 5 * WEFT_SEC);
    return 0;
}

static void sleeping_zero_or_less_does_not_wait(void **state)
{
    assert_int_equal(t_run(t_workers(state), zero_does_not_wait, NULL), 0);
}

/* ---- order -------------------------------------------------------------- */

#define SLEEPERS 200

struct sleeper {
    int64_t deadline;
    int inserted, woken;
    bool early;
};

static atomic_int inserted, woken;
static atomic_bool late; /* one began to sleep when others should wake */
static struct sleeper sleepers[SLEEPERS];

static long sleeps_until(void *arg)
{
    struct sleeper *s = arg;

    s->inserted = atomic_fetch_add(&inserted, 1);
    if (weft_now() >= sleepers[0].deadline)
        atomic_store(&late, true);
    t_equal(weft_sleep_until(s->deadline), 0);
    s->early = weft_now() < s->deadline;
    s->woken = atomic_fetch_add(&woken, 1);
    return 0;
}

/* Ties: of ten sleepers each, all ten have one deadline. */
static long many_sleep(void *arg)
{
    int64_t base = weft_now() + 50 * WEFT_MS;
    weft_group g;

    (void)arg;
    atomic_store(&inserted, 0);
    atomic_store(&woken, 0);
    atomic_store(&late, false);
    weft_with_group(&g) {
        for (int i = 0; i < SLEEPERS; i++) {
            /* 7 and 20 have no common divisor: a shuffle. */
            sleepers[i].deadline = base + i * 7 % 20 * 2 * WEFT_MS;
            t_equal(weft_spawn(&g, sleeps_until, &sleepers[i]), 0);
        }
    }
    return 0;
}

static void check_order(bool strictly)
{
    for (int i = 0; i < SLEEPERS; i++) {
        assert_false(sleepers[i].early);
        for (int k = 0; k < SLEEPERS && strictly; k++) {
            const struct sleeper *a = &sleepers[i], *b = &sleepers[k];

            if (a->deadline < b->deadline ||
                (a->deadline == b->deadline && a->inserted < b->inserted))
                assert_true(a->woken < b->woken);
        }
    }
}

/* With one worker the order in which the sleepers go on can be seen. */
static void sleeps_end_in_order_of_deadline_and_never_early(void **state)
{
    unsigned n = t_workers(state);

    assert_int_equal(t_run(n, many_sleep, NULL), 0);
    check_order(n == 1 && !atomic_load(&late));
}

static long sleeps_exactly(void *arg)
{
    (void)arg;
    for (int64_t ns = 1; ns < 20 * WEFT_MS; ns = ns * 3 + 1) {
        int64_t start = weft_now();

        t_equal(weft_sleep(ns), 0);
        t_check(weft_now() - start >= ns);
        t_check(weft_now() - start < ns + 5 * WEFT_SEC);
    }
    return 0;
}

static void a_sleep_is_never_shorter_than_asked(void **state)
{
    assert_int_equal(t_run(t_workers(state), sleeps_exactly, NULL), 0);
}

/* ---- callback timers ---------------------------------------------------- */

struct alarm {
    weft_timer timer;
    int64_t when;
    atomic_int fired;
    bool stopped;
};

static struct {
    struct alarm *alarms;
    long n;
    atomic_long fired, early, unordered;
    atomic_int armers;
    _Atomic int64_t last;
    bool ordered; /* one worker: the order can be checked */
    uint64_t seed;
} clockwork;

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static long rings(void *arg)
{
    struct alarm *a = arg;

    if (weft_now() < a->when)
        atomic_fetch_add(&clockwork.early, 1);
    atomic_fetch_add(&a->fired, 1);
    if (clockwork.ordered) {
        if (atomic_load(&clockwork.last) > a->when)
            atomic_fetch_add(&clockwork.unordered, 1);
        atomic_store(&clockwork.last, a->when);
    }
    atomic_fetch_add(&clockwork.fired, 1);
    return 0;
}

#define ARMERS 4

/* Arms every fourth; then cancels half of them, as chance will have it. */
static long arms(void *arg)
{
    long first = (long)(intptr_t)arg;
    uint64_t random = clockwork.seed + (uint64_t)first * 7919 + 1;

    for (long i = first; i < clockwork.n; i += ARMERS) {
        struct alarm *a = &clockwork.alarms[i];

        t_equal(weft_timer_start(&a->timer, a->when, rings, a), 0);
        if (i % 1024 == first)
            t_equal(weft_yield(), 0);
    }
    for (long i = first; i < clockwork.n; i += ARMERS) {
        struct alarm *a = &clockwork.alarms[i];

        if (next_random(&random) & 1)
            a->stopped = weft_timer_stop(&a->timer) == 1;
    }
    return 0;
}

static long wind_up(void *arg)
{
    int64_t base = weft_now() + 1500 * WEFT_MS, end;
    uint64_t random = clockwork.seed;
    weft_group g;
    long stopped = 0;

    (void)arg;
    for (long i = 0; i < clockwork.n; i++)
        clockwork.alarms[i].when =
            base + (int64_t)(next_random(&random) % (500 * WEFT_MS));
    weft_with_group(&g)
        for (long i = 0; i < ARMERS; i++)
            t_equal(weft_spawn(&g, arms, (void *)(intptr_t)i), 0);
    /* Whoever was armed too late could not fire in order. */
    clockwork.ordered &= weft_now() < base;
    for (long i = 0; i < clockwork.n; i++)
        stopped += clockwork.alarms[i].stopped;
    end = weft_now() + 20 * WEFT_SEC;
    while (atomic_load(&clockwork.fired) < clockwork.n - stopped &&
           weft_now() < end)
        t_equal(weft_sleep(5 * WEFT_MS), 0);
    t_equal(weft_sleep(10 * WEFT_MS), 0); /* for what must not come */
    return stopped;
}

static void a_million_timers_half_cancelled_fire_once_and_in_order(void **state)
{
    unsigned n = t_workers(state);
    long stopped;

    memset(&clockwork, 0, sizeof clockwork);
    clockwork.n = t_scale(1000000);
    clockwork.ordered = n == 1;
    clockwork.seed = 88172645463325252u;
    clockwork.alarms = calloc((size_t)clockwork.n, sizeof *clockwork.alarms);
    assert_non_null(clockwork.alarms);
    stopped = t_run(n, wind_up, NULL);
    for (long i = 0; i < clockwork.n; i++)
        assert_int_equal(atomic_load(&clockwork.alarms[i].fired),
                         !clockwork.alarms[i].stopped);
    free(clockwork.alarms);
    assert_int_equal(atomic_load(&clockwork.fired), clockwork.n - stopped);
    assert_int_equal(atomic_load(&clockwork.early), 0);
    if (clockwork.ordered)
        assert_int_equal(atomic_load(&clockwork.unordered), 0);
    assert_true(clockwork.n < 100 || stopped > clockwork.n / 10);
}

static weft_timer chained;
static atomic_int rings_left;

/* A timer may be armed again in its own callback. */
static long rings_again(void *arg)
{
    if (atomic_fetch_sub(&rings_left, 1) > 1)
        t_equal(
            weft_timer_start(&chained, weft_now() + WEFT_MS, rings_again, arg),
            0);
    else
        weft_event_set(arg);
    return 0;
}

static long use_timers(void *arg)
{
    weft_event done = {{0}};
    weft_timer t = {{0}};

    (void)arg;
    memset(&chained, 0, sizeof chained);
    atomic_store(&rings_left, 10);
    t_equal(weft_timer_stop(&t), 0);
    t_equal(weft_timer_start(&t, weft_now() + WEFT_MIN, rings_again, NULL), 0);
    t_equal(weft_timer_start(&t, weft_now(), rings_again, NULL), -EBUSY);
    t_equal(weft_timer_stop(&t), 1);
    t_equal(weft_timer_stop(&t), 0);
    t_equal(weft_timer_start(&chained, weft_now(), rings_again, &done), 0);
    t_equal(weft_event_wait(&done), 0);
    t_equal(atomic_load(&rings_left), 0);
    t_equal(weft_timer_stop(&chained), 0);
    /* Left armed: dropped at the end. */
    t_equal(
        weft_timer_start(&chained, weft_now() + WEFT_MIN, rings_again, NULL),
        0);
    return 0;
}

static void a_timer_is_started_stopped_and_used_again(void **state)
{
    weft_timer t = {{0}};

    assert_int_equal(t_run(t_workers(state), use_timers, NULL), 0);
    assert_int_equal(atomic_load(&rings_left), 0);
    assert_int_equal(weft_timer_start(&t, weft_now(), rings, NULL), -EPERM);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(sleeping_zero_or_less_yields_once),
    T_EACH(sleeping_zero_or_less_does_not_wait),
    T_EACH(sleeps_end_in_order_of_deadline_and_never_early),
    T_EACH(a_sleep_is_never_shorter_than_asked),
    T_EACH(a_million_timers_half_cancelled_fire_once_and_in_order),
    T_EACH(a_timer_is_started_stopped_and_used_again),
};

T_MAIN(tests)
