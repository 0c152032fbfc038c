/* SPDX-License-Identifier: MIT */
/* The condition: cases 32 and 33. */
#include "races.h"

#include <pthread.h>

#define WAITERS 100

struct place {
    weft_mutex m;
    weft_cond c;
    atomic_int near;
    int woken; /* under m, as all below */
    int inside;
    int order[WAITERS];
    int goal;
    long checks;
};

struct guest {
    struct place *p;
    int number;
    int rc;
};

static void hold(struct place *p)
{
    t_equal(++p->inside, 1);
    p->inside--;
}

static long waits(void *arg)
{
    struct guest *g = arg;
    struct place *p = g->p;

    t_equal(weft_mutex_lock(&p->m), 0);
    atomic_fetch_add(&p->near, 1);
    g->rc = weft_cond_wait(&p->c, &p->m);
    hold(p);
    if (g->rc == 0)
        p->order[p->woken++] = g->number;
    t_equal(weft_mutex_unlock(&p->m), 0);
    return 0;
}

static void invite(weft_group *g, struct place *p, struct guest *guests, int n)
{
    for (int i = 0; i < n; i++) {
        guests[i] = (struct guest){p, i, 1};
        t_equal(weft_spawn(g, waits, &guests[i]), 0);
        t_check(t_wait_waiting("condition", i + 1));
    }
}

static int count(struct place *p)
{
    int n = 0;

    weft_with_mutex(&p->m)
        n = p->woken;
    return n;
}

/* n have woken, and no more of them. */
static bool exactly(struct place *p, int n)
{
    int64_t end = weft_now() + 10 * WEFT_SEC;

    while (count(p) < n)
        if (weft_now() > end || weft_sleep(WEFT_MS / 5) < 0)
            return false;
    return weft_sleep(2 * WEFT_MS) == 0 && count(p) == n;
}

/* ---- signals ------------------------------------------------------------ */

static long signal_some(void *arg)
{
    struct place p = {.woken = 0};
    struct guest guests[10];
    weft_group g;

    (void)arg;
    t_equal(weft_cond_signal(&p.c), 0);
    t_equal(weft_cond_broadcast(&p.c), 0);
    weft_with_group(&g) {
        invite(&g, &p, guests, 10);
        t_check(!weft_mutex_locked(&p.m));
        t_equal(weft_cond_signal_n(&p.c, 0), 0);
        t_equal(weft_cond_signal_n(&p.c, -1), 0);
        t_equal(weft_cond_signal_n(&p.c, 3), 3);
        t_check(exactly(&p, 3));
        t_equal(t_waiting("condition"), 7);
        t_equal(weft_cond_signal(&p.c), 1);
        t_check(exactly(&p, 4));
        t_equal(weft_cond_signal_n(&p.c, 100), 6);
    }
    t_equal(p.woken, 10);
    for (int i = 0; i < 10; i++)
        t_equal(guests[i].rc, 0);
    t_equal(weft_cond_broadcast(&p.c), 0);
    return 0;
}

static void a_signal_for_n_wakes_exactly_n(void **state)
{
    assert_int_equal(t_run(t_workers(state), signal_some, NULL), 0);
}

static long one_by_one(void *arg)
{
    struct place p = {.woken = 0};
    struct guest guests[8];
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        invite(&g, &p, guests, 8);
        for (int i = 0; i < 8; i++) {
            t_equal(weft_cond_signal(&p.c), 1);
            while (count(&p) <= i)
                t_equal(weft_yield(), 0);
        }
    }
    for (int i = 0; i < 8; i++)
        t_equal(p.order[i], i);
    return 0;
}

static void signals_go_in_order_of_arrival(void **state)
{
    assert_int_equal(t_run(t_workers(state), one_by_one, NULL), 0);
}

static long all_at_once(void *arg)
{
    struct place p = {.woken = 0};
    struct guest guests[WAITERS];
    weft_group g;

    (void)arg;
    for (int round = 1; round <= 5; round++) {
        p.woken = 0;
        weft_with_group(&g) {
            for (int i = 0; i < WAITERS; i++) {
                guests[i] = (struct guest){&p, i, 1};
                t_equal(weft_spawn(&g, waits, &guests[i]), 0);
            }
            t_check(t_wait_waiting("condition", WAITERS));
            weft_with_mutex(&p.m) {
                t_equal(weft_cond_broadcast(&p.c), WAITERS);
                t_equal(weft_cond_broadcast(&p.c), 0);
                t_equal(p.woken, 0); /* they need m first */
            }
        }
        t_equal(p.woken, WAITERS);
    }
    return 0;
}

static void a_broadcast_wakes_each_of_100_once(void **state)
{
    assert_int_equal(t_run(t_workers(state), all_at_once, NULL), 0);
}

/* ---- predicates --------------------------------------------------------- */

static int reached(void *arg)
{
    struct place *p = arg;

    hold(p);
    p->checks++;
    return p->goal >= 10;
}

static long waits_for(void *arg)
{
    struct guest *g = arg;
    struct place *p = g->p;

    t_equal(weft_mutex_lock(&p->m), 0);
    atomic_fetch_add(&p->near, 1);
    g->rc = weft_cond_wait_for(&p->c, &p->m, reached, p);
    hold(p);
    t_equal(p->goal >= 10, g->rc == 0);
    p->woken++;
    t_equal(weft_mutex_unlock(&p->m), 0);
    return 0;
}

static long count_up(void *arg)
{
    struct place p = {.woken = 0};
    struct guest guests[WAITERS];
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        for (int i = 0; i < WAITERS; i++) {
            guests[i] = (struct guest){&p, i, 1};
            t_equal(weft_spawn(&g, waits_for, &guests[i]), 0);
        }
        t_check(t_wait_waiting("condition", WAITERS));
        for (int i = 0; i < 10; i++) {
            weft_with_mutex(&p.m) {
                t_equal(p.woken, 0);
                p.goal++;
                t_check(weft_cond_broadcast(&p.c) <= WAITERS);
            }
            t_equal(weft_yield(), 0);
        }
    }
    t_equal(p.woken, WAITERS);
    t_check(p.checks >= 2 * WAITERS); /* before the wait and after it */
    /* It holds already: no wait. */
    weft_with_mutex(&p.m)
        t_equal(weft_cond_wait_for(&p.c, &p.m, reached, &p), 0);
    return 0;
}

static void a_predicate_is_asked_until_it_holds(void **state)
{
    assert_int_equal(t_run(t_workers(state), count_up, NULL), 0);
}

static long give_up(void *arg)
{
    struct place p = {.woken = 0};

    (void)arg;
    weft_with_mutex(&p.m) {
        weft_with_timeout(WEFT_MS)
            t_equal(weft_cond_wait_for(&p.c, &p.m, reached, &p), -ETIMEDOUT);
        t_equal(p.checks, 1);
        weft_with_timeout(0)
            t_equal(weft_cond_wait_for(&p.c, &p.m, reached, &p), -ETIMEDOUT);
        t_equal(p.checks, 1);
        t_check(weft_mutex_trylock(&p.m) == -EDEADLK);
    }
    return 0;
}

static void a_predicate_that_never_holds_times_out(void **state)
{
    assert_int_equal(t_run(t_workers(state), give_up, NULL), 0);
}

/* A bounded buffer of two ends; nothing is lost and nobody sleeps for ever. */
struct buffer {
    weft_mutex m;
    weft_cond filled, emptied;
    int n;
    long in, out, rounds;
};

static long fills(void *arg)
{
    struct buffer *b = arg;

    for (long i = 0; i < b->rounds; i++)
        weft_with_mutex(&b->m) {
            while (b->n == 3)
                t_equal(weft_cond_wait(&b->emptied, &b->m), 0);
            b->n++;
            b->in++;
            (void)weft_cond_signal(&b->filled);
        }
    return 0;
}

static long empties(void *arg)
{
    struct buffer *b = arg;

    for (long i = 0; i < b->rounds; i++) {
        t_equal(weft_mutex_lock(&b->m), 0);
        while (b->n == 0)
            t_equal(weft_cond_wait(&b->filled, &b->m), 0);
        b->n--;
        b->out++;
        t_equal(weft_mutex_unlock(&b->m), 0);
        (void)weft_cond_signal(&b->emptied);
    }
    return 0;
}

static long use_buffer(void *arg)
{
    struct buffer *b = arg;
    weft_group g;

    weft_with_group(&g)
        for (int i = 0; i < 4; i++) {
            t_equal(weft_spawn(&g, fills, b), 0);
            t_equal(weft_spawn(&g, empties, b), 0);
        }
    t_equal(b->n, 0);
    t_equal(b->in, 4 * b->rounds);
    t_equal(b->out, 4 * b->rounds);
    return 0;
}

static void no_signal_is_lost_in_a_bounded_buffer(void **state)
{
    struct buffer b = {.rounds = t_scale(10000)};

    assert_int_equal(t_run(t_workers(state), use_buffer, &b), 0);
}

/* ---- cancel ------------------------------------------------------------- */

static long cancel_held(void *arg)
{
    struct place p = {.woken = 0};
    struct guest guest;
    weft_task *t;
    weft_group g;

    (void)arg;
    guest = (struct guest){&p, 0, 1};
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, waits, &guest, &t), 0);
        t_check(t_wait_waiting("condition", 1));
        weft_with_mutex(&p.m) {
            t_equal(weft_task_cancel(t), 0);
            /* It needs the mutex to return, cancelled or not. */
            t_check(t_wait_waiting("mutex", 1));
            t_equal(weft_sleep(2 * WEFT_MS), 0);
            t_equal(guest.rc, 1);
            t_check(!weft_task_done(t));
            t_equal(weft_cond_signal(&p.c), 0);
        }
        t_equal(weft_await(t), 0);
    }
    t_equal(guest.rc, -ECANCELED);
    t_check(!weft_mutex_locked(&p.m));

    weft_with_mutex(&p.m) {
        weft_with_timeout(WEFT_MS)
            t_equal(weft_cond_wait(&p.c, &p.m), -ETIMEDOUT);
        t_check(weft_mutex_locked(&p.m));
        weft_with_timeout(0)
            t_equal(weft_cond_wait(&p.c, &p.m), -ETIMEDOUT);
        t_equal(weft_mutex_trylock(&p.m), -EDEADLK);
    }
    t_check(!weft_mutex_locked(&p.m));
    return 0;
}

static void a_cancelled_wait_has_the_mutex_again(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_held, NULL), 0);
}

struct signaller {
    struct place *p;
    int woken;
    bool locks;
};

static void signals(void *arg)
{
    struct signaller *s = arg;

    if (s->locks)
        t_equal(weft_mutex_lock(&s->p->m), 0);
    s->woken = weft_cond_signal(&s->p->c);
    if (s->locks)
        t_equal(weft_mutex_unlock(&s->p->m), 0);
}

/* A signal and the cancel of one of two who wait. */
static long race_cancels(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        struct place p = {.woken = 0};
        struct guest w[2] = {{&p, 0, 1}, {&p, 1, 1}};
        struct signaller s = {&p, 0, i / 2 % 2};
        weft_task *t[2];
        int more = 0, one = i / 4 % 2;
        weft_group g;

        weft_with_group(&g) {
            t_equal(weft_spawn_task(&g, waits, &w[0], &t[0]), 0);
            t_equal(weft_spawn_task(&g, waits, &w[1], &t[1]), 0);
            race_let_in(&p.near, 2);
            weft_with_mutex(&p.m) /* both are in */
                t_equal(p.woken, 0);
            race(v, signals, &s, race_cancel, t[one], i);
            weft_with_mutex(&p.m)
                more = weft_cond_broadcast(&p.c);
        }
        t_equal(s.woken, 1);
        t_check(w[one].rc == 0 || w[one].rc == -ECANCELED);
        t_equal(w[!one].rc, 0);
        t_equal(p.woken, s.woken + more);
        t_equal(p.woken, (w[0].rc == 0) + (w[1].rc == 0));
        t_check(!weft_mutex_locked(&p.m));
    }
    return 0;
}

static void a_signal_that_meets_a_cancelled_waiter_is_passed_on(void **state)
{
    long rounds = t_scale(1000);

    assert_int_equal(t_run(t_workers(state), race_cancels, &rounds), 0);
}

/* It cannot have left the queue yet, with one worker. */
static long signal_after_cancel(void *arg)
{
    struct place p = {.woken = 0};
    struct guest w[2] = {{&p, 0, 1}, {&p, 1, 1}};
    weft_task *first;
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, waits, &w[0], &first), 0);
        t_check(t_wait_waiting("condition", 1));
        t_equal(weft_spawn(&g, waits, &w[1]), 0);
        t_check(t_wait_waiting("condition", 2));
        t_equal(weft_task_cancel(first), 0);
        t_equal(weft_cond_signal(&p.c), 1);
    }
    t_equal(w[0].rc, -ECANCELED);
    t_equal(w[1].rc, 0);
    return 0;
}

static void a_signal_right_after_a_cancel_reaches_the_next(void **state)
{
    assert_int_equal(t_run(t_workers(state), signal_after_cancel, NULL), 0);
}

static long race_timeouts(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        struct place p = {.woken = 0};
        struct signaller s = {&p, 0, i % 2};
        int rc = 1;

        t_equal(weft_mutex_lock(&p.m), 0);
        race_start(v, signals, &s, i * 7919 % 512 * 40);
        weft_with_timeout(i % 51 * WEFT_US)
            rc = weft_cond_wait(&p.c, &p.m);
        hold(&p);
        t_equal(weft_mutex_unlock(&p.m), 0);
        race_finish(v);
        t_check(rc == 0 || rc == -ETIMEDOUT);
        t_check(s.woken == 1 || rc);
        t_check(s.woken == 0 || rc == 0);
        t_check(!weft_mutex_locked(&p.m));
    }
    return 0;
}

static void a_timeout_and_a_signal_are_never_both_seen(void **state)
{
    long rounds = t_scale(1200);

    assert_int_equal(t_run(t_workers(state), race_timeouts, &rounds), 0);
}

/* ---- misuse, threads ---------------------------------------------------- */

static void *strange_thread(void *arg)
{
    struct place *p = arg;
    long n = 0;

    n += weft_cond_wait(&p->c, &p->m) == -EPERM;
    n += weft_cond_wait_for(&p->c, &p->m, reached, p) == -EPERM;
    while (weft_cond_signal(&p->c) == 0)
        usleep(200);
    return (void *)(intptr_t)n;
}

static long strange(void *arg)
{
    struct place *p = arg;

    t_equal(weft_cond_wait(&p->c, &p->m), -EPERM); /* another holds it */
    return 0;
}

static long misuse(void *arg)
{
    struct place p = {.woken = 0};
    pthread_t thread;
    void *n;
    weft_group g;

    (void)arg;
    t_equal(weft_cond_wait(&p.c, &p.m), -EPERM);
    t_equal(weft_cond_wait_for(&p.c, &p.m, reached, &p), -EPERM);
    t_equal(p.checks, 0);
    t_equal(weft_mutex_lock(&p.m), 0);
    weft_with_group(&g)
        t_equal(weft_spawn(&g, strange, &p), 0);
    t_equal(pthread_create(&thread, NULL, strange_thread, &p), 0);
    t_equal(weft_cond_wait(&p.c, &p.m), 0);
    t_equal(weft_mutex_unlock(&p.m), 0);
    t_equal(pthread_join(thread, &n), 0);
    t_equal((intptr_t)n, 2);
    return 0;
}

static void a_wait_needs_the_mutex_and_a_signal_no_task(void **state)
{
    assert_int_equal(t_run(t_workers(state), misuse, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    T_EACH(a_signal_for_n_wakes_exactly_n),
    T_EACH(signals_go_in_order_of_arrival),
    T_EACH(a_broadcast_wakes_each_of_100_once),
    T_EACH(a_predicate_is_asked_until_it_holds),
    T_EACH(a_predicate_that_never_holds_times_out),
    T_EACH(no_signal_is_lost_in_a_bounded_buffer),
    T_EACH(a_cancelled_wait_has_the_mutex_again),
    T_EACH(a_signal_that_meets_a_cancelled_waiter_is_passed_on),
    T_EACH(a_signal_right_after_a_cancel_reaches_the_next),
    T_EACH(a_timeout_and_a_signal_are_never_both_seen),
    T_EACH(a_wait_needs_the_mutex_and_a_signal_no_task),
};

T_MAIN(tests)
