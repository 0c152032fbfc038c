/* SPDX-License-Identifier: MIT */
/* The monitor: one thread that looks at the workers every 5 ms while any is
 * awake and sleeps while none is.
 *
 * It does two things that a busy worker cannot do for itself: it wakes an idle
 * one when nobody sweeps (who then serves the busy one's events, timers and
 * waiting tasks), and it reports a task that holds its worker for too long.
 * The report's backtrace is taken on the worker's thread in a signal handler
 * that only follows frame pointers inside the task's stack. */
#include <execinfo.h>

#include "base/sys.h"
#include "core/backtrace.h"
#include "core/interrupt.h"
#include "core/runtime.h"

#define PERIOD (5 * WEFT_MS)
#define CALM_ROUNDS 10
#define FRAMES_MAX 24

struct watched {
    uint64_t tick;
    int64_t since;
    bool reported;
};

/* One request at a time in the process. */
static struct spin trace_lock;
static _Atomic(struct worker *) trace_of;
static _Atomic uint32_t trace_done;
static void *trace_frames[FRAMES_MAX];
static int trace_n;

static int walk(struct worker *w, uintptr_t pc, uintptr_t fp)
{
    return w_backtrace_walk(w->stack, pc, fp, trace_frames, FRAMES_MAX);
}

bool w_monitor_signal(void *context)
{
    ucontext_t *u = context;
    struct worker *w = w_worker();

    if (!w || load_acquire(&trace_of) != w)
        return false;
#if defined(__x86_64__)
    trace_n = walk(w, (uintptr_t)u->uc_mcontext.gregs[REG_RIP],
                   (uintptr_t)u->uc_mcontext.gregs[REG_RBP]);
#elif defined(__aarch64__)
    trace_n = walk(w, (uintptr_t)u->uc_mcontext.pc,
                   (uintptr_t)u->uc_mcontext.regs[29]);
#endif
    store_release(&trace_of, NULL);
    store_release(&trace_done, 1);
    return true;
}

static void print_backtrace(struct worker *w)
{
    spin_lock(&trace_lock);
    store_relaxed(&trace_done, 0);
    store_release(&trace_of, w);
    if (pthread_kill(w->pthread, SIGURG) == 0)
        for (int i = 0; i < 4000 && !load_acquire(&trace_done); i++)
            sys_sleep(WEFT_MS / 2);
    if (load_acquire(&trace_done))
        backtrace_symbols_fd(trace_frames, trace_n, 2);
    store_release(&trace_of, NULL);
    spin_unlock(&trace_lock);
}

static void report(struct worker *w, struct weft_task *t, int64_t ns)
{
    char name[32], site[128];

    w_task_describe(t, name, sizeof name, site, sizeof site);
    w_warn("task %s (spawned at %s) has held worker %u for %lld ms", name, site,
           w->index, (long long)(ns / WEFT_MS));
    print_backtrace(w);
}

static void check(struct weft_runtime *rt, struct worker *w, struct watched *x,
                  int64_t now)
{
    uint64_t tick = load_relaxed(&w->tick);
    struct weft_task *t = load_acquire(&w->running);

    if (tick != x->tick || !t || idle_is_asleep(&rt->idle, w->index)) {
        x->tick = tick;
        x->since = now;
        x->reported = false;
        return;
    }
    if (now - x->since >= PERIOD && !load_relaxed(&rt->sentinel))
        w_notify(rt, w->index);
    if (rt->opts.slow_task > 0 && !x->reported &&
        now - x->since >= rt->opts.slow_task) {
        x->reported = true;
        if (!sim_here())
            report(w, t, now - x->since);
    }
}

static void rest(struct weft_runtime *rt)
{
    store_seq_cst(&rt->monitor_asleep, 1);
    while (idle_all_asleep(&rt->idle) && load_seq_cst(&rt->monitor_asleep) &&
           !load_acquire(&rt->monitor_stop) && !w_interrupt_news())
        (void)sys_futex_wait(&rt->monitor_asleep, 1, -1);
    store_seq_cst(&rt->monitor_asleep, 0);
}

static void *monitor(void *arg)
{
    struct weft_runtime *rt = arg;
    struct watched *w = rt->watched;
    unsigned calm = 0;

    while (!load_acquire(&rt->monitor_stop)) {
        int64_t now = sys_now();

        calm = idle_all_asleep(&rt->idle) ? calm + 1 : 0;
        if (calm > CALM_ROUNDS) {
            rest(rt);
            calm = 0;
            now = sys_now();
            /* What was seen before is old, however long the tick stood. */
            for (unsigned i = 0; i < rt->n_workers; i++)
                w[i].since = now;
        }
        for (unsigned i = 0; i < rt->n_workers; i++)
            check(rt, &rt->workers[i], &w[i], now);
        w_interrupt_look(rt);
        (void)sys_futex_wait(&rt->monitor_stop, 0, PERIOD);
    }
    return NULL;
}

void w_monitor_kick(struct weft_runtime *rt)
{
    if (swap_seq_cst(&rt->monitor_asleep, 0))
        sys_futex_wake(&rt->monitor_asleep, 1);
}

int w_monitor_start(struct weft_runtime *rt)
{
    int rc;

    rt->watched = sys_calloc(rt->n_workers, sizeof *rt->watched);
    if (!rt->watched)
        return -ENOMEM;
    for (unsigned i = 0; i < rt->n_workers; i++)
        rt->watched[i].since = sys_now();
    rc = sys_thread_create(&rt->monitor, NULL, monitor, rt);
    rt->monitor_started = rc == 0;
    return rc;
}

void w_monitor_stop(struct weft_runtime *rt)
{
    if (rt->monitor_started) {
        store_seq_cst(&rt->monitor_stop, 1);
        sys_futex_wake(&rt->monitor_stop, 1);
        w_monitor_kick(rt);
        sys_thread_join(rt->monitor);
        rt->monitor_started = false;
    }
    sys_free(rt->watched);
    rt->watched = NULL;
}
