/* SPDX-License-Identifier: MIT */
/* A worker: a thread, its queues, its loop. */
#ifndef WEFT_CORE_WORKER_H
#define WEFT_CORE_WORKER_H

#include <pthread.h>

#include "base/topo.h"
#include "core/fiber.h"
#include "core/group.h"
#include "core/idle.h"
#include "core/park.h"
#include "core/poll.h"
#include "core/runq.h"
#include "core/slot.h"
#include "core/stack.h"
#include "core/task.h"
#include "core/thread.h"
#include "core/timer.h"

/* Runs on the next stack, once the task stands on none. */
typedef void w_commit_fn(struct worker *w, struct weft_task *t, void *arg);

/* W unless said otherwise. Counters are written by the worker alone and read by
 * anybody (relaxed). */
struct worker {
    struct thread thread; /* I */
    unsigned index;       /* I */

    struct weft_task *current;
    struct stack *stack;  /* the one we stand on */
    w_commit_fn *commit;
    struct weft_task *commit_task;
    void *commit_arg;
    w_entry handoff;      /* what the loop shall run first */
    w_entry held;         /* who spawned eagerly: next here, and only here, once
                           * the child waits or ends; chained, newest first */
    struct stack *cache;  /* loops that wait; chained */
    unsigned cached;
    unsigned refill;      /* stacks to take when the cache is empty */

    unsigned budget;      /* operations left before the task yields */
    unsigned budget_full; /* I */
    unsigned inlined;     /* children run on top of their joiner */
    unsigned lifo_runs;   /* in a row */
    unsigned picks;       /* until the next look at clock and events */
    unsigned inject_left; /* picks until the next look at the injection queue */
    unsigned inject_every;
    bool searching;
    struct weft_task *start; /* claimed; the next loop runs it */
    bool background_turn; /* of what was picked last */
    int64_t background_at; /* clock at the last such turn */
    int64_t run_start;    /* clock at the task's first budget check, or 0 */
    int64_t look_at;      /* clock at the last look */
    unsigned looked_picks;
    int64_t trimmed_at;   /* clock */

    /* Ends of children and records of other slabs, held back while this worker
     * runs nothing but further children of `done_of`: the group cannot end
     * before those do. */
    struct group *done_of;
    uint32_t done;
    struct slab *dead_of;
    size_t n_dead;
    struct weft_task *dead, *dead_last;

    struct slab slab;
    struct family roots;  /* detached tasks spawned here */
    unsigned *victims;    /* I: the others, nearest first */
    uint64_t *seen_tick;  /* what this thief saw of each victim's tick */
    int64_t *seen_at;
    uint32_t loot;        /* tasks of the last theft */
    int64_t loot_at;      /* clock */
    int64_t nap;          /* ns that theft pauses, since it did not pay */

    void *native_sp;      /* the thread's own stack, to end on */
    struct fiber native;
    pthread_t pthread;
    bool started;
    struct topo_place place; /* I */

    /* counters */
    alignas(W_ISOLATED) _Atomic uint64_t tick; /* tasks started or resumed */
    _Atomic uint64_t spawned, ended, switches, steals, events_stolen, parks,
        wakes, polls, timers_fired, roots_started, roots_ended;
    _Atomic int64_t last_poll; /* clock */
    _Atomic(struct weft_task *) running; /* for the monitor, with its slab */

    alignas(W_ISOLATED) struct slot slot; /* runs next */
    struct runq runq;
    alignas(W_ISOLATED) struct timers timers;
    alignas(W_ISOLATED) struct poller poller;
};

#define COUNT(field) store_relaxed(&(field), load_relaxed(&(field)) + 1)
#define COUNT_N(field, n) store_relaxed(&(field), load_relaxed(&(field)) + (n))

#define BUDGET 128u
#define BUDGET_SIM 1u /* each operation is a point */
#define RUN_MAX_NS (500 * 1000L)
#define INLINE_CHECK 64u
#define LIFO_RUNS_MAX 3u
#define LOOK_PICKS 61u

/* The calling worker, NULL elsewhere. Not to be kept across a wait. */
#ifdef W_ANALYZED
/* What an analyzer is told of the two (tools/lint): each of their callers that
 * does not ask knows that it runs in a task. */
struct worker *w_worker(void);
struct weft_task *w_current(void);
#else
static inline struct worker *w_worker(void)
{
    struct thread *t = w_thread();

    return likely(t && t->kind == THREAD_WORKER) ? (struct worker *)(void *)t
                                                 : NULL;
}

/* The running task, NULL elsewhere. */
static inline struct weft_task *w_current(void)
{
    struct worker *w = w_worker();

    return w ? w->current : NULL;
}
#endif

/* Leaves the running task's stack; returns when the task is resumed. */
void w_switch_out(w_commit_fn *commit, void *arg);

/* Starts t, new and queued nowhere, at once; the running task is next. False:
 * there is no stack for that. */
W_MUST_CHECK bool w_switch_to_new(struct worker *w, struct weft_task *t);

/* False: no stack can be had for the loop to go on with. To be asked before a
 * wait is begun. */
W_MUST_CHECK bool w_can_suspend(struct worker *w);

/* Queues a task that shall run next here. */
void w_worker_ready(struct worker *w, w_entry e);

/* Queues at the tail; wakes a sleeper. */
void w_worker_push(struct worker *w, w_entry e);

/* Queues a chain on this worker, or on rt if this is no worker of it. */
void w_submit(struct weft_runtime *rt, struct chain c);
void w_submit_foreign(struct weft_runtime *rt, w_entry e);

/* Wakes a sleeping worker if none searches. */
void w_notify(struct weft_runtime *rt, unsigned near);

/* Counts one operation of the running task; a task that had its share yields:
 * w is stale afterwards. At the top of every operation that might not
 * suspend. */
void w_budget_spent(struct worker *w);
static inline void w_budget(struct worker *w)
{
    if (unlikely(--w->budget % 16 == 0) || w_stress_one_in(32))
        w_budget_spent(w);
}

/* rc, for a wait that a cancelled scope refuses: a task that ignores it and
 * tries again lets others run too. The worker may be another afterwards. */
static inline int w_refused(int rc)
{
    w_budget(w_worker());
    return rc;
}

/* Runs t, claimed, on top of the running task. Is there room? */
bool w_inline_room(struct worker *w);
void w_run_inline(struct worker *w, struct weft_task *t);

/* Takes t's ENTRY_NEW out of w's queues if it is the newest there. */
bool w_worker_take_entry(struct worker *w, struct weft_task *t);

/* Drops entries at the new end of w's queue that nobody will run. */
void w_worker_drop_stale(struct worker *w);

/* Ends t: result, joiners, group. May free t. */
void w_task_end(struct worker *w, struct weft_task *t, long result);

/* Adds state bits (RELEASED, or none after a stale entry); frees the record
 * if it was the last reference. */
void w_task_release(struct weft_task *t);
void w_task_stale(struct weft_task *t);

/* A detached task has ended. */
void w_root_ended(struct worker *w);

/* t is of no further use to anybody. */
static inline void slab_free_any(struct worker *w, struct weft_task *t)
{
    struct slab *home = task_chunk(t)->home;

    if (likely(home == &w->slab)) {
        slab_free(&w->slab, t);
        return;
    }
    if (unlikely(w->dead_of != home)) {
        if (w->dead)
            w_slab_free_remote(w->dead_of, w->dead, w->dead_last, w->n_dead);
        w->dead_of = home;
        w->dead = NULL;
        w->dead_last = t;
        w->n_dead = 0;
    }
    w->n_dead++;
    store_relaxed(&t->state, TASK_FREE);
    t->fn = (weft_fn *)(void *)w->dead;
    w->dead = t;
}

/* What was held back is told. */
static inline void w_worker_flush(struct worker *w)
{
    if (w->done_of)
        w_group_children_end(w->done_of, w->done);
    w->done_of = NULL;
    w->done = 0;
    if (w->dead)
        w_slab_free_remote(w->dead_of, w->dead, w->dead_last, w->n_dead);
    w->dead = NULL;
    w->dead_of = NULL;
}

static inline void w_group_child_end(struct worker *w, struct group *g)
{
    if (w->done_of != g) {
        if (w->done_of)
            w_group_children_end(w->done_of, w->done);
        w->done_of = g;
        w->done = 0;
    }
    w->done++;
}

char *w_name_copy(const char *name);

/* t starts with the locals of `from`, which has some. */
void w_locals_inherit(struct weft_task *t, const struct weft_task *from);
void w_locals_drop(struct weft_task *t);

/* A new task, not yet queued; its state is the caller's to set. Any thread. */
struct weft_task *w_task_alloc(struct weft_runtime *rt, struct worker *w);

/* A detached task from the worker's side (timers, watches). NULL: no memory. */
struct weft_task *w_root_task(struct weft_runtime *rt, struct worker *w,
                              weft_fn *fn, void *arg, const char *site);

void w_worker_loop(void);          /* the entry of every stack */
void *w_worker_thread(void *arg);  /* struct worker */

#endif
