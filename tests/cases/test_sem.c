/* SPDX-License-Identifier: MIT */
/* The semaphore: cases 30 and 31. */
#include "races.h"

#include <pthread.h>

#define TASKS 8

/* ---- permits ------------------------------------------------------------ */

struct room {
    weft_sem s;
    atomic_int inside, most;
    long rounds;
};

static long visits(void *arg)
{
    struct room *r = arg;

    for (long i = 0; i < r->rounds; i++) {
        int n;

        if (!t_equal(weft_sem_acquire(&r->s), 0))
            break;
        n = atomic_fetch_add(&r->inside, 1) + 1;
        if (n > atomic_load(&r->most))
            atomic_store(&r->most, n);
        if (i % 16 == 0)
            t_equal(weft_yield(), 0);
        atomic_fetch_sub(&r->inside, 1);
        t_equal(weft_sem_release(&r->s), 0);
    }
    return 0;
}

static long crowd(void *arg)
{
    struct room *r = arg;
    weft_group g;

    weft_with_group(&g)
        for (int i = 0; i < TASKS; i++)
            t_equal(weft_spawn(&g, visits, r), 0);
    return weft_group_wait(&g);
}

static void no_more_than_its_permits_are_out(void **state)
{
    struct room r = {.s = WEFT_SEM(3, 3), .rounds = t_scale(20000)};

    assert_int_equal(t_run(t_workers(state), crowd, &r), 0);
    assert_in_range(atomic_load(&r.most), 1, 3);
    assert_int_equal(weft_sem_value(&r.s), 3);
}

static void of_one_permit_it_is_a_lock(void **state)
{
    struct room r = {.s = WEFT_SEM(1, 0), .rounds = t_scale(20000)};

    assert_int_equal(t_run(t_workers(state), crowd, &r), 0);
    assert_int_equal(atomic_load(&r.most), 1);
    assert_int_equal(weft_sem_value(&r.s), 1);
}

static long bounds(void *arg)
{
    weft_sem zero = {{0}}, two = WEFT_SEM(1, 2), s;

    (void)arg;
    t_equal(weft_sem_init(&s, 3, 2), -EINVAL);
    t_equal(weft_sem_init(&s, 2, 2), 0);
    t_equal(weft_sem_release(&s), -EOVERFLOW);
    t_equal(weft_sem_value(&s), 2);
    t_equal(weft_sem_release(&two), 0);
    t_equal(weft_sem_release(&two), -EOVERFLOW);
    t_equal(weft_sem_value(&two), 2);
    t_equal(weft_sem_tryacquire(&two), 0);
    t_equal(weft_sem_acquire(&two), 0);
    t_equal(weft_sem_tryacquire(&two), -EAGAIN);
    t_equal(weft_sem_value(&two), 0);
    t_equal(weft_sem_tryacquire(&zero), -EAGAIN);
    for (int i = 0; i < 100; i++)
        t_equal(weft_sem_release(&zero), 0);
    t_equal(weft_sem_value(&zero), 100);
    t_equal(weft_sem_init(&s, UINT32_MAX, 0), 0);
    t_equal(weft_sem_release(&s), -EOVERFLOW);
    t_equal(weft_sem_value(&s), UINT32_MAX);
    t_equal(weft_sem_acquire(&s), 0);
    t_equal(weft_sem_value(&s), UINT32_MAX - 1);
    return 0;
}

static void a_release_above_the_bound_is_refused(void **state)
{
    assert_int_equal(t_run(t_workers(state), bounds, NULL), 0);
}

/* ---- order -------------------------------------------------------------- */

struct line {
    weft_sem s;
    int order[TASKS + 1];
    atomic_int n;
};

struct place {
    struct line *line;
    int number;
};

static long queues_up(void *arg)
{
    struct place *p = arg;

    t_equal(weft_sem_acquire(&p->line->s), 0);
    p->line->order[atomic_fetch_add(&p->line->n, 1)] = p->number;
    t_equal(weft_sem_release(&p->line->s), 0);
    return 0;
}

static long line_up(void *arg)
{
    struct line *l = arg;
    struct place p[TASKS];
    weft_group g;

    weft_with_group(&g) {
        for (int i = 0; i < TASKS; i++) {
            p[i] = (struct place){l, i};
            t_equal(weft_spawn(&g, queues_up, &p[i]), 0);
            t_check(t_wait_waiting("semaphore", i + 1));
        }
        /* The permit is the first waiter's, though that did not run yet. */
        t_equal(weft_sem_release(&l->s), 0);
        t_equal(weft_sem_acquire(&l->s), 0);
        l->order[atomic_fetch_add(&l->n, 1)] = TASKS;
    }
    t_equal(atomic_load(&l->n), TASKS + 1);
    for (int i = 0; i < TASKS; i++)
        t_equal(l->order[i], i);
    t_equal(weft_sem_value(&l->s), 0);
    return 0;
}

static void waiters_get_permits_in_order_of_arrival(void **state)
{
    struct line l = {.n = 0};

    assert_int_equal(t_run(t_workers(state), line_up, &l), 0);
}

struct taker {
    weft_sem *s;
    atomic_int *near;
    int rc;
    bool keeps;
};

static long takes(void *arg)
{
    struct taker *t = arg;

    if (t->near)
        atomic_fetch_add(t->near, 1);
    t->rc = weft_sem_acquire(t->s);
    if (t->rc == 0 && !t->keeps)
        t_equal(weft_sem_release(t->s), 0);
    return 0;
}

static long overtake(void *arg)
{
    weft_sem s = WEFT_SEM(0, 0);
    struct taker w[2] = {{&s, NULL, 1, true}, {&s, NULL, 1, true}};
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, takes, &w[0]), 0);
        t_equal(weft_spawn(&g, takes, &w[1]), 0);
        t_check(t_wait_waiting("semaphore", 2));
        for (int i = 0; i < 2; i++) {
            t_equal(weft_sem_release(&s), 0);
            t_equal(weft_sem_value(&s), 0);
            t_equal(weft_sem_tryacquire(&s), -EAGAIN);
        }
    }
    t_equal(w[0].rc, 0);
    t_equal(w[1].rc, 0);
    t_equal(weft_sem_value(&s), 0);
    return 0;
}

static void who_comes_later_does_not_overtake_waiters(void **state)
{
    assert_int_equal(t_run(t_workers(state), overtake, NULL), 0);
}

/* ---- cancel ------------------------------------------------------------- */

static long cancel_orders(void *arg)
{
    (void)arg;
    for (int how = 0; how < 4; how++) {
        weft_sem s = WEFT_SEM(0, 1);
        struct taker w[2] = {{&s, NULL, 1, true}, {&s, NULL, 1, true}};
        weft_task *t[2];
        weft_group g;

        weft_with_group(&g) {
            t_equal(weft_spawn_task(&g, takes, &w[0], &t[0]), 0);
            t_check(t_wait_waiting("semaphore", 1));
            t_equal(weft_spawn_task(&g, takes, &w[1], &t[1]), 0);
            t_check(t_wait_waiting("semaphore", 2));
            if (how == 0) { /* after the wake */
                t_equal(weft_sem_release(&s), 0);
                t_equal(weft_task_cancel(t[0]), 0);
            } else if (how == 1) { /* before: it goes to the next */
                t_equal(weft_task_cancel(t[0]), 0);
                t_equal(weft_sem_release(&s), 0);
            } else if (how == 2) { /* the last one; both */
                t_equal(weft_task_cancel(t[1]), 0);
                t_equal(weft_task_cancel(t[0]), 0);
                t_equal(weft_sem_release(&s), 0);
            }
            if (how == 0)
                t_equal(weft_await(t[0]), 0);
            if (how == 1)
                t_equal(weft_await(t[1]), 0);
            weft_group_cancel(&g);
        }
        t_equal(w[0].rc, how == 0 ? 0 : -ECANCELED);
        t_equal(w[1].rc, how == 1 ? 0 : -ECANCELED);
        t_equal(weft_sem_value(&s), how == 2);
        t_equal(weft_sem_tryacquire(&s), how == 2 ? 0 : -EAGAIN);
        t_equal(weft_sem_release(&s), 0);
        t_equal(weft_sem_release(&s), -EOVERFLOW);
    }
    return 0;
}

static void a_cancelled_acquire_swallows_no_permit(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_orders, NULL), 0);
}

static long refused(void *arg)
{
    weft_sem s = WEFT_SEM(1, 1);

    (void)arg;
    weft_with_timeout(0)
        t_equal(weft_sem_acquire(&s), -ETIMEDOUT);
    t_equal(weft_sem_value(&s), 1);
    weft_with_timeout(0)
        weft_with_sem(&s) t_check(false);
    t_equal(weft_sem_value(&s), 1);
    return 0;
}

static void a_cancelled_task_takes_no_free_permit(void **state)
{
    assert_int_equal(t_run(t_workers(state), refused, NULL), 0);
}

static void gives(void *s)
{
    t_equal(weft_sem_release(s), 0);
}

/* One permit, given back as the first of two who wait is cancelled. */
static long race_cancels(void *arg)
{
    long rounds = *(long *)arg, got = 0;

    race_rounds(v, i, rounds)
    {
        weft_sem s = WEFT_SEM(0, 1);
        atomic_int near = 0;
        struct taker w[2] = {{&s, &near, 1, false}, {&s, &near, 1, false}};
        weft_task *first;
        weft_group g;

        weft_with_group(&g) {
            t_equal(weft_spawn_task(&g, takes, &w[0], &first), 0);
            if (i % 4)
                t_equal(weft_spawn(&g, takes, &w[1]), 0);
            race_let_in(&near, i % 4 ? 2 : 1);
            race(v, gives, &s, race_cancel, first, i);
        }
        t_check(w[0].rc == 0 || w[0].rc == -ECANCELED);
        t_equal(w[1].rc, i % 4 ? 0 : 1);
        t_equal(weft_sem_value(&s), 1);
        t_equal(weft_sem_tryacquire(&s), 0);
        got += w[0].rc == 0;
    }
    return got;
}

static void a_release_while_cancelling_loses_no_permit(void **state)
{
    long rounds = t_scale(1200), got;

    got = t_run(t_workers(state), race_cancels, &rounds);
    assert_in_range(got, 0, rounds);
}

static long race_timeouts(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        weft_sem s = WEFT_SEM(0, 0);
        int rc = 1;

        race_start(v, gives, &s, i * 7919 % 512 * 40);
        weft_with_timeout(i % 51 * WEFT_US)
            rc = weft_sem_acquire(&s);
        race_finish(v);
        t_check(rc == 0 || rc == -ETIMEDOUT);
        t_equal(weft_sem_value(&s), rc == 0 ? 0 : 1);
        t_equal(weft_sem_tryacquire(&s), rc == 0 ? -EAGAIN : 0);
    }
    return 0;
}

static void a_timeout_that_races_a_grant_keeps_count(void **state)
{
    long rounds = t_scale(1200);

    assert_int_equal(t_run(t_workers(state), race_timeouts, &rounds), 0);
}

/* Everybody at once, with time-outs and cancels; then nothing is missing. */
static long wild(void *arg)
{
    struct room *r = arg;

    for (long i = 0; i < r->rounds; i++) {
        int rc = 1;

        weft_with_timeout((i * 13 + (long)(intptr_t)&rc / 4096) % 51 * WEFT_US)
            rc = weft_sem_acquire(&r->s);
        if (rc == 0) {
            t_check(atomic_fetch_add(&r->inside, 1) < 2);
            if (i % 8 == 0)
                (void)weft_yield();
            atomic_fetch_sub(&r->inside, 1);
            t_equal(weft_sem_release(&r->s), 0);
        } else if (rc == -ECANCELED) {
            break;
        } else {
            t_equal(rc, -ETIMEDOUT);
        }
    }
    return 0;
}

static long all_wild(void *arg)
{
    struct room *r = arg;

    for (int round = 0; round < 20; round++) {
        weft_task *t[TASKS];
        weft_group g;

        weft_with_group(&g) {
            for (int i = 0; i < TASKS; i++)
                t_equal(weft_spawn_task(&g, wild, r, &t[i]), 0);
            for (int i = 0; i < TASKS / 2; i++) {
                t_equal(weft_sleep(100 * WEFT_US), 0);
                t_equal(weft_task_cancel(t[i]), 0);
            }
        }
        t_equal(weft_sem_value(&r->s), 2);
    }
    return 0;
}

static void permits_are_conserved_among_timeouts_and_cancels(void **state)
{
    struct room r = {.s = WEFT_SEM(2, 2), .rounds = t_scale(300)};

    assert_int_equal(t_run(t_workers(state), all_wild, &r), 0);
    assert_int_equal(weft_sem_release(&r.s), -EOVERFLOW);
}

static long cancel_all(void *arg)
{
    weft_sem s = WEFT_SEM(0, 0);
    struct taker w[TASKS];
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        for (int i = 0; i < TASKS; i++) {
            w[i] = (struct taker){&s, NULL, 1, false};
            t_equal(weft_spawn(&g, takes, &w[i]), 0);
        }
        t_check(t_wait_waiting("semaphore", TASKS));
        weft_group_cancel(&g);
    }
    for (int i = 0; i < TASKS; i++)
        t_equal(w[i].rc, -ECANCELED);
    t_equal(weft_sem_release(&s), 0);
    t_equal(weft_sem_value(&s), 1);
    t_equal(weft_sem_acquire(&s), 0);
    return 0;
}

static void when_all_waiters_are_cancelled_it_counts_on(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_all, NULL), 0);
}

/* ---- its end ------------------------------------------------------------ */

static void takes_and_frees(void *s)
{
    for (long i = 1; weft_sem_tryacquire(s) == -EAGAIN; i++)
        if (i % 1024 == 0)
            t_equal(weft_yield(), 0);
    race_overwrite(s, sizeof(weft_sem));
}

static long free_at_once(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        weft_sem s = WEFT_SEM(0, 0);

        if (i % 2)
            weft_with_timeout(WEFT_US) /* waiters are looked for in vain */
                t_equal(weft_sem_acquire(&s), -ETIMEDOUT);
        race(v, gives, &s, takes_and_frees, &s, i);
    }
    return 0;
}

static void who_has_the_permit_may_free_the_semaphore(void **state)
{
    long rounds = t_scale(800);

    assert_int_equal(t_run(t_workers(state), free_at_once, &rounds), 0);
}

/* ---- threads, blocks ---------------------------------------------------- */

static void *strange_thread(void *arg)
{
    weft_sem *s = arg, own = WEFT_SEM(1, 1);
    long n = 0;

    n += weft_sem_acquire(&own) == -EPERM;
    n += weft_sem_value(&own) == 1;
    n += weft_sem_tryacquire(&own) == 0;
    n += weft_sem_tryacquire(&own) == -EAGAIN;
    usleep(2000);
    n += weft_sem_release(s) == 0;
    return (void *)(intptr_t)n;
}

static long wait_for_thread(void *arg)
{
    weft_sem s = WEFT_SEM(0, 0);
    pthread_t thread;
    void *n;

    (void)arg;
    t_equal(pthread_create(&thread, NULL, strange_thread, &s), 0);
    t_equal(weft_sem_acquire(&s), 0);
    t_equal(pthread_join(thread, &n), 0);
    t_equal((intptr_t)n, 5);
    t_equal(weft_sem_value(&s), 0);
    return 0;
}

static void a_foreign_thread_may_release(void **state)
{
    assert_int_equal(t_run(t_workers(state), wait_for_thread, NULL), 0);
}

static int acquire_and_return(weft_sem *s)
{
    weft_with_sem(s)
    {
        t_equal(weft_sem_value(s), 0);
        return 1;
    }
    return 0;
}

static long blocks(void *arg)
{
    weft_sem s = WEFT_SEM(1, 1);
    int ran = 0;

    (void)arg;
    t_equal(acquire_and_return(&s), 1);
    t_equal(weft_sem_value(&s), 1);
    for (int i = 0; i < 3; i++) {
        weft_with_sem(&s)
        {
            ran++;
            if (i < 2)
                continue;
            break;
        }
        t_equal(weft_sem_value(&s), 1);
    }
    return ran;
}

static void a_block_releases_however_it_is_left(void **state)
{
    assert_int_equal(t_run(t_workers(state), blocks, NULL), 3);
}

static const struct CMUnitTest tests[] = {
    T_EACH(no_more_than_its_permits_are_out),
    T_EACH(of_one_permit_it_is_a_lock),
    T_EACH(a_release_above_the_bound_is_refused),
    T_EACH(waiters_get_permits_in_order_of_arrival),
    T_EACH(who_comes_later_does_not_overtake_waiters),
    T_EACH(a_cancelled_acquire_swallows_no_permit),
    T_EACH(a_cancelled_task_takes_no_free_permit),
    T_EACH(a_release_while_cancelling_loses_no_permit),
    T_EACH(a_timeout_that_races_a_grant_keeps_count),
    T_EACH(permits_are_conserved_among_timeouts_and_cancels),
    T_EACH(when_all_waiters_are_cancelled_it_counts_on),
    T_EACH(who_has_the_permit_may_free_the_semaphore),
    T_EACH(a_foreign_thread_may_release),
    T_EACH(a_block_releases_however_it_is_left),
};

T_MAIN(tests)
