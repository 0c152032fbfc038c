/* SPDX-License-Identifier: MIT */
/* Queue: a ring of slots, getters, putters, one lock.
 *
 * An item goes straight to a waiting getter, and a getter's take makes room for
 * the first waiting putter under the same lock: nobody who comes later gets in
 * between. */
#include <weft/queue.h>

#include "base/sys.h"
#include "sync/waitq.h"

struct queue {
    struct spin lock;
    uint32_t kind;        /* I */
    uint32_t shut;        /* L */
    bool unbounded;       /* I */
    void **slots;         /* I, L if unbounded */
    size_t cap;           /* as slots */
    size_t head;          /* L: oldest */
    _Atomic size_t len;   /* L to write */
    struct list getters;  /* L */
    struct list putters;  /* L */
};
static_assert(sizeof(struct queue) <= sizeof(weft_queue), "weft_queue");

static struct queue *Q(const weft_queue *q)
{
    return (struct queue *)(uintptr_t)q;
}

int weft_queue_init(weft_queue *qp, void **slots, size_t cap,
                    enum weft_queue_kind kind)
{
    struct queue *q = Q(qp);

    if ((cap == 0) != (slots == NULL) ||
        (kind != WEFT_FIFO && kind != WEFT_LIFO))
        return -EINVAL;
    memset(q, 0, sizeof *q);
    q->kind = kind;
    q->slots = slots;
    q->cap = cap;
    q->unbounded = cap == 0;
    list_init(&q->getters);
    list_init(&q->putters);
    return 0;
}

/* ---- the ring, under the lock ------------------------------------------ */

static size_t at(const struct queue *q, size_t i)
{
    size_t k = q->head + i;

    return k < q->cap ? k : k - q->cap;
}

static void store_item(struct queue *q, void *item)
{
    size_t n = load_relaxed(&q->len);

    q->slots[at(q, n)] = item;
    store_relaxed(&q->len, n + 1);
}

static void *take_item(struct queue *q)
{
    size_t n = load_relaxed(&q->len) - 1;
    void *item;

    store_relaxed(&q->len, n);
    if (q->kind == WEFT_LIFO)
        return q->slots[at(q, n)];
    item = q->slots[q->head];
    q->head = at(q, 1);
    return item;
}

/* Twice the slots. Lets go of the lock meanwhile. */
static int grow(struct queue *q)
{
    size_t cap = q->cap, n = cap ? 2 * cap : 64;
    void **slots, **old = NULL;

    spin_unlock(&q->lock);
    slots = sys_malloc(n * sizeof *slots);
    spin_lock(&q->lock);
    if (!slots)
        return -ENOMEM;
    if (q->cap == cap && !q->shut) {
        for (size_t i = 0; i < load_relaxed(&q->len); i++)
            slots[i] = q->slots[at(q, i)];
        old = q->slots;
        q->slots = slots;
        q->cap = n;
        q->head = 0;
        slots = NULL;
    }
    sys_free(slots); /* somebody else was quicker */
    sys_free(old);
    return 0;
}

static void free_if_over(struct queue *q)
{
    if (q->unbounded && q->shut && load_relaxed(&q->len) == 0) {
        sys_free(q->slots);
        q->slots = NULL;
        q->cap = 0;
        q->head = 0;
    }
}

/* ---- put --------------------------------------------------------------- */

/* Under the lock: 0 and whom to wake, -EAGAIN if full. */
static int put_now(struct queue *q, void *item, struct weft_task **wake)
{
    struct list *n;
    int rc;

    while ((n = list_pop_front(&q->getters))) {
        struct waiter *x = container_of(n, struct waiter, node);
        struct weft_task *t = x->task;

        x->value = item;
        x->status = 0;
        if (w_claim_waiter(x)) {
            *wake = t;
            return 0;
        }
    }
    while (q->unbounded && load_relaxed(&q->len) == q->cap) {
        rc = grow(q);
        if (rc)
            return rc;
        if (q->shut)
            return -ESHUTDOWN;
        if (!list_empty(&q->getters))
            return put_now(q, item, wake);
    }
    if (load_relaxed(&q->len) == q->cap)
        return -EAGAIN;
    store_item(q, item);
    return 0;
}

int weft_queue_tryput(weft_queue *qp, void *item)
{
    struct queue *q = Q(qp);
    struct weft_task *wake = NULL;
    int rc;

    spin_lock(&q->lock);
    rc = q->shut ? -ESHUTDOWN : put_now(q, item, &wake);
    spin_unlock(&q->lock);
    if (wake)
        w_ready(wake);
    return rc;
}

/* Under the lock, which it gives back: waits for room. */
static int wait_put(struct queue *q, struct weft_task *t, void *item)
{
    struct waiter x = {.task = t, .value = item};
    int rc = w_wait_begin(t, &x.epoch);

    if (likely(rc == 0))
        list_push_back(&q->putters, &x.node);
    spin_unlock(&q->lock);
    if (unlikely(rc))
        return rc;
    rc = waitq_wait(&x, &q->lock, "queue put");
    return rc ? rc : x.status;
}

int weft_queue_put(weft_queue *qp, void *item)
{
    struct queue *q = Q(qp);
    struct worker *w = w_worker();
    struct weft_task *t = w ? w->current : NULL, *wake = NULL;
    int rc;

    if (unlikely(!t))
        return -EPERM;
    w_budget(w);
    rc = w_cancel_error(t);
    if (unlikely(rc))
        return rc;
    spin_lock(&q->lock);
    rc = q->shut ? -ESHUTDOWN : put_now(q, item, &wake);
    if (rc == -EAGAIN)
        return wait_put(q, t, item);
    spin_unlock(&q->lock);
    if (wake)
        w_ready(wake);
    return rc;
}

/* ---- get --------------------------------------------------------------- */

/* Under the lock: 0, the item and the putter that got its place. */
static int get_now(struct queue *q, void **item, struct weft_task **wake)
{
    struct list *n;

    if (load_relaxed(&q->len) == 0)
        return q->shut ? -ESHUTDOWN : -EAGAIN;
    *item = take_item(q);
    while ((n = list_pop_front(&q->putters))) {
        struct waiter *x = container_of(n, struct waiter, node);
        struct weft_task *t = x->task;
        void *theirs = x->value;

        x->status = 0;
        if (w_claim_waiter(x)) {
            store_item(q, theirs);
            *wake = t;
            break;
        }
    }
    free_if_over(q);
    return 0;
}

int weft_queue_tryget(weft_queue *qp, void **item)
{
    struct queue *q = Q(qp);
    struct weft_task *wake = NULL;
    int rc;

    spin_lock(&q->lock);
    rc = get_now(q, item, &wake);
    spin_unlock(&q->lock);
    if (wake)
        w_ready(wake);
    return rc;
}

/* Under the lock, which it gives back: waits for an item. */
static int wait_get(struct queue *q, struct weft_task *t, void **item)
{
    struct waiter x = {.task = t};
    int rc = w_wait_begin(t, &x.epoch);

    if (likely(rc == 0))
        list_push_back(&q->getters, &x.node);
    spin_unlock(&q->lock);
    if (unlikely(rc))
        return rc;
    rc = waitq_wait(&x, &q->lock, "queue get");
    if (rc == 0 && x.status == 0)
        *item = x.value;
    return rc ? rc : x.status;
}

int weft_queue_get(weft_queue *qp, void **item)
{
    struct queue *q = Q(qp);
    struct worker *w = w_worker();
    struct weft_task *t = w ? w->current : NULL, *wake = NULL;
    int rc;

    if (unlikely(!t))
        return -EPERM;
    w_budget(w);
    rc = w_cancel_error(t);
    if (unlikely(rc))
        return rc;
    spin_lock(&q->lock);
    rc = get_now(q, item, &wake);
    if (rc == -EAGAIN)
        return wait_get(q, t, item);
    spin_unlock(&q->lock);
    if (wake)
        w_ready(wake);
    return rc;
}

/* ---- the rest ---------------------------------------------------------- */

size_t weft_queue_len(const weft_queue *q)
{
    return load_relaxed(&Q(q)->len);
}

static void refuse_all(struct list *from, struct list *claimed)
{
    struct list *n;

    while ((n = list_pop_front(from))) {
        struct waiter *x = container_of(n, struct waiter, node);

        x->status = -ESHUTDOWN;
        if (w_claim_waiter(x))
            list_push_back(claimed, n);
    }
}

void weft_queue_shutdown(weft_queue *qp, int now)
{
    struct queue *q = Q(qp);
    struct list claimed, *n;

    list_init(&claimed);
    spin_lock(&q->lock);
    q->shut = 1;
    if (now)
        store_relaxed(&q->len, 0);
    refuse_all(&q->putters, &claimed);
    refuse_all(&q->getters, &claimed); /* any there are found it empty */
    free_if_over(q);
    spin_unlock(&q->lock);
    while ((n = list_pop_front(&claimed)))
        w_ready(container_of(n, struct waiter, node)->task);
}
