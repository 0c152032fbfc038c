/* SPDX-License-Identifier: MIT */
/* weft/task.h - runtimes, tasks, groups, scopes and time. */
#ifndef WEFT_TASK_H
#define WEFT_TASK_H

#include <weft/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- runtime ---------------------------------------------------------- */

enum weft_pin {
    WEFT_PIN_AUTO = 0, /* bind workers if this process has the whole machine */
    WEFT_PIN_OFF,      /* never */
    WEFT_PIN_ON,       /* always; a refusal is a warning */
};

/* What the handler of unhandled errors is told. Strings live for the call. */
struct weft_unhandled {
    long code;           /* negated errno */
    const char *task;    /* the task's name */
    const char *site;    /* file:line of its spawn */
    const char *message; /* from weft_fail, or weft_strerror(code) */
};

/* Runs on whatever thread found the error; must not wait. */
typedef void weft_unhandled_fn(const struct weft_unhandled *e, void *arg);

/* Zero in a field means its default. */
struct weft_options {
    unsigned workers;           /* allowed cores, cgroup quota respected */
    unsigned executor_threads;  /* for weft_compute; allowed cores */
    unsigned blocking_threads;  /* cap for weft_blocking; 64 */
    int64_t blocking_keepalive; /* ns that an idle thread stays; 10 s */
    enum weft_pin pin;
    int executor_nice;         /* 19; negative: same weight as the workers */
    size_t stack_size;         /* bytes a task may use; 256 KiB */
    size_t stack_limit;        /* stacks in all; no limit */
    int64_t slow_task;         /* ns in one go before a report; 100 ms;
                                * negative: never report */
    int64_t grace;             /* ns that a stop waits for tasks; 5 s */
    weft_unhandled_fn *on_unhandled; /* prints to standard error */
    void *unhandled_arg;
    unsigned debug; /* non-zero: checks that cost time */
};

/* Opens a runtime, runs fn(arg) as its main task, closes the runtime.
 * Any thread that is not a worker. Returns fn's result or why there was no
 * runtime: -ENOMEM, -EAGAIN (no threads), -EMFILE. asyncio.run */
WEFT_API long weft_run(weft_fn *fn, void *arg);

/* As weft_run with options (NULL: all defaults). */
WEFT_API long weft_run_with(const struct weft_options *opts, weft_fn *fn,
                            void *arg);

/* Starts the workers. *rt is yours until weft_runtime_close. opts may be NULL
 * and is copied. Any thread. Returns 0, -ENOMEM, -EAGAIN, -EMFILE, -EINVAL.
 * asyncio.Runner, new_event_loop */
WEFT_API WEFT_MUST_CHECK int weft_runtime_open(weft_runtime **rt,
                                               const struct weft_options *opts);

/* Runs fn(arg) as a task of rt and blocks this thread until it ends; returns
 * its result. Threads that are not rt's workers, several at once.
 * -ESHUTDOWN: rt is stopping. -EDEADLK: called from a worker of rt. -ENOMEM.
 * run_coroutine_threadsafe(...).result(), run_until_complete */
WEFT_API long weft_runtime_call(weft_runtime *rt, weft_fn *fn, void *arg);

/* weft_runtime_call under the name that a main program looks for. */
WEFT_API long weft_runtime_run(weft_runtime *rt, weft_fn *fn, void *arg);

/* Makes fn(arg) a detached task of rt and returns at once. Any thread.
 * 0, -ESHUTDOWN, -ENOMEM. call_soon_threadsafe */
WEFT_API int weft_runtime_post(weft_runtime *rt, weft_fn *fn, void *arg);

/* Asks rt to stop: no new foreign work, every task is cancelled. Returns at
 * once. Any thread. loop.stop */
WEFT_API void weft_runtime_stop(weft_runtime *rt);

/* Stops rt, waits for its tasks (options.grace; what is left then is reported
 * and abandoned), joins its threads, frees it. Armed timers are dropped, armed
 * watches fire with -ECANCELED. Not from a worker of rt (-EDEADLK). Returns 0
 * or the number of tasks that were abandoned. loop.close */
WEFT_API int weft_runtime_close(weft_runtime *rt);

/* The running task's runtime, NULL elsewhere. get_running_loop */
WEFT_API weft_runtime *weft_runtime_self(void);

/* The clock of all deadlines. Any thread. loop.time */
WEFT_API int64_t weft_now(void);

/* The calling thread's errno, read afresh: compilers may cache errno's address
 * across a waiting call. Any thread. */
WEFT_API int weft_errno(void);

/* ---- tasks ------------------------------------------------------------ */

/* Options of one task; zero in a field means its default. */
struct weft_task_options {
    const char *name;  /* copied, 31 bytes at most; the function's name */
    size_t stack_size; /* bytes; its own stack from the start if not 0 */
};

/* Starts fn(arg) as a task of group g. The plain form gives no handle: the
 * task's memory is freed as it ends. weft_spawn_task gives one in *t, valid
 * until the group is left. Never waits. Callers: a task; any thread while the
 * group's owner is inside the group.
 * 0, -ENOMEM, -ECANCELED (the group is cancelled or was left),
 * -ESHUTDOWN (the runtime is stopping and the caller is no task of it).
 * TaskGroup.create_task */
#define weft_spawn(g, fn, arg) weft_spawn_at(g, fn, arg, WEFT_SITE(#fn))
#define weft_spawn_task(g, fn, arg, t)                                         \
    weft_spawn_task_at(g, fn, arg, NULL, t, WEFT_SITE(#fn))
#define weft_spawn_with(g, fn, arg, opts, t)                                   \
    weft_spawn_task_at(g, fn, arg, opts, t, WEFT_SITE(#fn))
WEFT_API WEFT_MUST_CHECK int weft_spawn_at(weft_group *g, weft_fn *fn,
                                           void *arg, const char *site);
WEFT_API WEFT_MUST_CHECK int
weft_spawn_task_at(weft_group *g, weft_fn *fn, void *arg,
                   const struct weft_task_options *opts, weft_task **t,
                   const char *site);

/* A task that belongs to the runtime alone: nobody joins it, stop cancels it,
 * its error goes to the handler. Task. 0, -ENOMEM, -EPERM, -ESHUTDOWN. */
#define weft_spawn_detached(fn, arg)                                           \
    weft_spawn_detached_at(fn, arg, WEFT_SITE(#fn))
WEFT_API int weft_spawn_detached_at(weft_fn *fn, void *arg, const char *site);

/* The same under asyncio's name: fn(arg) soon, after the running task.
 * call_soon */
#define weft_post(fn, arg) weft_spawn_detached_at(fn, arg, WEFT_SITE(#fn))

/* Waits for t and returns its result; if it has ended, at once. Any number of
 * tasks may await t. If the caller is cancelled or timed out meanwhile, t is
 * cancelled too and its end is still awaited (weft_with_shield prevents both);
 * the result is then what t returned. t that has not started runs on the
 * caller's stack. Task. -EDEADLK: t is the caller. await task */
WEFT_API long weft_await(weft_task *t);

/* Cancels t: every waiting call in it fails with -ECANCELED from now on,
 * except inside weft_with_shield. A task that has not started never runs.
 * Returns 0; no effect on a task that has ended. Any thread. Task.cancel */
WEFT_API int weft_task_cancel(weft_task *t);

/* Non-zero once t has ended. Any thread. Task.done */
WEFT_API int weft_task_done(const weft_task *t);

/* t's result, or -EAGAIN while it runs. Any thread. Task.result */
WEFT_API long weft_task_result(const weft_task *t);

/* What weft_fail attached to the error that t ended with, NULL if nothing (or
 * it still runs). Lives as long as t. Any thread. Task.exception */
WEFT_API const char *weft_task_message(const weft_task *t);

/* The running task, NULL elsewhere. current_task */
WEFT_API weft_task *weft_self(void);

/* t's name: set by options or weft_task_set_name, else the function's.
 * Any thread. Task.get_name */
WEFT_API const char *weft_task_name(const weft_task *t);

/* file:line of t's spawn. Any thread. */
WEFT_API const char *weft_task_site(const weft_task *t);

/* Names the running task (31 bytes are kept). Task. 0, -EPERM, -ENOMEM.
 * Task.set_name */
WEFT_API int weft_task_set_name(const char *name);

/* Attaches a message to the error `code` (negative) that the running task is
 * about to return; returns code. The message reaches the joiner or the handler
 * if the task ends with that code. Any thread (elsewhere it only returns
 * code); never waits. raise */
WEFT_API long weft_fail(long code, const char *fmt, ...) WEFT_PRINTF(2, 3);

/* ---- groups ----------------------------------------------------------- */

/* Runs the block with g open for spawns. Falling off its end joins all
 * children; leaving it by break, return or goto cancels them and joins. When a
 * child fails the group is cancelled: its other children and every waiting
 * call of the block return -ECANCELED. weft_group_wait(&g), also after the
 * block, says how it ended. Task. async with TaskGroup() */
#define weft_with_group(g)                                                     \
    WEFT_WITH_(weft_group, WEFT_GLUE(weft_group_, __LINE__),                   \
               weft_group_enter(g),                                            \
               weft_group_join(WEFT_GLUE(weft_group_, __LINE__)),              \
               weft_group_cleanup_)

/* Opens g, owned by the running task. Returns g, NULL where there is no task.
 * Pairs with weft_group_leave, in nested order with other scopes. */
WEFT_API weft_group *weft_group_enter(weft_group *g);

/* Waits until no child runs; returns 0, or the first error that a child ended
 * with, or, when g was cancelled by weft_group_cancel, -ECANCELED. If the
 * caller is cancelled or timed out while waiting, the children are cancelled,
 * still awaited, and the result is -ECANCELED or -ETIMEDOUT if no child failed
 * by itself before. The group stays open for spawns. On a group that was left:
 * its result, at once. g's owner. */
WEFT_API long weft_group_wait(weft_group *g);

/* Waits as weft_group_wait, which a later weft_group_wait then repeats. The
 * end of the block. g's owner. */
WEFT_API long weft_group_join(weft_group *g);

/* Joins the children and closes g; returns as weft_group_wait. Handles of its
 * tasks end here. g's owner. */
WEFT_API long weft_group_leave(weft_group *g);

/* Cancels every child and the block itself; spawns are refused from now on.
 * Never waits. Any task or thread while the group is open. */
WEFT_API void weft_group_cancel(weft_group *g);

/* The message of the group's first error, NULL if none. g's owner, until the
 * owner ends or opens g again. */
WEFT_API const char *weft_group_message(const weft_group *g);

WEFT_API void weft_group_cleanup_(weft_group **g);

/* ---- scopes ----------------------------------------------------------- */

/* In the block every waiting call fails with -ETIMEDOUT once ns nanoseconds
 * have passed (or the deadline t has come). Nested blocks: the outermost that
 * expired decides. Task. asyncio.timeout, timeout_at */
#define weft_with_timeout(ns)                                                  \
    WEFT_SCOPE_(weft_timeout_enter(&WEFT_GLUE(weft_s_, __LINE__), ns))
#define weft_with_deadline(t)                                                  \
    WEFT_SCOPE_(weft_deadline_enter(&WEFT_GLUE(weft_s_, __LINE__), t))

/* The block does not see cancellation and time-outs from outside it; they
 * wait for the first waiting call after it. For cleanup that must wait.
 * Task. asyncio.shield */
#define weft_with_shield()                                                     \
    WEFT_SCOPE_(weft_shield_enter(&WEFT_GLUE(weft_s_, __LINE__)))

#define WEFT_SCOPE_(enter)                                                     \
    for (weft_scope WEFT_GLUE(weft_s_, __LINE__)                               \
             __attribute__((cleanup(weft_scope_cleanup_))) = {{0}},            \
             *WEFT_GLUE(weft_once_, __LINE__) = (enter);                       \
         WEFT_GLUE(weft_once_, __LINE__);                                      \
         WEFT_GLUE(weft_once_, __LINE__) = NULL)

/* The calls behind the blocks, for a scope that must be named. s is on the
 * stack of the running task and is left by it in nested order. Each returns s;
 * where there is no task, s does nothing. */
WEFT_API weft_scope *weft_timeout_enter(weft_scope *s, int64_t ns);
WEFT_API weft_scope *weft_deadline_enter(weft_scope *s, int64_t t);
WEFT_API weft_scope *weft_shield_enter(weft_scope *s);

/* Leaves s. Returns 0, or -ETIMEDOUT if its deadline came. */
WEFT_API int weft_scope_leave(weft_scope *s);

/* Non-zero if the deadline of s has come; also after it was left.
 * Timeout.expired */
WEFT_API int weft_scope_expired(const weft_scope *s);

/* Moves the deadline of s, not yet expired, to t (WEFT_NEVER: away). The
 * owner. 0, -EALREADY (it expired), -EINVAL (no deadline scope).
 * Timeout.reschedule */
WEFT_API int weft_scope_extend(weft_scope *s, int64_t t);

/* The innermost scope of the running task that was entered with a time-out or
 * deadline; NULL if none. */
WEFT_API weft_scope *weft_scope_self(void);

/* 0, or the error that a waiting call would return at this place: -ECANCELED
 * or -ETIMEDOUT. Never waits; for CPU loops. Any thread. Task.cancelling */
WEFT_API int weft_check(void);

WEFT_API void weft_scope_cleanup_(weft_scope *s);

/* ---- time ------------------------------------------------------------- */

/* Waits ns nanoseconds, never less. ns <= 0: as weft_yield. Task.
 * 0, -ECANCELED, -ETIMEDOUT. asyncio.sleep */
WEFT_API int weft_sleep(int64_t ns);

/* Waits until weft_now() >= t. As weft_sleep. */
WEFT_API int weft_sleep_until(int64_t t);

/* Lets the other ready tasks of this worker run first. Task. 0, -ECANCELED,
 * -ETIMEDOUT. asyncio.sleep(0) */
WEFT_API int weft_yield(void);

/* Arms t, which is yours: at `when` (weft_now's clock) fn(arg) becomes a
 * detached task; until then nothing but t is held. t may be reused or freed
 * once fn has started. Task or a callback. 0, -EBUSY (armed already), -EPERM.
 * call_later, call_at */
WEFT_API int weft_timer_start(weft_timer *t, int64_t when, weft_fn *fn,
                              void *arg);

/* Disarms t. 1: it will not fire. 0: it was not armed, or fn(arg) is a task
 * already. Any thread of the runtime. Handle.cancel */
WEFT_API int weft_timer_stop(weft_timer *t);

#ifdef __cplusplus
}
#endif

#endif
