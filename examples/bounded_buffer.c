/* SPDX-License-Identifier: MIT */
/* bounded_buffer.c - asyncio.Condition, by building what a bounded Queue is.
 *
 *     async with self.not_full:
 *         await self.not_full.wait_for(lambda: len(self.items) < self.limit)
 *         self.items.append(item)
 *         self.not_empty.notify()
 *
 * (For real work there is weft_queue; see stream_processing.c.)
 */
#include <stdio.h>
#include <weft.h>

#define LIMIT 4
#define MAKERS 3
#define EATERS 2
#define EACH 200 /* items a maker */

struct buffer {
    weft_mutex lock; /* protects all below */
    weft_cond not_full, not_empty;
    int items[LIMIT];
    int first, count;
    int deepest;
    int makers; /* still at work */
};

static int has_room(void *arg)
{
    return ((struct buffer *)arg)->count < LIMIT;
}

static int has_items_or_ends(void *arg)
{
    struct buffer *b = arg;

    return b->count > 0 || b->makers == 0;
}

/* weft_cond_wait_for returns with the lock held, also when it failed; the block
 * gives it back. The block is skipped only if the task is cancelled as it waits
 * for the lock; weft_check then says so. */
static int put(struct buffer *b, int item)
{
    weft_with_mutex(&b->lock) {
        int rc = weft_cond_wait_for(&b->not_full, &b->lock, has_room, b);
        if (rc < 0)
            return rc;
        b->items[(b->first + b->count++) % LIMIT] = item;
        if (b->count > b->deepest)
            b->deepest = b->count;
        weft_cond_signal(&b->not_empty);
        return 0;
    }
    return weft_check();
}

/* 1 with an item, 0 when there will be none any more, or an error. */
static int get(struct buffer *b, int *item)
{
    weft_with_mutex(&b->lock) {
        int rc =
            weft_cond_wait_for(&b->not_empty, &b->lock, has_items_or_ends, b);

        if (rc < 0 || b->count == 0)
            return rc;
        *item = b->items[b->first];
        b->first = (b->first + 1) % LIMIT;
        b->count--;
        weft_cond_signal(&b->not_full);
        return 1;
    }
    return weft_check();
}

static long maker(void *arg)
{
    struct buffer *b = arg;
    int rc = 0;

    for (int i = 1; i <= EACH && rc == 0; i++)
        rc = put(b, i);
    weft_with_shield() /* the eaters must learn of it in any case */
        weft_with_mutex(&b->lock) {
            b->makers--;
            weft_cond_broadcast(&b->not_empty); /* notify_all */
        }
    return rc;
}

/* Returns the sum of what it ate: a task's result is a long, like any. */
static long eater(void *arg)
{
    int item = 0, rc;
    long sum = 0;

    while ((rc = get(arg, &item)) > 0)
        sum += item;
    return rc < 0 ? rc : sum;
}

static long bounded_buffer(void *arg)
{
    struct buffer b = {.makers = MAKERS};
    struct weft_call calls[EATERS + MAKERS];
    long sum = 0, rc;

    (void)arg;
    for (int i = 0; i < EATERS + MAKERS; i++)
        calls[i] =
            (struct weft_call){.fn = i < EATERS ? eater : maker, .arg = &b};
    if ((rc = weft_gather(calls, EATERS + MAKERS)) < 0)
        return rc;
    for (int i = 0; i < EATERS; i++)
        sum += calls[i].ret;
    printf("sum %ld of %d\n", sum, MAKERS * EACH * (EACH + 1) / 2);
    printf("at most %d of %d in the buffer, %d left\n", b.deepest, LIMIT,
           b.count);
    return 0;
}

int main(void)
{
    long rc = weft_run(bounded_buffer, NULL);

    if (rc < 0)
        fprintf(stderr, "bounded_buffer: %s\n", weft_strerror(rc));
    return rc < 0;
}
