/* SPDX-License-Identifier: MIT */
/* Mutex: one word (owner, "somebody waits") and a queue.
 *
 * The fast paths are one compare-and-swap each. With waiters the unlocker hands
 * the mutex to the first: order of arrival, no barging, no lost grant. Whoever
 * can take the mutex may also free it, so an unlock touches nothing of it after
 * it has let go of the owner's word; WAITERS changes under the lock only. */
#include "sync/mutex.h"

#include "sync/lockorder.h"
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

/* With a begun wait of t: true if m was taken, and the wait is over; else x is
 * queued. */
static bool take_or_queue(struct mutex *m, struct waiter *x)
{
    uintptr_t o;

    spin_lock(&m->lock);
    list_lazy_init(&m->waiters);
    o = load_relaxed(&m->owner);
    do {
        if (o == 0 && cas_acquire(&m->owner, &o, (uintptr_t)x->task)) {
            spin_unlock(&m->lock);
            w_wait_abort(x->task);
            return true;
        }
    } while (o == 0 || !cas_relaxed(&m->owner, &o, o | WAITERS));
    list_push_back(&m->waiters, &x->node);
    if (debugging())
        w_debug_waits(x->task, (struct weft_task *)(o & ~WAITERS));
    spin_unlock(&m->lock);
    return false;
}

static int wait_for(struct mutex *m, struct waiter *x)
{
    int rc = waitq_wait(x, &m->lock, "mutex");

    if (debugging())
        w_debug_waited(x->task);
    return rc;
}

/* Under the lock: the mutex is `next`'s from now on. */
static W_COLD void debug_handed_over(struct mutex *m, struct weft_task *next)
{
    w_debug_waited(next);
    list_each(n, &m->waiters)
        w_debug_waits(container_of(n, struct waiter, node)->task, next);
}

static W_NOINLINE int lock_slow(struct mutex *m, struct weft_task *t)
{
    struct waiter x = {.task = t};
    int rc = w_wait_begin(t, &x.epoch);

    if (rc)
        return rc;
    return take_or_queue(m, &x) ? 0 : wait_for(m, &x);
}

void w_mutex_lock_shielded(weft_mutex *mp, struct weft_task *t)
{
    struct mutex *m = M(mp);
    struct waiter x = {.task = t};
    uintptr_t o = 0;

    if (debugging())
        w_lock_order_take(t, m);
    if (likely(cas_acquire(&m->owner, &o, (uintptr_t)t)))
        return;
    x.epoch = w_wait_begin_shielded(t);
    if (!take_or_queue(m, &x))
        (void)wait_for(m, &x);
}

bool w_mutex_is_held_by(const weft_mutex *m, const struct weft_task *t)
{
    return (load_relaxed(&M(m)->owner) & ~WAITERS) == (uintptr_t)t;
}

static inline int lock(struct mutex *m, struct weft_task *t)
{
    uintptr_t o = 0;

    if (likely(cas_acquire(&m->owner, &o, (uintptr_t)t)))
        return 0;
    if ((o & ~WAITERS) == (uintptr_t)t)
        return -EDEADLK;
    return lock_slow(m, t);
}

static W_COLD int lock_debug(struct mutex *m, struct weft_task *t)
{
    int rc;

    w_lock_order_take(t, m);
    rc = lock(m, t);
    if (rc)
        w_lock_order_drop(t, m);
    return rc;
}

int weft_mutex_lock(weft_mutex *mp)
{
    struct mutex *m = M(mp);
    struct weft_task *t;
    int rc = waitq_enter(&t);

    if (unlikely(rc))
        return rc;
    return debugging() ? lock_debug(m, t) : lock(m, t);
}

int weft_mutex_trylock(weft_mutex *mp)
{
    struct mutex *m = M(mp);
    struct weft_task *t = w_current();
    uintptr_t o = 0;

    if (!t)
        return -EPERM;
    if (cas_acquire(&m->owner, &o, (uintptr_t)t)) {
        if (debugging())
            w_lock_order_got(t, m);
        return 0;
    }
    return (o & ~WAITERS) == (uintptr_t)t ? -EDEADLK : -EAGAIN;
}

static W_NOINLINE void unlock_slow(struct mutex *m, struct weft_task *t)
{
    uintptr_t o;

    do {
        struct weft_task *next = NULL;
        struct waiter *x;

        spin_lock(&m->lock);
        x = waitq_claim(&m->waiters);
        if (x)
            next = x->task;
        o = (uintptr_t)(next ? next : t);
        if (debugging() && next)
            debug_handed_over(m, next);
        store_release(&m->owner,
                      o | (list_empty(&m->waiters) ? 0 : WAITERS));
        spin_unlock(&m->lock);
        if (next) {
            w_ready(next);
            return;
        }
        /* All had given up; meanwhile others may have come. */
    } while (!cas_release(&m->owner, &o, 0));
}

int weft_mutex_unlock(weft_mutex *mp)
{
    struct mutex *m = M(mp);
    struct weft_task *t = w_current();
    uintptr_t o = (uintptr_t)t;

    if (unlikely(!t))
        return -EPERM;
    if (debugging() && w_mutex_is_held_by(mp, t))
        w_lock_order_drop(t, m);
    if (likely(cas_release(&m->owner, &o, 0)))
        return 0;
    if ((o & ~WAITERS) != (uintptr_t)t)
        return -EPERM;
    unlock_slow(m, t);
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
