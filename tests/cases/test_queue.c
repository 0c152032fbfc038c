/* SPDX-License-Identifier: MIT */
/* The queue: cases 36-41. */
#include "support/cases.h"

#include <pthread.h>
#include <sched.h>

/* ---- order and number --------------------------------------------------- */

#define PRODUCERS 4
#define CONSUMERS 4

struct stream {
    weft_queue q;
    void *slots[64];
    long each; /* items of a producer */
    atomic_uchar *seen;
    atomic_long got, unordered;
};

struct end {
    struct stream *s;
    long number;
};

static long produces(void *arg)
{
    struct end *p = arg;
    long first = p->number * p->s->each;

    for (long i = 0; i < p->s->each; i++)
        if (!t_equal(weft_queue_put(&p->s->q, (void *)(first + i)), 0))
            break;
    return 0;
}

static long consumes(void *arg)
{
    struct end *c = arg;
    struct stream *s = c->s;
    long last[PRODUCERS];
    void *item;
    int rc;

    for (int i = 0; i < PRODUCERS; i++)
        last[i] = -1;
    while ((rc = weft_queue_get(&s->q, &item)) == 0) {
        long i = (long)(intptr_t)item;

        if (last[i / s->each] >= i)
            atomic_fetch_add(&s->unordered, 1);
        last[i / s->each] = i;
        atomic_fetch_add(&s->seen[i], 1);
        atomic_fetch_add(&s->got, 1);
    }
    return t_equal(rc, -ESHUTDOWN) ? 0 : -EPROTO;
}

static long flow(void *arg)
{
    struct stream *s = arg;
    struct end p[PRODUCERS], c[CONSUMERS];
    weft_group producers, consumers;

    weft_with_group(&consumers) {
        for (int i = 0; i < CONSUMERS; i++) {
            c[i] = (struct end){s, i};
            t_equal(weft_spawn(&consumers, consumes, &c[i]), 0);
        }
        weft_with_group(&producers)
            for (int i = 0; i < PRODUCERS; i++) {
                p[i] = (struct end){s, i};
                t_equal(weft_spawn(&producers, produces, &p[i]), 0);
            }
        weft_queue_shutdown(&s->q, 0);
    }
    return weft_group_wait(&consumers);
}

static void nothing_is_lost_or_doubled_and_order_is_kept(void **state)
{
    static struct stream s;
    long items;

    memset(&s, 0, sizeof s);
    s.each = t_scale(250000);
    items = s.each * PRODUCERS;
    s.seen = calloc((size_t)items, 1);
    assert_non_null(s.seen);
    assert_int_equal(weft_queue_init(&s.q, s.slots, T_LEN(s.slots), WEFT_FIFO),
                     0);
    assert_int_equal(t_run(t_workers(state), flow, &s), 0);
    for (long i = 0; i < items; i++)
        assert_int_equal(atomic_load(&s.seen[i]), 1);
    free(s.seen);
    assert_int_equal(atomic_load(&s.got), items);
    assert_int_equal(atomic_load(&s.unordered), 0);
    assert_int_equal(weft_queue_len(&s.q), 0);
}

/* ---- waiting ------------------------------------------------------------ */

struct user {
    weft_queue *q;
    void *item;
    atomic_int rc;
};

static long puts_it(void *arg)
{
    struct user *u = arg;

    atomic_store(&u->rc, weft_queue_put(u->q, u->item));
    return 0;
}

static long gets_it(void *arg)
{
    struct user *u = arg;

    atomic_store(&u->rc, weft_queue_get(u->q, &u->item));
    return 0;
}

static long bounded(void *arg)
{
    void *slots[2], *item = NULL;
    weft_queue q;
    struct user u = {&q, (void *)3, 1}, dropped = {&q, (void *)9, 1};
    weft_group g;
    weft_task *t;

    (void)arg;
    t_equal(weft_queue_init(&q, slots, 2, WEFT_FIFO), 0);
    t_equal(weft_queue_tryget(&q, &item), -EAGAIN);
    t_equal(weft_queue_put(&q, (void *)1), 0);
    t_equal(weft_queue_put(&q, (void *)2), 0);
    t_equal(weft_queue_tryput(&q, (void *)9), -EAGAIN);
    t_equal(weft_queue_len(&q), 2);
    weft_with_timeout(2 * WEFT_MS)
        t_equal(weft_queue_put(&q, (void *)9), -ETIMEDOUT);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, puts_it, &dropped, &t), 0);
        t_check(t_wait_waiting("queue put", 1));
        t_equal(weft_spawn(&g, puts_it, &u), 0);
        t_check(t_wait_waiting("queue put", 2));
        t_equal(atomic_load(&u.rc), 1);
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_await(t), 0);
        t_equal(atomic_load(&dropped.rc), -ECANCELED);
        for (intptr_t i = 1; i <= 3; i++) {
            t_equal(weft_queue_get(&q, &item), 0);
            t_equal((intptr_t)item, i);
        }
    }
    t_equal(atomic_load(&u.rc), 0);
    t_equal(weft_queue_tryget(&q, &item), -EAGAIN);
    for (int i = 0; i < 3; i++) /* also the one that had to wait counts */
        t_equal(weft_queue_done(&q), 0);
    t_equal(weft_queue_done(&q), -EINVAL);
    return 0;
}

static void a_bounded_put_waits_and_a_cancelled_one_adds_nothing(void **state)
{
    assert_int_equal(t_run(t_workers(state), bounded, NULL), 0);
}

#define GETTERS 8

static long served(void *arg)
{
    void *slots[1];
    weft_queue q;
    struct user u[GETTERS];
    weft_group g;
    weft_task *t[GETTERS];

    (void)arg;
    t_equal(weft_queue_init(&q, slots, 1, WEFT_FIFO), 0);
    weft_with_group(&g) {
        for (int i = 0; i < GETTERS; i++) {
            u[i] = (struct user){&q, NULL, 1};
            t_equal(weft_spawn_task(&g, gets_it, &u[i], &t[i]), 0);
            t_check(t_wait_waiting("queue get", i + 1));
        }
        /* The third leaves; its turn goes to the next. */
        t_equal(weft_task_cancel(t[2]), 0);
        t_equal(weft_await(t[2]), 0);
        for (intptr_t i = 0; i < GETTERS - 1; i++)
            t_equal(weft_queue_put(&q, (void *)(i + 1)), 0);
    }
    for (int i = 0, n = 1; i < GETTERS; i++) {
        t_equal(atomic_load(&u[i].rc), i == 2 ? -ECANCELED : 0);
        t_equal((intptr_t)u[i].item, i == 2 ? 0 : n++);
    }
    t_equal(weft_queue_len(&q), 0);
    return 0;
}

static void getters_are_served_in_order_of_arrival(void **state)
{
    assert_int_equal(t_run(t_workers(state), served, NULL), 0);
}

/* The first getter is cancelled just as an item comes: one of the two has it,
 * the item or the getter that is told so. */
static void race_getter(long round)
{
    void *slots[1];
    weft_queue q;
    struct user u[2] = {{&q, NULL, 1}, {&q, NULL, 1}};
    weft_group g;
    weft_task *t;

    t_equal(weft_queue_init(&q, slots, 1, WEFT_FIFO), 0);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, gets_it, &u[0], &t), 0);
        t_check(t_wait_waiting("queue get", 1));
        t_equal(weft_spawn(&g, gets_it, &u[1]), 0);
        t_check(t_wait_waiting("queue get", 2));
        if (round & 1)
            t_equal(weft_task_cancel(t), 0);
        t_equal(weft_queue_put(&q, (void *)1), 0);
        if (!(round & 1))
            t_equal(weft_task_cancel(t), 0);
        t_equal(weft_queue_put(&q, (void *)2), 0);
        weft_queue_shutdown(&q, 0);
    }
    if (round & 1) {
        t_equal(atomic_load(&u[0].rc), -ECANCELED);
        t_equal((intptr_t)u[1].item, 1);
        t_equal(weft_queue_len(&q), 1);
    } else {
        t_equal(atomic_load(&u[0].rc), 0);
        t_equal((intptr_t)u[0].item, 1);
        t_equal((intptr_t)u[1].item, 2);
        t_equal(weft_queue_len(&q), 0);
    }
    t_equal(atomic_load(&u[1].rc), 0);
}

static long race_getters(void *arg)
{
    for (long i = 0; i < *(long *)arg; i++)
        race_getter(i);
    return 0;
}

static void a_cancelled_getters_item_goes_to_the_next(void **state)
{
    long rounds = t_scale(300);

    assert_int_equal(t_run(t_workers(state), race_getters, &rounds), 0);
}

/* Getters and putters under time-outs that often win: the sums must agree. */
struct balance {
    weft_queue q;
    void *slots[4];
    atomic_long put, got;
    long rounds;
};

static long puts_hastily(void *arg)
{
    struct balance *b = arg;

    for (long i = 0; i < b->rounds; i++)
        weft_with_timeout((i % 5) * 20 * WEFT_US)
            if (weft_queue_put(&b->q, (void *)1) == 0)
                atomic_fetch_add(&b->put, 1);
    return 0;
}

static long gets_hastily(void *arg)
{
    struct balance *b = arg;
    void *item;

    for (long i = 0; i < b->rounds; i++)
        weft_with_timeout((i % 3) * 30 * WEFT_US)
            if (weft_queue_get(&b->q, &item) == 0)
                atomic_fetch_add(&b->got, 1);
    return 0;
}

static long balance(void *arg)
{
    struct balance *b = arg;
    weft_group g;

    weft_with_group(&g)
        for (int i = 0; i < 4; i++) {
            t_equal(weft_spawn(&g, puts_hastily, b), 0);
            t_equal(weft_spawn(&g, gets_hastily, b), 0);
        }
    t_equal(atomic_load(&b->put) - atomic_load(&b->got), weft_queue_len(&b->q));
    return weft_group_wait(&g);
}

static void timeouts_neither_lose_nor_add_items(void **state)
{
    static struct balance b;

    memset(&b, 0, sizeof b);
    b.rounds = t_scale(5000);
    assert_int_equal(weft_queue_init(&b.q, b.slots, 4, WEFT_FIFO), 0);
    assert_int_equal(t_run(t_workers(state), balance, &b), 0);
    assert_true(atomic_load(&b.got) > 0 || T_SANITIZED);
}

/* ---- shutdown ----------------------------------------------------------- */

static long drain(void *arg)
{
    void *slots[2], *item;
    weft_queue q;
    struct user u = {&q, (void *)3, 1};
    weft_group g;

    (void)arg;
    t_equal(weft_queue_init(&q, slots, 2, WEFT_FIFO), 0);
    t_equal(weft_queue_put(&q, (void *)1), 0);
    t_equal(weft_queue_put(&q, (void *)2), 0);
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, puts_it, &u), 0);
        t_check(t_wait_waiting("queue put", 1));
        weft_queue_shutdown(&q, 0);
    }
    t_equal(atomic_load(&u.rc), -ESHUTDOWN);
    t_equal(weft_queue_put(&q, (void *)4), -ESHUTDOWN);
    t_equal(weft_queue_tryput(&q, (void *)4), -ESHUTDOWN);
    t_equal(weft_queue_get(&q, &item), 0);
    t_equal((intptr_t)item, 1);
    t_equal(weft_queue_tryget(&q, &item), 0);
    t_equal((intptr_t)item, 2);
    t_equal(weft_queue_get(&q, &item), -ESHUTDOWN);
    t_equal(weft_queue_tryget(&q, &item), -ESHUTDOWN);
    return 0;
}

static void after_shutdown_getters_drain_and_putters_are_refused(void **state)
{
    assert_int_equal(t_run(t_workers(state), drain, NULL), 0);
}

static long drop(void *arg)
{
    void *slots[2], *item;
    weft_queue q;
    struct user u[4];
    weft_group g;

    (void)arg;
    t_equal(weft_queue_init(&q, slots, 2, WEFT_FIFO), 0);
    t_equal(weft_queue_put(&q, (void *)1), 0);
    weft_queue_shutdown(&q, 1);
    t_equal(weft_queue_len(&q), 0);
    t_equal(weft_queue_get(&q, &item), -ESHUTDOWN);

    t_equal(weft_queue_init(&q, slots, 2, WEFT_FIFO), 0);
    weft_with_group(&g) {
        for (int i = 0; i < 4; i++) {
            u[i] = (struct user){&q, NULL, 1};
            t_equal(weft_spawn(&g, gets_it, &u[i]), 0);
        }
        t_check(t_wait_waiting("queue get", 4));
        weft_queue_shutdown(&q, 1);
    }
    for (int i = 0; i < 4; i++)
        t_equal(atomic_load(&u[i].rc), -ESHUTDOWN);
    return 0;
}

static void shutdown_now_drops_what_is_there_and_wakes_all(void **state)
{
    assert_int_equal(t_run(t_workers(state), drop, NULL), 0);
}

/* ---- kinds -------------------------------------------------------------- */

static long unbounded(void *arg)
{
    weft_queue q;
    void *item;

    (void)arg;
    t_equal(weft_queue_init(&q, NULL, 0, WEFT_FIFO), 0);
    for (intptr_t i = 0; i < 10000; i++)
        t_equal(weft_queue_put(&q, (void *)i), 0);
    t_equal(weft_queue_len(&q), 10000);
    weft_queue_shutdown(&q, 0);
    for (intptr_t i = 0; i < 10000; i++) {
        t_equal(weft_queue_get(&q, &item), 0);
        if (!t_equal((intptr_t)item, i))
            break;
    }
    t_equal(weft_queue_get(&q, &item), -ESHUTDOWN);
    return 0;
}

static void an_unbounded_queue_takes_what_comes(void **state)
{
    assert_int_equal(t_run(t_workers(state), unbounded, NULL), 0);
}

static long last_first(void *arg)
{
    void *slots[5], *item;
    weft_queue q;

    (void)arg;
    t_equal(weft_queue_init(&q, slots, 5, WEFT_LIFO), 0);
    for (intptr_t i = 0; i < 5; i++)
        t_equal(weft_queue_put(&q, (void *)i), 0);
    for (intptr_t i = 4; i >= 0; i--) {
        t_equal(weft_queue_get(&q, &item), 0);
        t_equal((intptr_t)item, i);
    }
    return 0;
}

static void a_lifo_queue_gives_the_newest_first(void **state)
{
    weft_queue q;
    void *slots[1], *item;

    assert_int_equal(t_run(t_workers(state), last_first, NULL), 0);
    assert_int_equal(weft_queue_init(&q, NULL, 1, WEFT_FIFO), -EINVAL);
    assert_int_equal(weft_queue_init(&q, slots, 0, WEFT_FIFO), -EINVAL);
    assert_int_equal(weft_queue_init(&q, slots, 1, (enum weft_queue_kind)9),
                     -EINVAL);
    assert_int_equal(weft_queue_init(&q, slots, 1, WEFT_FIFO), 0);
    /* Without a task there is no waiting, but trying. */
    assert_int_equal(weft_queue_put(&q, NULL), -EPERM);
    assert_int_equal(weft_queue_get(&q, &item), -EPERM);
    assert_int_equal(weft_queue_tryput(&q, slots), 0);
    assert_int_equal(weft_queue_tryget(&q, &item), 0);
    assert_ptr_equal(item, slots);
}

/* ---- priority ----------------------------------------------------------- */

struct job {
    int due, number;
};

static int by_due(const void *a, const void *b)
{
    const struct job *x = a, *y = b;

    return (x->due > y->due) - (x->due < y->due);
}

/* Takes n jobs out: the due ones first, those of one time in order. */
static void take_in_order(weft_queue *q, int n)
{
    struct job *last = NULL;

    for (int i = 0; i < n; i++) {
        struct job *j;
        void *item;

        if (!t_equal(weft_queue_tryget(q, &item), 0))
            return;
        j = item;
        t_check(!last || last->due < j->due ||
                (last->due == j->due && last->number < j->number));
        last = j;
    }
}

#define JOBS 1000

/* Puts and takes in waves, so that the heap is seen at many heights. */
static void jobs_come_in_order(weft_queue *q)
{
    static struct job jobs[JOBS];
    unsigned random = 7;
    int inside = 0;

    for (int i = 0; i < JOBS; i++) {
        random = random * 1664525u + 1013904223u;
        jobs[i] = (struct job){(int)(random >> 16) % 20, i};
        t_equal(weft_queue_put(q, &jobs[i]), 0);
        inside++;
        if (i % 97 == 96) {
            int n = (int)(random >> 20) % inside;

            take_in_order(q, n);
            inside -= n;
        }
    }
    take_in_order(q, inside);
    t_equal(weft_queue_len(q), 0);
}

static long due_first(void *arg)
{
    static void *slots[WEFT_PRIORITY_SLOTS(JOBS)];
    weft_queue q;
    void *item;

    (void)arg;
    t_equal(weft_queue_init(&q, slots, JOBS, WEFT_PRIORITY), 0);
    t_equal(weft_queue_order(&q, by_due), 0);
    jobs_come_in_order(&q);
    t_equal(weft_queue_init(&q, NULL, 0, WEFT_PRIORITY), 0);
    t_equal(weft_queue_order(&q, by_due), 0);
    jobs_come_in_order(&q);
    weft_queue_shutdown(&q, 0);
    t_equal(weft_queue_get(&q, &item), -ESHUTDOWN);
    return 0;
}

static void
the_least_comes_first_and_equals_in_order_of_their_puts(void **state)
{
    weft_queue q;
    void *slots[WEFT_PRIORITY_SLOTS(1)];

    assert_int_equal(t_run(t_workers(state), due_first, NULL), 0);
    assert_int_equal(weft_queue_init(&q, slots, 1, WEFT_FIFO), 0);
    assert_int_equal(weft_queue_order(&q, by_due), -EINVAL);
    assert_int_equal(weft_queue_init(&q, slots, 1, WEFT_PRIORITY), 0);
    assert_int_equal(weft_queue_order(&q, NULL), -EINVAL);
}

/* A full priority queue: putters wait, and what they bring is put in its
 * place. */
static long due_first_when_full(void *arg)
{
    static struct job jobs[4] = {{5, 0}, {9, 1}, {1, 2}, {7, 3}};
    void *slots[WEFT_PRIORITY_SLOTS(2)], *item;
    static const int order[] = {5, 1, 7, 9};
    weft_queue q;
    struct user u[2] = {{&q, &jobs[2], 1}, {&q, &jobs[3], 1}};
    weft_group g;

    (void)arg;
    t_equal(weft_queue_init(&q, slots, 2, WEFT_PRIORITY), 0);
    t_equal(weft_queue_order(&q, by_due), 0);
    t_equal(weft_queue_put(&q, &jobs[0]), 0);
    t_equal(weft_queue_put(&q, &jobs[1]), 0);
    t_equal(weft_queue_tryput(&q, &jobs[2]), -EAGAIN);
    weft_with_group(&g)
        for (int i = 0; i < 2; i++) {
            t_equal(weft_spawn(&g, puts_it, &u[i]), 0);
            t_check(t_wait_waiting("queue put", i + 1));
            if (i == 0)
                continue;
            for (int k = 0; k < 4; k++) {
                t_equal(weft_queue_get(&q, &item), 0);
                t_equal(((struct job *)item)->due, order[k]);
            }
        }
    return 0;
}

static void a_waiting_put_takes_its_place_in_the_order(void **state)
{
    assert_int_equal(t_run(t_workers(state), due_first_when_full, NULL), 0);
}

/* ---- done and join ------------------------------------------------------ */

static long joins(void *arg)
{
    struct user *u = arg;

    atomic_store(&u->rc, weft_queue_join(u->q));
    return 0;
}

static long join_waits(void *arg)
{
    void *slots[4], *item;
    weft_queue q;
    struct user u[3] = {{&q, NULL, 1}, {&q, NULL, 1}, {&q, NULL, 1}};
    weft_group g;
    weft_task *t;

    (void)arg;
    t_equal(weft_queue_init(&q, slots, 4, WEFT_FIFO), 0);
    t_equal(weft_queue_done(&q), -EINVAL);
    t_equal(weft_queue_join(&q), 0);
    t_equal(weft_queue_put(&q, (void *)1), 0);
    t_equal(weft_queue_put(&q, (void *)2), 0);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, joins, &u[0], &t), 0);
        t_equal(weft_spawn(&g, joins, &u[1]), 0);
        t_equal(weft_spawn(&g, joins, &u[2]), 0);
        t_check(t_wait_waiting("queue join", 3));
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_await(t), 0);
        t_equal(atomic_load(&u[0].rc), -ECANCELED);
        t_equal(weft_queue_get(&q, &item), 0);
        t_equal(weft_queue_get(&q, &item), 0);
        /* Got is not done. */
        t_equal(weft_queue_done(&q), 0);
        weft_with_timeout(2 * WEFT_MS)
            t_equal(weft_queue_join(&q), -ETIMEDOUT);
        t_equal(t_waiting("queue join"), 2);
        t_equal(weft_queue_done(&q), 0);
    }
    t_equal(atomic_load(&u[1].rc), 0);
    t_equal(atomic_load(&u[2].rc), 0);
    t_equal(weft_queue_done(&q), -EINVAL);
    t_equal(weft_queue_join(&q), 0);
    return 0;
}

static void
join_returns_when_every_item_is_done_and_one_more_is_refused(void **state)
{
    weft_queue q;
    void *slots[1];

    assert_int_equal(t_run(t_workers(state), join_waits, NULL), 0);
    assert_int_equal(weft_queue_init(&q, slots, 1, WEFT_FIFO), 0);
    assert_int_equal(weft_queue_join(&q), -EPERM);
    assert_int_equal(weft_queue_tryput(&q, slots), 0);
    assert_int_equal(weft_queue_done(&q), 0);
}

/* What is dropped is done; what was got before is not. */
static long join_after_drop(void *arg)
{
    void *slots[4], *item;
    weft_queue q;
    struct user u = {&q, NULL, 1}, late = {&q, (void *)6, 1};
    weft_group g;

    (void)arg;
    t_equal(weft_queue_init(&q, slots, 4, WEFT_FIFO), 0);
    for (intptr_t i = 1; i <= 4; i++)
        t_equal(weft_queue_put(&q, (void *)i), 0);
    t_equal(weft_queue_get(&q, &item), 0);
    t_equal(weft_queue_put(&q, (void *)5), 0);
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, joins, &u), 0);
        t_equal(weft_spawn(&g, puts_it, &late), 0);
        t_check(t_wait_waiting("queue join", 1));
        t_check(t_wait_waiting("queue put", 1));
        weft_queue_shutdown(&q, 1);
        t_equal(t_waiting("queue join"), 1);
        t_equal(weft_queue_done(&q), 0);
    }
    t_equal(atomic_load(&u.rc), 0);
    t_equal(atomic_load(&late.rc), -ESHUTDOWN);
    t_equal(weft_queue_done(&q), -EINVAL);

    /* And a joiner of nothing but dropped items goes at once. */
    t_equal(weft_queue_init(&q, slots, 4, WEFT_FIFO), 0);
    t_equal(weft_queue_put(&q, (void *)1), 0);
    atomic_store(&u.rc, 1);
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, joins, &u), 0);
        t_check(t_wait_waiting("queue join", 1));
        weft_queue_shutdown(&q, 1);
    }
    t_equal(atomic_load(&u.rc), 0);
    return 0;
}

static void items_dropped_by_a_shutdown_count_as_done(void **state)
{
    assert_int_equal(t_run(t_workers(state), join_after_drop, NULL), 0);
}

/* Rounds of work: the owner joins each and finds all of it done. */
struct shop {
    weft_queue q;
    atomic_long worked;
};

static long works(void *arg)
{
    struct shop *s = arg;
    void *item;

    while (weft_queue_get(&s->q, &item) == 0) {
        if ((intptr_t)item % 5 == 0)
            weft_yield();
        atomic_fetch_add(&s->worked, 1);
        t_equal(weft_queue_done(&s->q), 0);
    }
    return 0;
}

static long open_shop(void *arg)
{
    struct shop s = {.worked = 0};
    long rounds = *(long *)arg, put = 0;
    weft_group g;

    t_equal(weft_queue_init(&s.q, NULL, 0, WEFT_FIFO), 0);
    weft_with_group(&g) {
        for (int i = 0; i < 3; i++)
            t_equal(weft_spawn(&g, works, &s), 0);
        for (long r = 0; r < rounds; r++) {
            for (long i = 0; i <= r % 40; i++, put++)
                t_equal(weft_queue_put(&s.q, (void *)i), 0);
            t_equal(weft_queue_join(&s.q), 0);
            if (!t_equal(atomic_load(&s.worked), put))
                break;
        }
        weft_queue_shutdown(&s.q, 0);
    }
    return weft_group_wait(&g);
}

static void after_each_join_all_that_was_put_is_worked_off(void **state)
{
    long rounds = t_scale(3000);

    assert_int_equal(t_run(t_workers(state), open_shop, &rounds), 0);
}

/* ---- from outside ------------------------------------------------------- */

static void *tries_to_put(void *arg)
{
    struct stream *s = arg;

    for (long i = 0; i < s->each; i++)
        while (weft_queue_tryput(&s->q, (void *)i) == -EAGAIN)
            sched_yield();
    weft_queue_shutdown(&s->q, 0);
    return NULL;
}

static long gets_all(void *arg)
{
    struct stream *s = arg;
    void *item;

    while (weft_queue_get(&s->q, &item) == 0)
        if (!t_equal((intptr_t)item, atomic_fetch_add(&s->got, 1)))
            break;
    return 0;
}

static void a_foreign_thread_may_put_by_trying(void **state)
{
    static struct stream s;
    pthread_t thread;

    memset(&s, 0, sizeof s);
    s.each = t_scale(20000);
    assert_int_equal(weft_queue_init(&s.q, s.slots, 8, WEFT_FIFO), 0);
    assert_int_equal(pthread_create(&thread, NULL, tries_to_put, &s), 0);
    assert_int_equal(t_run(t_workers(state), gets_all, &s), 0);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&s.got), s.each);
}

static const struct CMUnitTest tests[] = {
    T_EACH(nothing_is_lost_or_doubled_and_order_is_kept),
    T_EACH(a_bounded_put_waits_and_a_cancelled_one_adds_nothing),
    T_EACH(getters_are_served_in_order_of_arrival),
    T_EACH(a_cancelled_getters_item_goes_to_the_next),
    T_EACH(timeouts_neither_lose_nor_add_items),
    T_EACH(after_shutdown_getters_drain_and_putters_are_refused),
    T_EACH(shutdown_now_drops_what_is_there_and_wakes_all),
    T_EACH(an_unbounded_queue_takes_what_comes),
    T_EACH(a_lifo_queue_gives_the_newest_first),
    T_EACH(the_least_comes_first_and_equals_in_order_of_their_puts),
    T_EACH(a_waiting_put_takes_its_place_in_the_order),
    T_EACH(join_returns_when_every_item_is_done_and_one_more_is_refused),
    T_EACH(items_dropped_by_a_shutdown_count_as_done),
    T_EACH(after_each_join_all_that_was_put_is_worked_off),
    T_EACH(a_foreign_thread_may_put_by_trying),
};

T_MAIN(tests)
