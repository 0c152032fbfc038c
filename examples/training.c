/* SPDX-License-Identifier: MIT */
/* training.c - a training loop that loads the next batch while it computes on
 * this one.
 *
 *     batch = await to_thread(load, 0)
 *     for i in range(n):
 *         nxt = asyncio.create_task(to_thread(load, i + 1))
 *         loss = await run_in_executor(pool, step, model, batch)
 *         batch = await nxt
 *
 * It is run twice, one after the other and overlapped; the result is the same,
 * the wall time is not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <weft.h>

#define BATCHES 10
#define SIZE 4096
#define PASSES 6000 /* over a batch: some 25 ms of work */

struct batch {
    int number;
    float x[SIZE], y[SIZE];
};

struct model {
    double a, b; /* y = a x + b; the data say 3 and 0.5 */
};

/* Blocks its thread, as a read from a disk does: for weft_blocking. */
static long load(void *arg)
{
    struct batch *b = arg;
    unsigned seed = (unsigned)b->number + 1;
    struct timespec disk = {0, 40 * 1000 * 1000};

    nanosleep(&disk, NULL);
    for (int i = 0; i < SIZE; i++) {
        b->x[i] = (float)(rand_r(&seed) % 2000) / 1000.0f - 1.0f;
        b->y[i] = 3.0f * b->x[i] + 0.5f;
    }
    return 0;
}

struct work {
    struct model *model;
    const struct batch *batch;
};

/* Burns CPU: for weft_compute. Gradient descent of the squared error. */
static long step(void *arg)
{
    struct work *w = arg;
    struct model *m = w->model;

    for (int pass = 0; pass < PASSES; pass++) {
        double ga = 0, gb = 0;

        for (int i = 0; i < SIZE; i++) {
            double e = m->a * w->batch->x[i] + m->b - w->batch->y[i];

            ga += e * w->batch->x[i];
            gb += e;
        }
        m->a -= 0.002 * ga / SIZE;
        m->b -= 0.002 * gb / SIZE;
    }
    return 0;
}

/* A task around it, so that it can go on beside its spawner. */
static long loads(void *batch)
{
    return weft_blocking(load, batch);
}

static long one_after_the_other(struct model *m, struct batch *b)
{
    long rc = 0;

    for (int i = 0; i < BATCHES && rc == 0; i++) {
        b->number = i;
        if ((rc = weft_blocking(load, b)) == 0)
            rc = weft_compute(step, &(struct work){m, b});
    }
    return rc;
}

static long overlapped(struct model *m, struct batch b[2])
{
    weft_task *next = NULL;
    weft_group g;
    long rc = 0;

    weft_with_group(&g) {
        b[0].number = 0;
        if ((rc = weft_spawn_task(&g, loads, &b[0], &next)) < 0)
            return rc;
        for (int i = 0; i < BATCHES; i++) {
            struct batch *now = &b[i % 2], *then = &b[(i + 1) % 2];

            if ((rc = weft_await(next)) < 0)
                return rc;
            then->number = i + 1;
            if (i + 1 < BATCHES &&
                (rc = weft_spawn_task(&g, loads, then, &next)) < 0)
                return rc;
            if ((rc = weft_compute(step, &(struct work){m, now})) < 0)
                return rc;
        }
    }
    return weft_group_wait(&g);
}

static long training(void *arg)
{
    struct batch *b = arg; /* two of them: one is computed on, one is loaded */
    struct model one = {0}, two = {0};
    int64_t start = weft_now(), middle;
    long rc = one_after_the_other(&one, b);

    middle = weft_now();
    if (rc < 0 || (rc = overlapped(&two, b)) < 0)
        return rc;
    printf("sequential: %.3f s\n", (double)(middle - start) / 1e9);
    printf("overlapped: %.3f s\n", (double)(weft_now() - middle) / 1e9);
    printf("model: %.2f x + %.2f, the same: %d\n", two.a, two.b,
           one.a == two.a && one.b == two.b);
    return 0;
}

int main(void)
{
    struct batch *b = malloc(2 * sizeof *b);
    /* The computing is what this program is for: at full weight. */
    struct weft_options opts = {.executor_nice = -1};
    long rc = b ? weft_run_with(&opts, training, b) : -ENOMEM;

    free(b);
    if (rc < 0)
        fprintf(stderr, "training: %s\n", weft_strerror(rc));
    return rc < 0;
}
