/* SPDX-License-Identifier: MIT */
/* weft/queue.h - queues, channels, and waiting for several things at once.
 *
 * The rules of weft/sync.h hold here too. */
#ifndef WEFT_QUEUE_H
#define WEFT_QUEUE_H

#include <weft/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- queue ------------------------------------------------------------ */

enum weft_queue_kind {
    WEFT_FIFO = 0,
    WEFT_LIFO,
    WEFT_PRIORITY, /* after weft_queue_order */
};

/* Prepares q over your array of cap slots, which must outlive it. cap 0 with
 * slots NULL: unbounded, memory from the heap, freed when the queue is shut
 * and drained. Nobody may use q yet. 0, -EINVAL. Queue, LifoQueue */
WEFT_API WEFT_MUST_CHECK int weft_queue_init(weft_queue *q, void **slots,
                                             size_t cap,
                                             enum weft_queue_kind kind);

/* The slots of a WEFT_PRIORITY queue hold two words an item:
 *     void *slots[WEFT_PRIORITY_SLOTS(100)];
 *     weft_queue_init(&q, slots, 100, WEFT_PRIORITY);
 *     weft_queue_order(&q, by_due_time);
 * compare as for qsort, but of two items themselves; it runs under the queue's
 * lock and calls nothing of weft. Without it items are compared as signed words.
 * The least comes out first, equal ones in the order in which they were put. Nobody may use q yet. 0,
 * -EINVAL (another kind). PriorityQueue */
#define WEFT_PRIORITY_SLOTS(cap) (2 * (cap))
typedef int weft_compare(const void *a, const void *b);
WEFT_API int weft_queue_order(weft_queue *q, weft_compare *compare);

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

/* An item that was got has been worked off. Any thread; never waits. 0,
 * -EINVAL: more often than items were put. task_done */
WEFT_API int weft_queue_done(weft_queue *q);

/* Waits until weft_queue_done was called for every item that was put; items
 * dropped by a shutdown count as done. Task. 0, -ECANCELED, -ETIMEDOUT. join */
WEFT_API WEFT_MUST_CHECK int weft_queue_join(weft_queue *q);

/* No more puts; getters drain what is there. now: what is there is dropped
 * too. Wakes those who wait in vain. Never waits. Any thread. shutdown */
WEFT_API void weft_queue_shutdown(weft_queue *q, int now);

/* ---- channel ----------------------------------------------------------- */

/* Prepares c to carry elements of `size` bytes by value, over your buffer of
 * cap * size bytes, which must outlive it. cap 0 with buf NULL: no buffer, a
 * send waits for its receive. Nobody may use c yet. 0, -EINVAL. Go's make(chan) */
WEFT_API WEFT_MUST_CHECK int weft_chan_init(weft_chan *c, void *buf,
                                            size_t size, size_t cap);

/* Copies *element in; waits while c is full. Task. 0, -EPIPE (closed),
 * -ECANCELED, -ETIMEDOUT: nothing was sent. */
WEFT_API WEFT_MUST_CHECK int weft_chan_send(weft_chan *c, const void *element);

/* Copies one out to *element; waits while c is empty. Task. 0, -EPIPE (closed
 * and empty), -ECANCELED, -ETIMEDOUT: nothing was taken. */
WEFT_API WEFT_MUST_CHECK int weft_chan_recv(weft_chan *c, void *element);

/* The same without waiting: -EAGAIN. Any thread. */
WEFT_API WEFT_MUST_CHECK int weft_chan_trysend(weft_chan *c,
                                               const void *element);
WEFT_API WEFT_MUST_CHECK int weft_chan_tryrecv(weft_chan *c, void *element);

/* Elements in the buffer. Any thread. */
WEFT_API size_t weft_chan_len(const weft_chan *c);

/* No more sends; receivers drain what is there. Wakes those who wait in vain.
 * Never waits. Any thread. */
WEFT_API void weft_chan_close(weft_chan *c);

/* ---- select ------------------------------------------------------------ */

enum weft_op {
    WEFT_NONE = 0, /* never ready: a case that is switched off */
    WEFT_GET,      /* object weft_queue, data void **item */
    WEFT_PUT,      /* object weft_queue, data the item */
    WEFT_SEND,     /* object weft_chan, data const element * */
    WEFT_RECV,     /* object weft_chan, data element * */
    WEFT_ENDED,    /* object weft_task */
    WEFT_SET,      /* object weft_future */
    WEFT_EVENT,    /* object weft_event */
    WEFT_TIME,     /* when: weft_now's clock */
    WEFT_FD,       /* fd, events */
};

/* One thing to wait for; made by the macros below, or by hand. */
struct weft_case {
    enum weft_op op;
    int fd;
    void *object;
    void *data;
    int64_t when;
    long ret; /* of the case that won: what its own call would have returned */
};

#define WEFT_CASE_GET(q, item) {WEFT_GET, -1, (q), (void *)(item), 0, 0}
#define WEFT_CASE_PUT(q, item) {WEFT_PUT, -1, (q), (item), 0, 0}
#define WEFT_CASE_SEND(c, element) {WEFT_SEND, -1, (c), (void *)(element), 0, 0}
#define WEFT_CASE_RECV(c, element) {WEFT_RECV, -1, (c), (element), 0, 0}
#define WEFT_CASE_TASK(t) {WEFT_ENDED, -1, (t), 0, 0, 0}
#define WEFT_CASE_FUTURE(f) {WEFT_SET, -1, (f), 0, 0, 0}
#define WEFT_CASE_EVENT(e) {WEFT_EVENT, -1, (e), 0, 0, 0}
#define WEFT_CASE_TIME(t) {WEFT_TIME, -1, 0, 0, (t), 0}
#define WEFT_CASE_FD(fd, events) {WEFT_FD, (fd), 0, 0, (events), 0}

/* Waits until one of the n cases can go on, does it, and returns its index;
 * its ret is as from weft_queue_get, weft_fd_wait, weft_task_result and so on
 * (a queue that is shut wins with -ESHUTDOWN). The others are untouched. Among
 * several that are ready the choice is fair. Two cases may name one object.
 * Task. -EINVAL (n == 0, unknown op), -ENOMEM, -ECANCELED, -ETIMEDOUT. Go's
 * select */
WEFT_API WEFT_MUST_CHECK long weft_select(struct weft_case *cases, size_t n);

/* Without waiting: -EAGAIN if none is ready. Task. */
WEFT_API WEFT_MUST_CHECK long weft_tryselect(struct weft_case *cases, size_t n);

#ifdef __cplusplus
}
#endif

#endif
