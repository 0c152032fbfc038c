/* SPDX-License-Identifier: MIT */
/* Tickers: a rate that does not drift. The next tick is counted from the last
 * one, never from the clock, and those that went by are skipped at once. */
#include "base/sys.h"
#include "core/runtime.h"

/* Behind weft_ticker. The owner's. */
struct ticker {
    int64_t period; /* 0: not started */
    int64_t next;   /* the tick to wait for */
    int64_t last;   /* the tick that was returned for */
    uint64_t missed;
};
static_assert(sizeof(struct ticker) <= sizeof(weft_ticker), "weft_ticker");

/* A tick that would come after the end of the clock does not come. */
static int64_t after(int64_t tick, int64_t period)
{
    return tick < WEFT_NEVER - period ? tick + period : WEFT_NEVER;
}

int weft_ticker_start(weft_ticker *kp, int64_t period)
{
    struct ticker *k = (struct ticker *)kp;

    if (period <= 0)
        return -EINVAL;
    k->period = period;
    k->last = sys_now();
    k->next = after(k->last, period);
    k->missed = 0;
    return 0;
}

/* 0 or the error of a cancelled call, at which no tick is used up. */
static int wait_until(int64_t when)
{
    struct worker *w = w_worker();
    struct weft_task *t = w->current;

    if (sys_now() < when)
        return weft_sleep_until(when);
    w_budget(w); /* one that is always late still lets others run */
    return w_cancel_error(t);
}

long weft_ticker_wait(weft_ticker *kp)
{
    struct ticker *k = (struct ticker *)kp;
    int64_t now, skipped = 0;
    int rc;

    if (!w_current())
        return -EPERM;
    if (!k->period)
        return -EINVAL;
    rc = wait_until(k->next);
    if (rc < 0)
        return rc;
    now = sys_now();
    if (now > k->next)
        skipped = (now - k->next) / k->period;
    k->last = k->next + skipped * k->period;
    k->next = after(k->last, k->period);
    k->missed += (uint64_t)skipped;
    return skipped;
}

uint64_t weft_ticker_missed(const weft_ticker *k)
{
    return ((const struct ticker *)k)->missed;
}

int64_t weft_ticker_time(const weft_ticker *k)
{
    return ((const struct ticker *)k)->last;
}
