/* SPDX-License-Identifier: MIT */
/* The runtime's shared queue: what foreign threads submit and what overflows a
 * worker's ring.
 *
 * It carries chains of entries, so that half a ring moves in one operation.
 * The chains stand in a ck_ring; when that is full they are appended to one
 * long chain under a lock, which is used until it is empty again, so that
 * order is kept and nothing is refused. The only user of ck's queues. */
#ifndef WEFT_CORE_INJECT_H
#define WEFT_CORE_INJECT_H

#include <ck_ring.h>

#include "base/spin.h"
#include "core/runq.h"

#define INJECT_RING 1024u

/* Linked through the tasks, see entry_link() in task.h; last ends it. */
struct chain {
    w_entry first, last;
    uint32_t n;
};

struct inject {
    alignas(W_ISOLATED) _Atomic size_t len; /* entries; a hint */
    struct spin lock;
    w_entry first, last;         /* L: the overflow */
    _Atomic uint32_t overflow;   /* L to write: entries there */
    ck_ring_t ring;
    ck_ring_buffer_t slots[INJECT_RING];
};

void w_inject_open(struct inject *q);
/* Any thread. The chain must not be empty. */
void w_inject_push(struct inject *q, struct chain c);
/* Any thread. A chain of at least one and not many more than max, or n = 0. */
struct chain w_inject_take(struct inject *q, uint32_t max);

static inline bool inject_looks_empty(struct inject *q)
{
    return load_acquire(&q->len) == 0;
}

#endif
