/* SPDX-License-Identifier: MIT */
/* Queue: a ring of slots or a heap in them, getters, putters, one lock.
 *
 * An item goes straight to a waiting getter, and a getter's take makes room for
 * the first waiting putter under the same lock: nobody who comes later gets in
 * between. So getters wait only while the queue is empty and putters only while
 * it is full; a node found otherwise is one whose wait something else ended.
 *
 * What is usual goes the short way, a dozen instructions under the lock: a put
 * or get of a FIFO queue in use with nobody waiting. `special` says that it is
 * not so: one byte to test, set with the reason for it.
 *
 * A priority queue keeps pairs, (item, number of its put), in a binary heap:
 * equal items leave in the order of their numbers. */
#include <weft/queue.h>

#include "base/sys.h"
#include "core/join.h"
#include "sync/select.h"
#include "sync/waitq.h"

/* In `special`. */
#define NOT_FIFO 1u
#define SHUT 2u
#define WAITED 4u /* perhaps somebody waits to get or to put */

struct queue {
    struct spin lock;
    uint8_t special;        /* L */
    uint8_t kind;           /* I */
    bool unbounded;         /* I */
    void **slots;           /* I, L if unbounded */
    size_t cap;             /* as slots */
    size_t head;            /* L: the ring's oldest */
    _Atomic size_t len;     /* L to write */
    size_t unfinished;      /* L: items put, less those done */
    _Atomic int64_t waited; /* A: spin_lock_in_turns */
    struct list getters;    /* L */
    struct list putters;    /* L */
    struct list joiners;    /* L */
    weft_compare *compare;  /* I */
    uintptr_t seq;          /* L: puts into the heap */
};
static_assert(sizeof(struct queue) <= sizeof(weft_queue), "weft_queue");

static struct queue *Q(const weft_queue *q)
{
    return (struct queue *)(uintptr_t)q;
}

static inline bool is_shut(const struct queue *q)
{
    return q->special & SHUT;
}

/* Until weft_queue_order: the items are numbers. */
static int by_value(const void *a, const void *b)
{
    return ((intptr_t)a > (intptr_t)b) - ((intptr_t)a < (intptr_t)b);
}

int weft_queue_init(weft_queue *qp, void **slots, size_t cap,
                    enum weft_queue_kind kind)
{
    struct queue *q = Q(qp);

    if ((cap == 0) != (slots == NULL) ||
        (kind != WEFT_FIFO && kind != WEFT_LIFO && kind != WEFT_PRIORITY))
        return -EINVAL;
    memset(qp, 0, sizeof *qp);
    q->kind = (uint8_t)kind;
    q->special = kind == WEFT_FIFO ? 0 : NOT_FIFO;
    q->slots = slots;
    q->cap = cap;
    q->unbounded = cap == 0;
    q->compare = by_value;
    list_init(&q->getters);
    list_init(&q->putters);
    list_init(&q->joiners);
    return 0;
}

int weft_queue_order(weft_queue *qp, weft_compare *compare)
{
    struct queue *q = Q(qp);

    if (q->kind != WEFT_PRIORITY || !compare)
        return -EINVAL;
    q->compare = compare;
    return 0;
}

/* ---- the heap, under the lock ------------------------------------------ */

struct entry {
    void *item;
    uintptr_t seq;
};
static_assert(sizeof(struct entry) == sizeof(void *[WEFT_PRIORITY_SLOTS(1)]),
              "the slots of an entry");

static struct entry heap_get(const struct queue *q, size_t i)
{
    return (struct entry){q->slots[2 * i], (uintptr_t)q->slots[2 * i + 1]};
}

static void heap_set(struct queue *q, size_t i, struct entry e)
{
    q->slots[2 * i] = e.item;
    q->slots[2 * i + 1] = (void *)e.seq;
}

static bool before(const struct queue *q, struct entry a, struct entry b)
{
    int order = q->compare(a.item, b.item);

    return order < 0 || (order == 0 && a.seq < b.seq);
}

/* n entries are in. */
static void heap_add(struct queue *q, size_t n, void *item)
{
    struct entry e = {item, q->seq++};

    while (n > 0) {
        size_t up = (n - 1) / 2;
        struct entry parent = heap_get(q, up);

        if (!before(q, e, parent))
            break;
        heap_set(q, n, parent);
        n = up;
    }
    heap_set(q, n, e);
}

/* n entries stay. */
static void *heap_take(struct queue *q, size_t n)
{
    void *least = q->slots[0];
    struct entry last = heap_get(q, n);
    size_t i = 0, down;

    while ((down = 2 * i + 1) < n) {
        struct entry child = heap_get(q, down);

        if (down + 1 < n) {
            struct entry other = heap_get(q, down + 1);

            if (before(q, other, child)) {
                child = other;
                down++;
            }
        }
        if (!before(q, child, last))
            break;
        heap_set(q, i, child);
        i = down;
    }
    if (n > 0)
        heap_set(q, i, last);
    return least;
}

/* ---- items, under the lock --------------------------------------------- */

static size_t at(const struct queue *q, size_t i)
{
    size_t k = q->head + i;

    return k < q->cap ? k : k - q->cap;
}

static void store_item(struct queue *q, void *item)
{
    size_t n = load_relaxed(&q->len);

    if (unlikely(q->kind == WEFT_PRIORITY))
        heap_add(q, n, item);
    else
        q->slots[at(q, n)] = item;
    store_relaxed(&q->len, n + 1);
}

static void *take_item(struct queue *q)
{
    size_t n = load_relaxed(&q->len) - 1;
    void *item;

    store_relaxed(&q->len, n);
    if (unlikely(q->kind == WEFT_PRIORITY))
        return heap_take(q, n);
    if (q->kind == WEFT_LIFO)
        return q->slots[at(q, n)];
    item = q->slots[q->head];
    q->head = at(q, 1);
    return item;
}

/* The slots of the full q move to `slots`, which are twice as many. Returns the
 * old ones. */
static void **move(struct queue *q, void **slots, size_t cap)
{
    void **old = q->slots;
    size_t n = load_relaxed(&q->len);

    if (q->kind == WEFT_PRIORITY) {
        if (n > 0)
            memcpy(slots, old, n * sizeof(struct entry));
    } else {
        for (size_t i = 0; i < n; i++)
            slots[i] = old[at(q, i)];
    }
    q->slots = slots;
    q->cap = cap;
    q->head = 0;
    return old;
}

/* Twice the slots. Lets go of the lock meanwhile: all may be different. */
static int grow(struct queue *q)
{
    size_t cap = q->cap, n = cap ? 2 * cap : 64;
    void **slots;

    spin_unlock(&q->lock);
    slots = sys_malloc(n * sizeof(struct entry) /
                       (q->kind == WEFT_PRIORITY ? 1 : 2));
    spin_lock(&q->lock);
    if (!slots)
        return -ENOMEM;
    if (q->cap == cap && !is_shut(q))
        slots = move(q, slots, n);
    if (slots) { /* the old ones, or somebody else was quicker */
        spin_unlock(&q->lock);
        sys_free(slots);
        spin_lock(&q->lock);
    }
    return 0;
}

/* ---- the short way, under the lock ------------------------------------- */

static inline bool put_quick(struct queue *q, void *item)
{
    size_t n = load_relaxed(&q->len);

    if (unlikely(q->special || n >= q->cap))
        return false;
    q->slots[at(q, n)] = item;
    q->unfinished++;
    store_relaxed(&q->len, n + 1);
    return true;
}

static inline bool get_quick(struct queue *q, void **item)
{
    size_t n = load_relaxed(&q->len);

    if (unlikely(q->special || n == 0))
        return false;
    *item = q->slots[q->head];
    q->head = at(q, 1);
    store_relaxed(&q->len, n - 1);
    return true;
}

/* ---- leaving the lock -------------------------------------------------- */

/* Lets go of the lock, then wakes. */
static void leave(struct queue *q, struct weft_task *wake)
{
    void **over = NULL;

    if (list_empty(&q->getters) && list_empty(&q->putters))
        q->special &= (uint8_t)~WAITED;
    if (unlikely(is_shut(q)) && q->unbounded && load_relaxed(&q->len) == 0) {
        over = q->slots;
        q->slots = NULL;
        q->cap = 0;
        q->head = 0;
    }
    spin_unlock(&q->lock);
    if (unlikely(over))
        sys_free(over);
    if (wake)
        w_ready(wake);
}

/* ---- put --------------------------------------------------------------- */

/* Under the lock: the first getter that still waits has the item, or NULL. */
static struct weft_task *hand_over(struct queue *q, void *item)
{
    struct list *n;

    while ((n = list_pop_front(&q->getters))) {
        struct waiter *x = container_of(n, struct waiter, node);
        struct weft_task *t = x->task;

        x->value = item;
        x->status = 0;
        if (w_claim_waiter(x))
            return t;
    }
    return NULL;
}

/* Under the lock: 0 and whom to wake, -EAGAIN if full. */
static int put_now(struct queue *q, void *item, struct weft_task **wake)
{
    while (likely(!is_shut(q))) {
        int rc;

        if ((*wake = hand_over(q, item))) {
            q->unfinished++;
            return 0;
        }
        if (likely(load_relaxed(&q->len) < q->cap)) {
            q->unfinished++;
            store_item(q, item);
            return 0;
        }
        rc = q->unbounded ? grow(q) : -EAGAIN;
        if (rc)
            return rc;
    }
    return -ESHUTDOWN;
}

int weft_queue_tryput(weft_queue *qp, void *item)
{
    struct queue *q = Q(qp);
    struct weft_task *wake = NULL;
    int rc = 0;

    spin_lock_in_turns(&q->lock, &q->waited);
    if (!put_quick(q, item))
        rc = put_now(q, item, &wake);
    leave(q, wake);
    return rc;
}

/* Under the lock: x waits in one of the lists. */
static void enroll(struct queue *q, struct list *l, struct waiter *x)
{
    list_push_back(l, &x->node);
    q->special |= WAITED;
}

/* Under the lock, which it gives back: waits for room. */
static int wait_put(struct queue *q, struct weft_task *t, void *item)
{
    struct waiter x = {.task = t, .value = item};
    int rc = w_wait_begin(t, &x.epoch);

    if (likely(rc == 0))
        enroll(q, &q->putters, &x);
    spin_unlock(&q->lock);
    if (unlikely(rc))
        return rc;
    rc = waitq_wait(&x, &q->lock, "queue put");
    return rc ? rc : x.status;
}

/* Under the lock, which it gives back. */
static W_NOINLINE int put_slow(struct queue *q, struct weft_task *t, void *item)
{
    struct weft_task *wake = NULL;
    int rc = put_now(q, item, &wake);

    if (rc == -EAGAIN)
        return wait_put(q, t, item);
    leave(q, wake);
    return rc;
}

int weft_queue_put(weft_queue *qp, void *item)
{
    struct queue *q = Q(qp);
    struct weft_task *t;
    int rc = waitq_enter(&t);

    if (unlikely(rc))
        return rc;
    spin_lock_in_turns(&q->lock, &q->waited);
    if (unlikely(!put_quick(q, item)))
        return put_slow(q, t, item);
    spin_unlock(&q->lock);
    return 0;
}

/* ---- get --------------------------------------------------------------- */

/* Under the lock: the first putter that still waits puts its item, or NULL. */
static struct weft_task *let_in(struct queue *q)
{
    struct list *n;

    while ((n = list_pop_front(&q->putters))) {
        struct waiter *x = container_of(n, struct waiter, node);
        struct weft_task *t = x->task;
        void *theirs = x->value;

        x->status = 0;
        if (w_claim_waiter(x)) {
            q->unfinished++;
            store_item(q, theirs);
            return t;
        }
    }
    return NULL;
}

/* Under the lock: 0, the item and the putter that got its place. */
static int get_now(struct queue *q, void **item, struct weft_task **wake)
{
    if (load_relaxed(&q->len) == 0)
        return is_shut(q) ? -ESHUTDOWN : -EAGAIN;
    *item = take_item(q);
    *wake = let_in(q);
    return 0;
}

int weft_queue_tryget(weft_queue *qp, void **item)
{
    struct queue *q = Q(qp);
    struct weft_task *wake = NULL;
    int rc = 0;

    spin_lock_in_turns(&q->lock, &q->waited);
    if (!get_quick(q, item))
        rc = get_now(q, item, &wake);
    leave(q, wake);
    return rc;
}

/* Under the lock, which it gives back: waits for an item. */
static int wait_get(struct queue *q, struct weft_task *t, void **item)
{
    struct waiter x = {.task = t};
    int rc = w_wait_begin(t, &x.epoch);

    if (likely(rc == 0))
        enroll(q, &q->getters, &x);
    spin_unlock(&q->lock);
    if (unlikely(rc))
        return rc;
    rc = waitq_wait(&x, &q->lock, "queue get");
    if (rc == 0 && x.status == 0)
        *item = x.value;
    return rc ? rc : x.status;
}

/* Under the lock, which it gives back. */
static W_NOINLINE int get_slow(struct queue *q, struct weft_task *t,
                               void **item)
{
    struct weft_task *wake = NULL;
    int rc = get_now(q, item, &wake);

    if (rc == -EAGAIN)
        return wait_get(q, t, item);
    leave(q, wake);
    return rc;
}

int weft_queue_get(weft_queue *qp, void **item)
{
    struct queue *q = Q(qp);
    struct weft_task *t;
    int rc = waitq_enter(&t);

    if (unlikely(rc))
        return rc;
    spin_lock_in_turns(&q->lock, &q->waited);
    if (unlikely(!get_quick(q, item)))
        return get_slow(q, t, item);
    spin_unlock(&q->lock);
    return 0;
}

/* ---- done and join ----------------------------------------------------- */

/* Under the lock: n of the items are done. */
static void finish(struct queue *q, size_t n, struct list *claimed)
{
    q->unfinished -= n;
    if (q->unfinished == 0)
        waitq_claim_all(&q->joiners, 0, claimed);
}

int weft_queue_done(weft_queue *qp)
{
    struct queue *q = Q(qp);
    struct list claimed;
    int rc = -EINVAL;

    list_init(&claimed);
    spin_lock(&q->lock);
    if (q->unfinished > 0) {
        finish(q, 1, &claimed);
        rc = 0;
    }
    spin_unlock(&q->lock);
    w_waiters_ready(&claimed);
    return rc;
}

int weft_queue_join(weft_queue *qp)
{
    struct queue *q = Q(qp);
    struct waiter x = {.task = NULL};
    bool waits;
    int rc = waitq_enter(&x.task);

    if (unlikely(rc))
        return rc;
    spin_lock(&q->lock);
    waits = q->unfinished > 0;
    if (waits)
        rc = w_wait_begin(x.task, &x.epoch);
    if (waits && rc == 0)
        list_push_back(&q->joiners, &x.node);
    spin_unlock(&q->lock);
    return rc || !waits ? rc : waitq_wait(&x, &q->lock, "queue join");
}

/* ---- select ------------------------------------------------------------ */

bool w_queue_enroll_get(weft_queue *qp, struct waiter *x)
{
    struct queue *q = Q(qp);
    bool waits;

    spin_lock(&q->lock);
    waits = load_relaxed(&q->len) == 0 && !is_shut(q);
    if (waits)
        enroll(q, &q->getters, x);
    spin_unlock(&q->lock);
    return !waits;
}

bool w_queue_enroll_put(weft_queue *qp, struct waiter *x)
{
    struct queue *q = Q(qp);
    bool waits;

    spin_lock(&q->lock);
    waits = load_relaxed(&q->len) == q->cap && !q->unbounded && !is_shut(q);
    if (waits)
        enroll(q, &q->putters, x);
    spin_unlock(&q->lock);
    return !waits;
}

void w_queue_withdraw(weft_queue *q, struct waiter *x)
{
    waitq_withdraw(x, &Q(q)->lock);
}

/* ---- the rest ---------------------------------------------------------- */

size_t weft_queue_len(const weft_queue *q)
{
    return load_relaxed(&Q(q)->len);
}

void weft_queue_shutdown(weft_queue *qp, int now)
{
    struct queue *q = Q(qp);
    struct list claimed;

    list_init(&claimed);
    spin_lock(&q->lock);
    q->special |= SHUT;
    if (now) {
        size_t dropped = load_relaxed(&q->len);

        store_relaxed(&q->len, 0);
        finish(q, dropped < q->unfinished ? dropped : q->unfinished, &claimed);
    }
    waitq_claim_all(&q->putters, -ESHUTDOWN, &claimed);
    /* Those found it empty. */
    waitq_claim_all(&q->getters, -ESHUTDOWN, &claimed);
    leave(q, NULL);
    w_waiters_ready(&claimed);
}
