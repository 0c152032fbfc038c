/* SPDX-License-Identifier: MIT */
/* The loop: what runs next, on which stack.
 *
 * Every stack begins with a frame of w_worker_loop. A task runs on top of it as
 * a plain call. If the task suspends, it keeps the stack with the frame beneath
 * it, and the worker goes on with the loop on another one. When the task
 * returns, it returns into a loop frame that may by then serve another worker:
 * nothing in that frame but the task pointer may be trusted. */
#include "core/worker.h"

#include "base/sys.h"
#include "core/context.h"
#include "core/runtime.h"

#define CACHE_MAX 64u
#define INLINE_ROOM_MIN ((size_t)16384)
#define SLOT_HELD_NS (100 * WEFT_US)
#define TINY_NS 200
#define NAP_MIN (10 * WEFT_US)
#define NAP_MAX (100 * WEFT_US)

/* ---- queues ------------------------------------------------------------ */

/* The newer half goes to the shared queue; order is kept. */
static void spill(struct worker *w, w_entry e)
{
    struct chain c = {e, e, 1};
    w_entry half[RUNQ_SIZE / 2];
    uint32_t n = runq_take_newest(&w->runq, half, RUNQ_SIZE / 2);

    while (n--) {
        *entry_link(half[n]) = c.first;
        c.first = half[n];
        c.n++;
    }
    w_inject_push(&w->thread.rt->inject, c);
}

static void push_quiet(struct worker *w, w_entry e)
{
    if (unlikely(!runq_push(&w->runq, e)))
        spill(w, e);
}

void w_notify(struct weft_runtime *rt, unsigned near)
{
    int i = idle_wake_one(&rt->idle, near);
    struct worker *w;

    if (i < 0)
        return;
    w = w_worker();
    if (w)
        COUNT(w->wakes);
    w_poller_wake(&rt->workers[i].poller);
}

void w_worker_push(struct worker *w, w_entry e)
{
    push_quiet(w, e);
    w_notify(w->thread.rt, w->index);
}

void w_worker_ready(struct worker *w, w_entry e)
{
    w_entry old = slot_put(&w->slot, e);

    if (old)
        w_worker_push(w, old);
}

void w_submit_foreign(struct weft_runtime *rt, w_entry e)
{
    struct chain c = {e, e, 1};

    w_inject_push(&rt->inject, c);
    w_notify(rt, 0);
}

void w_submit(struct weft_runtime *rt, struct chain c)
{
    struct worker *w = w_worker();
    w_entry e, next;

    if (!w || w->thread.rt != rt) {
        w_inject_push(&rt->inject, c);
        w_notify(rt, 0);
        return;
    }
    if (c.n == 1) {
        w_worker_ready(w, c.first);
        return;
    }
    for (e = c.first; e; e = next) {
        next = *entry_link(e);
        push_quiet(w, e);
    }
    w_notify(rt, w->index);
}

/* From the loop, which will run one of them itself. */
static void submit_own(struct worker *w, struct chain c)
{
    for (w_entry e = c.first, next; e; e = next) {
        next = *entry_link(e);
        push_quiet(w, e);
    }
    if (c.n > 1)
        w_notify(w->thread.rt, w->index);
}

static w_entry take_local(struct worker *w)
{
    w_entry e;

    if (w->lifo_runs < LIFO_RUNS_MAX && (e = slot_take(&w->slot))) {
        w->lifo_runs++;
        return e; /* inherits what is left of the budget */
    }
    w->lifo_runs = 0;
    e = runq_take(&w->runq);
    if (!e)
        e = slot_take(&w->slot);
    if (e) {
        w->budget = BUDGET;
        w->run_start = 0;
    }
    return e;
}

static w_entry take_inject(struct worker *w)
{
    struct chain c = w_inject_take(&w->thread.rt->inject, RUNQ_SIZE / 2);
    w_entry e = c.first;

    w->inject_left = w->inject_every;
    if (!e)
        return 0;
    c.first = *entry_link(e);
    c.n--;
    for (w_entry next; c.first; c.first = next) {
        next = *entry_link(c.first);
        push_quiet(w, c.first);
    }
    if (c.n)
        w_notify(w->thread.rt, w->index);
    w->budget = BUDGET;
    w->run_start = 0;
    w->lifo_runs = 0;
    return e;
}

bool w_worker_take_entry(struct worker *w, struct weft_task *t)
{
    w_entry e = (w_entry)t | ENTRY_NEW, seen;

    if (slot_remove(&w->slot, e))
        return true;
    if (runq_peek_newest(&w->runq) != e ||
        !runq_take_newest(&w->runq, &seen, 1))
        return false;
    if (likely(seen == e))
        return true;
    push_quiet(w, seen); /* thieves were quicker; this is an older one */
    return false;
}

static bool looks_stale(w_entry e)
{
    return (e & ENTRY_NEW) && !(load_relaxed(&entry_task(e)->state) & TASK_NEW);
}

/* Joins that ran their child here leave its entry behind; in a tree of joins
 * those would fill the ring before anybody pops them. */
void w_worker_drop_stale(struct worker *w)
{
    w_entry e;

    while (looks_stale(runq_peek_newest(&w->runq)) &&
           runq_take_newest(&w->runq, &e, 1)) {
        if (!looks_stale(e)) { /* a thief was quicker: an older one */
            push_quiet(w, e);
            return;
        }
        w_task_stale(entry_task(e));
    }
}

static bool is_child(w_entry e, struct group *g)
{
    return (e & ENTRY_NEW) && entry_task(e)->family == &g->family &&
           !(entry_task(e)->flags & TASK_APART);
}

w_entry w_worker_take_child(struct worker *w, struct group *g)
{
    w_entry e = slot_take(&w->slot);

    if (e) {
        if (is_child(e, g))
            return e;
        push_quiet(w, e);
        return 0;
    }
    if (!runq_take_newest(&w->runq, &e, 1))
        return 0;
    if (is_child(e, g))
        return e;
    push_quiet(w, e);
    return 0;
}

/* ---- looking around ---------------------------------------------------- */

static void give_stacks(struct worker *w)
{
    struct stack *keep = w->cache, *chain;

    for (unsigned i = 1; i < CACHE_MAX / 2; i++)
        keep = keep->next;
    chain = keep->next;
    keep->next = NULL;
    w->cached = CACHE_MAX / 2;
    w_stack_give(&w->thread.rt->stacks, chain);
}

/* About every 200 us, whatever the tasks are like. */
static void tune_inject(struct worker *w, int64_t now)
{
    int64_t each = (now - w->look_at) / (w->looked_picks + 1) + 1;
    int64_t every = 200000 / each;

    w->inject_every = every < 2 ? 2 : every > 127 ? 127 : (unsigned)every;
}

static unsigned poll_own(struct worker *w, int64_t now, int64_t timeout,
                         unsigned max, struct chain *c)
{
    unsigned n = 0;

    if (timeout || load_relaxed(&w->poller.fds)) {
        COUNT(w->polls);
        n = w_poller_poll(&w->poller, w, timeout, max, c);
        if (timeout)
            now = sys_now();
    } else if (now == 0) {
        now = sys_now();
    }
    store_relaxed(&w->last_poll, now);
    if (timers_first(&w->timers) <= now) {
        unsigned fired = w_timers_expire(&w->timers, w, now, 1024, c);

        COUNT_N(w->timers_fired, fired);
        n += fired;
    }
    return n;
}

/* Every 8 picks the clock; every 61 or after 500 us events and timers. */
static void look(struct worker *w)
{
    int64_t now = sys_now();

    w->picks = 8;
    w->looked_picks += 8;
    if (w->looked_picks >= LOOK_PICKS || now - w->look_at > RUN_MAX_NS) {
        struct chain c = {0, 0, 0};

        tune_inject(w, now);
        w->look_at = now;
        w->looked_picks = 0;
        (void)poll_own(w, now, 0, 16, &c);
        if (c.n)
            submit_own(w, c);
        if (unlikely(w->cached > CACHE_MAX))
            give_stacks(w);
    }
}

/* ---- searching and sleeping -------------------------------------------- */

static bool work_visible(struct weft_runtime *rt)
{
    if (!inject_looks_empty(&rt->inject))
        return true;
    for (unsigned i = 0; i < rt->n_workers; i++)
        if (!runq_looks_empty(&rt->workers[i].runq))
            return true;
    return false;
}

static void stop_searching(struct worker *w, bool found)
{
    struct weft_runtime *rt = w->thread.rt;

    if (!w->searching)
        return;
    w->searching = false;
    /* Whoever published work and saw a searcher relied on it: D1 of idle.h. */
    if (idle_search_end(&rt->idle) && found && work_visible(rt))
        w_notify(rt, w->index);
}

static w_entry steal_from(struct worker *w, struct worker *victim)
{
    w_entry got[RUNQ_SIZE / 2];
    uint32_t n = runq_steal(&victim->runq, got, RUNQ_SIZE / 2);

    if (!n)
        return 0;
    COUNT_N(w->steals, n);
    for (uint32_t i = 1; i < n; i++)
        push_quiet(w, got[i]);
    w->loot = n;
    w->loot_at = sys_now();
    return got[0];
}

/* A task that has run for long holds up what its worker alone would serve. */
static w_entry rescue(struct worker *w, unsigned k, int64_t now)
{
    struct worker *v = &w->thread.rt->workers[w->victims[k]];
    uint64_t tick = load_relaxed(&v->tick);
    struct chain c = {0, 0, 0};
    unsigned events;
    w_entry e;

    if (idle_is_asleep(&w->thread.rt->idle, v->index))
        return 0;
    if (w->seen_tick[k] != tick) {
        w->seen_tick[k] = tick;
        w->seen_at[k] = now;
    } else if (now - w->seen_at[k] > SLOT_HELD_NS &&
               (e = slot_steal(&v->slot))) {
        COUNT(w->steals);
        return e;
    }
    if (now - load_relaxed(&v->last_poll) < RUN_MAX_NS)
        return 0;
    events = w_poller_drain(&v->poller, w, &c);
    events += w_timers_expire(&v->timers, w, now, 64, &c);
    COUNT_N(w->events_stolen, events);
    if (!c.n)
        return 0;
    e = c.first;
    c.first = *entry_link(e);
    if (--c.n)
        submit_own(w, c);
    return e;
}

/* Moving a task's record here and back costs more than running a tiny task. A
 * thief whose last loot was gone in no time lets the victim be for a while. */
static bool theft_pays(struct worker *w)
{
    int64_t now;

    if (!w->loot)
        return true;
    now = sys_now();
    if ((now - w->loot_at) / w->loot < TINY_NS)
        w->nap = w->nap >= NAP_MAX / 2 ? NAP_MAX : 2 * w->nap + NAP_MIN;
    else
        w->nap = 0;
    w->loot = 0;
    return w->nap == 0;
}

/* Not counted as asleep: nobody shall spend a wake on it. */
static void nap(struct worker *w)
{
    struct chain c = {0, 0, 0};

    stop_searching(w, false);
    (void)poll_own(w, 0, w->nap, 128, &c);
    if (c.n)
        submit_own(w, c);
}

static w_entry search(struct worker *w)
{
    struct weft_runtime *rt = w->thread.rt;
    unsigned n = rt->n_workers - 1;
    int64_t now;
    w_entry e;

    if (!theft_pays(w)) {
        nap(w);
        if ((e = take_local(w)))
            return e;
    }

    if (!w->searching) {
        if (!idle_search_begin(&rt->idle))
            return 0;
        w->searching = true;
    }
    for (unsigned k = 0; k < n; k++)
        if ((e = steal_from(w, &rt->workers[w->victims[k]])))
            return e;
    if ((e = take_inject(w)))
        return e;
    now = sys_now();
    for (unsigned k = 0; k < n; k++)
        if ((e = rescue(w, k, now)))
            return e;
    return 0;
}

/* How long to sleep: until the next timer; one sleeper looks after the busy
 * ones each millisecond. */
static int64_t sleep_time(struct worker *w, bool *sentinel)
{
    struct weft_runtime *rt = w->thread.rt;
    int64_t first = timers_first(&w->timers), ns = -1;
    uint32_t none = 0;

    if (first != INT64_MAX) {
        ns = first - sys_now();
        ns = ns < 0 ? 0 : ns;
    }
    *sentinel = rt->n_workers > 1 && !idle_all_asleep(&rt->idle) &&
                !load_relaxed(&rt->sentinel) &&
                cas_acq_rel(&rt->sentinel, &none, w->index + 1);
    if (*sentinel && (ns < 0 || ns > 1000000))
        ns = 1000000;
    return ns;
}

static void park(struct worker *w)
{
    struct weft_runtime *rt = w->thread.rt;
    struct chain c = {0, 0, 0};
    bool sentinel = false;
    int64_t ns = 0;

    if (unlikely(w->cached > CACHE_MAX))
        give_stacks(w);
    if (unlikely(w->slab.n_free > 8192))
        w_slab_trim(&w->slab);
    stop_searching(w, false);
    idle_sleep_begin(&rt->idle, w->index);
    if (!work_visible(rt) && !load_acquire(&rt->exiting)) {
        ns = sleep_time(w, &sentinel);
        COUNT(w->parks);
    }
    (void)poll_own(w, 0, ns, 128, &c);
    if (!idle_sleep_end(&rt->idle, w->index))
        w->searching = true;
    if (sentinel)
        store_release(&rt->sentinel, 0);
    if (load_seq_cst(&rt->monitor_asleep))
        w_monitor_kick(rt);
    w->look_at = load_relaxed(&w->last_poll);
    w->looked_picks = 0;
    w->picks = 8;
    if (c.n)
        submit_own(w, c);
}

/* 0: the runtime ends. */
static w_entry pick(struct worker *w)
{
    struct weft_runtime *rt = w->thread.rt;
    w_entry e = w->handoff;

    if (e) {
        w->handoff = 0;
        return e;
    }
    for (;;) {
        if (unlikely(load_relaxed(&rt->exiting)))
            return 0;
        if (unlikely(--w->picks == 0))
            look(w);
        if (unlikely(--w->inject_left == 0) && (e = take_inject(w)))
            break;
        if ((e = take_local(w)) || (e = take_inject(w)))
            break;
        w_worker_flush(w);
        if (!runq_looks_empty(&w->runq) || slot_full(&w->slot))
            continue; /* an owner that was waiting for its children */
        if (rt->n_workers > 1 && (e = search(w)))
            break;
        park(w);
    }
    if (w->searching)
        stop_searching(w, true);
    return e;
}

/* What a suspending task may switch to without the loop in between. */
static w_entry pick_direct(struct worker *w)
{
    if (unlikely(w->picks <= 1 || w->inject_left <= 1))
        return 0;
    w->picks--;
    w->inject_left--;
    return take_local(w);
}

/* ---- switching --------------------------------------------------------- */

static void run_commit(struct worker *w)
{
    w_commit_fn *fn = w->commit;

    if (fn) {
        w->commit = NULL;
        fn(w, w->commit_task, w->commit_arg);
    }
}

bool w_can_suspend(struct worker *w)
{
    struct stack *s;

    if (likely(w->cache))
        return true;
    s = w_stack_take(&w->thread.rt->stacks);
    if (!s)
        return false;
    s->next = NULL;
    w->cache = s;
    w->cached = 1;
    return true;
}

static struct stack *pop_stack(struct worker *w)
{
    struct stack *s = w->cache;

    w->cache = s->next;
    w->cached--;
    return s;
}

static void push_stack(struct worker *w, struct stack *s)
{
    s->next = w->cache;
    w->cache = s;
    w->cached++;
}

static void set_running(struct worker *w, struct weft_task *t)
{
    w->current = t;
    COUNT(w->tick);
    store_relaxed(&w->running, t);
}

void w_switch_out(w_commit_fn *commit, void *arg)
{
    struct worker *w = w_worker();
    struct weft_task *t = w->current;
    struct stack *from = w->stack;
    w_entry e = pick_direct(w);
    void *to;

    assert(!w->commit);
    w->commit = commit;
    w->commit_task = t;
    w->commit_arg = arg;
    t->stack = from;
    COUNT(w->switches);
    w_worker_flush(w);
    if (e && !(e & ENTRY_NEW)) {
        struct weft_task *n = entry_task(e);

        set_running(w, n);
        w->stack = n->stack;
        to = n->sp;
    } else {
        w->handoff = e;
        w->current = NULL;
        w->stack = pop_stack(w);
        to = w->stack->sp;
    }
    fiber_leave(&from->fiber, &w->stack->fiber);
    context_switch(&t->sp, to);
    fiber_enter(&t->stack->fiber, NULL);
    run_commit(w_worker());
}

static void yield_commit(struct worker *w, struct weft_task *t, void *arg)
{
    (void)arg;
    push_quiet(w, (w_entry)t);
}

static void yield(struct worker *w)
{
    if (!slot_full(&w->slot) && runq_looks_empty(&w->runq) &&
        w->picks > 1 && w->inject_left > 1) {
        w->picks--;
        w->inject_left--;
        w->budget = BUDGET;
        w->run_start = 0;
        return; /* nobody else is ready */
    }
    if (w_can_suspend(w))
        w_switch_out(yield_commit, NULL);
}

int weft_yield(void)
{
    struct worker *w = w_worker();
    int rc;

    if (unlikely(!w || !w->current))
        return -EPERM;
    rc = w_cancel_error(w->current);
    if (unlikely(rc))
        return rc;
    yield(w);
    return 0;
}

void w_budget_spent(struct worker *w)
{
    int64_t now;

    if (w->budget != 0) {
        now = sys_now();
        if (!w->run_start)
            w->run_start = now;
        if (now - w->run_start < RUN_MAX_NS)
            return;
    }
    w->budget = BUDGET;
    w->run_start = 0;
    yield(w);
}

/* ---- running ----------------------------------------------------------- */

static long call(struct weft_task *t)
{
    if (unlikely((load_acquire(&t->cancelled) ||
                  load_acquire(&t->family->cancelled)) &&
                 !(t->flags & TASK_RUN_CANCELLED)))
        return -ECANCELED;
    return t->fn(t->arg);
}

static void run(struct worker *w, struct weft_task *t)
{
    long result;

    if (w->done_of != t->family->group || !w->done_of)
        w_worker_flush(w);
    set_running(w, t);
    result = call(t);
    w = w_worker(); /* perhaps another */
    w->current = NULL;
    store_relaxed(&w->running, NULL);
    w_task_end(w, t, result);
}

bool w_inline_room(struct worker *w)
{
    struct stack *s = w->stack;
    size_t room = (size_t)((char *)__builtin_frame_address(0) - s->limit);

    return room > (size_t)(s->top - s->limit) / 2 && room > INLINE_ROOM_MIN;
}

void w_run_inline(struct worker *w, struct weft_task *t)
{
    struct weft_task *outer = w->current;
    long result;

    w_worker_flush(w);
    set_running(w, t);
    result = call(t);
    w = w_worker();
    w->current = outer;
    store_relaxed(&w->running, outer);
    w_task_end(w, t, result);
    w_worker_flush(w);
}

/* From the loop on stack `from` to another stack. */
static void leave_to(struct worker *w, struct stack *from, struct stack *to,
                     void *sp)
{
    w->stack = to;
    fiber_leave(&from->fiber, &to->fiber);
    context_switch(&from->sp, sp);
    fiber_enter(&from->fiber, NULL);
}

static void free_single(struct worker *w, struct weft_task *t, void *arg)
{
    (void)t;
    w_stack_single_free(&w->thread.rt->stacks, arg);
}

/* A task that asked for a stack of its own size starts there. False: no
 * memory; it is queued again. */
static void start_apart(struct worker *w, struct weft_task *t)
{
    struct stack *from = w->stack;
    struct stack *s = w_stack_single(&w->thread.rt->stacks, t->stack_size);

    if (!s) {
        w_task_end(w, t, -ENOMEM);
        return;
    }
    w->start = t;
    push_stack(w, from);
    leave_to(w, from, s, s->sp);
}

static void run_entry(struct worker *w, w_entry e)
{
    struct weft_task *t = entry_task(e);

    if (e & ENTRY_NEW) {
        if (!task_claim_entry(t))
            w_task_stale(t);
        else if (unlikely(t->flags & TASK_APART))
            start_apart(w, t);
        else
            run(w, t);
    } else {
        struct stack *from = w->stack;

        w_worker_flush(w);
        set_running(w, t);
        push_stack(w, from);
        leave_to(w, from, t->stack, t->sp);
    }
}

static void leave_single(struct worker *w)
{
    struct stack *from = w->stack;

    while (!w_can_suspend(w))
        sys_sleep(1000000); /* others may free one */
    w->commit = free_single;
    w->commit_task = NULL;
    w->commit_arg = from;
    w->stack = pop_stack(w);
    fiber_leave(&from->fiber, &w->stack->fiber);
    context_switch(&from->sp, w->stack->sp);
    __builtin_unreachable();
}

static void leave_for_good(struct worker *w)
{
    struct stack *from = w->stack;

    fiber_leave(&from->fiber, &w->native);
    context_switch(&from->sp, w->native_sp);
    __builtin_unreachable();
}

void w_worker_loop(void)
{
    struct worker *w = w_worker();

    fiber_enter(&w->stack->fiber, &w->native);
    for (;;) {
        struct weft_task *t;
        w_entry e;

        w = w_worker();
        run_commit(w);
        t = w->start;
        if (unlikely(t)) {
            w->start = NULL;
            run(w, t);
            w = w_worker();
        } else if (likely((e = pick(w)))) {
            run_entry(w, e);
            w = w_worker();
        } else {
            leave_for_good(w);
        }
        if (unlikely(w->stack->single))
            leave_single(w);
    }
}

void *w_worker_thread(void *arg)
{
    struct worker *w = arg;
    struct stack *s;

    w_thread_set(&w->thread);
    if (w->thread.rt->pinned && w_topo_bind(w->thread.rt->topo, &w->place) < 0 &&
        w->index == 0)
        w_warn("the kernel refuses to bind threads; workers run unbound");
    w_fault_thread_open(w);
    fiber_native(&w->native);
    w->look_at = sys_now();
    store_relaxed(&w->last_poll, w->look_at);
    s = pop_stack(w);
    w->stack = s;
    fiber_leave(&w->native, &s->fiber);
    context_switch(&w->native_sp, s->sp);
    fiber_enter(&w->native, NULL);
    w_fault_thread_close(w);
    w_thread_set(NULL);
    return NULL;
}
