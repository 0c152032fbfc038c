/* SPDX-License-Identifier: MIT */
/* A crash in a task: what it prints, and that the signal takes its course. Each
 * in a child process, whose addresses are the parent's. */
#include "support/cases.h"

#include <assert.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "core/context.h"

/* Not declared where NDEBUG is defined, but there. */
_Noreturn void __assert_fail(const char *what, const char *file, unsigned line,
                             const char *function);

#define LINES_MAX 64

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

enum kind { WILD, JUMP, PAST_END, DIVIDE, ILLEGAL, ABORT, ASSERT, KINDS };

static const int expected[] = {SIGSEGV, SIGSEGV, SIGBUS,  SIGFPE,
                               SIGILL,  SIGABRT, SIGABRT};

struct crash {
    unsigned workers;
    enum kind kind;
    bool waits; /* before: its stack is its own then */
};

/* ThreadSanitizer's runtime defers what a handler does to handlers, and UBSan
 * sees a bad write before the hardware does. */
#if defined(T_TSAN)
#define NOT_UNDER_TSAN() skip()
#else
#define NOT_UNDER_TSAN() (void)0
#endif
#if defined(T_TSAN) || defined(T_ASAN)
#define PLAIN_ONLY() skip()
#else
#define PLAIN_ONLY() (void)0
#endif

static struct t_child c;

/* ---- ways to crash ------------------------------------------------------- */

static void touch_past_end(void)
{
    int fd = memfd_create("short", MFD_CLOEXEC);
    volatile char *p = MAP_FAILED;

    if (fd >= 0)
        p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED)
        (void)p[0];
}

static __attribute__((noinline)) long falls(enum kind kind)
{
    char *volatile nowhere = (char *)(uintptr_t)64;
    void (*volatile bad)(void) = (void (*)(void))(uintptr_t)64;
    volatile int zero = 0;

    switch (kind) {
    case WILD:
        *nowhere = 1; /* NOLINT: on purpose */
        break;
    case JUMP:
        bad();
        break;
    case PAST_END:
        touch_past_end();
        break;
    case DIVIDE:
#if defined(__x86_64__)
        return 7777 / zero; /* NOLINT: on purpose */
#else
        raise(SIGFPE);
        break;
#endif
    case ILLEGAL:
#if defined(__x86_64__)
        __asm__ volatile("ud2");
#else
        __asm__ volatile(".inst 0");
#endif
        break;
    case ABORT:
        abort();
    case ASSERT:
        __assert_fail("the moon is full", "moon.c", 7, "rise");
    default:
        break;
    }
    return zero;
}

static __attribute__((noinline)) long leads_to_it(const struct crash *x)
{
    return falls(x->kind) + x->waits;
}

static long unlucky(void *arg)
{
    const struct crash *x = arg;

    if (x->waits && (weft_task_set_name("jinxed") < 0 || weft_sleep(1) < 0))
        return 1;
    return leads_to_it(x) + 1;
}

static long spawns_it(void *arg)
{
    weft_group g;

    weft_with_group(&g)
        (void)!weft_spawn(&g, unlucky, arg);
    return weft_group_wait(&g);
}

/* ---- the report ---------------------------------------------------------- */

static int count(const char *text, const char *what)
{
    int n = 0;

    for (; (text = strstr(text, what)); text++)
        n++;
    return n;
}

/* Is an address of [from, from + bytes) among the frames told? */
static bool tells_frame(const void *from, size_t bytes)
{
    const char *s = c.output;

    while ((s = strstr(s, "[0x"))) {
        uintptr_t at = strtoul(++s, NULL, 16);

        if (at >= (uintptr_t)from && at < (uintptr_t)from + bytes)
            return true;
    }
    return false;
}

static bool killed_by(int sig)
{
    return WIFSIGNALED(c.status) && WTERMSIG(c.status) == sig;
}

#define REPORT "weft: SIG"
#define must(cond)                                                             \
    do {                                                                       \
        if (!(cond))                                                           \
            fail_msg("%s; status %x: %s", #cond, (unsigned)c.status,           \
                     c.output);                                                \
    } while (0)

static void as_by_default(void)
{
    /* A sanitizer's handlers would answer for the default action. */
    for (size_t i = 0; i < T_LEN(signals); i++)
        signal(signals[i], SIG_DFL);
}

static int crash(void *arg)
{
    struct crash *x = arg;
    struct weft_options o = t_options(x->workers);

    as_by_default();
    return (int)weft_run_with(&o, spawns_it, x);
}

static void each_crash_is_told_with_task_and_frames(void **state)
{
    struct crash x = {.workers = t_workers(state)};

    PLAIN_ONLY();
    for (int i = 0; i < 2 * KINDS; i++) {
        const char *name;
        char first[32];

        x.kind = i / 2;
        x.waits = i % 2;
        name = x.waits ? "task jinxed (spawned at "
                       : "task unlucky (spawned at ";
        t_fork(&c, crash, &x);
        must(killed_by(expected[x.kind]));
        must(count(c.output, REPORT) == 1);
        snprintf(first, sizeof first, "weft: SIG%s",
                 sigabbrev_np(expected[x.kind]));
        must(strstr(c.output, first));
        must(strstr(c.output, name));
        must(strstr(c.output, "test_crash.c:"));
        must(count(c.output, "\n") < LINES_MAX);
        /* From where it fell, through the task, to where its stack begins. */
        must(tells_frame((void *)(uintptr_t)falls, 1024));
        must(tells_frame((void *)(uintptr_t)leads_to_it, 256));
        must(tells_frame((void *)(uintptr_t)unlucky, 512));
        must(tells_frame((void *)(uintptr_t)w_context_boot, 64));
        if (x.kind == ASSERT)
            must(strstr(c.output, "the moon is full"));
    }
}

static void *falls_alone(void *arg)
{
    return (void *)leads_to_it(arg);
}

static int crash_elsewhere(void *arg)
{
    struct crash *x = arg;
    pthread_t other;

    as_by_default();
    (void)t_open(x->workers);
    pthread_create(&other, NULL, falls_alone, x);
    pthread_join(other, NULL);
    return 1;
}

static void a_thread_of_the_programs_own_dies_as_without_us(void **state)
{
    struct crash x = {t_workers(state), WILD, false};

    PLAIN_ONLY();
    for (x.kind = 0; x.kind < KINDS; x.kind++) {
        t_fork(&c, crash_elsewhere, &x);
        must(killed_by(expected[x.kind]));
        must(!strstr(c.output, "weft:"));
    }
}

static int quiet_crash(void *arg)
{
    setenv("WEFT_CRASH", "0", 1);
    return crash(arg);
}

static void reports_can_be_switched_off(void **state)
{
    struct crash x = {t_workers(state), WILD, false};

    PLAIN_ONLY();
    for (x.kind = 0; x.kind < KINDS; x.kind++) {
        t_fork(&c, quiet_crash, &x);
        must(killed_by(expected[x.kind]));
        must(!strstr(c.output, "weft:"));
    }
}

/* ---- one report ---------------------------------------------------------- */

static pthread_barrier_t together;

static long crashes_with_others(void *arg)
{
    pthread_barrier_wait(&together);
    return unlucky(arg);
}

static long all_crash(void *arg)
{
    struct crash *x = arg;
    weft_group g;

    weft_with_group(&g)
        for (unsigned i = 0; i < x->workers; i++)
            (void)!weft_spawn(&g, crashes_with_others, arg);
    return weft_group_wait(&g);
}

static int crash_at_once(void *arg)
{
    struct crash *x = arg;
    struct weft_options o = t_options(x->workers);

    as_by_default();
    pthread_barrier_init(&together, NULL, x->workers);
    return (int)weft_run_with(&o, all_crash, x);
}

static void workers_that_crash_together_make_one_whole_report(void **state)
{
    struct crash x = {.workers = t_workers(state), .kind = WILD};

    PLAIN_ONLY();
    t_fork(&c, crash_at_once, &x);
    must(killed_by(SIGSEGV));
    must(count(c.output, REPORT) == 1);
    must(tells_frame((void *)(uintptr_t)w_context_boot, 64));
}

static __attribute__((noinline)) long descend(volatile char *above, long depth)
{
    volatile char here[128];

    here[0] = above[0];
    if (depth == 0)
        return here[0];
    return descend(here, depth - 1) + here[0];
}

static long deep(void *arg)
{
    volatile char top = 0;

    (void)arg;
    return descend(&top, 1000000000);
}

static int overflow(void *arg)
{
    struct weft_options o = t_options(*(unsigned *)arg);

    as_by_default();
    return (int)weft_run_with(&o, deep, NULL);
}

static void an_overflow_shows_both_ends_of_the_stack(void **state)
{
    unsigned n = t_workers(state);

    NOT_UNDER_TSAN();
    t_fork(&c, overflow, &n);
    must(killed_by(SIGSEGV) || killed_by(SIGBUS));
    must(count(c.output, "weft: stack overflow in task ") == 1);
    must(strstr(c.output, "weft:   ...  "));
    must(count(c.output, "\n") < LINES_MAX);
    must(tells_frame((void *)(uintptr_t)descend, 256));
    must(tells_frame((void *)(uintptr_t)deep, 256));
    must(tells_frame((void *)(uintptr_t)w_context_boot, 64));
}

/* ---- threads of pools ---------------------------------------------------- */

static long blocks(void *arg)
{
    return weft_blocking(unlucky, arg);
}

static int crash_in_pool(void *arg)
{
    struct crash *x = arg;
    struct weft_options o = t_options(x->workers);

    as_by_default();
    return (int)weft_run_with(&o, blocks, x);
}

static void a_crash_on_a_pools_thread_is_told(void **state)
{
    struct crash x = {.workers = t_workers(state), .kind = WILD};

    PLAIN_ONLY();
    t_fork(&c, crash_in_pool, &x);
    must(killed_by(SIGSEGV));
    must(strstr(c.output, "weft: SIGSEGV at address 0x40 on a thread of "));
    must(tells_frame((void *)(uintptr_t)falls, 1024));
    must(tells_frame((void *)(uintptr_t)unlucky, 512));
}

/* ---- the program's handlers ---------------------------------------------- */

static void write_line(const char *text)
{
    (void)!write(2, text, strlen(text));
}

static void programs_handler(int sig, siginfo_t *info, void *context)
{
    sigset_t now;

    (void)context;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    if (sigismember(&now, sig) && sigismember(&now, SIGUSR2) &&
        !sigismember(&now, SIGFPE) && info->si_addr == (void *)(uintptr_t)64)
        write_line("the program's handler\n");
    _exit(33);
}

static void install(int sig, void (*fn)(int, siginfo_t *, void *))
{
    struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK};

    sa.sa_sigaction = fn;
    sigaddset(&sa.sa_mask, SIGUSR2);
    sigaction(sig, &sa, NULL);
}

static int handler_before(void *arg)
{
    struct crash *x = arg;
    struct weft_options o = t_options(x->workers);

    as_by_default();
    install(SIGSEGV, programs_handler);
    return (int)weft_run_with(&o, spawns_it, x);
}

static void a_handler_from_before_is_called_after_the_report(void **state)
{
    struct crash x = {.workers = t_workers(state), .kind = WILD};
    char *report, *handler;

    PLAIN_ONLY();
    t_fork(&c, handler_before, &x);
    must(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 33);
    report = strstr(c.output, REPORT);
    handler = strstr(c.output, "the program's handler");
    must(report && handler && report < handler);
}

static long installs_and_crashes(void *arg)
{
    install(SIGSEGV, programs_handler);
    return spawns_it(arg);
}

static int handler_after(void *arg)
{
    struct crash *x = arg;
    struct weft_options o = t_options(x->workers);

    as_by_default();
    return (int)weft_run_with(&o, installs_and_crashes, x);
}

static void a_handler_from_after_has_the_signal_to_itself(void **state)
{
    struct crash x = {.workers = t_workers(state), .kind = WILD};

    PLAIN_ONLY();
    t_fork(&c, handler_after, &x);
    must(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 33);
    must(strstr(c.output, "the program's handler"));
    must(!strstr(c.output, REPORT));
}

static sigjmp_buf back;

static void recover(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info, (void)context;
    siglongjmp(back, 1);
}

static long recovers(void *arg)
{
    for (volatile int i = 0; i < 3; i++)
        if (sigsetjmp(back, 1) == 0)
            (void)leads_to_it(arg);
    return 44;
}

static int recover_thrice(void *arg)
{
    struct crash *x = arg;
    struct weft_options o = t_options(x->workers);

    as_by_default();
    install(SIGSEGV, recover);
    return (int)weft_run_with(&o, recovers, x);
}

static void a_program_that_recovers_goes_on(void **state)
{
    struct crash x = {.workers = t_workers(state), .kind = WILD};

    PLAIN_ONLY();
    t_fork(&c, recover_thrice, &x);
    must(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 44);
    must(count(c.output, REPORT) == 1);
}

/* ---- signals that are sent ----------------------------------------------- */

static long sends(void *arg)
{
    kill(getpid(), *(int *)arg);
    return weft_sleep(5 * WEFT_SEC) + 1;
}

static int is_sent(void *arg)
{
    as_by_default();
    return (int)weft_run_with(&(struct weft_options){.workers = 2}, sends, arg);
}

static void a_signal_that_is_sent_kills_too(void **state)
{
    NOT_UNDER_TSAN();
    (void)state;
    for (size_t i = 0; i < T_LEN(signals); i++) {
        int sig = signals[i];

        t_fork(&c, is_sent, &sig);
        must(killed_by(sig));
    }
}

static long sends_and_lives(void *arg)
{
    kill(getpid(), *(int *)arg);
    return weft_sleep(50 * WEFT_MS) ? 1 : 55;
}

static int is_ignored(void *arg)
{
    signal(*(int *)arg, SIG_IGN);
    return (int)weft_run_with(&(struct weft_options){.workers = 2},
                              sends_and_lives, arg);
}

static void a_signal_that_is_ignored_stays_so(void **state)
{
    NOT_UNDER_TSAN();
    (void)state;
    for (size_t i = 0; i < T_LEN(signals); i++) {
        int sig = signals[i];

        t_fork(&c, is_ignored, &sig);
        must(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 55);
    }
}

static long nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void the_actions_are_as_they_were_after_a_run(void **state)
{
    struct sigaction before[T_LEN(signals)], after;

    for (size_t i = 0; i < T_LEN(signals); i++)
        sigaction(signals[i], NULL, &before[i]);
    assert_int_equal(t_run(t_workers(state), nothing, NULL), 0);
    for (size_t i = 0; i < T_LEN(signals); i++) {
        sigaction(signals[i], NULL, &after);
        assert_ptr_equal(before[i].sa_handler, after.sa_handler);
    }
}

static const struct CMUnitTest tests[] = {
    T_EACH(each_crash_is_told_with_task_and_frames),
    T_EACH(reports_can_be_switched_off),
    T_EACH(a_thread_of_the_programs_own_dies_as_without_us),
    T_EACH(workers_that_crash_together_make_one_whole_report),
    T_EACH(a_crash_on_a_pools_thread_is_told),
    T_EACH(a_handler_from_before_is_called_after_the_report),
    T_EACH(a_handler_from_after_has_the_signal_to_itself),
    T_EACH(a_program_that_recovers_goes_on),
    T_EACH(an_overflow_shows_both_ends_of_the_stack),
    cmocka_unit_test(a_signal_that_is_sent_kills_too),
    cmocka_unit_test(a_signal_that_is_ignored_stays_so),
    T_EACH(the_actions_are_as_they_were_after_a_run),
};

T_MAIN(tests)
