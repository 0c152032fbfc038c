/* SPDX-License-Identifier: MIT */
/* stream_processing.c - producers, workers and a consumer between two queues.
 *
 *     queue = asyncio.Queue(maxsize=16)
 *     producer:  await queue.put(record)
 *     worker:    while True: record = await queue.get() ...
 *     the end:   queue.shutdown()      # Python 3.13
 *
 * A slow stage holds up the one before it: nothing piles up.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

#define PRODUCERS 3
#define WORKERS 4
#define RECORDS 500 /* a producer */
#define DEPTH 16

struct record {
    int source, number;
    long value;
};

struct stream {
    weft_queue raw, cooked;
    void *raw_slots[DEPTH], *cooked_slots[DEPTH];
    atomic_int producing, working; /* tasks of a stage that are left */
    atomic_int deepest;
};

/* A queue carries pointers. Who puts one gives it away; if the put failed it is
 * still ours. */
static int hand_on(weft_queue *q, struct record *r)
{
    int rc = weft_queue_put(q, r);

    if (rc < 0)
        free(r);
    return rc;
}

static long produces(void *arg)
{
    struct stream *s = arg;
    int source = atomic_fetch_sub(&s->producing, 1) - 1, rc = 0;

    for (int i = 0; i < RECORDS && rc == 0; i++) {
        struct record *r = malloc(sizeof *r);

        if (!r)
            return -ENOMEM;
        *r = (struct record){source, i, 0};
        rc = hand_on(&s->raw, r);
        if (i % 100 == 99 && rc == 0)
            rc = weft_sleep(5 * WEFT_MS); /* waits for its source */
    }
    return rc;
}

static long works(void *arg)
{
    struct stream *s = arg;
    void *item = NULL;
    int rc;

    /* async for record in queue: until it is shut and empty */
    while ((rc = weft_queue_get(&s->raw, &item)) == 0) {
        struct record *r = item;
        int depth = (int)weft_queue_len(&s->raw);

        if (depth > atomic_load(&s->deepest))
            atomic_store(&s->deepest, depth);
        r->value = r->number + 1;
        if ((rc = hand_on(&s->cooked, r)) < 0)
            break;
    }
    /* The last worker ends the next stage. */
    if (atomic_fetch_sub(&s->working, 1) == 1)
        weft_queue_shutdown(&s->cooked, 0);
    return rc == -ESHUTDOWN ? 0 : rc;
}

struct totals {
    struct stream *of;
    long records, sum, out_of_order;
    int last[PRODUCERS];
};

static long consumes(void *arg)
{
    struct totals *t = arg;
    void *item = NULL;
    int rc;

    while ((rc = weft_queue_get(&t->of->cooked, &item)) == 0) {
        struct record *r = item;

        t->records++;
        t->sum += r->value;
        t->out_of_order += r->number < t->last[r->source];
        t->last[r->source] = r->number;
        free(r);
    }
    return rc == -ESHUTDOWN ? 0 : rc;
}

/* The producers' group inside the others': at its end all is produced. */
static long run(struct stream *s, struct totals *t)
{
    weft_group all, producers;
    long rc;

    weft_with_group(&all) {
        if ((rc = weft_spawn(&all, consumes, t)) < 0)
            return rc;
        for (int i = 0; i < WORKERS; i++)
            if ((rc = weft_spawn(&all, works, s)) < 0)
                return rc;
        weft_with_group(&producers)
            for (int i = 0; i < PRODUCERS; i++)
                if ((rc = weft_spawn(&producers, produces, s)) < 0)
                    return rc;
        if ((rc = weft_group_wait(&producers)) < 0)
            return rc;
        weft_queue_shutdown(&s->raw, 0); /* what is inside is still worked on */
    }
    return weft_group_wait(&all);
}

static long stream_processing(void *arg)
{
    struct stream *s = arg;
    struct totals t = {.of = s};
    long rc;

    if ((rc = weft_queue_init(&s->raw, s->raw_slots, DEPTH, WEFT_FIFO)) < 0 ||
        (rc = weft_queue_init(&s->cooked, s->cooked_slots, DEPTH,
                              WEFT_FIFO)) < 0 ||
        (rc = run(s, &t)) < 0)
        return rc;
    printf("%ld records, sum %ld\n", t.records, t.sum);
    printf("at most %d of %d waited\n", atomic_load(&s->deepest), DEPTH);
    /* Four workers overtake each other; one would not. */
    printf("%ld came out of order\n", t.out_of_order);
    return 0;
}

int main(void)
{
    static struct stream s = {.producing = PRODUCERS, .working = WORKERS};
    long rc = weft_run(stream_processing, &s);

    if (rc < 0)
        fprintf(stderr, "stream_processing: %s\n", weft_strerror(rc));
    return rc < 0;
}
