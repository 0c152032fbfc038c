/* SPDX-License-Identifier: MIT */
/* A program of the comparison: the rows of fork.c and tasks.c on this tree's
 * weft. */
#include "peer.h"

#include <string.h>

struct request {
    const struct row *row;
    long size, runs;
    unsigned threads;
};

static void do_once(const struct request *q, struct run *r)
{
    *r = (struct run){.size = q->size, .threads = q->threads};
    CHECK(q->row->fn(r) == 0);
}

static long serve(void *arg)
{
    const struct request *q = arg;
    struct run r;

    do_once(q, &r);
    for (long i = 0; i < q->runs; i++) {
        do_once(q, &r);
        printf("%lld %lld", (long long)(r.stop - r.start),
               (long long)r.answer); /* matmul's may be negative */
        if (r.bytes > 0)
            printf(" %.0f", r.bytes);
        printf("\n");
    }
    return 0;
}

static const struct row *find(const struct row *rows, const char *name)
{
    for (; rows->name; rows++)
        if (strcmp(rows->name, name) == 0)
            return rows;
    return NULL;
}

static int list(void)
{
    for (const struct row *r = fork_rows; r->name; r++)
        puts(r->name);
    for (const struct row *r = task_rows; r->name; r++)
        puts(r->name);
    return 0;
}

int main(int argc, char **argv)
{
    struct request q;
    struct weft_options o = {.slow_task = -1, .executor_nice = -1};

    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list();
    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        printf("weft %d.%d.%d, gcc %s, -O3\n", WEFT_VERSION_MAJOR,
               WEFT_VERSION_MINOR, WEFT_VERSION_PATCH, __VERSION__);
        return 0;
    }
    if (argc != 5) {
        fprintf(stderr, "usage: peer list | version | ROW THREADS SIZE RUNS\n");
        return 2;
    }
    q.threads = (unsigned)atoi(argv[2]);
    q.size = atol(argv[3]);
    q.runs = atol(argv[4]);
    q.row = find(fork_rows, argv[1]);
    if (q.row) {
        /* Its workers have nothing to do but to wait. */
        o.workers = 1;
        o.executor_threads = q.threads;
        o.executor_stack = (size_t)64 << 20;
    } else {
        o.workers = q.threads;
        q.row = find(task_rows, argv[1]);
    }
    if (!q.row || !q.threads || q.size < 1 || q.runs < 1) {
        fprintf(stderr, "no such row, or no number\n");
        return 2;
    }
    return weft_run_with(&o, serve, &q) != 0;
}
