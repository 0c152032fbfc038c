/* SPDX-License-Identifier: MIT */
/* Mutex: one word (owner, "somebody waits") and a queue.
 *
 * The fast paths are one compare-and-swap each. With waiters the unlocker hands
 * the mutex to the first: order of arrival, no barging, no lost grant. */
#include <weft/sync.h>

#include "sync/waitq.h"

#define WAITERS ((uintptr_t)1)

struct mutex {
    _Atomic uintptr_t owner; /* task, | WAITERS while the queue may hold some */
    struct spin lock;
    struct list waiters;     /* L */
};
static_assert(sizeof(struct mutex) <= sizeof(weft_mutex), "weft_mutex");

static struct mutex *M(const weft_mutex *m)
{
    return (struct mutex *)(uintptr_t)m;
}

static int lock_slow(struct mutex *m, struct weft_task *t)
{
    struct waiter x = {.task = t};
    uintptr_t o;
    int rc = w_wait_begin(t, &x.epoch);

    if (rc)
        return rc;
    spin_lock(&m->lock);
    list_lazy_init(&m->waiters);
    o = load_relaxed(&m->owner);
    do {
        if (o == 0 && cas_acquire(&m->owner, &o, (uintptr_t)t)) {
            spin_unlock(&m->lock);
            w_wait_abort(t);
            return 0;
        }
    } while (o == 0 || !cas_relaxed(&m->owner, &o, o | WAITERS));
    list_push_back(&m->waiters, &x.node);
    spin_unlock(&m->lock);
    return waitq_wait(&x, &m->lock, "mutex");
}

int weft_mutex_lock(weft_mutex *mp)
{
    struct mutex *m = M(mp);
    struct worker *w = w_worker();
    struct weft_task *t = w ? w->current : NULL;
    uintptr_t o = 0;
    int rc;

    if (unlikely(!t))
        return -EPERM;
    w_budget(w);
    rc = w_cancel_error(t);
    if (unlikely(rc))
        return rc;
    if (likely(cas_acquire(&m->owner, &o, (uintptr_t)t)))
        return 0;
    if ((o & ~WAITERS) == (uintptr_t)t)
        return -EDEADLK;
    return lock_slow(m, t);
}

int weft_mutex_trylock(weft_mutex *mp)
{
    struct mutex *m = M(mp);
    struct weft_task *t = w_current();
    uintptr_t o = 0;

    if (!t)
        return -EPERM;
    if (cas_acquire(&m->owner, &o, (uintptr_t)t))
        return 0;
    return (o & ~WAITERS) == (uintptr_t)t ? -EDEADLK : -EAGAIN;
}

static void hand_over(struct mutex *m)
{
    struct weft_task *next = NULL;
    struct waiter *x;

    spin_lock(&m->lock);
    x = waitq_claim(&m->waiters);
    if (x)
        next = x->task;
    store_release(&m->owner, (uintptr_t)next |
                                 (list_empty(&m->waiters) ? 0 : WAITERS));
    spin_unlock(&m->lock);
    if (next)
        w_ready(next);
}

int weft_mutex_unlock(weft_mutex *mp)
{
    struct mutex *m = M(mp);
    struct weft_task *t = w_current();
    uintptr_t o = (uintptr_t)t;

    if (unlikely(!t))
        return -EPERM;
    if (likely(cas_release(&m->owner, &o, 0)))
        return 0;
    if ((o & ~WAITERS) != (uintptr_t)t)
        return -EPERM;
    hand_over(m);
    return 0;
}

int weft_mutex_locked(const weft_mutex *m)
{
    return load_relaxed(&M(m)->owner) != 0;
}

weft_mutex *weft_mutex_enter_(weft_mutex *m)
{
    return weft_mutex_lock(m) == 0 ? m : NULL;
}

void weft_mutex_cleanup_(weft_mutex **m)
{
    if (*m && weft_mutex_unlock(*m) < 0)
        w_bug("weft_with_mutex: the task no longer holds the mutex");
}
