/* SPDX-License-Identifier: MIT */
/* A log-linear histogram of nanoseconds: 128 buckets a power of two, so the
 * error of a percentile stays under 1 %. */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB 128u
#define HISTOGRAM_BUCKETS (HISTOGRAM_SUB * 40u)

struct histogram {
    uint64_t count;
    int64_t min, max;
    double sum;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, int64_t ns);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The value that p percent of all do not exceed; 0 if there is none. */
int64_t histogram_percentile(const struct histogram *h, double p);

#endif
