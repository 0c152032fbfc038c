/* SPDX-License-Identifier: MIT */
/* Queues, mutexes, time-outs. */
#include <sys/socket.h>

#include "bench.h"

/* ---- queues ------------------------------------------------------------ */

static weft_queue there, back;

static long ping(void *arg)
{
    for (long i = 1; i <= (long)arg; i++) {
        void *x;

        CHECK(weft_queue_put(&there, (void *)i) == 0);
        CHECK(weft_queue_get(&back, &x) == 0 && x == (void *)i);
    }
    return 0;
}

static long pong(void *arg)
{
    for (long i = 0; i < (long)arg; i++) {
        void *x;

        CHECK(weft_queue_get(&there, &x) == 0);
        CHECK(weft_queue_put(&back, x) == 0);
    }
    return 0;
}

static void bench_ping_pong(const struct setting *s, struct outcome *out)
{
    long n = bench_n(s, 1000000);
    void *a[1], *b[1];
    weft_group g;
    int64_t start;

    CHECK(weft_queue_init(&there, a, 1, WEFT_FIFO) == 0);
    CHECK(weft_queue_init(&back, b, 1, WEFT_FIFO) == 0);
    start = weft_now();
    weft_with_group(&g) {
        CHECK(weft_spawn(&g, ping, (void *)n) == 0);
        CHECK(weft_spawn(&g, pong, (void *)n) == 0);
    }
    CHECK(weft_group_wait(&g) == 0);
    out->value = bench_ns(start, (double)n);
}

static weft_queue shared;

static long put_many(void *arg)
{
    for (long i = 1; i <= (long)arg; i++)
        CHECK(weft_queue_put(&shared, (void *)i) == 0);
    return 0;
}

static long get_many(void *arg)
{
    long sum = 0;

    for (long i = 0; i < (long)arg; i++) {
        void *x;

        CHECK(weft_queue_get(&shared, &x) == 0);
        sum += (long)x;
    }
    return sum;
}

static void bench_mpmc(const struct setting *s, struct outcome *out)
{
    long n = bench_n(s, 250000), sum = 0;
    void *slots[128];
    weft_task *t[4];
    weft_group g;
    int64_t start;

    CHECK(weft_queue_init(&shared, slots, 128, WEFT_FIFO) == 0);
    start = weft_now();
    weft_with_group(&g) {
        for (int i = 0; i < 4; i++) {
            CHECK(weft_spawn(&g, put_many, (void *)n) == 0);
            CHECK(weft_spawn_task(&g, get_many, (void *)n, &t[i]) == 0);
        }
        for (int i = 0; i < 4; i++)
            sum += weft_await(t[i]);
    }
    out->value = bench_ns(start, 4.0 * (double)n);
    CHECK(sum == 4 * (n * (n + 1) / 2));
}

/* ---- mutex ------------------------------------------------------------- */

static weft_mutex mutex;
static long counter;

static long lock_many(void *arg)
{
    for (long i = 0; i < (long)arg; i++) {
        CHECK(weft_mutex_lock(&mutex) == 0);
        counter++;
        CHECK(weft_mutex_unlock(&mutex) == 0);
    }
    return 0;
}

static double lock_with(long tasks, long n)
{
    weft_group g;
    int64_t start = weft_now();

    counter = 0;
    weft_with_group(&g)
        for (long i = 0; i < tasks; i++)
            CHECK(weft_spawn(&g, lock_many, (void *)n) == 0);
    CHECK(weft_group_wait(&g) == 0 && counter == tasks * n);
    return bench_ns(start, (double)(tasks * n));
}

static void bench_mutex(const struct setting *s, struct outcome *out)
{
    out->value = lock_with(8, bench_n(s, 100000));
}

static void bench_mutex_free(const struct setting *s, struct outcome *out)
{
    out->value = lock_with(1, bench_n(s, 5000000));
}

/* ---- semaphore --------------------------------------------------------- */

static weft_sem sem = WEFT_SEM(1, 1);

static long acquire_many(void *arg)
{
    for (long i = 0; i < (long)arg; i++) {
        CHECK(weft_sem_acquire(&sem) == 0);
        counter++;
        CHECK(weft_sem_release(&sem) == 0);
    }
    return 0;
}

static double acquire_with(long tasks, long n)
{
    weft_group g;
    int64_t start = weft_now();

    counter = 0;
    weft_with_group(&g)
        for (long i = 0; i < tasks; i++)
            CHECK(weft_spawn(&g, acquire_many, (void *)n) == 0);
    CHECK(weft_group_wait(&g) == 0 && counter == tasks * n);
    return bench_ns(start, (double)(tasks * n));
}

static void bench_sem(const struct setting *s, struct outcome *out)
{
    out->value = acquire_with(8, bench_n(s, 100000));
}

static void bench_sem_free(const struct setting *s, struct outcome *out)
{
    out->value = acquire_with(1, bench_n(s, 5000000));
}

/* ---- event ------------------------------------------------------------- */

static weft_event events[2];

/* Waits for its own event, sets the other's. */
static long bat(void *arg)
{
    weft_event *own = arg, *other = own == events ? own + 1 : own - 1;

    for (long i = 0; i < counter; i++) {
        CHECK(weft_event_wait(own) == 0);
        weft_event_clear(own);
        weft_event_set(other);
    }
    return 0;
}

static void bench_event(const struct setting *s, struct outcome *out)
{
    weft_group g;
    int64_t start;

    counter = bench_n(s, 1000000);
    weft_event_set(&events[0]);
    start = weft_now();
    weft_with_group(&g)
        for (int i = 0; i < 2; i++)
            CHECK(weft_spawn(&g, bat, &events[i]) == 0);
    CHECK(weft_group_wait(&g) == 0);
    out->value = bench_ns(start, (double)counter);
    weft_event_clear(&events[0]);
}

/* ---- readers, condition ------------------------------------------------ */

static weft_rwlock rwlock;
static weft_cond cond;

static void bench_rdlock_free(const struct setting *s, struct outcome *out)
{
    long n = bench_n(s, 5000000);
    int64_t start = weft_now();

    for (long i = 0; i < n; i++) {
        CHECK(weft_rwlock_rdlock(&rwlock) == 0);
        CHECK(weft_rwlock_unlock(&rwlock) == 0);
    }
    out->value = bench_ns(start, (double)n);
}

static long take_turns(void *arg)
{
    long n = bench_n(arg, 500000);

    CHECK(weft_mutex_lock(&mutex) == 0);
    for (long i = 0; i < n; i++) {
        CHECK(weft_cond_signal(&cond) <= 1);
        if (counter < 2 * n - 1) {
            counter++;
            CHECK(weft_cond_wait(&cond, &mutex) == 0);
        }
    }
    CHECK(weft_cond_signal(&cond) <= 1);
    CHECK(weft_mutex_unlock(&mutex) == 0);
    return 0;
}

static void bench_cond(const struct setting *s, struct outcome *out)
{
    long n = bench_n(s, 500000);
    weft_group g;
    int64_t start = weft_now();

    counter = 0;
    weft_with_group(&g)
        for (int i = 0; i < 2; i++)
            CHECK(weft_spawn(&g, take_turns, (void *)(uintptr_t)s) == 0);
    CHECK(weft_group_wait(&g) == 0);
    out->value = bench_ns(start, (double)n);
}

/* ---- time-out ---------------------------------------------------------- */

static void bench_timeout(const struct setting *s, struct outcome *out)
{
    long n = bench_n(s, 1000000);
    int64_t start = weft_now();

    for (long i = 0; i < n; i++)
        weft_with_timeout(10 * WEFT_SEC)
            CHECK(weft_yield() == 0);
    out->value = bench_ns(start, (double)n);
}

/* ---- streams ----------------------------------------------------------- */

static long echo(void *arg)
{
    char buf[64];
    ssize_t n;

    while ((n = weft_read(arg, buf, sizeof buf)) > 0)
        CHECK(weft_write(arg, buf, (size_t)n) == n);
    return n;
}

static void bench_echo(const struct setting *s, struct outcome *out)
{
    long n = bench_n(s, 100000);
    weft_stream *near, *far;
    weft_task *t;
    int fd[2];
    weft_group g;

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0);
    CHECK(weft_stream_attach(&near, fd[0]) == 0);
    CHECK(weft_stream_attach(&far, fd[1]) == 0);
    weft_with_group(&g) {
        int64_t start;

        CHECK(weft_spawn_task(&g, echo, far, &t) == 0);
        start = weft_now();
        for (long i = 0; i < n; i++) {
            long got;

            CHECK(weft_write(near, &i, sizeof i) == sizeof i);
            CHECK(weft_readn(near, &got, sizeof got) == sizeof got);
            CHECK(got == i);
        }
        out->value = bench_ns(start, (double)n);
        weft_close(near);
        CHECK(weft_await(t) == 0);
        weft_close(far);
    }
}

const struct bench sync_benches[] = {
    {"ping_pong", "ns", "round trip of two tasks over two queues of 1",
     bench_ping_pong, false, 0},
    {"queue_mpmc", "ns", "an item from 4 putters to 4 getters, queue of 128",
     bench_mpmc, false, 0},
    {"mutex", "ns", "lock and unlock, 8 tasks on one mutex", bench_mutex, false,
     0},
    {"mutex_free", "ns", "lock and unlock, nobody else", bench_mutex_free,
     false, 0},
    {"sem", "ns", "acquire and release, 8 tasks on one permit", bench_sem,
     false, 0},
    {"sem_free", "ns", "acquire and release, nobody else", bench_sem_free,
     false, 0},
    {"event", "ns", "set and wait to and fro, two tasks", bench_event, false,
     0},
    {"rdlock_free", "ns", "lock for reading and unlock, nobody else",
     bench_rdlock_free, false, 0},
    {"cond", "ns", "signal and wait to and fro, two tasks", bench_cond, false,
     0},
    {"timeout", "ns", "a time-out set and cancelled around a yield",
     bench_timeout, false, 0},
    {"fd_echo", "ns", "8 bytes over a socket pair and back, two tasks",
     bench_echo, false, 0},
    {NULL, NULL, NULL, NULL, false, 0},
};
