/* SPDX-License-Identifier: MIT */
/* weft/debug.h - what a runtime is doing. */
#ifndef WEFT_DEBUG_H
#define WEFT_DEBUG_H

#include <weft/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* options.debug, or WEFT_DEBUG=1 in the environment, switches on, each told of
 * on standard error:
 *   - tasks that hold a worker longer than options.slow_task, with a backtrace
 *     (this one without debug too);
 *   - handles that nobody awaited although the task failed;
 *   - a mutex taken while another is held, against the order seen before;
 *   - a group all of whose tasks wait for each other;
 *   - the deepest stack, and what was still open when the runtime closed. */

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
 * spawn site, the task that must do something first where that is known, what
 * it waits for. Any thread; async-signal-unsafe. 0, -EPERM, or the error of
 * writing. */
WEFT_API int weft_tasks_dump(weft_runtime *rt, int fd);

/* What is known of a task. Strings live for the call that tells them. */
struct weft_task_info {
    weft_task *task;         /* to be compared, not to be used */
    const char *name;
    const char *site;        /* file:line of its spawn */
    const char *state;       /* "new", "running", "waiting" */
    const char *waits_in;    /* "sleep", "mutex", ...; NULL if it does not wait */
    const char *waits_for;   /* name of the task that it waits for, or NULL */
    weft_task *waits_for_task;
};

/* Calls fn for each task of rt (NULL: the running task's) that was not ended;
 * read without stopping anybody. Until fn returns non-zero. Any thread. Returns
 * how many fn was called for, -EPERM. all_tasks */
typedef int weft_task_visitor(const struct weft_task_info *info, void *arg);
WEFT_API long weft_tasks_each(weft_runtime *rt, weft_task_visitor *fn,
                              void *arg);

/* Return addresses of t's frames, innermost first, for backtrace_symbols:
 * of the running task itself, or of one that waits; at most n. Frames of code
 * built without frame pointers end it early. Task, t held by a handle. Returns
 * how many, -EAGAIN (t runs elsewhere), -ESRCH (it has ended or not started).
 * Task.get_stack */
WEFT_API int weft_task_backtrace(weft_task *t, void **pcs, int n);

/* Replaces the handler of unhandled errors (NULL: print to standard error).
 * Task. 0, -EPERM. set_exception_handler */
WEFT_API int weft_on_unhandled(weft_unhandled_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
