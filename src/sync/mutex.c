/* SPDX-License-Identifier: MIT */
/* Mutex: one word (owner, two flags) and a queue.
 *
 * The fast paths are one compare-and-swap each. An unlock that finds waiters
 * takes one of two ways with the first of them:
 *
 *   hand over  It owns the mutex before it runs: nobody gets in between. So it
 *              is if it found a holder that waits for something itself, and so
 *              it always is on one worker: asyncio's order.
 *   call       The mutex is free, the waiter comes for it (WOKEN), and until it
 *              runs whoever does may take the mutex, most likely the task that
 *              freed it: a short section that is entered again and again stays
 *              on its core and costs no switch each time. One at a time is on
 *              its way; the others keep their places.
 *
 * Who was called and finds the mutex taken goes back to the head of the queue
 * and asks to be handed it. So waiters get it in order of arrival, and each is
 * overtaken only until it runs, and by the one section that it then meets.
 *
 * No wake is lost. While the queue holds somebody WAITERS is set, and either
 * WOKEN is, or somebody owns the mutex and its unlock looks into the queue. The
 * task that WOKEN stands for takes the mutex, or clears WOKEN in the step that
 * puts it back into the queue of an owned mutex, or passes it on if it is
 * cancelled.
 *
 * Whoever can take the mutex may also free its memory, so an unlock touches
 * nothing after it has let go of the word; or, if it claimed a waiter, of the
 * lock: before w_ready that one cannot have come and gone. WAITERS changes
 * under the lock only; WOKEN is set under it too, by who owns the mutex. */
#include "sync/mutex.h"

#include "sync/lockorder.h"
#include "sync/waitq.h"

#define WAITERS ((uintptr_t)1) /* the queue may hold some */
#define WOKEN ((uintptr_t)2)   /* one who was in it is on its way */
#define FLAGS (WAITERS | WOKEN)

/* A waiter's status: what it asks for, then what it got. */
enum { CALL, HAND_OVER };

struct mutex {
    _Atomic uintptr_t owner; /* task, | FLAGS */
    struct spin lock;
    struct list waiters;     /* L */
};
static_assert(sizeof(struct mutex) <= sizeof(weft_mutex), "weft_mutex");
static_assert(alignof(struct weft_task) > FLAGS, "room for the flags");

static struct mutex *M(const weft_mutex *m)
{
    return (struct mutex *)(uintptr_t)m;
}

static inline uintptr_t owner(uintptr_t word)
{
    return word & ~FLAGS;
}

/* Takes m if nobody owns it. False: *o is the word. `woken`: WOKEN if it stands
 * for t, or 0. */
static inline bool take(struct mutex *m, struct weft_task *t, uintptr_t woken,
                        uintptr_t *o)
{
    *o = load_relaxed(&m->owner);
    while (!owner(*o))
        if (likely(cas_acquire(&m->owner, o, (*o & ~woken) | (uintptr_t)t)))
            return true;
    return false;
}

/* Under the lock, for t, which queues behind the word o: does the owner wait
 * for something in its section? One worker can run t only if it does or yields.
 * With WOKEN the owner may free m at any time, and end, and its runtime too. */
static bool owner_waits(uintptr_t o, const struct weft_task *t)
{
    uint64_t w;

    if (task_rt(t)->n_workers == 1)
        return true;
    if (o & WOKEN)
        return false;
    w = load_relaxed(&((struct weft_task *)owner(o))->wait);
    return WAIT_STATE(w) == WAIT_PARKED || WAIT_STATE(w) == WAIT_PARKING;
}

/* With a begun wait of x's task: true if m was taken, and the wait is over;
 * else x is queued. */
static bool take_or_queue(struct mutex *m, struct waiter *x, uintptr_t woken)
{
    uintptr_t o;

    spin_lock(&m->lock);
    list_lazy_init(&m->waiters);
    do {
        if (take(m, x->task, woken, &o)) {
            spin_unlock(&m->lock);
            w_wait_abort(x->task);
            return true;
        }
    } while (!cas_relaxed(&m->owner, &o, (o & ~woken) | WAITERS));
    x->status = woken || owner_waits(o, x->task) ? HAND_OVER : CALL;
    if (woken)
        list_push_front(&m->waiters, &x->node);
    else
        list_push_back(&m->waiters, &x->node);
    if (debugging())
        w_debug_waits(x->task, (struct weft_task *)owner(o));
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

/* WOKEN stands for the caller, who will not come: let it stand for the next, or
 * an owner's unlock look. */
static void pass_on(struct mutex *m)
{
    struct weft_task *next = NULL;
    struct waiter *x;
    uintptr_t o;

    spin_lock(&m->lock);
    o = load_relaxed(&m->owner);
    while (owner(o) && !cas_relaxed(&m->owner, &o, o & ~WOKEN))
        ;
    if (!owner(o)) {
        x = waitq_claim(&m->waiters);
        if (x) {
            x->status = CALL;
            next = x->task;
        }
        (void)and_acq_rel(&m->owner,
                          ~((next ? 0 : WOKEN) |
                            (list_empty(&m->waiters) ? WAITERS : 0)));
    }
    spin_unlock(&m->lock);
    if (next)
        w_ready(next);
}

/* 0, or the error of a cancelled scope unless `shielded`. */
static W_NOINLINE int lock_slow(struct mutex *m, struct weft_task *t,
                                bool shielded)
{
    uintptr_t woken = 0, o;

    while (!take(m, t, woken, &o)) {
        struct waiter x = {.task = t};
        int rc = 0;

        if (shielded)
            x.epoch = w_wait_begin_shielded(t);
        else
            rc = w_wait_begin(t, &x.epoch);
        if (unlikely(rc)) {
            if (woken)
                pass_on(m);
            return rc;
        }
        if (take_or_queue(m, &x, woken))
            return 0;
        rc = wait_for(m, &x);
        if (rc || x.status == HAND_OVER)
            return rc;
        woken = WOKEN;
    }
    return 0;
}

void w_mutex_lock_shielded(weft_mutex *mp, struct weft_task *t)
{
    struct mutex *m = M(mp);
    uintptr_t o = 0;

    if (debugging())
        w_lock_order_take(t, m);
    if (unlikely(!cas_acquire(&m->owner, &o, (uintptr_t)t)))
        (void)lock_slow(m, t, true);
}

bool w_mutex_is_held_by(const weft_mutex *m, const struct weft_task *t)
{
    return owner(load_relaxed(&M(m)->owner)) == (uintptr_t)t;
}

static inline int lock(struct mutex *m, struct weft_task *t)
{
    uintptr_t o = 0;

    if (likely(cas_acquire(&m->owner, &o, (uintptr_t)t)))
        return 0;
    if (owner(o) == (uintptr_t)t)
        return -EDEADLK;
    return lock_slow(m, t, false);
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
    uintptr_t o;

    if (!t)
        return -EPERM;
    if (!take(m, t, 0, &o))
        return owner(o) == (uintptr_t)t ? -EDEADLK : -EAGAIN;
    if (debugging())
        w_lock_order_got(t, m);
    return 0;
}

/* Under the lock, by the owner while WOKEN is not set: the first waiter has m,
 * or is called. NULL: none waits, and WAITERS is not set any more. */
static struct weft_task *serve(struct mutex *m, struct weft_task *t,
                               bool in_order)
{
    struct waiter *x = waitq_claim(&m->waiters);
    uintptr_t more = list_empty(&m->waiters) ? 0 : WAITERS;

    if (!x) {
        store_relaxed(&m->owner, (uintptr_t)t);
        return NULL;
    }
    if (in_order)
        x->status = HAND_OVER;
    if (x->status == HAND_OVER && debugging())
        debug_handed_over(m, x->task);
    store_release(&m->owner, more | (x->status == HAND_OVER
                                         ? (uintptr_t)x->task : WOKEN));
    return x->task;
}

static W_NOINLINE void unlock_slow(struct mutex *m, struct weft_task *t,
                                   bool in_order)
{
    uintptr_t o = load_relaxed(&m->owner);

    for (;;) {
        struct weft_task *next;

        if ((o & FLAGS) != WAITERS) { /* nobody, or one is on its way */
            if (cas_release(&m->owner, &o, o & FLAGS))
                return;
            continue;
        }
        spin_lock(&m->lock);
        next = serve(m, t, in_order);
        spin_unlock(&m->lock);
        if (next) {
            w_ready(next);
            return;
        }
        /* All had given up; meanwhile others may have come. */
        o = (uintptr_t)t;
    }
}

static inline int unlock(weft_mutex *mp, bool in_order)
{
    struct mutex *m = M(mp);
    struct weft_task *t = w_current();
    uintptr_t o = (uintptr_t)t;

    if (unlikely(!t))
        return -EPERM;
    if (debugging()) {
        in_order = true; /* the graph of who waits for whom wants owners */
        if (w_mutex_is_held_by(mp, t))
            w_lock_order_drop(t, m);
    }
    if (likely(cas_release(&m->owner, &o, 0)))
        return 0;
    if (owner(o) != (uintptr_t)t)
        return -EPERM;
    unlock_slow(m, t, in_order);
    return 0;
}

int weft_mutex_unlock(weft_mutex *m)
{
    sim_point();
    return unlock(m, false);
}

void w_mutex_unlock_in_order(weft_mutex *m)
{
    (void)unlock(m, true);
}

int weft_mutex_locked(const weft_mutex *m)
{
    return owner(load_relaxed(&M(m)->owner)) != 0;
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
