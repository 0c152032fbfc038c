/* SPDX-License-Identifier: MIT */
#include "core/inject.h"

#include "core/task.h"

/* ck 0.7.1's ring lacks a barrier on weakly ordered machines: the slot's
 * content may be read before the producer's index. On x86-64 the order holds
 * without help. */
static inline void ring_fence(void)
{
#if !defined(__x86_64__)
    fence_seq_cst();
#endif
}

void w_inject_open(struct inject *q)
{
    ck_ring_init(&q->ring, INJECT_RING);
}

/* One producer at a time: ck's ring for many lets each wait, spinning, for
 * those that came before it, and with more threads than cores, some of them at
 * low priority, they stand in a row behind one that does not run. */
void w_inject_push(struct inject *q, struct chain c)
{
    *entry_link(c.last) = 0;
    /* Before the push: a taker must not see the length go below zero. */
    add_seq_cst(&q->len, c.n);
    spin_lock(&q->lock);
    ring_fence();
    if (load_relaxed(&q->overflow) ||
        !ck_ring_enqueue_spmc(&q->ring, q->slots, (void *)c.first)) {
        if (q->first)
            *entry_link(q->last) = c.first;
        else
            q->first = c.first;
        q->last = c.last;
        store_release(&q->overflow, load_relaxed(&q->overflow) + c.n);
    }
    spin_unlock(&q->lock);
}

static struct chain measure(w_entry first, uint32_t max)
{
    struct chain c = {first, 0, 0};

    for (w_entry e = first; e && c.n < max; e = *entry_link(e)) {
        c.last = e;
        c.n++;
    }
    return c;
}

static struct chain take_overflow(struct inject *q, uint32_t max)
{
    struct chain c;

    spin_lock(&q->lock);
    c = measure(q->first, max);
    if (c.n) {
        q->first = *entry_link(c.last);
        *entry_link(c.last) = 0;
        store_release(&q->overflow, load_relaxed(&q->overflow) - c.n);
    }
    spin_unlock(&q->lock);
    return c;
}

struct chain w_inject_take(struct inject *q, uint32_t max)
{
    struct chain c = {0, 0, 0};
    void *p;

    if (inject_looks_empty(q))
        return c;
    if (ck_ring_dequeue_spmc(&q->ring, q->slots, &p)) {
        ring_fence();
        c = measure((w_entry)p, UINT32_MAX);
    } else if (load_acquire(&q->overflow)) {
        c = take_overflow(q, max);
    }
    if (c.n)
        sub_relaxed(&q->len, c.n);
    return c;
}
