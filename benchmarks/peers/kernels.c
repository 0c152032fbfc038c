/* SPDX-License-Identifier: MIT */
/* The sequential loops of the C, C++ and Rust programs, as kernels.sh compiles
 * them: the same instructions in all, whatever a program's own compiler is. */
#include "kernels.h"

/* ---- cilksort: no branch depends on the keys ----------------------------- */

/* Merges two sorted runs from both ends, k items from each, which are two
 * chains of loads that run beside each other. k is at most n and m, so none
 * runs out. Returns how many of the k at the front come from a, and adds to
 * *back how many of those at the end. */
static inline ptrdiff_t merge_ends(const uint32_t *a, size_t n,
                                   const uint32_t *b, size_t m, uint32_t *out,
                                   size_t k, ptrdiff_t *back)
{
    const uint32_t *a_end = a + n - 1, *b_end = b + m - 1;
    uint32_t *end = out + n + m - 1;
    ptrdiff_t i = 0, b_i = 0, j = 0, a_j = 0; /* b_i = -i, a_j = -j */

    for (size_t s = 0; s < k; s++) {
        uint32_t x = a[i], y = b[b_i], z = a_end[a_j], w = b_end[j];
        ptrdiff_t first = x <= y, last = z > w;

        *out++ = x <= y ? x : y;
        *end-- = z > w ? z : w;
        i += first;
        b_i -= first;
        b++;
        j += last;
        a_j -= last;
        b_end--;
    }
    *back += j;
    return i;
}

void merge_small(const uint32_t *a, size_t n, const uint32_t *b, size_t m,
                 uint32_t *out)
{
    while (n && m) {
        size_t k = n < m ? n : m;
        ptrdiff_t back = 0, front = merge_ends(a, n, b, m, out, k, &back);

        out += k;
        a += front;
        b += (ptrdiff_t)k - front;
        n -= (size_t)(front + back);
        m -= 2 * k - (size_t)(front + back);
    }
    memcpy(out, a, n * sizeof *a);
    memcpy(out + n, b, m * sizeof *b);
}

#define ORDER(i, j)                                                            \
    do {                                                                       \
        uint32_t x = a[i], y = a[j];                                           \
                                                                               \
        a[i] = x < y ? x : y;                                                  \
        a[j] = x < y ? y : x;                                                  \
    } while (0)

/* The network of 19 comparisons. */
static inline void sort_8(uint32_t *items)
{
    uint32_t a[8];

    memcpy(a, items, sizeof a);
    ORDER(0, 2); ORDER(1, 3); ORDER(4, 6); ORDER(5, 7);
    ORDER(0, 4); ORDER(1, 5); ORDER(2, 6); ORDER(3, 7);
    ORDER(0, 1); ORDER(2, 3); ORDER(4, 5); ORDER(6, 7);
    ORDER(2, 4); ORDER(3, 5);
    ORDER(1, 4); ORDER(3, 6);
    ORDER(1, 2); ORDER(3, 4); ORDER(5, 6);
    memcpy(items, a, sizeof a);
}

static void insertion_sort(uint32_t *a, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        uint32_t x = a[i];
        size_t j = i;

        for (; j && a[j - 1] > x; j--)
            a[j] = a[j - 1];
        a[j] = x;
    }
}

/* Merge sort, upwards from runs of eight. */
void sort_small(uint32_t *a, size_t n)
{
    uint32_t spare[SORT_GRAIN], *from = a, *to = spare, *other;
    size_t i;

    for (i = 0; i + 8 <= n; i += 8)
        sort_8(a + i);
    insertion_sort(a + i, n - i);
    for (size_t run = 8; run < n; run *= 2) {
        for (i = 0; i + 2 * run <= n; i += 2 * run) {
            uint32_t *b = from + i + run;
            ptrdiff_t back = 0;

            (void)merge_ends(from + i, run, b, run, to + i, run, &back);
        }
        if (n - i > run)
            merge_small(from + i, run, from + i + run, n - i - run, to + i);
        else
            memcpy(to + i, from + i, (n - i) * sizeof *a);
        other = from;
        from = to;
        to = other;
    }
    if (from != a)
        memcpy(a, from, n * sizeof *a);
}

/* ---- matmul ----------------------------------------------------------------- */

typedef double pair __attribute__((vector_size(16), may_alias));

#define N MATMUL_GRAIN

/* Tiles of four by four in registers. b is copied first, a panel of four columns
 * after the other: where its rows stand a power of two apart, few sets of the
 * cache would hold them all, and fewer the worse its pages lie. So is a, four
 * rows at a time, each item twice. */
void matmul_block(const double *a, const double *b, double *c, size_t n)
{
    pair panels[N * N / 2], twice[N][4];

    for (size_t j = 0; j < N; j += 4)
        for (size_t k = 0; k < N; k++)
            memcpy(panels + (j * N + k * 4) / 2, b + k * n + j, 4 * sizeof *b);
    for (size_t i = 0; i < N; i += 4) {
        for (size_t k = 0; k < N; k++)
            for (size_t r = 0; r < 4; r++) {
                double x = a[(i + r) * n + k];

                twice[k][r] = (pair){x, x};
            }
        for (size_t j = 0; j < N; j += 4) {
            const pair *p = panels + j * N / 2;
            pair sum[4][2] = {{{0}}};

            for (size_t k = 0; k < N; k++, p += 2)
                for (size_t r = 0; r < 4; r++) {
                    sum[r][0] += twice[k][r] * p[0];
                    sum[r][1] += twice[k][r] * p[1];
                }
            for (size_t r = 0; r < 4; r++)
                for (size_t q = 0; q < 4; q++)
                    c[(i + r) * n + j + q] += sum[r][q / 2][q % 2];
        }
    }
}

/* ---- heat ------------------------------------------------------------------- */

void heat_row(const double *u, double *v, size_t n, size_t i)
{
    const double *__restrict__ r = u + i * n;
    double *__restrict__ w = v + i * n;

    for (size_t j = 1; j + 1 < n; j++)
        w[j] = 0.25 * (((r[j - n] + r[j + n]) + r[j - 1]) + r[j + 1]);
}

/* ---- loops ------------------------------------------------------------------ */

uint64_t loop_even(uint64_t i)
{
    return spin(i, 500);
}

uint64_t loop_skewed(uint64_t i, uint64_t n)
{
    return spin(i, i < n / 8 ? 4000 : 100);
}
