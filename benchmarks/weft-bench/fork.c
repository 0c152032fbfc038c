/* SPDX-License-Identifier: MIT */
/* Fork-join on the executor. --workers is the number of its threads. */
#include "bench.h"

#include <pthread.h>

/* fn(arg) in a runtime whose executor has n threads of the workers' weight. */
static void with_executor(unsigned n, weft_fn *fn, void *arg)
{
    struct weft_options o = {.workers = 1,
                             .executor_threads = n,
                             .executor_nice = -1,
                             .executor_stack = (size_t)64 << 20,
                             .slow_task = -1};

    CHECK(weft_run_with(&o, fn, arg) == 0);
}

/* ---- fib ---------------------------------------------------------------- */

WEFT_TASK(long, fib, long, n)
{
    WEFT_CHILD(fib) a;
    long b;

    if (n < 2)
        return n;
    WEFT_FORK(fib, &a, n - 1);
    b = WEFT_CALL(fib, n - 2);
    return WEFT_JOIN(fib, &a) + b;
}

/* ---- neighbours --------------------------------------------------------- */

/* fib on an executor of n threads, by a thread of its own. */
struct party {
    unsigned threads;
    bool quick;
    pthread_t thread;
};

static long party_fib(void *arg)
{
    struct party *p = arg;
    long r;

    CHECK(WEFT_RUN(fib, &r, p->quick ? 31 : 36) == 0);
    CHECK(r == (p->quick ? 1346269 : 14930352));
    return 0;
}

static void *party_thread(void *arg)
{
    with_executor(((struct party *)arg)->threads, party_fib, arg);
    return NULL;
}

/* n parties at once: ms for all, runtimes' start and stop included. */
static double party_time(unsigned n, unsigned threads, bool quick)
{
    struct party p[2];
    int64_t start = weft_now();

    for (unsigned i = 0; i < n; i++) {
        p[i] = (struct party){.threads = threads, .quick = quick};
        CHECK(pthread_create(&p[i].thread, NULL, party_thread, &p[i]) == 0);
    }
    for (unsigned i = 0; i < n; i++)
        CHECK(pthread_join(p[i].thread, NULL) == 0);
    return bench_ns(start, 1e6);
}

static void bench_crowded(const struct setting *s, struct outcome *out)
{
    out->value = party_time(1, 2 * s->workers, s->quick);
    out->other = party_time(1, s->workers, s->quick);
}

static void bench_shared(const struct setting *s, struct outcome *out)
{
    out->value = party_time(2, s->workers, s->quick);
    out->other = 2 * party_time(1, s->workers, s->quick);
}

static __attribute__((noinline)) long plain_fib(long n)
{
    return n < 2 ? n : plain_fib(n - 1) + plain_fib(n - 2);
}

struct work {
    const struct setting *setting;
    struct outcome *out;
};

static long run_fib(void *arg)
{
    struct work *w = arg;
    long n = w->setting->quick ? 31 : 36, r, warm;
    int64_t start;

    CHECK(WEFT_RUN(fib, &warm, 25) == 0);
    start = weft_now();
    CHECK(WEFT_RUN(fib, &r, n) == 0);
    w->out->value = bench_ns(start, 1e6);
    CHECK(r == (n == 36 ? 14930352 : 1346269));
    return 0;
}

static void bench_fib(const struct setting *s, struct outcome *out)
{
    struct work w = {s, out};

    with_executor(s->workers, run_fib, &w);
}

static long plain_fib_job(void *arg)
{
    struct work *w = arg;
    long n = w->setting->quick ? 31 : 36;
    double calls = n == 36 ? 24157816 : 2178308; /* fib(n + 1) - 1 */
    int64_t start = weft_now();
    long volatile r = plain_fib(n);
    double plain = bench_ns(start, calls), forked;
    long f;

    start = weft_now();
    CHECK(WEFT_RUN(fib, &f, n) == 0);
    forked = bench_ns(start, calls);
    CHECK(f == r);
    w->out->value = forked - plain;
    return 0;
}

static long run_price(void *arg)
{
    return weft_compute(plain_fib_job, arg);
}

static void bench_price(const struct setting *s, struct outcome *out)
{
    struct work w = {s, out};

    with_executor(1, run_price, &w);
}

/* ---- nqueens ------------------------------------------------------------ */

struct board {
    signed char row[14];
};

static int safe(const struct board *b, int n, int at)
{
    for (int i = 0; i < n; i++) {
        int d = b->row[i] - at;

        if (d == 0 || d == n - i || d == i - n)
            return 0;
    }
    return 1;
}

WEFT_TASK(long, queens, struct board, above, int, row, int, n)
{
    WEFT_CHILD(queens) c[14];
    long sum = 0;
    int m = 0;

    if (row == n)
        return 1;
    for (int i = 0; i < n; i++)
        if (safe(&above, row, i)) {
            struct board b = above;

            b.row[row] = (signed char)i;
            WEFT_FORK(queens, &c[m++], b, row + 1, n);
        }
    while (m > 0)
        sum += WEFT_JOIN(queens, &c[--m]);
    return sum;
}

static long run_queens(void *arg)
{
    struct work *w = arg;
    struct board none_placed = {{0}};
    int n = w->setting->quick ? 10 : 12;
    int64_t start = weft_now();
    long r;

    CHECK(WEFT_RUN(queens, &r, none_placed, 0, n) == 0);
    w->out->value = bench_ns(start, 1e6);
    CHECK(r == (n == 12 ? 14200 : 724));
    return 0;
}

static void bench_queens(const struct setting *s, struct outcome *out)
{
    struct work w = {s, out};

    with_executor(s->workers, run_queens, &w);
}

/* ---- skynet ------------------------------------------------------------- */

WEFT_TASK(long, skynet, long, first, long, size)
{
    WEFT_CHILD(skynet) c[10];
    long sum = 0, part;

    if (__builtin_expect(size == 1, 1)) /* nine of ten calls */
        return first;
    part = size / 10;
    for (int i = 0; i < 10; i++)
        WEFT_FORK(skynet, &c[i], first + i * part, part);
    for (int i = 9; i >= 0; i--)
        sum += WEFT_JOIN(skynet, &c[i]);
    return sum;
}

static long run_skynet(void *arg)
{
    struct work *w = arg;
    long n = w->setting->quick ? 10000000 : 100000000, r;
    int64_t start = weft_now();

    CHECK(WEFT_RUN(skynet, &r, 0, n) == 0);
    w->out->value = bench_ns(start, (double)n);
    CHECK(r == n / 2 * (n - 1));
    return 0;
}

static void bench_skynet(const struct setting *s, struct outcome *out)
{
    struct work w = {s, out};

    with_executor(s->workers, run_skynet, &w);
}

/* ---- loops -------------------------------------------------------------- */

#define RANGES 1000

static long spin_1us(size_t begin, size_t end, void *arg)
{
    int64_t until = weft_now() + (int64_t)(end - begin) * WEFT_US;

    (void)arg;
    while (weft_now() < until)
        ;
    return 0;
}

static long for_rounds(void *arg)
{
    struct work *w = arg;
    int rounds = w->setting->quick ? 50 : 500;
    int64_t start = weft_now();

    for (int i = 0; i < rounds; i++)
        CHECK(weft_for(RANGES, spin_1us, NULL) == 0);
    w->out->value = bench_ns(start, rounds * 1e3);
    return 0;
}

static void bench_for(const struct setting *s, struct outcome *out)
{
    struct work w = {s, out};

    with_executor(s->workers, for_rounds, &w);
}

/* ---- wake --------------------------------------------------------------- */

static _Atomic int64_t child_at;

static long note_time(void *arg)
{
    (void)arg;
    child_at = weft_now();
    return 0;
}

static long fork_one(void *arg)
{
    weft_job j;
    int64_t start = weft_now();

    child_at = 0;
    weft_fork(&j, note_time, NULL);
    while (!child_at && weft_now() < start + 100 * WEFT_MS)
        ;
    CHECK(weft_join(&j) == 0);
    *(int64_t *)arg = child_at - start;
    return 0;
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static long run_wake(void *arg)
{
    struct work *w = arg;
    int64_t t[21];

    for (int i = 0; i < 21; i++) {
        CHECK(weft_sleep((w->setting->quick ? 10 : 100) * WEFT_MS) == 0);
        CHECK(weft_compute(fork_one, &t[i]) == 0);
    }
    qsort(t, 21, sizeof *t, by_time);
    w->out->value = (double)t[10] / 1e3;
    return 0;
}

static void bench_wake(const struct setting *s, struct outcome *out)
{
    struct work w = {s, out};

    with_executor(s->workers > 1 ? s->workers : 2, run_wake, &w);
}

const struct bench fork_benches[] = {
    {"fib", "ms", "fib(36) forked, --workers executor threads", bench_fib,
     .own_runtime = true},
    {"fork_price", "ns", "fib's fork and join over a plain call, 1 thread",
     bench_price, .own_runtime = true},
    {"fib_crowded", "ms", "fib with twice as many threads; bare: as many",
     bench_crowded, .own_runtime = true},
    {"fib_shared", "ms", "two runtimes at once; bare: one after the other",
     bench_shared, .own_runtime = true},
    {"nqueens", "ms", "12 queens, a fork a placement", bench_queens,
     .own_runtime = true},
    {"skynet_fork", "ns", "10-ary tree of 100 M leaves", bench_skynet,
     .own_runtime = true},
    {"for_tiny", "us", "weft_for over 1000 items of 1 us", bench_for,
     .own_runtime = true},
    {"fork_wake", "us", "from a fork after 100 ms idle to its child elsewhere",
     bench_wake, .own_runtime = true},
    {0},
};
