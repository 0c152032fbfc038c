/* SPDX-License-Identifier: MIT */
/* Barrier: a count and a queue under a lock. The last party lets all pass or,
 * if one of them was cancelled meanwhile, none: a party that it has claimed
 * cannot go on before it is queued, so what it is told can still change. */
#include <weft/sync.h>

#include "core/join.h"
#include "sync/waitq.h"

struct barrier {
    struct spin lock;
    uint32_t parties;         /* I */
    _Atomic uint32_t waiting; /* L to write */
    _Atomic uint32_t broken;  /* L to write */
    struct list waiters;      /* L */
};
static_assert(sizeof(struct barrier) <= sizeof(weft_barrier), "weft_barrier");

static struct barrier *B(const weft_barrier *b)
{
    return (struct barrier *)(uintptr_t)b;
}

int weft_barrier_init(weft_barrier *bp, unsigned n)
{
    struct barrier *b = B(bp);

    if (n == 0)
        return -EINVAL;
    memset(bp, 0, sizeof *bp);
    b->parties = n;
    list_init(&b->waiters);
    return 0;
}

/* Under the lock: empties the barrier. False: some waiter was cancelled. */
static bool claim_all(struct barrier *b, int status, struct list *claimed)
{
    struct list *n;
    bool all = true;

    list_init(claimed);
    while ((n = list_pop_front(&b->waiters))) {
        struct waiter *x = container_of(n, struct waiter, node);

        x->status = status;
        if (w_claim_waiter(x))
            list_push_back(claimed, n);
        else
            all = false;
    }
    store_relaxed(&b->waiting, 0);
    return all;
}

/* Under the lock, which it gives back. */
static void turn_away(struct barrier *b, bool broken)
{
    struct list claimed;

    store_relaxed(&b->broken, broken);
    (void)claim_all(b, -EPIPE, &claimed);
    spin_unlock(&b->lock);
    w_waiters_ready(&claimed);
}

/* Under the lock, which it gives back: all are here. 0 or -EPIPE. */
static int let_pass(struct barrier *b)
{
    struct list claimed;
    bool all = claim_all(b, 0, &claimed);

    if (!all) {
        store_relaxed(&b->broken, true);
        list_each(n, &claimed)
            container_of(n, struct waiter, node)->status = -EPIPE;
    }
    spin_unlock(&b->lock);
    w_waiters_ready(&claimed);
    return all ? 0 : -EPIPE;
}

/* With a begun wait of x's task. */
static int arrive(struct barrier *b, struct waiter *x)
{
    uint32_t index;
    int rc;

    spin_lock(&b->lock);
    index = load_relaxed(&b->waiting);
    if (load_relaxed(&b->broken)) {
        spin_unlock(&b->lock);
        w_wait_abort(x->task);
        return -EPIPE;
    }
    if (index + 1 == b->parties) {
        rc = let_pass(b);
        w_wait_abort(x->task);
        return rc ? rc : (int)index;
    }
    store_relaxed(&b->waiting, index + 1);
    list_push_back(&b->waiters, &x->node);
    spin_unlock(&b->lock);
    if (likely(w_wait(x->task, "barrier")))
        return x->status ? x->status : (int)index;
    spin_lock(&b->lock);
    if (list_linked(&x->node)) {
        list_remove(&x->node);
        turn_away(b, true);
    } else {
        spin_unlock(&b->lock); /* who took it out knows that it goes */
    }
    return w_cancel_error(x->task);
}

int weft_barrier_wait(weft_barrier *bp)
{
    struct barrier *b = B(bp);
    struct worker *w = w_worker();
    struct waiter x = {.task = w ? w->current : NULL};
    int rc;

    if (unlikely(!x.task))
        return -EPERM;
    if (unlikely(!b->parties))
        return -EINVAL;
    w_budget(w);
    rc = w_cancel_error(x.task);
    if (likely(rc == 0))
        rc = w_wait_begin(x.task, &x.epoch);
    if (likely(rc == 0))
        return arrive(b, &x);
    if (rc != -ENOMEM)
        weft_barrier_abort(bp); /* the others would wait for it in vain */
    return rc;
}

void weft_barrier_abort(weft_barrier *bp)
{
    struct barrier *b = B(bp);

    spin_lock(&b->lock);
    turn_away(b, true);
}

void weft_barrier_reset(weft_barrier *bp)
{
    struct barrier *b = B(bp);

    spin_lock(&b->lock);
    turn_away(b, false);
}

unsigned weft_barrier_waiting(const weft_barrier *b)
{
    return load_relaxed(&B(b)->waiting);
}

int weft_barrier_broken(const weft_barrier *b)
{
    return load_relaxed(&B(b)->broken) != 0;
}
