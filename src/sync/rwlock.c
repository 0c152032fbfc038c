/* SPDX-License-Identifier: MIT */
/* Readers and writers: one word and a queue of both.
 *
 * The word is 0, a writer's task | WRITER, or READER times the readers; and
 * WAITERS, set exactly while the queue is not empty. Without WAITERS the calls
 * are one compare-and-swap. With it nobody gets in but from the queue, a writer
 * or the last reader hands over under the lock, and the word changes under the
 * lock only, except that readers who are not the last still count themselves
 * out. So someone always holds what is waited for.
 *
 * Whoever can take it may free it: after the word has let others in, a call
 * touches nothing. */
#include <weft/sync.h>

#include "core/join.h"
#include "sync/lockorder.h"
#include "sync/waitq.h"

#define WAITERS ((uintptr_t)1)
#define WRITER ((uintptr_t)2)
#define READER ((uintptr_t)4)

enum { WANTS_READ, WANTS_WRITE };

struct rwlock {
    _Atomic uintptr_t state;
    struct spin lock;
    struct list waiters; /* L: their status says what they want */
};
static_assert(sizeof(struct rwlock) <= sizeof(weft_rwlock), "weft_rwlock");
static_assert(alignof(struct weft_task) >= 4, "room for two bits");

static struct rwlock *R(weft_rwlock *rw)
{
    return (struct rwlock *)(void *)rw;
}

/* ---- taking -------------------------------------------------------------- */

/* False: not now; *s is the word. */
static bool take(struct rwlock *rw, struct weft_task *t, int want, uintptr_t *s)
{
    if (want == WANTS_WRITE) {
        *s = 0;
        return cas_acquire(&rw->state, s, (uintptr_t)t | WRITER);
    }
    *s = load_relaxed(&rw->state);
    while (!(*s & (WRITER | WAITERS)))
        if (cas_acquire(&rw->state, s, *s + READER))
            return true;
    return false;
}

/* Under the lock: the readers at the head of the queue, as many READERs. */
static uintptr_t claim_readers(struct rwlock *rw, struct list *claimed)
{
    uintptr_t n = 0;

    while (!list_empty(&rw->waiters)) {
        struct list *first = rw->waiters.next;
        struct waiter *x = container_of(first, struct waiter, node);

        /* Each says what it wants before it is queued, which the analyzer loses.
         * NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
        if (x->status != WANTS_READ)
            break;
        (void)list_pop_front(&rw->waiters);
        if (w_claim_waiter(x)) {
            list_push_back(claimed, first);
            n += READER;
        }
    }
    return n;
}

/* One who was cancelled goes. Readers behind it need not wait any more if it
 * alone stood between them and those inside. */
static void leave(struct rwlock *rw, struct waiter *x)
{
    struct list claimed;
    uintptr_t s, n = 0;

    list_init(&claimed);
    spin_lock(&rw->lock);
    if (list_linked(&x->node))
        list_remove(&x->node);
    s = load_acquire(&rw->state);
    if (s & WAITERS) {
        uintptr_t to;

        if (!(s & WRITER))
            n = claim_readers(rw, &claimed);
        do
            to = (s + n) & ~(list_empty(&rw->waiters) ? WAITERS : 0);
        while (!cas_acq_rel(&rw->state, &s, to));
    }
    spin_unlock(&rw->lock);
    w_waiters_ready(&claimed);
}

static W_NOINLINE int lock_slow(struct rwlock *rw, struct weft_task *t,
                                int want)
{
    struct waiter x = {.task = t, .status = want};
    uintptr_t s;
    int rc = w_wait_begin(t, &x.epoch);

    if (rc)
        return rc;
    spin_lock(&rw->lock);
    do {
        if (take(rw, t, want, &s)) {
            spin_unlock(&rw->lock);
            w_wait_abort(t);
            return 0;
        }
    } while (!(s & WAITERS) &&
             (s == 0 || !cas_relaxed(&rw->state, &s, s | WAITERS)));
    list_lazy_init(&rw->waiters);
    list_push_back(&rw->waiters, &x.node);
    spin_unlock(&rw->lock);
    if (likely(w_wait(t, want == WANTS_READ ? "rdlock" : "wrlock")))
        return 0;
    leave(rw, &x);
    return w_cancel_error(t);
}

static int lock(struct rwlock *rw, int want)
{
    struct weft_task *t;
    uintptr_t s;
    int rc = waitq_enter(&t);

    if (unlikely(rc))
        return rc;
    if (debugging())
        w_lock_order_take(t, rw);
    if (likely(take(rw, t, want, &s)))
        return 0;
    if ((s & ~WAITERS) == ((uintptr_t)t | WRITER))
        rc = -EDEADLK;
    else
        rc = lock_slow(rw, t, want);
    if (unlikely(rc) && debugging())
        w_lock_order_drop(t, rw);
    return rc;
}

static int trylock(struct rwlock *rw, int want)
{
    struct weft_task *t = w_current();
    uintptr_t s;

    if (!t)
        return -EPERM;
    if (take(rw, t, want, &s)) {
        if (debugging())
            w_lock_order_got(t, rw);
        return 0;
    }
    return (s & ~WAITERS) == ((uintptr_t)t | WRITER) ? -EDEADLK : -EAGAIN;
}

int weft_rwlock_rdlock(weft_rwlock *rw)
{
    return lock(R(rw), WANTS_READ);
}

int weft_rwlock_wrlock(weft_rwlock *rw)
{
    return lock(R(rw), WANTS_WRITE);
}

int weft_rwlock_tryrdlock(weft_rwlock *rw)
{
    return trylock(R(rw), WANTS_READ);
}

int weft_rwlock_trywrlock(weft_rwlock *rw)
{
    return trylock(R(rw), WANTS_WRITE);
}

/* ---- giving back --------------------------------------------------------- */

/* The caller alone is inside, as `held` says, and saw WAITERS. True: others
 * have it. False: look again, nobody waits any more or readers came in. */
static W_NOINLINE bool hand_over(struct rwlock *rw, uintptr_t held)
{
    struct list claimed, *first;
    uintptr_t to;

    list_init(&claimed);
    spin_lock(&rw->lock);
    if (load_acquire(&rw->state) != (held | WAITERS)) {
        spin_unlock(&rw->lock);
        return false;
    }
    while (!(to = claim_readers(rw, &claimed)) &&
           (first = list_pop_front(&rw->waiters))) {
        struct waiter *x = container_of(first, struct waiter, node);

        if (w_claim_waiter(x)) {
            list_push_back(&claimed, &x->node);
            to = (uintptr_t)x->task | WRITER;
            break;
        }
    }
    store_release(&rw->state,
                  (to ? to : held) | (list_empty(&rw->waiters) ? 0 : WAITERS));
    spin_unlock(&rw->lock);
    w_waiters_ready(&claimed);
    return to != 0;
}

int weft_rwlock_unlock(weft_rwlock *rwp)
{
    struct rwlock *rw = R(rwp);
    struct weft_task *t = w_current();
    uintptr_t s = load_relaxed(&rw->state);

    if (unlikely(!t))
        return -EPERM;
    for (;;) {
        uintptr_t held = s & ~WAITERS;
        bool writer = s & WRITER;

        if (unlikely(writer ? held != ((uintptr_t)t | WRITER) : held == 0))
            return -EPERM;
        if (debugging())
            w_lock_order_drop(t, rw);
        if (unlikely(s & WAITERS) && (writer || held == READER)) {
            if (hand_over(rw, held))
                return 0;
            s = load_relaxed(&rw->state);
        } else if (likely(
                       cas_release(&rw->state, &s, writer ? 0 : s - READER))) {
            return 0;
        }
    }
}

/* ---- blocks -------------------------------------------------------------- */

weft_rwlock *weft_rwlock_rdenter_(weft_rwlock *rw)
{
    return weft_rwlock_rdlock(rw) == 0 ? rw : NULL;
}

weft_rwlock *weft_rwlock_wrenter_(weft_rwlock *rw)
{
    return weft_rwlock_wrlock(rw) == 0 ? rw : NULL;
}

void weft_rwlock_cleanup_(weft_rwlock **rw)
{
    if (*rw && weft_rwlock_unlock(*rw) < 0)
        w_bug("weft_with_rdlock, wrlock: the task no longer holds the lock");
}
