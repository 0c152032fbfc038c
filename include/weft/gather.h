/* SPDX-License-Identifier: MIT */
/* weft/gather.h - several tasks at once, futures, generators. */
#ifndef WEFT_GATHER_H
#define WEFT_GATHER_H

#include <weft/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- calls ------------------------------------------------------------- */

/* One of several calls: fn(arg) becomes a task; or, where fn is NULL, `task` is
 * waited for (the same one may stand in several calls). */
struct weft_call {
    weft_fn *fn;
    void *arg;
    weft_task *task;
    long ret; /* its result */
};

/* Runs the n calls at once and waits for all; results are in calls[i].ret. On
 * the first error the other calls are cancelled and awaited, and that error is
 * returned; else 0. If the caller is cancelled so are the calls. n == 0: 0.
 * Task. -ENOMEM, -EINVAL (a call of nothing), -EDEADLK (of the caller).
 * asyncio.gather */
#define weft_gather(calls, n) weft_gather_at(calls, n, WEFT_SITE("gather"))
WEFT_API WEFT_MUST_CHECK long weft_gather_at(struct weft_call *calls, size_t n,
                                             const char *site);

/* The same, but an error is only the ret of its call: nothing is cancelled.
 * Returns how many calls failed. Task. -ENOMEM, and -ECANCELED or -ETIMEDOUT if
 * the caller was cancelled. gather(return_exceptions=True) */
#define weft_gather_collect(calls, n)                                          \
    weft_gather_collect_at(calls, n, WEFT_SITE("gather"))
WEFT_API WEFT_MUST_CHECK long weft_gather_collect_at(struct weft_call *calls,
                                                     size_t n,
                                                     const char *site);

/* Runs the n calls at once until one succeeds: its index is in *winner (may be
 * NULL), its result is returned; the others are cancelled and awaited. If all
 * fail: the last error, *winner is n. n == 0: -EINVAL. Task. -ENOMEM,
 * -ECANCELED, -ETIMEDOUT. staggered_race */
#define weft_race(calls, n, winner)                                            \
    weft_race_at(calls, n, winner, WEFT_SITE("race"))
WEFT_API WEFT_MUST_CHECK long weft_race_at(struct weft_call *calls, size_t n,
                                           size_t *winner, const char *site);

/* ---- waiting for tasks -------------------------------------------------- */

/* Waits until one of the n tasks has ended; returns the index of one that has.
 * Other than weft_await it cancels nothing when the caller is cancelled or
 * timed out. weft_task_done tells which others have ended too. Task. -EINVAL
 * (n == 0), -EDEADLK (one is the caller), -ENOMEM, -ECANCELED, -ETIMEDOUT.
 * wait(FIRST_COMPLETED) */
WEFT_API WEFT_MUST_CHECK long weft_wait_any(weft_task *const *tasks, size_t n);

/* Waits until all have ended; 0. Otherwise as weft_wait_any, n == 0: 0.
 * wait(ALL_COMPLETED) */
WEFT_API WEFT_MUST_CHECK long weft_wait_all(weft_task *const *tasks, size_t n);

/* Waits until one has failed, -ECANCELED not counted, or all have ended.
 * Returns the index of one that failed, or n. Otherwise as weft_wait_any, n ==
 * 0: 0. wait(FIRST_EXCEPTION) */
WEFT_API WEFT_MUST_CHECK long weft_wait_error(weft_task *const *tasks,
                                              size_t n);

/* ---- futures ------------------------------------------------------------ */

/* A result that somebody will set, once; valid when zeroed; it may be freed once
 * all who wait for it have returned. Value >= 0, or a
 * negated errno for an error. Wakes all who wait. Any thread; never waits.
 * 0, -EALREADY (it was set or cancelled). Future.set_result, set_exception */
WEFT_API int weft_future_set(weft_future *f, long value);

/* Sets -ECANCELED. 0, -EALREADY. Any thread. Future.cancel */
WEFT_API int weft_future_cancel(weft_future *f);

/* Waits until f is set and returns its value. Does not cancel f when the caller
 * is cancelled. Task. -ECANCELED, -ETIMEDOUT. await future */
WEFT_API long weft_future_wait(weft_future *f);

/* f's value, or -EAGAIN while it is not set. Any thread. Future.result */
WEFT_API long weft_future_result(const weft_future *f);

/* Non-zero once f is set. Any thread. Future.done */
WEFT_API int weft_future_done(const weft_future *f);

/* When f is set, or at once if it is, fn(arg) becomes a detached task. cb is
 * yours and is held until then. Task. 0, -EPERM, -EBUSY (cb is in use).
 * Future.add_done_callback */
WEFT_API int weft_future_on_done(weft_future *f, weft_callback *cb,
                                 weft_fn *fn, void *arg);

/* Takes cb back. 1: fn will not run. 0: it was not in use, or fn(arg) is a task
 * already. Task. remove_done_callback */
WEFT_API int weft_future_off_done(weft_future *f, weft_callback *cb);

/* ---- generators --------------------------------------------------------- */

/* What a generator runs: it gives values with weft_gen_yield(g, value). */
typedef long weft_gen_fn(weft_gen *g, void *arg);

/* Starts a generator, a task of its own that runs only while weft_gen_next
 * waits for it. g is on the stack of the running task and is closed by it, in
 * nested order with other scopes. Task. 0, -ENOMEM, -EPERM. async generators */
#define weft_gen_open(g, fn, arg) weft_gen_open_at(g, fn, arg, WEFT_SITE(#fn))
WEFT_API WEFT_MUST_CHECK int weft_gen_open_at(weft_gen *g, weft_gen_fn *fn,
                                              void *arg, const char *site);

/* Waits for the next value, gives it in *value. 1; 0: fn has returned a value
 * >= 0; fn's error. Task (the one that opened g). -ECANCELED, -ETIMEDOUT: the
 * value is not lost, a later call gets it. anext */
WEFT_API WEFT_MUST_CHECK int weft_gen_next(weft_gen *g, void **value);

/* In fn: hands out value, waits until the next one is asked for. Task.
 * 0, -ECANCELED: g is being closed. yield */
WEFT_API WEFT_MUST_CHECK int weft_gen_yield(weft_gen *g, void *value);

/* Cancels fn if it has not returned, waits for its end, returns its result (0
 * if it was cancelled and ended with -ECANCELED). aclose, aclosing */
WEFT_API long weft_gen_close(weft_gen *g);

#ifdef __cplusplus
}
#endif

#endif
