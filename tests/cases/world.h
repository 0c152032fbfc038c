/* SPDX-License-Identifier: MIT */
/* One of each thing that can be waited for, in the state in which its call
 * waits, and a table of the calls. */
#ifndef TESTS_CASES_WORLD_H
#define TESTS_CASES_WORLD_H

#include "support/cases.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#define LONG_TIME (60 * WEFT_SEC)

/* One of each thing, in the state in which its call waits. */
struct world {
    atomic_int over; /* the holders let go */
    atomic_int busy; /* jobs that keep the only threads of the pools */
    atomic_int handling; /* messages and items that are not done with */
    weft_mutex held;
    weft_event never;
    weft_queue empty, full, undone;
    void *slots[3];
    int fd;
    int backlog[3]; /* a listening socket and what fills its queue */
    char address[32];
    weft_listener *listener;
    weft_stream *idle, *full_stream, *corked;
    int ends[3]; /* theirs */
    int file;
    weft_task *sleeper;
    weft_future future;
    weft_cond cond;
    weft_rwlock rw;
    weft_sem sem;
    weft_barrier barrier;
    weft_once_flag once;
    weft_task *runner;
    weft_chan chan;
    weft_pool *pool;
    weft_depot *depot;
    void *lent[2];
    weft_limiter limiter;
    weft_signals *signals;
    weft_actor *actor;
    weft_pipeline *pipeline;
};

static long sleeps_on(void *arg)
{
    (void)arg;
    return weft_sleep(LONG_TIME);
}

static long child_sleeps(void *arg)
{
    return sleeps_on(arg);
}

/* On a thread of a pool. */
static long keeps_busy(void *arg)
{
    struct world *w = arg;
    struct timespec ms = {0, 1000000};

    atomic_fetch_add(&w->busy, 1);
    while (!atomic_load(&w->over))
        nanosleep(&ms, NULL);
    return 0;
}

static long nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* ---- the calls ---------------------------------------------------------- */

static long wait_yield(struct world *w)
{
    (void)w;
    return weft_yield();
}

static long wait_sleep(struct world *w)
{
    (void)w;
    return weft_sleep(LONG_TIME);
}

static long wait_sleep_zero(struct world *w)
{
    (void)w;
    return weft_sleep(0);
}

static long wait_sleep_until(struct world *w)
{
    (void)w;
    return weft_sleep_until(weft_now() + LONG_TIME);
}

static long wait_wait_for(struct world *w)
{
    (void)w;
    return weft_wait_for(child_sleeps, NULL, LONG_TIME);
}

static long wait_ticker(struct world *w)
{
    weft_ticker k;

    (void)w;
    t_equal(weft_ticker_start(&k, LONG_TIME), 0);
    return weft_ticker_wait(&k);
}

static long wait_await(struct world *w)
{
    weft_group g;
    weft_task *t;
    long rc = 0;

    (void)w;
    weft_with_group(&g) {
        rc = weft_spawn_task(&g, child_sleeps, NULL, &t);
        if (rc == 0)
            rc = weft_await(t);
    }
    return rc;
}

static long wait_group_wait(struct world *w)
{
    weft_group g;

    (void)w;
    weft_with_group(&g)
        (void)!weft_spawn(&g, child_sleeps, NULL);
    return weft_group_wait(&g);
}

static long wait_group_next(struct world *w)
{
    weft_group g;
    weft_task *t;
    long rc = 0;

    (void)w;
    weft_with_group(&g) {
        weft_group_collect(&g);
        if (weft_spawn_task(&g, child_sleeps, NULL, &t) == 0)
            rc = weft_group_next(&g, &t);
        weft_group_cancel(&g);
    }
    return rc;
}

static long wait_gather(struct world *w)
{
    struct weft_call c[2] = {{.fn = child_sleeps}, {.fn = child_sleeps}};

    (void)w;
    return weft_gather(c, T_LEN(c));
}

static long wait_gather_collect(struct world *w)
{
    struct weft_call c[2] = {{.fn = child_sleeps}, {.fn = child_sleeps}};

    (void)w;
    return weft_gather_collect(c, T_LEN(c));
}

static long wait_race(struct world *w)
{
    struct weft_call c[2] = {{.fn = child_sleeps}, {.fn = child_sleeps}};

    (void)w;
    return weft_race(c, T_LEN(c), NULL);
}

static long wait_wait_any(struct world *w)
{
    return weft_wait_any(&w->sleeper, 1);
}

static long wait_wait_all(struct world *w)
{
    return weft_wait_all(&w->sleeper, 1);
}

static long wait_wait_error(struct world *w)
{
    return weft_wait_error(&w->sleeper, 1);
}

static long wait_future(struct world *w)
{
    return weft_future_wait(&w->future);
}

static long yields_nothing(weft_gen *g, void *arg)
{
    (void)g;
    return sleeps_on(arg);
}

static long wait_gen_next(struct world *w)
{
    weft_gen g;
    void *value;
    long rc = weft_gen_open(&g, yields_nothing, NULL);

    (void)w;
    if (rc < 0)
        return rc;
    rc = weft_gen_next(&g, &value);
    (void)weft_gen_close(&g);
    return rc;
}

static long wait_mutex(struct world *w)
{
    return weft_mutex_lock(&w->held);
}

static long wait_event(struct world *w)
{
    return weft_event_wait(&w->never);
}

static long wait_cond(struct world *w)
{
    weft_mutex m = {{0}};
    long rc = weft_mutex_trylock(&m);

    if (rc < 0)
        return rc;
    rc = weft_cond_wait(&w->cond, &m);
    t_equal(weft_mutex_unlock(&m), 0); /* it was taken again */
    return rc;
}

static int never_holds(void *arg)
{
    (void)arg;
    return 0;
}

static long wait_cond_wait_for(struct world *w)
{
    weft_mutex m = {{0}};
    long rc = weft_mutex_trylock(&m);

    if (rc < 0)
        return rc;
    rc = weft_cond_wait_for(&w->cond, &m, never_holds, NULL);
    t_equal(weft_mutex_unlock(&m), 0);
    return rc;
}

static long wait_rwlock_read(struct world *w)
{
    return weft_rwlock_rdlock(&w->rw);
}

static long wait_rwlock_write(struct world *w)
{
    return weft_rwlock_wrlock(&w->rw);
}

static long wait_sem(struct world *w)
{
    return weft_sem_acquire(&w->sem);
}

static long wait_barrier(struct world *w)
{
    int rc = weft_barrier_wait(&w->barrier);

    weft_barrier_reset(&w->barrier);
    return rc;
}

static long wait_once(struct world *w)
{
    return weft_once(&w->once, sleeps_on, NULL);
}

static long wait_queue_get(struct world *w)
{
    void *item;

    return weft_queue_get(&w->empty, &item);
}

static long wait_queue_put(struct world *w)
{
    return weft_queue_put(&w->full, w);
}

static long wait_queue_join(struct world *w)
{
    return weft_queue_join(&w->undone);
}

static long wait_chan_send(struct world *w)
{
    return weft_chan_send(&w->chan, &w);
}

static long wait_chan_recv(struct world *w)
{
    void *element;

    return weft_chan_recv(&w->chan, &element);
}

static long wait_select(struct world *w)
{
    void *item;
    struct weft_case c[] = {WEFT_CASE_GET(&w->empty, &item),
                            WEFT_CASE_PUT(&w->full, w),
                            WEFT_CASE_EVENT(&w->never),
                            WEFT_CASE_TASK(w->sleeper),
                            WEFT_CASE_TIME(weft_now() + LONG_TIME),
                            WEFT_CASE_FD(w->fd, WEFT_READ)};

    return weft_select(c, T_LEN(c));
}

static long wait_compute(struct world *w)
{
    (void)w;
    return weft_compute(nothing, NULL);
}

static long wait_blocking(struct world *w)
{
    (void)w;
    return weft_blocking(nothing, NULL);
}

static long wait_pool_call(struct world *w)
{
    return weft_pool_call(w->pool, nothing, NULL);
}

static long wait_depot(struct world *w)
{
    return weft_depot_take(w->depot, &w->lent[1]);
}

static long wait_limiter(struct world *w)
{
    return weft_limiter_take(&w->limiter, 1);
}

static long fails(void *arg)
{
    (void)arg;
    return -EIO;
}

static long wait_retry(struct world *w)
{
    struct weft_retry_options o = {.delay = LONG_TIME, .max_delay = LONG_TIME};

    (void)w;
    return weft_retry(fails, NULL, &o);
}

static long wait_fd(struct world *w)
{
    return weft_fd_wait(w->fd, WEFT_READ);
}

static long wait_accept(struct world *w)
{
    weft_stream *s;

    return weft_accept(w->listener, &s);
}

static long serves(weft_stream *s, void *arg)
{
    (void)s;
    (void)arg;
    return 0;
}

static long wait_serve(struct world *w)
{
    return weft_serve(w->listener, serves, NULL);
}

static long wait_connect(struct world *w)
{
    weft_stream *s;

    return weft_connect(&s, w->address);
}

static long wait_read(struct world *w)
{
    char c;

    return weft_read(w->idle, &c, 1);
}

static long wait_readn(struct world *w)
{
    char c[2];

    return weft_readn(w->idle, c, sizeof c);
}

static long wait_readline(struct world *w)
{
    char line[16];

    return weft_readline(w->idle, line, sizeof line);
}

static long wait_write(struct world *w)
{
    return weft_write(w->full_stream, "x", 1);
}

static long wait_writev(struct world *w)
{
    struct iovec v[2] = {{(void *)"a", 1}, {(void *)"b", 1}};

    return weft_writev(w->full_stream, v, 2);
}

static long wait_sendfile(struct world *w)
{
    return weft_sendfile(w->full_stream, w->file, 0, 4096);
}

static long wait_signal_wait(struct world *w)
{
    const int usr1 = SIGUSR1;

    (void)w;
    return weft_signal_wait(&usr1, 1);
}

static long wait_signals_next(struct world *w)
{
    return weft_signals_next(w->signals);
}

static long wait_actor_send(struct world *w)
{
    return weft_actor_send(w->actor, w);
}

static long wait_actor_ask(struct world *w)
{
    return weft_actor_ask(w->actor, w);
}

static long wait_pipeline_put(struct world *w)
{
    return weft_pipeline_put(w->pipeline, w);
}

static long wait_pipeline_get(struct world *w)
{
    void *item;

    return weft_pipeline_get(w->pipeline, &item);
}

static long wait_flush(struct world *w)
{
    long rc;

    weft_stream_cork(w->corked);
    rc = weft_write(w->corked, "x", 1);
    return rc < 0 ? rc : weft_flush(w->corked);
}
/* How a row differs. */
enum {
    AT_ONCE = 1,     /* it does not stay suspended: called until it fails */
    CHILD_TELLS = 2, /* of a time-out it returns the child's -ECANCELED */
    NOT_FOREIGN = 4, /* needs more than the call itself */
};

static const struct row {
    const char *name;
    long (*wait)(struct world *w);
    int how;
} rows[] = {
#define ROW(name, how) {#name, wait_##name, how}
    ROW(yield, AT_ONCE),
    ROW(sleep, 0),
    ROW(sleep_zero, AT_ONCE),
    ROW(sleep_until, 0),
    ROW(wait_for, 0),
    ROW(ticker, NOT_FOREIGN),
    ROW(await, CHILD_TELLS | NOT_FOREIGN),
    ROW(group_wait, NOT_FOREIGN),
    ROW(group_next, NOT_FOREIGN),
    ROW(gather, 0),
    ROW(gather_collect, 0),
    ROW(race, 0),
    ROW(wait_any, 0),
    ROW(wait_all, 0),
    ROW(wait_error, 0),
    ROW(future, 0),
    ROW(gen_next, 0),
    ROW(mutex, 0),
    ROW(event, 0),
    ROW(cond, 0),
    ROW(cond_wait_for, 0),
    ROW(rwlock_read, 0),
    ROW(rwlock_write, 0),
    ROW(sem, 0),
    ROW(barrier, 0),
    ROW(once, 0),
    ROW(queue_get, 0),
    ROW(queue_put, 0),
    ROW(queue_join, 0),
    ROW(chan_send, 0),
    ROW(chan_recv, 0),
    ROW(select, 0),
    ROW(compute, 0),
    ROW(blocking, 0),
    ROW(pool_call, 0),
    ROW(depot, 0),
    ROW(limiter, 0),
    ROW(retry, NOT_FOREIGN),
    ROW(fd, 0),
    ROW(accept, 0),
    ROW(serve, 0),
    ROW(connect, 0),
    ROW(read, 0),
    ROW(readn, 0),
    ROW(readline, 0),
    ROW(write, 0),
    ROW(writev, 0),
    ROW(sendfile, 0),
    ROW(signal_wait, 0),
    ROW(signals_next, 0),
    ROW(actor_send, 0),
    ROW(actor_ask, 0),
    ROW(pipeline_put, 0),
    ROW(pipeline_get, 0),
    ROW(flush, 0),
};

/* ---- the world ---------------------------------------------------------- */

static long holds(void *arg)
{
    struct world *w = arg;

    t_equal(weft_mutex_lock(&w->held), 0);
    t_equal(weft_rwlock_wrlock(&w->rw), 0);
    while (!atomic_load(&w->over))
        if (weft_sleep(WEFT_MS / 2) < 0)
            break;
    t_equal(weft_mutex_unlock(&w->held), 0);
    t_equal(weft_rwlock_unlock(&w->rw), 0);
    return 0;
}

static long computes(void *arg)
{
    return weft_compute(keeps_busy, arg);
}

static long blocks(void *arg)
{
    return weft_blocking(keeps_busy, arg);
}

static long sleeps_until_over(void *arg)
{
    struct world *w = arg;

    while (!atomic_load(&w->over))
        if (weft_sleep(WEFT_MS / 2) < 0)
            break;
    return 0;
}

static long runs_once(void *arg)
{
    struct world *w = arg;

    t_equal(weft_once(&w->once, sleeps_until_over, w), 0);
    return 0;
}

static long calls_pool(void *arg)
{
    struct world *w = arg;

    return weft_pool_call(w->pool, keeps_busy, w);
}

static int lends(void **out, void *arg)
{
    (void)arg;
    *out = NULL;
    return 0;
}

static void takes_back(void *resource, void *arg)
{
    (void)resource;
    (void)arg;
}

static long handles(void *state, void *message)
{
    (void)state;
    atomic_fetch_add(&((struct world *)message)->handling, 1);
    return sleeps_until_over(message);
}

static int passes(void *in, void **out, void *arg)
{
    (void)out;
    (void)arg;
    atomic_fetch_add(&((struct world *)in)->handling, 1);
    return (int)sleeps_until_over(in);
}

/* One message is being handled and one waits; of the items too. */
static void fill_flow(struct world *w, weft_group *g)
{
    struct weft_actor_options a = {.mailbox = 1};
    struct weft_stage stage = {.fn = passes, .queue = 1};
    struct weft_pipeline_options p = {.stages = &stage, .n = 1, .output = 1};

    t_equal(weft_actor_open(&w->actor, g, handles, &a), 0);
    t_equal(weft_pipeline_open(&w->pipeline, g, &p), 0);
    weft_with_timeout(10 * WEFT_SEC) {
        t_equal(weft_actor_send(w->actor, w), 0);
        t_equal(weft_pipeline_put(w->pipeline, w), 0);
        t_check(t_wait_for(&w->handling, 2));
        t_equal(weft_actor_send(w->actor, w), 0);
        t_equal(weft_pipeline_put(w->pipeline, w), 0);
    }
}

/* A listening socket that takes no further connection. */
static void fill_backlog(struct world *w)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t n = sizeof a;
    int *s = w->backlog;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    t_equal(bind(s[0], (struct sockaddr *)&a, n), 0);
    t_equal(listen(s[0], 0), 0);
    t_equal(getsockname(s[0], (struct sockaddr *)&a, &n), 0);
    snprintf(w->address, sizeof w->address, "127.0.0.1:%d", ntohs(a.sin_port));
    for (int i = 1; i < 3; i++) {
        s[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(s[i], (struct sockaddr *)&a, n);
    }
}

static void open_stream(weft_stream **s, int *end, bool full)
{
    char some[4096] = {0};
    int fd[2];

    t_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    while (full && write(fd[0], some, sizeof some) > 0)
        ;
    while (full && write(fd[0], some, 1) > 0)
        ;
    t_equal(weft_stream_attach(s, fd[0]), 0);
    *end = fd[1];
}

static void open_streams(struct world *w)
{
    open_stream(&w->idle, &w->ends[0], false);
    open_stream(&w->full_stream, &w->ends[1], true);
    open_stream(&w->corked, &w->ends[2], true);
    w->file = memfd_create("file", MFD_CLOEXEC);
    t_check(w->file >= 0 && ftruncate(w->file, 4096) == 0);
}

static void prepare(struct world *w)
{
    memset(w, 0, sizeof *w);
    t_equal(weft_queue_init(&w->empty, &w->slots[0], 1, WEFT_FIFO), 0);
    t_equal(weft_queue_init(&w->full, &w->slots[1], 1, WEFT_FIFO), 0);
    t_equal(weft_queue_init(&w->undone, &w->slots[2], 1, WEFT_FIFO), 0);
    t_equal(weft_queue_tryput(&w->full, w), 0);
    t_equal(weft_queue_tryput(&w->undone, w), 0);
    w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    t_check(w->fd >= 0);
    t_equal(weft_listen(&w->listener, "127.0.0.1:0"), 0);
    fill_backlog(w);
    open_streams(w);
    t_equal(weft_barrier_init(&w->barrier, 2), 0);
    t_equal(weft_chan_init(&w->chan, NULL, sizeof w, 0), 0);
    t_equal(weft_pool_open(&w->pool, &(struct weft_pool_options){.threads = 1}),
            0);
    t_equal(weft_depot_open(&w->depot,
                            &(struct weft_depot_options){
                                .open = lends, .close = takes_back, .max = 1}),
            0);
    t_equal(weft_depot_take(w->depot, &w->lent[0]), 0);
    t_equal(weft_limiter_init(&w->limiter, 1e-6, 1), 0);
    t_equal(weft_limiter_trytake(&w->limiter, 1), 0);
    t_equal(weft_signals_open(&w->signals, &(int){SIGUSR2}, 1), 0);
}

/* Nobody who waited has left a trace. */
static void check_and_close(struct world *w)
{
    void *item = NULL;

    t_equal(weft_queue_len(&w->empty), 0);
    t_equal(weft_queue_len(&w->full), 1);
    t_equal(weft_queue_tryget(&w->full, &item), 0);
    t_equal(weft_queue_tryget(&w->full, &item), -EAGAIN);
    t_check(!weft_mutex_locked(&w->held));
    t_equal(weft_mutex_trylock(&w->held), 0);
    t_equal(weft_mutex_unlock(&w->held), 0);
    t_equal(weft_rwlock_trywrlock(&w->rw), 0);
    t_equal(weft_rwlock_unlock(&w->rw), 0);
    t_equal(weft_sem_release(&w->sem), 0); /* no dead waiter gets it */
    t_equal(weft_sem_value(&w->sem), 1);
    t_equal(weft_barrier_waiting(&w->barrier), 0);
    t_equal(weft_chan_trysend(&w->chan, &w), -EAGAIN);
    weft_pool_close(w->pool);
    weft_depot_give(w->depot, w->lent[0]);
    weft_depot_close(w->depot);
    t_equal(weft_limiter_trytake(&w->limiter, 1), -EAGAIN);
    weft_signals_close(w->signals);
    weft_listener_close(w->listener);
    weft_close(w->idle);
    weft_close(w->full_stream);
    weft_close(w->corked);
    for (int i = 0; i < 3; i++) {
        close(w->backlog[i]);
        close(w->ends[i]);
    }
    close(w->file);
    close(w->fd);
}

#endif
