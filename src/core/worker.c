/* SPDX-License-Identifier: MIT */
/* The loop: on which stack a task runs, and what happens at a switch.
 *
 * Every stack begins with a frame of w_worker_loop. A task runs on top of it as
 * a plain call. If the task suspends, it keeps the stack with the frame beneath
 * it, and the worker goes on with the loop on another one. When the task
 * returns, it returns into a loop frame that may by then serve another worker:
 * nothing in that frame but the task pointer may be trusted. */
#include "core/worker.h"

#include "base/sys.h"
#include "core/context.h"
#include "core/exceptions.h"
#include "core/ready.h"
#include "core/runtime.h"

#define INLINE_ROOM_MIN ((size_t)16384)
#define STACK_REFILL_MAX 32u

/* ---- switching --------------------------------------------------------- */

/* What a suspending task may switch to without the loop in between. */
static w_entry pick_direct(struct worker *w)
{
    if (unlikely(w->held))
        return ready_take_held(w);
    if (unlikely(w->picks <= 1 || w->inject_left <= 1))
        return 0;
    w->picks--;
    w->inject_left--;
    return ready_take(w);
}

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
    if (likely(w->cache))
        return true;
    w->cache = w_stack_take(&w->thread.rt->stacks, w->refill, &w->cached);
    /* Many suspend and few resume: the next lot is larger. */
    if (w->refill < STACK_REFILL_MAX)
        w->refill *= 2;
    return w->cache != NULL;
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
    store_release(&w->running, t);
}

static inline void switch_to(struct worker *w, w_entry e, w_commit_fn *commit,
                             void *arg)
{
    struct cxa_globals exceptions = exceptions_take();
    struct weft_task *t = w->current;
    struct stack *from = w->stack;
    void *to;

    assert(!w->commit);
    w->commit = commit;
    w->commit_task = t;
    w->commit_arg = arg;
    t->stack = from;
    COUNT(w->switches);
    w_worker_flush(w);
    if (e && !(e & ENTRY_NEW) &&
        likely(!(load_relaxed(&entry_task(e)->state) & TASK_BACKGROUND))) {
        struct weft_task *n = entry_task(e);

        set_running(w, n);
        w->stack = n->stack;
        to = n->sp;
    } else {
        w->handoff = e;
        w->current = NULL;
        store_relaxed(&w->running, NULL);
        w->stack = pop_stack(w);
        to = w->stack->sp;
    }
    fiber_leave(&from->fiber, &w->stack->fiber);
    context_switch(&t->sp, to);
    fiber_enter(&t->stack->fiber, NULL);
    run_commit(w_worker());
    exceptions_give(exceptions);
}

void w_switch_out(w_commit_fn *commit, void *arg)
{
    struct worker *w = w_worker();

    switch_to(w, pick_direct(w), commit, arg);
}

static void eager_commit(struct worker *w, struct weft_task *t, void *arg)
{
    (void)arg;
    *entry_link((w_entry)t) = w->held;
    w->held = (w_entry)t;
}

bool w_switch_to_new(struct worker *w, struct weft_task *t)
{
    if (!w_can_suspend(w))
        return false;
    switch_to(w, (w_entry)t | ENTRY_NEW, eager_commit, NULL);
    return true;
}

static void yield_commit(struct worker *w, struct weft_task *t, void *arg)
{
    (void)arg;
    ready_push(w, (w_entry)t);
}

static void yield(struct worker *w)
{
    if (!slot_full(&w->slot) && runq_looks_empty(&w->runq) && !w->held &&
        w->picks > 1 && w->inject_left > 1) {
        w->picks--;
        w->inject_left--;
        w->budget = w->budget_full;
        w->run_start = 0;
        sim_point();
        return; /* nobody else is ready */
    }
    if (w_can_suspend(w))
        w_switch_out(yield_commit, NULL);
}

int weft_yield(void)
{
    struct worker *w = w_worker();
    struct weft_task *t = w ? w->current : NULL;

    if (unlikely(!t))
        return -EPERM;
    yield(w);
    return w_cancel_error(t);
}

static void take_turn(struct worker *w)
{
    w->budget = w->budget_full;
    w->run_start = 0;
    yield(w);
}

static bool ran_long(struct worker *w)
{
    int64_t now = sys_now();

    if (!w->run_start)
        w->run_start = now;
    return now - w->run_start >= RUN_MAX_NS;
}

/* Each operation comes here: now another thread goes on, now another task. */
static void sim_turn(struct worker *w)
{
    w->budget = 1;
    w_sim_ops->point();
    if (w_sim_ops->random() % 8 == 0)
        take_turn(w);
}

/* The clock is read after 16, 32 and 64 operations: where each takes as long as
 * those before, the end is missed by no more than the time until then. */
void w_budget_spent(struct worker *w)
{
    unsigned done = BUDGET - w->budget;
    bool look = (done & (done - 1)) == 0;

    if (sim_here())
        sim_turn(w);
    else if (w->budget == 0 || out_of_turn(w, 2) || (look && ran_long(w)))
        take_turn(w);
}

/* ---- running ----------------------------------------------------------- */

static long call(struct weft_task *t)
{
    long result;

    if (unlikely((load_acquire(&t->cancelled) ||
                  load_acquire(&t->family->cancelled)) &&
                 !(t->flags & TASK_RUN_CANCELLED)))
        return -ECANCELED;
    result = t->fn(t->arg);
    if (unlikely(t->flags & TASK_DEFERS))
        w_defers_run(&t->defers);
    return result;
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
    /* Tasks that only spawn and join never suspend either. By time alone: a
     * tree of them goes depth-first as long as it may. */
    if (unlikely(++w->inlined % INLINE_CHECK == 0) && ran_long(w))
        take_turn(w);
    result = call(t);
    w = w_worker();
    w->current = outer;
    store_release(&w->running, outer);
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

/* A task that asked for a stack of its own size starts there. One that owns
 * something must: there will be memory again. */
static void start_apart(struct worker *w, struct weft_task *t)
{
    struct stack *from = w->stack, *s;

    while (!(s = w_stack_single(&w->thread.rt->stacks, t->stack_size)) &&
           t->flags & TASK_RUN_CANCELLED)
        sys_sleep(WEFT_MS);
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

    if (unlikely(load_relaxed(&t->state) & TASK_BACKGROUND)) {
        if (!w->background_turn) {
            w_background_put(w, e);
            return;
        }
        w->background_turn = false;
    }
    if (e & ENTRY_NEW) {
        if (!task_claim_entry(t))
            w_task_stale(t);
        else if (unlikely(load_relaxed(&t->state) & TASK_APART))
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
        } else if (likely((e = w_pick(w)))) {
            run_entry(w, e);
            w = w_worker();
        } else {
            leave_for_good(w);
        }
        if (unlikely(!w->stack->map))
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
    w_fault_thread_open(&w->thread);
    fiber_native(&w->native);
    w->look_at = sys_now();
    store_relaxed(&w->last_poll, w->look_at);
    s = pop_stack(w);
    w->stack = s;
    fiber_leave(&w->native, &s->fiber);
    context_switch(&w->native_sp, s->sp);
    fiber_enter(&w->native, NULL);
    w_fault_thread_close(&w->thread);
    w_thread_set(NULL);
    return NULL;
}
