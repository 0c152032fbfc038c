/* SPDX-License-Identifier: MIT */
#include "core/timer.h"

static void set_first(struct timers *ts)
{
    store_release(&ts->first, deadlines_next(&ts->all));
}

void w_timers_open(struct timers *ts)
{
    deadlines_init(&ts->all);
    store_relaxed(&ts->first, INT64_MAX);
}

void w_timer_arm(struct timers *ts, struct timer *t, int64_t when,
                 w_timer_fire *fire)
{
    assert(!timer_armed(t));
    t->fire = fire;
    spin_lock(&ts->lock);
    deadlines_add(&ts->all, &t->node, when);
    store_release(&t->home, ts);
    if (t->node.key < load_relaxed(&ts->first))
        store_release(&ts->first, t->node.key);
    spin_unlock(&ts->lock);
}

bool w_timer_disarm(struct timer *t)
{
    struct timers *ts;

    while ((ts = load_acquire(&t->home))) {
        spin_lock(&ts->lock);
        if (load_relaxed(&t->home) == ts) {
            deadlines_remove(&ts->all, &t->node);
            if (t->node.key == load_relaxed(&ts->first))
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
    struct heap_node *first;
    unsigned n = 0;

    if (timers_first(ts) > now || !spin_trylock(&ts->lock))
        return 0;
    while (n < max && (first = deadlines_first(&ts->all, now))) {
        struct timer *t = container_of(first, struct timer, node);
        int64_t again;

        deadlines_remove(&ts->all, &t->node);
        again = t->fire(t, w, c);
        if (unlikely(again)) {
            deadlines_add(&ts->all, &t->node, again);
            continue;
        }
        store_release(&t->home, NULL); /* last touch */
        n++;
    }
    set_first(ts);
    spin_unlock(&ts->lock);
    return n;
}
