/* SPDX-License-Identifier: MIT */
/* Sleeping tasks and timers, waking, idling. */
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
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

static long timers(void *arg)
{
    const struct setting *s = ((struct work *)arg)->setting;
    struct outcome *out = ((struct work *)arg)->out;
    long n = bench_n(s, 1000000), stopped = 0;
    size_t size = (size_t)n * sizeof(weft_timer);
    double before = bench_rss();
    int64_t start = weft_now(), when = start + 3600 * WEFT_SEC;
    /* Not from the heap: pages that it kept would count as free. */
    weft_timer *t = mmap(NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(t != MAP_FAILED);
    fired = 0;
    for (long i = 0; i < n; i++)
        CHECK(weft_timer_start(&t[i], when - i % 1000, on_timer, NULL) == 0);
    out->bytes = (bench_rss() - before) / (double)n;
    for (long i = 0; i < n; i++)
        stopped += weft_timer_stop(&t[i]);
    out->value = bench_ns(start, (double)n);
    CHECK(stopped == n && fired == 0);
    munmap(t, size);
    return 0;
}

static void bench_timers(const struct setting *s, struct outcome *out)
{
    run_apart(timers, s, out);
}

/* ---- wake -------------------------------------------------------------- */

/* The eventfds of one answerer; `to` is the bare one's own. */
struct mail {
    int to, back;
    _Atomic bool stop;
};

static long answer(void *arg)
{
    struct mail *m = arg;
    uint64_t x = 1;

    CHECK(write(m->back, &x, sizeof x) == sizeof x);
    return 0;
}

static void *bare_answer(void *arg)
{
    struct mail *m = arg;
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};

    CHECK(ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, m->to, &e) == 0);
    while (!m->stop) {
        int n = epoll_wait(ep, &e, 1, -1);

        CHECK(n == 1 || (n < 0 && errno == EINTR));
        if (n == 1)
            answer(m);
    }
    close(ep);
    return NULL;
}

static void call_bare(struct mail *m)
{
    uint64_t x = 1;

    CHECK(write(m->to, &x, sizeof x) == sizeof x);
}

static void wait_back(struct mail *m)
{
    uint64_t x;

    CHECK(read(m->back, &x, sizeof x) == sizeof x && x == 1);
}

static long my_cores(void *arg)
{
    return -pthread_getaffinity_np(pthread_self(), sizeof(cpu_set_t), arg);
}

/* The bare thread where the worker is, this one elsewhere if there is room. */
static void take_places(weft_runtime *rt, pthread_t bare, const cpu_set_t *all)
{
    cpu_set_t worker, rest;

    CHECK(weft_runtime_call(rt, my_cores, &worker) == 0);
    CHECK(pthread_setaffinity_np(bare, sizeof worker, &worker) == 0);
    CPU_XOR(&rest, all, &worker);
    CPU_AND(&rest, &rest, all);
    if (CPU_COUNT(&rest))
        CHECK(pthread_setaffinity_np(pthread_self(), sizeof rest, &rest) == 0);
}

static void pause_a_little(void)
{
    struct timespec ts = {0, 20000};

    nanosleep(&ts, NULL);
}

/* In turns, so that both meet the same machine. */
static void take_turns(weft_runtime *rt, struct mail *m, struct mail *bare,
                       double *weft_ns, double *bare_ns, long n)
{
    for (long i = 0; i < n; i++) {
        int64_t start;

        pause_a_little();
        start = weft_now();
        CHECK(weft_runtime_post(rt, answer, m) == 0);
        wait_back(m);
        weft_ns[i] = bench_ns(start, 1);
        pause_a_little();
        start = weft_now();
        call_bare(bare);
        wait_back(bare);
        bare_ns[i] = bench_ns(start, 1);
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *x, long n)
{
    qsort(x, (size_t)n, sizeof *x, by_size);
    return x[n / 2];
}

static void bench_wake(const struct setting *s, struct outcome *out)
{
    struct weft_options o = {.workers = 1, .pin = WEFT_PIN_ON, .slow_task = -1};
    struct mail m = {-1, eventfd(0, EFD_CLOEXEC), false};
    struct mail bare = {eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
                        eventfd(0, EFD_CLOEXEC), false};
    long n = bench_n(s, 20000);
    double *samples = calloc(2 * (size_t)n, sizeof *samples);
    weft_runtime *rt;
    cpu_set_t all;
    pthread_t t;

    CHECK(samples && m.back >= 0 && bare.to >= 0 && bare.back >= 0);
    CHECK(my_cores(&all) == 0);
    CHECK(weft_runtime_open(&rt, &o) == 0);
    CHECK(pthread_create(&t, NULL, bare_answer, &bare) == 0);
    take_places(rt, t, &all);
    take_turns(rt, &m, &bare, samples, samples + n, n);
    out->value = median(samples, n);
    out->other = median(samples + n, n);
    bare.stop = true;
    call_bare(&bare);
    pthread_join(t, NULL);
    CHECK(weft_runtime_close(rt) == 0);
    CHECK(pthread_setaffinity_np(pthread_self(), sizeof all, &all) == 0);
    close(m.back), close(bare.to), close(bare.back);
    free(samples);
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
    struct timespec settle = {0, 200000000};
    struct timespec span = {s->quick ? 0 : 2, s->quick ? 200000000 : 0};
    weft_runtime *rt;
    double before;

    CHECK(weft_runtime_open(&rt, &o) == 0);
    for (int i = 0; i < 100; i++)
        CHECK(weft_runtime_post(rt, sleep_long, NULL) == 0);
    nanosleep(&settle, NULL);
    before = cpu_us();
    nanosleep(&span, NULL);
    out->value = cpu_us() - before;
    CHECK(weft_runtime_close(rt) == 0);
}

const struct bench wait_benches[] = {
    {"sleepers", "ns", "a task that waits for an event: spawn to end",
     bench_sleepers, true, 0},
    {"timers", "ns", "a callback timer started and stopped, 1 M armed",
     bench_timers, true, 0},
    {"wake", "ns", "post to a parked worker and back, beside a bare eventfd",
     bench_wake, true, 1},
    {"idle", "us",
     "CPU time of 4 idle workers with 100 sleepers in 2 s (quick: 0.2)",
     bench_idle, true, 4},
    {NULL, NULL, NULL, NULL, false, 0},
};
