/* SPDX-License-Identifier: MIT */
/* The rate limiter: its rate, its order, and what cancelled takers leave. */
#include "support/cases.h"

static weft_limiter limiter;

struct user {
    double n;
    int64_t until, done_at;
    atomic_int rc, taken;
    atomic_int *turn;
    int place;
};

static long takes(void *arg)
{
    struct user *u = arg;

    atomic_store(&u->rc, weft_limiter_take(&limiter, u->n));
    u->done_at = weft_now();
    if (u->turn)
        u->place = atomic_fetch_add(u->turn, 1);
    return 0;
}

static long takes_until(void *arg)
{
    struct user *u = arg;
    int rc = 0;

    weft_with_deadline(u->until)
        while ((rc = weft_limiter_take(&limiter, u->n)) == 0)
            atomic_fetch_add(&u->taken, 1);
    t_equal(rc, -ETIMEDOUT);
    return 0;
}

/* ---- rate ---------------------------------------------------------------- */

/* What came through in 200 ms, in parts of what should have. */
static double measure(double rate, double burst)
{
    struct user u[4];
    weft_group g;
    int64_t start, end;
    double taken = 0, due;

    t_equal(weft_limiter_init(&limiter, rate, burst), 0);
    start = weft_now();
    weft_with_group(&g)
        for (int i = 0; i < 4; i++) {
            u[i] = (struct user){.n = 1, .until = start + 200 * WEFT_MS};
            t_equal(weft_spawn(&g, takes_until, &u[i]), 0);
        }
    end = weft_now();
    for (int i = 0; i < 4; i++)
        taken += atomic_load(&u[i].taken);
    due = burst + rate * (double)(end - start) * 1e-9;
    t_check(taken <= due + 1);
    due = burst + rate * 0.2;
    return taken / due;
}

static long keeps_rate(void *arg)
{
    double best = 0, x;

    (void)arg;
    for (int i = 0; i < 5 && best < 0.8; i++) {
        x = measure(1000, 50);
        best = x > best ? x : best;
    }
    return t_check(best >= 0.8);
}

static void the_rate_is_kept_within_a_fifth(void **state)
{
    t_run(t_workers(state), keeps_rate, NULL);
}

/* One worker, which is kept busy when the tokens are there. */
static long wakes_late(void *arg)
{
    struct user u = {.n = 20};
    weft_group g;

    (void)arg;
    t_equal(weft_limiter_init(&limiter, 1000, 20), 0);
    t_equal(weft_limiter_trytake(&limiter, 20), 0);
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, takes, &u), 0);
        t_check(t_wait_waiting("sleep", 1));
        t_spin(60 * WEFT_MS); /* 20 for it, and 20 more that fit in */
    }
    t_equal(u.rc, 0);
    t_equal(weft_limiter_trytake(&limiter, 20), 0);
    return 0;
}

static void being_woken_late_costs_no_tokens(void **state)
{
    (void)state;
    t_run(1, wakes_late, NULL);
}

static long bursts(void *arg)
{
    (void)arg;
    t_equal(weft_limiter_init(&limiter, 0.5, 3), 0);
    for (int i = 0; i < 3; i++)
        t_equal(weft_limiter_trytake(&limiter, 1), 0);
    t_equal(weft_limiter_trytake(&limiter, 1), -EAGAIN);
    t_equal(weft_limiter_trytake(&limiter, 0), 0);
    return 0;
}

static void it_starts_full_and_rates_may_be_fractions(void **state)
{
    t_run(t_workers(state), bursts, NULL);
}

/* ---- order --------------------------------------------------------------- */

static long large_first(void *arg)
{
    struct user u[4];
    atomic_int turn = 0;
    weft_group g;

    (void)arg;
    t_equal(weft_limiter_init(&limiter, 20, 10), 0);
    t_equal(weft_limiter_trytake(&limiter, 10), 0);
    weft_with_group(&g) {
        for (int i = 0; i < 4; i++)
            u[i] = (struct user){.n = i == 0 ? 8 : 1, .turn = &turn};
        t_equal(weft_spawn(&g, takes, &u[0]), 0);
        t_check(t_wait_waiting("sleep", 1));
        t_equal(weft_sleep(120 * WEFT_MS), 0); /* there are two, not eight */
        t_check(weft_limiter_trytake(&limiter, 1) == -EAGAIN || turn);
        for (int i = 1; i < 4; i++) {
            t_equal(weft_spawn(&g, takes, &u[i]), 0);
            while (!turn && t_waiting("mutex") < i)
                t_equal(weft_sleep(WEFT_MS / 5), 0);
        }
    }
    for (int i = 0; i < 4; i++) {
        t_equal(u[i].rc, 0);
        /* They would have been 280 ms before it. */
        t_check(u[i].done_at >= u[0].done_at - 50 * WEFT_MS);
    }
    return 0;
}

static long row(void *arg)
{
    struct user u[6];
    atomic_int turn = 0;
    weft_task *t;
    weft_group g;

    (void)arg;
    t_equal(weft_limiter_init(&limiter, 0.001, 10), 0);
    t_equal(weft_limiter_trytake(&limiter, 10), 0);
    weft_with_group(&g) {
        u[0] = (struct user){.n = 1};
        t_equal(weft_spawn_task(&g, takes, &u[0], &t), 0);
        t_check(t_wait_waiting("sleep", 1));
        for (int i = 1; i < 6; i++) {
            u[i] = (struct user){.n = 0, .turn = &turn};
            t_equal(weft_spawn(&g, takes, &u[i]), 0);
            t_check(t_wait_waiting("mutex", i));
        }
        t_equal(weft_task_cancel(t), 0);
    }
    t_equal(u[0].rc, -ECANCELED);
    for (int i = 1; i < 6; i++) {
        t_equal(u[i].rc, 0);
        t_equal(u[i].place, i - 1);
    }
    return 0;
}

/* One worker: nobody gets between a take and the note of its turn. */
static void takers_go_in_order_of_arrival(void **state)
{
    (void)state;
    t_run(1, row, NULL);
}

static void small_takers_do_not_overtake_a_large_one(void **state)
{
    t_run(t_workers(state), large_first, NULL);
}

/* ---- cancellation -------------------------------------------------------- */

static long returns_claim(void *arg)
{
    struct user a = {.n = 10}, b = {.n = 1};
    int64_t start = weft_now();
    weft_task *t;
    weft_group g;

    (void)arg;
    t_equal(weft_limiter_init(&limiter, 2, 10), 0);
    t_equal(weft_limiter_trytake(&limiter, 10), 0);
    weft_with_group(&g) { /* a: in 5 s; b: in 5.5 s, without a in 0.5 s */
        t_equal(weft_spawn_task(&g, takes, &a, &t), 0);
        t_check(t_wait_waiting("sleep", 1));
        t_equal(weft_spawn(&g, takes, &b), 0);
        t_check(t_wait_waiting("mutex", 1));
        t_equal(weft_task_cancel(t), 0);
    }
    t_equal(a.rc, -ECANCELED);
    t_equal(b.rc, 0);
    t_check(b.done_at - start >= 400 * WEFT_MS);
    t_check(b.done_at - start < 4 * WEFT_SEC);
    return 0;
}

static void a_cancelled_waiter_returns_its_claim(void **state)
{
    t_run(t_workers(state), returns_claim, NULL);
}

static long hasty(void *arg)
{
    struct user *u = arg;
    long i = u->place;
    int rc;

    while (weft_now() < u->until) {
        rc = 0;
        weft_with_timeout(++i * 7919 % 3000000)
            rc = weft_limiter_take(&limiter, u->n);
        if (rc == 0)
            atomic_fetch_add(&u->taken, 1);
        else
            t_equal(rc, -ETIMEDOUT);
    }
    return 0;
}

static long conserves(void *arg)
{
    struct user u[8];
    int64_t start = weft_now();
    double taken = 0;
    weft_group g;

    (void)arg;
    t_equal(weft_limiter_init(&limiter, 1000, 20), 0);
    weft_with_group(&g)
        for (int i = 0; i < 8; i++) {
            u[i] = (struct user){.n = i % 3 + 1, .place = i * 1000,
                                 .until = start + 200 * WEFT_MS};
            t_equal(weft_spawn(&g, hasty, &u[i]), 0);
        }
    for (int i = 0; i < 8; i++)
        taken += u[i].n * atomic_load(&u[i].taken);
    t_check(taken <= 20 + 1000 * (double)(weft_now() - start) * 1e-9 + 1);
    t_check(taken >= 20);
    /* Nobody waits: the row is empty, and it works as ever. */
    weft_with_timeout(5 * WEFT_SEC)
        t_equal(weft_limiter_take(&limiter, 20), 0);
    t_equal(weft_sleep(5 * WEFT_MS), 0);
    t_equal(weft_limiter_trytake(&limiter, 1), 0);
    return 0;
}

static void timeouts_neither_lose_nor_make_tokens(void **state)
{
    t_run(t_workers(state), conserves, NULL);
}

static long refuses(void *arg)
{
    weft_limiter zeroed;

    (void)arg;
    t_equal(weft_limiter_init(&limiter, 0, 1), -EINVAL);
    t_equal(weft_limiter_init(&limiter, 1, -1), -EINVAL);
    t_equal(weft_limiter_init(&limiter, 0.0 / 0.0 * (double)!arg, 1), -EINVAL);
    t_equal(weft_limiter_init(&limiter, 1, 5), 0);
    t_equal(weft_limiter_take(&limiter, 6), -EINVAL);
    t_equal(weft_limiter_take(&limiter, -1), -EINVAL);
    t_equal(weft_limiter_trytake(&limiter, 6), -EINVAL);
    memset(&zeroed, 0, sizeof zeroed);
    t_equal(weft_limiter_take(&zeroed, 1), -EINVAL);
    weft_with_timeout(1) {
        t_equal(weft_sleep(WEFT_SEC), -ETIMEDOUT);
        t_equal(weft_limiter_take(&limiter, 1), -ETIMEDOUT);
    }
    return 0;
}

static void nonsense_is_refused(void **state)
{
    t_run(t_workers(state), refuses, NULL);
    assert_int_equal(weft_limiter_take(&limiter, 1), -EPERM);
}

static const struct CMUnitTest tests[] = {
    T_EACH(the_rate_is_kept_within_a_fifth),
    cmocka_unit_test(being_woken_late_costs_no_tokens),
    T_EACH(it_starts_full_and_rates_may_be_fractions),
    cmocka_unit_test(takers_go_in_order_of_arrival),
    T_EACH(small_takers_do_not_overtake_a_large_one),
    T_EACH(a_cancelled_waiter_returns_its_claim),
    T_EACH(timeouts_neither_lose_nor_make_tokens),
    T_EACH(nonsense_is_refused),
};

T_MAIN(tests)
