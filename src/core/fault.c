/* SPDX-License-Identifier: MIT */
/* The handlers behind reports of crashes (fault_report.c) and the monitor's
 * backtraces, and the stacks that they run on.
 *
 * Handlers are the process's: they are installed with the first runtime and
 * leave with the last. After a report the signal takes its course: a handler
 * that the program had installed before is called as the kernel would have, and
 * without one the default action follows, where the fault was. A handler that
 * the program installs later stands in front of ours, which it may call, and
 * stays. WEFT_CRASH=0 in the environment: none of ours for crashes. */
#include "core/fault.h"

#include <string.h>
#include <ucontext.h>

#include "base/sys.h"
#include "core/runtime.h"

#define SIGNAL_STACK ((size_t)65536)

static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users;
static struct sigaction old_crash[array_len(crashes)], old_urg;

/* With the signals blocked that would be had it been the kernel. */
static void call(int sig, siginfo_t *info, void *context,
                 const struct sigaction *old)
{
    const ucontext_t *u = context;
    sigset_t mask;

    sigemptyset(&mask);
    memcpy(&mask, &u->uc_sigmask, _NSIG / 8); /* the kernel's part of it */
    (void)sigorset(&mask, &mask, &old->sa_mask);
    if (!(old->sa_flags & SA_NODEFER))
        sigaddset(&mask, sig);
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (old->sa_flags & SA_SIGINFO)
        old->sa_sigaction(sig, info, context);
    else
        old->sa_handler(sig);
}

static void pass_on(int sig, siginfo_t *info, void *context,
                    struct sigaction *old)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL}, now = *old;
    bool sent = info->si_code <= 0; /* not raised by an instruction */

    if ((now.sa_flags & SA_SIGINFO) ||
        (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN)) {
        if (now.sa_flags & SA_RESETHAND)
            *old = dfl;
        call(sig, info, context, &now);
    } else if (sig != SIGURG && !(sent && now.sa_handler == SIG_IGN)) {
        /* The instruction faults again, now without us; a signal that was sent
         * is sent again, to come when this handler ends. */
        (void)sigaction(sig, &dfl, NULL);
        if (sent)
            (void)raise(sig);
    }
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    int e = errno;

    w_fault_report(sig, info, context);
    errno = e;
    for (size_t i = 0; i < array_len(crashes); i++)
        if (crashes[i] == sig)
            pass_on(sig, info, context, &old_crash[i]);
}

static void on_urgent(int sig, siginfo_t *info, void *context)
{
    if (!w_monitor_signal(context))
        pass_on(sig, info, context, &old_urg);
}

static void install(int sig, void (*fn)(int, siginfo_t *, void *), int flags,
                    struct sigaction *old)
{
    struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK | flags};

    sa.sa_sigaction = fn;
    sigemptyset(&sa.sa_mask);
    /* A fault in a report kills at once, with the default action. */
    for (size_t i = 0; sig != SIGURG && i < array_len(crashes); i++)
        sigaddset(&sa.sa_mask, crashes[i]);
    (void)sigaction(sig, &sa, old);
}

/* Unless somebody has put another handler over ours since. */
static void remove_handler(int sig, void (*fn)(int, siginfo_t *, void *),
                           const struct sigaction *old)
{
    struct sigaction now;

    if (sigaction(sig, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
        now.sa_sigaction == fn)
        (void)sigaction(sig, old, NULL);
}

static bool are_reported(void)
{
    /* Unsafe only beside a setenv, as for everybody who reads it. */
    const char *env = getenv("WEFT_CRASH"); /* NOLINT(concurrency-mt-unsafe) */

    return !env || strcmp(env, "0") != 0;
}

void w_fault_open(void)
{
    (void)pthread_mutex_lock(&lock);
    if (users++ == 0) {
        w_fault_report_open();
        for (size_t i = 0; are_reported() && i < array_len(crashes); i++)
            install(crashes[i], on_fault, 0, &old_crash[i]);
        install(SIGURG, on_urgent, SA_RESTART, &old_urg);
    }
    (void)pthread_mutex_unlock(&lock);
}

void w_fault_close(void)
{
    (void)pthread_mutex_lock(&lock);
    if (--users == 0) {
        for (size_t i = 0; i < array_len(crashes); i++)
            remove_handler(crashes[i], on_fault, &old_crash[i]);
        remove_handler(SIGURG, on_urgent, &old_urg);
    }
    (void)pthread_mutex_unlock(&lock);
}

void w_fault_thread_open(struct thread *t)
{
    stack_t ss = {.ss_size = SIGNAL_STACK};

    if (sim_here())
        return; /* its threads share one, the caller's */
    t->signal_stack = sys_mmap(SIGNAL_STACK, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS);
    ss.ss_sp = t->signal_stack;
    if (t->signal_stack)
        (void)sigaltstack(&ss, NULL);
}

void w_fault_thread_close(struct thread *t)
{
    stack_t off = {.ss_flags = SS_DISABLE};

    if (!t->signal_stack)
        return;
    (void)sigaltstack(&off, NULL);
    sys_munmap(t->signal_stack, SIGNAL_STACK);
}
