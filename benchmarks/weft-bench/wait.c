/* SPDX-License-Identifier: MIT */
/* Sleeping tasks and timers, waking, idling. */
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* ---- sleepers ---------------------------------------------------------- */

static long sleeper(void *arg)
{
    return weft_event_wait(arg);
}

struct work {
    const struct setting *setting;
    struct outcome *out;
};

/* A runtime for each run: what an earlier one left warm would be measured as
 * free. */
static void run_apart(weft_fn *fn, const struct setting *s, struct outcome *out)
{
    struct weft_options o = {.workers = s->workers, .slow_task = -1};
    struct work w = {s, out};

    CHECK(weft_run_with(&o, fn, &w) == 0);
}

static long sleepers(void *arg)
{
    const struct setting *s = ((struct work *)arg)->setting;
    struct outcome *out = ((struct work *)arg)->out;
    long n = bench_n(s, 1000000);
    weft_event event = {{0}};
    weft_group g;
    double before = bench_rss();
    int64_t start = weft_now();
    struct weft_stats st;

    weft_with_group(&g) {
        for (long i = 0; i < n; i++)
            CHECK(weft_spawn(&g, sleeper, &event) == 0);
        do {
            CHECK(weft_sleep(10 * WEFT_MS) == 0);
            CHECK(weft_runtime_stats(NULL, &st) == 0);
        } while (st.stacks_used < (uint64_t)n);
        out->bytes = (bench_rss() - before) / (double)n;
        weft_event_set(&event);
    }
    CHECK(weft_group_wait(&g) == 0);
    out->value = bench_ns(start, (double)n);
    return 0;
}

static void bench_sleepers(const struct setting *s, struct outcome *out)
{
    run_apart(sleepers, s, out);
}

static _Atomic long fired;

static long on_timer(void *arg)
{
    (void)arg;
    fired++;
    return 0;
}

static void bench_timers(const struct setting *s, struct outcome *out)
{
    long n = bench_n(s, 1000000);
    double before = bench_rss();
    weft_timer *t = calloc((size_t)n, sizeof *t);
    int64_t start = weft_now(), when = start + 3600 * WEFT_SEC;
    long stopped = 0;

    CHECK(t);
    fired = 0;
    for (long i = 0; i < n; i++)
        CHECK(weft_timer_start(&t[i], when - i % 1000, on_timer, NULL) == 0);
    out->bytes = (bench_rss() - before) / (double)n;
    for (long i = 0; i < n; i++)
        stopped += weft_timer_stop(&t[i]);
    out->value = bench_ns(start, (double)n);
    CHECK(stopped == n && fired == 0);
    free(t);
}

/* ---- wake -------------------------------------------------------------- */

struct mail {
    int to, back;
};

static long answer(void *arg)
{
    struct mail *m = arg;
    uint64_t one = 1;

    CHECK(write(m->back, &one, sizeof one) == sizeof one);
    return 0;
}

static void *bare_answer(void *arg)
{
    struct mail *m = arg;
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    uint64_t one = 1;

    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, m->to, &e) == 0);
    for (;;) {
        CHECK(epoll_wait(ep, &e, 1, -1) == 1);
        CHECK(write(m->back, &one, sizeof one) == sizeof one);
        pthread_testcancel();
    }
    return NULL;
}

static void wait_back(struct mail *m)
{
    uint64_t x;

    CHECK(read(m->back, &x, sizeof x) == sizeof x);
}

/* This thread on one core, whoever answers on the other. */
static void bind_to(pthread_t t, int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)pthread_setaffinity_np(t, sizeof set, &set);
}

static void pause_a_little(void)
{
    struct timespec ts = {0, 20000};

    nanosleep(&ts, NULL);
}

/* In turns, so that both meet the same machine. */
static void bench_wake(const struct setting *s, struct outcome *out)
{
    struct mail m = {eventfd(0, 0), eventfd(0, 0)};
    struct mail bare = {eventfd(0, EFD_NONBLOCK), eventfd(0, 0)};
    long n = bench_n(s, 20000);
    int64_t weft_ns = 0, bare_ns = 0;
    cpu_set_t old;
    weft_runtime *rt;
    uint64_t one = 1;
    pthread_t t;

    (void)pthread_getaffinity_np(pthread_self(), sizeof old, &old);
    rt = bench_runtime(1);
    CHECK(pthread_create(&t, NULL, bare_answer, &bare) == 0);
    bind_to(t, 0);
    bind_to(pthread_self(), 1);
    for (long i = 0; i < n; i++) {
        int64_t start;

        pause_a_little();
        start = weft_now();
        CHECK(weft_runtime_post(rt, answer, &m) == 0);
        wait_back(&m);
        weft_ns += weft_now() - start;
        pause_a_little();
        start = weft_now();
        CHECK(write(bare.to, &one, sizeof one) == sizeof one);
        wait_back(&bare);
        bare_ns += weft_now() - start;
    }
    pthread_cancel(t);
    CHECK(write(bare.to, &one, sizeof one) == sizeof one);
    pthread_join(t, NULL);
    CHECK(weft_runtime_close(rt) == 0);
    (void)pthread_setaffinity_np(pthread_self(), sizeof old, &old);
    close(m.to), close(m.back), close(bare.to), close(bare.back);
    out->value = (double)weft_ns / (double)n;
    out->other = (double)bare_ns / (double)n;
}

/* ---- idle -------------------------------------------------------------- */

static long sleep_long(void *arg)
{
    (void)arg;
    return weft_sleep(3600 * WEFT_SEC);
}

static double cpu_us(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void bench_idle(const struct setting *s, struct outcome *out)
{
    struct weft_options o = {.workers = 4, .grace = WEFT_SEC};
    struct timespec settle = {0, 200000000}, two = {s->quick ? 0 : 2,
                                                    s->quick ? 200000000 : 0};
    weft_runtime *rt;
    double before;

    CHECK(weft_runtime_open(&rt, &o) == 0);
    for (int i = 0; i < 100; i++)
        CHECK(weft_runtime_post(rt, sleep_long, NULL) == 0);
    nanosleep(&settle, NULL);
    before = cpu_us();
    nanosleep(&two, NULL);
    out->value = cpu_us() - before;
    CHECK(weft_runtime_close(rt) == 0);
}

const struct bench wait_benches[] = {
    {"sleepers", "ns", "a task that waits for an event: spawn to end",
     bench_sleepers, true},
    {"timers", "ns", "a callback timer started and stopped, 1 M armed",
     bench_timers, false},
    {"wake", "ns", "post to a parked worker and back, beside a bare eventfd",
     bench_wake, true},
    {"idle", "us", "CPU time of 4 idle workers with 100 sleepers in 2 s",
     bench_idle, true},
    {NULL, NULL, NULL, NULL, false},
};
