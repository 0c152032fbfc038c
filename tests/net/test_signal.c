/* SPDX-License-Identifier: MIT */
/* Signals as something to wait for. */
#include "support/cases.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

static const int usr[] = {SIGUSR1, SIGUSR2};

static void (*action_of(int sig))(int)
{
    struct sigaction sa;

    return sigaction(sig, NULL, &sa) == 0 ? sa.sa_handler : SIG_ERR;
}

static void send(int sig)
{
    t_equal(kill(getpid(), sig), 0);
}

/* A signal needs a moment to reach a thread. When this watcher, which was
 * opened last, has been told, so have the others. */
static void send_and_settle(weft_signals *last, int sig)
{
    send(sig);
    t_equal(weft_signals_next(last), sig);
    t_equal(weft_sleep(WEFT_MS), 0);
}

/* ---- waiting ------------------------------------------------------------ */

static long waits(void *arg)
{
    long sig = weft_signal_wait(usr, 2);

    atomic_fetch_add((atomic_int *)arg, 1);
    return sig;
}

static long told_one_by_one(void *arg)
{
    weft_task *t[3];
    atomic_int n = 0;
    weft_group g;

    (void)arg;
    for (int i = 0; i < 20; i++)
        weft_with_group(&g) {
            t_equal(weft_spawn_task(&g, waits, &n, &t[0]), 0);
            t_check(t_wait_waiting("signal", 1));
            send(usr[i % 2]);
            t_equal(weft_await(t[0]), usr[i % 2]);
        }
    /* Each of several is told. */
    weft_with_group(&g) {
        for (int i = 0; i < 3; i++)
            t_equal(weft_spawn_task(&g, waits, &n, &t[i]), 0);
        t_check(t_wait_waiting("signal", 3));
        send(SIGUSR2);
        for (int i = 0; i < 3; i++)
            t_equal(weft_await(t[i]), SIGUSR2);
    }
    return weft_group_wait(&g);
}

static void every_waiter_is_told(void **state)
{
    int fds = t_fds();

    assert_int_equal(t_run(t_workers(state), told_one_by_one, NULL), 0);
    assert_true(action_of(SIGUSR1) == SIG_DFL);
    assert_true(action_of(SIGUSR2) == SIG_DFL);
    assert_int_equal(t_fds(), fds);
}

static long cancelled(void *arg)
{
    int one = SIGUSR1;
    weft_signals *s, *last;

    (void)arg;
    t_equal(weft_signals_open(&s, usr, 2), 0);
    t_equal(weft_signals_open(&last, usr, 2), 0);
    weft_with_timeout(2 * WEFT_MS) {
        t_equal(weft_signal_wait(&one, 1), -ETIMEDOUT);
        t_equal(weft_signal_wait(&one, 1), -ETIMEDOUT);
        t_equal(weft_signals_next(s), -ETIMEDOUT);
    }
    send_and_settle(last, SIGUSR1);
    weft_with_timeout(0)
        t_equal(weft_signals_next(s), -ETIMEDOUT); /* though it is there */
    t_equal(weft_signals_next(s), SIGUSR1);
    weft_signals_close(s);
    weft_signals_close(last);
    t_check(action_of(SIGUSR1) == SIG_DFL);
    return weft_check();
}

static void a_cancelled_wait_takes_no_signal(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancelled, NULL), 0);
}

/* ---- watching ----------------------------------------------------------- */

static long watches(void *arg)
{
    weft_signals *a, *b, *last;
    int first, one = SIGUSR1;

    (void)arg;
    t_equal(weft_signals_open(&a, usr, 2), 0);
    t_equal(weft_signals_open(&b, &one, 1), 0);
    t_equal(weft_signals_open(&last, usr, 2), 0);
    /* What comes between two calls is not missed; twice counts once. */
    send_and_settle(last, SIGUSR1);
    send_and_settle(last, SIGUSR1);
    send_and_settle(last, SIGUSR2);
    first = weft_signals_next(a);
    t_check(first == SIGUSR1 || first == SIGUSR2);
    t_equal(weft_signals_next(a), SIGUSR1 + SIGUSR2 - first);
    weft_with_timeout(5 * WEFT_MS)
        t_equal(weft_signals_next(a), -ETIMEDOUT);
    t_equal(weft_signals_next(b), SIGUSR1);
    weft_with_timeout(5 * WEFT_MS)
        t_equal(weft_signals_next(b), -ETIMEDOUT);
    /* The default action stays off until the last is closed. */
    weft_signals_close(last);
    weft_signals_close(a);
    t_check(action_of(SIGUSR2) == SIG_DFL);
    t_check(action_of(SIGUSR1) != SIG_DFL);
    send(SIGUSR1);
    t_equal(weft_signals_next(b), SIGUSR1);
    weft_signals_close(b);
    t_check(action_of(SIGUSR1) == SIG_DFL);
    return 0;
}

static void none_is_missed_between_two_calls(void **state)
{
    assert_int_equal(t_run(t_workers(state), watches, NULL), 0);
}

static long one_storms(void *arg)
{
    weft_signals *s, *last;
    int sig = 0;

    (void)arg;
    t_equal(weft_signals_open(&s, usr, 2), 0);
    t_equal(weft_signals_open(&last, usr, 2), 0);
    send_and_settle(last, SIGUSR2);
    /* One that comes all the time does not hide the other. */
    for (int i = 0; i < 5 && sig != SIGUSR2; i++) {
        send_and_settle(last, SIGUSR1);
        sig = weft_signals_next(s);
    }
    t_equal(sig, SIGUSR2);
    weft_signals_close(s);
    weft_signals_close(last);
    return 0;
}

static void a_frequent_one_does_not_hide_a_rare_one(void **state)
{
    assert_int_equal(t_run(t_workers(state), one_storms, NULL), 0);
}

static long next(void *arg)
{
    return weft_signals_next(arg);
}

static long two_at_once(void *arg)
{
    weft_signals *s;
    weft_task *t;
    weft_group g;

    (void)arg;
    t_equal(weft_signals_open(&s, usr, 2), 0);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, next, s, &t), 0);
        t_check(t_wait_waiting("signal", 1));
        t_equal(weft_signals_next(s), -EBUSY);
        send(SIGUSR1);
        t_equal(weft_await(t), SIGUSR1);
    }
    weft_signals_close(s);
    weft_signals_close(NULL);
    return 0;
}

static void a_second_task_is_refused(void **state)
{
    assert_int_equal(t_run(t_workers(state), two_at_once, NULL), 0);
}

struct call {
    weft_runtime *rt;
    atomic_int *n;
    long result;
};

static void *call(void *arg)
{
    struct call *c = arg;

    c->result = weft_runtime_call(c->rt, waits, c->n);
    return NULL;
}

static long both_wait(void *arg)
{
    t_check(t_wait_waiting("signal", 1));
    (void)arg;
    return 0;
}

static void runtimes_do_not_take_signals_from_each_other(void **state)
{
    atomic_int n = 0;
    struct call c[2] = {{t_open(t_workers(state)), &n, 0}, {t_open(1), &n, 0}};
    pthread_t thread[2];

    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, call, &c[i]), 0);
        assert_int_equal(weft_runtime_call(c[i].rt, both_wait, NULL), 0);
    }
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(c[i].result, SIGUSR1);
        assert_int_equal(weft_runtime_close(c[i].rt), 0);
    }
    t_verdict();
    assert_true(action_of(SIGUSR1) == SIG_DFL);
}

/* ---- the former action -------------------------------------------------- */

static atomic_int caught;

static void on_usr1(int sig)
{
    (void)sig;
    atomic_fetch_add(&caught, 1);
}

static long keeps_away(void *arg)
{
    weft_signals *s;
    int one = SIGUSR1;

    t_equal(weft_signals_open(&s, &one, 1), 0);
    send(SIGUSR1);
    t_equal(weft_signals_next(s), SIGUSR1);
    t_equal(atomic_load(&caught), 0);
    if (arg) /* another action of the program's own stays */
        t_check(signal(SIGUSR1, on_usr1) != SIG_DFL);
    weft_signals_close(s);
    return 0;
}

static void the_former_action_comes_back(void **state)
{
    unsigned n = t_workers(state);

    atomic_store(&caught, 0);
    signal(SIGUSR1, on_usr1);
    assert_int_equal(t_run(n, keeps_away, NULL), 0);
    assert_true(action_of(SIGUSR1) == on_usr1);
    raise(SIGUSR1);
    assert_int_equal(atomic_load(&caught), 1);

    atomic_store(&caught, 0);
    signal(SIGUSR1, SIG_IGN);
    assert_int_equal(t_run(n, keeps_away, NULL), 0);
    assert_true(action_of(SIGUSR1) == SIG_IGN);
    assert_int_equal(t_run(n, keeps_away, &n), 0);
    assert_true(action_of(SIGUSR1) == on_usr1);
    signal(SIGUSR1, SIG_DFL);
}

static long finds_ours(void *arg)
{
    weft_signals *s;
    int one = SIGUSR1;

    t_equal(weft_signals_open(&s, &one, 1), 0);
    t_equal(sigaction(SIGUSR1, NULL, arg), 0);
    weft_signals_close(s);
    return 0;
}

/* A library that saved the action while it was ours puts it back too late. */
static int puts_back_what_was_ours(void *arg)
{
    struct weft_options o = t_options(*(unsigned *)arg);
    struct sigaction ours;

    signal(SIGUSR1, on_usr1);
    if (weft_run_with(&o, finds_ours, &ours) != 0)
        return 2;
    sigaction(SIGUSR1, &ours, NULL);
    raise(SIGUSR1);
    if (atomic_load(&caught) != 1)
        return 3;
    signal(SIGUSR1, SIG_DFL);
    if (weft_run_with(&o, finds_ours, &ours) != 0)
        return 4;
    sigaction(SIGUSR1, &ours, NULL);
    raise(SIGUSR1); /* as if it were the default */
    return 5;
}

static void a_handler_without_watchers_does_what_the_former_did(void **state)
{
    unsigned n = t_workers(state);
    static struct t_child c;

    atomic_store(&caught, 0);
    t_fork(&c, puts_back_what_was_ours, &n);
    if (!WIFSIGNALED(c.status) || WTERMSIG(c.status) != SIGUSR1)
        fail_msg("status %x: %s", (unsigned)c.status, c.output);
}

/* ---- refusals ----------------------------------------------------------- */

static long refused(void *arg)
{
    static const int bad[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL,
                              SIGURG,  SIGTRAP, 0,       -1,     65,     32};
    weft_signals *s;

    (void)arg;
    for (size_t i = 0; i < T_LEN(bad); i++) {
        int set[] = {SIGUSR1, bad[i]};

        t_equal(weft_signal_wait(set, 2), -EINVAL);
        t_equal(weft_signals_open(&s, set, 2), -EINVAL);
    }
    t_equal(weft_signal_wait(usr, 0), -EINVAL);
    t_check(action_of(SIGUSR1) == SIG_DFL);
    return 0;
}

static void faults_and_the_kernels_own_are_refused(void **state)
{
    weft_signals *s;

    assert_int_equal(t_run(t_workers(state), refused, NULL), 0);
    assert_int_equal(weft_signal_wait(usr, 2), -EPERM);
    assert_int_equal(weft_signals_open(&s, usr, 2), -EPERM);
}

/* ---- races -------------------------------------------------------------- */

static atomic_int storm_ends;

static void *storm(void *arg)
{
    sigset_t set;

    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    while (!atomic_load(&storm_ends)) {
        pthread_kill(pthread_self(), SIGUSR1);
        sched_yield();
    }
    return NULL;
}

/* An fd that takes the number of one just closed must not be written to. */
static long comes_and_goes(void *arg)
{
    int one = SIGUSR1;
    uint64_t value;

    for (long i = 0; i < *(long *)arg; i++) {
        weft_signals *s;
        int fd;

        if (!t_equal(weft_signals_open(&s, &one, 1), 0))
            break;
        if (i % 2)
            t_equal(weft_signals_next(s), SIGUSR1);
        weft_signals_close(s);
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (i % 8 == 0)
            t_equal(weft_yield(), 0);
        t_equal(read(fd, &value, sizeof value), -1);
        close(fd);
    }
    return 0;
}

static long storms(void *arg)
{
    pthread_t thread[2];
    weft_group g;

    atomic_store(&storm_ends, 0);
    for (int i = 0; i < 2; i++)
        t_equal(pthread_create(&thread[i], NULL, storm, NULL), 0);
    weft_with_group(&g)
        for (int i = 0; i < 3; i++)
            t_equal(weft_spawn(&g, comes_and_goes, arg), 0);
    atomic_store(&storm_ends, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    return weft_group_wait(&g);
}

static void watchers_come_and_go_in_a_storm(void **state)
{
    long n = t_scale(1000);

    signal(SIGUSR1, SIG_IGN);
    assert_int_equal(t_run(t_workers(state), storms, &n), 0);
    assert_true(action_of(SIGUSR1) == SIG_IGN);
    signal(SIGUSR1, SIG_DFL);
}

/* ---- fork --------------------------------------------------------------- */

static __attribute__((unused)) long forks(void *arg)
{
    int status = -1, one = SIGUSR1;
    weft_signals *s;
    pid_t pid;

    (void)arg;
    t_equal(weft_signals_open(&s, &one, 1), 0);
    pid = fork();
    if (pid == 0) {
        sigset_t none;

        sigemptyset(&none);
        pthread_sigmask(SIG_SETMASK, &none, NULL);
        raise(SIGUSR1);
        _exit(1);
    }
    t_equal(waitpid(pid, &status, 0), pid);
    t_check(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
    send(SIGUSR1);
    t_equal(weft_signals_next(s), SIGUSR1);
    weft_signals_close(s);
    return 0;
}

static void a_forked_child_has_the_former_actions(void **state)
{
#if defined(T_TSAN)
    (void)state;
    skip(); /* it allows no fork among threads */
#else
    assert_int_equal(t_run(t_workers(state), forks, NULL), 0);
#endif
}

static const struct CMUnitTest tests[] = {
    T_REAL_EACH(every_waiter_is_told),
    T_REAL_EACH(a_cancelled_wait_takes_no_signal),
    T_REAL_EACH(none_is_missed_between_two_calls),
    T_REAL_EACH(a_frequent_one_does_not_hide_a_rare_one),
    T_REAL_EACH(a_second_task_is_refused),
    T_REAL_EACH(runtimes_do_not_take_signals_from_each_other),
    T_REAL_EACH(the_former_action_comes_back),
    T_REAL_EACH(a_handler_without_watchers_does_what_the_former_did),
    T_REAL_EACH(faults_and_the_kernels_own_are_refused),
    T_REAL_EACH(watchers_come_and_go_in_a_storm),
    T_REAL_EACH(a_forked_child_has_the_former_actions),
};

T_MAIN(tests)
