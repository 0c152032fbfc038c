/* SPDX-License-Identifier: MIT */
/* weft/debug.h - what a runtime is doing. */
#ifndef WEFT_DEBUG_H
#define WEFT_DEBUG_H

#include <weft/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Counters since the runtime was opened, and levels as they are now. Read
 * without stopping anybody: sums are not of one instant. */
struct weft_stats {
    unsigned workers;
    unsigned executor_threads;
    unsigned blocking_threads;   /* now */
    uint64_t tasks_spawned;
    uint64_t tasks_ended;
    uint64_t switches;           /* suspensions */
    uint64_t steals;             /* tasks taken from another worker */
    uint64_t events_stolen;      /* fd events served for a busy worker */
    uint64_t parks;              /* a worker went to sleep */
    uint64_t wakes;              /* a sleeping worker was woken by another */
    uint64_t polls;              /* epoll_wait calls */
    uint64_t timers_fired;
    uint64_t executor_jobs;
    uint64_t blocking_jobs;
    uint64_t stacks;             /* mapped */
    uint64_t stacks_used;        /* held by suspended tasks and workers */
};

/* Fills *out for rt (NULL: the running task's). Any thread. 0, -EPERM. */
WEFT_API int weft_runtime_stats(weft_runtime *rt, struct weft_stats *out);

/* Writes a line for each task that has been suspended since it started: name,
 * spawn site, what it waits for. Any thread; async-signal-unsafe. 0, -EPERM,
 * or the error of writing. */
WEFT_API int weft_tasks_dump(weft_runtime *rt, int fd);

/* Replaces the handler of unhandled errors (NULL: print to standard error).
 * Task. 0, -EPERM. set_exception_handler */
WEFT_API int weft_on_unhandled(weft_unhandled_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
