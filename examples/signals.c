/* SPDX-License-Identifier: MIT */
/* signals.c - a graceful stop on SIGTERM or SIGINT.
 *
 *     stop = asyncio.Event()
 *     for s in (SIGTERM, SIGINT): loop.add_signal_handler(s, stop.set)
 *     await stop.wait()
 *
 * A signal is something to wait for, like any; no code runs in a handler. The
 * stop is a drain: no new jobs, those at hand may end within a time, what is
 * left then is cancelled. If nobody sends a signal in two seconds this program
 * sends itself SIGTERM.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include <weft.h>

struct server {
    weft_queue jobs;
    void *slots[16];
    atomic_int done, cut;
};

/* A new job each 10 ms until the queue is shut. Every tenth is a long one. */
static long accepts(void *arg)
{
    struct server *s = arg;
    int rc = 0;

    for (intptr_t n = 1; rc == 0; n++)
        if ((rc = weft_queue_put(&s->jobs, (void *)n)) == 0)
            rc = weft_sleep(10 * WEFT_MS);
    return rc == -ESHUTDOWN ? 0 : rc;
}

static long works(void *arg)
{
    struct server *s = arg;
    void *job = NULL;
    int rc;

    while ((rc = weft_queue_get(&s->jobs, &job)) == 0) {
        rc = weft_sleep((intptr_t)job % 10 ? 15 * WEFT_MS : 400 * WEFT_MS);
        atomic_fetch_add(rc ? &s->cut : &s->done, 1);
        if (rc < 0)
            break;
    }
    return rc == -ESHUTDOWN ? 0 : rc;
}

static long until_told(weft_signals *w)
{
    int rc = 0;

    weft_with_timeout(2 * WEFT_SEC)
        rc = weft_signals_next(w);
    if (rc == -ETIMEDOUT && kill(getpid(), SIGTERM) == 0)
        rc = weft_signals_next(w);
    return rc;
}

static long drain(struct server *s, weft_group *g)
{
    long rc = 0;

    weft_queue_shutdown(&s->jobs, 0);
    /* The group's wait cancels its tasks when it runs into the time-out, and
     * still awaits their end. */
    weft_with_timeout(200 * WEFT_MS)
        rc = weft_group_wait(g);
    return rc;
}

static long serve(struct server *s, weft_signals *w)
{
    weft_group g;
    long rc = 0;

    weft_with_group(&g) {
        if ((rc = weft_spawn(&g, accepts, s)) < 0)
            return rc;
        for (int i = 0; i < 8; i++)
            if ((rc = weft_spawn(&g, works, s)) < 0)
                return rc;
        if ((rc = until_told(w)) < 0)
            return rc;
        printf("told to stop by %s\n", rc == SIGINT ? "SIGINT" : "SIGTERM");
        rc = drain(s, &g);
    }
    printf("drain: %s\n", weft_strerror(rc));
    printf("%d jobs done, %d cut short\n", atomic_load(&s->done),
           atomic_load(&s->cut));
    return 0;
}

static long signals(void *arg)
{
    static const int stops[] = {SIGTERM, SIGINT};
    struct server *s = arg;
    weft_signals *w;
    long rc = weft_queue_init(&s->jobs, s->slots, 16, WEFT_FIFO);

    if (rc < 0 || (rc = weft_signals_open(&w, stops, 2)) < 0)
        return rc;
    printf("ready\n");
    fflush(stdout);
    rc = serve(s, w);
    weft_signals_close(w);
    return rc;
}

int main(void)
{
    static struct server s;
    struct weft_options opts = {.no_sigint = 1}; /* SIGINT is ours */
    long rc = weft_run_with(&opts, signals, &s);

    if (rc < 0)
        fprintf(stderr, "signals: %s\n", weft_strerror(rc));
    return rc < 0;
}
