/* SPDX-License-Identifier: MIT */
/* Time-outs, deadlines, shields: level-triggered, per scope. */
#include "support/cases.h"

#include <sys/eventfd.h>

#define LONG_TIME (60 * WEFT_SEC)

/* ---- time-outs ---------------------------------------------------------- */

static long fires(void *arg)
{
    int64_t start = weft_now(), took;

    (void)arg;
    weft_with_timeout(20 * WEFT_MS) {
        t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
        took = weft_now() - start;
        t_check(took >= 20 * WEFT_MS);
        t_check(took < 10 * WEFT_SEC);
        for (int i = 0; i < 10; i++) {
            t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
            t_equal(weft_yield(), -ETIMEDOUT);
        }
        t_equal(weft_check(), -ETIMEDOUT);
    }
    t_equal(weft_check(), 0);
    t_equal(weft_sleep(WEFT_MS), 0);
    return 0;
}

static void a_timeout_fires_and_stays_until_the_scope_is_left(void **state)
{
    assert_int_equal(t_run(t_workers(state), fires, NULL), 0);
}

static long in_time(void *arg)
{
    struct weft_stats before, after;
    weft_scope s;
    uint64_t late = 0;

    (void)arg;
    t_equal(weft_runtime_stats(NULL, &before), 0);
    for (int i = 0; i < 1000; i++) {
        long rc;

        weft_timeout_enter(&s, 20 * WEFT_MS);
        rc = weft_yield();
        t_equal(weft_scope_leave(&s), rc);
        t_check(weft_scope_expired(&s) == (rc < 0));
        late += rc < 0; /* a loaded machine may take longer */
    }
    t_check(late < 500);
    t_equal(weft_sleep(60 * WEFT_MS), 0);
    t_equal(weft_runtime_stats(NULL, &after), 0);
    /* The sleep's own. */
    t_check(after.timers_fired - before.timers_fired <= 1 + late);
    return 0;
}

static void a_scope_left_in_time_leaves_no_timer_behind(void **state)
{
    assert_int_equal(t_run(t_workers(state), in_time, NULL), 0);
}

static long at_once(void *arg)
{
    int ran = 0;

    (void)arg;
    weft_with_timeout(0) {
        t_equal(weft_check(), -ETIMEDOUT);
        t_equal(weft_yield(), -ETIMEDOUT);
        ran++;
    }
    weft_with_timeout(-5) {
        t_equal(weft_yield(), -ETIMEDOUT);
        ran++;
    }
    weft_with_deadline(weft_now() - WEFT_SEC) {
        t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
        ran++;
    }
    weft_with_deadline(WEFT_NEVER) {
        t_equal(weft_sleep(WEFT_MS), 0);
        ran++;
    }
    return ran;
}

static void a_time_that_has_passed_expires_at_once(void **state)
{
    assert_int_equal(t_run(t_workers(state), at_once, NULL), 4);
}

static int leave_block(int way)
{
    int n = 0;

    for (int i = 0; i < 2; i++) {
        weft_with_timeout(10 * WEFT_SEC) {
            n++;
            if (way == 0)
                break;
            if (way == 1)
                return n;
            if (way == 2)
                goto out;
            if (way == 3)
                continue;
        }
        t_check(weft_scope_self() == NULL);
    }
out:
    t_check(weft_scope_self() == NULL);
    return n;
}

static long leave_blocks(void *arg)
{
    static const int expected[] = {2, 1, 1, 2, 2};

    (void)arg;
    for (int way = 0; way < 5; way++) {
        t_equal(leave_block(way), expected[way]);
        t_check(weft_scope_self() == NULL);
    }
    return 0;
}

static void a_block_may_be_left_in_every_way(void **state)
{
    assert_int_equal(t_run(t_workers(state), leave_blocks, NULL), 0);
}

/* ---- nested ------------------------------------------------------------- */

static long nested(void *arg)
{
    weft_scope outer, inner;

    (void)arg;
    weft_timeout_enter(&outer, 10 * WEFT_MS);
    weft_timeout_enter(&inner, LONG_TIME);
    t_check(weft_scope_self() == &inner);
    t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
    t_check(!weft_scope_expired(&inner));
    t_check(weft_scope_expired(&outer));
    t_equal(weft_scope_leave(&inner), 0);
    t_check(weft_scope_self() == &outer);
    t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
    t_equal(weft_scope_leave(&outer), -ETIMEDOUT);
    t_check(weft_scope_expired(&outer));
    t_equal(weft_sleep(WEFT_MS), 0);

    weft_timeout_enter(&outer, LONG_TIME);
    weft_timeout_enter(&inner, 10 * WEFT_MS);
    t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
    t_check(weft_scope_expired(&inner));
    t_check(!weft_scope_expired(&outer));
    t_equal(weft_scope_leave(&inner), -ETIMEDOUT);
    t_equal(weft_sleep(WEFT_MS), 0);
    t_equal(weft_scope_leave(&outer), 0);
    return weft_check();
}

static void each_nested_scope_tells_its_own_end(void **state)
{
    assert_int_equal(t_run(t_workers(state), nested, NULL), 0);
}

static long cancel_and_deadline(void *arg)
{
    int64_t deadline = *(int64_t *)arg;
    weft_scope s;

    weft_deadline_enter(&s, deadline);
    t_check(weft_sleep(LONG_TIME) < 0);
    /* The cancel comes a moment before or after it. */
    while (!weft_scope_expired(&s) || weft_check() != -ECANCELED)
        t_check(weft_yield() < 0);
    t_equal(weft_sleep(LONG_TIME), -ECANCELED);
    t_equal(weft_scope_leave(&s), -ETIMEDOUT);
    t_equal(weft_check(), -ECANCELED);
    return weft_sleep(LONG_TIME);
}

static long both_at_once(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        int64_t deadline = weft_now() + 2 * WEFT_MS;
        weft_group g;
        weft_task *t;

        weft_with_group(&g) {
            t_equal(weft_spawn_task(&g, cancel_and_deadline, &deadline, &t), 0);
            t_equal(weft_sleep_until(deadline), 0);
            t_equal(weft_task_cancel(t), 0);
            t_equal(weft_await(t), -ECANCELED);
        }
    }
    return 0;
}

static void an_outside_cancel_is_not_swallowed_by_a_scopes_end(void **state)
{
    assert_int_equal(t_run(t_workers(state), both_at_once, NULL), 0);
}

/* ---- shield ------------------------------------------------------------- */

static long shielded(void *arg)
{
    (void)arg;
    weft_with_timeout(5 * WEFT_MS) {
        weft_with_shield() {
            int64_t start = weft_now();

            t_equal(weft_sleep(30 * WEFT_MS), 0);
            t_check(weft_now() - start >= 30 * WEFT_MS);
            t_equal(weft_check(), 0);
            weft_with_timeout(5 * WEFT_MS)
                t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
            t_equal(weft_yield(), 0);
        }
        t_equal(weft_check(), -ETIMEDOUT);
        t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
    }
    t_equal(weft_check(), 0);
    return 0;
}

static void a_shield_masks_what_comes_from_outside(void **state)
{
    assert_int_equal(t_run(t_workers(state), shielded, NULL), 0);
}

static long cleans_up(void *arg)
{
    atomic_int *cleaned = arg;

    t_equal(weft_sleep(LONG_TIME), -ECANCELED);
    weft_with_shield() {
        for (int i = 0; i < 5; i++)
            if (t_equal(weft_sleep(WEFT_MS), 0))
                atomic_fetch_add(cleaned, 1);
    }
    return weft_sleep(LONG_TIME);
}

static long cancel_it(void *arg)
{
    weft_group g;
    weft_task *t;

    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, cleans_up, arg, &t), 0);
        t_check(t_wait_waiting("sleep", 1));
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_await(t), -ECANCELED);
    }
    return weft_group_wait(&g);
}

static void a_cancelled_task_cleans_up_in_a_shield(void **state)
{
    atomic_int cleaned = 0;

    assert_int_equal(t_run(t_workers(state), cancel_it, &cleaned), 0);
    assert_int_equal(atomic_load(&cleaned), 5);
}

/* ---- reschedule --------------------------------------------------------- */

static long extends(void *arg)
{
    weft_scope s;
    int64_t start = weft_now();

    (void)arg;
    weft_timeout_enter(&s, 50 * WEFT_MS);
    t_equal(weft_scope_extend(&s, start + 120 * WEFT_MS), 0);
    t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
    t_check(weft_now() - start >= 120 * WEFT_MS);
    t_equal(weft_scope_extend(&s, weft_now() + WEFT_SEC), -EALREADY);
    t_equal(weft_scope_leave(&s), -ETIMEDOUT);

    weft_timeout_enter(&s, 20 * WEFT_MS);
    t_equal(weft_scope_extend(&s, WEFT_NEVER), 0);
    t_equal(weft_sleep(50 * WEFT_MS), 0);
    t_equal(weft_scope_extend(&s, weft_now() + WEFT_MS), 0);
    t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
    t_equal(weft_scope_leave(&s), -ETIMEDOUT);

    weft_shield_enter(&s);
    t_equal(weft_scope_extend(&s, WEFT_NEVER), -EINVAL);
    t_equal(weft_scope_leave(&s), 0);
    return 0;
}

static void a_deadline_can_be_moved_until_it_came(void **state)
{
    assert_int_equal(t_run(t_workers(state), extends, NULL), 0);
}

static long cpu_loop(void *arg)
{
    int64_t end = weft_now() + 10 * WEFT_SEC;

    (void)arg;
    weft_with_timeout(10 * WEFT_MS) {
        /* With one worker nobody fires the timer but who yields. */
        while (weft_check() == 0 && weft_now() < end)
            (void)weft_yield();
        t_equal(weft_check(), -ETIMEDOUT);
    }
    return weft_check();
}

static void a_loop_sees_its_timeout_by_check(void **state)
{
    assert_int_equal(t_run(t_workers(state), cpu_loop, NULL), 0);
}

/* ---- every waiting call ------------------------------------------------- */

/* What each of them would wait for for ever. */
struct things {
    weft_mutex held;
    weft_event never;
    weft_queue empty, full;
    void *slot[2];
    int fd;
};

static long sleeps_on(void *arg)
{
    (void)arg;
    while (weft_sleep(LONG_TIME) == 0)
        ;
    return 3;
}

static long wait_sleep(struct things *t)
{
    (void)t;
    return weft_sleep(LONG_TIME);
}

static long wait_sleep_until(struct things *t)
{
    (void)t;
    return weft_sleep_until(WEFT_NEVER);
}

static long wait_lock(struct things *t)
{
    return weft_mutex_lock(&t->held);
}

static long wait_event(struct things *t)
{
    return weft_event_wait(&t->never);
}

static long wait_get(struct things *t)
{
    void *item;

    return weft_queue_get(&t->empty, &item);
}

static long wait_put(struct things *t)
{
    return weft_queue_put(&t->full, t);
}

static long wait_fd(struct things *t)
{
    return weft_fd_wait(t->fd, WEFT_READ);
}

static long wait_group(struct things *t)
{
    weft_group g;

    (void)t;
    weft_with_group(&g)
        (void)!weft_spawn(&g, sleeps_on, NULL);
    /* The child of one that is cancelled already may be through first. */
    return weft_group_wait(&g) < 0 ? weft_group_wait(&g) : weft_check();
}

static long (*const waits[])(struct things *) = {
    wait_sleep, wait_sleep_until, wait_lock, wait_event,
    wait_get,   wait_put,         wait_fd,   wait_group,
};

struct victim {
    struct things *things;
    long (*wait)(struct things *);
    atomic_int begun, over;
};

static long waits_twice(void *arg)
{
    struct victim *v = arg;

    atomic_store(&v->begun, 1);
    t_equal(v->wait(v->things), -ECANCELED);
    t_equal(v->wait(v->things), -ECANCELED);
    for (size_t i = 0; i < T_LEN(waits); i++)
        t_equal(waits[i](v->things), -ECANCELED);
    return -ECANCELED;
}

static long times_out_twice(struct things *things,
                            long (*wait)(struct things *))
{
    weft_with_timeout(3 * WEFT_MS) {
        t_equal(wait(things), -ETIMEDOUT);
        t_equal(wait(things), -ETIMEDOUT);
        for (size_t i = 0; i < T_LEN(waits); i++)
            t_equal(waits[i](things), -ETIMEDOUT);
    }
    return weft_check();
}

static long holds(void *arg)
{
    struct things *t = arg;

    t_equal(weft_mutex_lock(&t->held), 0);
    t_equal(weft_sleep(LONG_TIME), -ECANCELED);
    t_equal(weft_mutex_unlock(&t->held), 0);
    return 0;
}

static void prepare(struct things *t)
{
    memset(t, 0, sizeof *t);
    t_equal(weft_queue_init(&t->empty, &t->slot[0], 1, WEFT_FIFO), 0);
    t_equal(weft_queue_init(&t->full, &t->slot[1], 1, WEFT_FIFO), 0);
    t_equal(weft_queue_tryput(&t->full, t), 0);
    t->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    t_check(t->fd >= 0);
}

static long every_wait(void *arg)
{
    struct things things;
    weft_group g;
    weft_task *t;

    (void)arg;
    prepare(&things);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, holds, &things, &t), 0);
        t_check(t_wait_waiting("sleep", 1));
        t_check(weft_mutex_locked(&things.held));
        for (size_t i = 0; i < T_LEN(waits); i++) {
            struct victim v = {&things, waits[i], 0, 0};
            weft_task *victim;

            t_equal(times_out_twice(&things, waits[i]), 0);
            t_equal(weft_spawn_task(&g, waits_twice, &v, &victim), 0);
            t_check(t_wait_for(&v.begun, 1));
            if (i % 2)
                t_equal(weft_sleep(WEFT_MS), 0);
            t_equal(weft_task_cancel(victim), 0);
            t_equal(weft_await(victim), -ECANCELED);
        }
        t_equal(weft_task_cancel(t), 0);
    }
    t_equal(weft_group_wait(&g), 0);
    /* Nobody of them left a trace. */
    t_equal(weft_queue_len(&things.empty), 0);
    t_equal(weft_queue_len(&things.full), 1);
    t_check(!weft_mutex_locked(&things.held));
    t_equal(weft_mutex_trylock(&things.held), 0);
    t_equal(weft_mutex_unlock(&things.held), 0);
    close(things.fd);
    return 0;
}

static void every_waiting_call_can_be_cancelled_and_timed_out(void **state)
{
    assert_int_equal(t_run(t_workers(state), every_wait, NULL), 0);
}

/* A loop that never looks at the error must not keep the worker. */
static long wait_yield(struct things *t)
{
    (void)t;
    return weft_yield();
}

static long wait_task(struct things *t)
{
    long rc = 0;
    weft_group g;
    weft_task *child;

    (void)t;
    weft_with_group(&g)
        if (weft_spawn_task(&g, sleeps_on, NULL, &child) == 0)
            rc = weft_await(child);
    t_check(rc < 0 || rc == 3);
    return weft_check();
}

static long wait_job(struct things *t)
{
    return weft_compute(sleeps_on, t);
}

static long ignores(void *arg)
{
    struct victim *v = arg;
    int64_t end = weft_now() + 10 * WEFT_SEC;

    atomic_store(&v->begun, 1);
    weft_with_timeout(0)
        while (!atomic_load(&v->over) && weft_now() < end)
            t_equal(v->wait(v->things), -ETIMEDOUT);
    t_check(atomic_load(&v->over));
    return 0;
}

static long ignore_all(void *arg)
{
    long (*const more[])(struct things *) = {wait_yield, wait_task, wait_job};
    struct things things;
    weft_group g;
    weft_task *t;

    (void)arg;
    prepare(&things);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, holds, &things, &t), 0);
        t_check(t_wait_waiting("sleep", 1));
        for (size_t i = 0; i < T_LEN(waits) + T_LEN(more); i++) {
            struct victim v = {&things,
                               i < T_LEN(waits) ? waits[i]
                                                : more[i - T_LEN(waits)],
                               0, 0};
            weft_task *victim;

            t_equal(weft_spawn_task(&g, ignores, &v, &victim), 0);
            t_check(t_wait_for(&v.begun, 1));
            atomic_store(&v.over, 1);
            t_equal(weft_await(victim), 0);
        }
        t_equal(weft_task_cancel(t), 0);
    }
    close(things.fd);
    return weft_group_wait(&g);
}

static void one_that_ignores_its_cancel_lets_others_run(void **state)
{
    assert_int_equal(t_run(t_workers(state), ignore_all, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    T_EACH(a_timeout_fires_and_stays_until_the_scope_is_left),
    T_EACH(a_scope_left_in_time_leaves_no_timer_behind),
    T_EACH(a_time_that_has_passed_expires_at_once),
    T_EACH(a_block_may_be_left_in_every_way),
    T_EACH(each_nested_scope_tells_its_own_end),
    T_EACH(an_outside_cancel_is_not_swallowed_by_a_scopes_end),
    T_EACH(a_shield_masks_what_comes_from_outside),
    T_EACH(a_cancelled_task_cleans_up_in_a_shield),
    T_EACH(a_deadline_can_be_moved_until_it_came),
    T_EACH(a_loop_sees_its_timeout_by_check),
    T_REAL_EACH(every_waiting_call_can_be_cancelled_and_timed_out),
    T_EACH(one_that_ignores_its_cancel_lets_others_run),
};

T_MAIN(tests)
