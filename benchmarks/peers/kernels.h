/* SPDX-License-Identifier: MIT */
/* What every C and C++ program of the comparison does sequentially: the same
 * source, so that a row compares schedulers. Rust links it, too (kernels.c). */
#ifndef PEERS_KERNELS_H
#define PEERS_KERNELS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL static inline __attribute__((unused))
/* Not inlined: what a compiler makes of a loop would depend on its caller, and
 * the row would compare that. */
#define KERNEL_LOOP static __attribute__((unused, noinline))

#define GOLDEN 0x9e3779b97f4a7c15u
#define SORT_GRAIN 2048
#define MATMUL_GRAIN 64

KERNEL uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
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

/* Quicksort of three medians, ended by insertion. */
KERNEL_LOOP void sort_small(uint32_t *a, size_t n)
{
    while (n > 24) {
        uint32_t x = a[0], y = a[n / 2], z = a[n - 1], t;
        uint32_t pivot = x < y ? (y < z ? y : x < z ? z : x)
                               : (x < z ? x : y < z ? z : y);
        size_t i = 0, j = n - 1;

        for (;; i++, j--) {
            while (a[i] < pivot)
                i++;
            while (a[j] > pivot)
                j--;
            if (i >= j)
                break;
            t = a[i];
            a[i] = a[j];
            a[j] = t;
        }
        j++;
        if (j < n - j) {
            sort_small(a, j);
            a += j;
            n -= j;
        } else {
            sort_small(a + j, n - j);
            n = j;
        }
    }
    for (size_t i = 1; i < n; i++) {
        uint32_t x = a[i];
        size_t j = i;

        for (; j && a[j - 1] > x; j--)
            a[j] = a[j - 1];
        a[j] = x;
    }
}

KERNEL_LOOP void merge_small(const uint32_t *a, size_t n, const uint32_t *b,
                        size_t m, uint32_t *out)
{
    while (n && m) {
        if (*b < *a) {
            *out++ = *b++;
            m--;
        } else {
            *out++ = *a++;
            n--;
        }
    }
    memcpy(out, a, n * sizeof *a);
    memcpy(out + n, b, m * sizeof *b);
}

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

/* c += a * b for blocks of MATMUL_GRAIN squared in matrices of n columns. */
KERNEL_LOOP void matmul_block(const double *restrict_a, const double *restrict_b,
                         double *restrict_c, size_t n)
{
    const double *__restrict__ a = restrict_a, *__restrict__ b = restrict_b;
    double *__restrict__ c = restrict_c;

    for (size_t i = 0; i < MATMUL_GRAIN; i++)
        for (size_t k = 0; k < MATMUL_GRAIN; k++) {
            double x = a[i * n + k];

            for (size_t j = 0; j < MATMUL_GRAIN; j++)
                c[i * n + j] += x * b[k * n + j];
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

/* Row i, no border, of v from u. */
KERNEL_LOOP void heat_row(const double *u, double *v, size_t n, size_t i)
{
    const double *__restrict__ r = u + i * n;
    double *__restrict__ w = v + i * n;

    for (size_t j = 1; j + 1 < n; j++)
        w[j] = 0.25 * (((r[j - n] + r[j + n]) + r[j - 1]) + r[j + 1]);
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

KERNEL uint64_t loop_even(uint64_t i)
{
    return spin(i, 500);
}

/* The dear ones stand together: an even split by number is uneven work. */
KERNEL uint64_t loop_skewed(uint64_t i, uint64_t n)
{
    return spin(i, i < n / 8 ? 4000 : 100);
}

KERNEL uint64_t loop_fine(uint64_t i)
{
    return spin(i, 2);
}

#endif
