/* SPDX-License-Identifier: MIT */
/* The barrier: case 35. */
#include "races.h"

#include <pthread.h>

#define PARTIES 5

struct hall {
    weft_barrier b;
    atomic_int near, through;
    long rounds;
    atomic_int seen[PARTIES]; /* times that index was given out */
    atomic_long arrived;
};

struct party {
    struct hall *h;
    int rc;
};

static long comes(void *arg)
{
    struct party *p = arg;

    atomic_fetch_add(&p->h->near, 1);
    p->rc = weft_barrier_wait(&p->h->b);
    atomic_fetch_add(&p->h->through, 1);
    return 0;
}

static void come(weft_group *g, struct hall *h, struct party *p, int n,
                 weft_task **t)
{
    for (int i = 0; i < n; i++) {
        p[i] = (struct party){h, 99};
        t_equal(weft_spawn_task(g, comes, &p[i], &t[i]), 0);
    }
}

static void wait_until(struct hall *h, unsigned n)
{
    while (weft_barrier_waiting(&h->b) != n)
        t_equal(weft_yield(), 0);
}

static void all_have(const struct party *p, int n, int rc)
{
    for (int i = 0; i < n; i++)
        t_equal(p[i].rc, rc);
}

/* ---- passing ------------------------------------------------------------ */

static long pass_once(void *arg)
{
    struct hall h = {.near = 0};
    struct party p[PARTIES];
    weft_task *t[PARTIES];
    weft_group g;

    (void)arg;
    t_equal(weft_barrier_init(&h.b, 0), -EINVAL);
    t_equal(weft_barrier_init(&h.b, PARTIES), 0);
    weft_with_group(&g) {
        for (int i = 0; i < PARTIES - 1; i++) {
            come(&g, &h, &p[i], 1, &t[i]);
            wait_until(&h, (unsigned)i + 1);
        }
        t_equal(weft_sleep(2 * WEFT_MS), 0);
        t_equal(atomic_load(&h.through), 0);
        t_check(!weft_barrier_broken(&h.b));
        t_equal(weft_barrier_wait(&h.b), PARTIES - 1);
        t_equal(weft_barrier_waiting(&h.b), 0);
    }
    for (int i = 0; i < PARTIES - 1; i++)
        t_equal(p[i].rc, i);
    return 0;
}

static void nobody_passes_until_all_are_there(void **state)
{
    assert_int_equal(t_run(t_workers(state), pass_once, NULL), 0);
}

static long passes_often(void *arg)
{
    struct hall *h = arg;

    for (long i = 0; i < h->rounds; i++) {
        int index;

        atomic_fetch_add(&h->arrived, 1);
        index = weft_barrier_wait(&h->b);
        if (!t_check(index >= 0 && index < PARTIES))
            break;
        /* All of this round, and at most one round more of the others. */
        t_check(atomic_load(&h->arrived) >= PARTIES * (i + 1));
        t_check(atomic_load(&h->arrived) <= PARTIES * (i + 2));
        atomic_fetch_add(&h->seen[index], 1);
    }
    return 0;
}

static long pass_often(void *arg)
{
    struct hall *h = arg;
    weft_group g;

    t_equal(weft_barrier_init(&h->b, PARTIES), 0);
    weft_with_group(&g)
        for (int i = 0; i < PARTIES; i++)
            t_equal(weft_spawn(&g, passes_often, h), 0);
    for (int i = 0; i < PARTIES; i++)
        t_equal(atomic_load(&h->seen[i]), h->rounds);
    t_equal(weft_barrier_waiting(&h->b), 0);
    return 0;
}

static void each_round_gives_each_index_once(void **state)
{
    struct hall h = {.rounds = t_scale(10000)};

    assert_int_equal(t_run(t_workers(state), pass_often, &h), 0);
}

static long pass_alone(void *arg)
{
    weft_barrier b;

    (void)arg;
    t_equal(weft_barrier_init(&b, 1), 0);
    for (int i = 0; i < 1000; i++)
        t_equal(weft_barrier_wait(&b), 0);
    weft_barrier_abort(&b);
    t_equal(weft_barrier_wait(&b), -EPIPE);
    return 0;
}

static void one_party_passes_at_once(void **state)
{
    assert_int_equal(t_run(t_workers(state), pass_alone, NULL), 0);
}

/* ---- breaking ----------------------------------------------------------- */

static void use_again(struct hall *h)
{
    struct party p[PARTIES];
    weft_task *t[PARTIES];
    int sum = 0;
    weft_group g;

    weft_barrier_reset(&h->b);
    t_check(!weft_barrier_broken(&h->b));
    t_equal(weft_barrier_waiting(&h->b), 0);
    weft_with_group(&g)
        come(&g, h, p, PARTIES, t);
    for (int i = 0; i < PARTIES; i++) {
        t_check(p[i].rc >= 0);
        sum += p[i].rc;
    }
    t_equal(sum, PARTIES * (PARTIES - 1) / 2);
}

static long abort_it(void *arg)
{
    struct hall h = {.near = 0};
    struct party p[PARTIES];
    weft_task *t[PARTIES];
    weft_group g;

    (void)arg;
    t_equal(weft_barrier_init(&h.b, PARTIES), 0);
    weft_with_group(&g) {
        come(&g, &h, p, PARTIES - 1, t);
        wait_until(&h, PARTIES - 1);
        weft_barrier_abort(&h.b);
        t_check(weft_barrier_broken(&h.b));
        t_equal(weft_barrier_waiting(&h.b), 0);
        t_equal(weft_barrier_wait(&h.b), -EPIPE);
    }
    all_have(p, PARTIES - 1, -EPIPE);
    t_equal(weft_barrier_wait(&h.b), -EPIPE);
    use_again(&h);
    return 0;
}

static void abort_turns_away_who_waits_and_who_comes(void **state)
{
    assert_int_equal(t_run(t_workers(state), abort_it, NULL), 0);
}

static long reset_it(void *arg)
{
    struct hall h = {.near = 0};
    struct party p[PARTIES];
    weft_task *t[PARTIES];
    weft_group g;

    (void)arg;
    t_equal(weft_barrier_init(&h.b, PARTIES), 0);
    weft_with_group(&g) {
        come(&g, &h, p, PARTIES - 1, t);
        wait_until(&h, PARTIES - 1);
        weft_barrier_reset(&h.b);
        t_check(!weft_barrier_broken(&h.b));
        t_equal(weft_barrier_waiting(&h.b), 0);
    }
    all_have(p, PARTIES - 1, -EPIPE);
    use_again(&h);
    return 0;
}

static void reset_turns_away_who_waits_and_leaves_it_whole(void **state)
{
    assert_int_equal(t_run(t_workers(state), reset_it, NULL), 0);
}

static long cancel_one(void *arg)
{
    struct hall h = {.near = 0};
    struct party p[PARTIES];
    weft_task *t[PARTIES];
    weft_group g;

    (void)arg;
    t_equal(weft_barrier_init(&h.b, PARTIES), 0);
    weft_with_group(&g) {
        come(&g, &h, p, PARTIES - 1, t);
        wait_until(&h, PARTIES - 1);
        t_equal(weft_task_cancel(t[2]), 0);
    }
    t_equal(p[2].rc, -ECANCELED);
    p[2].rc = -EPIPE;
    all_have(p, PARTIES - 1, -EPIPE);
    t_check(weft_barrier_broken(&h.b));
    t_equal(weft_barrier_wait(&h.b), -EPIPE);
    use_again(&h);

    /* A time-out is no different, nor is one that came before the call. */
    weft_with_group(&g) {
        come(&g, &h, p, PARTIES - 1, t);
        wait_until(&h, PARTIES - 1);
        weft_with_timeout(0)
            t_equal(weft_barrier_wait(&h.b), -ETIMEDOUT);
    }
    all_have(p, PARTIES - 1, -EPIPE);
    use_again(&h);
    weft_with_group(&g) {
        come(&g, &h, p, PARTIES - 2, t);
        wait_until(&h, PARTIES - 2);
        weft_with_timeout(WEFT_MS)
            t_equal(weft_barrier_wait(&h.b), -ETIMEDOUT);
    }
    all_have(p, PARTIES - 2, -EPIPE);
    use_again(&h);
    return 0;
}

static void a_cancelled_party_breaks_it_for_all(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_one, NULL), 0);
}

/* ---- races -------------------------------------------------------------- */

static void comes_last(void *arg)
{
    (void)comes(arg);
}

static void resets(void *arg)
{
    weft_barrier_reset(&((struct hall *)arg)->b);
}

/* The last party arrives as another is cancelled, or the barrier reset. All
 * pass or none does. */
static long race_last(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        struct hall h = {.near = 0};
        struct party p[PARTIES], *last = &p[PARTIES - 1];
        weft_task *t[PARTIES];
        bool reset = i % 3 == 2;
        int passed = 0, sum = 0, cancelled = 0;
        weft_group g;

        t_equal(weft_barrier_init(&h.b, PARTIES), 0);
        *last = (struct party){&h, -ECANCELED}; /* before it starts, perhaps */
        weft_with_group(&g) {
            come(&g, &h, p, PARTIES - 1, t);
            wait_until(&h, PARTIES - 1);
            if (reset) {
                weft_task *late;

                race_start(v, resets, &h, i / 3 % 97 * 20);
                t_equal(weft_spawn_task(&g, comes, last, &late), 0);
                while (atomic_load(&h.through) < PARTIES - 1)
                    t_equal(weft_yield(), 0);
                race_finish(v);
                t_equal(weft_task_cancel(late), 0); /* it may wait alone */
            } else {
                race(v, comes_last, last, race_cancel, t[i % (PARTIES - 1)], i);
            }
        }
        for (int k = 0; k < PARTIES; k++) {
            cancelled += p[k].rc == -ECANCELED;
            if (p[k].rc >= 0) {
                passed++;
                sum += p[k].rc;
            } else {
                t_check(p[k].rc == -EPIPE || p[k].rc == -ECANCELED);
            }
        }
        t_check(passed == 0 || passed == PARTIES);
        if (passed)
            t_equal(sum, PARTIES * (PARTIES - 1) / 2);
        else
            t_equal(cancelled, 1);
        t_check(weft_barrier_broken(&h.b) == (passed == 0) ||
                (reset && !passed));
        t_equal(weft_barrier_waiting(&h.b), 0);
    }
    return 0;
}

static void all_pass_or_none_however_a_cancel_races(void **state)
{
    long rounds = t_scale(800);

    assert_int_equal(t_run(t_workers(state), race_last, &rounds), 0);
}

static long times_out(void *arg)
{
    struct party *p = arg;
    long i = atomic_fetch_add(&p->h->near, 1);

    weft_with_timeout((i * 13 + p->h->rounds) % 51 * WEFT_US)
        p->rc = weft_barrier_wait(&p->h->b);
    return 0;
}

static long race_timeouts(void *arg)
{
    long rounds = *(long *)arg;
    struct hall h = {.near = 0};

    t_equal(weft_barrier_init(&h.b, PARTIES), 0);
    for (long i = 0; i < rounds; i++) {
        struct party p[PARTIES];
        int passed = 0, out = 0;
        weft_group g;

        h.rounds = i;
        weft_with_group(&g)
            for (int k = 0; k < PARTIES; k++) {
                p[k] = (struct party){&h, 99};
                t_equal(weft_spawn(&g, times_out, &p[k]), 0);
            }
        for (int k = 0; k < PARTIES; k++) {
            passed += p[k].rc >= 0;
            out += p[k].rc == -ETIMEDOUT;
            t_check(p[k].rc >= 0 || p[k].rc == -ETIMEDOUT || p[k].rc == -EPIPE);
        }
        /* Those who come at once to a broken one can make no round of it. */
        t_check(passed == 0 || passed == PARTIES);
        t_equal(weft_barrier_broken(&h.b), out > 0);
        weft_barrier_reset(&h.b);
    }
    return 0;
}

static void all_pass_or_none_however_timeouts_race(void **state)
{
    long rounds = t_scale(3000);

    assert_int_equal(t_run(t_workers(state), race_timeouts, &rounds), 0);
}

/* ---- threads ------------------------------------------------------------ */

static void *strange_thread(void *arg)
{
    struct hall *h = arg;
    long n = 0;

    n += weft_barrier_wait(&h->b) == -EPERM;
    while (weft_barrier_waiting(&h->b) != PARTIES - 1)
        usleep(200);
    n += !weft_barrier_broken(&h->b);
    weft_barrier_abort(&h->b);
    return (void *)(intptr_t)n;
}

static long wait_for_thread(void *arg)
{
    struct hall h = {.near = 0};
    struct party p[PARTIES];
    weft_task *t[PARTIES];
    pthread_t thread;
    void *n;
    weft_group g;

    (void)arg;
    t_equal(weft_barrier_init(&h.b, PARTIES), 0);
    weft_with_group(&g) {
        t_equal(pthread_create(&thread, NULL, strange_thread, &h), 0);
        come(&g, &h, p, PARTIES - 1, t);
    }
    t_equal(pthread_join(thread, &n), 0);
    t_equal((intptr_t)n, 2);
    all_have(p, PARTIES - 1, -EPIPE);
    return 0;
}

static void a_foreign_thread_may_abort_it(void **state)
{
    assert_int_equal(t_run(t_workers(state), wait_for_thread, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    T_EACH(nobody_passes_until_all_are_there),
    T_EACH(each_round_gives_each_index_once),
    T_EACH(one_party_passes_at_once),
    T_EACH(abort_turns_away_who_waits_and_who_comes),
    T_EACH(reset_turns_away_who_waits_and_leaves_it_whole),
    T_EACH(a_cancelled_party_breaks_it_for_all),
    T_EACH(all_pass_or_none_however_a_cancel_races),
    T_EACH(all_pass_or_none_however_timeouts_race),
    T_EACH(a_foreign_thread_may_abort_it),
};

T_MAIN(tests)
