/* SPDX-License-Identifier: MIT */
/* A stack overflow, of a task or on a pool's thread, hits the guard page: say
 * whose it was, then let the signal take its course. Also the handler behind the monitor's backtraces.
 *
 * Handlers are the process's: they are installed with the first runtime, pass
 * on what is not theirs, and leave with the last. */
#include <stdio.h>

#include "base/sys.h"
#include "core/runtime.h"

#define SIGNAL_STACK ((size_t)65536)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users;
static struct sigaction old_segv, old_bus, old_urg;

static void pass_on(int sig, siginfo_t *info, void *context,
                    const struct sigaction *old)
{
    if (old->sa_flags & SA_SIGINFO) {
        old->sa_sigaction(sig, info, context);
    } else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
        old->sa_handler(sig);
    } else if (sig != SIGURG) {
        /* The instruction faults again, now without us. */
        struct sigaction dfl = {.sa_handler = SIG_DFL};

        (void)sigaction(sig, &dfl, NULL);
    }
}

static void tell_task(struct worker *w, const char *at)
{
    struct weft_task *t = w->current;

    if (t && w->stack && at < w->stack->limit &&
        at >= w->stack->limit - STACK_GUARD)
        w_warn("stack overflow in task %s (spawned at %s): its stack has %zu "
               "bytes",
               weft_task_name(t), weft_task_site(t),
               (size_t)(w->stack->top - w->stack->limit));
}

static void tell_thread(const struct thread *t, const char *at)
{
    if (t->limit && at < t->limit && at >= t->limit - THREAD_GUARD)
        w_warn("stack overflow on a thread of %s: its stack has %zu bytes "
               "(options.executor_stack)",
               t->name, t->bytes);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    struct worker *w = w_worker();
    struct thread *t = w_thread();

    if (w)
        tell_task(w, info->si_addr);
    else if (t && t->kind == THREAD_POOL)
        tell_thread(t, info->si_addr);
    pass_on(sig, info, context, sig == SIGBUS ? &old_bus : &old_segv);
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

void w_fault_open(void)
{
    (void)pthread_mutex_lock(&lock);
    if (users++ == 0) {
        install(SIGSEGV, on_fault, 0, &old_segv);
        install(SIGBUS, on_fault, 0, &old_bus);
        install(SIGURG, on_urgent, SA_RESTART, &old_urg);
    }
    (void)pthread_mutex_unlock(&lock);
}

void w_fault_close(void)
{
    (void)pthread_mutex_lock(&lock);
    if (--users == 0) {
        remove_handler(SIGSEGV, on_fault, &old_segv);
        remove_handler(SIGBUS, on_fault, &old_bus);
        remove_handler(SIGURG, on_urgent, &old_urg);
    }
    (void)pthread_mutex_unlock(&lock);
}

void w_fault_thread_open(struct thread *t)
{
    stack_t ss = {.ss_size = SIGNAL_STACK};

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
