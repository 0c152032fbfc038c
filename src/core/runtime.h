/* SPDX-License-Identifier: MIT */
/* What the workers of a runtime share. */
#ifndef WEFT_CORE_RUNTIME_H
#define WEFT_CORE_RUNTIME_H

#include <weft/debug.h>

#include "base/topo.h"
#include "core/failure.h"
#include "core/group.h"
#include "core/idle.h"
#include "core/inject.h"
#include "core/poll.h"
#include "core/stack.h"
#include "core/worker.h"

/* Set by floors above at their first use. */
struct floor_ops {
    void (*close)(struct weft_runtime *rt, void *state);
    void (*stats)(void *state, struct weft_stats *out);
};

enum { FLOOR_EXEC, FLOOR_COUNT };

struct weft_runtime {
    struct weft_options opts; /* I: defaults filled in */
    unsigned n_workers;       /* I */
    struct worker *workers;   /* I */
    struct topo *topo;        /* I */
    bool pinned;              /* I */
    uint32_t generation;      /* I: of the process, counted in forks */
    cpu_set_t affinity;       /* I: the opener's, for unbound threads */

    struct idle idle;
    struct inject inject;
    struct inject background; /* tasks that let all others go first */
    struct stack_pool stacks;
    struct cell_table cells;

    struct spin foreign_lock;
    struct slab foreign;       /* L: records for threads that are not workers */
    struct family foreign_roots;
    _Atomic uint64_t foreign_started, foreign_spawned;

    _Atomic uint32_t stopping;  /* roots are cancelled, foreigners refused */
    _Atomic uint32_t exiting;   /* workers leave their loops */
    _Atomic uint32_t callers;   /* foreign threads that use it just now */
    _Atomic uint32_t quiet;     /* futex: roots ended while stopping */
    _Atomic uint32_t sentinel;  /* index + 1 of the sleeper that sweeps */

    pthread_t monitor;
    bool monitor_started;
    struct watched *watched;         /* the monitor's */
    _Atomic uint32_t monitor_stop;   /* futex */
    _Atomic uint32_t monitor_asleep; /* futex */

    struct spin handler_lock;
    weft_unhandled_fn *on_unhandled; /* L: handler_lock */
    void *unhandled_arg;             /* L: handler_lock */

    struct spin calls_lock;
    struct list calls;               /* L: threads in weft_runtime_call */

    _Atomic uint32_t own_pools; /* that weft_pool_open made and nobody closed */

    struct spin floor_lock;
    _Atomic(void *) floor[FLOOR_COUNT]; /* L to write */
    const struct floor_ops *floor_ops[FLOOR_COUNT];
};

void w_roots_cancel(struct weft_runtime *rt);
bool w_roots_ended(struct weft_runtime *rt);

int w_monitor_start(struct weft_runtime *rt);
void w_monitor_stop(struct weft_runtime *rt);
void w_monitor_kick(struct weft_runtime *rt);
/* In the handler of SIGURG: true if it was the monitor's. */
bool w_monitor_signal(void *context);

/* Calls fn for each record that may be a live task. */
void w_tasks_each(struct weft_runtime *rt,
                  void (*fn)(struct weft_task *t, void *arg), void *arg);

/* Copies of a task's name and site, which may end meanwhile. */
void w_task_describe(struct weft_task *t, char *name, size_t name_n, char *site,
                     size_t site_n);

void w_fault_open(void);
void w_fault_close(void);
/* The calling thread's alternate stack. */
void w_fault_thread_open(struct thread *t);
void w_fault_thread_close(struct thread *t);

#endif
