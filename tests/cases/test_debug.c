/* SPDX-License-Identifier: MIT */
/* What options.debug and WEFT_DEBUG=1 tell on standard error. */
#include "support/cases.h"

#include <sys/socket.h>

#define LONG_TIME (60 * WEFT_SEC)

static struct weft_options debug_options(unsigned n)
{
    struct weft_options o = t_options(n);

    o.debug = 1;
    return o;
}

static struct t_child child;

/* Runs fn(arg) in debug mode, in a process of its own. */
static const char *told(int (*fn)(void *arg), unsigned workers)
{
    t_fork(&child, fn, (void *)(uintptr_t)workers);
    assert_int_equal(child.status, 0);
    return child.output;
}

/* ---- order of locks ---------------------------------------------------------- */

static weft_mutex a, b, c;

static long first_then_second(void *arg)
{
    weft_mutex **m = arg;

    t_equal(weft_mutex_lock(m[0]), 0);
    t_equal(weft_mutex_lock(m[1]), 0);
    t_equal(weft_mutex_unlock(m[1]), 0);
    t_equal(weft_mutex_unlock(m[0]), 0);
    return 0;
}

/* Never at the same time: nothing deadlocks, yet it could. */
static long in_turns(void *arg)
{
    weft_mutex *orders[][2] = {{&a, &b}, {&b, &c}, {&c, &a}};
    weft_task *t;
    weft_group g;
    int n = (int)(intptr_t)arg;

    weft_with_group(&g)
        for (int i = 0; i < n; i++) {
            t_equal(weft_spawn_task(&g, first_then_second, orders[i], &t), 0);
            t_equal(weft_await(t), 0);
            t_equal(weft_spawn_task(&g, first_then_second, orders[i], &t), 0);
            t_equal(weft_await(t), 0);
        }
    return 0;
}

static int a_circle(void *workers)
{
    struct weft_options o = debug_options((unsigned)(uintptr_t)workers);

    return (int)weft_run_with(&o, in_turns, (void *)3);
}

static int no_circle(void *workers)
{
    struct weft_options o = debug_options((unsigned)(uintptr_t)workers);

    return (int)weft_run_with(&o, in_turns, (void *)2);
}

static void locks_taken_in_a_circle_are_told_once(void **state)
{
    const char *s = told(a_circle, t_workers(state));
    const char *first = strstr(s, "lock order: task first_then_second");

    assert_non_null(first);
    assert_non_null(strstr(first, "test_debug.c:"));
    assert_null(strstr(first + 1, "lock order:"));
    assert_null(strstr(told(no_circle, t_workers(state)), "lock order:"));
}

/* ---- deadlocks ----------------------------------------------------------------- */

static weft_barrier both;

static long embrace(void *arg)
{
    weft_mutex **m = arg;
    int rc;

    t_equal(weft_mutex_lock(m[0]), 0);
    t_check(weft_barrier_wait(&both) >= 0);
    rc = weft_mutex_lock(m[1]);
    if (rc == 0)
        t_equal(weft_mutex_unlock(m[1]), 0);
    t_equal(weft_mutex_unlock(m[0]), 0);
    return 0;
}

static long deadlock(void *arg)
{
    weft_mutex *one[] = {&a, &b}, *two[] = {&b, &a};
    struct weft_task_options left = {.name = "left"}, right = {.name = "right"};
    weft_group g;

    (void)arg;
    t_equal(weft_barrier_init(&both, 2), 0);
    weft_with_timeout(200 * WEFT_MS)
        weft_with_group(&g) {
            t_equal(weft_spawn_with(&g, embrace, one, &left, NULL), 0);
            t_equal(weft_spawn_with(&g, embrace, two, &right, NULL), 0);
        }
    return 0;
}

static int run_deadlock(void *workers)
{
    struct weft_options o = debug_options((unsigned)(uintptr_t)workers);

    return (int)weft_run_with(&o, deadlock, NULL);
}

static void tasks_that_wait_for_each_other_are_told(void **state)
{
    const char *s = strstr(told(run_deadlock, t_workers(state)), "deadlock:");

    assert_non_null(s);
    assert_non_null(strstr(s, "left"));
    assert_non_null(strstr(s, "right"));
}

static long wants_a(void *arg)
{
    int rc = weft_mutex_lock(&a);

    (void)arg;
    return rc ? rc : weft_mutex_unlock(&a);
}

/* The owner of a group joins a child that waits for the owner's mutex. */
static long self_made(void *arg)
{
    weft_group g;

    (void)arg;
    weft_with_mutex(&a)
        weft_with_timeout(200 * WEFT_MS)
            weft_with_group(&g) {
                t_equal(weft_spawn(&g, wants_a, NULL), 0);
                if (arg) /* the child waits first */
                    t_equal(weft_sleep(20 * WEFT_MS), 0);
            }
    return 0;
}

static int run_self_made(void *workers)
{
    struct weft_options o = debug_options((unsigned)(uintptr_t)workers);
    long rc = weft_run_with(&o, self_made, NULL);

    return (int)rc;
}

static int run_self_made_late(void *workers)
{
    struct weft_options o = debug_options((unsigned)(uintptr_t)workers);

    return (int)weft_run_with(&o, self_made, (void *)1);
}

static void an_owner_that_joins_who_waits_for_it_is_told(void **state)
{
    const char *s = told(run_self_made, t_workers(state));

    assert_non_null(strstr(s, "deadlock:"));
    assert_non_null(strstr(s, "wants_a"));
    s = told(run_self_made_late, t_workers(state));
    assert_non_null(strstr(s, "deadlock:"));
    assert_non_null(strstr(s, "wants_a"));
}

/* ---- no false alarm ---------------------------------------------------------------- */

static long hammer(void *arg)
{
    (void)arg;
    for (long i = 0; i < t_scale(200); i++) {
        weft_with_mutex(&a)
            weft_with_mutex(&b)
                t_equal(weft_yield(), 0);
        weft_with_timeout(30 * WEFT_US)
            weft_with_mutex(&c)
                (void)weft_yield();
    }
    return 0;
}

static long crowd(void *arg)
{
    weft_group g;
    weft_task *t[16];

    (void)arg;
    weft_with_group(&g) {
        for (int i = 0; i < 16; i++)
            t_equal(weft_spawn_task(&g, hammer, NULL, &t[i]), 0);
        for (int i = 0; i < 16; i++)
            t_equal(weft_await(t[i]), 0);
    }
    return 0;
}

static int run_crowd(void *workers)
{
    struct weft_options o = debug_options((unsigned)(uintptr_t)workers);

    return (int)weft_run_with(&o, crowd, NULL);
}

static void right_programs_are_not_blamed(void **state)
{
    const char *s = told(run_crowd, t_workers(state));

    assert_null(strstr(s, "deadlock"));
    assert_null(strstr(s, "lock order"));
}

/* ---- at close ---------------------------------------------------------------------- */

static long uses_stack(void *arg)
{
    volatile char big[100 * 1024];

    for (size_t i = 0; i < sizeof big; i += 512)
        big[i] = (char)i;
    t_equal(weft_sleep(WEFT_MS), 0);
    return big[512] + (arg != NULL) > 0;
}

static long leaves_open(void *arg)
{
    weft_listener *l;
    weft_group g;

    (void)arg;
    t_equal(weft_listen(&l, "127.0.0.1:0"), 0);
    weft_with_timeout(WEFT_MS) {
        weft_stream *s;

        t_equal(weft_accept(l, &s), -ETIMEDOUT);
    }
    weft_with_group(&g)
        t_equal(weft_spawn(&g, uses_stack, NULL), 0);
    return 0;
}

static int run_leaves_open(void *workers)
{
    struct weft_options o = t_options((unsigned)(uintptr_t)workers);

    setenv("WEFT_DEBUG", "1", 1);
    return (int)weft_run_with(&o, leaves_open, NULL);
}

static int run_quietly(void *workers)
{
    struct weft_options o = t_options((unsigned)(uintptr_t)workers);

    setenv("WEFT_DEBUG", "0", 1);
    return (int)weft_run_with(&o, leaves_open, NULL);
}

static void the_environment_asks_for_a_report_at_close(void **state)
{
    const char *s = told(run_leaves_open, t_workers(state));
    unsigned deepest = 0;

    assert_non_null(strstr(s, "left open: stream or listener of descriptor"));
    s = strstr(s, "deepest stack: ");
    assert_non_null(s);
    assert_int_equal(sscanf(s, "deepest stack: %u of 256 KiB", &deepest), 1);
    assert_in_range(deepest, 100, 160);
    assert_null(strstr(told(run_quietly, t_workers(state)), "debug:"));
}

static const struct CMUnitTest tests[] = {
    T_EACH(locks_taken_in_a_circle_are_told_once),
    T_EACH(tasks_that_wait_for_each_other_are_told),
    T_EACH(an_owner_that_joins_who_waits_for_it_is_told),
    T_EACH(right_programs_are_not_blamed),
    T_EACH(the_environment_asks_for_a_report_at_close),
};
T_MAIN(tests)
