/* SPDX-License-Identifier: MIT */
/* Child processes: how they end, what they inherit, pipes; no zombie and no
 * descriptor is left. */
#include "net/pairs.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

typedef char *argv_t[6];

#define SHELL(script)                                                          \
    (argv_t)                                                                   \
    {                                                                          \
        "sh", "-c", script, NULL                                               \
    }

static const struct weft_process_options quiet = {
    .in = WEFT_NULL, .out = WEFT_NULL, .err = WEFT_NULL};

/* A child of this process that is left, zombies too; else 0. */
static pid_t any_child(void)
{
    siginfo_t info = {0};

    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        return 0; /* ECHILD */
    return info.si_pid ? info.si_pid : -1;
}

/* Runs fn as a task; neither a child nor a descriptor may be left. */
static long inside(void *arg)
{
    void (**fn)(void) = arg;
    int before = t_fds();

    t_equal(any_child(), 0);
    weft_with_timeout(20 * WEFT_SEC) /* a failure must not hang */
        (*fn)();
    t_equal(any_child(), 0);
    t_equal(t_fds(), before);
    return 0;
}

#define PROCESS_TEST(name, fn)                                                 \
    static void name(void **state)                                             \
    {                                                                          \
        void (*f)(void) = fn;                                                  \
        assert_int_equal(t_run(t_workers(state), inside, &f), 0);              \
    }

static weft_process *start(char *const *argv,
                           const struct weft_process_options *opts)
{
    weft_process *p = NULL;

    t_equal(weft_process_start(&p, argv, opts), 0);
    return p;
}

/* The child's whole stdout, which must be `text`. */
static void prints(weft_process *p, const char *text)
{
    char buf[512];
    ssize_t n = weft_readn(weft_process_stdout(p), buf, sizeof buf - 1);

    if (!t_check(n >= 0))
        return;
    buf[n] = 0;
    if (!t_check(strcmp(buf, text) == 0))
        fprintf(stderr, "got \"%s\", not \"%s\"\n", buf, text);
}

/* ---- ends --------------------------------------------------------------- */

static void exits(void)
{
    static char *const codes[] = {"exit 0", "exit 7", "exit 255",
                                  "sleep 0.02; exit 3"};
    static const int wanted[] = {0, 7, 255, 3};

    for (size_t i = 0; i < T_LEN(codes); i++) {
        weft_process *p = start(SHELL(codes[i]), &quiet);

        if (!p)
            return;
        t_check(weft_process_pid(p) > 0);
        t_check(!weft_process_stdin(p) && !weft_process_stdout(p) &&
                !weft_process_stderr(p));
        for (int k = 0; k < 2; k++) /* it can be asked again */
            t_equal(weft_process_wait(p), wanted[i]);
        t_equal(weft_process_trywait(p), wanted[i]);
        t_equal(weft_process_kill(p, SIGTERM), -ESRCH);
        weft_process_close(p);
    }
    weft_process_close(NULL);
}
PROCESS_TEST(the_exit_code_is_the_result, exits)

static void deaths(void)
{
    static const int signals[] = {SIGKILL, SIGTERM, SIGHUP, SIGUSR1, SIGPIPE};

    for (size_t i = 0; i < T_LEN(signals); i++) {
        weft_process *p = start((argv_t){"sleep", "60"}, &quiet);

        if (!p)
            return;
        t_equal(weft_process_trywait(p), -EAGAIN);
        t_equal(weft_process_kill(p, 0), 0);
        t_equal(weft_process_kill(p, 12345), -EINVAL);
        t_equal(weft_process_kill(p, signals[i]), 0);
        t_equal(weft_process_wait(p), 256 + signals[i]);
        weft_process_close(p);
    }
}
PROCESS_TEST(a_death_by_signal_is_told, deaths)

static void failures(void)
{
    struct weft_process_options o = quiet;
    weft_process *p;

    t_equal(weft_process_start(&p, (argv_t){"no-such-program"}, &o), -ENOENT);
    t_equal(weft_process_start(&p, (argv_t){"/"}, &o), -EACCES);
    t_equal(weft_process_start(&p, (argv_t){NULL}, &o), -EINVAL);
    o.cwd = "/no/such/folder";
    t_equal(weft_process_start(&p, (argv_t){"true"}, &o), -ENOENT);
    o.cwd = NULL;
    o.out = WEFT_STDOUT;
    t_equal(weft_process_start(&p, (argv_t){"true"}, &o), -EINVAL);
    o.out = -9;
    t_equal(weft_process_start(&p, (argv_t){"true"}, &o), -EINVAL);
    o.out = 1 << 20;
    t_equal(weft_process_start(&p, (argv_t){"true"}, &o), -EBADF);
    o.in = o.out = o.err = WEFT_PIPE;
    t_equal(weft_process_start(&p, (argv_t){"no-such-program"}, &o), -ENOENT);
    weft_with_timeout(0)
        t_equal(weft_process_start(&p, (argv_t){"true"}, &o), -ETIMEDOUT);
}
PROCESS_TEST(what_cannot_start_leaves_nothing, failures)

/* ---- what it inherits --------------------------------------------------- */

static void surroundings(void)
{
    char *env[] = {"WEFT_A=b c", "PATH=/bin:/usr/bin", NULL};
    struct weft_process_options o = {
        .in = WEFT_NULL, .out = WEFT_PIPE, .cwd = "/", .env = env};
    weft_process *p = start(SHELL("pwd; echo \"$WEFT_A\"; echo $HOME"), &o);

    if (p) {
        prints(p, "/\nb c\n\n");
        t_equal(weft_process_wait(p), 0);
        weft_process_close(p);
    }
    setenv("WEFT_T", "ours", 1);
    o = (struct weft_process_options){.out = WEFT_PIPE};
    p = start((argv_t){"printenv", "WEFT_T"}, &o);
    if (p) {
        prints(p, "ours\n");
        weft_process_close(p);
    }
    unsetenv("WEFT_T");
}
PROCESS_TEST(folder_and_environment_are_given, surroundings)

static void outputs(void)
{
    struct weft_process_options o = {
        .in = WEFT_NULL, .out = WEFT_PIPE, .err = WEFT_STDOUT};
    weft_process *p = start(SHELL("echo one; echo two >&2; echo three"), &o);
    char script[] = "echo out; echo err >&2", buf[32];
    int fd[2];

    if (p) {
        prints(p, "one\ntwo\nthree\n");
        weft_process_close(p);
    }
    o.err = WEFT_PIPE;
    p = start(SHELL(script), &o);
    if (p) {
        prints(p, "out\n");
        t_equal(weft_readn(weft_process_stderr(p), buf, sizeof buf), 4);
        t_check(memcmp(buf, "err\n", 4) == 0);
        weft_process_close(p);
    }
    /* Descriptors of ours, which stay ours. */
    t_equal(pipe2(fd, O_CLOEXEC), 0);
    o.out = o.err = fd[1];
    p = start(SHELL(script), &o);
    if (p) {
        t_equal(weft_process_wait(p), 0);
        close(fd[1]);
        t_equal(read(fd[0], buf, sizeof buf), 8);
        t_check(memcmp(buf, "out\nerr\n", 8) == 0);
        t_equal(read(fd[0], buf, sizeof buf), 0);
        close(fd[0]);
        weft_process_close(p);
    }
}
PROCESS_TEST(outputs_go_where_they_are_told, outputs)

static void numbers(void)
{
    int fd = open("/dev/null", O_RDONLY);
    struct weft_process_options o = {
        .in = WEFT_NULL, .out = WEFT_PIPE, .err = WEFT_NULL};
    char script[64];

    t_check(fd > 2);
    snprintf(script, sizeof script,
             "if [ -e /proc/self/fd/%d ]; then echo y; else echo n; fi", fd);
    for (int keep = 0; keep < 2; keep++) {
        weft_process *p;

        o.keep_fds = keep;
        p = start(SHELL(script), &o);
        if (!p)
            break;
        prints(p, keep ? "y\n" : "n\n");
        weft_process_close(p);
    }
    close(fd);
}
PROCESS_TEST(other_descriptors_are_closed_unless_kept, numbers)

static void signals_of(void)
{
    struct weft_process_options o = {.in = WEFT_NULL, .out = WEFT_PIPE};
    weft_process *p = start(
        (argv_t){"grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"}, &o);
    unsigned long long blocked = 1, ignored = 1;
    char buf[128] = "";

    if (!p)
        return;
    t_check(weft_readn(weft_process_stdout(p), buf, sizeof buf - 1) > 0);
    t_equal(sscanf(buf, "SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2);
    /* t_setup ignores SIGPIPE, a worker blocks most. 32 and 33 are the C
     * library's own, which it leaves ignored. */
    t_equal(blocked, 0);
    t_equal(ignored & ~(3ull << 31), 0);
    weft_process_close(p);
}
PROCESS_TEST(no_signal_is_blocked_or_ignored, signals_of)

static long shows_cores(void *mine)
{
    struct weft_process_options o = {.in = WEFT_NULL, .out = WEFT_PIPE};
    weft_process *p =
        start((argv_t){"grep", "Cpus_allowed:", "/proc/self/status"}, &o);

    if (p)
        prints(p, mine);
    weft_process_close(p);
    return 0;
}

static void it_is_not_bound_to_a_core(void **state)
{
    struct weft_options o = t_options(t_workers(state));
    FILE *f = fopen("/proc/self/status", "r");
    char mine[512];

    assert_non_null(f);
    do
        assert_non_null(fgets(mine, sizeof mine, f));
    while (strncmp(mine, "Cpus_allowed:", 13) != 0);
    fclose(f);
    o.pin = WEFT_PIN_ON;
    assert_int_equal(t_run_with(o, shows_cores, mine), 0);
}

static void groups(void)
{
    struct weft_process_options o = {
        .in = WEFT_NULL, .out = WEFT_PIPE, .err = WEFT_NULL, .group = 1};
    weft_process *p = start(SHELL("sleep 60 & echo up; wait"), &o);
    char buf[8];

    if (!p)
        return;
    t_equal(getpgid(weft_process_pid(p)), weft_process_pid(p));
    t_equal(weft_readline(weft_process_stdout(p), buf, sizeof buf), 3);
    weft_process_kill(p, SIGTERM);
    t_equal(weft_process_wait(p), 256 + SIGTERM);
    /* The grandchild held the pipe: its end tells that it is gone too. */
    t_equal(weft_read(weft_process_stdout(p), buf, sizeof buf), 0);
    weft_process_close(p);
}
PROCESS_TEST(a_group_gets_its_signals, groups)

/* ---- pipes -------------------------------------------------------------- */

#define MUCH ((size_t)10 << 20)

static void through_cat(void)
{
    struct weft_process_options o = {.in = WEFT_PIPE, .out = WEFT_PIPE};
    size_t n = T_SANITIZED ? MUCH / 4 : MUCH;
    char *data = malloc(2 * n);
    weft_process *p = start((argv_t){"cat"}, &o);
    struct job j = {.data = data, .n = n, .step = n};
    weft_group g;

    fill_pattern(data, n);
    if (p) {
        j.s = weft_process_stdin(p);
        weft_with_group(&g) {
            t_equal(weft_spawn(&g, writes, &j), 0);
            t_equal(weft_readn(weft_process_stdout(p), data + n, n), n);
        }
        t_equal(atomic_load(&j.rc), 0);
        t_check(memcmp(data, data + n, n) == 0);
        t_equal(weft_read(weft_process_stdout(p), data, 1), 0);
        t_equal(weft_process_wait(p), 0);
        t_equal(weft_write(weft_process_stdin(p), "x", 1), -EBADF);
        weft_process_close(p);
    }
    free(data);
}
PROCESS_TEST(much_goes_both_ways, through_cat)

static void nobody_reads(void)
{
    struct weft_process_options o = {.in = WEFT_PIPE};
    weft_process *p = start((argv_t){"true"}, &o);

    if (!p)
        return;
    t_equal(weft_process_wait(p), 0);
    t_equal(weft_write(weft_process_stdin(p), "x", 1), -EPIPE);
    weft_process_close(p);
}
PROCESS_TEST(writing_to_the_dead_is_an_error, nobody_reads)

/* ---- waiting ------------------------------------------------------------ */

struct waits {
    weft_process *p;
    atomic_int done;
    atomic_long sum;
};

static long waits(void *arg)
{
    struct waits *w = arg;

    atomic_fetch_add(&w->sum, weft_process_wait(w->p));
    atomic_fetch_add(&w->done, 1);
    return 0;
}

static void several_wait(void)
{
    struct waits w = {.p = start((argv_t){"sleep", "60"}, &quiet)};
    weft_group g;

    if (!w.p)
        return;
    weft_with_group(&g) {
        for (int i = 0; i < 3; i++)
            t_equal(weft_spawn(&g, waits, &w), 0);
        t_check(t_wait_waiting("process", 1) && t_wait_waiting("mutex", 2));
        weft_process_kill(w.p, SIGTERM);
    }
    t_equal(atomic_load(&w.sum), 3 * (256 + SIGTERM));
    weft_process_close(w.p);
}
PROCESS_TEST(several_tasks_may_wait, several_wait)

static void leaves_alone(void)
{
    weft_process *p = start((argv_t){"sleep", "60"}, &quiet);

    if (!p)
        return;
    for (int i = 0; i < 3; i++)
        weft_with_timeout(2 * WEFT_MS)
            t_equal(weft_process_wait(p), -ETIMEDOUT);
    t_equal(weft_process_trywait(p), -EAGAIN);
    t_equal(kill(weft_process_pid(p), 0), 0);
    weft_process_kill(p, SIGKILL);
    t_equal(weft_process_wait(p), 256 + SIGKILL);
    weft_process_close(p);
}
PROCESS_TEST(a_cancelled_wait_leaves_it_alone, leaves_alone)

static long close_it(void *arg)
{
    weft_process_close(arg);
    return 0;
}

/* Starts a child and waits for it until it is cancelled. */
static long owns(void *arg)
{
    atomic_int *pid = arg;
    struct weft_process_options o = {
        .in = WEFT_PIPE, .out = WEFT_PIPE, .err = WEFT_PIPE};
    weft_process *p = start((argv_t){"sleep", "60"}, &o);
    long rc;

    if (!p)
        return -EIO;
    rc = weft_defer(close_it, p);
    atomic_store(pid, weft_process_pid(p));
    if (rc == 0)
        rc = weft_process_wait(p);
    t_equal(rc, -ECANCELED);
    return rc;
}

static void cancel(void)
{
    atomic_int pid[4] = {0};
    weft_group g;

    weft_with_group(&g) {
        for (int i = 0; i < 4; i++)
            t_equal(weft_spawn(&g, owns, &pid[i]), 0);
        for (int i = 0; i < 4; i++)
            t_check(t_wait_for(&pid[i], 1));
        weft_group_cancel(&g);
    }
    for (int i = 0; i < 4; i++)
        t_equal(kill(pid[i], 0) ? errno : 0, ESRCH);
}
PROCESS_TEST(cancelling_its_owner_kills_and_reaps, cancel)

/* The end comes at any place of the call that waits for it. */
static void race(void)
{
    long rounds = t_scale(60);

    for (long i = 0; i < rounds; i++) {
        weft_process *p = start((argv_t){"true"}, &quiet);

        if (!p)
            return;
        t_spin(i % 10 * 200 * WEFT_US);
        if (i % 3 == 0)
            weft_process_kill(p, SIGKILL);
        if (i % 3 == 1)
            weft_with_timeout(i % 7 * 200 * WEFT_US)
                (void)!weft_process_wait(p);
        if (i % 4) {
            int rc = weft_process_wait(p);

            t_check(rc == 0 || (i % 3 == 0 && rc == 256 + SIGKILL));
        }
        weft_process_close(p);
    }
}
PROCESS_TEST(ends_and_waits_meet, race)

/* ---- with few descriptors ------------------------------------------------ */

/* Pipes get the numbers that the child's own are to have. */
static long crossed(void *arg)
{
    struct weft_process_options o = {
        .in = WEFT_PIPE, .out = WEFT_PIPE, .err = WEFT_NULL};
    weft_process *p;
    char buf[8];

    (void)arg;
    if (weft_process_start(&p, (argv_t){"cat"}, &o) < 0)
        return 1;
    if (weft_write(weft_process_stdin(p), "crossed", 7) != 7 ||
        weft_shutdown(weft_process_stdin(p)) < 0)
        return 2;
    if (weft_readn(weft_process_stdout(p), buf, 8) != 7 ||
        memcmp(buf, "crossed", 7) != 0)
        return 3;
    if (weft_process_wait(p) != 0)
        return 4;
    weft_process_close(p);
    return 0;
}

static int without_stdio(void *arg)
{
    struct weft_options o = t_options(*(unsigned *)arg);
    weft_runtime *rt;
    long rc;

    /* Its own descriptors come first. */
    if (weft_runtime_open(&rt, &o) < 0)
        return 5;
    close(0);
    close(1);
    rc = weft_runtime_call(rt, crossed, NULL);
    return weft_runtime_close(rt) < 0 ? 6 : (int)rc;
}

static void it_starts_without_our_stdio(void **state)
{
    unsigned n = t_workers(state);
    struct t_child c;

    t_fork(&c, without_stdio, &n);
    assert_int_equal(c.status, 0);
}

/* A start fails at each shortage, and leaves nothing. */
static void shortages(void)
{
    struct weft_process_options o = {
        .in = WEFT_PIPE, .out = WEFT_PIPE, .err = WEFT_PIPE};
    int before = t_fds(), highest = dup(0), failed = 0;
    struct rlimit old, few;
    weft_process *p;

    close(highest);
    t_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = old;
    for (int room = 0; room < 12; room++) {
        int rc;

        few.rlim_cur = (rlim_t)(highest + room);
        t_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        rc = weft_process_start(&p, (argv_t){"true"}, &o);
        t_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        if (rc == 0)
            weft_process_close(p);
        else
            t_equal(rc, -EMFILE);
        failed += rc < 0;
        t_equal(t_fds(), before);
    }
    t_check(failed >= 5 && failed < 12);
}
PROCESS_TEST(a_shortage_of_descriptors_leaves_nothing, shortages)

/* ---- without help of the kernel ----------------------------------------- */

/* As an older kernel answers. */
static bool forbid_pidfd(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {T_LEN(code), code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* The number of the check that failed: this is in a process of its own. */
static long polled(void *arg)
{
    weft_process *p;
    int rc = 0;

    (void)arg;
    if (weft_process_start(&p, SHELL("sleep 0.1; exit 7"), &quiet) < 0)
        return 1;
    if (weft_process_wait(p) != 7)
        return 2;
    weft_process_close(p);
    if (weft_process_start(&p, (argv_t){"sleep", "60"}, &quiet) < 0)
        return 3;
    weft_with_timeout(5 * WEFT_MS)
        rc = weft_process_wait(p);
    if (rc != -ETIMEDOUT || weft_process_trywait(p) != -EAGAIN)
        return 4;
    if (weft_process_kill(p, SIGTERM) < 0 ||
        weft_process_wait(p) != 256 + SIGTERM)
        return 5;
    weft_process_close(p);
    if (weft_process_start(&p, (argv_t){"sleep", "60"}, &quiet) < 0)
        return 6;
    weft_process_close(p);
    return any_child() ? 7 : 0;
}

static int without_pidfd(void *arg)
{
    struct weft_options o = t_options(*(unsigned *)arg);

    if (!forbid_pidfd() || syscall(SYS_pidfd_open, getpid(), 0) >= 0)
        return 77;
    return (int)weft_run_with(&o, polled, NULL);
}

/* The kernel reaps where SIGCHLD is ignored. */
static long unwanted(void *arg)
{
    weft_process *p;

    (void)arg;
    for (int i = 0; i < 10; i++) {
        if (weft_process_start(&p, (argv_t){"true"}, &quiet) < 0)
            return 1;
        if (i % 3 == 1 && weft_process_wait(p) != -ECHILD)
            return 2;
        if (i % 3 == 2) {
            while (weft_process_kill(p, 0) == 0)
                if (weft_sleep(WEFT_MS) < 0)
                    return 3;
            if (weft_process_kill(p, 0) != -ESRCH)
                return 4;
        }
        weft_process_close(p);
    }
    return 0;
}

static int without_result(void *arg)
{
    struct weft_options o = t_options(*(unsigned *)arg);

    signal(SIGCHLD, SIG_IGN);
    return (int)weft_run_with(&o, unwanted, NULL);
}

static void a_result_that_the_kernel_drops_is_an_error(void **state)
{
    unsigned n = t_workers(state);
    struct t_child c;

    t_fork(&c, without_result, &n);
    assert_int_equal(c.status, 0);
}

static void an_old_kernel_is_enough(void **state)
{
    unsigned n = t_workers(state);
    struct t_child c;

    t_fork(&c, without_pidfd, &n);
    if (WIFEXITED(c.status) && WEXITSTATUS(c.status) == 77)
        skip();
    assert_int_equal(c.status, 0);
}

static void a_thread_that_is_no_task_is_refused(void **state)
{
    weft_process *p;

    (void)state;
    assert_int_equal(weft_process_start(&p, (argv_t){"true"}, NULL), -EPERM);
}

static const struct CMUnitTest tests[] = {
    T_REAL_EACH(the_exit_code_is_the_result),
    T_REAL_EACH(a_death_by_signal_is_told),
    T_REAL_EACH(what_cannot_start_leaves_nothing),
    T_REAL_EACH(folder_and_environment_are_given),
    T_REAL_EACH(outputs_go_where_they_are_told),
    T_REAL_EACH(other_descriptors_are_closed_unless_kept),
    T_REAL_EACH(no_signal_is_blocked_or_ignored),
    T_REAL_EACH(it_is_not_bound_to_a_core),
    T_REAL_EACH(a_group_gets_its_signals),
    T_REAL_EACH(much_goes_both_ways),
    T_REAL_EACH(writing_to_the_dead_is_an_error),
    T_REAL_EACH(several_tasks_may_wait),
    T_REAL_EACH(a_cancelled_wait_leaves_it_alone),
    T_REAL_EACH(cancelling_its_owner_kills_and_reaps),
    T_REAL_EACH(ends_and_waits_meet),
    T_REAL_EACH(it_starts_without_our_stdio),
    T_REAL_EACH(a_shortage_of_descriptors_leaves_nothing),
    T_REAL_EACH(an_old_kernel_is_enough),
    T_REAL_EACH(a_result_that_the_kernel_drops_is_an_error),
    cmocka_unit_test(a_thread_that_is_no_task_is_refused),
};

T_MAIN(tests)
