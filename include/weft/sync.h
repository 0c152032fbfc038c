/* SPDX-License-Identifier: MIT */
/* weft/sync.h - locks and events between tasks.
 *
 * All objects are valid when zeroed (a barrier after its init), live in your
 * memory, and may be shared by tasks of several runtimes. Waiters are served
 * in order of arrival. A grant is never lost to a cancellation: whoever was
 * given a lock or an item has it, and is cancelled at its next waiting call.
 * An object may be freed by whoever has it to himself: the task that got the
 * mutex, that saw the event set.
 *
 * A weft_with_ block is skipped if its lock cannot be had, which is when the
 * task was cancelled or timed out: `return weft_check();` after it tells. */
#ifndef WEFT_SYNC_H
#define WEFT_SYNC_H

#include <weft/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- mutex ------------------------------------------------------------ */

/* Waits for m and takes it. Task. 0, -EDEADLK (the caller holds it),
 * -ECANCELED, -ETIMEDOUT. Lock.acquire */
WEFT_API WEFT_MUST_CHECK int weft_mutex_lock(weft_mutex *m);

/* Takes m if it is free. Task. 0, -EAGAIN, -EDEADLK, -EPERM. */
WEFT_API WEFT_MUST_CHECK int weft_mutex_trylock(weft_mutex *m);

/* Gives m to the task that waited longest, or frees it and calls that task:
 * until it runs others may take m; if it then comes in vain, the next unlock
 * gives m to it. Always given: to who came while the holder waited for
 * something with m held, and on one worker. The holder. 0, -EPERM (the caller
 * does not hold it; nothing changes). Lock.release */
WEFT_API int weft_mutex_unlock(weft_mutex *m);

/* Non-zero if m is held by someone. Any thread. Lock.locked */
WEFT_API int weft_mutex_locked(const weft_mutex *m);

/* The block runs with m held. It is skipped if the lock fails, which happens
 * only when the task is cancelled, timed out, or holds m already. Task.
 * async with lock */
#define weft_with_mutex(m)                                                     \
    WEFT_WITH_(weft_mutex, WEFT_GLUE(weft_mutex_, __LINE__),                   \
               weft_mutex_enter_(m), 0, weft_mutex_cleanup_)
WEFT_API weft_mutex *weft_mutex_enter_(weft_mutex *m);
WEFT_API void weft_mutex_cleanup_(weft_mutex **m);

/* ---- event ------------------------------------------------------------ */

/* Wakes all who wait, and lets through all who come until it is cleared. Never
 * waits. Any thread. Event.set */
WEFT_API void weft_event_set(weft_event *e);

/* Never waits. Any thread. Event.clear */
WEFT_API void weft_event_clear(weft_event *e);

/* Non-zero if set. Any thread. Event.is_set */
WEFT_API int weft_event_is_set(const weft_event *e);

/* Waits until e is set. Task. 0, -ECANCELED, -ETIMEDOUT. Event.wait */
WEFT_API WEFT_MUST_CHECK int weft_event_wait(weft_event *e);

/* ---- condition --------------------------------------------------------- */

typedef int weft_predicate(void *arg); /* non-zero: it holds */

/* Unlocks m, which the caller holds, waits to be signalled, and locks m again
 * before it returns, also when it was cancelled. Not woken without a signal. A
 * signal that meets a cancelled waiter goes to the next. Task. 0, -EPERM (m is
 * not the caller's), -ECANCELED, -ETIMEDOUT. Condition.wait */
WEFT_API WEFT_MUST_CHECK int weft_cond_wait(weft_cond *c, weft_mutex *m);

/* Waits until holds(arg) is non-zero; it is called with m held. As
 * weft_cond_wait. Condition.wait_for */
WEFT_API WEFT_MUST_CHECK int weft_cond_wait_for(weft_cond *c, weft_mutex *m,
                                                weft_predicate *holds,
                                                void *arg);

/* Wakes one waiter, the first n, or all. m should be held, but need not.
 * Returns how many were woken. Any thread; never waits. notify, notify_all */
WEFT_API int weft_cond_signal(weft_cond *c);
WEFT_API int weft_cond_signal_n(weft_cond *c, int n);
WEFT_API int weft_cond_broadcast(weft_cond *c);

/* ---- readers and writers ------------------------------------------------ */

/* Takes rw for reading (shared) or writing (alone). In order of arrival: a
 * reader does not overtake a waiting writer. Not recursive. Task. 0, -EDEADLK
 * (the caller is the writer), -ECANCELED, -ETIMEDOUT. */
WEFT_API WEFT_MUST_CHECK int weft_rwlock_rdlock(weft_rwlock *rw);
WEFT_API WEFT_MUST_CHECK int weft_rwlock_wrlock(weft_rwlock *rw);

/* The same without waiting: -EAGAIN. Task. */
WEFT_API WEFT_MUST_CHECK int weft_rwlock_tryrdlock(weft_rwlock *rw);
WEFT_API WEFT_MUST_CHECK int weft_rwlock_trywrlock(weft_rwlock *rw);

/* Gives back what the caller holds. 0, -EPERM (nobody holds it, or a writer who
 * is not the caller). */
WEFT_API int weft_rwlock_unlock(weft_rwlock *rw);

/* Blocks with rw held; skipped if the lock fails. Task. */
#define weft_with_rdlock(rw)                                                   \
    WEFT_WITH_(weft_rwlock, WEFT_GLUE(weft_rwlock_, __LINE__),                 \
               weft_rwlock_rdenter_(rw), 0, weft_rwlock_cleanup_)
#define weft_with_wrlock(rw)                                                   \
    WEFT_WITH_(weft_rwlock, WEFT_GLUE(weft_rwlock_, __LINE__),                 \
               weft_rwlock_wrenter_(rw), 0, weft_rwlock_cleanup_)
WEFT_API weft_rwlock *weft_rwlock_rdenter_(weft_rwlock *rw);
WEFT_API weft_rwlock *weft_rwlock_wrenter_(weft_rwlock *rw);
WEFT_API void weft_rwlock_cleanup_(weft_rwlock **rw);

/* ---- semaphore ---------------------------------------------------------- */

/* A semaphore with n permits; max 0: no upper bound. A zeroed one has none and
 * no bound. As an initialiser, or before anybody uses s. 0, -EINVAL.
 * Semaphore, BoundedSemaphore */
#define WEFT_SEM(n, max) {{(uint64_t)(n), (uint64_t)(max)}}
WEFT_API int weft_sem_init(weft_sem *s, uint32_t n, uint32_t max);

/* Takes a permit; waits while there is none, or others wait. Task. 0,
 * -ECANCELED, -ETIMEDOUT: no permit was taken. acquire */
WEFT_API WEFT_MUST_CHECK int weft_sem_acquire(weft_sem *s);

/* Without waiting: -EAGAIN. Any thread. */
WEFT_API WEFT_MUST_CHECK int weft_sem_tryacquire(weft_sem *s);

/* Gives a permit back, to the first waiter if there is one. Never waits. Any
 * thread. 0, -EOVERFLOW (above max; nothing changes). release */
WEFT_API int weft_sem_release(weft_sem *s);

/* Free permits. Any thread. */
WEFT_API uint32_t weft_sem_value(const weft_sem *s);

/* The block runs with a permit; it is skipped if acquiring fails. Task.
 * async with semaphore */
#define weft_with_sem(s)                                                       \
    WEFT_WITH_(weft_sem, WEFT_GLUE(weft_sem_, __LINE__), weft_sem_enter_(s),   \
               0, weft_sem_cleanup_)
WEFT_API weft_sem *weft_sem_enter_(weft_sem *s);
WEFT_API void weft_sem_cleanup_(weft_sem **s);

/* ---- barrier ------------------------------------------------------------ */

/* Prepares b for n parties (>= 1). 0, -EINVAL. Barrier */
WEFT_API int weft_barrier_init(weft_barrier *b, unsigned n);

/* Waits until n parties wait, then all pass. Returns a number 0 .. n - 1,
 * different for each. Task. -EINVAL (not initialised), -EPIPE (broken), -ECANCELED, -ETIMEDOUT: the caller
 * leaves, and the barrier breaks for all who wait. Barrier.wait */
WEFT_API WEFT_MUST_CHECK int weft_barrier_wait(weft_barrier *b);

/* Breaks b: who waits, and who comes until weft_barrier_reset, gets -EPIPE.
 * Never waits. Any thread. */
WEFT_API void weft_barrier_abort(weft_barrier *b);

/* Makes b whole and empty; who waits gets -EPIPE. Never waits. Any thread. */
WEFT_API void weft_barrier_reset(weft_barrier *b);

/* Parties that wait; non-zero if b is broken. Any thread. n_waiting, broken */
WEFT_API unsigned weft_barrier_waiting(const weft_barrier *b);
WEFT_API int weft_barrier_broken(const weft_barrier *b);

/* ---- once --------------------------------------------------------------- */

/* Runs fn(arg) if nobody did on o; who comes meanwhile waits for its end. If fn
 * fails the next caller tries again. Returns fn's result, the same for all.
 * Task. -EDEADLK (from within fn), -ECANCELED, -ETIMEDOUT. */
WEFT_API long weft_once(weft_once_flag *o, weft_fn *fn, void *arg);

/* Non-zero once fn has succeeded. Any thread. */
WEFT_API int weft_once_done(const weft_once_flag *o);

#ifdef __cplusplus
}
#endif

#endif
