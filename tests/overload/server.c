/* SPDX-License-Identifier: MIT */
/* A server on the library alone. A connection's task puts its job into a queue
 * with a bound, without waiting: if that is full the client is told so at once.
 * A task takes the jobs, each of which costs the same CPU time. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "overload.h"

/* Held by the queue and by the connection: one that cannot wait for it, for
 * want of a stack, leaves it behind. */
struct job {
    weft_event done;
    atomic_int holders;
};

static weft_queue queue;
static void *slots[LIB_QUEUE];

static int64_t cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * WEFT_SEC + t.tv_nsec;
}

/* No wait in between: it is one thread's time. */
static void burn(int64_t ns)
{
    int64_t end = cpu_now() + ns;

    while (cpu_now() < end)
        continue;
}

static void let_go(struct job *job)
{
    if (atomic_fetch_sub(&job->holders, 1) == 1)
        free(job);
}

static long work_task(void *arg)
{
    void *item;

    (void)arg;
    while (weft_queue_get(&queue, &item) == 0) {
        burn(LIB_COST_US * WEFT_US);
        (void)weft_queue_done(&queue);
        weft_event_set(&((struct job *)item)->done);
        let_go(item);
    }
    return 0;
}

static bool work(void)
{
    struct job *job = calloc(1, sizeof *job);
    int rc;

    if (!job)
        return false;
    atomic_store(&job->holders, 2);
    rc = weft_queue_tryput(&queue, job);
    if (rc < 0)
        let_go(job); /* for the queue */
    else
        rc = weft_event_wait(&job->done);
    let_go(job);
    return rc == 0;
}

static long serve(weft_stream *s, void *arg)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\n"
                               "Retry-After: 1\r\nContent-Length: 0\r\n\r\n";
    char head[1024];
    ssize_t n = 1;

    (void)arg;
    while (n > 0) {
        weft_with_timeout(5 * WEFT_SEC)
            n = weft_readuntil(s, head, sizeof head, "\r\n\r\n", 4);
        if (n > 0)
            n = work() ? weft_write(s, ok, sizeof ok - 1)
                       : weft_write(s, busy, sizeof busy - 1);
    }
    return 0;
}

static long stop_task(void *arg)
{
    const int term = SIGTERM;

    int rc = weft_signal_wait(&term, 1);

    weft_group_cancel(arg);
    return rc < 0 ? rc : 0;
}

static long accept_task(void *arg)
{
    return weft_serve(arg, serve, NULL);
}

static long main_task(void *arg)
{
    weft_listener *l;
    weft_group g = {0};
    int rc = weft_listen(&l, "127.0.0.1:0");

    (void)arg;
    if (rc < 0)
        return rc;
    rc = weft_queue_init(&queue, slots, LIB_QUEUE, WEFT_FIFO);
    weft_with_group(&g) {
        if (!rc)
            rc = weft_spawn(&g, work_task, NULL);
        if (!rc)
            rc = weft_spawn(&g, stop_task, &g);
        if (!rc)
            rc = weft_spawn(&g, accept_task, l);
        printf("listening on 127.0.0.1:%d\n", weft_listener_port(l));
        fflush(stdout);
    }
    weft_listener_close(l);
    return rc;
}

int server_main(void)
{
    struct weft_options o = {
        .workers = 2, .pin = WEFT_PIN_OFF, .slow_task = -1};
    long rc = weft_run_with(&o, main_task, NULL);

    if (rc < 0)
        fprintf(stderr, "server: %s\n", weft_strerror(rc));
    return rc < 0;
}
