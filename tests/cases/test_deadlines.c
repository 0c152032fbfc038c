/* SPDX-License-Identifier: MIT */
/* Cases 20 to 25 where two things happen at once: two deadlines, a deadline and
 * an error, a cancel and a shield. */
#include "support/cases.h"

#define LONG_TIME (60 * WEFT_SEC)

/* ---- two deadlines in one tick ------------------------------------------ */

/* Both have come before anybody looks. */
static void both_came(int64_t outer_at, int64_t inner_at)
{
    weft_scope outer, inner;
    int rc;

    weft_deadline_enter(&outer, outer_at);
    weft_deadline_enter(&inner, inner_at);
    while (weft_now() <= outer_at || weft_now() <= inner_at)
        ;
    t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
    t_equal(weft_check(), -ETIMEDOUT);
    rc = weft_scope_leave(&inner);
    /* The inner one has told of its own, if its timer was served by then (it may
     * be another worker that does so); the outer one's is still there. */
    t_check(rc == -ETIMEDOUT || rc == 0);
    t_equal(weft_check(), -ETIMEDOUT);
    t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
    t_check(weft_scope_expired(&outer));
    t_equal(weft_scope_leave(&outer), -ETIMEDOUT);
    t_equal(weft_check(), 0);
    t_equal(weft_sleep(1), 0);
}

/* Suspended when the one timer comes that fires both. */
static void both_fire(void)
{
    int64_t t = weft_now() + 2 * WEFT_MS;
    weft_scope outer, inner;

    weft_deadline_enter(&outer, t);
    weft_deadline_enter(&inner, t);
    t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
    (void)weft_scope_leave(&inner);
    t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
    t_equal(weft_scope_leave(&outer), -ETIMEDOUT);
    t_equal(weft_yield(), 0);
}

static long in_one_tick(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        int64_t t = weft_now() + WEFT_MS / 2;

        both_came(t, t);
        t = weft_now() + WEFT_MS / 2;
        both_came(t, t + 1);
        t = weft_now() + WEFT_MS / 2;
        both_came(t + 1, t);
        both_fire();
    }
    return 0;
}

static void deadlines_of_one_tick_are_told_by_each_scope(void **state)
{
    assert_int_equal(t_run(t_workers(state), in_one_tick, NULL), 0);
}

static long outer_alone(void *arg)
{
    weft_scope outer, inner;

    (void)arg;
    weft_timeout_enter(&outer, 2 * WEFT_MS);
    weft_timeout_enter(&inner, LONG_TIME);
    t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
    t_equal(weft_scope_leave(&inner), 0); /* not its own */
    /* One entered now is in it from the start. */
    weft_timeout_enter(&inner, LONG_TIME);
    t_equal(weft_yield(), -ETIMEDOUT);
    t_equal(weft_scope_leave(&inner), 0);
    t_equal(weft_scope_leave(&outer), -ETIMEDOUT);
    return weft_check();
}

static void an_outer_deadline_is_not_told_by_the_inner_scope(void **state)
{
    assert_int_equal(t_run(t_workers(state), outer_alone, NULL), 0);
}

/* ---- no wake for what is over ------------------------------------------- */

/* With one worker nobody else's reasons to wake are among those counted. */
static long left_early(void *arg)
{
    struct weft_stats before, after;

    (void)arg;
    for (int i = 0; i < 100; i++)
        weft_with_timeout((20 + i % 10) * WEFT_MS)
            t_equal(weft_sleep(1), 0);
    t_equal(weft_sleep(1), 0);
    t_equal(weft_runtime_stats(NULL, &before), 0);
    t_equal(weft_sleep(50 * WEFT_MS), 0);
    t_equal(weft_runtime_stats(NULL, &after), 0);
    t_check(after.parks - before.parks <= 3);
    t_equal((long)(after.timers_fired - before.timers_fired), 1);
    return 0;
}

static void a_deadline_that_was_met_wakes_nobody_later(void **state)
{
    (void)state;
    assert_int_equal(t_run(1, left_early, NULL), 0);
}

/* ---- a deadline and an error -------------------------------------------- */

static long fails_late(void *arg)
{
    int64_t until = *(int64_t *)arg;
    long rc = 0;

    weft_with_deadline(until) {
        while (weft_now() <= until)
            ;
        rc = -EIO; /* found before it looked at the clock */
    }
    return rc;
}

static long error_wins(void *arg)
{
    int64_t until = weft_now() + 2 * WEFT_MS;
    weft_scope s;
    weft_group g;
    weft_task *t;

    (void)arg;
    t_equal(fails_late(&until), -EIO);
    until = weft_now() + 2 * WEFT_MS;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, fails_late, &until, &t), 0);
    }
    t_equal(weft_group_wait(&g), -EIO);
    /* The group's own block runs out while its child has failed already. */
    until = weft_now();
    weft_timeout_enter(&s, 5 * WEFT_MS);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, fails_late, &until, &t), 0);
        weft_with_shield()
            while (!weft_task_done(t))
                t_equal(weft_sleep(WEFT_MS / 5), 0);
        while (!weft_scope_expired(&s))
            t_check(weft_yield() < 0);
    }
    t_equal(weft_group_wait(&g), -EIO);
    t_equal(weft_scope_leave(&s), -ETIMEDOUT);
    return 0;
}

static void an_error_is_not_replaced_by_the_time_out(void **state)
{
    assert_int_equal(t_run(t_workers(state), error_wins, NULL), 0);
}

/* ---- a cancel and a shield ---------------------------------------------- */

struct guarded {
    atomic_int inside, cancelled, saw;
};

static long works_in_a_shield(void *arg)
{
    struct guarded *g = arg;

    weft_with_shield() {
        atomic_store(&g->inside, 1);
        while (!atomic_load(&g->cancelled))
            t_equal(weft_sleep(WEFT_MS / 5), 0);
        /* It is there, and it is not seen: neither at once nor in a wait. */
        t_equal(weft_check(), 0);
        t_equal(weft_sleep(2 * WEFT_MS), 0);
        weft_with_shield()
            t_equal(weft_yield(), 0);
        t_equal(weft_yield(), 0);
        atomic_store(&g->saw, 1);
    }
    t_equal(weft_check(), -ECANCELED);
    return weft_sleep(LONG_TIME);
}

static long cancel_the_shielded(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        struct guarded s = {0};
        weft_group g;
        weft_task *t;

        weft_with_group(&g) {
            t_equal(weft_spawn_task(&g, works_in_a_shield, &s, &t), 0);
            t_check(t_wait_for(&s.inside, 1));
            t_equal(weft_task_cancel(t), 0);
            atomic_store(&s.cancelled, 1);
            t_equal(weft_await(t), -ECANCELED);
        }
        t_equal(atomic_load(&s.saw), 1);
    }
    return 0;
}

static void a_cancel_during_a_shield_comes_after_it(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_the_shielded, NULL), 0);
}

struct outer {
    weft_task *inner;
    atomic_int begun;
};

static long fails_after_a_while(void *arg)
{
    t_equal(weft_event_wait(arg), 0);
    return -EPROTO;
}

/* asyncio.shield(inner): waiting for it, not answering for it. */
static long waits_for_inner(void *arg)
{
    struct outer *o = arg;

    atomic_store(&o->begun, 1);
    return weft_wait_all(&o->inner, 1);
}

static long shield_the_inner(void *arg)
{
    weft_event go = {{0}};
    struct outer o = {0};
    weft_group g;
    weft_task *t;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, fails_after_a_while, &go, &o.inner), 0);
        t_equal(weft_spawn_task(&g, waits_for_inner, &o, &t), 0);
        t_check(t_wait_for(&o.begun, 1));
        t_equal(weft_sleep(WEFT_MS), 0);
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_await(t), -ECANCELED);
        t_check(!weft_task_done(o.inner));
        weft_event_set(&go);
    }
    t_equal(weft_group_wait(&g), -EPROTO);
    return 0;
}

static void who_waits_is_cancelled_alone_and_the_inner_runs_on(void **state)
{
    assert_int_equal(t_run(t_workers(state), shield_the_inner, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    T_EACH(deadlines_of_one_tick_are_told_by_each_scope),
    T_EACH(an_outer_deadline_is_not_told_by_the_inner_scope),
    cmocka_unit_test(a_deadline_that_was_met_wakes_nobody_later),
    T_EACH(an_error_is_not_replaced_by_the_time_out),
    T_EACH(a_cancel_during_a_shield_comes_after_it),
    T_EACH(who_waits_is_cancelled_alone_and_the_inner_runs_on),
};

T_MAIN(tests)
