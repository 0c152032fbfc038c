/* SPDX-License-Identifier: MIT */
/* What weft_run does about SIGINT: case 58. All of it in child processes. */
#include "support/cases.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static void (*action_of(int sig))(int)
{
    struct sigaction sa;

    return sigaction(sig, NULL, &sa) == 0 ? sa.sa_handler : SIG_ERR;
}

static atomic_int caught;

static void on_interrupt(int sig)
{
    (void)sig;
    atomic_fetch_add(&caught, 1);
}

/* The thread that blocks in weft_run takes the signal. */
static void prepare(void (*action)(int))
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    signal(SIGINT, action);
    atomic_store(&caught, 0);
}

/* In a child process, which has no test to fail. */
static void must_at(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "failed: %s\n", what);
        _exit(9);
    }
}
#define must(cond) must_at(cond, #cond)

static void send_interrupt(void)
{
    must(kill(getpid(), SIGINT) == 0);
}

struct run {
    unsigned workers;
    weft_fn *fn;
    void (*action)(int);
    unsigned signals;
};

static long sleeps_long(void *arg)
{
    (void)arg;
    return weft_sleep(3600 * WEFT_SEC);
}

static long is_interrupted(void *arg)
{
    weft_group g;
    long rc;

    (void)arg;
    weft_with_group(&g) {
        must(weft_spawn(&g, sleeps_long, NULL) == 0);
        send_interrupt();
        rc = weft_sleep(20 * WEFT_SEC);
        must(rc == -ECANCELED);
        must(weft_yield() == -ECANCELED);
        must(weft_cancel_reason() &&
                strcmp(weft_cancel_reason(), "interrupted") == 0);
        weft_with_shield()
            must(weft_sleep(5 * WEFT_MS) == 0);
    }
    must(weft_group_wait(&g) == -ECANCELED);
    return 42;
}

static long computes(void *arg)
{
    int64_t end = weft_now() + 20 * WEFT_SEC;

    (void)arg;
    send_interrupt();
    while (weft_check() == 0 && weft_now() < end)
        ;
    return weft_check() == -ECANCELED ? 42 : 1;
}

/* The second while the first is still being cleaned up after. */
static long is_interrupted_twice(void *arg)
{
    (void)arg;
    send_interrupt();
    must(weft_sleep(20 * WEFT_SEC) == -ECANCELED);
    send_interrupt();
    weft_with_shield()
        (void)!weft_sleep(20 * WEFT_SEC);
    return 1;
}

static void *sends_late(void *arg)
{
    (void)arg;
    usleep(200000);
    kill(getpid(), SIGINT);
    return NULL;
}

/* By then every thread of the runtime sleeps. */
static long is_interrupted_at_rest(void *arg)
{
    pthread_t thread;
    long rc;

    (void)arg;
    must(pthread_create(&thread, NULL, sends_late, NULL) == 0);
    rc = weft_sleep(20 * WEFT_SEC);
    pthread_join(thread, NULL);
    return rc == -ECANCELED ? 42 : 1;
}

/* Two that come before a handler could run would count as one. */
static void *sends_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 500; i++) {
        usleep(20000);
        kill(getpid(), SIGINT);
    }
    return NULL;
}

static long never_waits(void *arg)
{
    pthread_t thread;

    (void)arg;
    pthread_create(&thread, NULL, sends_some, NULL);
    t_spin(20 * WEFT_SEC);
    return 1;
}

static long takes_it_over(void *arg)
{
    weft_signals *s;
    int one = SIGINT;

    (void)arg;
    must(weft_signals_open(&s, &one, 1) == 0);
    for (int i = 0; i < 3; i++) {
        send_interrupt();
        must(weft_signals_next(s) == SIGINT);
        must(weft_check() == 0);
    }
    weft_signals_close(s);
    /* Given back. */
    send_interrupt();
    must(weft_sleep(20 * WEFT_SEC) == -ECANCELED);
    return 42;
}

static long installs_its_own(void *arg)
{
    (void)arg;
    signal(SIGINT, on_interrupt);
    for (int i = 1; i <= 3; i++) {
        send_interrupt();
        must(t_wait_for(&caught, i));
    }
    must(weft_check() == 0);
    return action_of(SIGINT) == on_interrupt ? 42 : 1;
}

static long goes_on(void *arg)
{
    (void)arg;
    for (int i = 1; i <= 3; i++) {
        send_interrupt();
        must(weft_sleep(5 * WEFT_MS) == 0);
    }
    return 42;
}

static long asks_for_the_default(void *arg)
{
    (void)arg;
    return action_of(SIGINT) == SIG_DFL ? 42 : 1;
}

/* The process's result is the task's. */
static int run(void *arg)
{
    const struct run *r = arg;
    struct weft_options o = t_options(r->workers);
    long rc;

    prepare(r->action);
    o.no_sigint = r->signals;
    rc = weft_run_with(&o, r->fn, NULL);
    if (r->fn != installs_its_own && action_of(SIGINT) != r->action)
        return 3;
    return (int)rc;
}

static void run_in_child(struct run r, int code, int sig)
{
    static struct t_child c;

    t_fork(&c, run, &r);
    if (sig ? !WIFSIGNALED(c.status) || WTERMSIG(c.status) != sig
            : !WIFEXITED(c.status) || WEXITSTATUS(c.status) != code)
        fail_msg("status %x: %s", (unsigned)c.status, c.output);
}

static void the_first_interrupt_cancels_the_main_task(void **state)
{
    unsigned n = t_workers(state);

    run_in_child((struct run){n, is_interrupted, SIG_DFL, 0}, 42, 0);
    run_in_child((struct run){n, is_interrupted_at_rest, SIG_DFL, 0}, 42, 0);
    run_in_child((struct run){n, computes, SIG_DFL, 0}, 42, 0);
}

static void the_second_interrupt_ends_the_process(void **state)
{
    unsigned n = t_workers(state);

    run_in_child((struct run){n, is_interrupted_twice, SIG_DFL, 0}, 0, SIGINT);
    run_in_child((struct run){n, never_waits, SIG_DFL, 0}, 0, SIGINT);
}

static void a_program_may_take_the_interrupt_over(void **state)
{
    unsigned n = t_workers(state);

    run_in_child((struct run){n, takes_it_over, SIG_DFL, 0}, 42, 0);
    run_in_child((struct run){n, installs_its_own, SIG_DFL, 0}, 42, 0);
    run_in_child((struct run){n, installs_its_own, on_interrupt, 0}, 42, 0);
    run_in_child((struct run){n, goes_on, SIG_IGN, 0}, 42, 0);
    run_in_child((struct run){n, goes_on, on_interrupt, 0}, 42, 0);
    run_in_child((struct run){n, asks_for_the_default, SIG_DFL, 1}, 42, 0);
    run_in_child((struct run){n, is_interrupted, SIG_DFL, 1}, 0, SIGINT);
}

static void *runs(void *arg)
{
    struct weft_options o = t_options(1);

    return weft_run_with(&o, arg, NULL) == -ECANCELED ? NULL : arg;
}

static long waits_for_its_end(void *arg)
{
    atomic_fetch_add(&caught, 1);
    (void)arg;
    return weft_sleep(20 * WEFT_SEC);
}

static int run_three(void *arg)
{
    pthread_t thread[3];
    void *bad = NULL;
    int wrong = 0;

    (void)arg;
    prepare(SIG_DFL);
    for (int i = 0; i < 3; i++)
        if (pthread_create(&thread[i], NULL, runs, waits_for_its_end))
            return 2;
    while (atomic_load(&caught) < 3)
        usleep(100);
    kill(getpid(), SIGINT);
    for (int i = 0; i < 3; i++) {
        pthread_join(thread[i], &bad);
        wrong += bad != NULL;
    }
    return wrong ? 3 : action_of(SIGINT) == SIG_DFL ? 0 : 4;
}

static void all_runs_of_the_process_are_interrupted(void **state)
{
    static struct t_child c;

    (void)state;
    t_fork(&c, run_three, NULL);
    if (c.status)
        fail_msg("status %x: %s", (unsigned)c.status, c.output);
}

static const struct CMUnitTest tests[] = {
    T_EACH(the_first_interrupt_cancels_the_main_task),
    T_EACH(the_second_interrupt_ends_the_process),
    T_EACH(a_program_may_take_the_interrupt_over),
    cmocka_unit_test(all_runs_of_the_process_are_interrupted),
};

T_MAIN(tests)
