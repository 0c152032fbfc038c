/* SPDX-License-Identifier: MIT */
/* select.c - one task that waits for a queue, a descriptor, a task and the
 * clock at once.
 *
 *     done, pending = await asyncio.wait(
 *         {create_task(queue.get()), create_task(reader.read()), job},
 *         timeout=..., return_when=FIRST_COMPLETED)
 *
 * There, the tasks that lost must be cancelled, and an item that one of them
 * had taken is lost. Here the cases are no tasks: one is done, the others are
 * untouched.
 */
#include <stdio.h>
#include <unistd.h>
#include <weft.h>

struct world {
    weft_queue queue;
    void *slots[4];
    int pipe[2];
};

/* Three items and three bytes, 20 ms apart. */
static long happens(void *arg)
{
    struct world *w = arg;
    int rc;

    for (int i = 0; i < 3; i++) {
        if ((rc = weft_sleep(20 * WEFT_MS)) < 0 ||
            (rc = weft_queue_put(&w->queue, "item")) < 0 ||
            (rc = weft_sleep(20 * WEFT_MS)) < 0)
            return rc;
        if (write(w->pipe[1], "x", 1) != 1) /* a pipe with room: no wait */
            return -EIO;
    }
    return 7;
}

enum { QUEUE, PIPE, CLOCK, TASK, CASES };

/* Counts what came, by kind, until half a second has passed. */
static long watch(struct world *w, weft_task *t, int *count)
{
    int64_t end = weft_now() + 500 * WEFT_MS;
    void *item = NULL;
    char c;

    while (!count[CLOCK]) {
        struct weft_case cases[] = {
            [QUEUE] = WEFT_CASE_GET(&w->queue, &item),
            [PIPE] = WEFT_CASE_FD(w->pipe[0], WEFT_READ),
            [CLOCK] = WEFT_CASE_TIME(end),
            [TASK] = WEFT_CASE_TASK(t),
        };
        /* A task that has ended stays so, and would win for ever: the last
         * case is left out then. */
        long which = weft_select(cases, count[TASK] ? TASK : CASES);

        if (which < 0)
            return which;
        if (cases[which].ret < 0)
            return cases[which].ret;
        count[which]++;
        if (which == TASK)
            printf("the task's result: %ld\n", cases[TASK].ret);
        if (which == PIPE && read(w->pipe[0], &c, 1) != 1)
            return -EIO;
    }
    return 0;
}

static long selects(struct world *w)
{
    int count[CASES] = {0};
    weft_task *t;
    weft_group g;
    long rc = 0;

    weft_with_group(&g) {
        if ((rc = weft_spawn_task(&g, happens, w, &t)) < 0 ||
            (rc = watch(w, t, count)) < 0)
            return rc;
    }
    printf("queue %d, pipe %d, clock %d, task %d\n", count[QUEUE], count[PIPE],
           count[CLOCK], count[TASK]);
    return weft_group_wait(&g);
}

/* Who loses loses nothing: the clock wins, and the item that comes later is
 * there for the next who asks. */
static long losers_lose_nothing(struct world *w)
{
    void *item = NULL;
    struct weft_case cases[] = {
        WEFT_CASE_TIME(weft_now() + 10 * WEFT_MS),
        WEFT_CASE_GET(&w->queue, &item),
    };
    long which = weft_select(cases, 2);
    int rc;

    if (which < 0)
        return which;
    if ((rc = weft_queue_put(&w->queue, "late")) < 0)
        return rc;
    printf("case %ld won, %zu item inside\n", which, weft_queue_len(&w->queue));
    return 0;
}

static long example(void *arg)
{
    struct world w = {0};
    long rc = weft_queue_init(&w.queue, w.slots, 4, WEFT_FIFO);

    (void)arg;
    if (rc < 0)
        return rc;
    if (pipe(w.pipe) < 0)
        return -weft_errno();
    if ((rc = selects(&w)) == 0)
        rc = losers_lose_nothing(&w);
    close(w.pipe[0]);
    close(w.pipe[1]);
    return rc;
}

int main(void)
{
    long rc = weft_run(example, NULL);

    if (rc < 0)
        fprintf(stderr, "select: %s\n", weft_strerror(rc));
    return rc < 0;
}
