/* SPDX-License-Identifier: MIT */
#include "histogram.h"

static unsigned bucket_of(int64_t ns)
{
    uint64_t v = ns < 0 ? 0 : (uint64_t)ns;
    unsigned shift = 0, i;

    while (v >> shift >= UINT64_C(2) * HISTOGRAM_SUB)
        shift++;
    i = shift * HISTOGRAM_SUB + (unsigned)(v >> shift);
    return i < HISTOGRAM_BUCKETS ? i : HISTOGRAM_BUCKETS - 1;
}

/* The middle of a bucket. */
static int64_t value_of(unsigned i)
{
    unsigned shift;

    if (i < 2 * HISTOGRAM_SUB)
        return i;
    shift = i / HISTOGRAM_SUB - 1;
    return (int64_t)(((uint64_t)(i - shift * HISTOGRAM_SUB) << shift) +
                     (UINT64_C(1) << shift) / 2);
}

void histogram_add(struct histogram *h, int64_t ns)
{
    if (!h->count || ns < h->min)
        h->min = ns;
    if (!h->count || ns > h->max)
        h->max = ns;
    h->count++;
    h->sum += (double)ns;
    h->buckets[bucket_of(ns)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (!from->count)
        return;
    if (!into->count || from->min < into->min)
        into->min = from->min;
    if (!into->count || from->max > into->max)
        into->max = from->max;
    into->count += from->count;
    into->sum += from->sum;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

int64_t histogram_percentile(const struct histogram *h, double p)
{
    double want = p / 100 * (double)h->count;
    uint64_t seen = 0;

    if (!h->count)
        return 0;
    if (p >= 100)
        return h->max;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen && (double)seen >= want) {
            int64_t v = value_of(i);

            return v > h->max ? h->max : v < h->min ? h->min : v;
        }
    }
    return h->max;
}
