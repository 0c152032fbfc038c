/* SPDX-License-Identifier: MIT */
/* Runtimes: cases 49-52, 54 and 57. */
#include "support/cases.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#define LONG_TIME (3600 * WEFT_SEC)

/* ---- nothing left over -------------------------------------------------- */

static long naps(void *arg)
{
    (void)arg;
    return weft_sleep(100 * WEFT_US);
}

static long add_one(void *arg)
{
    return (long)(intptr_t)arg + 1;
}

static long a_bit_of_all(void *arg)
{
    weft_group g;
    int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

    (void)arg;
    weft_with_group(&g) {
        for (int i = 0; i < 10; i++)
            t_equal(weft_spawn(&g, naps, NULL), 0);
        t_equal(weft_compute(add_one, (void *)1), 2);
        t_equal(weft_blocking(add_one, (void *)2), 3);
        t_equal(weft_fd_wait(fd, WEFT_READ), WEFT_READ);
    }
    weft_fd_forget(fd);
    close(fd);
    return 5;
}

static void a_hundred_runs_leave_nothing_over(void **state)
{
    unsigned n = t_workers(state);
    int fds = 0, threads = 0, mappings = 0;

    for (int i = 0; i < 110; i++) {
        if (i == 10) { /* what the C library keeps is there by now */
            fds = t_fds();
            threads = t_threads();
            mappings = t_mappings();
        }
        assert_int_equal(t_run(n, a_bit_of_all, NULL), 5);
    }
    assert_int_equal(t_fds(), fds);
    assert_int_equal(t_threads(), threads);
    /* A sanitizer maps on its own account. */
    if (!T_SANITIZED)
        assert_in_range(t_mappings(), 0, mappings + 4);
}

/* ---- two at once -------------------------------------------------------- */

#define ITEMS 20000

struct bridge {
    weft_queue q;
    void *slots[16];
    int back; /* eventfd: a credit for each item */
    long items, sum;
};

static long sends(void *arg)
{
    struct bridge *b = arg;
    uint64_t credits = 0, more;

    for (intptr_t i = 1; i <= b->items; i++) {
        t_equal(weft_queue_put(&b->q, (void *)i), 0);
        if (read(b->back, &more, sizeof more) == sizeof more)
            credits += more;
    }
    weft_queue_shutdown(&b->q, 0);
    while (credits < (uint64_t)b->items) {
        if (!t_equal(weft_fd_wait(b->back, WEFT_READ), WEFT_READ))
            break;
        if (read(b->back, &more, sizeof more) == sizeof more)
            credits += more;
    }
    return (long)credits;
}

static long receives(void *arg)
{
    struct bridge *b = arg;
    uint64_t one = 1;
    void *item;

    while (weft_queue_get(&b->q, &item) == 0) {
        b->sum += (long)(intptr_t)item;
        t_equal(write(b->back, &one, sizeof one), sizeof one);
    }
    return b->sum;
}

struct call {
    weft_runtime *rt;
    weft_fn *fn;
    void *arg;
    long result;
};

static void *calls(void *arg)
{
    struct call *c = arg;

    c->result = weft_runtime_call(c->rt, c->fn, c->arg);
    return NULL;
}

static void two_runtimes_pass_items_to_each_other(void **state)
{
    static struct bridge b;
    weft_runtime *one = t_open(t_workers(state)), *two = t_open(2);
    struct call send = {one, sends, &b, 0}, receive = {two, receives, &b, 0};
    pthread_t thread[2];

    memset(&b, 0, sizeof b);
    b.items = t_scale(ITEMS);
    b.back = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(b.back >= 0);
    assert_int_equal(weft_queue_init(&b.q, b.slots, 16, WEFT_FIFO), 0);
    assert_int_equal(pthread_create(&thread[0], NULL, calls, &send), 0);
    assert_int_equal(pthread_create(&thread[1], NULL, calls, &receive), 0);
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    assert_int_equal(weft_runtime_close(one), 0);
    /* The other is none the worse for it. */
    assert_int_equal(weft_runtime_call(two, add_one, (void *)1), 2);
    assert_int_equal(weft_runtime_close(two), 0);
    close(b.back);
    t_verdict();
    assert_int_equal(send.result, b.items);
    assert_int_equal(receive.result, b.items * (b.items + 1) / 2);
}

static long opens_another(void *arg)
{
    weft_runtime *rt = weft_runtime_self();

    t_check(rt == arg);
    t_equal(weft_runtime_call(rt, add_one, NULL), -EDEADLK);
    t_equal(weft_runtime_close(rt), -EDEADLK);
    return 1;
}

static void a_worker_may_not_wait_for_its_own_runtime(void **state)
{
    weft_runtime *rt = t_open(t_workers(state));
    struct weft_stats stats;

    assert_int_equal(weft_runtime_call(rt, opens_another, rt), 1);
    assert_int_equal(weft_runtime_stats(rt, &stats), 0);
    assert_int_equal(stats.workers, t_workers(state));
    assert_int_equal(weft_runtime_close(rt), 0);
    assert_null(weft_runtime_self());
    t_verdict();
}

/* ---- stop --------------------------------------------------------------- */

static struct {
    atomic_int begun, cancelled, cleaned;
    long n;
} crowd;

static long waits_for_ever(void *arg)
{
    int rc;

    (void)arg;
    atomic_fetch_add(&crowd.begun, 1);
    rc = weft_sleep(LONG_TIME);
    if (rc == -ECANCELED)
        atomic_fetch_add(&crowd.cancelled, 1);
    weft_with_shield()
        if (weft_sleep(WEFT_MS) == 0)
            atomic_fetch_add(&crowd.cleaned, 1);
    return rc;
}

static long gathers(void *arg)
{
    weft_group g;

    (void)arg;
    weft_with_group(&g)
        for (long i = 0; i < crowd.n; i++)
            if (!t_equal(weft_spawn(&g, waits_for_ever, NULL), 0))
                break;
    return weft_group_wait(&g);
}

static void stop_cancels_ten_thousand_tasks_and_awaits_them(void **state)
{
    weft_runtime *rt = t_open(t_workers(state));
    struct call c = {rt, gathers, NULL, 0};
    pthread_t thread;

    memset(&crowd, 0, sizeof crowd);
    crowd.n = t_scale(10000);
    assert_int_equal(pthread_create(&thread, NULL, calls, &c), 0);
    for (int i = 0; i < 20000 && atomic_load(&crowd.begun) < crowd.n; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&crowd.begun), crowd.n);
    assert_int_equal(weft_runtime_close(rt), 0);
    pthread_join(thread, NULL);
    t_verdict();
    assert_int_equal(c.result, -ECANCELED);
    assert_int_equal(atomic_load(&crowd.cancelled), crowd.n);
    assert_int_equal(atomic_load(&crowd.cleaned), crowd.n);
}

static long is_stubborn(void *arg)
{
    static weft_event never;

    (void)arg;
    t_equal(weft_task_set_name("stubborn"), 0);
    weft_with_shield()
        (void)!weft_event_wait(&never);
    return 0;
}

static long leaves_one_behind(void *arg)
{
    (void)arg;
    t_equal(weft_spawn_detached(is_stubborn, NULL), 0);
    t_check(t_wait_waiting("event", 1));
    return 0;
}

static int stop_with_a_straggler(void *arg)
{
    struct weft_options o = t_options(*(unsigned *)arg);
    weft_runtime *rt;
    int64_t start;

    o.grace = 200 * WEFT_MS;
    if (weft_runtime_open(&rt, &o) < 0)
        return 2;
    if (weft_runtime_call(rt, leaves_one_behind, NULL) != 0)
        return 3;
    start = weft_now();
    if (weft_runtime_close(rt) != 1)
        return 4;
    return weft_now() - start < o.grace ? 5 : 0;
}

static void what_is_left_after_the_grace_is_listed(void **state)
{
    unsigned n = t_workers(state);
    static struct t_child c;

    t_fork(&c, stop_with_a_straggler, &n);
    if (c.status != 0)
        fail_msg("status %x: %s", (unsigned)c.status, c.output);
    assert_non_null(strstr(c.output, "stubborn"));
    assert_non_null(strstr(c.output, "test_runtime.c:"));
    assert_non_null(strstr(c.output, "event"));
}

/* ---- idle --------------------------------------------------------------- */

static long rests(void *arg)
{
    int64_t before, *used = arg;
    weft_group g;

    weft_with_group(&g) {
        for (int i = 0; i < 100; i++)
            t_equal(weft_spawn(&g, waits_for_ever, NULL), 0);
        t_equal(weft_sleep(300 * WEFT_MS), 0); /* until all have settled */
        before = t_cpu_ns();
        t_equal(weft_sleep(2 * WEFT_SEC), 0);
        *used = t_cpu_ns() - before;
        weft_group_cancel(&g);
    }
    return 0;
}

static void a_runtime_with_nothing_to_do_uses_no_cpu(void **state)
{
    /* A sanitizer has threads of its own. */
    int64_t limit = (T_SANITIZED ? 100 : 1) * WEFT_MS, used = INT64_MAX;

    for (int i = 0; i < 2 && used >= limit; i++)
        assert_int_equal(t_run(t_workers(state), rests, &used), 0);
    if (used >= limit)
        fail_msg("%ld us in 2 s", (long)(used / WEFT_US));
}

/* ---- slow tasks --------------------------------------------------------- */

static atomic_int hogs;

struct hall {
    unsigned workers;
};

/* All at once, so that each is on another worker. */
static long hogs_a_worker(void *arg)
{
    struct hall *h = arg;
    int64_t end = weft_now() + 5 * WEFT_SEC;

    atomic_fetch_add(&hogs, 1);
    while (atomic_load(&hogs) < (int)h->workers && weft_now() < end)
        ;
    t_spin(600 * WEFT_MS);
    return 0;
}

static long hog_all(void *arg)
{
    struct hall *h = arg;
    weft_group g;

    weft_with_group(&g)
        for (unsigned i = 0; i < h->workers; i++)
            t_equal(weft_spawn(&g, hogs_a_worker, h), 0);
    return weft_group_wait(&g);
}

static int run_hogs(void *arg)
{
    struct hall *h = arg;
    struct weft_options o = {.workers = h->workers, .slow_task = 100 * WEFT_MS};

    return (int)weft_run_with(&o, hog_all, h);
}

static bool all_named(const char *output, unsigned workers)
{
    for (unsigned w = 0; w < workers; w++) {
        char held[32];

        snprintf(held, sizeof held, "has held worker %u", w);
        if (!strstr(output, held))
            return false;
    }
    return strstr(output, "task hogs_a_worker (spawned at ") &&
           strstr(output, "test_runtime.c:") &&
           strstr(output, "[0x"); /* addresses of a backtrace */
}

/* Others may keep the watchdog itself from running: three tries. */
static void the_watchdog_names_each_busy_worker_and_where(void **state)
{
    struct hall h = {t_workers(state)};
    static struct t_child c;

    for (int i = 0; i < 3; i++) {
        t_fork(&c, run_hogs, &h);
        assert_int_equal(c.status, 0);
        if (all_named(c.output, h.workers))
            return;
    }
    fail_msg("%u workers: %s", h.workers, c.output);
}

/* ---- fork --------------------------------------------------------------- */

static weft_runtime *parents;

static int use_a_dead_runtime(void)
{
    if (weft_self() || weft_runtime_self())
        return 2;
    if (weft_runtime_call(parents, add_one, NULL) != -EOWNERDEAD)
        return 3;
    if (weft_runtime_post(parents, add_one, NULL) != -EOWNERDEAD)
        return 4;
    if (weft_runtime_close(parents) != -EOWNERDEAD)
        return 5;
    return weft_sleep(1) == -EPERM ? 0 : 6;
}

static __attribute__((unused)) long forks(void *arg)
{
    int status = -1;
    pid_t pid;

    (void)arg;
    parents = weft_runtime_self();
    pid = fork();
    if (pid == 0)
        _exit(use_a_dead_runtime());
    t_equal(waitpid(pid, &status, 0), pid);
    t_equal(status, 0);
    t_equal(weft_sleep(WEFT_MS), 0);
    pid = fork();
    if (pid == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(9);
    }
    t_equal(waitpid(pid, &status, 0), pid);
    t_equal(status, 0);
    return weft_yield();
}

static void a_forked_child_may_exec_and_finds_the_runtime_dead(void **state)
{
#if defined(T_TSAN)
    (void)state;
    skip(); /* it allows no fork among threads */
#else
    assert_int_equal(t_run(t_workers(state), forks, NULL), 0);
#endif
}

static const struct CMUnitTest tests[] = {
    T_EACH(a_hundred_runs_leave_nothing_over),
    T_EACH(two_runtimes_pass_items_to_each_other),
    T_EACH(a_worker_may_not_wait_for_its_own_runtime),
    T_EACH(stop_cancels_ten_thousand_tasks_and_awaits_them),
    T_EACH(what_is_left_after_the_grace_is_listed),
    T_EACH(a_runtime_with_nothing_to_do_uses_no_cpu),
    T_EACH(the_watchdog_names_each_busy_worker_and_where),
    T_EACH(a_forked_child_may_exec_and_finds_the_runtime_dead),
};

T_MAIN(tests)
