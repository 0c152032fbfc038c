/* SPDX-License-Identifier: MIT */
/* The kernels that are too much the compiler's affair to be written twice:
 * made a library by cc, with the flags of the C programs. */
#include "../kernels.h"

void peer_matmul_block(const double *a, const double *b, double *c, size_t n)
{
    matmul_block(a, b, c, n);
}

void peer_merge_small(const uint32_t *a, size_t n, const uint32_t *b, size_t m,
                      uint32_t *out)
{
    merge_small(a, n, b, m, out);
}
