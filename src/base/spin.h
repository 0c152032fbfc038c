/* SPDX-License-Identifier: MIT */
/* A one-word lock for critical sections of a few instructions.
 *
 * A holder can be preempted by the kernel, so the waiter gives its core away
 * after a bounded spin; if that does not help, by sleeping, for a holder of
 * less weight (an executor's thread) gets nothing from a mere yield. Never held
 * across a task switch or a system call that sleeps.
 *
 * spin_lock_in_turns is for what tasks do with little else in between: put and
 * get of a queue. Two cores at such a lock could take turns at each section and
 * move its line and all data behind it every time. Who finds the lock taken
 * just after another had to wait for it (`waited` tells when) is in such a
 * fight: it stays away for some microseconds, and the other does a hundred
 * sections meanwhile with all at hand. */
#ifndef WEFT_BASE_SPIN_H
#define WEFT_BASE_SPIN_H

#include "base/atomic.h"
#include "base/base.h"
#include "base/sys.h"

struct spin {
    _Atomic uint32_t held;
};

/* In pauses, of 10 to 50 ns each. */
#define SPIN_DELAY_MAX 64u
#define SPIN_AWAY 256u
#define SPIN_FIGHT_NS 250

static inline bool spin_trylock(struct spin *s)
{
    return !load_relaxed(&s->held) && !swap_acquire(&s->held, 1);
}

static inline void spin_await(struct spin *s, unsigned delay)
{
    unsigned rounds = 0;

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

static W_NOINLINE __attribute__((unused)) void spin_lock_slow(struct spin *s)
{
    spin_await(s, 1);
}

static W_NOINLINE __attribute__((unused)) void
spin_lock_late(struct spin *s, _Atomic int64_t *waited)
{
    bool fight = sys_now() - load_relaxed(waited) < SPIN_FIGHT_NS;

    spin_await(s, fight ? SPIN_AWAY : 1);
    store_relaxed(waited, sys_now());
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

/* `waited`: the lock's clock, 0 to begin with. */
static inline void spin_lock_in_turns(struct spin *s, _Atomic int64_t *waited)
{
    if (unlikely(swap_acquire(&s->held, 1)))
        spin_lock_late(s, waited);
}

static inline void spin_unlock(struct spin *s)
{
    assert(load_relaxed(&s->held));
    store_release(&s->held, 0);
    w_stress_point();
}

#endif
