/* SPDX-License-Identifier: MIT */
/* Making tasks ready, and taking single ones back. */
#include "core/ready.h"

#include "core/runtime.h"

/* The newer half goes to the shared queue; order is kept. */
void w_ready_spill(struct worker *w, w_entry e)
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
    ready_push(w, e);
    w_notify(w->thread.rt, w->index);
}

void w_worker_ready(struct worker *w, w_entry e)
{
    w_entry old;

    if (out_of_turn(w, 8)) {
        w_submit_foreign(w->thread.rt, e);
        return;
    }
    old = slot_put(&w->slot, e);
    if (old)
        w_worker_push(w, old);
}

/* Once it is pushed a task may run and end, and the runtime be closed: the count
 * holds it until the wake-up is through. */
static void submit_from_outside(struct weft_runtime *rt, struct chain c)
{
    add_seq_cst(&rt->callers, 1);
    w_inject_push(&rt->inject, c);
    w_notify(rt, 0);
    sub_seq_cst(&rt->callers, 1);
}

void w_submit_foreign(struct weft_runtime *rt, w_entry e)
{
    submit_from_outside(rt, (struct chain){e, e, 1});
}

void w_submit(struct weft_runtime *rt, struct chain c)
{
    struct worker *w = w_worker();
    w_entry e, next;

    if (!w || w->thread.rt != rt) {
        submit_from_outside(rt, c);
        return;
    }
    if (c.n == 1) {
        w_worker_ready(w, c.first);
        return;
    }
    for (e = c.first; e; e = next) {
        next = *entry_link(e);
        ready_push(w, e);
    }
    w_notify(rt, w->index);
}

void w_ready_submit(struct worker *w, struct chain c)
{
    for (w_entry e = c.first, next; e; e = next) {
        next = *entry_link(e);
        ready_push(w, e);
    }
    if (c.n > 1)
        w_notify(w->thread.rt, w->index);
}

w_entry w_ready_take_shared(struct worker *w)
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
        ready_push(w, c.first);
    }
    if (c.n)
        w_notify(w->thread.rt, w->index);
    w->budget = w->budget_full;
    w->run_start = 0;
    w->lifo_runs = 0;
    return e;
}

void w_background_put(struct worker *w, w_entry e)
{
    struct chain c = {e, e, 1};

    *entry_link(e) = 0;
    if (inject_looks_empty(&w->thread.rt->background))
        w->background_at = w->look_at;
    w_inject_push(&w->thread.rt->background, c);
    w_notify(w->thread.rt, w->index);
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
    ready_push(w, seen); /* thieves were quicker; this is an older one */
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
            ready_push(w, e);
            return;
        }
        w_task_stale(entry_task(e));
    }
}

static bool is_child(w_entry e, struct group *g)
{
    return (e & ENTRY_NEW) && entry_task(e)->family == &g->family &&
           !(load_relaxed(&entry_task(e)->state) & TASK_APART);
}

w_entry w_worker_take_child(struct worker *w, struct group *g)
{
    w_entry e = slot_take(&w->slot);

    if (e) {
        if (is_child(e, g))
            return e;
        ready_push(w, e);
        return 0;
    }
    if (!runq_take_newest(&w->runq, &e, 1))
        return 0;
    if (is_child(e, g))
        return e;
    ready_push(w, e);
    return 0;
}

