/* SPDX-License-Identifier: MIT */
/* weft/scope.h - what surrounds the running task: scopes, defers, locals, and
 * its time. */
#ifndef WEFT_SCOPE_H
#define WEFT_SCOPE_H

#include <weft/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- scopes ----------------------------------------------------------- */

/* In the block every waiting call fails with -ETIMEDOUT once ns nanoseconds
 * have passed (or the deadline t has come). Nested blocks: the outermost that
 * expired decides. Task. asyncio.timeout, timeout_at */
#define weft_with_timeout(ns)                                                  \
    WEFT_SCOPE_(weft_timeout_enter_(&WEFT_GLUE(weft_s_, __LINE__), ns))
#define weft_with_deadline(t)                                                  \
    WEFT_SCOPE_(weft_deadline_enter_(&WEFT_GLUE(weft_s_, __LINE__), t))

/* The block does not see cancellation and time-outs from outside it; they
 * wait for the first waiting call after it. For cleanup that must wait.
 * Task. asyncio.shield */
#define weft_with_shield()                                                     \
    WEFT_SCOPE_(weft_shield_enter(&WEFT_GLUE(weft_s_, __LINE__)))

#define WEFT_SCOPE_(enter)                                                     \
    for (weft_scope WEFT_GLUE(weft_s_, __LINE__)                               \
             __attribute__((cleanup(weft_scope_cleanup_))),                    \
             *WEFT_GLUE(weft_once_, __LINE__) =                                \
                 ((void)(enter), &WEFT_GLUE(weft_s_, __LINE__));               \
         WEFT_GLUE(weft_once_, __LINE__);                                      \
         WEFT_GLUE(weft_once_, __LINE__) = NULL)

/* A block that weft_scope_cancel(s) can end, from any task: every waiting call
 * in it then fails with -ECANCELED. s is a weft_scope of yours. Task.
 * trio.CancelScope */
#define weft_with_scope(s)                                                     \
    WEFT_WITH_(weft_scope, WEFT_GLUE(weft_s_, __LINE__), weft_scope_enter(s),  \
               0, weft_scope_leave_)

/* The calls behind the blocks, for a scope that must be named. s is on the
 * stack of the running task and is left by it in nested order. Each returns s;
 * where there is no task, s does nothing. */
WEFT_API weft_scope *weft_scope_enter(weft_scope *s);
WEFT_API weft_scope *weft_timeout_enter(weft_scope *s, int64_t ns);
WEFT_API weft_scope *weft_deadline_enter(weft_scope *s, int64_t t);
WEFT_API weft_scope *weft_shield_enter(weft_scope *s);

/* Leaves s; runs its defers first. Returns 0, -ETIMEDOUT if its deadline came,
 * or -ECANCELED if weft_scope_cancel was called on it. */
WEFT_API int weft_scope_leave(weft_scope *s);

/* Non-zero if the deadline of s has come; also after it was left.
 * Timeout.expired */
WEFT_API int weft_scope_expired(const weft_scope *s);

/* Cancels the block of s, which is no shield, until it is left. reason: NULL,
 * or a string that outlives the task (a literal, as a rule), which
 * weft_cancel_reason then tells. Any thread, once s was entered, but not while
 * it is being entered again; never waits. 0, -EINVAL (s was left, or is a
 * shield). CancelScope.cancel */
WEFT_API int weft_scope_cancel(weft_scope *s, const char *reason);

/* Non-zero if weft_scope_cancel was called on s; also after it was left. */
WEFT_API int weft_scope_cancelled(const weft_scope *s);

/* Moves the deadline of s, not yet expired, to t (WEFT_NEVER: away). The
 * owner. 0, -EALREADY (it expired), -EINVAL (no deadline scope).
 * Timeout.reschedule */
WEFT_API int weft_scope_extend(weft_scope *s, int64_t t);

/* The innermost scope of the running task that was entered with a time-out or
 * deadline; NULL if none. */
WEFT_API weft_scope *weft_scope_self(void);

/* 0, or the error that a waiting call would return at this place: -ECANCELED
 * or -ETIMEDOUT. Never waits; for CPU loops. On a thread of the executor or of
 * another pool: that of the task which waits for this work, so that long work
 * can end early. Any thread. Task.cancelling */
WEFT_API int weft_check(void);

/* Why weft_check() fails: the reason given with the cancellation that decided,
 * "timed out" for a deadline, "cancelled" if no reason was given; NULL where
 * nothing is cancelled. Any thread. CancelledError.args */
WEFT_API const char *weft_cancel_reason(void);

WEFT_API weft_scope *weft_timeout_enter_(weft_scope *s, int64_t ns);
WEFT_API weft_scope *weft_deadline_enter_(weft_scope *s, int64_t t);
WEFT_API void weft_scope_cleanup_(weft_scope *s);
WEFT_API void weft_scope_leave_(weft_scope **s);

/* Runs fn(arg) here with a deadline ns from now and returns its result:
 * -ETIMEDOUT if the deadline made it fail, its own result or error if it got
 * that far. fn is never left running: one that ignores its deadline is awaited.
 * Task. wait_for */
WEFT_API long weft_wait_for(weft_fn *fn, void *arg, int64_t ns);

/* ---- defers ------------------------------------------------------------ */

/* fn(arg) runs when the innermost scope (group, time-out, shield, ...) of the
 * running task is left, or when the task ends if it is in none: last in, first
 * out, however the block is left, and under a shield, so that it may wait also
 * after a cancellation. Its error goes to the handler of unhandled errors; the
 * others run all the same. In a group: when the children have ended.
 * Task. 0, -ENOMEM (then fn will not run), -EPERM. AsyncExitStack.push */
WEFT_API WEFT_MUST_CHECK int weft_defer(weft_fn *fn, void *arg);

/* ---- locals ------------------------------------------------------------ */

/* A variable with a value in each task: a zeroed weft_local of static duration
 * is its name. A task starts with its spawner's values; what it sets later is
 * its own. NULL where nothing was set. Any thread (NULL where there is no
 * task). ContextVar.get */
WEFT_API void *weft_local_get(const weft_local *key);

/* Sets the running task's value. Task. 0, -ENOMEM, -EPERM. ContextVar.set */
WEFT_API WEFT_MUST_CHECK int weft_local_set(weft_local *key, void *value);

/* ---- time ------------------------------------------------------------- */

/* Waits ns nanoseconds, never less. ns <= 0: as weft_yield. Task.
 * 0, -ECANCELED, -ETIMEDOUT. asyncio.sleep */
WEFT_API int weft_sleep(int64_t ns);

/* Waits until weft_now() >= t. As weft_sleep. */
WEFT_API int weft_sleep_until(int64_t t);

/* Lets the other ready tasks of this worker run first, in a cancelled scope
 * too. Task. 0, -ECANCELED, -ETIMEDOUT. asyncio.sleep(0) */
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

/* ---- tickers ----------------------------------------------------------- */

/* Starts a clock that ticks every `period` ns from now on, in your memory;
 * nothing runs until you wait. Task. 0, -EINVAL (period <= 0). */
WEFT_API int weft_ticker_start(weft_ticker *k, int64_t period);

/* Waits for the next tick: start + n * period, whatever the body of the loop
 * took, so the rate does not drift. Returns how many ticks were missed since
 * the last call (0 as a rule): they are skipped, not made up. If the tick is
 * due already it does not wait, but is a cancellation point all the same.
 * Task. -ECANCELED, -ETIMEDOUT, -EINVAL (not started). */
WEFT_API WEFT_MUST_CHECK long weft_ticker_wait(weft_ticker *k);

/* Ticks missed since weft_ticker_start, and the time of the last tick that
 * weft_ticker_wait returned for. The owner. */
WEFT_API uint64_t weft_ticker_missed(const weft_ticker *k);
WEFT_API int64_t weft_ticker_time(const weft_ticker *k);

#ifdef __cplusplus
}
#endif

#endif
