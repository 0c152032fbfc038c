/* SPDX-License-Identifier: MIT */
/* The mutex: cases 27-29. */
#include "races.h"

#include <pthread.h>

/* ---- exclusion ---------------------------------------------------------- */

#define TASKS 8

struct counter {
    weft_mutex m;
    long value; /* under m, on purpose not atomic */
    long rounds;
    int inside;
};

static long increments(void *arg)
{
    struct counter *c = arg;

    for (long i = 0; i < c->rounds; i++) {
        if (!t_equal(weft_mutex_lock(&c->m), 0))
            break;
        t_equal(++c->inside, 1);
        c->value++;
        if (i % 64 == 0)
            t_equal(weft_yield(), 0);
        c->inside--;
        t_equal(weft_mutex_unlock(&c->m), 0);
    }
    return 0;
}

static long count(void *arg)
{
    weft_group g;

    weft_with_group(&g)
        for (int i = 0; i < TASKS; i++)
            t_equal(weft_spawn(&g, increments, arg), 0);
    return weft_group_wait(&g);
}

static void no_increment_is_lost(void **state)
{
    struct counter c = {.rounds = t_scale(100000)};

    assert_int_equal(t_run(t_workers(state), count, &c), 0);
    assert_int_equal(c.value, TASKS * c.rounds);
    assert_false(weft_mutex_locked(&c.m));
}

/* ---- order -------------------------------------------------------------- */

struct line {
    weft_mutex m;
    int order[TASKS], n;
    atomic_int over;
    long barged;
};

struct place {
    struct line *line;
    int number;
};

static long queues_up(void *arg)
{
    struct place *p = arg;

    t_equal(weft_mutex_lock(&p->line->m), 0);
    p->line->order[p->line->n++] = p->number;
    t_equal(weft_mutex_unlock(&p->line->m), 0);
    return 0;
}

static long line_up(void *arg)
{
    struct line *l = arg;
    struct place p[TASKS];
    weft_group g;

    weft_with_group(&g) {
        t_equal(weft_mutex_lock(&l->m), 0);
        for (int i = 0; i < TASKS; i++) {
            p[i] = (struct place){l, i};
            t_equal(weft_spawn(&g, queues_up, &p[i]), 0);
            t_check(t_wait_waiting("mutex", i + 1));
        }
        t_check(weft_mutex_locked(&l->m));
        t_equal(weft_mutex_unlock(&l->m), 0);
    }
    t_equal(l->n, TASKS);
    for (int i = 0; i < TASKS; i++)
        t_equal(l->order[i], i);
    return 0;
}

static void waiters_get_it_in_order_of_arrival(void **state)
{
    struct line l = {.n = 0};

    assert_int_equal(t_run(t_workers(state), line_up, &l), 0);
}

static long barges(void *arg)
{
    struct line *l = arg;
    int64_t end = weft_now() + 10 * WEFT_SEC;

    while (!atomic_load(&l->over) && weft_now() < end) {
        t_equal(weft_mutex_lock(&l->m), 0);
        l->barged++;
        t_equal(weft_mutex_unlock(&l->m), 0);
    }
    return 0;
}

static long among_bargers(void *arg)
{
    struct line *l = arg;
    weft_group g;

    weft_with_group(&g) {
        t_equal(weft_spawn(&g, barges, l), 0);
        t_equal(weft_spawn(&g, barges, l), 0);
        for (int i = 0; i < 200; i++) {
            t_equal(weft_mutex_lock(&l->m), 0);
            t_equal(weft_yield(), 0);
            t_equal(weft_mutex_unlock(&l->m), 0);
        }
        atomic_store(&l->over, 1);
    }
    return 0;
}

static void bargers_cannot_starve_a_waiter(void **state)
{
    struct line l = {.n = 0};
    int64_t start = weft_now();

    assert_int_equal(t_run(t_workers(state), among_bargers, &l), 0);
    assert_true(weft_now() - start < 8 * WEFT_SEC);
}

/* ---- called, and overtaken ----------------------------------------------- */

/* By a holder who runs all the time, as far as others can see. */
static bool await_waiters(int n)
{
    int64_t end = weft_now() + 10 * WEFT_SEC;

    while (t_waiting("mutex") < n)
        if (weft_now() > end || weft_yield() < 0)
            return false;
    return true;
}

struct guest {
    weft_mutex m;
    atomic_int inside, leave;
    unsigned workers;
};

static long stays(void *arg)
{
    struct guest *g = arg;

    t_equal(weft_mutex_lock(&g->m), 0);
    atomic_store(&g->inside, 1);
    while (!atomic_load(&g->leave))
        t_equal(weft_yield(), 0);
    t_equal(weft_mutex_unlock(&g->m), 0);
    return 0;
}

static long overtake(void *arg)
{
    struct guest *g = arg;
    int64_t end = weft_now() + 8 * WEFT_SEC;
    weft_group group;

    weft_with_group(&group) {
        int times = 0;

        t_equal(weft_mutex_lock(&g->m), 0);
        t_equal(weft_spawn(&group, stays, g), 0);
        t_check(await_waiters(1));
        t_equal(weft_mutex_unlock(&g->m), 0);
        while (weft_mutex_trylock(&g->m) == 0 && weft_now() < end) {
            times++;
            t_equal(weft_sleep(WEFT_MS), 0); /* it comes in vain */
            t_equal(weft_mutex_unlock(&g->m), 0);
        }
        t_check(weft_now() < end);
        t_check(g->workers > 1 || times == 0);
        atomic_store(&g->leave, 1);
    }
    t_check(atomic_load(&g->inside));
    t_check(!weft_mutex_locked(&g->m));
    return 0;
}

static void who_came_in_vain_is_handed_it(void **state)
{
    for (int i = 0; i < 20; i++) {
        struct guest g = {.workers = t_workers(state)};

        assert_int_equal(t_run(t_workers(state), overtake, &g), 0);
    }
}

/* ---- cancel ------------------------------------------------------------- */

struct waiter {
    weft_mutex *m;
    int rc;
};

static long tries_it(void *arg)
{
    struct waiter *w = arg;

    w->rc = weft_mutex_lock(w->m);
    if (w->rc == 0)
        t_equal(weft_mutex_unlock(w->m), 0);
    return 0;
}

/* The first waiter is cancelled as the lock is released, before or after. */
static void cancel_first(long round)
{
    weft_mutex m = {{0}};
    struct waiter w[2] = {{&m, 1}, {&m, 1}};
    weft_task *first, *second;
    weft_group g;

    weft_with_group(&g) {
        t_equal(weft_mutex_lock(&m), 0);
        t_equal(weft_spawn_task(&g, tries_it, &w[0], &first), 0);
        t_check(t_wait_waiting("mutex", 1));
        t_equal(weft_spawn_task(&g, tries_it, &w[1], &second), 0);
        t_check(t_wait_waiting("mutex", 2));
        if (round & 1) {
            t_equal(weft_task_cancel(first), 0);
            t_equal(weft_mutex_unlock(&m), 0);
        } else {
            t_equal(weft_mutex_unlock(&m), 0);
            t_equal(weft_task_cancel(first), 0);
        }
        t_equal(weft_await(second), 0);
        t_equal(w[1].rc, 0);
    }
    /* Released first, it was granted first, and a grant is never lost. */
    t_equal(w[0].rc, round & 1 ? -ECANCELED : 0);
    t_check(!weft_mutex_locked(&m));
}

static long cancel_often(void *arg)
{
    long rounds = *(long *)arg;

    for (long i = 0; i < rounds; i++)
        cancel_first(i);
    return 0;
}

static void a_cancelled_first_waiter_is_passed_over(void **state)
{
    long rounds = t_scale(300);

    assert_int_equal(t_run(t_workers(state), cancel_often, &rounds), 0);
}

/* The first was called, and perhaps finds the mutex taken; then it is
 * cancelled, and the second must not wait for it. */
static void cancel_called(long round)
{
    weft_mutex m = {{0}};
    struct waiter w[2] = {{&m, 1}, {&m, 1}};
    weft_task *first, *second;
    weft_group g;

    weft_with_group(&g) {
        bool taken;

        t_equal(weft_mutex_lock(&m), 0);
        t_equal(weft_spawn_task(&g, tries_it, &w[0], &first), 0);
        t_check(await_waiters(1));
        t_equal(weft_spawn_task(&g, tries_it, &w[1], &second), 0);
        t_check(await_waiters(2));
        t_equal(weft_mutex_unlock(&m), 0);
        taken = weft_mutex_trylock(&m) == 0;
        t_equal(weft_task_cancel(first), 0);
        for (long i = round % 4; i > 0; i--)
            t_equal(weft_yield(), 0);
        if (taken)
            t_equal(weft_mutex_unlock(&m), 0);
        t_equal(weft_await(second), 0);
        t_equal(w[1].rc, 0);
    }
    t_check(w[0].rc == 0 || w[0].rc == -ECANCELED);
    t_check(!weft_mutex_locked(&m));
}

static long cancel_called_often(void *arg)
{
    long rounds = *(long *)arg;

    for (long i = 0; i < rounds; i++)
        cancel_called(i);
    return 0;
}

static void one_who_was_called_and_cancelled_passes_it_on(void **state)
{
    long rounds = t_scale(300);

    assert_int_equal(t_run(t_workers(state), cancel_called_often, &rounds), 0);
}

static long locks_on(void *arg)
{
    struct counter *c = arg;

    for (;;) {
        int rc = weft_mutex_lock(&c->m);

        if (rc) {
            t_equal(rc, -ECANCELED);
            return 0;
        }
        c->value++;
        (void)weft_yield();
        t_equal(weft_mutex_unlock(&c->m), 0);
    }
}

/* Cancels that race hand-overs on other workers. */
static long cancel_racing(void *arg)
{
    struct counter *c = arg;

    for (long i = 0; i < c->rounds; i++) {
        weft_task *t[TASKS];
        weft_group g;

        weft_with_group(&g) {
            for (int k = 0; k < TASKS; k++)
                t_equal(weft_spawn_task(&g, locks_on, c, &t[k]), 0);
            for (int k = 0; k < TASKS; k++) {
                t_equal(weft_yield(), 0);
                t_equal(weft_task_cancel(t[k]), 0);
            }
        }
        t_check(!weft_mutex_locked(&c->m));
    }
    return 0;
}

static void cancels_that_race_grants_lose_no_lock(void **state)
{
    struct counter c = {.rounds = t_scale(1000)};

    assert_int_equal(t_run(t_workers(state), cancel_racing, &c), 0);
}

static void unlocks(void *m)
{
    t_equal(weft_mutex_unlock(m), 0);
}

static void locks_and_unlocks(void *m)
{
    t_equal(weft_mutex_lock(m), 0);
    t_equal(weft_mutex_unlock(m), 0);
}

struct near_waiter {
    struct waiter w;
    atomic_int *near;
};

static long comes_near(void *arg)
{
    struct near_waiter *n = arg;

    atomic_fetch_add(n->near, 1);
    return tries_it(&n->w);
}

/* The unlock and the cancel of the first who waits meet; a newcomer too. */
static long cancel_as_granted(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        weft_mutex m = {{0}};
        atomic_int near = 0;
        struct near_waiter n[2] = {{{&m, 1}, &near}, {{&m, 1}, &near}};
        bool two = i / 2 % 2;
        weft_task *first;
        weft_group g;

        weft_with_group(&g) {
            t_equal(weft_mutex_lock(&m), 0);
            t_equal(weft_spawn_task(&g, comes_near, &n[0], &first), 0);
            if (two)
                t_equal(weft_spawn(&g, comes_near, &n[1]), 0);
            race_let_in(&near, two ? 2 : 1);
            race(v, unlocks, &m, race_cancel, first, i);
            if (i / 4 % 2)
                locks_and_unlocks(&m);
        }
        t_check(n[0].w.rc == 0 || n[0].w.rc == -ECANCELED);
        t_equal(n[1].w.rc, two ? 0 : 1);
        t_check(!weft_mutex_locked(&m));
    }
    return 0;
}

static void a_cancel_exactly_as_it_is_granted_loses_no_lock(void **state)
{
    long rounds = t_scale(1200);

    assert_int_equal(t_run(t_workers(state), cancel_as_granted, &rounds), 0);
}

static long locks_in_time(void *arg)
{
    struct counter *c = arg;

    for (long i = 0; i < c->rounds; i++) {
        int rc = 1;

        weft_with_timeout((i * 13 + (long)(intptr_t)&rc / 4096) % 51 * WEFT_US)
            rc = weft_mutex_lock(&c->m);
        if (rc == 0) {
            t_equal(++c->inside, 1);
            c->value++;
            if (i % 8 == 0)
                t_equal(weft_yield(), 0);
            c->inside--;
            t_equal(weft_mutex_unlock(&c->m), 0);
        } else {
            t_equal(rc, -ETIMEDOUT);
        }
    }
    return 0;
}

static long time_out(void *arg)
{
    struct counter *c = arg;
    weft_group g;

    weft_with_group(&g)
        for (int i = 0; i < TASKS; i++)
            t_equal(weft_spawn(&g, locks_in_time, c), 0);
    t_check(c->value > 0 || T_SANITIZED);
    t_check(!weft_mutex_locked(&c->m));
    t_equal(weft_mutex_trylock(&c->m), 0);
    t_equal(weft_mutex_unlock(&c->m), 0);
    return 0;
}

static void timeouts_that_race_grants_lose_no_lock(void **state)
{
    struct counter c = {.rounds = t_scale(1000)};

    assert_int_equal(t_run(t_workers(state), time_out, &c), 0);
}

static void takes_and_frees(void *arg)
{
    weft_mutex *m = arg;

    for (long i = 1; weft_mutex_trylock(m) == -EAGAIN; i++)
        if (i % 1024 == 0)
            t_equal(weft_yield(), 0);
    t_equal(weft_mutex_unlock(m), 0);
    race_overwrite(m, sizeof *m);
}

static long gives_up(void *arg)
{
    weft_with_timeout(20 * WEFT_US)
        t_equal(weft_mutex_lock(arg), -ETIMEDOUT);
    return 0;
}

/* Half the rounds have a waiter that has given up, whom the unlock looks for
 * in vain. */
static long free_at_once(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        weft_mutex m = {{0}};
        weft_group g;

        weft_with_group(&g) {
            weft_task *t;

            t_equal(weft_mutex_lock(&m), 0);
            if (i % 2) {
                t_equal(weft_spawn_task(&g, gives_up, &m, &t), 0);
                t_equal(weft_await(t), 0);
            }
            race(v, unlocks, &m, takes_and_frees, &m, i / 2 * 2);
        }
    }
    return 0;
}

static void the_next_holder_may_free_it(void **state)
{
    long rounds = t_scale(600);

    assert_int_equal(t_run(t_workers(state), free_at_once, &rounds), 0);
}

static long cancel_all(void *arg)
{
    weft_mutex m = {{0}};
    struct waiter w[TASKS];
    weft_group g;

    (void)arg;
    t_equal(weft_mutex_lock(&m), 0);
    weft_with_group(&g) {
        for (int i = 0; i < TASKS; i++) {
            w[i] = (struct waiter){&m, 1};
            t_equal(weft_spawn(&g, tries_it, &w[i]), 0);
        }
        t_check(t_wait_waiting("mutex", TASKS));
        weft_group_cancel(&g);
    }
    for (int i = 0; i < TASKS; i++)
        t_equal(w[i].rc, -ECANCELED);
    t_check(weft_mutex_locked(&m));
    t_equal(weft_mutex_unlock(&m), 0);
    t_check(!weft_mutex_locked(&m));
    t_equal(weft_mutex_trylock(&m), 0);
    t_equal(weft_mutex_unlock(&m), 0);
    return 0;
}

static void when_all_waiters_are_cancelled_the_lock_is_free(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_all, NULL), 0);
}

/* ---- misuse ------------------------------------------------------------- */

static long strange(void *arg)
{
    weft_mutex *m = arg;

    t_equal(weft_mutex_unlock(m), -EPERM);
    t_equal(weft_mutex_trylock(m), -EAGAIN);
    weft_with_timeout(WEFT_MS)
        t_equal(weft_mutex_lock(m), -ETIMEDOUT);
    return 0;
}

static void *strange_thread(void *arg)
{
    weft_mutex *m = arg;
    long n = 0;

    n += weft_mutex_unlock(m) == -EPERM;
    n += weft_mutex_lock(m) == -EPERM;
    n += weft_mutex_trylock(m) == -EPERM;
    n += weft_mutex_locked(m) != 0;
    return (void *)(intptr_t)n;
}

static long misuse(void *arg)
{
    weft_mutex m = {{0}};
    weft_group g;
    pthread_t thread;
    void *n = NULL;

    (void)arg;
    t_equal(weft_mutex_unlock(&m), -EPERM);
    t_equal(weft_mutex_lock(&m), 0);
    t_equal(weft_mutex_lock(&m), -EDEADLK);
    t_equal(weft_mutex_trylock(&m), -EDEADLK);
    weft_with_group(&g)
        t_equal(weft_spawn(&g, strange, &m), 0);
    t_equal(pthread_create(&thread, NULL, strange_thread, &m), 0);
    pthread_join(thread, &n);
    t_equal((intptr_t)n, 4);
    t_check(weft_mutex_locked(&m));
    t_equal(weft_mutex_unlock(&m), 0);
    t_equal(weft_mutex_unlock(&m), -EPERM);
    t_check(!weft_mutex_locked(&m));
    return 0;
}

static void unlock_by_a_stranger_and_relock_are_refused(void **state)
{
    assert_int_equal(t_run(t_workers(state), misuse, NULL), 0);
}

static int lock_and_return(weft_mutex *m)
{
    weft_with_mutex(m) {
        t_check(weft_mutex_locked(m));
        return 1;
    }
    return 0;
}

static long blocks(void *arg)
{
    weft_mutex m = {{0}};
    int ran = 0;

    (void)arg;
    t_equal(lock_and_return(&m), 1);
    t_check(!weft_mutex_locked(&m));
    weft_with_mutex(&m) {
        ran++;
        /* Held already: skipped. */
        weft_with_mutex(&m)
            ran += 10;
        t_check(weft_mutex_locked(&m));
    }
    t_check(!weft_mutex_locked(&m));
    weft_with_timeout(0)
        weft_with_mutex(&m)
            ran += 100;
    t_check(!weft_mutex_locked(&m));
    return ran;
}

static void a_block_unlocks_however_it_is_left(void **state)
{
    assert_int_equal(t_run(t_workers(state), blocks, NULL), 1);
}

static const struct CMUnitTest tests[] = {
    T_EACH(no_increment_is_lost),
    T_EACH(waiters_get_it_in_order_of_arrival),
    T_EACH(bargers_cannot_starve_a_waiter),
    T_EACH(who_came_in_vain_is_handed_it),
    T_EACH(a_cancelled_first_waiter_is_passed_over),
    T_EACH(one_who_was_called_and_cancelled_passes_it_on),
    T_EACH(cancels_that_race_grants_lose_no_lock),
    T_EACH(a_cancel_exactly_as_it_is_granted_loses_no_lock),
    T_EACH(timeouts_that_race_grants_lose_no_lock),
    T_EACH(the_next_holder_may_free_it),
    T_EACH(when_all_waiters_are_cancelled_the_lock_is_free),
    T_EACH(unlock_by_a_stranger_and_relock_are_refused),
    T_EACH(a_block_unlocks_however_it_is_left),
};

T_MAIN(tests)
