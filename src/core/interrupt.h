/* SPDX-License-Identifier: MIT */
/* What weft_run does about SIGINT: the first one cancels the main task, the
 * next one ends the process as if nobody had caught it.
 *
 * Only where the signal's action was the default, and only until the program
 * takes the signal over: by sigaction, which replaces our handler, or by
 * watching it, which goes before this. The handler marks the run and wakes the
 * monitor of its runtime, which cancels the task: that works whatever the
 * workers do, and costs nothing while no signal comes. */
#ifndef WEFT_CORE_INTERRUPT_H
#define WEFT_CORE_INTERRUPT_H

#include <weft/types.h>

#include "base/base.h"

struct weft_runtime;

struct interrupt {
    weft_fn *fn;
    void *arg;
};

/* A weft_fn of the main task; arg: struct interrupt. Runs fn(arg) so that
 * SIGINT cancels it. */
long w_interrupt_run(void *arg);

/* The monitor of rt: cancels what was interrupted. */
void w_interrupt_look(struct weft_runtime *rt);
/* Is there something to look at? To be asked before the monitor rests. */
bool w_interrupt_news(void);

/* In the handler: true if some run took the signal. */
bool w_interrupt_signal(void);

/* In a forked child. */
void w_interrupt_forget(void);

#endif
