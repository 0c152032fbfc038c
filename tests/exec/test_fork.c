/* SPDX-License-Identifier: MIT */
/* Fork and join: results, stealing, errors, cancellation. Case 45. */
#include "exec/threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

/* ---- typed form --------------------------------------------------------- */

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

/* Functions that fork each other; arguments and results of several types. */
WEFT_TASK_VOID_DECLARE(fill_odd, double *, to, size_t, n)
WEFT_TASK_VOID_DECLARE(fill_even, double *, to, size_t, n)

WEFT_TASK_VOID_DEFINE(fill_odd, double *, to, size_t, n)
{
    WEFT_CHILD(fill_even) c;

    if (n == 0)
        return;
    to[0] = 1;
    WEFT_FORK(fill_even, &c, to + 1, (n - 1) / 2);
    WEFT_CALL(fill_even, to + 1 + (n - 1) / 2, n - 1 - (n - 1) / 2);
    WEFT_JOIN(fill_even, &c);
}

WEFT_TASK_VOID_DEFINE(fill_even, double *, to, size_t, n)
{
    WEFT_CHILD(fill_odd) c;

    if (n == 0)
        return;
    to[0] = 2;
    WEFT_FORK(fill_odd, &c, to + 1, (n - 1) / 2);
    WEFT_CALL(fill_odd, to + 1 + (n - 1) / 2, n - 1 - (n - 1) / 2);
    WEFT_JOIN(fill_odd, &c);
}

struct pair {
    double x;
    int y;
};

WEFT_TASK(struct pair, six, int, a, long, b, char, c, double, d, struct pair, e,
          const char *, f)
{
    struct pair r = {a + (double)b + d + e.x, c + e.y + f[0]};

    return r;
}

WEFT_TASK(long, sixes, int, n)
{
    WEFT_CHILD(six) c[16];
    struct pair e = {0.5, 3};
    long sum = 0;

    for (int i = 0; i < n; i++)
        WEFT_FORK(six, &c[i], i, 2L * i, (char)i, 0.5, e, "A");
    for (int i = n - 1; i >= 0; i--) {
        struct pair p = WEFT_JOIN(six, &c[i]);

        sum += (long)p.x * 1000 + p.y;
    }
    return sum;
}

static long run_typed(void *arg)
{
    static double filled[1000];
    long r = -1, sum = 0;

    (void)arg;
    for (int i = 0; i < 20; i++) {
        t_equal(WEFT_RUN(fib, &r, 20), 0);
        t_equal(r, 6765);
    }
    t_equal(WEFT_RUN(fib, &r, t_scale(27) > 20 ? 27 : 20), 0);
    t_check(r == 196418 || r == 6765);
    t_equal(WEFT_RUN(fill_odd, filled, 1000), 0);
    for (int i = 0; i < 1000; i++)
        sum += filled[i] == 1 || filled[i] == 2;
    t_equal(sum, 1000);
    t_equal(filled[0], 1);
    t_equal(filled[1], 2);
    t_equal(WEFT_RUN(sixes, &r, 16), 0);
    sum = 0;
    for (int i = 0; i < 16; i++)
        sum += (3 * i + 1) * 1000 + i + 3 + 'A';
    t_equal(r, sum);
    return 0;
}

static void typed_functions_compute_what_plain_ones_do(void **state)
{
    assert_int_equal(t_compute_with(t_workers(state), 0, run_typed, NULL), 0);
}

static long add_range(size_t begin, size_t end, void *arg)
{
    __atomic_fetch_add((long *)arg, (long)(end - begin), __ATOMIC_RELAXED);
    return 0;
}

static long one_more(void *arg)
{
    return (long)(intptr_t)arg + 1;
}

/* Children of all sizes, typed ones, plain ones, parts of a loop, open at the
 * same time in one frame after the other. */
WEFT_TASK(long, mixed, int, depth)
{
    WEFT_CHILD(mixed) below[2];
    WEFT_CHILD(six) wide;
    WEFT_CHILD(fib) thin;
    struct pair e = {0.5, 3}, p;
    weft_job job;
    long sum = 0;

    if (depth == 0)
        return 1;
    WEFT_FORK(mixed, &below[0], depth - 1);
    WEFT_FORK(six, &wide, depth, 2L, 'c', 0.5, e, "A");
    weft_fork(&job, one_more, (void *)(intptr_t)depth);
    WEFT_FORK(fib, &thin, depth);
    WEFT_FORK(mixed, &below[1], depth - 1);
    t_equal(weft_for(50, add_range, &sum), 0);
    sum += WEFT_CALL(fib, 5);
    sum += WEFT_JOIN(mixed, &below[1]);
    sum += WEFT_JOIN(fib, &thin);
    sum += weft_join(&job);
    p = WEFT_JOIN(six, &wide);
    t_check(p.x == depth + 3.0 && p.y == 'c' + 3 + 'A');
    return sum + WEFT_JOIN(mixed, &below[0]);
}

static long plain_mixed(int depth)
{
    static const long fibs[] = {0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144};

    return depth ? 50 + 5 + 2 * plain_mixed(depth - 1) + fibs[depth] + depth + 1
                 : 1;
}

static long run_mixed(void *arg)
{
    long r = -1;

    (void)arg;
    for (int i = 0; i < 5; i++) {
        t_equal(WEFT_RUN(mixed, &r, 8), 0);
        t_equal(r, plain_mixed(8));
    }
    t_equal(WEFT_RUN(mixed, &r, t_scale(12) > 10 ? 12 : 10), 0);
    t_check(r == plain_mixed(12) || r == plain_mixed(10));
    return 0;
}

static void children_of_all_kinds_stand_side_by_side(void **state)
{
    assert_int_equal(t_compute_with(t_workers(state), 0, run_mixed, NULL), 0);
}

/* ---- random trees ------------------------------------------------------- */

struct node {
    uint32_t seed;
    int depth;
};

static uint32_t scramble(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

static unsigned fan_out(const struct node *n)
{
    return n->depth ? n->seed % 6 : 0;
}

static long expected(struct node n)
{
    long sum = n.seed & 0xffff;

    for (unsigned i = 0; i < fan_out(&n); i++)
        sum += expected((struct node){scramble(n.seed + i), n.depth - 1}) *
               (i + 1);
    return sum & 0xffffff;
}

static atomic_long nodes_run;

static long tree(void *arg)
{
    const struct node *n = arg;
    struct node child[6];
    weft_job job[6];
    unsigned k = fan_out(n), here = n->seed >> 8 & 1;
    long sum = n->seed & 0xffff;

    atomic_fetch_add(&nodes_run, 1);
    if (n->seed % 64 == 0)
        t_spin((n->seed >> 8) % 20000);
    for (unsigned i = 0; i < k; i++)
        child[i] = (struct node){scramble(n->seed + i), n->depth - 1};
    /* The first runs as a plain call now and then. */
    for (unsigned i = here; i < k; i++)
        weft_fork(&job[i], tree, &child[i]);
    if (here && k)
        sum += tree(&child[0]);
    for (unsigned i = k; i-- > here;)
        sum += weft_join(&job[i]) * (i + 1);
    return sum & 0xffffff;
}

#define TREES 40u

static long one_tree(void *arg)
{
    struct node *n = arg;

    t_equal(weft_compute(tree, n), expected(*n));
    return 0;
}

static long many_trees(void *arg)
{
    struct node seeds[TREES];
    weft_group g;

    (void)arg;
    for (unsigned i = 0; i < TREES; i++) {
        seeds[i] = (struct node){scramble(i + 77), T_SANITIZED ? 6 : 10};
        t_equal(one_tree(&seeds[i]), 0);
    }
    weft_with_group(&g)
        for (unsigned i = 0; i < TREES; i++)
            t_equal(weft_spawn(&g, one_tree, &seeds[i]), 0);
    return weft_group_wait(&g);
}

static void random_trees_one_by_one_and_many_at_once(void **state)
{
    assert_int_equal(t_compute_with(t_workers(state), 0, many_trees, NULL), 0);
}

/* ---- small jobs --------------------------------------------------------- */

static long add_one(void *arg)
{
    (*(long *)arg)++;
    return 1;
}

static long nested_add_one(void *arg)
{
    return weft_compute(add_one, arg);
}

static long small_jobs(void *arg)
{
    long n = t_scale(1000000), sum = 0;
    weft_job *jobs = malloc((size_t)n * sizeof *jobs);
    long *counts = calloc((size_t)n, sizeof *counts);

    (void)arg;
    if (!t_check(jobs && counts))
        return -ENOMEM;
    for (long i = 0; i < n; i++)
        weft_fork(&jobs[i], i % 8 ? add_one : nested_add_one, &counts[i]);
    for (long i = n - 1; i >= 0; i--)
        sum += weft_join(&jobs[i]);
    t_equal(sum, n);
    for (long i = 0; i < n; i++)
        if (counts[i] != 1)
            t_equal(counts[i], 1);
    free(counts);
    free(jobs);
    return 0;
}

static long compute_small_jobs(void *arg)
{
    return weft_compute(small_jobs, arg);
}

static void a_million_small_jobs_from_one_frame(void **state)
{
    assert_int_equal(
        t_compute_with(t_workers(state), 0, compute_small_jobs, NULL), 0);
}

/* ---- stealing ----------------------------------------------------------- */

static atomic_int child_began;

static long child_on_thread(void *arg)
{
    *(pthread_t *)arg = pthread_self();
    atomic_store(&child_began, 1);
    t_spin(20 * WEFT_MS);
    return 17;
}

static long await_stolen(void *arg)
{
    pthread_t other = pthread_self();
    int64_t end = weft_now() + 10 * WEFT_SEC;
    weft_job j;

    (void)arg;
    atomic_store(&child_began, 0);
    weft_fork(&j, child_on_thread, &other);
    while (!atomic_load(&child_began) && weft_now() < end)
        sched_yield();
    t_equal(weft_join(&j), 17);
    t_check(!pthread_equal(other, pthread_self()));
    return 0;
}

static long await_stolen_twice(void *arg)
{
    t_equal(weft_compute(await_stolen, arg), 0);
    t_equal(weft_sleep(50 * WEFT_MS), 0); /* the threads sleep */
    return weft_compute(await_stolen, arg);
}

static void a_fork_wakes_an_idle_thread(void **state)
{
    (void)state;
    assert_int_equal(t_compute_with(2, 0, await_stolen_twice, NULL), 0);
}

#define GRANDCHILDREN 40

static struct {
    atomic_int child, helped;
    pthread_t joiner;
} family;

static long grandchild(void *arg)
{
    (void)arg;
    t_spin(2 * WEFT_MS);
    if (pthread_equal(pthread_self(), family.joiner))
        atomic_fetch_add(&family.helped, 1);
    return 1;
}

static long parent_of_many(void *arg)
{
    weft_job j[GRANDCHILDREN];
    long sum = 0;

    (void)arg;
    atomic_store(&family.child, 1);
    for (int i = 0; i < GRANDCHILDREN; i++)
        weft_fork(&j[i], grandchild, NULL);
    for (int i = GRANDCHILDREN - 1; i >= 0; i--)
        sum += weft_join(&j[i]);
    return sum;
}

static long joiner(void *arg)
{
    int64_t end = weft_now() + 10 * WEFT_SEC;
    weft_job j;

    (void)arg;
    family.joiner = pthread_self();
    atomic_store(&family.child, 0);
    atomic_store(&family.helped, 0);
    weft_fork(&j, parent_of_many, NULL);
    while (!atomic_load(&family.child) && weft_now() < end)
        sched_yield();
    t_equal(weft_join(&j), GRANDCHILDREN);
    t_check(atomic_load(&family.helped) > 0);
    return 0;
}

static long run_joiner(void *arg)
{
    return weft_compute(joiner, arg);
}

static void a_join_helps_with_the_grandchildren(void **state)
{
    (void)state;
    assert_int_equal(t_compute_with(2, 0, run_joiner, NULL), 0);
}

/* ---- errors and cancellation -------------------------------------------- */

static long fails(void *arg)
{
    (void)arg;
    return -EIO;
}

static long errors(void *arg)
{
    weft_job a, b;
    int began = 0;
    long count = 0;

    (void)arg;
    t_equal(weft_check(), 0);
    weft_fork(&a, fails, &began);
    weft_fork(&b, add_one, &count);
    t_equal(weft_join(&b), 1);
    return weft_join(&a);
}

static long run_errors(void *arg)
{
    t_equal(weft_compute(errors, arg), -EIO);
    return 0;
}

static void a_childs_error_reaches_the_task(void **state)
{
    assert_int_equal(t_compute_with(t_workers(state), 0, run_errors, NULL), 0);
}

static struct {
    atomic_int started, ran;
} doomed;

WEFT_TASK(int, asks, int, unused)
{
    (void)unused;
    return WEFT_CANCELLED();
}

static long counts_itself(void *arg)
{
    (void)arg;
    atomic_fetch_add(&doomed.ran, 1);
    return 1;
}

static long waits_for_cancel(void *arg)
{
    int64_t end = weft_now() + 10 * WEFT_SEC;

    (void)arg;
    while (!weft_check() && weft_now() < end)
        sched_yield();
    return weft_check();
}

static long doomed_work(void *arg)
{
    int code = *(int *)arg, typed = 0;
    weft_job wait, late[50];

    weft_fork(&wait, waits_for_cancel, NULL);
    atomic_store(&doomed.started, 1);
    t_equal(waits_for_cancel(NULL), code);
    t_equal(weft_join(&wait), code);
    atomic_store(&doomed.ran, 0);
    for (int i = 0; i < 50; i++)
        weft_fork(&late[i], counts_itself, NULL);
    for (int i = 49; i >= 0; i--)
        t_equal(weft_join(&late[i]), code);
    t_equal(atomic_load(&doomed.ran), 0);
    t_equal(WEFT_RUN(asks, &typed, 0), 0);
    t_equal(typed, code);
    return 42; /* work that has started: its result counts */
}

static long computes_doomed(void *arg)
{
    return weft_compute(doomed_work, arg);
}

static long free_of_it(void *arg)
{
    (void)arg;
    return weft_check() ? 1 : 0;
}

static long cancel_work(void *arg)
{
    static int cancelled = -ECANCELED, timed_out = -ETIMEDOUT;
    weft_task *t;
    weft_group g;

    (void)arg;
    atomic_store(&doomed.started, 0);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, computes_doomed, &cancelled, &t), 0);
        t_check(t_wait_for(&doomed.started, 1));
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_await(t), 42);
    }
    /* Not before the work has begun. */
    weft_with_timeout((T_SANITIZED ? 500 : 50) * WEFT_MS)
        t_equal(weft_compute(doomed_work, &timed_out), 42);
    t_equal(weft_compute(free_of_it, NULL), 0);
    return weft_group_wait(&g);
}

static void cancelled_work_starts_no_more_children(void **state)
{
    assert_int_equal(t_compute_with(t_workers(state), 0, cancel_work, NULL), 0);
}

/* ---- places ------------------------------------------------------------- */

static long here(void *arg)
{
    *(pthread_t *)arg = pthread_self();
    return 5;
}

static long forks_here(void *arg)
{
    pthread_t t = pthread_self();
    weft_job j;
    long r = -1;

    weft_fork(&j, here, &t);
    t_equal(weft_join(&j), 5);
    t_check(pthread_equal(t, pthread_self()));
    t_equal(WEFT_RUN(fib, &r, 15), 0);
    t_equal(r, 610);
    t_equal(WEFT_RUN(mixed, &r, 6), 0);
    t_equal(r, plain_mixed(6));
    return (long)(intptr_t)arg;
}

static void *foreign(void *arg)
{
    weft_job j;
    long r = 8;

    weft_fork(&j, here, NULL);
    t_equal(weft_join(&j), -EPERM);
    t_equal(weft_check(), 0);
    t_equal(WEFT_RUN(fib, &r, 3), -EPERM);
    t_equal(r, 8);
    return arg;
}

static long other_places(void *arg)
{
    struct weft_pool_options o = {.threads = 1};
    pthread_t me = pthread_self(), t = me;
    weft_pool *pool;
    weft_job j;

    (void)arg;
    weft_fork(&j, here, &t);
    t_equal(weft_join(&j), 5);
    t_check(!pthread_equal(t, me)); /* it ran on the executor */
    t_equal(weft_blocking(forks_here, (void *)1), 1);
    if (t_equal(weft_pool_open(&pool, &o), 0)) {
        t_equal(weft_pool_call(pool, forks_here, (void *)2), 2);
        weft_pool_close(pool);
    }
    if (t_equal(pthread_create(&t, NULL, foreign, NULL), 0))
        t_equal(pthread_join(t, NULL), 0);
    return 0;
}

static void forks_outside_the_executor_still_run(void **state)
{
    assert_int_equal(t_compute_with(t_workers(state), 0, other_places, NULL),
                     0);
}

/* ---- runtimes ----------------------------------------------------------- */

static void *own_runtime(void *arg)
{
    t_equal(weft_run_with(arg, many_trees, NULL), 0);
    return NULL;
}

static void runtimes_side_by_side(void **state)
{
    struct weft_options o = t_options(1);
    pthread_t t[3];

    (void)state;
    o.executor_threads = 2;
    o.executor_nice = -1;
    for (unsigned i = 0; i < T_LEN(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, own_runtime, &o), 0);
    for (unsigned i = 0; i < T_LEN(t); i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    t_verdict();
}

static long small_fib(void *arg)
{
    long r = -1;

    (void)arg;
    t_equal(WEFT_RUN(fib, &r, 16), 0);
    t_equal(r, 987);
    return 0;
}

static void runtimes_in_a_row_leave_no_thread(void **state)
{
    int before;

    assert_int_equal(t_compute_with(t_workers(state), 0, small_fib, NULL), 0);
    before = t_threads();
    for (int i = 0; i < 30; i++)
        assert_int_equal(t_compute_with(t_workers(state), 0, small_fib, NULL),
                         0);
    assert_int_equal(t_threads(), before);
}

static long idle_after_work(void *arg)
{
    int64_t before;

    t_equal(small_fib(arg), 0);
    t_equal(weft_sleep(50 * WEFT_MS), 0);
    before = t_cpu_ns();
    t_equal(weft_sleep(500 * WEFT_MS), 0);
    t_check(t_cpu_ns() - before < 10 * WEFT_MS);
    return 0;
}

static void an_idle_executor_uses_no_cpu(void **state)
{
    assert_int_equal(t_compute_with(t_workers(state), 0, idle_after_work, NULL),
                     0);
}

static const struct CMUnitTest tests[] = {
    T_THREADS(typed_functions_compute_what_plain_ones_do),
    T_THREADS(children_of_all_kinds_stand_side_by_side),
    T_THREADS(random_trees_one_by_one_and_many_at_once),
    T_THREADS(a_million_small_jobs_from_one_frame),
    T_REAL(a_fork_wakes_an_idle_thread),
    T_REAL(a_join_helps_with_the_grandchildren),
    T_THREADS(a_childs_error_reaches_the_task),
    T_THREADS(cancelled_work_starts_no_more_children),
    T_REAL_THREADS(forks_outside_the_executor_still_run),
    cmocka_unit_test(runtimes_side_by_side),
    T_THREADS(runtimes_in_a_row_leave_no_thread),
    T_THREADS(an_idle_executor_uses_no_cpu),
};

T_MAIN(tests)
