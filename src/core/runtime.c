/* SPDX-License-Identifier: MIT */
/* A runtime's life.
 *
 * Stop, in order:
 *   1. `stopping` is set: foreign threads are refused, new detached tasks too.
 *   2. Roots are cancelled: the detached tasks and the main one; groups hand
 *      it on to their children. Armed watches fire with -ECANCELED, timers are
 *      dropped when they come due.
 *   3. The closer waits until no root is left, or the grace is over.
 *   4. What is left is reported by name.
 *   5. `exiting` is set and every worker woken; each leaves its loop as soon as
 *      it stands in it, and ends on its own thread's stack.
 *   6. Pools above the core close; threads are joined; memory goes. */
#include "core/runtime.h"

#include <stdio.h>

#include "base/sys.h"
#include "core/debugmode.h"
#include "core/interrupt.h"

/* ---- fork -------------------------------------------------------------- */

static _Atomic uint32_t generation;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* The child has none of the threads: its copies of runtimes are dead. It may
 * open new ones. */
static void in_child(void)
{
    add_relaxed(&generation, 1);
    w_thread_set(NULL);
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, in_child);
}

/* Is this a copy in a forked child? */
static bool is_dead(const struct weft_runtime *rt)
{
    return rt->generation != load_relaxed(&generation);
}

/* ---- roots ------------------------------------------------------------- */

void w_root_ended(struct worker *w)
{
    struct weft_runtime *rt = w->thread.rt;

    store_seq_cst(&w->roots_ended, load_relaxed(&w->roots_ended) + 1);
    if (unlikely(load_seq_cst(&rt->stopping))) {
        add_seq_cst(&rt->quiet, 1);
        sys_futex_wake(&rt->quiet, INT_MAX);
    }
}

/* Ends are read before starts: if the sums agree, there was a moment between
 * with no root alive, since only roots and foreigners (who are refused by then)
 * start roots. */
bool w_roots_ended(struct weft_runtime *rt)
{
    uint64_t ended = 0, started = 0;

    for (unsigned i = 0; i < rt->n_workers; i++)
        ended += load_seq_cst(&rt->workers[i].roots_ended);
    for (unsigned i = 0; i < rt->n_workers; i++)
        started += load_seq_cst(&rt->workers[i].roots_started);
    return ended == started + load_seq_cst(&rt->foreign_started);
}

void w_roots_cancel(struct weft_runtime *rt)
{
    struct chain c = {0, 0, 0};

    w_family_cancel(&rt->foreign_roots, &c);
    for (unsigned i = 0; i < rt->n_workers; i++)
        w_family_cancel(&rt->workers[i].roots, &c);
    if (c.n)
        w_submit(rt, c);
}

/* ---- open -------------------------------------------------------------- */

static void fill_options(struct weft_options *o, struct topo *topo)
{
    /* Unsafe only beside a setenv, as for everybody who reads it. */
    const char *env = getenv("WEFT_DEBUG"); /* NOLINT(concurrency-mt-unsafe) */

    if (!o->workers)
        o->workers = w_topo_default_workers(topo);
    if (!o->executor_threads)
        o->executor_threads = w_topo_default_workers(topo);
    if (!o->blocking_threads)
        o->blocking_threads = 64;
    if (!o->blocking_keepalive)
        o->blocking_keepalive = 10 * WEFT_SEC;
    if (!o->executor_nice)
        o->executor_nice = 19;
    if (!o->stack_size)
        o->stack_size = STACK_DEFAULT;
    if (!o->slow_task)
        o->slow_task = 100 * WEFT_MS;
    if (!o->grace)
        o->grace = 5 * WEFT_SEC;
    if (env && *env && strcmp(env, "0") != 0)
        o->debug = 1;
}

/* A simulation's, the same on every machine. */
#define SIM_MACHINE "core:4 pu:1"

/* Growing a process's fd table stalls threads for milliseconds later. */
static void grow_fd_table(void)
{
    struct rlimit r;
    int fd, want = 4096;

    if (sim_here())
        return;
    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return;
    if (r.rlim_cur <= (rlim_t)want)
        want = (int)r.rlim_cur - 1;
    fd = sys_fcntl(2, F_DUPFD_CLOEXEC, want);
    if (fd >= 0)
        (void)sys_close(fd);
}

static int open_worker(struct weft_runtime *rt, unsigned i)
{
    struct worker *w = &rt->workers[i];
    unsigned n = rt->n_workers;

    w->thread.kind = THREAD_WORKER;
    w->thread.rt = rt;
    w->index = i;
    w->budget = w->budget_full = sim_here() ? BUDGET_SIM : BUDGET;
    w->refill = 1;
    w->picks = 8;
    w->inject_every = w->inject_left = 31;
    w_slab_open(&w->slab, rt);
    w_timers_open(&w->timers);
    w->poller.epoll = w->poller.event = -1;
    w->victims = sys_calloc(n, sizeof *w->victims);
    w->seen_tick = sys_calloc(n, sizeof *w->seen_tick);
    w->seen_at = sys_calloc(n, sizeof *w->seen_at);
    if (!w->victims || !w->seen_tick || !w->seen_at || !w_can_suspend(w))
        return -ENOMEM;
    return w_poller_open(&w->poller);
}

static void close_worker(struct worker *w)
{
    w_poller_close(&w->poller);
    w_slab_close(&w->slab);
    sys_free(w->victims);
    sys_free(w->seen_tick);
    sys_free(w->seen_at);
}

static int place_workers(struct weft_runtime *rt)
{
    unsigned n = rt->n_workers;
    struct topo_place *places = sys_calloc(n, sizeof *places);

    if (!places)
        return -ENOMEM;
    w_topo_place(rt->topo, n, places);
    for (unsigned i = 0; i < n; i++) {
        rt->workers[i].place = places[i];
        w_topo_victims(rt->topo, places, n, i, rt->workers[i].victims);
    }
    sys_free(places);
    rt->pinned = !sim_here() && (rt->opts.pin == WEFT_PIN_ON ||
                                 (rt->opts.pin == WEFT_PIN_AUTO &&
                                  w_topo_can_bind(rt->topo, n)));
    return 0;
}

static void stop_threads(struct weft_runtime *rt)
{
    store_seq_cst(&rt->exiting, 1);
    for (unsigned i = 0; i < rt->n_workers; i++)
        if (rt->workers[i].started)
            w_poller_wake(&rt->workers[i].poller);
    for (unsigned i = 0; i < rt->n_workers; i++)
        if (rt->workers[i].started)
            sys_thread_join(rt->workers[i].pthread);
}

static void free_runtime(struct weft_runtime *rt)
{
    for (unsigned i = 0; rt->workers && i < rt->n_workers; i++)
        close_worker(&rt->workers[i]);
    w_slab_close(&rt->foreign);
    w_stack_pool_close(&rt->stacks);
    w_cells_close(&rt->cells);
    w_topo_close(rt->topo);
    sys_free(rt->workers);
    sys_free(rt);
}

static int start_threads(struct weft_runtime *rt)
{
    sigset_t all, old;
    int rc = 0;

    /* Signals are for the program's own threads, except those that a fault
     * raises and the one that asks for a backtrace. */
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGABRT);
    sigdelset(&all, SIGTRAP);
    sigdelset(&all, SIGURG);
    (void)pthread_sigmask(SIG_BLOCK, &all, &old);
    for (unsigned i = 0; rc == 0 && i < rt->n_workers; i++) {
        struct worker *w = &rt->workers[i];

        rc = sys_thread_create(&w->pthread, NULL, w_worker_thread, w);
        w->started = rc == 0;
    }
    if (rc == 0)
        rc = w_monitor_start(rt);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

static int open_parts(struct weft_runtime *rt)
{
    int rc = w_topo_open(&rt->topo, sim_here() ? SIM_MACHINE : NULL, NULL);

    if (rc < 0)
        return rc;
    fill_options(&rt->opts, rt->topo);
    if (rt->opts.workers > IDLE_WORKERS_MAX)
        return -EINVAL;
    rt->n_workers = rt->opts.workers;
    idle_open(&rt->idle, rt->n_workers);
    w_inject_open(&rt->inject);
    w_inject_open(&rt->background);
    w_stack_pool_open(&rt->stacks, rt->opts.stack_size, rt->opts.stack_limit,
                      w_worker_loop);
    rt->stacks.keep = rt->opts.debug; /* else the deepest page might be lost */
    w_slab_open(&rt->foreign, rt);
    rt->on_unhandled = rt->opts.on_unhandled;
    rt->unhandled_arg = rt->opts.unhandled_arg;
    rt->workers = sys_memalign(W_ISOLATED, rt->n_workers * sizeof *rt->workers);
    if (!rt->workers)
        return -ENOMEM;
    memset(rt->workers, 0, rt->n_workers * sizeof *rt->workers);
    for (unsigned i = 0; i < rt->n_workers; i++)
        rt->workers[i].poller.epoll = rt->workers[i].poller.event = -1;
    for (unsigned i = 0; rc == 0 && i < rt->n_workers; i++)
        rc = open_worker(rt, i);
    return rc ? rc : place_workers(rt);
}

int weft_runtime_open(weft_runtime **out, const struct weft_options *opts)
{
    struct weft_runtime *rt = sys_memalign(W_ISOLATED, sizeof *rt);
    int rc;

    if (!rt)
        return -ENOMEM;
    (void)pthread_once(&fork_once, watch_forks);
    w_barrier_open();
    memset(rt, 0, sizeof *rt);
    list_init(&rt->calls);
    rt->generation = load_relaxed(&generation);
    (void)pthread_getaffinity_np(pthread_self(), sizeof rt->affinity,
                                 &rt->affinity);
    if (opts)
        rt->opts = *opts;
    rc = open_parts(rt);
    if (rc < 0) {
        free_runtime(rt);
        return rc;
    }
    grow_fd_table();
    w_fault_open();
    rc = start_threads(rt);
    if (rc < 0) {
        w_monitor_stop(rt);
        stop_threads(rt);
        w_fault_close();
        free_runtime(rt);
        return rc;
    }
    w_debug_open(rt);
    *out = rt;
    return 0;
}

/* ---- foreign threads --------------------------------------------------- */

struct call {
    struct list node;
    weft_fn *fn;
    void *arg;
    long result;
    _Atomic uint32_t done; /* futex */
};

/* After `done` is set the caller's frame may be gone: a wake of a word that
 * nobody waits on any more is harmless. */
static void end_call(struct weft_runtime *rt, struct call *c, long result)
{
    spin_lock(&rt->calls_lock);
    list_remove(&c->node);
    spin_unlock(&rt->calls_lock);
    c->result = result;
    store_release(&c->done, 1);
    sys_futex_wake(&c->done, 1);
}

static long run_call(void *arg)
{
    struct call *c = arg;
    long result = c->fn(c->arg);
    struct weft_task *t = w_current();

    w_task_note(t, NULL); /* the caller has the error */
    end_call(task_rt(t), c, result);
    return 0;
}

/* The tasks of calls that were abandoned will not answer. */
static void abandon_calls(struct weft_runtime *rt)
{
    while (!list_empty(&rt->calls))
        end_call(rt, container_of(rt->calls.next, struct call, node),
                 -ECANCELED);
}

/* -ESHUTDOWN, or the right to submit until leave_runtime. */
static int enter_runtime(struct weft_runtime *rt)
{
    if (is_dead(rt))
        return -EOWNERDEAD;
    add_seq_cst(&rt->callers, 1);
    if (!load_seq_cst(&rt->stopping))
        return 0;
    sub_seq_cst(&rt->callers, 1);
    return -ESHUTDOWN;
}

static void leave_runtime(struct weft_runtime *rt)
{
    sub_seq_cst(&rt->callers, 1);
}

static int post(struct weft_runtime *rt, weft_fn *fn, void *arg,
                const char *site, uint32_t flags)
{
    struct worker *w = w_worker();
    struct weft_task *t;

    if (w && w->thread.rt != rt)
        w = NULL;
    t = w_root_task(rt, w, fn, arg, site);
    if (!t)
        return -ENOMEM;
    t->flags |= flags;
    if (w)
        w_worker_ready(w, (w_entry)t | ENTRY_NEW);
    else
        w_submit_foreign(rt, (w_entry)t | ENTRY_NEW);
    return 0;
}

int weft_runtime_post(weft_runtime *rt, weft_fn *fn, void *arg)
{
    int rc = enter_runtime(rt);

    if (rc)
        return rc;
    rc = post(rt, fn, arg, WEFT_SITE("post"), 0);
    leave_runtime(rt);
    return rc;
}

long weft_runtime_call(weft_runtime *rt, weft_fn *fn, void *arg)
{
    struct call c = {.fn = fn, .arg = arg};
    struct worker *w = w_worker();
    int rc;

    if (w && w->thread.rt == rt)
        return -EDEADLK;
    rc = enter_runtime(rt);
    if (rc)
        return rc;
    spin_lock(&rt->calls_lock);
    list_push_back(&rt->calls, &c.node);
    spin_unlock(&rt->calls_lock);
    rc = post(rt, run_call, &c, WEFT_SITE("main"), TASK_RUN_CANCELLED);
    if (rc) {
        spin_lock(&rt->calls_lock);
        list_remove(&c.node);
        spin_unlock(&rt->calls_lock);
    }
    leave_runtime(rt);
    if (rc)
        return rc;
    while (!load_acquire(&c.done))
        (void)sys_futex_wait(&c.done, 0, -1);
    return c.result;
}

long weft_runtime_run(weft_runtime *rt, weft_fn *fn, void *arg)
{
    return weft_runtime_call(rt, fn, arg);
}

weft_runtime *weft_runtime_self(void)
{
    struct weft_task *t = w_current();

    return t ? task_rt(t) : NULL;
}

/* ---- close ------------------------------------------------------------- */

/* On a worker: watches become tasks. */
static long cancel_all(void *arg)
{
    struct weft_runtime *rt = arg;

    w_roots_cancel(rt);
    w_watches_cancel(rt);
    return 0;
}

void weft_runtime_stop(weft_runtime *rt)
{
    uint32_t no = 0;

    if (is_dead(rt) || !cas_seq_cst(&rt->stopping, &no, 1))
        return;
    /* Submissions of those who were let in before are not refused. */
    while (load_seq_cst(&rt->callers))
        sys_yield();
    if (post(rt, cancel_all, rt, WEFT_SITE("stop"), TASK_RUN_CANCELLED) < 0)
        w_roots_cancel(rt); /* no memory: watches stay silent */
}

static void wait_quiet(struct weft_runtime *rt)
{
    int64_t end = sys_now() + rt->opts.grace;

    for (;;) {
        uint32_t seen = load_seq_cst(&rt->quiet);
        int64_t left = end - sys_now();

        if (w_roots_ended(rt) || left <= 0)
            return;
        (void)sys_futex_wait(&rt->quiet, seen,
                             left < 50 * WEFT_MS ? left : 50 * WEFT_MS);
    }
}

static void list_straggler(struct weft_task *t, void *arg)
{
    unsigned *n = arg;

    if (load_acquire(&t->state) & (TASK_DONE | TASK_NEW | TASK_FREE))
        return;
    if ((*n)++ < 20)
        w_warn("left at stop: task %s (spawned at %s), waits for %s",
               weft_task_name(t), weft_task_site(t),
               t->why ? t->why : "nothing");
}

static int stragglers(struct weft_runtime *rt)
{
    unsigned n = 0;

    w_tasks_each(rt, list_straggler, &n);
    if (n > 20)
        w_warn("left at stop: %u more tasks", n - 20);
    return (int)n;
}

int weft_runtime_close(weft_runtime *rt)
{
    struct worker *w = w_worker();
    bool quiet;
    int left = 0;

    if (w && w->thread.rt == rt)
        return -EDEADLK;
    if (is_dead(rt))
        return -EOWNERDEAD;
    weft_runtime_stop(rt);
    wait_quiet(rt);
    quiet = w_roots_ended(rt);
    for (int i = 0; i < FLOOR_COUNT; i++)
        if (load_acquire(&rt->floor[i]))
            rt->floor_ops[i]->close(rt, load_acquire(&rt->floor[i]));
    w_monitor_stop(rt);
    stop_threads(rt);
    if (!quiet)
        left = stragglers(rt);
    abandon_calls(rt);
    while (load_seq_cst(&rt->callers)) /* they woke what has ended since */
        sys_yield();
    w_debug_close(rt);
    w_fault_close();
    free_runtime(rt);
    return left;
}

long weft_run_with(const struct weft_options *opts, weft_fn *fn, void *arg)
{
    struct interrupt it = {fn, arg};
    weft_runtime *rt;
    long result;
    int rc = weft_runtime_open(&rt, opts);

    if (rc < 0)
        return rc;
    if (opts && opts->no_sigint)
        result = weft_runtime_call(rt, fn, arg);
    else
        result = weft_runtime_call(rt, w_interrupt_run, &it);
    (void)weft_runtime_close(rt);
    return result;
}

long weft_run(weft_fn *fn, void *arg)
{
    return weft_run_with(NULL, fn, arg);
}
