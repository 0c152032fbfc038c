/* SPDX-License-Identifier: MIT */
/* The event: set, clear, wait. */
#include "races.h"

#include <pthread.h>

#define WAITERS 50

struct party {
    weft_event e;
    atomic_int through;
};

static long waits(void *arg)
{
    struct party *p = arg;

    t_equal(weft_event_wait(&p->e), 0);
    atomic_fetch_add(&p->through, 1);
    return 0;
}

static long set_once(void *arg)
{
    struct party *p = arg;
    weft_group g;

    t_check(!weft_event_is_set(&p->e));
    weft_with_group(&g) {
        for (int i = 0; i < WAITERS; i++)
            t_equal(weft_spawn(&g, waits, p), 0);
        t_check(t_wait_waiting("event", WAITERS));
        t_equal(atomic_load(&p->through), 0);
        weft_event_set(&p->e);
        t_check(weft_event_is_set(&p->e));
        /* Those who come later need not wait. */
        for (int i = 0; i < WAITERS; i++)
            t_equal(weft_spawn(&g, waits, p), 0);
        t_equal(weft_event_wait(&p->e), 0);
    }
    t_equal(atomic_load(&p->through), 2 * WAITERS);
    return 0;
}

static void set_wakes_all_present_and_future_waiters(void **state)
{
    struct party p = {.through = 0};

    assert_int_equal(t_run(t_workers(state), set_once, &p), 0);
}

static long set_and_clear(void *arg)
{
    struct party *p = arg;
    weft_group g;

    for (int round = 1; round <= 20; round++) {
        weft_with_group(&g) {
            for (int i = 0; i < WAITERS; i++)
                t_equal(weft_spawn(&g, waits, p), 0);
            t_check(t_wait_waiting("event", WAITERS));
            weft_event_set(&p->e);
            weft_event_clear(&p->e);
            t_check(!weft_event_is_set(&p->e));
        }
        t_equal(atomic_load(&p->through), round * WAITERS);
    }
    weft_with_timeout(WEFT_MS)
        t_equal(weft_event_wait(&p->e), -ETIMEDOUT);
    return 0;
}

static void a_clear_does_not_put_the_woken_back_to_sleep(void **state)
{
    struct party p = {.through = 0};

    assert_int_equal(t_run(t_workers(state), set_and_clear, &p), 0);
}

static void *sets(void *arg)
{
    usleep(2000);
    weft_event_set(arg);
    return NULL;
}

static long wait_for_thread(void *arg)
{
    weft_event e = {{0}};
    pthread_t thread;

    (void)arg;
    t_equal(pthread_create(&thread, NULL, sets, &e), 0);
    t_equal(weft_event_wait(&e), 0);
    pthread_join(thread, NULL);
    return 0;
}

static void a_foreign_thread_may_set_it(void **state)
{
    weft_event e = {{0}};

    assert_int_equal(t_run(t_workers(state), wait_for_thread, NULL), 0);
    assert_int_equal(weft_event_wait(&e), -EPERM);
    weft_event_set(&e);
    assert_true(weft_event_is_set(&e));
    weft_event_clear(&e);
    assert_false(weft_event_is_set(&e));
}

static long sets_and_waits(void *arg)
{
    weft_event *e = arg;

    weft_event_set(&e[0]);
    return weft_event_wait(&e[1]);
}

/* A wake-up lost anywhere would hang it. */
static long hand_to_and_fro(void *arg)
{
    long rounds = *(long *)arg;

    for (long i = 0; i < rounds; i++) {
        weft_event e[2] = {{{0}}, {{0}}};
        weft_group g;

        weft_with_group(&g) {
            t_equal(weft_spawn(&g, sets_and_waits, e), 0);
            t_equal(weft_event_wait(&e[0]), 0);
            weft_event_set(&e[1]);
        }
        t_equal(weft_group_wait(&g), 0);
    }
    return 0;
}

static void no_wakeup_is_lost(void **state)
{
    long rounds = t_scale(50000);

    assert_int_equal(t_run(t_workers(state), hand_to_and_fro, &rounds), 0);
}

static long cancel_waiters(void *arg)
{
    struct party *p = arg;
    weft_group g;

    weft_with_group(&g) {
        weft_task *t;

        t_equal(weft_spawn(&g, waits, p), 0);
        t_check(t_wait_waiting("event", 1));
        weft_with_timeout(2 * WEFT_MS)
            t_equal(weft_event_wait(&p->e), -ETIMEDOUT);
        t_equal(weft_spawn_task(&g, waits, p, &t), 0);
        t_check(t_wait_waiting("event", 2));
        weft_event_set(&p->e);
        t_equal(weft_await(t), 0);
    }
    t_equal(atomic_load(&p->through), 2);
    return 0;
}

static void a_waiter_that_gave_up_does_not_keep_others_from_waking(void **state)
{
    struct party p = {.through = 0};

    assert_int_equal(t_run(t_workers(state), cancel_waiters, &p), 0);
}

static void sets_it(void *e)
{
    weft_event_set(e);
}

struct one {
    weft_event *e;
    atomic_int *near;
    int rc;
};

static long waits_once(void *arg)
{
    struct one *o = arg;

    atomic_fetch_add(o->near, 1);
    o->rc = weft_event_wait(o->e);
    return 0;
}

static long race_cancels(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        weft_event e = {{0}};
        atomic_int near = 0;
        struct one o[2] = {{&e, &near, 1}, {&e, &near, 1}};
        int rc = 1;
        weft_task *first;
        weft_group g;

        weft_with_group(&g) {
            t_equal(weft_spawn_task(&g, waits_once, &o[0], &first), 0);
            t_equal(weft_spawn(&g, waits_once, &o[1]), 0);
            race_let_in(&near, 2);
            if (i % 2) {
                race(v, sets_it, &e, race_cancel, first, i);
            } else {
                race_start(v, sets_it, &e, i * 7919 % 512 * 40);
                weft_with_timeout(i % 51 * WEFT_US)
                    rc = weft_event_wait(&e);
                race_finish(v);
                t_check(rc == 0 || rc == -ETIMEDOUT);
                t_equal(weft_event_wait(&e), 0);
            }
        }
        t_check(o[0].rc == 0 || (i % 2 && o[0].rc == -ECANCELED));
        t_equal(o[1].rc, 0);
    }
    return 0;
}

static void cancels_and_timeouts_that_race_it_lose_no_waiter(void **state)
{
    long rounds = t_scale(1200);

    assert_int_equal(t_run(t_workers(state), race_cancels, &rounds), 0);
}

static void waits_and_frees(void *e)
{
    t_equal(weft_event_wait(e), 0);
    race_overwrite(e, sizeof(weft_event));
}

static void looks_and_frees(void *e)
{
    for (long i = 1; !weft_event_is_set(e); i++)
        if (i % 1024 == 0)
            t_equal(weft_yield(), 0);
    race_overwrite(e, sizeof(weft_event));
}

static long free_at_once(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        weft_event e = {{0}};

        race(v, sets_it, &e, i % 4 < 3 ? looks_and_frees : waits_and_frees, &e,
             i);
    }
    return 0;
}

static void who_sees_it_set_may_free_it(void **state)
{
    long rounds = t_scale(1200);

    assert_int_equal(t_run(t_workers(state), free_at_once, &rounds), 0);
}

static const struct CMUnitTest tests[] = {
    T_EACH(set_wakes_all_present_and_future_waiters),
    T_EACH(a_clear_does_not_put_the_woken_back_to_sleep),
    T_EACH(a_foreign_thread_may_set_it),
    T_EACH(no_wakeup_is_lost),
    T_EACH(a_waiter_that_gave_up_does_not_keep_others_from_waking),
    T_EACH(cancels_and_timeouts_that_race_it_lose_no_waiter),
    T_EACH(who_sees_it_set_may_free_it),
};

T_MAIN(tests)
