/* SPDX-License-Identifier: MIT */
/* A frame that is larger than what is left of a stack and its guard together
 * would step over the guard into the next stack. Code that is compiled with
 * -fstack-clash-protection, as this here is, ends in the guard. */
#include "support/cases.h"

#include <signal.h>
#include <sys/wait.h>

#define STACK (32 * 1024)
#define FRAME (60 * 1024) /* but less than two stacks */

static __attribute__((noinline)) long steps_over(void *arg)
{
    volatile char here[FRAME];

    (void)arg;
    here[0] = 1;
    return here[0];
}

static long waits(void *arg)
{
    (void)arg;
    return weft_sleep(10 * WEFT_SEC);
}

/* Stacks lie above each other: behind the guard of the last one that was taken
 * there is another task's. */
static long crowd(void *arg)
{
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        for (int i = 0; i < 8; i++)
            (void)!weft_spawn(&g, waits, NULL);
        (void)!weft_sleep(10 * WEFT_MS);
        (void)!weft_spawn(&g, steps_over, NULL);
        (void)!weft_sleep(WEFT_SEC);
        weft_group_cancel(&g);
    }
    return 0;
}

static int run(void *arg)
{
    struct weft_options o = t_options(*(unsigned *)arg);

    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    o.stack_size = STACK;
    return (int)weft_run_with(&o, crowd, NULL);
}

static void a_large_frame_ends_in_the_guard(void **state)
{
    unsigned n = t_workers(state);
    static struct t_child c;

#if !defined(W_PROBED_FRAMES)
    skip();
#endif
    t_fork(&c, run, &n);
    if (!WIFSIGNALED(c.status) ||
        (WTERMSIG(c.status) != SIGSEGV && WTERMSIG(c.status) != SIGBUS))
        fail_msg("status %x: %s", (unsigned)c.status, c.output);
    if (!strstr(c.output, "stack overflow in task") ||
        !strstr(c.output, "steps_over"))
        fail_msg("%s", c.output);
}

static const struct CMUnitTest tests[] = {
    T_EACH(a_large_frame_ends_in_the_guard),
};

T_MAIN(tests)
