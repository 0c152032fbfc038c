/* SPDX-License-Identifier: MIT */
/* Sleeping, and timers that hold no stack. */
#include "base/sys.h"
#include "core/runtime.h"

int64_t weft_now(void)
{
    return sys_now();
}

struct sleeper {
    struct timer timer;
    struct weft_task *task;
    uint64_t epoch;
};

static int64_t wake_sleeper(struct timer *t, struct worker *w, struct chain *c)
{
    struct sleeper *s = container_of(t, struct sleeper, timer);
    struct weft_task *task = s->task;

    (void)w;
    if (w_claim(task, s->epoch))
        w_ready_later(c, task);
    return 0;
}

int weft_sleep_until(int64_t when)
{
    struct worker *w = w_worker();
    struct sleeper s = {.task = w ? w->current : NULL};
    int rc;

    if (!s.task)
        return -EPERM;
    if (when <= 0 || when <= sys_now())
        return weft_yield();
    rc = w_wait_begin(s.task, &s.epoch);
    if (rc)
        return w_refused(rc);
    if (when != WEFT_NEVER)
        w_timer_arm(&w->timers, &s.timer, when, wake_sleeper);
    rc = w_wait(s.task, "sleep") ? 0 : w_cancel_error(s.task);
    /* Also when it fired: whoever fired it still holds the lock, maybe. */
    (void)w_timer_disarm(&s.timer);
    return rc;
}

int weft_sleep(int64_t ns)
{
    int64_t now;

    if (ns <= 0)
        return weft_yield();
    now = sys_now();
    return weft_sleep_until(ns < WEFT_NEVER - now ? now + ns : WEFT_NEVER);
}

/* ---- callbacks --------------------------------------------------------- */

/* Behind weft_timer. */
struct alarm {
    struct timer timer;
    weft_fn *fn;
    void *arg;
};
static_assert(sizeof(struct alarm) <= sizeof(weft_timer), "weft_timer");

static int64_t fire_callback(struct timer *t, struct worker *w, struct chain *c)
{
    struct alarm *cb = container_of(t, struct alarm, timer);
    struct weft_task *task;

    if (load_acquire(&w->thread.rt->stopping))
        return 0;
    task = w_root_task(w->thread.rt, w, cb->fn, cb->arg, WEFT_SITE("timer"));
    if (!task)
        return sys_now() + WEFT_MS;
    w_chain_add(c, (w_entry)task | ENTRY_NEW);
    return 0;
}

int weft_timer_start(weft_timer *tp, int64_t when, weft_fn *fn, void *arg)
{
    struct alarm *cb = (struct alarm *)tp;
    struct worker *w = w_worker();

    if (!w || !w->current)
        return -EPERM;
    if (timer_armed(&cb->timer))
        return -EBUSY;
    cb->fn = fn;
    cb->arg = arg;
    w_timer_arm(&w->timers, &cb->timer, when, fire_callback);
    return 0;
}

int weft_timer_stop(weft_timer *tp)
{
    return w_timer_disarm(&((struct alarm *)tp)->timer);
}
