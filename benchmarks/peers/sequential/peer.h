/* SPDX-License-Identifier: MIT */
/* The program around the rows of a C or C++ peer: its arguments, the data of
 * the rows that have any, the clock, the answers. The peer has the work only. */
#ifndef PEERS_PEER_H
#define PEERS_PEER_H

#include "../kernels.h"
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* For a C++ program's version line; clang's __VERSION__ has its name in it. */
#ifdef __clang__
#define PEER_COMPILER __VERSION__
#else
#define PEER_COMPILER "g++ " __VERSION__
#endif

struct peer_row {
    const char *name;
    uint64_t (*work)(uint64_t n); /* the answer; if a row has data, any number */
};

/* The data: of cilksort keys and scratch, of matmul A, B, C, of heat U, V. */
static uint32_t *peer_keys, *peer_scratch;
static double *peer_grid[3];

/* What a row says in its third column; < 0: nothing. */
static long peer_bytes = -1;

KERNEL void peer_prepare(const char *row, uint64_t n)
{
    if (!strcmp(row, "cilksort")) {
        if (!peer_keys) {
            peer_keys = (uint32_t *)peer_alloc(n, sizeof *peer_keys);
            peer_scratch = (uint32_t *)peer_alloc(n, sizeof *peer_keys);
        }
        sort_fill(peer_keys, n);
    }
    if (strcmp(row, "matmul") && strcmp(row, "heat"))
        return;
    for (int i = 0; i < 3 && !peer_grid[i]; i++)
        peer_grid[i] = (double *)peer_alloc(n * n, sizeof(double));
    if (*row == 'h') {
        heat_fill(peer_grid[0], peer_grid[1], n);
    } else {
        matmul_fill(peer_grid[0], peer_grid[1], n);
        memset(peer_grid[2], 0, n * n * sizeof(double));
    }
}

KERNEL void peer_print(const char *row, uint64_t n, int64_t ns, uint64_t answer)
{
    if (!strcmp(row, "cilksort"))
        answer = sort_answer(peer_keys, n);
    if (!strcmp(row, "matmul"))
        answer = (uint64_t)matmul_answer(peer_grid[2], n);
    if (!strcmp(row, "heat")) /* step after step U and V change places */
        answer = (uint64_t)heat_answer(peer_grid[n / 4 % 2], n);
    printf("%" PRId64 " ", ns);
    if (!strcmp(row, "matmul") || !strcmp(row, "heat"))
        printf("%" PRId64, (int64_t)answer);
    else
        printf("%" PRIu64, answer);
    if (peer_bytes >= 0)
        printf(" %ld", peer_bytes);
    putchar('\n');
}

/* Bytes of memory that the process holds. */
KERNEL long peer_resident(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (!f || fscanf(f, "%*s %ld", &pages) != 1)
        abort();
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

KERNEL int64_t peer_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The rest of main(): the runtime runs already. */
KERNEL int peer_run(const struct peer_row *row, uint64_t n, int runs)
{
    if (!strcmp(row->name, "matmul"))
        for (uint64_t side = n; side != MATMUL_GRAIN; side /= 2)
            if (side % 2 || side < MATMUL_GRAIN) {
                fprintf(stderr, "matmul: SIZE is 64 times a power of two\n");
                return 2;
            }
    for (int i = -1; i < runs; i++) { /* the first is the warm-up */
        int64_t start, end;
        uint64_t answer;

        peer_prepare(row->name, n);
        start = peer_clock();
        answer = row->work(n);
        end = peer_clock();
        if (i >= 0)
            peer_print(row->name, n, end - start, answer);
    }
    return fflush(stdout) ? 1 : 0;
}

/* The rows of a program that has them all, by functions of these names. */
#define PEER_ROWS                                                              \
    {                                                                          \
        {"fib", fib_row}, {"skynet", skynet_row}, {"nqueens", queens_row},     \
        {"integrate", integrate_row}, {"uts", uts_row},                        \
        {"cilksort", cilksort_row}, {"matmul", matmul_row},                    \
        {"heat", heat_steps}, {"for_even", for_even},                          \
        {"for_skewed", for_skewed}, {"for_fine", for_fine},                    \
        {"reduce", reduce}, {NULL, NULL},                                      \
    }

/* The row that the arguments name; without one `*status` is main's result. */
KERNEL const struct peer_row *peer_arguments(int argc, char **argv,
                                             const struct peer_row *rows,
                                             const char *version, int *status)
{
    *status = 0;
    if (argc == 2 && !strcmp(argv[1], "version")) {
        puts(version);
        return NULL;
    }
    if (argc == 2 && !strcmp(argv[1], "list")) {
        for (; rows->name; rows++)
            puts(rows->name);
        return NULL;
    }
    *status = 2;
    for (; argc == 5 && rows->name; rows++)
        if (!strcmp(argv[1], rows->name) && atoi(argv[2]) > 0)
            return rows;
    fprintf(stderr, "usage: peer list | version | ROW THREADS SIZE RUNS\n");
    return NULL;
}

#endif
