/* SPDX-License-Identifier: MIT */
/* Timers: one queue of deadlines a worker, under a small lock of its own, so
 * that a busy worker's timers can be served by an idle one.
 *
 * A timer fires under that lock: its function may only mark, claim and append
 * to the chain. Disarming takes the lock too, unless the timer says that it is
 * in no queue; so when w_timer_disarm returns, nobody touches the timer, and it
 * may stand in the frame that is about to be left. */
#ifndef WEFT_CORE_TIMER_H
#define WEFT_CORE_TIMER_H

#include "base/deadlines.h"
#include "base/spin.h"
#include "core/inject.h"

struct timer;
struct worker;

/* Under the queue's lock, on the worker that expires. Returns a time at which to
 * try again, or 0. */
typedef int64_t w_timer_fire(struct timer *t, struct worker *w,
                             struct chain *c);

struct timers {
    struct spin lock;
    struct deadlines all;   /* L */
    _Atomic int64_t first;  /* L to write: the least deadline */
};

struct timer {
    struct heap_node node;
    _Atomic(struct timers *) home; /* NULL: in no queue. Cleared last. */
    w_timer_fire *fire;
};

void w_timers_open(struct timers *ts);

/* Arms t, which is in no queue, with ts. */
void w_timer_arm(struct timers *ts, struct timer *t, int64_t when,
                 w_timer_fire *fire);

/* Any thread. True: it will not fire. False: it fired, or was not armed. */
bool w_timer_disarm(struct timer *t);

/* Fires what is due at `now`, at most `max`; 0 if another thread does so
 * already. Any worker. Tasks that became ready are in *c. */
unsigned w_timers_expire(struct timers *ts, struct worker *w, int64_t now,
                         unsigned max, struct chain *c);

static inline int64_t timers_first(struct timers *ts)
{
    return load_acquire(&ts->first);
}

static inline bool timer_armed(struct timer *t)
{
    return load_acquire(&t->home) != NULL;
}

#endif
