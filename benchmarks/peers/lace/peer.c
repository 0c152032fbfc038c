/* SPDX-License-Identifier: MIT */
/* The fork-join rows by Lace 1: a task forks into its worker's deque, and what
 * was forked last is joined first. Lace has no loop: a range is halved down to
 * a grain that leaves every worker 64 pieces. */
#include "../sequential/peer.h"
#include <lace.h>

TASK_1(uint64_t, fib, uint64_t, n)
{
    uint64_t b;

    if (n < 2)
        return n;
    SPAWN(fib, n - 1);
    b = CALL(fib, n - 2);
    return SYNC(fib) + b;
}

static uint64_t fib_row(uint64_t n)
{
    return RUN(fib, n);
}

TASK_2(uint64_t, skynet, uint64_t, number, uint64_t, leaves)
{
    uint64_t sum;

    if (leaves == 1)
        return number;
    leaves /= 10;
    for (uint64_t i = 0; i < 9; i++)
        SPAWN(skynet, number + i * leaves, leaves);
    sum = CALL(skynet, number + 9 * leaves, leaves);
    for (int i = 0; i < 9; i++)
        sum += SYNC(skynet);
    return sum;
}

static uint64_t skynet_row(uint64_t n)
{
    return RUN(skynet, 0, n);
}

TASK_3(uint64_t, queens, const char *, board, int, row, int, n)
{
    char next[n][row + 1];
    uint64_t sum = 0;
    int forked = 0;

    if (row == n)
        return 1;
    for (int c = 0; c < n; c++)
        if (queen_safe(board, row, c)) {
            memcpy(next[forked], board, (size_t)row);
            next[forked][row] = (char)c;
            SPAWN(queens, next[forked], row + 1, n);
            forked++;
        }
    for (; forked; forked--)
        sum += SYNC(queens);
    return sum;
}

static uint64_t queens_row(uint64_t n)
{
    return RUN(queens, "", 0, (int)n);
}

TASK_5(double, integrate, double, x1, double, y1, double, x2, double, y2,
       double, area)
{
    double half = (x2 - x1) / 2, x0 = x1 + half, y0 = integrand(x0);
    double a1 = (y1 + y0) / 2 * half, a2 = (y0 + y2) / 2 * half, right;

    if (fabs(a1 + a2 - area) < INTEGRATE_EPSILON)
        return a1 + a2;
    SPAWN(integrate, x1, y1, x0, y0, a1);
    right = CALL(integrate, x0, y0, x2, y2, a2);
    return SYNC(integrate) + right;
}

static uint64_t integrate_row(uint64_t n)
{
    double x = (double)n, y1 = integrand(0), y2 = integrand(x);

    return (uint64_t)floor(
        RUN(integrate, 0, y1, x, y2, (y1 + y2) / 2 * x) * 10);
}

TASK_2(uint64_t, uts, uint64_t, state, int, children)
{
    uint64_t sum = 1;

    if (!children)
        return 1;
    for (int i = 0; i < children - 1; i++) {
        uint64_t child = uts_child(state, i);

        SPAWN(uts, child, uts_children(child));
    }
    state = uts_child(state, children - 1);
    sum += CALL(uts, state, uts_children(state));
    for (int i = 0; i < children - 1; i++)
        sum += SYNC(uts);
    return sum;
}

static uint64_t uts_row(uint64_t n)
{
    return RUN(uts, mix(n), UTS_ROOT_CHILDREN);
}

VOID_TASK_5(merge, const uint32_t *, a, size_t, n, const uint32_t *, b, size_t,
            m, uint32_t *, out)
{
    size_t i, j;

    if (n + m < SORT_GRAIN) {
        merge_small(a, n, b, m, out);
        return;
    }
    if (n < m) {
        CALL(merge, b, m, a, n, out);
        return;
    }
    i = n / 2;
    j = lower_bound(b, m, a[i]);
    SPAWN(merge, a, i, b, j, out);
    CALL(merge, a + i, n - i, b + j, m - j, out + i + j);
    SYNC(merge);
}

/* Sorts a, into b if `flip`; the other array is scratch. */
VOID_TASK_4(cilksort, uint32_t *, a, uint32_t *, b, size_t, n, int, flip)
{
    size_t half = n / 2;
    uint32_t *from = flip ? a : b, *to = flip ? b : a;

    if (n < SORT_GRAIN) {
        sort_small(a, n);
        if (flip)
            memcpy(b, a, n * sizeof *a);
        return;
    }
    SPAWN(cilksort, a, b, half, !flip);
    CALL(cilksort, a + half, b + half, n - half, !flip);
    SYNC(cilksort);
    CALL(merge, from, half, from + half, n - half, to);
}

static uint64_t cilksort_row(uint64_t n)
{
    RUN(cilksort, peer_keys, peer_scratch, n, 0);
    return 0;
}

VOID_TASK_5(matmul, const double *, a, const double *, b, double *, c, size_t,
            side, size_t, n)
{
    size_t h = side / 2;

    if (side == MATMUL_GRAIN) {
        matmul_block(a, b, c, n);
        return;
    }
    for (int k = 0; k < 2; k++, a += h, b += h * n) {
        SPAWN(matmul, a, b, c, h, n);
        SPAWN(matmul, a, b + h, c + h, h, n);
        SPAWN(matmul, a + h * n, b, c + h * n, h, n);
        CALL(matmul, a + h * n, b + h, c + h * n + h, h, n);
        SYNC(matmul);
        SYNC(matmul);
        SYNC(matmul);
    }
}

static uint64_t matmul_row(uint64_t n)
{
    RUN(matmul, peer_grid[0], peer_grid[1], peer_grid[2], n, n);
    return 0;
}

/* ---- loops ------------------------------------------------------------------ */

static uint64_t grain(uint64_t n)
{
    uint64_t g = n / (64 * lace_workers());

    return g ? g : 1;
}

VOID_TASK_5(heat_rows, uint64_t, from, uint64_t, to, uint64_t, n,
            const double *, u, double *, v)
{
    if (to - from <= grain(n)) {
        for (; from < to; from++)
            heat_row(u, v, n, from);
    } else {
        uint64_t middle = from + (to - from) / 2;

        SPAWN(heat_rows, from, middle, n, u, v);
        CALL(heat_rows, middle, to, n, u, v);
        SYNC(heat_rows);
    }
}

VOID_TASK_1(heat, uint64_t, n)
{
    for (uint64_t step = 0; step < n / 4; step++)
        CALL(heat_rows, 1, n - 1, n, peer_grid[step % 2],
             peer_grid[(step + 1) % 2]);
}

static uint64_t heat_steps(uint64_t n)
{
    RUN(heat, n);
    return 0;
}

/* A loop over [from, to) of n items, whose leaves put `item` of i into x. */
#define LOOP(name, op, item)                                                   \
    TASK_4(uint64_t, name##_range, uint64_t, from, uint64_t, to, uint64_t, n,  \
           uint64_t, leaf)                                                     \
    {                                                                          \
        uint64_t x = 0, middle = from + (to - from) / 2;                       \
                                                                               \
        (void)n;                                                               \
        if (to - from > leaf) {                                                \
            SPAWN(name##_range, from, middle, n, leaf);                        \
            x = CALL(name##_range, middle, to, n, leaf);                       \
            return SYNC(name##_range) op x;                                    \
        }                                                                      \
        for (uint64_t i = from; i < to; i++)                                   \
            x = x op (item);                                                   \
        return x;                                                              \
    }

LOOP(even, ^, loop_even(i))
LOOP(skewed, ^, loop_skewed(i, n))
LOOP(fine, ^, loop_fine(i))
LOOP(reduce, +, mix(i) >> 8)

static uint64_t for_even(uint64_t n)
{
    return RUN(even_range, 0, n, n, grain(n)) >> 1;
}

static uint64_t for_skewed(uint64_t n)
{
    return RUN(skewed_range, 0, n, n, grain(n)) >> 1;
}

static uint64_t for_fine(uint64_t n)
{
    return RUN(fine_range, 0, n, n, grain(n)) >> 1;
}

static uint64_t reduce(uint64_t n)
{
    return RUN(reduce_range, 0, n, n, grain(n)) << 1 >> 1;
}

static const struct peer_row rows[] = PEER_ROWS;

int main(int argc, char **argv)
{
    int status;
    const struct peer_row *row = peer_arguments(
        argc, argv, rows,
        "Lace " LACE_VERSION ", gcc " __VERSION__ ", -O3 native off", &status);

    if (!row)
        return status;
    lace_set_stacksize((size_t)64 << 20); /* address space: uts goes deep */
    lace_start((unsigned)atoi(argv[2]), 1 << 20);
    status = peer_run(row, strtoull(argv[3], NULL, 10), atoi(argv[4]));
    lace_stop();
    return status;
}
