/* SPDX-License-Identifier: MIT */
#include "core/park.h"

#include "base/sys.h"
#include "core/worker.h"

/* Only a task that waits or joins can need to be found by a cancelled family;
 * one that never does costs no link. */
static void join_family(struct weft_task *t)
{
    struct family *f = t->family;

    t->flags |= TASK_LINKED | TASK_USED;
    spin_lock(&f->lock);
    list_lazy_init(&f->tasks);
    list_push_back(&f->tasks, &t->sibling);
    spin_unlock(&f->lock);
}

bool w_wait_prepare(struct weft_task *t)
{
    if (unlikely(!w_can_suspend(w_worker())))
        return false;
    if (unlikely(!(t->flags & TASK_LINKED)))
        join_family(t);
    return true;
}

uint64_t w_wait_begin_shielded(struct weft_task *t)
{
    /* A join cannot fail: others will give stacks back. */
    while (unlikely(!w_wait_prepare(t)))
        sys_sleep(WEFT_MS);
    return wait_open(t, SHIELD_ALL, WAIT_PARKING);
}

void w_wait_abort(struct weft_task *t)
{
    uint64_t w = load_relaxed(&t->wait);

    assert(WAIT_STATE(w) == WAIT_PARKING || WAIT_STATE(w) == WAIT_HELD_READY);
    store_release(&t->wait, wait_set_state(w, WAIT_IDLE) & ~WAIT_CANCELLED);
}

/* First code on the next stack: t is off its own. */
static void park_commit(struct worker *w, struct weft_task *t, void *arg)
{
    uint64_t x = load_relaxed(&t->wait);

    (void)arg;
    w_stress_point();
    if (likely(WAIT_STATE(x) == WAIT_PARKING) &&
        cas_acq_rel(&t->wait, &x, wait_set_state(x, WAIT_PARKED))) /* O2 */
        return;
    while (WAIT_STATE(x) == WAIT_HELD)
        if (cas_acq_rel(&t->wait, &x, wait_set_state(x, WAIT_HELD_PARKED)))
            return; /* its waker queues it */
    assert(WAIT_STATE(x) == WAIT_HELD_READY);
    w_worker_ready(w, (w_entry)t);
}

bool w_wait(struct weft_task *t, const char *why)
{
    uint64_t x = load_acquire(&t->wait);

    if (likely(WAIT_STATE(x) != WAIT_HELD_READY)) {
        t->why = why;
        w_stress_point();
        w_switch_out(park_commit, NULL);
        x = load_acquire(&t->wait); /* O1 */
        t->why = NULL;
    }
    store_relaxed(&t->wait, wait_set_state(x, WAIT_IDLE) & ~WAIT_CANCELLED);
    return !(x & WAIT_CANCELLED);
}

bool w_claim_slow(struct weft_task *t, uint64_t x)
{
    uint64_t epoch = WAIT_EPOCH(x);

    while (WAIT_EPOCH(x) == epoch) {
        enum wait_state to;

        if (WAIT_STATE(x) == WAIT_INSPECTED) {
            cpu_pause();
            x = load_acquire(&t->wait);
            continue;
        }
        if (WAIT_STATE(x) == WAIT_PARKED)
            to = WAIT_CLAIMED;
        else if (WAIT_STATE(x) == WAIT_PARKING)
            to = WAIT_HELD;
        else
            return false;
        if (cas_acq_rel(&t->wait, &x, wait_set_state(x, to))) /* O1 O2 */
            return true;
    }
    return false;
}

bool w_claim_low(struct weft_task *t, uint32_t epoch)
{
    uint64_t x = load_acquire(&t->wait);

    return (WAIT_EPOCH(x) & INT32_MAX) == epoch && w_claim_slow(t, x);
}

/* True: the task must be queued by the caller. */
static bool let_go(struct weft_task *t)
{
    uint64_t x = load_acquire(&t->wait);

    while (WAIT_STATE(x) == WAIT_HELD)
        if (cas_acq_rel(&t->wait, &x, wait_set_state(x, WAIT_HELD_READY)))
            return false;
    assert(WAIT_STATE(x) == WAIT_CLAIMED || WAIT_STATE(x) == WAIT_HELD_PARKED);
    return true;
}

bool w_claim_self(struct waiter *x)
{
    if (!w_claim_waiter(x))
        return false;
    (void)let_go(x->task); /* it is not parked: never ours to queue */
    return true;
}

void w_ready(struct weft_task *t)
{
    struct worker *w;

    w_stress_point();
    if (!let_go(t))
        return;
    w = w_worker();
    if (likely(w && w->thread.rt == task_rt(t)))
        w_worker_ready(w, (w_entry)t);
    else
        w_submit_foreign(task_rt(t), (w_entry)t);
    sim_point();
}

void w_ready_later(struct chain *c, struct weft_task *t)
{
    if (let_go(t))
        w_chain_add(c, (w_entry)t);
}

static bool effective(uint64_t x, unsigned depth)
{
    unsigned shield = WAIT_SHIELD(x);

    return !shield || (shield != SHIELD_ALL && depth > shield);
}

static void cancel_joined(struct weft_task *t)
{
    struct group *g = waits_for_group(t);

    if (g)
        w_group_cancel_now(g);
    else
        w_task_cancel_now(waits_for_task(t));
}

void w_cancel_wait(struct weft_task *t, unsigned depth, struct chain *c)
{
    uint64_t x = load_seq_cst(&t->wait); /* D1 */

    while (effective(x, depth)) {
        enum wait_state s = WAIT_STATE(x), to;

        if (s == WAIT_INSPECTED) {
            cpu_pause();
            x = load_acquire(&t->wait);
            continue;
        }
        if (s == WAIT_PARKED)
            to = WAIT_CLAIMED;
        else if (s == WAIT_PARKING)
            to = WAIT_HELD_READY;
        else if (s == WAIT_JOINING)
            to = WAIT_JOIN_BUSY;
        else
            return;
        if (!cas_acq_rel(&t->wait, &x, wait_set_state(x, to) | WAIT_CANCELLED))
            continue;
        if (to == WAIT_CLAIMED) {
            w_chain_add(c, (w_entry)t);
        } else if (to == WAIT_JOIN_BUSY) {
            cancel_joined(t);
            store_release(&t->wait, wait_set_state(x, WAIT_JOINING));
        }
        return;
    }
}

bool w_inspect_begin(struct weft_task *t)
{
    uint64_t x = load_acquire(&t->wait);

    return WAIT_STATE(x) == WAIT_PARKED &&
           cas_acq_rel(&t->wait, &x, wait_set_state(x, WAIT_INSPECTED)); /* O2 */
}

void w_inspect_end(struct weft_task *t)
{
    store_release(&t->wait,
                  wait_set_state(load_relaxed(&t->wait), WAIT_PARKED));
}

int w_join_begin(struct weft_task *t, uintptr_t waits_for)
{
    int rc;

    /* A canceller of the family must find a task that is buried so. */
    if (unlikely(!(t->flags & TASK_LINKED)))
        join_family(t);
    store_relaxed(&t->waits_for, waits_for);
    (void)wait_open(t, t->shield, WAIT_JOINING);
    rc = w_cancel_error(t); /* D1 */
    if (unlikely(rc))
        w_join_end(t);
    return rc;
}

void w_join_end(struct weft_task *t)
{
    uint64_t x = load_acquire(&t->wait);
    unsigned n = 0;

    for (;;) {
        if (WAIT_STATE(x) == WAIT_JOINING) {
            if (!cas_acq_rel(&t->wait, &x, wait_set_state(x, WAIT_IDLE)))
                continue;
            store_relaxed(&t->waits_for, 0); /* no canceller reads it now */
            return;
        }
        assert(WAIT_STATE(x) == WAIT_JOIN_BUSY);
        if (++n & 63)
            cpu_pause();
        else
            sys_yield();
        x = load_acquire(&t->wait);
    }
}
