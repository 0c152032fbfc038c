/* SPDX-License-Identifier: MIT */
/* The same work by plain calls and loops: the answers all others must give and
 * the floor under their times. THREADS is ignored. */
#include "peer.h"

static uint64_t fib_row(uint64_t n)
{
    return n < 2 ? n : fib_row(n - 1) + fib_row(n - 2);
}

static uint64_t skynet(uint64_t number, uint64_t leaves)
{
    uint64_t sum = 0;

    if (leaves == 1)
        return number;
    leaves /= 10;
    for (uint64_t i = 0; i < 10; i++)
        sum += skynet(number + i * leaves, leaves);
    return sum;
}

static uint64_t skynet_row(uint64_t n)
{
    return skynet(0, n);
}

static uint64_t queens(const char *board, int row, int n)
{
    char next[32];
    uint64_t sum = 0;

    if (row == n)
        return 1;
    for (int c = 0; c < n; c++)
        if (queen_safe(board, row, c)) {
            memcpy(next, board, (size_t)row);
            next[row] = (char)c;
            sum += queens(next, row + 1, n);
        }
    return sum;
}

static uint64_t queens_row(uint64_t n)
{
    return queens("", 0, (int)n);
}

static double integrate(double x1, double y1, double x2, double y2, double area)
{
    double half = (x2 - x1) / 2, x0 = x1 + half, y0 = integrand(x0);
    double a1 = (y1 + y0) / 2 * half, a2 = (y0 + y2) / 2 * half;

    if (fabs(a1 + a2 - area) < INTEGRATE_EPSILON)
        return a1 + a2;
    return integrate(x1, y1, x0, y0, a1) + integrate(x0, y0, x2, y2, a2);
}

static uint64_t integrate_row(uint64_t n)
{
    double x = (double)n, y1 = integrand(0), y2 = integrand(x);

    return (uint64_t)floor(integrate(0, y1, x, y2, (y1 + y2) / 2 * x) * 10);
}

static uint64_t uts(uint64_t state, int children)
{
    uint64_t sum = 1;

    for (int i = 0; i < children; i++) {
        uint64_t child = uts_child(state, i);

        sum += uts(child, uts_children(child));
    }
    return sum;
}

static uint64_t uts_row(uint64_t n)
{
    return uts(mix(n), UTS_ROOT_CHILDREN);
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
    cilksort(a, b, half, !flip);
    cilksort(a + half, b + half, n - half, !flip);
    merge_small(from, half, from + half, n - half, to);
}

static uint64_t cilksort_row(uint64_t n)
{
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
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < 2; i++)
            for (size_t j = 0; j < 2; j++)
                matmul(a + i * h * n + k * h, b + k * h * n + j * h,
                       c + i * h * n + j * h, h, n);
}

static uint64_t matmul_row(uint64_t n)
{
    matmul(peer_grid[0], peer_grid[1], peer_grid[2], n, n);
    return 0;
}

static uint64_t heat_steps(uint64_t n)
{
    for (uint64_t step = 0; step < n / 4; step++) {
        const double *u = peer_grid[step % 2];
        double *v = peer_grid[(step + 1) % 2];

        for (uint64_t i = 1; i + 1 < n; i++)
            heat_row(u, v, n, i);
    }
    return 0;
}

static uint64_t for_even(uint64_t n)
{
    uint64_t x = 0;

    for (uint64_t i = 0; i < n; i++)
        x ^= loop_even(i);
    return x >> 1;
}

static uint64_t for_skewed(uint64_t n)
{
    uint64_t x = 0;

    for (uint64_t i = 0; i < n; i++)
        x ^= loop_skewed(i, n);
    return x >> 1;
}

static uint64_t for_fine(uint64_t n)
{
    uint64_t x = 0;

    for (uint64_t i = 0; i < n; i++)
        x ^= loop_fine(i);
    return x >> 1;
}

static uint64_t reduce(uint64_t n)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < n; i++)
        sum += mix(i) >> 8;
    return sum << 1 >> 1;
}

static const struct peer_row rows[] = PEER_ROWS;

int main(int argc, char **argv)
{
    int status;
    const struct peer_row *row = peer_arguments(
        argc, argv, rows, "plain C, gcc " __VERSION__ ", -O3 native off",
        &status);

    return row ? peer_run(row, strtoull(argv[3], NULL, 10), atoi(argv[4]))
               : status;
}
