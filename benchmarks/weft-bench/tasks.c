/* SPDX-License-Identifier: MIT */
/* Switching, spawning, joining. */
#include "bench.h"
#include "core/context.h"

/* ---- switch ------------------------------------------------------------ */

static void *here, *there;

static void bounce(void)
{
    for (;;)
        context_switch(&there, here);
}

static void bench_switch(const struct setting *s, struct outcome *out)
{
    long n = bench_n(s, 20000000);
    char *stack = malloc(65536);
    int64_t start;

    CHECK(stack);
    there = context_make(stack + 65536, bounce);
    context_switch(&here, there);
    start = weft_now();
    for (long i = 0; i < n; i++)
        context_switch(&here, there);
    out->value = bench_ns(start, 2.0 * (double)n);
    free(stack);
}

/* ---- spawn and join ---------------------------------------------------- */

static long one(void *arg)
{
    return (long)arg;
}

static long mark(void *arg)
{
    ++*(char *)arg;
    return 0;
}

enum { BATCH = 10000 };

static void bench_batch(const struct setting *s, struct outcome *out)
{
    static char runs[BATCH];
    long rounds = bench_n(s, 100);
    int64_t start;

    memset(runs, 0, sizeof runs);
    start = weft_now();
    for (long r = 0; r < rounds; r++) {
        weft_group g;

        weft_with_group(&g)
            for (int i = 0; i < BATCH; i++)
                CHECK(weft_spawn(&g, mark, &runs[i]) == 0);
        CHECK(weft_group_wait(&g) == 0);
    }
    out->value = bench_ns(start, (double)BATCH * (double)rounds);
    for (int i = 0; i < BATCH; i++)
        CHECK(runs[i] == rounds);
}

static void bench_one(const struct setting *s, struct outcome *out)
{
    long rounds = bench_n(s, 10000), sum = 0;
    int64_t start = weft_now();

    for (long r = 0; r < rounds; r++) {
        weft_group g;

        weft_with_group(&g)
            for (int i = 0; i < 100; i++) {
                weft_task *t;

                CHECK(weft_spawn_task(&g, one, (void *)1, &t) == 0);
                sum += weft_await(t);
            }
    }
    out->value = bench_ns(start, 100.0 * (double)rounds);
    CHECK(sum == 100 * rounds);
}

/* ---- yield ------------------------------------------------------------- */

static long yielder(void *arg)
{
    for (long i = 0; i < (long)arg; i++)
        CHECK(weft_yield() == 0);
    return 0;
}

/* ns of one worker for one yield: the workers yield at the same time. */
static void bench_yield(const struct setting *s, struct outcome *out)
{
    long n = bench_n(s, 1000000);
    unsigned tasks = 2 * s->workers;
    weft_group g;
    int64_t start = weft_now();

    weft_with_group(&g)
        for (unsigned i = 0; i < tasks; i++)
            CHECK(weft_spawn(&g, yielder, (void *)n) == 0);
    CHECK(weft_group_wait(&g) == 0);
    out->value = bench_ns(start, (double)n * tasks) * s->workers;
}

/* ---- skynet ------------------------------------------------------------ */

struct node {
    long first, size;
};

static long skynet(void *arg)
{
    struct node *n = arg, child[10];
    weft_task *t[10];
    weft_group g;
    long sum = 0;

    if (n->size == 1)
        return n->first;
    weft_with_group(&g) {
        for (int i = 0; i < 10; i++) {
            child[i].size = n->size / 10;
            child[i].first = n->first + i * child[i].size;
            CHECK(weft_spawn_task(&g, skynet, &child[i], &t[i]) == 0);
        }
        for (int i = 0; i < 10; i++)
            sum += weft_await(t[i]);
    }
    return sum;
}

static void bench_skynet(const struct setting *s, struct outcome *out)
{
    struct node root = {0, bench_n(s, 1000000)};
    int64_t start = weft_now();
    long sum = skynet(&root);

    out->value = bench_ns(start, 1e6);
    CHECK(sum == root.size * (root.size - 1) / 2);
}

/* ---- compute ----------------------------------------------------------- */

static void bench_compute(const struct setting *s, struct outcome *out)
{
    long n = bench_n(s, 20000), sum = 0;
    int64_t start = weft_now();

    for (long i = 0; i < n; i++)
        sum += weft_compute(one, (void *)1);
    out->value = bench_ns(start, (double)n);
    CHECK(sum == n);
}

const struct bench task_benches[] = {
    {"switch", "ns", "raw context switch, one way", bench_switch, true, 0},
    {"spawn_join_batch", "ns", "10 000 tasks in a group, joined by its end",
     bench_batch, false, 0},
    {"spawn_join_one", "ns", "spawn a task and await it, one at a time",
     bench_one, false, 0},
    {"yield", "ns", "a yield among two tasks a worker", bench_yield, false, 0},
    {"skynet", "ms", "1 M leaves, ten children a node", bench_skynet, false, 0},
    {"compute", "ns", "an empty function on the executor and back",
     bench_compute, false, 0},
    {NULL, NULL, NULL, NULL, false, 0},
};
