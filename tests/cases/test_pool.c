/* SPDX-License-Identifier: MIT */
/* Pools of the user's own. */
#include "support/cases.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static void *P(intptr_t n)
{
    return (void *)n;
}

static long add_one(void *arg)
{
    return (intptr_t)arg + 1;
}

static weft_pool *open_pool(const struct weft_pool_options *o)
{
    weft_pool *p = NULL;

    t_equal(weft_pool_open(&p, o), 0);
    return p;
}

/* ---- calls -------------------------------------------------------------- */

#define JOBS 2000

struct job {
    weft_pool *pool;
    long n;
};

static atomic_int inside, most, right;

static long counts_threads(void *arg)
{
    int now = atomic_fetch_add(&inside, 1) + 1, seen = atomic_load(&most);

    while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
        ;
    usleep(100);
    atomic_fetch_sub(&inside, 1);
    return (intptr_t)arg + 1;
}

static long calls(void *arg)
{
    struct job *j = arg;

    if (weft_pool_call(j->pool, counts_threads, P(j->n)) == j->n + 1)
        atomic_fetch_add(&right, 1);
    return 0;
}

static long call_much(void *arg)
{
    static struct job jobs[JOBS];
    struct weft_pool_options o = {.threads = 3};
    weft_pool *p = open_pool(&o);
    long n = t_scale(JOBS);
    weft_group g;

    (void)arg;
    weft_with_group(&g)
        for (long i = 0; i < n; i++) {
            jobs[i] = (struct job){p, i};
            t_equal(weft_spawn(&g, calls, &jobs[i]), 0);
        }
    t_equal(atomic_load(&right), n);
    t_check(atomic_load(&most) >= 1 && atomic_load(&most) <= 3);
    weft_pool_close(p);
    return weft_group_wait(&g);
}

static void its_threads_are_no_more_than_was_asked_for(void **state)
{
    int threads = 0;

    for (int i = 0; i < 2; i++) {
        atomic_store(&most, 0);
        atomic_store(&right, 0);
        assert_int_equal(t_run(t_workers(state), call_much, NULL), 0);
        if (i == 0) /* a sanitizer may have started one of its own */
            threads = t_threads();
    }
    assert_int_equal(t_threads(), threads);
}

struct nested {
    weft_pool *mine, *other;
};

static long calls_itself(void *arg)
{
    struct nested *n = arg;

    t_check(weft_self() == NULL);
    t_equal(weft_sleep(1), -EPERM);
    t_equal(weft_pool_call(n->other, add_one, P(1)), -EPERM);
    return weft_pool_call(n->mine, add_one, P(41));
}

static long nest(void *arg)
{
    struct weft_pool_options one = {.threads = 1};
    struct nested n = {open_pool(&one), open_pool(NULL)};

    (void)arg;
    t_equal(weft_pool_call(n.mine, calls_itself, &n), 42);
    weft_pool_close(n.mine);
    weft_pool_close(n.other);
    return 0;
}

static void on_its_own_thread_a_call_is_a_plain_call(void **state)
{
    assert_int_equal(t_run(t_workers(state), nest, NULL), 0);
}

/* ---- spawning ----------------------------------------------------------- */

static long fails(void *arg)
{
    (void)arg;
    return -EDOM;
}

static long spawn_some(void *arg)
{
    struct weft_pool_options two = {.threads = 2};
    weft_pool *p = open_pool(&two);
    weft_task *t[10], *bad;
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        for (intptr_t i = 0; i < 10; i++)
            t_equal(weft_pool_spawn(p, &g, add_one, P(i), &t[i]), 0);
        t_equal(weft_pool_spawn(p, &g, add_one, P(1), NULL), 0);
        for (intptr_t i = 0; i < 10; i++)
            t_equal(weft_await(t[i]), i + 1);
        t_check(strcmp(weft_task_name(t[0]), "add_one") == 0);
        t_check(strstr(weft_task_site(t[0]), "test_pool.c:") != NULL);
    }
    t_equal(weft_group_wait(&g), 0);
    weft_with_group(&g) {
        t_equal(weft_pool_spawn(p, &g, fails, NULL, &bad), 0);
        t_equal(weft_await(bad), -EDOM);
        t_equal(weft_pool_spawn(p, &g, add_one, NULL, NULL), -ECANCELED);
    }
    t_equal(weft_group_wait(&g), -EDOM);
    weft_pool_close(p);
    return 0;
}

static void what_is_spawned_is_a_task_of_the_group(void **state)
{
    assert_int_equal(t_run(t_workers(state), spawn_some, NULL), 0);
}

static atomic_int ran;

static long runs(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ran, 1);
    return 0;
}

static long cancel_before_start(void *arg)
{
    weft_pool *p = open_pool(NULL);
    weft_group g;

    (void)arg;
    /* This task does not wait before the group is cancelled: on one worker
     * none of them has started. */
    weft_with_group(&g) {
        for (int i = 0; i < 100; i++)
            t_equal(weft_pool_spawn(p, &g, runs, NULL, NULL), 0);
        weft_group_cancel(&g);
    }
    t_equal(weft_group_wait(&g), -ECANCELED);
    if (*(unsigned *)arg == 1)
        t_equal(atomic_load(&ran), 0);
    weft_pool_close(p);
    return 0;
}

static void what_is_cancelled_before_it_starts_does_not_run(void **state)
{
    unsigned n = t_workers(state);

    atomic_store(&ran, 0);
    assert_int_equal(t_run(n, cancel_before_start, &n), 0);
}

struct gate {
    weft_pool *pool;
    atomic_int started, open, ended;
};

static long holds(void *arg)
{
    struct gate *g = arg;
    int64_t end = weft_now() + 10 * WEFT_SEC;

    atomic_fetch_add(&g->started, 1);
    while (!atomic_load(&g->open) && weft_now() < end)
        usleep(500);
    atomic_fetch_add(&g->ended, 1);
    return 77;
}

static long cancel_jobs(void *arg)
{
    struct weft_pool_options one = {.threads = 1};
    struct gate gate = {.pool = open_pool(&one)};
    weft_task *a, *b;
    weft_group g;

    (void)arg;
    atomic_store(&ran, 0);
    weft_with_group(&g) {
        t_equal(weft_pool_spawn(gate.pool, &g, holds, &gate, &a), 0);
        t_check(t_wait_for(&gate.started, 1));
        t_equal(weft_pool_spawn(gate.pool, &g, runs, NULL, &b), 0);
        t_check(t_wait_waiting("pool", 2));
        t_equal(weft_task_cancel(a), 0);
        t_equal(weft_task_cancel(b), 0);
        t_equal(weft_await(b), -ECANCELED);
        t_equal(weft_sleep(2 * WEFT_MS), 0);
        t_check(!weft_task_done(a));
        atomic_store(&gate.open, 1);
        t_equal(weft_await(a), 77);
    }
    weft_pool_close(gate.pool);
    t_equal(atomic_load(&ran), 0);
    return weft_group_wait(&g);
}

static void cancelling_drops_what_is_queued_and_awaits_what_runs(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_jobs, NULL), 0);
}

/* ---- closing ------------------------------------------------------------ */

static long opens_gate(void *arg)
{
    struct gate *g = arg;

    t_check(t_wait_waiting("end of a pool", 1));
    t_equal(weft_sleep(2 * WEFT_MS), 0);
    t_equal(atomic_load(&g->ended), 0);
    atomic_store(&g->open, 1);
    return 0;
}

static long closes(void *arg)
{
    struct gate *gate = arg;

    weft_pool_close(gate->pool);
    t_equal(atomic_load(&gate->ended), 1);
    t_equal(atomic_load(&ran), 5);
    return weft_check();
}

/* Even a cancelled task waits for what was queued, and blocks no worker. */
static long close_busy(void *arg)
{
    struct weft_pool_options one = {.threads = 1};
    struct gate gate = {.pool = open_pool(&one)};
    weft_task *closer;
    weft_group g;

    (void)arg;
    atomic_store(&ran, 0);
    weft_with_group(&g) {
        t_equal(weft_pool_spawn(gate.pool, &g, holds, &gate, NULL), 0);
        t_check(t_wait_for(&gate.started, 1));
        for (int i = 0; i < 5; i++)
            t_equal(weft_pool_spawn(gate.pool, &g, runs, NULL, NULL), 0);
        t_check(t_wait_waiting("pool", 6));
        t_equal(weft_spawn_task(&g, closes, &gate, &closer), 0);
        t_check(t_wait_waiting("end of a pool", 1));
        t_equal(weft_task_cancel(closer), 0);
        t_equal(weft_spawn(&g, opens_gate, &gate), 0);
        t_equal(weft_await(closer), -ECANCELED);
    }
    return weft_group_wait(&g);
}

static void close_lets_what_is_queued_run_first(void **state)
{
    assert_int_equal(t_run(t_workers(state), close_busy, NULL), 0);
}

static long open_and_close(void *arg)
{
    weft_pool *p = open_pool(NULL);

    (void)arg;
    weft_pool_close(p); /* no thread ever */
    for (int i = 0; i < 100; i++) {
        p = open_pool(NULL);
        t_equal(weft_pool_call(p, add_one, P(1)), 2);
        weft_pool_close(p);
    }
    return 0;
}

static void a_hundred_pools_leave_nothing_over(void **state)
{
    int threads = t_threads(), fds = t_fds();

    assert_int_equal(t_run(t_workers(state), open_and_close, NULL), 0);
    assert_int_equal(t_threads(), threads);
    assert_int_equal(t_fds(), fds);
}

/* ---- options ------------------------------------------------------------ */

struct seen {
    char name[32];
    int nice, cores;
    pid_t tid;
};

static long looks_around(void *arg)
{
    struct seen *s = arg;
    cpu_set_t set;

    s->tid = (pid_t)syscall(SYS_gettid);
    t_equal(pthread_getname_np(pthread_self(), s->name, sizeof s->name), 0);
    s->nice = getpriority(PRIO_PROCESS, (id_t)s->tid);
    t_equal(pthread_getaffinity_np(pthread_self(), sizeof set, &set), 0);
    s->cores = CPU_COUNT(&set);
    return 0;
}

static bool is_alive(pid_t tid)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/task/%d", (int)tid);
    return access(path, F_OK) == 0;
}

/* Also one that was joined is there for a moment. */
static bool leaves(pid_t tid)
{
    int64_t end = weft_now() + 10 * WEFT_SEC;

    while (is_alive(tid) && weft_now() < end)
        t_equal(weft_sleep(2 * WEFT_MS), 0);
    return !is_alive(tid);
}

static long with_options(void *arg)
{
    struct weft_pool_options o = {.name = "a-rather-long-name",
                                  .threads = 1,
                                  .keepalive = 10 * WEFT_MS,
                                  .nice = 7,
                                  .bind = 1};
    struct seen a, b;
    weft_pool *p;
    cpu_set_t set;

    (void)arg;
    p = open_pool(&o);
    memset(&o, 0xff, sizeof o); /* it was copied */
    t_equal(weft_pool_call(p, looks_around, &a), 0);
    t_check(strcmp(a.name, "a-rather-long-n") == 0);
    t_equal(a.nice, 7);
    t_equal(a.cores, 1);
    t_check(leaves(a.tid));
    t_equal(weft_pool_call(p, looks_around, &b), 0); /* starts anew */
    weft_pool_close(p);

    p = open_pool(NULL);
    t_equal(weft_pool_call(p, looks_around, &a), 0);
    t_check(strcmp(a.name, "weft-pool") == 0);
    t_equal(a.nice, getpriority(PRIO_PROCESS, (id_t)getpid()));
    t_equal(sched_getaffinity(getpid(), sizeof set, &set), 0);
    t_equal(a.cores, CPU_COUNT(&set));
    t_equal(weft_sleep(30 * WEFT_MS), 0);
    t_check(is_alive(a.tid)); /* they stay */
    weft_pool_close(p);
    t_check(leaves(a.tid));

    o = (struct weft_pool_options){.keepalive = -1};
    t_equal(weft_pool_open(&p, &o), -EINVAL);
    return 0;
}

static void its_threads_are_as_the_options_say(void **state)
{
    assert_int_equal(t_run(t_workers(state), with_options, NULL), 0);
}

static long shares(void *arg)
{
    weft_pool *p = open_pool(NULL);

    *(weft_pool **)arg = p;
    return 0;
}

static long uses(void *arg)
{
    for (intptr_t i = 0; i < 100; i++)
        t_equal(weft_pool_call(arg, add_one, P(i)), i + 1);
    return 0;
}

static long ends(void *arg)
{
    weft_pool_close(arg);
    return 0;
}

static void tasks_of_another_runtime_may_use_it(void **state)
{
    weft_runtime *one = t_open(t_workers(state)), *two = t_open(1);
    weft_pool *p = NULL;

    assert_int_equal(weft_runtime_call(one, shares, &p), 0);
    assert_non_null(p);
    assert_int_equal(weft_runtime_call(two, uses, p), 0);
    assert_int_equal(weft_pool_call(p, add_one, NULL), -EPERM);
    assert_int_equal(weft_runtime_call(one, ends, p), 0);
    assert_int_equal(weft_runtime_close(two), 0);
    assert_int_equal(weft_runtime_close(one), 0);
    t_verdict();
    assert_int_equal(weft_pool_open(&p, NULL), -EPERM);
}

static const struct CMUnitTest tests[] = {
    T_EACH(its_threads_are_no_more_than_was_asked_for),
    T_EACH(on_its_own_thread_a_call_is_a_plain_call),
    T_EACH(what_is_spawned_is_a_task_of_the_group),
    T_EACH(what_is_cancelled_before_it_starts_does_not_run),
    T_EACH(cancelling_drops_what_is_queued_and_awaits_what_runs),
    T_EACH(close_lets_what_is_queued_run_first),
    T_EACH(a_hundred_pools_leave_nothing_over),
    T_REAL_EACH(its_threads_are_as_the_options_say),
    T_EACH(tasks_of_another_runtime_may_use_it),
};

T_MAIN(tests)
