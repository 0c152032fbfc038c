/* SPDX-License-Identifier: MIT */
/* Rate limiter: a token bucket, and a mutex in which takers stand in a row.
 *
 * The first of the row sleeps until the bucket holds what it wants; the others
 * hold no claim on tokens yet, so a cancelled one has nothing to give back. As
 * the one who waits takes its tokens at the moment they are there, the bucket
 * does not overflow while it is being woken: lateness costs no tokens. */
#include <float.h>
#include <weft/flow.h>
#include <weft/scope.h>
#include <weft/sync.h>

#include "base/sys.h"
#include "core/park.h"
#include "core/runtime.h"
#include "sync/mutex.h"

struct limiter {
    weft_mutex turn;
    struct spin lock;
    uint32_t waiting; /* L */
    double rate;      /* I: tokens a second */
    double burst;     /* I */
    double tokens;    /* L: at the time `at`; a late taker's may exceed burst */
    int64_t at;       /* L */
};
static_assert(sizeof(struct limiter) <= sizeof(weft_limiter), "weft_limiter");

static struct limiter *L(weft_limiter *l)
{
    return (struct limiter *)l;
}

int weft_limiter_init(weft_limiter *lp, double rate, double burst)
{
    struct limiter *l = L(lp);

    if (!(rate > 0 && rate <= DBL_MAX && burst > 0 && burst <= DBL_MAX))
        return -EINVAL;
    memset(lp, 0, sizeof *lp);
    l->rate = rate;
    l->burst = burst;
    l->tokens = burst;
    l->at = sys_now();
    return 0;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* Under the lock. False: not enough. `waited`: since they were there. */
static bool take(struct limiter *l, double n, bool waited)
{
    int64_t now = sys_now();

    l->tokens += (double)(now - l->at) * 1e-9 * l->rate;
    l->at = now;
    if (!waited)
        l->tokens = least(l->tokens, l->burst);
    if (l->tokens < n)
        return false;
    l->tokens = least(l->tokens - n, l->burst);
    return true;
}

/* Under the lock: when there will be n. */
static int64_t due(const struct limiter *l, double n)
{
    double ns = (n - l->tokens) / l->rate * 1e9 + 1;

    return ns < (double)(WEFT_NEVER - l->at) ? l->at + (int64_t)ns : WEFT_NEVER;
}

int weft_limiter_trytake(weft_limiter *lp, double n)
{
    struct limiter *l = L(lp);
    bool taken;

    if (!(n >= 0 && n <= l->burst))
        return -EINVAL;
    spin_lock(&l->lock);
    taken = l->waiting == 0 && take(l, n, false);
    spin_unlock(&l->lock);
    return taken ? 0 : -EAGAIN;
}

/* The first of the row. */
static int wait_for(struct limiter *l, double n)
{
    int64_t when;
    int rc;

    for (;;) {
        spin_lock(&l->lock);
        if (take(l, n, true)) {
            spin_unlock(&l->lock);
            return 0;
        }
        when = due(l, n);
        spin_unlock(&l->lock);
        rc = weft_sleep_until(when);
        if (rc)
            return rc;
    }
}

int weft_limiter_take(weft_limiter *lp, double n)
{
    struct limiter *l = L(lp);
    struct worker *w = w_worker();
    struct weft_task *t = w ? w->current : NULL;
    int rc;

    if (!t)
        return -EPERM;
    if (!(n >= 0 && n <= l->burst))
        return -EINVAL;
    w_budget(w);
    rc = w_cancel_error(t);
    if (rc)
        return rc;
    spin_lock(&l->lock);
    if (l->waiting == 0 && take(l, n, false)) {
        spin_unlock(&l->lock);
        return 0;
    }
    l->waiting++;
    spin_unlock(&l->lock);
    rc = weft_mutex_lock(&l->turn);
    if (rc == 0) {
        rc = wait_for(l, n);
        w_mutex_unlock_in_order(&l->turn);
    }
    spin_lock(&l->lock);
    l->waiting--;
    spin_unlock(&l->lock);
    return rc;
}
