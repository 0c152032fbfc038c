/* SPDX-License-Identifier: MIT */
#include "exec/overflow.h"

#include "base/base.h"
#include "base/sys.h"

#define SIGNAL_STACK ((size_t)65536)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users;
static struct sigaction old_segv, old_bus;

static void pass_on(int sig, siginfo_t *info, void *context,
                    const struct sigaction *old)
{
    if (old->sa_flags & SA_SIGINFO) {
        old->sa_sigaction(sig, info, context);
    } else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
        old->sa_handler(sig);
    } else {
        /* The instruction faults again, now without us. */
        struct sigaction dfl = {.sa_handler = SIG_DFL};

        (void)sigaction(sig, &dfl, NULL);
    }
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    struct overflow *o = w_overflow_self();
    const char *at = info->si_addr;

    if (o && o->limit && at < o->limit && at >= o->limit - OVERFLOW_GUARD)
        w_warn("stack overflow on a thread of %s: its stack has %zu bytes "
               "(options.executor_stack)",
               o->name, o->bytes);
    pass_on(sig, info, context, sig == SIGBUS ? &old_bus : &old_segv);
}

static void install(int sig, struct sigaction *old)
{
    struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK};

    sa.sa_sigaction = on_fault;
    sigemptyset(&sa.sa_mask);
    (void)sigaction(sig, &sa, old);
}

/* Unless somebody has put another handler over ours since. */
static void remove_handler(int sig, const struct sigaction *old)
{
    struct sigaction now;

    if (sigaction(sig, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
        now.sa_sigaction == on_fault)
        (void)sigaction(sig, old, NULL);
}

void w_overflow_open(void)
{
    (void)pthread_mutex_lock(&lock);
    if (users++ == 0) {
        install(SIGSEGV, &old_segv);
        install(SIGBUS, &old_bus);
    }
    (void)pthread_mutex_unlock(&lock);
}

void w_overflow_close(void)
{
    (void)pthread_mutex_lock(&lock);
    if (--users == 0) {
        remove_handler(SIGSEGV, &old_segv);
        remove_handler(SIGBUS, &old_bus);
    }
    (void)pthread_mutex_unlock(&lock);
}

void w_overflow_thread_open(struct overflow *o, const char *name)
{
    stack_t ss = {.ss_size = SIGNAL_STACK};
    pthread_attr_t attr;
    void *limit;

    o->name = name;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        if (pthread_attr_getstack(&attr, &limit, &o->bytes) == 0)
            o->limit = limit;
        (void)pthread_attr_destroy(&attr);
    }
    o->signal_stack = sys_mmap(SIGNAL_STACK, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS);
    ss.ss_sp = o->signal_stack;
    if (o->signal_stack)
        (void)sigaltstack(&ss, NULL);
}

void w_overflow_thread_close(struct overflow *o)
{
    stack_t off = {.ss_flags = SS_DISABLE};

    if (!o->signal_stack)
        return;
    (void)sigaltstack(&off, NULL);
    sys_munmap(o->signal_stack, SIGNAL_STACK);
}
