/* SPDX-License-Identifier: MIT */
/* The fork-join rows by OpenMP; ../openmp-clang builds the same file. Trees are
 * tasks under one single construct, loops are parallel loops. The team stands
 * when the clock starts (the warm-up made it); opening the region is timed. */
#include "../sequential/peer.h"
#include <omp.h>

/* Tied tasks: LLVM's runtime pays 2.5 times as much for an untied one, and to
 * GNU's they are the same. */
#define PRAGMA(x) _Pragma(#x)
#define TASK(...) PRAGMA(omp task __VA_ARGS__)

/* Runs what follows once, in a team whose other threads take its tasks. */
#define IN_TEAM                                                                \
    PRAGMA(omp parallel)                                                       \
    PRAGMA(omp single nowait)

static uint64_t fib(uint64_t n)
{
    uint64_t a, b;

    if (n < 2)
        return n;
    TASK(shared(a) firstprivate(n))
    a = fib(n - 1);
    b = fib(n - 2);
#pragma omp taskwait
    return a + b;
}

static uint64_t fib_row(uint64_t n)
{
    uint64_t r = 0;

    IN_TEAM
    r = fib(n);
    return r;
}

static uint64_t skynet(uint64_t number, uint64_t leaves)
{
    uint64_t part[10], sum = 0;

    if (leaves == 1)
        return number;
    leaves /= 10;
    for (uint64_t i = 0; i < 9; i++) {
        TASK(shared(part) firstprivate(i, number, leaves))
        part[i] = skynet(number + i * leaves, leaves);
    }
    part[9] = skynet(number + 9 * leaves, leaves);
#pragma omp taskwait
    for (int i = 0; i < 10; i++)
        sum += part[i];
    return sum;
}

static uint64_t skynet_row(uint64_t n)
{
    uint64_t r = 0;

    IN_TEAM
    r = skynet(0, n);
    return r;
}

static uint64_t queens(const char *board, int row, int n)
{
    char boards[n][row + 1];
    uint64_t part[n], sum = 0;
    int forked = 0;

    if (row == n)
        return 1;
    for (int c = 0; c < n; c++)
        if (queen_safe(board, row, c)) {
            char *next = boards[forked];
            uint64_t *out = &part[forked++];

            memcpy(next, board, (size_t)row);
            next[row] = (char)c;
            TASK(firstprivate(out, next, row, n))
            *out = queens(next, row + 1, n);
        }
#pragma omp taskwait
    for (int i = 0; i < forked; i++)
        sum += part[i];
    return sum;
}

static uint64_t queens_row(uint64_t n)
{
    uint64_t r = 0;

    IN_TEAM
    r = queens("", 0, (int)n);
    return r;
}

static double integrate(double x1, double y1, double x2, double y2, double area)
{
    double half = (x2 - x1) / 2, x0 = x1 + half, y0 = integrand(x0);
    double a1 = (y1 + y0) / 2 * half, a2 = (y0 + y2) / 2 * half, left, right;

    if (fabs(a1 + a2 - area) < INTEGRATE_EPSILON)
        return a1 + a2;
    TASK(shared(left) firstprivate(x1, y1, x0, y0, a1))
    left = integrate(x1, y1, x0, y0, a1);
    right = integrate(x0, y0, x2, y2, a2);
#pragma omp taskwait
    return left + right;
}

static uint64_t integrate_row(uint64_t n)
{
    double x = (double)n, y1 = integrand(0), y2 = integrand(x), r = 0;

    IN_TEAM
    r = integrate(0, y1, x, y2, (y1 + y2) / 2 * x);
    return (uint64_t)floor(r * 10);
}

static uint64_t uts(uint64_t state, int children)
{
    uint64_t sum = 1, last;

    if (!children)
        return 1;

    uint64_t part[children];

    for (int i = 0; i < children - 1; i++) {
        uint64_t child = uts_child(state, i), *out = &part[i];

        TASK(firstprivate(out, child))
        *out = uts(child, uts_children(child));
    }
    last = uts_child(state, children - 1);
    sum += uts(last, uts_children(last));
#pragma omp taskwait
    for (int i = 0; i < children - 1; i++)
        sum += part[i];
    return sum;
}

static uint64_t uts_row(uint64_t n)
{
    uint64_t r = 0;

    IN_TEAM
    r = uts(mix(n), UTS_ROOT_CHILDREN);
    return r;
}

static void merge(const uint32_t *a, size_t n, const uint32_t *b, size_t m,
                  uint32_t *out)
{
    size_t i, j;

    if (n + m < SORT_GRAIN) {
        merge_small(a, n, b, m, out);
        return;
    }
    if (n < m) {
        merge(b, m, a, n, out);
        return;
    }
    i = n / 2;
    j = lower_bound(b, m, a[i]);
    TASK(firstprivate(a, i, b, j, out))
    merge(a, i, b, j, out);
    merge(a + i, n - i, b + j, m - j, out + i + j);
#pragma omp taskwait
}

/* Sorts a, into b if `flip`; the other array is scratch. */
static void cilksort(uint32_t *a, uint32_t *b, size_t n, int flip)
{
    size_t half = n / 2;
    uint32_t *from = flip ? a : b, *to = flip ? b : a;

    if (n < SORT_GRAIN) {
        sort_small(a, n);
        if (flip)
            memcpy(b, a, n * sizeof *a);
        return;
    }
    TASK(firstprivate(a, b, half, flip))
    cilksort(a, b, half, !flip);
    cilksort(a + half, b + half, n - half, !flip);
#pragma omp taskwait
    merge(from, half, from + half, n - half, to);
}

static uint64_t cilksort_row(uint64_t n)
{
    IN_TEAM
    cilksort(peer_keys, peer_scratch, n, 0);
    return 0;
}

static void matmul(const double *a, const double *b, double *c, size_t side,
                   size_t n)
{
    size_t h = side / 2;

    if (side == MATMUL_GRAIN) {
        matmul_block(a, b, c, n);
        return;
    }
    for (int k = 0; k < 2; k++, a += h, b += h * n) {
        TASK(firstprivate(a, b, c, h, n))
        matmul(a, b, c, h, n);
        TASK(firstprivate(a, b, c, h, n))
        matmul(a, b + h, c + h, h, n);
        TASK(firstprivate(a, b, c, h, n))
        matmul(a + h * n, b, c + h * n, h, n);
        matmul(a + h * n, b + h, c + h * n + h, h, n);
#pragma omp taskwait
    }
}

static uint64_t matmul_row(uint64_t n)
{
    IN_TEAM
    matmul(peer_grid[0], peer_grid[1], peer_grid[2], n, n);
    return 0;
}

/* One team for all steps: a loop's own barrier parts them. */
static uint64_t heat_steps(uint64_t n)
{
#pragma omp parallel
    for (uint64_t step = 0; step < n / 4; step++) {
        const double *u = peer_grid[step % 2];
        double *v = peer_grid[(step + 1) % 2];

#pragma omp for schedule(static)
        for (uint64_t i = 1; i < n - 1; i++)
            heat_row(u, v, n, i);
    }
    return 0;
}

static uint64_t for_even(uint64_t n)
{
    uint64_t x = 0;

#pragma omp parallel for schedule(static) reduction(^ : x)
    for (uint64_t i = 0; i < n; i++)
        x ^= loop_even(i);
    return x >> 1;
}

static uint64_t for_skewed(uint64_t n)
{
    uint64_t x = 0;

#pragma omp parallel for schedule(dynamic, 64) reduction(^ : x)
    for (uint64_t i = 0; i < n; i++)
        x ^= loop_skewed(i, n);
    return x >> 1;
}

static uint64_t for_fine(uint64_t n)
{
    uint64_t x = 0;

#pragma omp parallel for schedule(static) reduction(^ : x)
    for (uint64_t i = 0; i < n; i++)
        x ^= loop_fine(i);
    return x >> 1;
}

static uint64_t reduce(uint64_t n)
{
    uint64_t sum = 0;

#pragma omp parallel for schedule(static) reduction(+ : sum)
    for (uint64_t i = 0; i < n; i++)
        sum += mix(i) >> 8;
    return sum << 1 >> 1;
}

static const struct peer_row rows[] = PEER_ROWS;

int main(int argc, char **argv)
{
    int status;
    const struct peer_row *row =
        peer_arguments(argc, argv, rows, PEER_VERSION, &status);

    if (!row)
        return status;
    omp_set_dynamic(0);
    omp_set_num_threads(atoi(argv[2]));
    return peer_run(row, strtoull(argv[3], NULL, 10), atoi(argv[4]));
}
