/* SPDX-License-Identifier: MIT */
/* A one-word lock for critical sections of a few instructions.
 *
 * A holder can be preempted by the kernel, so the waiter gives its core away
 * after a bounded spin; if that does not help, by sleeping, for a holder of
 * less weight (an executor's thread) gets nothing from a mere yield. Never held across a task switch or a system call that
 * sleeps. */
#ifndef WEFT_BASE_SPIN_H
#define WEFT_BASE_SPIN_H

#include "base/atomic.h"
#include "base/base.h"
#include "base/sys.h"

struct spin {
    _Atomic uint32_t held;
};

static inline bool spin_trylock(struct spin *s)
{
    return !load_relaxed(&s->held) && !swap_acquire(&s->held, 1);
}

static W_NOINLINE __attribute__((unused)) void spin_lock_slow(struct spin *s)
{
    unsigned n = 0;

    do {
        while (load_relaxed(&s->held)) {
            if (++n & 127)
                cpu_pause();
            else if (n < 2048)
                sys_yield();
            else
                sys_sleep(20000);
        }
    } while (swap_acquire(&s->held, 1));
}

static inline void spin_lock(struct spin *s)
{
    if (unlikely(swap_acquire(&s->held, 1)))
        spin_lock_slow(s);
}

static inline void spin_unlock(struct spin *s)
{
    assert(load_relaxed(&s->held));
    store_release(&s->held, 0);
}

#endif
