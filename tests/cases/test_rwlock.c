/* SPDX-License-Identifier: MIT */
/* Readers and writers. */
#include "races.h"

#include <pthread.h>

#define TASKS 8

/* ---- exclusion ---------------------------------------------------------- */

struct book {
    weft_rwlock rw;
    long a, b; /* under rw, on purpose not atomic; equal */
    atomic_int readers, most, writers;
    long rounds;
};

static void reads(struct book *k, bool yields)
{
    int n = atomic_fetch_add(&k->readers, 1) + 1;

    if (n > atomic_load(&k->most))
        atomic_store(&k->most, n);
    t_equal(atomic_load(&k->writers), 0);
    t_equal(k->a, k->b);
    if (yields)
        (void)weft_yield();
    t_equal(k->a, k->b);
    atomic_fetch_sub(&k->readers, 1);
}

static void writes(struct book *k, bool yields)
{
    t_equal(atomic_fetch_add(&k->writers, 1), 0);
    t_equal(atomic_load(&k->readers), 0);
    k->a++;
    if (yields)
        (void)weft_yield();
    k->b++;
    atomic_fetch_sub(&k->writers, 1);
}

static long reader(void *arg)
{
    struct book *k = arg;

    for (long i = 0; i < k->rounds; i++) {
        if (!t_equal(weft_rwlock_rdlock(&k->rw), 0))
            break;
        reads(k, i % 16 == 0);
        t_equal(weft_rwlock_unlock(&k->rw), 0);
    }
    return 0;
}

static long writer(void *arg)
{
    struct book *k = arg;

    for (long i = 0; i < k->rounds; i++) {
        if (!t_equal(weft_rwlock_wrlock(&k->rw), 0))
            break;
        writes(k, i % 16 == 0);
        t_equal(weft_rwlock_unlock(&k->rw), 0);
    }
    return 0;
}

static void check_free(weft_rwlock *rw)
{
    t_equal(weft_rwlock_unlock(rw), -EPERM);
    t_equal(weft_rwlock_trywrlock(rw), 0);
    t_equal(weft_rwlock_unlock(rw), 0);
    t_equal(weft_rwlock_tryrdlock(rw), 0);
    t_equal(weft_rwlock_unlock(rw), 0);
    t_equal(weft_rwlock_unlock(rw), -EPERM);
}

static long library(void *arg)
{
    struct book *k = arg;
    weft_group g;

    weft_with_group(&g)
        for (int i = 0; i < TASKS; i++)
            t_equal(weft_spawn(&g, i < 2 ? writer : reader, k), 0);
    t_equal(k->a, 2 * k->rounds);
    t_equal(k->b, 2 * k->rounds);
    check_free(&k->rw);
    return 0;
}

static void a_writer_is_alone_and_no_write_is_lost(void **state)
{
    struct book k = {.rounds = t_scale(20000)};

    assert_int_equal(t_run(t_workers(state), library, &k), 0);
}

struct meeting {
    weft_rwlock rw;
    atomic_int inside;
};

static long meets(void *arg)
{
    struct meeting *m = arg;

    t_equal(weft_rwlock_rdlock(&m->rw), 0);
    atomic_fetch_add(&m->inside, 1);
    t_check(t_wait_for(&m->inside, TASKS));
    t_equal(weft_rwlock_unlock(&m->rw), 0);
    return 0;
}

static long meet(void *arg)
{
    struct meeting m = {.inside = 0};
    weft_group g;

    (void)arg;
    weft_with_group(&g)
        for (int i = 0; i < TASKS; i++)
            t_equal(weft_spawn(&g, meets, &m), 0);
    check_free(&m.rw);

    /* Also those whom a writer kept waiting are let in together. */
    atomic_store(&m.inside, 0);
    weft_with_group(&g) {
        weft_with_wrlock(&m.rw)
        {
            for (int i = 0; i < TASKS; i++)
                t_equal(weft_spawn(&g, meets, &m), 0);
            t_check(t_wait_waiting("rdlock", TASKS));
            t_equal(atomic_load(&m.inside), 0);
        }
    }
    check_free(&m.rw);
    return 0;
}

static void readers_are_inside_together(void **state)
{
    assert_int_equal(t_run(t_workers(state), meet, NULL), 0);
}

/* ---- order -------------------------------------------------------------- */

struct line {
    weft_rwlock rw;
    char order[16];
    atomic_int n;
};

struct place {
    struct line *line;
    char name; /* capital: writes */
    int rc;
};

static long queues_up(void *arg)
{
    struct place *p = arg;
    weft_rwlock *rw = &p->line->rw;

    p->rc = p->name < 'a' ? weft_rwlock_wrlock(rw) : weft_rwlock_rdlock(rw);
    if (p->rc == 0) {
        p->line->order[atomic_fetch_add(&p->line->n, 1)] = p->name;
        t_equal(weft_yield(), 0);
        t_equal(weft_rwlock_unlock(rw), 0);
    }
    return 0;
}

static void come(weft_group *g, struct line *l, struct place *p,
                 const char *names, weft_task **t)
{
    for (int i = 0; names[i]; i++) {
        p[i] = (struct place){l, names[i], 1};
        t_equal(weft_spawn_task(g, queues_up, &p[i], &t[i]), 0);
        while (t_waiting("rdlock") + t_waiting("wrlock") < i + 1)
            t_equal(weft_sleep(WEFT_MS / 5), 0);
    }
}

static long line_up(void *arg)
{
    struct line l = {.n = 0};
    struct place p[6];
    weft_task *t[6];
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_rwlock_rdlock(&l.rw), 0);
        come(&g, &l, p, "AbcDEf", t); /* b and c do not overtake A */
        t_equal(weft_rwlock_tryrdlock(&l.rw), -EAGAIN);
        t_equal(weft_rwlock_trywrlock(&l.rw), -EAGAIN);
        t_equal(atomic_load(&l.n), 0);
        t_equal(weft_rwlock_unlock(&l.rw), 0);
    }
    t_check(strcmp(l.order, "AbcDEf") == 0 || strcmp(l.order, "AcbDEf") == 0);
    check_free(&l.rw);
    return 0;
}

static void readers_and_writers_go_in_order_of_arrival(void **state)
{
    assert_int_equal(t_run(t_workers(state), line_up, NULL), 0);
}

/* ---- cancel ------------------------------------------------------------- */

static long cancel_between(void *arg)
{
    struct line l = {.n = 0};
    struct place p[4];
    weft_task *t[4];
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_rwlock_rdlock(&l.rw), 0);
        come(&g, &l, p, "AbcD", t);
        t_equal(weft_task_cancel(t[0]), 0);
        /* The first reader is still inside. */
        t_equal(weft_await(t[1]), 0);
        t_equal(weft_await(t[2]), 0);
        t_check(!weft_task_done(t[3]));
        t_equal(weft_task_cancel(t[3]), 0);
        t_equal(weft_await(t[3]), 0);
        t_equal(weft_rwlock_tryrdlock(&l.rw), 0);
        t_equal(weft_rwlock_unlock(&l.rw), 0);
        t_equal(weft_rwlock_unlock(&l.rw), 0);
    }
    t_equal(p[0].rc, -ECANCELED);
    t_equal(p[1].rc, 0);
    t_equal(p[2].rc, 0);
    t_equal(p[3].rc, -ECANCELED);
    check_free(&l.rw);
    return 0;
}

static void a_writer_that_gives_up_lets_the_readers_behind_it_in(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_between, NULL), 0);
}

static long cancel_all(void *arg)
{
    (void)arg;
    for (int write = 0; write < 2; write++) {
        struct line l = {.n = 0};
        struct place p[4];
        weft_task *t[4];
        weft_group g;

        t_equal(write ? weft_rwlock_wrlock(&l.rw) : weft_rwlock_rdlock(&l.rw),
                0);
        weft_with_group(&g) {
            come(&g, &l, p, "ABcD", t);
            weft_group_cancel(&g);
        }
        for (int i = 0; i < 4; i++)
            t_check(p[i].rc == -ECANCELED || (!write && i == 2));
        t_equal(weft_rwlock_unlock(&l.rw), 0);
        check_free(&l.rw);
        weft_with_timeout(0) {
            t_equal(weft_rwlock_rdlock(&l.rw), -ETIMEDOUT);
            t_equal(weft_rwlock_wrlock(&l.rw), -ETIMEDOUT);
        }
        check_free(&l.rw);
    }
    return 0;
}

static void when_all_waiters_are_cancelled_it_is_free(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_all, NULL), 0);
}

struct trier {
    weft_rwlock *rw;
    atomic_int *near;
    int rc;
    bool write;
};

static long tries(void *arg)
{
    struct trier *t = arg;

    atomic_fetch_add(t->near, 1);
    t->rc = t->write ? weft_rwlock_wrlock(t->rw) : weft_rwlock_rdlock(t->rw);
    if (t->rc == 0)
        t_equal(weft_rwlock_unlock(t->rw), 0);
    return 0;
}

static void unlocks(void *rw)
{
    t_equal(weft_rwlock_unlock(rw), 0);
}

/* A reader leaves as the writer who waits is cancelled; behind the writer
 * waits a reader. Sometimes a second reader is inside. */
static long race_cancels(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        weft_rwlock rw = {{0}};
        atomic_int near = 0;
        struct trier w[2] = {{&rw, &near, 1, i / 4 % 4 != 0},
                             {&rw, &near, 1, i / 16 % 4 == 0}};
        bool two = i / 2 % 2;
        weft_task *first;
        weft_group g;

        t_equal(weft_rwlock_rdlock(&rw), 0);
        if (two)
            t_equal(weft_rwlock_rdlock(&rw), 0);
        weft_with_group(&g) {
            t_equal(weft_spawn_task(&g, tries, &w[0], &first), 0);
            t_equal(weft_spawn(&g, tries, &w[1]), 0);
            race_let_in(&near, 2);
            race(v, unlocks, &rw, race_cancel, first, i);
            if (two)
                t_equal(weft_rwlock_unlock(&rw), 0);
        }
        t_check(w[0].rc == 0 || w[0].rc == -ECANCELED);
        t_equal(w[1].rc, 0);
        check_free(&rw);
    }
    return 0;
}

static void cancels_that_race_grants_lose_no_lock(void **state)
{
    long rounds = t_scale(1200);

    assert_int_equal(t_run(t_workers(state), race_cancels, &rounds), 0);
}

/* Everybody at once, with time-outs of next to nothing. */
static long wild(void *arg)
{
    struct book *k = arg;

    for (long i = 0; i < k->rounds; i++) {
        long dice = (i * 7919 + (long)(intptr_t)&dice / 4096) % 1024;
        bool write = dice % 4 == 0;
        int rc = 1;

        weft_with_timeout(dice % 51 * WEFT_US)
            rc =
                write ? weft_rwlock_wrlock(&k->rw) : weft_rwlock_rdlock(&k->rw);
        if (rc == -ECANCELED)
            break;
        if (rc == -ETIMEDOUT)
            continue;
        t_equal(rc, 0);
        if (write)
            writes(k, dice % 8 == 0);
        else
            reads(k, dice % 3 == 0);
        t_equal(weft_rwlock_unlock(&k->rw), 0);
    }
    return 0;
}

static long all_wild(void *arg)
{
    struct book *k = arg;

    for (int round = 0; round < 10; round++) {
        weft_task *t[TASKS];
        weft_group g;

        weft_with_group(&g) {
            for (int i = 0; i < TASKS; i++)
                t_equal(weft_spawn_task(&g, wild, k, &t[i]), 0);
            for (int i = 0; i < TASKS / 2; i++) {
                t_equal(weft_sleep(200 * WEFT_US), 0);
                t_equal(weft_task_cancel(t[i]), 0);
            }
        }
        t_equal(k->a, k->b);
        check_free(&k->rw);
    }
    return 0;
}

static void timeouts_and_cancels_leave_it_whole(void **state)
{
    struct book k = {.rounds = t_scale(500)};

    assert_int_equal(t_run(t_workers(state), all_wild, &k), 0);
}

/* ---- its end ------------------------------------------------------------ */

struct shared {
    weft_rwlock rw;
    atomic_int users;
};

static void uses(void *arg)
{
    struct shared *s = arg;
    bool last;

    t_equal(weft_rwlock_wrlock(&s->rw), 0);
    last = atomic_fetch_sub(&s->users, 1) == 1;
    t_equal(weft_rwlock_unlock(&s->rw), 0);
    if (last)
        race_overwrite(&s->rw, sizeof s->rw);
}

static long free_at_once(void *arg)
{
    long rounds = *(long *)arg;

    race_rounds(v, i, rounds)
    {
        struct shared s = {.users = 2};

        race(v, uses, &s, uses, &s, i);
        t_equal(atomic_load(&s.users), 0);
    }
    return 0;
}

static void the_last_user_may_free_it(void **state)
{
    long rounds = t_scale(800);

    assert_int_equal(t_run(t_workers(state), free_at_once, &rounds), 0);
}

/* ---- misuse, blocks ----------------------------------------------------- */

static void *strange_thread(void *arg)
{
    weft_rwlock *rw = arg;
    long n = 0;

    n += weft_rwlock_rdlock(rw) == -EPERM;
    n += weft_rwlock_wrlock(rw) == -EPERM;
    n += weft_rwlock_tryrdlock(rw) == -EPERM;
    n += weft_rwlock_trywrlock(rw) == -EPERM;
    n += weft_rwlock_unlock(rw) == -EPERM;
    return (void *)(intptr_t)n;
}

static long strange(void *arg)
{
    weft_rwlock *rw = arg;

    t_equal(weft_rwlock_unlock(rw), -EPERM);
    t_equal(weft_rwlock_tryrdlock(rw), -EAGAIN);
    t_equal(weft_rwlock_trywrlock(rw), -EAGAIN);
    weft_with_timeout(WEFT_MS)
        t_equal(weft_rwlock_rdlock(rw), -ETIMEDOUT);
    return 0;
}

static long misuse(void *arg)
{
    weft_rwlock rw = {{0}};
    pthread_t thread;
    void *n;
    weft_group g;

    (void)arg;
    t_equal(weft_rwlock_unlock(&rw), -EPERM);
    t_equal(weft_rwlock_wrlock(&rw), 0);
    t_equal(weft_rwlock_wrlock(&rw), -EDEADLK);
    t_equal(weft_rwlock_rdlock(&rw), -EDEADLK);
    t_equal(weft_rwlock_tryrdlock(&rw), -EDEADLK);
    t_equal(weft_rwlock_trywrlock(&rw), -EDEADLK);
    weft_with_group(&g)
        t_equal(weft_spawn(&g, strange, &rw), 0);
    t_equal(pthread_create(&thread, NULL, strange_thread, &rw), 0);
    t_equal(pthread_join(thread, &n), 0);
    t_equal((intptr_t)n, 5);
    t_equal(weft_rwlock_unlock(&rw), 0);
    check_free(&rw);
    return 0;
}

static void unlock_by_a_stranger_and_relock_are_refused(void **state)
{
    assert_int_equal(t_run(t_workers(state), misuse, NULL), 0);
}

static int lock_and_return(weft_rwlock *rw)
{
    weft_with_wrlock(rw) return 1;
    return 0;
}

static long blocks(void *arg)
{
    weft_rwlock rw = {{0}};
    int ran = 0;

    (void)arg;
    t_equal(lock_and_return(&rw), 1);
    check_free(&rw);
    weft_with_rdlock(&rw)
    {
        ran++;
        weft_with_rdlock(&rw)
        {
            t_equal(weft_rwlock_trywrlock(&rw), -EAGAIN);
            break;
        }
    }
    check_free(&rw);
    weft_with_wrlock(&rw)
    {
        ran++;
        weft_with_rdlock(&rw) ran += 10; /* held already: skipped */
    }
    check_free(&rw);
    return ran;
}

static void a_block_unlocks_however_it_is_left(void **state)
{
    assert_int_equal(t_run(t_workers(state), blocks, NULL), 2);
}

static const struct CMUnitTest tests[] = {
    T_EACH(a_writer_is_alone_and_no_write_is_lost),
    T_EACH(readers_are_inside_together),
    T_EACH(readers_and_writers_go_in_order_of_arrival),
    T_EACH(a_writer_that_gives_up_lets_the_readers_behind_it_in),
    T_EACH(when_all_waiters_are_cancelled_it_is_free),
    T_EACH(cancels_that_race_grants_lose_no_lock),
    T_EACH(timeouts_and_cancels_leave_it_whole),
    T_EACH(the_last_user_may_free_it),
    T_EACH(unlock_by_a_stranger_and_relock_are_refused),
    T_EACH(a_block_unlocks_however_it_is_left),
};

T_MAIN(tests)
