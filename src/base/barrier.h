/* SPDX-License-Identifier: MIT */
/* An uneven pair of fences for store-load (Dekker) protocols with one hot side.
 *
 * fence_light() on the hot side only keeps the compiler from reordering;
 * fence_heavy() on the rare side makes the kernel run a full barrier on every
 * thread of the process (membarrier). Either the rare side's later loads see
 * the hot side's store, or the hot side's later load sees the rare side's.
 * Where the kernel lacks it, both are full fences. */
#ifndef WEFT_BASE_BARRIER_H
#define WEFT_BASE_BARRIER_H

#include "base/atomic.h"
#include "base/base.h"

extern bool w_barrier_uneven; /* I: set by w_barrier_open */

/* Once, before threads use the fences. */
void w_barrier_open(void);
void w_barrier_heavy(void);

static inline void fence_light(void)
{
    if (likely(w_barrier_uneven))
        atomic_signal_fence(memory_order_seq_cst);
    else
        fence_seq_cst();
}

static inline void fence_heavy(void)
{
    w_barrier_heavy();
}

#endif
