/* SPDX-License-Identifier: MIT */
/* A benchmark is a function that does its work once and returns what one item
 * cost in its unit; it verifies what it did and dies if that is wrong. */
#ifndef WEFT_BENCH_H
#define WEFT_BENCH_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

struct setting {
    unsigned workers;
    bool quick; /* a tenth of the work */
};

struct outcome {
    double value;
    double bytes; /* an item's memory, 0: not measured */
    double other; /* the peer's value in the same run, 0: none */
};

typedef void bench_fn(const struct setting *s, struct outcome *out);

struct bench {
    const char *name;
    const char *unit;
    const char *what;
    bench_fn *fn;
    bool own_runtime; /* called on the program's thread; else in a task */
    unsigned workers; /* always so many, 0: as the user says */
};

extern const struct bench task_benches[], sync_benches[], vocabulary_benches[],
    wait_benches[], fork_benches[];

#define CHECK(x)                                                               \
    do {                                                                       \
        if (!(x)) {                                                            \
            fprintf(stderr, "%s:%d: %s is not so\n", __FILE__, __LINE__, #x);  \
            abort();                                                           \
        }                                                                      \
    } while (0)

/* n, or a tenth of it. */
static inline long bench_n(const struct setting *s, long n)
{
    return s->quick ? n / 10 : n;
}

/* ns an item since `start`. */
static inline double bench_ns(int64_t start, double items)
{
    return (double)(weft_now() - start) / items;
}

/* Resident bytes of this process. */
double bench_rss(void);

#endif
