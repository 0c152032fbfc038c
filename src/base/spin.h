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

#define SPIN_DELAY_MAX 64u /* pauses: some 3 us */

static inline bool spin_trylock(struct spin *s)
{
    return !load_relaxed(&s->held) && !swap_acquire(&s->held, 1);
}

/* The pauses grow: two cores that take turns at the lock move its line and the
 * data behind it at each turn, while one that goes on has them at hand. */
static W_NOINLINE __attribute__((unused)) void spin_lock_slow(struct spin *s)
{
    unsigned delay = 1, rounds = 0;

    for (;;) {
        for (unsigned i = 0; i < delay; i++)
            cpu_pause();
        if (spin_trylock(s))
            return;
        if (delay < SPIN_DELAY_MAX)
            delay *= 2;
        else if (++rounds % 4 == 0 && rounds < 64)
            sys_yield();
        else if (rounds >= 64)
            sys_sleep(20000);
    }
}

static inline void spin_init(struct spin *s)
{
    store_relaxed(&s->held, 0);
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
    w_stress_point();
}

#endif
