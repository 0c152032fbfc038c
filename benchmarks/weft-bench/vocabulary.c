/* SPDX-License-Identifier: MIT */
/* Channels, select, priorities, generators, gather and the like. */
#include "bench.h"

/* ---- channels ------------------------------------------------------------ */

struct ends {
    weft_chan there, back;
    long n;
};

static long echo(void *arg)
{
    struct ends *e = arg;

    for (long i = 0; i < e->n; i++) {
        uint64_t x;

        CHECK(weft_chan_recv(&e->there, &x) == 0);
        CHECK(weft_chan_send(&e->back, &x) == 0);
    }
    return 0;
}

static void bench_chan(const struct setting *s, struct outcome *out)
{
    struct ends e = {.n = bench_n(s, 1000000)};
    int64_t start = weft_now();
    weft_group g;

    CHECK(weft_chan_init(&e.there, NULL, sizeof(uint64_t), 0) == 0);
    CHECK(weft_chan_init(&e.back, NULL, sizeof(uint64_t), 0) == 0);
    weft_with_group(&g) {
        CHECK(weft_spawn(&g, echo, &e) == 0);
        for (long i = 0; i < e.n; i++) {
            uint64_t x = (uint64_t)i;

            CHECK(weft_chan_send(&e.there, &x) == 0);
            CHECK(weft_chan_recv(&e.back, &x) == 0 && x == (uint64_t)i);
        }
    }
    out->value = bench_ns(start, (double)e.n);
}

/* ---- select ---------------------------------------------------------------- */

static void bench_select(const struct setting *s, struct outcome *out)
{
    long n = bench_n(s, 2000000);
    void *slots[2][1], *item;
    int64_t start;
    weft_queue q[2];

    for (int i = 0; i < 2; i++)
        CHECK(weft_queue_init(&q[i], slots[i], 1, WEFT_FIFO) == 0);
    start = weft_now();
    for (long i = 0; i < n; i++) {
        struct weft_case c[] = {WEFT_CASE_GET(&q[0], &item),
                                WEFT_CASE_GET(&q[1], &item)};

        CHECK(weft_queue_tryput(&q[i & 1], (void *)i) == 0);
        CHECK(weft_select(c, 2) == (i & 1) && item == (void *)i);
    }
    out->value = bench_ns(start, (double)n);
}

struct two {
    weft_queue q[2];
    long n;
};

static long feed(void *arg)
{
    struct two *t = arg;

    for (long i = 0; i < t->n; i++)
        CHECK(weft_queue_put(&t->q[i & 1], (void *)(i + 1)) == 0);
    return 0;
}

static void bench_select_wait(const struct setting *s, struct outcome *out)
{
    struct two t = {.n = bench_n(s, 500000)};
    void *slots[2][1], *item;
    int64_t start = weft_now();
    long sum = 0;
    weft_group g;

    for (int i = 0; i < 2; i++)
        CHECK(weft_queue_init(&t.q[i], slots[i], 1, WEFT_FIFO) == 0);
    weft_with_group(&g) {
        CHECK(weft_spawn(&g, feed, &t) == 0);
        for (long i = 0; i < t.n; i++) {
            struct weft_case c[] = {
                WEFT_CASE_GET(&t.q[0], &item), WEFT_CASE_GET(&t.q[1], &item),
                WEFT_CASE_TIME(start + 600 * WEFT_SEC)};

            CHECK(weft_select(c, 3) < 2);
            sum += (long)item;
        }
    }
    CHECK(sum == t.n * (t.n + 1) / 2);
    out->value = bench_ns(start, (double)t.n);
}

/* ---- priorities -------------------------------------------------------------- */

static void bench_priority(const struct setting *s, struct outcome *out)
{
    static void *slots[WEFT_PRIORITY_SLOTS(1001)];
    long n = bench_n(s, 1000000), random = 12345, last = 0;
    int64_t start;
    weft_queue q;
    void *item;

    CHECK(weft_queue_init(&q, slots, 1001, WEFT_PRIORITY) == 0);
    for (int i = 0; i < 1000; i++) {
        random = (random * 1103515245 + 12345) & 0x7fffffff;
        CHECK(weft_queue_tryput(&q, (void *)random) == 0);
    }
    start = weft_now();
    for (long i = 0; i < n; i++) {
        CHECK(weft_queue_get(&q, &item) == 0 && (long)item >= last);
        last = (long)item;
        random = (random * 1103515245 + 12345) & 0x7fffffff;
        CHECK(weft_queue_put(&q, (void *)(last + random)) == 0);
    }
    out->value = bench_ns(start, (double)n);
}

/* ---- generators ---------------------------------------------------------------- */

static long count(weft_gen *g, void *arg)
{
    for (long i = 1; i <= (long)arg; i++)
        CHECK(weft_gen_yield(g, (void *)i) == 0);
    return 0;
}

static void bench_gen(const struct setting *s, struct outcome *out)
{
    long n = bench_n(s, 1000000), sum = 0;
    int64_t start = weft_now();
    weft_gen g;
    void *x;

    CHECK(weft_gen_open(&g, count, (void *)n) == 0);
    while (weft_gen_next(&g, &x) == 1)
        sum += (long)x;
    CHECK(weft_gen_close(&g) == 0);
    CHECK(sum == n * (n + 1) / 2);
    out->value = bench_ns(start, (double)n);
}

/* ---- many tasks ------------------------------------------------------------------ */

static long give(void *arg)
{
    return (long)arg;
}

static void bench_gather(const struct setting *s, struct outcome *out)
{
    long n = bench_n(s, 200000), sum = 0;
    int64_t start = weft_now();

    for (long i = 0; i < n; i++) {
        struct weft_call c[10];

        for (long k = 0; k < 10; k++)
            c[k] = (struct weft_call){.fn = give, .arg = (void *)k};
        CHECK(weft_gather(c, 10) == 0);
        for (int k = 0; k < 10; k++)
            sum += c[k].ret;
    }
    CHECK(sum == 45 * n);
    out->value = bench_ns(start, 10.0 * (double)n);
}

static void bench_next(const struct setting *s, struct outcome *out)
{
    long n = bench_n(s, 20000), sum = 0;
    int64_t start = weft_now();

    for (long i = 0; i < n; i++) {
        weft_group g;
        weft_task *t;

        weft_with_group(&g) {
            for (long k = 0; k < 100; k++)
                CHECK(weft_spawn_task(&g, give, (void *)k, &t) == 0);
            while (weft_group_next(&g, &t) == 1)
                sum += weft_task_result(t);
        }
    }
    CHECK(sum == 4950 * n);
    out->value = bench_ns(start, 100.0 * (double)n);
}

static void bench_future(const struct setting *s, struct outcome *out)
{
    long n = bench_n(s, 5000000);
    int64_t start = weft_now();

    for (long i = 0; i < n; i++) {
        weft_future f = {{0}};

        CHECK(weft_future_set(&f, i) == 0);
        CHECK(weft_future_wait(&f) == i);
    }
    out->value = bench_ns(start, (double)n);
}

const struct bench vocabulary_benches[] = {
    {"chan", "ns", "round trip of two tasks over two unbuffered channels",
     bench_chan, false, 0},
    {"select", "ns", "put, and select over two queues: one is ready",
     bench_select, false, 0},
    {"select_wait", "ns", "select over two queues and a time, one feeder",
     bench_select_wait, false, 0},
    {"priority", "ns", "get and put, 1000 items in a priority queue",
     bench_priority, false, 0},
    {"gen", "ns", "a value of a generator", bench_gen, false, 0},
    {"gather", "ns", "a call, ten gathered at a time", bench_gather, false, 0},
    {"next", "ns", "a task of a hundred, taken as they end", bench_next, false,
     0},
    {"future", "ns", "set and wait, one task", bench_future, false, 0},
    {NULL, NULL, NULL, NULL, false, 0},
};
