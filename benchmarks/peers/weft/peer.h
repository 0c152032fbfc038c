/* SPDX-License-Identifier: MIT */
/* A row does its work once; it returns the answer and tells when the clock
 * started and stopped. */
#ifndef PEER_WEFT_H
#define PEER_WEFT_H

#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

struct run {
    long size;
    unsigned threads;
    int64_t start, stop; /* weft_now() */
    double bytes;        /* an item's memory; 0: not measured */
    uint64_t answer;
};

struct row {
    const char *name;
    weft_fn *fn; /* of a struct run; in a task */
};

extern const struct row fork_rows[], task_rows[];

#define CHECK(x)                                                               \
    do {                                                                       \
        if (!(x)) {                                                            \
            fprintf(stderr, "%s:%d: %s is not so\n", __FILE__, __LINE__, #x);  \
            abort();                                                           \
        }                                                                      \
    } while (0)

#endif
