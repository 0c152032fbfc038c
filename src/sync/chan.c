/* SPDX-License-Identifier: MIT */
/* Channel: a ring of elements, senders, receivers, one lock.
 *
 * As a queue (queue.c), but elements are copied. A waiting sender's node points
 * at its element, a waiting receiver's at where it wants it. Both may lie in a
 * frame that is left as soon as the wait is over: so they are touched only once
 * the waiter is claimed, and before it is queued. */
#include <weft/queue.h>

#include "core/join.h"
#include "sync/select.h"
#include "sync/waitq.h"

struct chan {
    struct spin lock;
    bool closed;            /* L */
    size_t size;            /* I: of an element */
    size_t cap;             /* I: elements in buf */
    char *buf;              /* I */
    size_t head;            /* L: oldest */
    _Atomic size_t len;     /* L to write */
    _Atomic int64_t waited; /* A: spin_lock_in_turns */
    struct list receivers;  /* L */
    struct list senders;    /* L */
};
static_assert(sizeof(struct chan) <= sizeof(weft_chan), "weft_chan");

static struct chan *C(const weft_chan *c)
{
    return (struct chan *)(uintptr_t)c;
}

int weft_chan_init(weft_chan *cp, void *buf, size_t size, size_t cap)
{
    struct chan *c = C(cp);

    /* Elements of no bytes are only counted. */
    if (size > 0 && (cap == 0) != (buf == NULL))
        return -EINVAL;
    memset(cp, 0, sizeof *cp);
    c->size = size;
    c->cap = cap;
    c->buf = size > 0 ? buf : (char *)c;
    list_init(&c->receivers);
    list_init(&c->senders);
    return 0;
}

/* ---- elements, under the lock ------------------------------------------ */

static void copy(const struct chan *c, void *to, const void *from)
{
    if (c->size == sizeof(uint64_t))
        memcpy(to, from, sizeof(uint64_t));
    else if (c->size > 0)
        memcpy(to, from, c->size);
}

static char *at(const struct chan *c, size_t i)
{
    size_t k = c->head + i;

    return c->buf + (k < c->cap ? k : k - c->cap) * c->size;
}

static void store_element(struct chan *c, const void *element)
{
    size_t n = load_relaxed(&c->len);

    copy(c, at(c, n), element);
    store_relaxed(&c->len, n + 1);
}

static void take_element(struct chan *c, void *element)
{
    copy(c, element, at(c, 0));
    c->head = c->head + 1 < c->cap ? c->head + 1 : 0;
    store_relaxed(&c->len, load_relaxed(&c->len) - 1);
}

static void leave(struct chan *c, struct waiter *wake)
{
    spin_unlock(&c->lock);
    if (wake)
        w_ready(wake->task);
}

/* ---- send -------------------------------------------------------------- */

/* Under the lock: 0 and whom to wake, -EPIPE, -EAGAIN if full. */
static int send_now(struct chan *c, const void *element, struct waiter **wake)
{
    if (unlikely(c->closed))
        return -EPIPE;
    if ((*wake = waitq_claim(&c->receivers)))
        copy(c, (*wake)->value, element);
    else if (load_relaxed(&c->len) < c->cap)
        store_element(c, element);
    else
        return -EAGAIN;
    return 0;
}

int weft_chan_trysend(weft_chan *cp, const void *element)
{
    struct chan *c = C(cp);
    struct waiter *wake = NULL;
    int rc;

    spin_lock_in_turns(&c->lock, &c->waited);
    rc = send_now(c, element, &wake);
    leave(c, wake);
    return rc;
}

/* Under the lock, which it gives back: waits in `among`. */
static int wait_among(struct chan *c, struct list *among, struct weft_task *t,
                      void *element, const char *why)
{
    struct waiter x = {.task = t, .value = element};
    int rc = w_wait_begin(t, &x.epoch);

    if (likely(rc == 0))
        list_push_back(among, &x.node);
    spin_unlock(&c->lock);
    if (unlikely(rc))
        return rc;
    rc = waitq_wait(&x, &c->lock, why);
    return rc ? rc : x.status;
}

int weft_chan_send(weft_chan *cp, const void *element)
{
    struct chan *c = C(cp);
    struct weft_task *t;
    struct waiter *wake = NULL;
    int rc = waitq_enter(&t);

    if (unlikely(rc))
        return rc;
    spin_lock_in_turns(&c->lock, &c->waited);
    rc = send_now(c, element, &wake);
    if (rc == -EAGAIN) /* who receives it only reads it */
        return wait_among(c, &c->senders, t, (void *)(uintptr_t)element,
                          "channel send");
    leave(c, wake);
    return rc;
}

/* ---- receive ----------------------------------------------------------- */

/* Under the lock: 0 and whom to wake, -EPIPE, -EAGAIN if empty. */
static int recv_now(struct chan *c, void *element, struct waiter **wake)
{
    if (load_relaxed(&c->len) > 0) {
        take_element(c, element);
        if ((*wake = waitq_claim(&c->senders)))
            store_element(c, (*wake)->value);
        return 0;
    }
    /* Without a buffer they wait though it is empty. */
    *wake = waitq_claim(&c->senders);
    if (*wake) {
        copy(c, element, (*wake)->value);
        return 0;
    }
    return c->closed ? -EPIPE : -EAGAIN;
}

int weft_chan_tryrecv(weft_chan *cp, void *element)
{
    struct chan *c = C(cp);
    struct waiter *wake = NULL;
    int rc;

    spin_lock_in_turns(&c->lock, &c->waited);
    rc = recv_now(c, element, &wake);
    leave(c, wake);
    return rc;
}

int weft_chan_recv(weft_chan *cp, void *element)
{
    struct chan *c = C(cp);
    struct weft_task *t;
    struct waiter *wake = NULL;
    int rc = waitq_enter(&t);

    if (unlikely(rc))
        return rc;
    spin_lock_in_turns(&c->lock, &c->waited);
    rc = recv_now(c, element, &wake);
    if (rc == -EAGAIN)
        return wait_among(c, &c->receivers, t, element, "channel receive");
    leave(c, wake);
    return rc;
}

/* ---- select ------------------------------------------------------------ */

/* Somebody else of the other side waits, or seems to: whoever tries will see
 * whether its wait is over, and will then have taken its node out. A select
 * does not meet itself. */
static bool others(const struct list *l, const struct weft_task *self)
{
    list_each(n, l)
        if (container_of(n, struct waiter, node)->task != self)
            return true;
    return false;
}

bool w_chan_enroll_send(weft_chan *cp, struct waiter *x)
{
    struct chan *c = C(cp);
    bool waits;

    spin_lock(&c->lock);
    waits = load_relaxed(&c->len) == c->cap && !c->closed &&
            !others(&c->receivers, x->task);
    if (waits)
        list_push_back(&c->senders, &x->node);
    spin_unlock(&c->lock);
    return !waits;
}

bool w_chan_enroll_recv(weft_chan *cp, struct waiter *x)
{
    struct chan *c = C(cp);
    bool waits;

    spin_lock(&c->lock);
    waits = load_relaxed(&c->len) == 0 && !c->closed &&
            !others(&c->senders, x->task);
    if (waits)
        list_push_back(&c->receivers, &x->node);
    spin_unlock(&c->lock);
    return !waits;
}

void w_chan_withdraw(weft_chan *c, struct waiter *x)
{
    waitq_withdraw(x, &C(c)->lock);
}

/* ---- the rest ---------------------------------------------------------- */

size_t weft_chan_len(const weft_chan *c)
{
    return load_relaxed(&C(c)->len);
}

void weft_chan_close(weft_chan *cp)
{
    struct chan *c = C(cp);
    struct list claimed;

    list_init(&claimed);
    spin_lock(&c->lock);
    c->closed = true;
    waitq_claim_all(&c->senders, -EPIPE, &claimed);
    /* Those found it empty. */
    waitq_claim_all(&c->receivers, -EPIPE, &claimed);
    spin_unlock(&c->lock);
    w_waiters_ready(&claimed);
}
