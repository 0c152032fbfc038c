/* SPDX-License-Identifier: MIT */
/* A worker's ready tasks, from the inside: its slot, its ring, and what goes
 * over. Owner only. */
#ifndef WEFT_CORE_READY_H
#define WEFT_CORE_READY_H

#include "core/runtime.h"

/* Makes room by giving the ring's newer half, and e, to the shared queue. */
void w_ready_spill(struct worker *w, w_entry e);

/* In a stress build, one time in n: do what another worker could have brought
 * about just as well. With one worker the order of tasks is promised. */
static inline bool out_of_turn(struct worker *w, unsigned n)
{
    return w_stress_one_in(n) && w->thread.rt->n_workers > 1;
}

/* At the tail; wakes nobody. */
static inline void ready_push(struct worker *w, w_entry e)
{
    if (unlikely(!runq_push(&w->runq, e)))
        w_ready_spill(w, e);
}

/* There is one. */
static inline w_entry ready_take_held(struct worker *w)
{
    w_entry e = w->held;

    w->held = *entry_link(e);
    return e;
}

/* What runs next of this worker's own, or 0. */
static inline w_entry ready_take(struct worker *w)
{
    w_entry e;

    if (w->lifo_runs < LIFO_RUNS_MAX && !out_of_turn(w, 4) &&
        (e = slot_take(&w->slot))) {
        w->lifo_runs++;
        return e; /* inherits what is left of the budget */
    }
    w->lifo_runs = 0;
    e = runq_take(&w->runq);
    if (!e)
        e = slot_take(&w->slot);
    if (e) {
        w->budget = w->budget_full;
        w->run_start = 0;
    }
    return e;
}

/* A chain from the shared queue: the first is returned, the rest pushed. */
w_entry w_ready_take_shared(struct worker *w);

/* From the loop, which will run one of them itself. */
void w_ready_submit(struct worker *w, struct chain c);

/* Puts e off until nothing else is ready. */
void w_background_put(struct worker *w, w_entry e);

/* What the loop runs next; sleeps while there is nothing. 0: the runtime
 * ends. */
w_entry w_pick(struct worker *w);

#endif
