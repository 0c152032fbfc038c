/* SPDX-License-Identifier: MIT */
/* Stack overflow, and faults that are something else: case 55. Each in a child
 * process whose standard error is read. */
#include "support/cases.h"

#include <signal.h>
#include <sys/wait.h>

#define STACK ((size_t)128 * 1024)

/* ---- overflow ----------------------------------------------------------- */

static __attribute__((noinline)) long descend(volatile char *above, long depth)
{
    volatile char here[512];

    here[0] = above[0];
    here[sizeof here - 1] = (char)depth;
    if (depth == 0)
        return here[0];
    return descend(here, depth - 1) + here[sizeof here - 1];
}

static long too_deep(void *arg)
{
    volatile char top = 0;

    (void)arg;
    return descend(&top, 1000000000);
}

static long named_too_deep(void *arg)
{
    if (weft_task_set_name("plunger") < 0)
        return 1;
    (void)!weft_sleep(WEFT_MS); /* its stack is its own from here */
    return too_deep(arg);
}

static long spawn_deep(void *arg)
{
    struct weft_task_options own = {.name = "diver", .stack_size = STACK};
    weft_group g;
    weft_task *t;

    weft_with_group(&g) {
        if (*(int *)arg == 0)
            (void)!weft_spawn(&g, too_deep, NULL);
        else if (*(int *)arg == 1)
            (void)!weft_spawn(&g, named_too_deep, NULL);
        else
            (void)!weft_spawn_with(&g, too_deep, NULL, &own, &t);
    }
    return 0;
}

struct plunge {
    unsigned workers;
    int kind;
};

/* A sanitizer's own handler would answer for the default action. */
static int overflow(void *arg)
{
    struct plunge *p = arg;
    struct weft_options o = t_options(p->workers);

    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    o.stack_size = STACK;
    return (int)weft_run_with(&o, spawn_deep, &p->kind);
}

static bool killed_by_fault(int status)
{
    return WIFSIGNALED(status) &&
           (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS);
}

static void an_overflow_names_task_site_and_size_and_is_fatal(void **state)
{
    static const char *const names[] = {"too_deep", "plunger", "diver"};
    struct plunge p = {t_workers(state), 0};
    static struct t_child c;

#ifdef T_TSAN
    skip(); /* its runtime defers what a handler does to handlers */
#endif
    for (p.kind = 0; p.kind < 3; p.kind++) {
        char *size;

        t_fork(&c, overflow, &p);
        if (!killed_by_fault(c.status))
            fail_msg("kind %d: status %x: %s", p.kind, (unsigned)c.status,
                     c.output);
        if (!strstr(c.output, "stack overflow in task") ||
            !strstr(c.output, names[p.kind]) ||
            !strstr(c.output, "test_fault.c:"))
            fail_msg("kind %d: %s", p.kind, c.output);
        size = strstr(c.output, "stack has ");
        assert_non_null(size);
        /* Less a few lines of the stack that the loop beneath uses. */
        assert_in_range(strtoul(size + 10, NULL, 10), STACK - 4096, 2 * STACK);
    }
}

static long almost_too_deep(void *arg)
{
    volatile char top = 0;

    (void)arg;
    return descend(&top, T_SANITIZED ? 50 : 150) > 0 ? 0 : 1;
}

static int use_much(void *arg)
{
    struct weft_options o = t_options(*(unsigned *)arg);

    o.stack_size = STACK;
    return (int)weft_run_with(&o, almost_too_deep, NULL);
}

static void the_stack_that_was_asked_for_can_be_used(void **state)
{
    unsigned n = t_workers(state);
    static struct t_child c;

    t_fork(&c, use_much, &n);
    if (c.status != 0)
        fail_msg("status %x: %s", (unsigned)c.status, c.output);
}

/* ---- other faults ------------------------------------------------------- */

#if !defined(T_ASAN) /* UBSan would see the write first */
static long writes_nowhere(void *arg)
{
    char *volatile nowhere = (char *)(uintptr_t)64;

    (void)arg;
    *nowhere = 1; /* NOLINT: on purpose */
    return 0;
}

static int fault(void *arg)
{
    signal(SIGSEGV, SIG_DFL);
    return (int)weft_run_with(
        &(struct weft_options){.workers = *(unsigned *)arg}, writes_nowhere,
        NULL);
}

static void another_fault_kills_as_always(void **state)
{
    unsigned n = t_workers(state);
    static struct t_child c;

    t_fork(&c, fault, &n);
    assert_true(WIFSIGNALED(c.status));
    assert_int_equal(WTERMSIG(c.status), SIGSEGV);
    assert_null(strstr(c.output, "stack overflow"));
}

static void programs_handler(int sig)
{
    static const char text[] = "the program's handler\n";

    (void)sig;
    (void)!write(2, text, sizeof text - 1);
    _exit(33);
}

static int fault_with_handler(void *arg)
{
    struct sigaction sa = {.sa_flags = SA_ONSTACK};

    sa.sa_handler = programs_handler;
    sigaction(SIGSEGV, &sa, NULL);
    return (int)weft_run_with(
        &(struct weft_options){.workers = *(unsigned *)arg}, writes_nowhere,
        NULL);
}

static void a_handler_of_the_program_still_gets_its_faults(void **state)
{
    unsigned n = t_workers(state);
    static struct t_child c;

    t_fork(&c, fault_with_handler, &n);
    assert_true(WIFEXITED(c.status));
    assert_int_equal(WEXITSTATUS(c.status), 33);
    assert_non_null(strstr(c.output, "the program's handler"));
}
#endif

/* ---- other signals ------------------------------------------------------ */

static long nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void signals_are_as_they_were_after_a_run(void **state)
{
    static const int sigs[] = {SIGSEGV, SIGBUS,  SIGURG,  SIGINT,  SIGTERM,
                               SIGHUP,  SIGCHLD, SIGUSR1, SIGALRM, SIGPIPE};
    struct sigaction before[T_LEN(sigs)], after;
    sigset_t mask_before, mask_after;

    for (size_t i = 0; i < T_LEN(sigs); i++)
        sigaction(sigs[i], NULL, &before[i]);
    sigprocmask(SIG_SETMASK, NULL, &mask_before);
    assert_int_equal(t_run(t_workers(state), nothing, NULL), 0);
    for (size_t i = 0; i < T_LEN(sigs); i++) {
        sigaction(sigs[i], NULL, &after);
        assert_ptr_equal(before[i].sa_handler, after.sa_handler);
    }
    sigprocmask(SIG_SETMASK, NULL, &mask_after);
    for (int s = 1; s < 64; s++)
        assert_int_equal(sigismember(&mask_before, s),
                         sigismember(&mask_after, s));
}

static const struct CMUnitTest tests[] = {
    T_EACH(an_overflow_names_task_site_and_size_and_is_fatal),
    T_EACH(the_stack_that_was_asked_for_can_be_used),
#if !defined(T_ASAN)
    T_EACH(another_fault_kills_as_always),
    T_EACH(a_handler_of_the_program_still_gets_its_faults),
#endif
    T_EACH(signals_are_as_they_were_after_a_run),
};

T_MAIN(tests)
