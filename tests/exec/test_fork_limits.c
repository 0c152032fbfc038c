/* SPDX-License-Identifier: MIT */
/* Fork and join at their limits: the depth, the room for children, misuse. */
#include "exec/threads.h"

#include <signal.h>
#include <sys/wait.h>

WEFT_TASK(long, deep, long, n)
{
    WEFT_CHILD(deep) a;
    long r;

    if (n == 0)
        return 0;
    WEFT_FORK(deep, &a, 0);
    r = WEFT_CALL(deep, n - 1); /* no tail call: a is open */
    return WEFT_JOIN(deep, &a) + r + 1;
}

static long run_deep(void *arg)
{
    long n = *(long *)arg, r = -1;

    t_equal(WEFT_RUN(deep, &r, n), 0);
    t_equal(r, n);
    return 0;
}

static void executor_stack_bounds_the_depth(void **state)
{
    long n = 50000;

    assert_int_equal(
        t_compute_with(t_workers(state), (size_t)256 << 20, run_deep, &n), 0);
}

static int run_too_deep(void *arg)
{
    struct weft_options o = t_options(1);
    long n = 1000000000;

    (void)arg;
    (void)signal(SIGSEGV, SIG_DFL); /* cmocka has its own */
    o.executor_threads = 2;
    o.executor_stack = (size_t)1 << 20;
    return (int)weft_run_with(&o, run_deep, &n);
}

static void the_end_of_a_threads_stack_is_told(void **state)
{
    struct t_child c;

    (void)state;
    if (T_SANITIZED)
        skip(); /* they say so themselves, or do not */
    t_fork(&c, run_too_deep, NULL);
    assert_true(WIFSIGNALED(c.status));
    assert_int_equal(WTERMSIG(c.status), SIGSEGV);
    assert_non_null(strstr(c.output, "stack overflow on a thread of "
                                     "weft-executor"));
    assert_non_null(strstr(c.output, "executor_stack"));
}

static long add_one(void *arg)
{
    (*(long *)arg)++;
    return 1;
}

/* One frame, so its thread's stack has room enough. */
static long fork_for_ever(void *arg)
{
    static weft_job jobs[1000];

    for (size_t i = 0; i < SIZE_MAX; i++)
        weft_fork(&jobs[i % 1000], add_one, arg);
    return 0;
}

static long run_for_ever(void *arg)
{
    return weft_compute(fork_for_ever, arg);
}

static int run_too_many(void *arg)
{
    struct weft_options o = t_options(1);
    long count = 0;

    (void)arg;
    (void)signal(SIGSEGV, SIG_DFL);
    o.executor_threads = 1;
    o.executor_stack = (size_t)1 << 20;
    return (int)weft_run_with(&o, run_for_ever, &count);
}

static void the_end_of_the_room_for_children_is_told(void **state)
{
    struct t_child c;

    (void)state;
    if (T_SANITIZED)
        skip();
    t_fork(&c, run_too_many, NULL);
    assert_true(WIFSIGNALED(c.status));
    assert_int_equal(WTERMSIG(c.status), SIGSEGV);
    assert_non_null(strstr(c.output, "forked children"));
    assert_non_null(strstr(c.output, "executor_stack"));
}

static long forgets(void *arg)
{
    weft_job *j = arg;

    weft_fork(&j[0], add_one, NULL);
    weft_fork(&j[1], add_one, NULL);
    return 0;
}

static long oldest_first(void *arg)
{
    static long counts[2];
    weft_job *j = arg;

    weft_fork(&j[0], add_one, &counts[0]);
    weft_fork(&j[1], add_one, &counts[1]);
    return weft_join(&j[0]) + weft_join(&j[1]);
}

static long misuse(void *arg)
{
    static weft_job jobs[2];

    return weft_compute(*(int *)arg ? forgets : oldest_first, jobs);
}

static int run_misuse(void *arg)
{
    struct weft_options o = t_options(1);

    o.executor_threads = 1;
    return (int)weft_run_with(&o, misuse, arg);
}

static void misuse_is_told(void **state)
{
    static const char *const told[] = {"newest first",
                                       "before it joined its children"};

    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct t_child c;

        t_fork(&c, run_misuse, &kind);
        assert_true(WIFSIGNALED(c.status));
        assert_int_equal(WTERMSIG(c.status), SIGABRT);
        assert_non_null(strstr(c.output, told[kind]));
    }
}

static const struct CMUnitTest tests[] = {
    T_THREADS(executor_stack_bounds_the_depth),
    cmocka_unit_test(the_end_of_a_threads_stack_is_told),
    cmocka_unit_test(the_end_of_the_room_for_children_is_told),
    cmocka_unit_test(misuse_is_told),
};

T_MAIN(tests)
