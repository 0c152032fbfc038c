/* SPDX-License-Identifier: MIT */
#include "core/signal.h"

#include <string.h>

#include "base/sys.h"
#include "core/interrupt.h"

#define PLACES 1024u
#define SIGNALS 65

static struct signal_place places[PLACES];
static _Atomic uint32_t n_places; /* L to write: those ever used */

/* What stood there before us. fn and info are copies of `old` for handlers;
 * they change only before our handler is put over another action. */
struct action {
    unsigned held;           /* L */
    struct sigaction old;    /* L */
    _Atomic uint32_t active; /* A: as held */
    _Atomic uintptr_t fn;
    _Atomic uint32_t info;
};
static struct action actions[SIGNALS];

pthread_mutex_t w_signal_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- in the handler ----------------------------------------------------- */

static bool tell_one(struct signal_place *s, uint64_t bit)
{
    uint64_t one = 1;
    bool told = false;

    if (!(load_seq_cst(&s->wanted) & bit))
        return false;
    add_seq_cst(&s->users, 1);
    if (load_seq_cst(&s->wanted) & bit) {
        (void)or_acq_rel(&s->pending, bit);
        while (sys_write(s->fd, &one, sizeof one) == -EINTR)
            ;
        told = true;
    }
    sub_seq_cst(&s->users, 1);
    return told;
}

static bool tell_all(int sig)
{
    uint32_t n = load_acquire(&n_places);
    bool told = false;

    for (uint32_t i = 0; i < n; i++)
        told |= tell_one(&places[i], signal_bit(sig));
    /* A watcher takes the signal over from weft_run. */
    return told || (sig == SIGINT && w_interrupt_signal());
}

/* Nobody watches any more: the last one has just gone, or the program put back
 * an action that it had found and that was ours. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
    uintptr_t fn = load_acquire(&actions[sig].fn);
    struct sigaction dfl = {.sa_handler = SIG_DFL};

    if (fn == (uintptr_t)SIG_IGN)
        return;
    if (fn != (uintptr_t)SIG_DFL) {
        if (load_acquire(&actions[sig].info))
            ((void (*)(int, siginfo_t *, void *))fn)(sig, info, context);
        else
            ((void (*)(int))fn)(sig);
        return;
    }
    if (sig == SIGCHLD || sig == SIGCONT || sig == SIGWINCH)
        return;
    /* A process that goes on must not lose the handler of a new watcher. */
    if (sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU) {
        (void)raise(SIGSTOP);
        return;
    }
    /* Blocked here, so it comes when the handler has returned. */
    (void)sigaction(sig, &dfl, NULL);
    (void)raise(sig);
}

/* A look that finds nobody may have missed one that came while another went;
 * while the signal is active there is one to be found. */
static void on_signal(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    bool told;

    do
        told = tell_all(sig);
    while (!told && load_seq_cst(&actions[sig].active));
    if (!told)
        pass_on(sig, info, context);
    errno = saved;
}

/* ---- actions ------------------------------------------------------------ */

static bool is_ours(const struct sigaction *sa)
{
    return (sa->sa_flags & SA_SIGINFO) && sa->sa_sigaction == on_signal;
}

static void install(int sig, struct action *a, const struct sigaction *now)
{
    struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

    a->old = *now;
    store_release(&a->fn, (uintptr_t)now->sa_handler);
    store_release(&a->info, (now->sa_flags & SA_SIGINFO) != 0);
    sa.sa_sigaction = on_signal;
    /* One at a time: the stack it runs on may be a small one. */
    sigfillset(&sa.sa_mask);
    (void)sigaction(sig, &sa, NULL);
}

int w_signal_hold(int sig, bool only_default)
{
    struct action *a = &actions[sig];
    struct sigaction now;

    if (sigaction(sig, NULL, &now) < 0)
        return -EINVAL;
    if (only_default && (is_ours(&now) ? a->old.sa_handler : now.sa_handler) !=
                            SIG_DFL)
        return -EBUSY;
    if (!is_ours(&now))
        install(sig, a, &now);
    store_seq_cst(&a->active, ++a->held);
    return 0;
}

static void restore(int sig, struct action *a)
{
    struct sigaction now;

    if (sigaction(sig, NULL, &now) == 0 && is_ours(&now))
        (void)sigaction(sig, &a->old, NULL);
}

void w_signal_release(int sig)
{
    struct action *a = &actions[sig];

    store_seq_cst(&a->active, --a->held);
    if (a->held == 0)
        restore(sig, a);
}

/* ---- fork --------------------------------------------------------------- */

static void before_fork(void)
{
    (void)pthread_mutex_lock(&w_signal_lock);
}

static void in_parent(void)
{
    (void)pthread_mutex_unlock(&w_signal_lock);
}

static void in_child(void)
{
    for (int sig = 1; sig < SIGNALS; sig++) {
        if (actions[sig].held)
            restore(sig, &actions[sig]);
        actions[sig].held = 0;
        store_seq_cst(&actions[sig].active, 0);
    }
    memset(places, 0, load_relaxed(&n_places) * sizeof *places);
    w_interrupt_forget();
    (void)pthread_mutex_unlock(&w_signal_lock);
}

static void watch_forks(void)
{
    (void)pthread_atfork(before_fork, in_parent, in_child);
}

void w_signal_prepare(void)
{
    (void)pthread_once(&once, watch_forks);
}

/* ---- watchers ----------------------------------------------------------- */

int w_signal_check(int sig)
{
    static const int refused[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS,
                                  SIGFPE,  SIGILL,  SIGTRAP, SIGURG};

    if (sig <= 0 || sig > SIGRTMAX || (sig > 31 && sig < SIGRTMIN))
        return -EINVAL;
    for (size_t i = 0; i < array_len(refused); i++)
        if (sig == refused[i])
            return -EINVAL;
    return 0;
}

static struct signal_place *take_place(void)
{
    uint32_t n = load_relaxed(&n_places);

    for (uint32_t i = 0; i < PLACES; i++)
        if (!places[i].taken) {
            places[i].taken = true;
            if (i >= n)
                store_release(&n_places, i + 1);
            return &places[i];
        }
    return NULL;
}

static void release_all(uint64_t set)
{
    for (int sig = 1; sig < SIGNALS; sig++)
        if (set & signal_bit(sig))
            w_signal_release(sig);
}

static int hold_all(uint64_t set)
{
    for (int sig = 1; sig < SIGNALS; sig++) {
        int rc = set & signal_bit(sig) ? w_signal_hold(sig, false) : 0;

        if (rc < 0) {
            release_all(set & (signal_bit(sig) - 1));
            return rc;
        }
    }
    return 0;
}

/* Under the lock. */
static void give_place_back(struct signal_place *s)
{
    store_seq_cst(&s->wanted, 0);
    while (load_seq_cst(&s->users))
        sys_yield();
    s->taken = false;
}

int w_signal_open(struct signal_place **out, uint64_t wanted, int fd)
{
    struct signal_place *s;
    int rc = -EMFILE;

    w_signal_prepare();
    (void)pthread_mutex_lock(&w_signal_lock);
    s = take_place();
    if (s) {
        s->fd = fd;
        store_relaxed(&s->pending, 0);
        store_seq_cst(&s->wanted, wanted);
        rc = hold_all(wanted);
        if (rc < 0)
            give_place_back(s);
    }
    (void)pthread_mutex_unlock(&w_signal_lock);
    *out = s;
    return rc;
}

void w_signal_close(struct signal_place *s)
{
    (void)pthread_mutex_lock(&w_signal_lock);
    release_all(load_relaxed(&s->wanted));
    give_place_back(s);
    (void)pthread_mutex_unlock(&w_signal_lock);
}

int w_signal_take(struct signal_place *s, int last)
{
    uint64_t later = last < 64 ? ~UINT64_C(0) << last : 0, all, bit;

    do {
        all = load_acquire(&s->pending);
        if (!all)
            return 0;
        if (all & later)
            all &= later;
        bit = all & -all;
    } while (!(and_acq_rel(&s->pending, ~bit) & bit));
    return __builtin_ctzll(bit) + 1;
}
