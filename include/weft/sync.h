/* SPDX-License-Identifier: MIT */
/* weft/sync.h - locks, events and queues between tasks.
 *
 * All objects are valid when zeroed (a queue after its init), live in your
 * memory, and may be shared by tasks of several runtimes. Waiters are served
 * in order of arrival. A grant is never lost to a cancellation: whoever was
 * given a lock or an item has it, and is cancelled at its next waiting call. */
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

/* Gives m to the task that waited longest, or frees it. The holder.
 * 0, -EPERM (the caller does not hold it; nothing changes). Lock.release */
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

/* ---- queue ------------------------------------------------------------ */

enum weft_queue_kind {
    WEFT_FIFO = 0,
    WEFT_LIFO,
};

/* Prepares q over your array of cap slots, which must outlive it. cap 0 with
 * slots NULL: unbounded, memory from the heap, freed when the queue is shut
 * and drained. Nobody may use q yet. 0, -EINVAL. Queue, LifoQueue */
WEFT_API WEFT_MUST_CHECK int weft_queue_init(weft_queue *q, void **slots,
                                             size_t cap,
                                             enum weft_queue_kind kind);

/* Puts item; waits while q is full. Task. 0, -ESHUTDOWN, -ECANCELED,
 * -ETIMEDOUT, -ENOMEM (unbounded). Nothing was put if it failed. put */
WEFT_API WEFT_MUST_CHECK int weft_queue_put(weft_queue *q, void *item);

/* Takes an item into *item; waits while q is empty. Task. 0, -ESHUTDOWN (shut
 * and empty), -ECANCELED, -ETIMEDOUT. Nothing was taken if it failed. get */
WEFT_API WEFT_MUST_CHECK int weft_queue_get(weft_queue *q, void **item);

/* The same without waiting: -EAGAIN if full or empty. Any thread.
 * put_nowait, get_nowait */
WEFT_API WEFT_MUST_CHECK int weft_queue_tryput(weft_queue *q, void *item);
WEFT_API WEFT_MUST_CHECK int weft_queue_tryget(weft_queue *q, void **item);

/* Items inside. Any thread. qsize */
WEFT_API size_t weft_queue_len(const weft_queue *q);

/* No more puts; getters drain what is there. now: what is there is dropped
 * too. Wakes those who wait in vain. Never waits. Any thread. shutdown */
WEFT_API void weft_queue_shutdown(weft_queue *q, int now);

#ifdef __cplusplus
}
#endif

#endif
