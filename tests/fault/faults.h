/* SPDX-License-Identifier: MIT */
/* Whole scenarios in which the n-th system call or allocation fails, for each
 * n: it ends well or with an error, nobody hangs, nothing is leaked, and the
 * next runtime works. Needs a build with WEFT_FAULTS, is skipped elsewhere. */
#ifndef TESTS_FAULT_FAULTS_H
#define TESTS_FAULT_FAULTS_H

#include "support/cases.h"

#include <errno.h>
#include <signal.h>

#ifdef W_FAULTS

#include "base/fault.h"

#define FAULT_SECONDS 30 /* longer is a hang */

static char fault_plan_text[160];

static void fault_hangs(int sig)
{
    ssize_t rc = write(2, fault_plan_text, strlen(fault_plan_text));

    (void)sig;
    (void)rc;
    abort();
}

struct scenario {
    const char *name;
    weft_fn *fn; /* 0 or an error */
    struct weft_options opts;
};

static void fault_ignore(const struct weft_error *e, void *arg)
{
    (void)e;
    (void)arg;
}

static long fault_run(const struct scenario *s)
{
    struct weft_options o = s->opts;
    long rc;

    o.slow_task = -1;
    o.on_unhandled = fault_ignore;
    (void)alarm(FAULT_SECONDS);
    rc = weft_run_with(&o, s->fn, NULL);
    (void)alarm(0);
    return rc;
}

struct ground {
    long held;
    int fds, threads;
};

static struct ground fault_ground(void)
{
    return (struct ground){w_fault_held(), t_fds(), t_threads()};
}

/* Threads that have ended may be counted for a moment longer. */
static bool fault_back_to(struct ground before)
{
    for (int i = 0; i < 1000; i++) {
        struct ground g = fault_ground();

        if (g.held == before.held && g.fds == before.fds &&
            g.threads == before.threads)
            return true;
        usleep(1000);
    }
    return false;
}

/* False: no call was left to fail. */
static bool fault_try(const struct scenario *s, struct ground before,
                      struct w_fault_plan plan)
{
    struct w_fault_told r;
    struct ground g;
    long rc;

    snprintf(fault_plan_text, sizeof fault_plan_text,
             "%s hangs: call %ld%s, variant %u\n", s->name, plan.nth,
             plan.lasting ? " and all after it" : "", plan.variant);
    w_fault_plan(&plan);
    rc = fault_run(s);
    r = w_fault_told();
    w_fault_plan(NULL);
    if (r.failed && getenv("WEFT_FAULTS_TOLD"))
        fprintf(stderr, "%s %ld: %s gave %d: %ld\n", s->name, plan.nth, r.what,
                r.error, rc);
    if (rc != 0 && !(rc < 0 && rc >= -4095))
        fail_msg("%s, call %ld, %s gave %d: result %ld", s->name, plan.nth,
                 r.what, r.error, rc);
    if (!r.failed && rc != 0)
        fail_msg("%s failed without a fault: %ld", s->name, rc);
    if (!fault_back_to(before)) {
        g = fault_ground();
        fail_msg("%s, call %ld%s, %s gave %d, result %ld: held %ld, fds %d, "
                 "threads %d too many",
                 s->name, plan.nth, plan.lasting ? " and on" : "", r.what,
                 r.error, rc, g.held - before.held, g.fds - before.fds,
                 g.threads - before.threads);
    }
    t_verdict();
    return r.failed > 0;
}

/* Each n up to `dense`, then one in a tenth. */
static void fault_all(const struct scenario *s, unsigned variants, long dense)
{
    struct ground before;
    long tried = 0, deepest = 0;

    dense = t_scale(dense);
    signal(SIGALRM, fault_hangs);
    assert_int_equal(fault_run(s), 0); /* what lives as long as the process */
    before = fault_ground();
    for (unsigned v = 0; v < 2 * variants; v++) {
        struct w_fault_plan p = {1, v / 2, v % 2};

        while (fault_try(s, before, p)) {
            tried++;
            if (p.nth > deepest)
                deepest = p.nth;
            p.nth += p.nth < dense ? 1 : 1 + p.nth / 10;
            if (p.lasting)
                p.nth += p.nth / 8;
        }
    }
    assert_int_equal(fault_run(s), 0);
    assert_true(fault_back_to(before));
    printf("%s: %ld faults, the last at call %ld\n", s->name, tried, deepest);
}

#define FAULT_MAIN(tests) T_MAIN(tests)

#else

#define FAULT_MAIN(tests)                                                      \
    int main(void)                                                             \
    {                                                                          \
        return 77;                                                             \
    }

#endif

#endif
