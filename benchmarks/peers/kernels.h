/* SPDX-License-Identifier: MIT */
/* What every C and C++ program of the comparison does sequentially: the same
 * source, so that a row compares schedulers. The loops that a compiler can make
 * more or less of are in kernels.c, one object by one compiler, which Rust
 * links, too. */
#ifndef PEERS_KERNELS_H
#define PEERS_KERNELS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL static inline __attribute__((unused))

#define GOLDEN 0x9e3779b97f4a7c15u
#define SORT_GRAIN 2048
#define MATMUL_GRAIN 64

KERNEL uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* ---- data ---------------------------------------------------------------- */

KERNEL void *peer_alloc(uint64_t n, size_t size)
{
    void *p = aligned_alloc(4096, (n * size + 4095) / 4096 * 4096);

    if (!p)
        abort();
    memset(p, 0, n * size);
    return p;
}

/* ---- nqueens: may a queen stand in column c of row n? -------------------- */

KERNEL int queen_safe(const char *board, int n, int c)
{
    for (int i = 0; i < n; i++) {
        int d = board[i] - c;

        if (d == 0 || d == n - i || d == i - n)
            return 0;
    }
    return 1;
}

/* ---- integrate ------------------------------------------------------------ */

#define INTEGRATE_EPSILON 1e-9

KERNEL double integrand(double x)
{
    return (x * x + 1.0) * x;
}

/* ---- unbalanced tree ------------------------------------------------------ */

#define UTS_ROOT_CHILDREN 2000

KERNEL int uts_children(uint64_t state)
{
    return (mix(state ^ GOLDEN) >> 40) < 2094635 ? 8 : 0;
}

KERNEL uint64_t uts_child(uint64_t state, int i)
{
    return mix(state + (uint64_t)(i + 1) * GOLDEN);
}

/* ---- cilksort ------------------------------------------------------------- */

KERNEL void sort_fill(uint32_t *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] = (uint32_t)mix(i + 1);
}

KERNEL uint64_t sort_answer(const uint32_t *a, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        if (i && a[i - 1] > a[i])
            abort();
        sum += a[i] ^ (uint32_t)(i * 2654435761u);
    }
    return sum;
}

#ifdef __cplusplus
extern "C" {
#endif
/* Sorts up to SORT_GRAIN items. */
void sort_small(uint32_t *a, size_t n);
void merge_small(const uint32_t *a, size_t n, const uint32_t *b, size_t m,
                 uint32_t *out);
/* c += a * b for blocks of MATMUL_GRAIN squared in matrices of n columns. */
void matmul_block(const double *a, const double *b, double *c, size_t n);
/* Row i, no border, of v from u. */
void heat_row(const double *u, double *v, size_t n, size_t i);
/* Items of a loop. Inlined, some compilers would do two of them at a time. */
uint64_t loop_even(uint64_t i);
/* The dear ones stand together: an even split by number is uneven work. */
uint64_t loop_skewed(uint64_t i, uint64_t n);
#ifdef __cplusplus
}
#endif

/* How many of a[0..n) are less than x. */
KERNEL size_t lower_bound(const uint32_t *a, size_t n, uint32_t x)
{
    size_t low = 0;

    while (low < n) {
        size_t mid = low + (n - low) / 2;

        if (a[mid] < x)
            low = mid + 1;
        else
            n = mid;
    }
    return low;
}

/* ---- matmul ----------------------------------------------------------------- */

KERNEL void matmul_fill(double *a, double *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            a[i * n + j] = (double)((i * 3 + j) % 7) - 3;
            b[i * n + j] = (double)((i + 5 * j) % 5) - 2;
        }
}

KERNEL int64_t matmul_answer(const double *c, size_t n)
{
    int64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            sum += (int64_t)c[i * n + j] * (int64_t)((i * 31 + j) % 101);
    return sum;
}

/* ---- heat ------------------------------------------------------------------- */

KERNEL void heat_fill(double *u, double *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            u[i * n + j] = v[i * n + j] = (double)((i * j) % 16);
}

KERNEL int64_t heat_answer(const double *u, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n * n; i++)
        sum += u[i];
    return (int64_t)floor(sum);
}

/* ---- loops ------------------------------------------------------------------ */

KERNEL uint64_t spin(uint64_t i, int rounds)
{
    uint64_t x = i + 1;

    for (int k = 0; k < rounds; k++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}

KERNEL uint64_t loop_fine(uint64_t i)
{
    return spin(i, 2);
}

#endif
