/* SPDX-License-Identifier: MIT */
/* inference.c - a model server that runs requests in batches: when there are
 * enough of them, or when the first has waited long enough.
 *
 *     async def infer(x):
 *         fut = loop.create_future()
 *         await queue.put((x, fut))
 *         return await fut
 *
 *     batch = [await queue.get()]
 *     with suppress(TimeoutError):
 *         async with asyncio.timeout(0.01):
 *             while len(batch) < 8: batch.append(await queue.get())
 */
#include <stdio.h>
#include <weft.h>

#define MOST 8
#define DELAY (20 * WEFT_MS)
#define DEPTH 64

struct request {
    long x;
    weft_future y; /* who asks waits for it; a negative value is an error */
};

struct server {
    weft_queue queue;
    void *slots[DEPTH];
    /* of the batcher alone */
    long batches, full, delayed, requests;
};

/* What a client calls. If it is cancelled while the batcher has its request
 * already, the request must stay until it is answered: hence the shield. */
static long infer(struct server *s, long x)
{
    struct request r = {.x = x};
    long y = weft_queue_put(&s->queue, &r);

    if (y < 0)
        return y;
    weft_with_shield()
        y = weft_future_wait(&r.y);
    return y;
}

struct batch {
    struct request *r[MOST];
    int n;
};

/* The model: burns CPU, on the executor. One call costs about the same for one
 * request as for eight, which is why they are batched. */
static long model(void *arg)
{
    struct batch *b = arg;
    volatile double burn = 1;

    for (int i = 0; i < 1000000; i++)
        burn = burn * 1.0000001;
    for (int i = 0; i < b->n; i++)
        b->r[i]->x = b->r[i]->x * b->r[i]->x;
    return 0;
}

/* Waits for a first request, then until DELAY has passed for MOST in all. */
static int collect(struct server *s, struct batch *b)
{
    void *item = NULL;
    int rc = weft_queue_get(&s->queue, &item);

    if (rc < 0)
        return rc;
    b->r[0] = item;
    b->n = 1;
    weft_with_timeout(DELAY)
        while (b->n < MOST && (rc = weft_queue_get(&s->queue, &item)) == 0)
            b->r[b->n++] = item;
    /* The deadline is an answer here. Was it not this block's but one around
     * it, or a cancellation, the next wait says so. */
    return 0;
}

static long serves(void *arg)
{
    struct server *s = arg;
    struct batch b;
    void *item;
    int rc;

    while ((rc = collect(s, &b)) == 0) {
        long done = 0;

        s->batches++;
        s->requests += b.n;
        s->full += b.n == MOST;
        s->delayed += b.n < MOST;
        /* Who asked is owed an answer, whatever happens to this task. */
        weft_with_shield()
            done = weft_compute(model, &b);
        for (int i = 0; i < b.n; i++)
            weft_future_set(&b.r[i]->y, done < 0 ? done : b.r[i]->x);
    }
    weft_queue_shutdown(&s->queue, 0);
    while (weft_queue_tryget(&s->queue, &item) == 0) /* was it cancelled? */
        weft_future_set(&((struct request *)item)->y, rc);
    return rc == -ESHUTDOWN ? 0 : rc;
}

struct client {
    struct server *of;
    long x, y;
    int64_t after, took;
};

static long asks(void *arg)
{
    struct client *c = arg;
    int64_t start;
    int rc = weft_sleep(c->after);

    if (rc < 0)
        return rc;
    start = weft_now();
    c->y = infer(c->of, c->x);
    c->took = weft_now() - start;
    return c->y < 0 ? c->y : 0;
}

/* A rush of 40 at once, then three stragglers 100 ms apart. */
static long inference(void *arg)
{
    enum { RUSH = 40, ALL = 43 };
    struct server *s = arg;
    struct client c[ALL];
    weft_group clients, g;
    long rc = weft_queue_init(&s->queue, s->slots, DEPTH, WEFT_FIFO);
    long right = 0;

    if (rc < 0)
        return rc;
    weft_with_group(&g) {
        if ((rc = weft_spawn(&g, serves, s)) < 0)
            return rc;
        weft_with_group(&clients)
            for (int i = 0; i < ALL; i++) {
                c[i] = (struct client){.of = s, .x = i};
                if (i >= RUSH)
                    c[i].after = (i - RUSH + 2) * 100 * WEFT_MS;
                if ((rc = weft_spawn(&clients, asks, &c[i])) < 0)
                    return rc;
            }
        if ((rc = weft_group_wait(&clients)) < 0)
            return rc;
        weft_queue_shutdown(&s->queue, 0);
    }
    if ((rc = weft_group_wait(&g)) < 0)
        return rc;
    for (int i = 0; i < ALL; i++)
        right += c[i].y == c[i].x * c[i].x;
    printf("%ld requests, %ld right, %ld batches\n", s->requests, right,
           s->batches);
    printf("full: %ld, sent by the delay: %ld\n", s->full, s->delayed);
    printf("a straggler waited %.1f ms\n", (double)c[ALL - 1].took / 1e6);
    return 0;
}

int main(void)
{
    static struct server s;
    /* The model is what this program is for: at full weight. */
    struct weft_options opts = {.executor_nice = -1};
    long rc = weft_run_with(&opts, inference, &s);

    if (rc < 0)
        fprintf(stderr, "inference: %s\n", weft_strerror(rc));
    return rc < 0;
}
