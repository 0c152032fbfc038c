/* SPDX-License-Identifier: MIT */
/* Fork and join on the executor. Each row goes there once. */
#include "../kernels.h"
#include "peer.h"

#include <stdatomic.h>

static void start(struct run *r)
{
    r->start = weft_now();
}

static long stop(struct run *r, uint64_t answer)
{
    r->stop = weft_now();
    r->answer = answer;
    return 0;
}

/* Made once, as the size stays: the later runs find its pages. */
static void *keep(void **data, size_t n, size_t size)
{
    if (!*data)
        *data = peer_alloc(n, size);
    return *data;
}

/* ---- trees ---------------------------------------------------------------- */

WEFT_TASK(long, fib, long, n)
{
    WEFT_CHILD(fib) a;
    long b;

    if (n < 2)
        return n;
    WEFT_FORK(fib, &a, n - 1);
    b = WEFT_CALL(fib, n - 2);
    return WEFT_JOIN(fib, &a) + b;
}

static long run_fib(void *arg)
{
    struct run *r = arg;
    long f;

    start(r);
    CHECK(WEFT_RUN(fib, &f, r->size) == 0);
    return stop(r, (uint64_t)f);
}

WEFT_TASK(long, skynet, long, first, long, size)
{
    WEFT_CHILD(skynet) c[9];
    long sum, part;

    if (__builtin_expect(size == 1, 1)) /* nine of ten calls */
        return first;
    part = size / 10;
    for (int i = 0; i < 9; i++)
        WEFT_FORK(skynet, &c[i], first + i * part, part);
    sum = WEFT_CALL(skynet, first + 9 * part, part);
    for (int i = 8; i >= 0; i--)
        sum += WEFT_JOIN(skynet, &c[i]);
    return sum;
}

static long run_skynet(void *arg)
{
    struct run *r = arg;
    long sum;

    start(r);
    CHECK(WEFT_RUN(skynet, &sum, 0, r->size) == 0);
    return stop(r, (uint64_t)sum);
}

struct board {
    char at[16];
};

WEFT_TASK(long, queens, struct board, above, int, row, int, n)
{
    WEFT_CHILD(queens) c[16];
    long sum = 0;
    int m = 0;

    if (row == n)
        return 1;
    for (int i = 0; i < n; i++)
        if (queen_safe(above.at, row, i)) {
            struct board b = above;

            b.at[row] = (char)i;
            WEFT_FORK(queens, &c[m++], b, row + 1, n);
        }
    while (m > 0)
        sum += WEFT_JOIN(queens, &c[--m]);
    return sum;
}

static long run_queens(void *arg)
{
    const struct board empty = {{0}};
    struct run *r = arg;
    long n;

    CHECK(r->size <= (long)sizeof empty.at);
    start(r);
    CHECK(WEFT_RUN(queens, &n, empty, 0, (int)r->size) == 0);
    return stop(r, (uint64_t)n);
}

WEFT_TASK(double, quad, double, x1, double, y1, double, x2, double, y2, double,
          area)
{
    double half = (x2 - x1) / 2, x0 = x1 + half, y0 = integrand(x0);
    double a1 = (y1 + y0) / 2 * half, a2 = (y0 + y2) / 2 * half;
    WEFT_CHILD(quad) left;

    if (fabs(a1 + a2 - area) < INTEGRATE_EPSILON)
        return a1 + a2;
    WEFT_FORK(quad, &left, x1, y1, x0, y0, a1);
    a2 = WEFT_CALL(quad, x0, y0, x2, y2, a2);
    return WEFT_JOIN(quad, &left) + a2;
}

static long run_integrate(void *arg)
{
    struct run *r = arg;
    double n = (double)r->size, y1 = integrand(0), y2 = integrand(n), area;

    start(r);
    CHECK(WEFT_RUN(quad, &area, 0, y1, n, y2, (y1 + y2) / 2 * n) == 0);
    return stop(r, (uint64_t)floor(area * 10));
}

WEFT_TASK(long, subtree, uint64_t, state, int, n)
{
    WEFT_CHILD(subtree) c[8];
    long sum = 1;

    if (__builtin_expect(n == 0, 1)) /* seven of eight */
        return 1;
    for (int i = 0; i < n; i++) {
        uint64_t s = uts_child(state, i);

        WEFT_FORK(subtree, &c[i], s, uts_children(s));
    }
    while (n > 0)
        sum += WEFT_JOIN(subtree, &c[--n]);
    return sum;
}

/* The root's 2000. */
WEFT_TASK(long, uts, uint64_t, state, int, from, int, to)
{
    WEFT_CHILD(uts) a;
    long b;

    if (to - from == 1) {
        uint64_t s = uts_child(state, from);

        return WEFT_CALL(subtree, s, uts_children(s));
    }
    WEFT_FORK(uts, &a, state, from, from + (to - from) / 2);
    b = WEFT_CALL(uts, state, from + (to - from) / 2, to);
    return WEFT_JOIN(uts, &a) + b;
}

static long run_uts(void *arg)
{
    struct run *r = arg;
    long n;

    start(r);
    CHECK(WEFT_RUN(uts, &n, mix((uint64_t)r->size), 0, UTS_ROOT_CHILDREN) == 0);
    return stop(r, (uint64_t)n + 1);
}

/* ---- sort ------------------------------------------------------------------ */

WEFT_TASK_VOID(merge, const uint32_t *, a, size_t, n, const uint32_t *, b,
               size_t, m, uint32_t *, out)
{
    WEFT_CHILD(merge) left;
    size_t i, j;

    if (n + m < SORT_GRAIN) {
        merge_small(a, n, b, m, out);
        return;
    }
    if (n < m) {
        WEFT_CALL(merge, b, m, a, n, out);
        return;
    }
    i = n / 2;
    j = lower_bound(b, m, a[i]);
    WEFT_FORK(merge, &left, a, i, b, j, out);
    WEFT_CALL(merge, a + i, n - i, b + j, m - j, out + i + j);
    WEFT_JOIN(merge, &left);
}

/* Into a, or into `other` if `away`. */
WEFT_TASK_VOID(sort, uint32_t *, a, uint32_t *, other, size_t, n, int, away)
{
    WEFT_CHILD(sort) left;
    size_t half = n / 2;

    if (n < SORT_GRAIN) {
        sort_small(a, n);
        if (away)
            memcpy(other, a, n * sizeof *a);
        return;
    }
    WEFT_FORK(sort, &left, a, other, half, !away);
    WEFT_CALL(sort, a + half, other + half, n - half, !away);
    WEFT_JOIN(sort, &left);
    if (away)
        WEFT_CALL(merge, a, half, a + half, n - half, other);
    else
        WEFT_CALL(merge, other, half, other + half, n - half, a);
}

static long run_sort(void *arg)
{
    static void *keys, *other;
    struct run *r = arg;
    size_t n = (size_t)r->size;
    uint32_t *a = keep(&keys, n, sizeof *a), *b = keep(&other, n, sizeof *b);

    sort_fill(a, n);
    start(r);
    CHECK(WEFT_RUN(sort, a, b, n, 0) == 0);
    (void)stop(r, 0);
    r->answer = sort_answer(a, n);
    return 0;
}

/* ---- matmul ----------------------------------------------------------------- */

WEFT_TASK_VOID(matmul, const double *, a, const double *, b, double *, c, size_t,
               size, size_t, n)
{
    WEFT_CHILD(matmul) q[3];
    size_t h = size / 2;

    if (size <= MATMUL_GRAIN) {
        matmul_block(a, b, c, n);
        return;
    }
    for (int k = 0; k < 2; k++, a += h, b += h * n) {
        WEFT_FORK(matmul, &q[0], a, b, c, h, n);
        WEFT_FORK(matmul, &q[1], a, b + h, c + h, h, n);
        WEFT_FORK(matmul, &q[2], a + h * n, b, c + h * n, h, n);
        WEFT_CALL(matmul, a + h * n, b + h, c + h * n + h, h, n);
        for (int i = 2; i >= 0; i--)
            WEFT_JOIN(matmul, &q[i]);
    }
}

static long run_matmul(void *arg)
{
    static void *data[3];
    struct run *r = arg;
    size_t n = (size_t)r->size;
    double *a = keep(&data[0], n * n, sizeof *a);
    double *b = keep(&data[1], n * n, sizeof *b);
    double *c = keep(&data[2], n * n, sizeof *c);

    matmul_fill(a, b, n);
    memset(c, 0, n * n * sizeof *c);
    start(r);
    CHECK(WEFT_RUN(matmul, a, b, c, n, n) == 0);
    (void)stop(r, 0);
    r->answer = (uint64_t)matmul_answer(c, n);
    return 0;
}

/* ---- loops -------------------------------------------------------------------- */

struct grid {
    size_t n;
    double *from, *to;
};

static long rows_of(size_t begin, size_t end, void *arg)
{
    struct grid *g = arg;

    for (size_t i = begin; i < end; i++)
        heat_row(g->from, g->to, g->n, i + 1);
    return 0;
}

static long all_steps(void *arg)
{
    struct grid *g = arg;

    for (size_t step = 0; step < g->n / 4; step++) {
        double *t = g->from;

        CHECK(weft_for(g->n - 2, rows_of, g) == 0);
        g->from = g->to;
        g->to = t;
    }
    return 0;
}

static long run_heat(void *arg)
{
    static void *data[2];
    struct run *r = arg;
    size_t n = (size_t)r->size;
    struct grid g = {n, keep(&data[0], n * n, sizeof(double)),
                     keep(&data[1], n * n, sizeof(double))};

    heat_fill(g.from, g.to, n);
    start(r);
    CHECK(weft_compute(all_steps, &g) == 0);
    (void)stop(r, 0);
    r->answer = (uint64_t)heat_answer(g.from, n);
    return 0;
}

static void exclusive_or(void *left, const void *right, void *arg)
{
    (void)arg;
    *(uint64_t *)left ^= *(const uint64_t *)right;
}

#define LOOP(name)                                                             \
    static long name##_part(size_t begin, size_t end, void *acc, void *arg)    \
    {                                                                          \
        uint64_t x = *(uint64_t *)acc;                                         \
        const uint64_t n = (uint64_t)((struct run *)arg)->size;                \
                                                                               \
        (void)n;                                                               \
        for (size_t i = begin; i < end; i++)                                   \
            x ^= name(i, n);                                                   \
        *(uint64_t *)acc = x;                                                  \
        return 0;                                                              \
    }                                                                          \
    static long name##_run(void *arg)                                          \
    {                                                                          \
        struct run *r = arg;                                                   \
        uint64_t x = 0;                                                        \
                                                                               \
        CHECK(weft_reduce((size_t)r->size, name##_part, exclusive_or, r, &x,   \
                          sizeof x) == 0);                                     \
        r->answer = x >> 1;                                                    \
        return 0;                                                              \
    }                                                                          \
    static long run_##name(void *arg)                                          \
    {                                                                          \
        struct run *r = arg;                                                   \
                                                                               \
        start(r);                                                              \
        CHECK(weft_compute(name##_run, r) == 0);                               \
        return stop(r, r->answer);                                             \
    }

#define even(i, n) loop_even(i)
#define skewed(i, n) loop_skewed(i, n)
#define fine(i, n) loop_fine(i)
LOOP(even)
LOOP(skewed)
LOOP(fine)

static long sum_part(size_t begin, size_t end, void *acc, void *arg)
{
    uint64_t sum = *(uint64_t *)acc;

    (void)arg;
    for (size_t i = begin; i < end; i++)
        sum += mix(i) >> 8;
    *(uint64_t *)acc = sum;
    return 0;
}

static void add(void *left, const void *right, void *arg)
{
    (void)arg;
    *(uint64_t *)left += *(const uint64_t *)right;
}

static long run_reduce(void *arg)
{
    struct run *r = arg;
    uint64_t sum = 0;

    start(r);
    CHECK(weft_reduce((size_t)r->size, sum_part, add, NULL, &sum, sizeof sum) ==
          0);
    return stop(r, sum & INT64_MAX);
}

const struct row fork_rows[] = {
    {"fib", run_fib},
    {"skynet", run_skynet},
    {"nqueens", run_queens},
    {"integrate", run_integrate},
    {"uts", run_uts},
    {"cilksort", run_sort},
    {"matmul", run_matmul},
    {"heat", run_heat},
    {"for_even", run_even},
    {"for_skewed", run_skewed},
    {"for_fine", run_fine},
    {"reduce", run_reduce},
    {NULL, NULL},
};
