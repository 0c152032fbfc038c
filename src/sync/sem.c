/* SPDX-License-Identifier: MIT */
/* Semaphore: one word (free permits, "somebody waits") and a queue.
 *
 * The fast paths are one compare-and-swap each. With waiters the word is
 * WAITERS alone, whatever is given back goes to the first of them, and only who
 * holds the lock changes the word: nobody overtakes. A permit that no waiter
 * took is given back by the fast path's compare-and-swap, after the lock: who
 * takes it then may free the semaphore. */
#include <weft/sync.h>

#include "sync/waitq.h"

#define WAITERS (UINT64_C(1) << 32)

/* WEFT_SEM knows the first two words. */
struct sem {
    _Atomic uint64_t value; /* permits, or WAITERS: the queue may hold some */
    uint64_t max;           /* I: 0: none but the word's */
    struct spin lock;
    struct list waiters; /* L */
};
static_assert(sizeof(struct sem) <= sizeof(weft_sem), "weft_sem");

static struct sem *S(const weft_sem *s)
{
    return (struct sem *)(uintptr_t)s;
}

int weft_sem_init(weft_sem *sp, uint32_t n, uint32_t max)
{
    struct sem *s = S(sp);

    if (max && n > max)
        return -EINVAL;
    memset(sp, 0, sizeof *sp);
    store_relaxed(&s->value, n);
    s->max = max;
    return 0;
}

/* False: there is none; *v is the word. */
static inline bool take(struct sem *s, uint64_t *v)
{
    *v = load_relaxed(&s->value);
    while (*v - 1 < UINT32_MAX)
        if (likely(cas_acquire(&s->value, v, *v - 1)))
            return true;
    return false;
}

static W_NOINLINE int acquire_slow(struct sem *s, struct weft_task *t)
{
    struct waiter x = {.task = t};
    uint64_t v;
    int rc = w_wait_begin(t, &x.epoch);

    if (rc)
        return rc;
    spin_lock(&s->lock);
    do {
        if (take(s, &v)) {
            spin_unlock(&s->lock);
            w_wait_abort(t);
            return 0;
        }
    } while (v == 0 && !cas_relaxed(&s->value, &v, WAITERS));
    list_lazy_init(&s->waiters);
    list_push_back(&s->waiters, &x.node);
    spin_unlock(&s->lock);
    return waitq_wait(&x, &s->lock, "semaphore");
}

int weft_sem_acquire(weft_sem *sp)
{
    struct sem *s = S(sp);
    struct weft_task *t;
    uint64_t v;
    int rc = waitq_enter(&t);

    if (unlikely(rc))
        return rc;
    return likely(take(s, &v)) ? 0 : acquire_slow(s, t);
}

int weft_sem_tryacquire(weft_sem *s)
{
    uint64_t v;

    return take(S(s), &v) ? 0 : -EAGAIN;
}

/* True: a waiter has the permit. False: none waits. */
static W_NOINLINE bool hand_over(struct sem *s)
{
    struct weft_task *next = NULL;
    struct waiter *x;

    spin_lock(&s->lock);
    x = waitq_claim(&s->waiters);
    if (x)
        next = x->task;
    if (list_empty(&s->waiters))
        (void)and_acq_rel(&s->value, ~WAITERS);
    spin_unlock(&s->lock);
    if (next)
        w_ready(next);
    return next;
}

int weft_sem_release(weft_sem *sp)
{
    struct sem *s = S(sp);
    uint64_t max = s->max ? s->max : UINT32_MAX;
    uint64_t v;

    sim_point();
    v = load_relaxed(&s->value);
    for (;;) {
        if (unlikely(v & WAITERS)) {
            if (hand_over(s))
                return 0;
            v = load_relaxed(&s->value);
        } else if (unlikely(v >= max)) {
            return -EOVERFLOW;
        } else if (likely(cas_release(&s->value, &v, v + 1))) {
            return 0;
        }
    }
}

uint32_t weft_sem_value(const weft_sem *s)
{
    return (uint32_t)load_relaxed(&S(s)->value);
}

weft_sem *weft_sem_enter_(weft_sem *s)
{
    return weft_sem_acquire(s) == 0 ? s : NULL;
}

void weft_sem_cleanup_(weft_sem **s)
{
    if (*s && weft_sem_release(*s) < 0)
        w_bug("weft_with_sem: the permit was given back already");
}
