/* SPDX-License-Identifier: MIT */
/* Once: a state, its runner, and who waits for it. A runner that fails hands
 * its part to the first who waits. As an event (event.c) the flag may be freed
 * by whoever has seen that it is done. */
#include <weft/sync.h>

#include "core/join.h"
#include "sync/waitq.h"

enum { ONCE_NEW, ONCE_RUNS, ONCE_DONE };
enum { TOLD_RESULT, TOLD_TO_RUN };

struct once {
    _Atomic uint32_t state; /* L to write */
    struct spin lock;
    struct weft_task *runner; /* L */
    long result;              /* L until DONE */
    struct list waiters;      /* L */
};
static_assert(sizeof(struct once) <= sizeof(weft_once_flag), "weft_once_flag");

static struct once *O(const weft_once_flag *o)
{
    return (struct once *)(uintptr_t)o;
}

static bool is_done(struct once *o)
{
    return load_acquire(&o->state) == ONCE_DONE && waitq_settle(&o->lock);
}

int weft_once_done(const weft_once_flag *o)
{
    return is_done(O(o));
}

/* t is the runner. */
static long run(struct once *o, weft_fn *fn, void *arg)
{
    long result = fn(arg);
    struct weft_task *next = NULL;
    struct list claimed;
    struct waiter *x;

    list_init(&claimed);
    spin_lock(&o->lock);
    if (w_is_error(result)) {
        x = waitq_claim(&o->waiters);
        if (x) {
            x->status = TOLD_TO_RUN;
            next = x->task;
        } else {
            store_relaxed(&o->state, ONCE_NEW);
        }
        o->runner = next;
    } else {
        o->result = result;
        store_release(&o->state, ONCE_DONE);
        w_waiters_claim(&o->waiters, &claimed);
        list_each(n, &claimed)
            container_of(n, struct waiter, node)->value = (void *)result;
    }
    spin_unlock(&o->lock);
    if (next)
        w_ready(next);
    w_waiters_ready(&claimed);
    return result;
}

/* 0: *result is set; 1: t is the runner. Who waited does not look at o again,
 * which may be gone by then. */
static int enter(struct once *o, struct weft_task *t, long *result)
{
    struct waiter x = {.task = t, .status = TOLD_RESULT};
    uint32_t state;
    int rc = w_wait_begin(t, &x.epoch);

    if (rc)
        return w_refused(rc);
    spin_lock(&o->lock);
    state = load_relaxed(&o->state);
    if (state == ONCE_RUNS && o->runner != t) {
        list_lazy_init(&o->waiters);
        list_push_back(&o->waiters, &x.node);
        spin_unlock(&o->lock);
        rc = waitq_wait(&x, &o->lock, "once");
        *result = (long)x.value;
        return rc ? rc : x.status == TOLD_TO_RUN;
    }
    if (state == ONCE_NEW) {
        store_relaxed(&o->state, ONCE_RUNS);
        o->runner = t;
    }
    *result = o->result;
    spin_unlock(&o->lock);
    w_wait_abort(t);
    return state == ONCE_RUNS ? -EDEADLK : state == ONCE_NEW;
}

long weft_once(weft_once_flag *op, weft_fn *fn, void *arg)
{
    struct once *o = O(op);
    struct weft_task *t;
    long result;
    int rc = waitq_enter(&t);

    if (unlikely(rc))
        return rc;
    if (likely(is_done(o)))
        return o->result;
    rc = enter(o, t, &result);
    if (rc == 1)
        return run(o, fn, arg);
    return rc ? rc : result;
}
