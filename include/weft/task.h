/* SPDX-License-Identifier: MIT */
/* weft/task.h - runtimes, tasks and groups. */
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

/* How a task failed. Never NULL: code to message. */
struct weft_error {
    long code;           /* negated errno */
    const char *task;    /* the task's name */
    const char *site;    /* file:line of its spawn */
    const char *message; /* from weft_fail, or weft_strerror(code) */
    const char *doing;   /* how `cause` led here: "while joining" another task,
                          * "after" an error of its own; NULL without one */
    const struct weft_error *cause;      /* the failure that led to this one */
    const struct weft_error *suppressed; /* in a group's error: the next child
                                          * that failed after it */
};

/* What the handler of unhandled errors is told; it lives for the call. Runs on
 * whatever thread found the error; must not wait. */
typedef void weft_unhandled_fn(const struct weft_error *e, void *arg);

/* What becomes of an error that nobody asked for, after the handler ran. */
enum weft_error_policy {
    WEFT_ERROR_LOG = 0, /* nothing more */
    WEFT_ERROR_CANCEL,  /* the runtime is asked to stop: every task is
                         * cancelled, the main one's result stays its own */
    WEFT_ERROR_ABORT,   /* abort() */
};

/* Zero in a field means its default. */
struct weft_options {
    unsigned workers;           /* allowed cores, cgroup quota respected */
    unsigned executor_threads;  /* for weft_compute; allowed cores */
    unsigned blocking_threads;  /* cap for weft_blocking; 64 */
    int64_t blocking_keepalive; /* ns that an idle thread stays; 10 s */
    enum weft_pin pin;
    int executor_nice;         /* 19; negative: same weight as the workers */
    size_t executor_stack;     /* bytes of an executor's thread; 16 MiB */
    size_t stack_size;         /* bytes a task may use; 256 KiB */
    size_t stack_limit;        /* stacks in all; no limit */
    int64_t slow_task;         /* ns in one go before a report; 100 ms;
                                * negative: never report */
    int64_t grace;             /* ns that a stop waits for tasks; 5 s */
    weft_unhandled_fn *on_unhandled; /* prints to standard error */
    void *unhandled_arg;
    enum weft_error_policy error_policy;
    unsigned debug;   /* non-zero (or WEFT_DEBUG=1 in the environment): checks
                       * that cost time, see weft/debug.h */
    unsigned no_sigint; /* non-zero: weft_run leaves SIGINT to you */
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
    unsigned eager;    /* non-zero: runs at once, before the spawner goes on,
                        * until it first waits. eager_task_factory */
    unsigned always;   /* non-zero: starts also if it was cancelled before its
                        * turn came, since it owns what it must free; its
                        * waiting calls then fail as usual */
    unsigned background; /* non-zero: runs when nothing else is ready, and for
                          * a turn each 10 ms whatever is */
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

/* The same with a reason, a string that outlives t (a literal, as a rule):
 * weft_cancel_reason in t tells it. The first one given stays. Any thread.
 * Task.cancel(msg) */
WEFT_API int weft_task_cancel_with(weft_task *t, const char *reason);

/* Non-zero once t has ended. Any thread. Task.done */
WEFT_API int weft_task_done(const weft_task *t);

/* t's result, or -EAGAIN while it runs. Any thread. Task.result */
WEFT_API long weft_task_result(const weft_task *t);

/* What weft_fail attached to the error that t ended with, NULL if nothing (or
 * it still runs). Lives as long as t. Any thread. */
WEFT_API const char *weft_task_message(const weft_task *t);

/* How t failed, with the chain of causes; NULL if it did not (or still runs, or
 * there was no memory for it). It counts as asked for: nobody else is told.
 * Lives as long as t. Any thread. Task.exception */
WEFT_API const struct weft_error *weft_task_error(const weft_task *t);

/* When t has ended, or at once if it has, fn(arg) becomes a detached task. cb
 * is yours and is held until then. Task. 0, -EPERM, -EBUSY (cb is in use).
 * Task.add_done_callback */
WEFT_API int weft_task_on_done(weft_task *t, weft_callback *cb, weft_fn *fn,
                               void *arg);

/* Takes cb back. 1: fn will not run. 0: it was not in use, or fn(arg) is a task
 * already. Task. remove_done_callback */
WEFT_API int weft_task_off_done(weft_task *t, weft_callback *cb);

/* The running task, NULL elsewhere. current_task */
WEFT_API weft_task *weft_self(void);

/* t's name: set by options or weft_task_set_name, else the function's.
 * Any thread. Task.get_name */
WEFT_API const char *weft_task_name(const weft_task *t);

/* file:line of t's spawn. Any thread. */
WEFT_API const char *weft_task_site(const weft_task *t);

/* Names the running task (31 bytes are kept). Who reads its name at that moment
 * may see a mixture. Task. 0, -EPERM, -ENOMEM.
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

/* The same with a reason, as weft_task_cancel_with. */
WEFT_API void weft_group_cancel_with(weft_group *g, const char *reason);

/* From now on a child's failure stays its own: it cancels nobody, and the
 * group's result is 0 unless the group itself is cancelled. Who asks for it
 * with weft_await, weft_group_next or weft_task_error has it; else it goes to
 * the handler of unhandled errors. g's owner, before it spawns.
 * gather(return_exceptions=True) */
WEFT_API void weft_group_collect(weft_group *g);

/* Waits for the next child to end that has a handle and was not yet told of;
 * gives it in *t. They come in the order in which they ended. 1, 0 (there is
 * none left). g's owner. Task. -ECANCELED, -ETIMEDOUT: no child is affected,
 * and a later call goes on. as_completed */
WEFT_API WEFT_MUST_CHECK int weft_group_next(weft_group *g, weft_task **t);

/* How the group failed first, with causes and what it suppressed; NULL if it
 * did not fail. Lives as weft_group_message. g's owner. */
WEFT_API const struct weft_error *weft_group_error(const weft_group *g);

/* The message of the group's first error, NULL if none. g's owner, until the
 * owner ends, opens g again, or has left eight other groups that failed. */
WEFT_API const char *weft_group_message(const weft_group *g);

WEFT_API void weft_group_cleanup_(weft_group **g);

#ifdef __cplusplus
}
#endif

#endif
