/* SPDX-License-Identifier: MIT */
/* Seeded disturbance for a build that is configured with WEFT_STRESS: delays at
 * every atomic that orders something and at every suspension, and choices that
 * the scheduler would seldom make. Without it all of this is nothing.
 *
 * Each thread draws from a generator of its own, made of the seed and of the
 * thread's number in the order in which threads came to their first point:
 *   WEFT_SEED          a number; else one of chance, told on standard error
 *   WEFT_STRESS_LEVEL  0 (nothing) to 3; 2
 *
 * What a seed brings back is each thread's sequence of choices. It does not
 * bring back what the kernel does: who runs on which core, when a thread is
 * preempted, how long a sleep lasts beyond what was asked for. Those decide
 * which task's steps meet which choices, so a failure comes back often, not
 * always: run the seed some dozens of times. */
#ifndef WEFT_BASE_STRESS_H
#define WEFT_BASE_STRESS_H

#include "base/base.h"

#ifdef W_STRESS

/* Mostly nothing; some pauses, the core given away, or a sleep of up to 100 us.
 * Any thread, signal handlers too; errno is kept. The first at each atomic, the
 * second, which disturbs more, where tasks come and go. */
void w_stress_atomic(void);
void w_stress_point(void);

/* True one time in n. */
bool w_stress_one_in(unsigned n);

#else

#define w_stress_atomic() ((void)0)
#define w_stress_point() ((void)0)
#define w_stress_one_in(n) ((void)(n), false)

#endif

#endif
