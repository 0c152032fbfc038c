/* SPDX-License-Identifier: MIT */
/* futures.c - asyncio.Future: a result that somebody else will set.
 *
 *     fut = loop.create_future()
 *     fut.add_done_callback(cb)
 *     threading.Thread(target=lambda:
 *         loop.call_soon_threadsafe(fut.set_result, 42)).start()
 *     print(await fut)
 *
 * Here a future is a variable: zeroed, yours, nothing to free. It may be set
 * from any thread, so there is no call_soon_threadsafe.
 */
#include <pthread.h>
#include <stdio.h>
#include <weft.h>

/* A thread that knows nothing of weft but the future that it owes. */
static void *answers(void *future)
{
    weft_future_set(future, 42); /* fut.set_result(42) */
    return NULL;
}

/* fut.set_exception(ConnectionRefusedError()) after 50 ms, as a task. */
static long refuses(void *future)
{
    int rc = weft_sleep(50 * WEFT_MS);

    return rc < 0 ? rc : weft_future_set(future, -ECONNREFUSED);
}

struct told {
    weft_future *of;
    weft_event done;
};

/* A done callback. Other than asyncio's it is a task, so it may wait. */
static long tell(void *arg)
{
    struct told *t = arg;

    printf("callback: %ld\n", weft_future_result(t->of));
    weft_event_set(&t->done);
    return 0;
}

/* One future, set by a thread, awaited here and seen by a callback. */
static long from_a_thread(void)
{
    weft_future f = {0};
    weft_callback cb = {0};
    struct told told = {.of = &f};
    pthread_t thread;
    long rc = weft_future_on_done(&f, &cb, tell, &told);

    if (rc < 0)
        return rc;
    if ((rc = pthread_create(&thread, NULL, answers, &f)) != 0) {
        weft_future_off_done(&f, &cb);
        return -rc;
    }
    printf("the answer: %ld\n", weft_future_wait(&f)); /* await fut */
    pthread_join(thread, NULL); /* it has set f: this takes no time */
    /* told and cb are on this stack: the callback must have run, come what
     * may, and so the wait for it is shielded. */
    weft_with_shield()
        rc = weft_event_wait(&told.done);
    return rc;
}

static long futures(void *arg)
{
    weft_future refused = {0}, never = {0};
    weft_group g;
    long rc = from_a_thread();

    (void)arg;
    if (rc < 0)
        return rc;

    /* An error in a future is what its await returns. */
    weft_with_group(&g) {
        if ((rc = weft_spawn(&g, refuses, &refused)) < 0)
            return rc;
        printf("refused: %s\n", weft_strerror(weft_future_wait(&refused)));
    }
    if ((rc = weft_group_wait(&g)) < 0)
        return rc;

    /* Set once: InvalidStateError is -EALREADY. */
    printf("set again: %s\n", weft_strerror(weft_future_set(&refused, 1)));

    /* No call takes a time-out; the block around it does. */
    weft_with_timeout(50 * WEFT_MS)
        rc = weft_future_wait(&never);
    printf("never: %s\n", weft_strerror(rc));

    /* The future itself was not cancelled by that: weft_future_cancel does. */
    printf("done: %d", weft_future_done(&never));
    weft_future_cancel(&never);
    printf(", then %d with %s\n", weft_future_done(&never),
           weft_strerror(weft_future_result(&never)));
    return 0;
}

int main(void)
{
    long rc = weft_run(futures, NULL);

    if (rc < 0)
        fprintf(stderr, "futures: %s\n", weft_strerror(rc));
    return rc < 0;
}
