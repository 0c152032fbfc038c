/* SPDX-License-Identifier: MIT */
/* Retries: how often, how long apart, and when not. */
#include "support/cases.h"

#include "flow/retry.h"

struct work {
    int calls, failures;
    long error;
    int64_t at[16];
    int asked, patience;
};

static long works(void *arg)
{
    struct work *w = arg;

    if (w->calls < 16)
        w->at[w->calls] = weft_now();
    return w->calls++ < w->failures ? w->error : 42;
}

/* ---- how often ----------------------------------------------------------- */

static long counts(void *arg)
{
    struct weft_retry_options o = {.delay = 1000};
    struct work w = {.failures = 3, .error = -EIO};

    (void)arg;
    t_equal(weft_retry(works, &w, &o), 42);
    t_equal(w.calls, 4);
    w = (struct work){.failures = 100, .error = -EIO};
    t_equal(weft_retry(works, &w, &o), -EIO);
    t_equal(w.calls, 5);
    o.attempts = 1;
    w = (struct work){.failures = 100, .error = -EIO};
    t_equal(weft_retry(works, &w, &o), -EIO);
    t_equal(w.calls, 1);
    w = (struct work){.failures = 0};
    t_equal(weft_retry(works, &w, NULL), 42);
    t_equal(w.calls, 1);
    return 0;
}

static void it_stops_at_success_or_after_all_attempts(void **state)
{
    t_run(t_workers(state), counts, NULL);
}

static int again(long error, void *arg)
{
    struct work *w = arg;

    t_equal(error, w->error);
    return ++w->asked < w->patience;
}

static long asks(void *arg)
{
    struct weft_retry_options o = {.delay = 1000, .again = again,
                                   .attempts = 10};
    struct work w = {.failures = 100, .error = -EIO, .patience = 3};

    (void)arg;
    t_equal(weft_retry(works, &w, &o), -EIO);
    t_equal(w.calls, 3);
    o.again = NULL;
    w = (struct work){.failures = 100, .error = -ECANCELED};
    t_equal(weft_retry(works, &w, &o), -ECANCELED);
    t_equal(w.calls, 1);
    return 0;
}

static void again_decides_and_cancellation_is_final(void **state)
{
    t_run(t_workers(state), asks, NULL);
}

/* ---- how long apart ------------------------------------------------------ */

static void delays_grow_up_to_the_cap(void **state)
{
    struct weft_retry_options o = {.delay = 1000, .max_delay = 20000,
                                   .factor = 3, .jitter = -1};
    const int64_t want[] = {1000, 3000, 9000, 20000, 20000};
    struct backoff b;

    (void)state;
    w_backoff_init(&b, &o, 1);
    for (size_t i = 0; i < T_LEN(want); i++)
        assert_int_equal(w_backoff_next(&b), want[i]);
    o = (struct weft_retry_options){.jitter = -1};
    w_backoff_init(&b, &o, 1);
    assert_int_equal(w_backoff_next(&b), 100 * WEFT_MS);
    assert_int_equal(w_backoff_next(&b), 200 * WEFT_MS);
    for (int i = 0; i < 100; i++)
        assert_true(w_backoff_next(&b) <= 10 * WEFT_SEC);
    assert_int_equal(w_backoff_next(&b), 10 * WEFT_SEC);
}

static void jitter_stays_within_its_part(void **state)
{
    struct weft_retry_options o = {.delay = 1000000, .factor = 1};
    int64_t d, least = INT64_MAX, most = 0;
    struct backoff b;

    (void)state;
    for (int i = 0; i < 3; i++) {
        double part = i == 0 ? 0.5 : i == 1 ? 0.1 : 1; /* 0.5: the default */

        o.jitter = i == 0 ? 0 : i == 1 ? 0.1 : 7;
        w_backoff_init(&b, &o, (uint64_t)i);
        for (int k = 0; k < 10000; k++) {
            d = w_backoff_next(&b);
            assert_true(d <= 1000000 && d >= (int64_t)(1e6 * (1 - part)) - 1);
            if (i == 0) {
                least = d < least ? d : least;
                most = d > most ? d : most;
            }
        }
    }
    assert_true(least < 520000);
    assert_true(most > 980000);
}

static long waits(void *arg)
{
    struct weft_retry_options o = {.delay = 10 * WEFT_MS, .jitter = -1};
    struct work w = {.failures = 3, .error = -EIO};

    (void)arg;
    t_equal(weft_retry(works, &w, &o), 42);
    t_equal(w.calls, 4);
    t_check(w.at[1] - w.at[0] >= 10 * WEFT_MS);
    t_check(w.at[2] - w.at[1] >= 20 * WEFT_MS);
    t_check(w.at[3] - w.at[2] >= 40 * WEFT_MS);
    t_check(w.at[3] - w.at[0] < 5 * WEFT_SEC);
    return 0;
}

static void each_wait_is_longer_than_the_one_before(void **state)
{
    t_run(t_workers(state), waits, NULL);
}

/* ---- cancellation -------------------------------------------------------- */

struct patient {
    struct work w;
    long result;
};

static long retries(void *arg)
{
    struct weft_retry_options o = {.delay = 100 * WEFT_SEC,
                                   .max_delay = 100 * WEFT_SEC};
    struct patient *p = arg;

    p->result = weft_retry(works, &p->w, &o);
    return 0;
}

static long cancelled(void *arg)
{
    struct patient p = {.w = {.failures = 9, .error = -EIO}};
    weft_task *t;
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, retries, &p, &t), 0);
        t_check(t_wait_waiting("sleep", 1));
        t_equal(weft_task_cancel(t), 0);
    }
    t_equal(p.result, -ECANCELED);
    t_equal(p.w.calls, 1);
    p.w = (struct work){.failures = 9, .error = -EIO};
    weft_with_timeout(5 * WEFT_MS)
        retries(&p);
    t_equal(p.result, -ETIMEDOUT);
    t_equal(p.w.calls, 1);
    return 0;
}

static void a_cancelled_delay_ends_it(void **state)
{
    t_run(t_workers(state), cancelled, NULL);
}

static const struct CMUnitTest tests[] = {
    T_EACH(it_stops_at_success_or_after_all_attempts),
    T_EACH(again_decides_and_cancellation_is_final),
    cmocka_unit_test(delays_grow_up_to_the_cap),
    cmocka_unit_test(jitter_stays_within_its_part),
    T_EACH(each_wait_is_longer_than_the_one_before),
    T_EACH(a_cancelled_delay_ends_it),
};

T_MAIN(tests)
