/* SPDX-License-Identifier: MIT */
#include "core/timer.h"

static void set_first(struct timers *ts)
{
    store_release(&ts->first, ts->heap.root ? ts->heap.root->key : INT64_MAX);
}

void w_timers_open(struct timers *ts)
{
    store_relaxed(&ts->first, INT64_MAX);
}

void w_timer_arm(struct timers *ts, struct timer *t, int64_t when,
                 w_timer_fire *fire)
{
    assert(!timer_armed(t));
    t->fire = fire;
    spin_lock(&ts->lock);
    heap_insert(&ts->heap, &t->node, when);
    store_release(&t->home, ts);
    set_first(ts);
    spin_unlock(&ts->lock);
}

bool w_timer_disarm(struct timer *t)
{
    struct timers *ts;

    while ((ts = load_acquire(&t->home))) {
        spin_lock(&ts->lock);
        if (load_relaxed(&t->home) == ts) {
            heap_remove(&ts->heap, &t->node);
            set_first(ts);
            store_release(&t->home, NULL);
            spin_unlock(&ts->lock);
            return true;
        }
        spin_unlock(&ts->lock);
    }
    return false;
}

unsigned w_timers_expire(struct timers *ts, struct worker *w, int64_t now,
                         unsigned max, struct chain *c)
{
    unsigned n = 0;

    if (timers_first(ts) > now || !spin_trylock(&ts->lock))
        return 0;
    while (n < max && ts->heap.root && ts->heap.root->key <= now) {
        struct timer *t = container_of(ts->heap.root, struct timer, node);
        int64_t again;

        heap_remove(&ts->heap, &t->node);
        again = t->fire(t, w, c);
        if (unlikely(again)) {
            heap_insert(&ts->heap, &t->node, again);
            continue;
        }
        store_release(&t->home, NULL); /* last touch */
        n++;
    }
    set_first(ts);
    spin_unlock(&ts->lock);
    return n;
}
