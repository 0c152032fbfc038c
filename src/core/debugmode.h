/* SPDX-License-Identifier: MIT */
/* What options.debug switches on: who waits for whom, and a report at close. */
#ifndef WEFT_CORE_DEBUGMODE_H
#define WEFT_CORE_DEBUGMODE_H

#include "core/group.h"

/* Runtimes in debug mode. Most programs only ever read a zero here. */
extern _Atomic uint32_t w_debugging;

static inline bool debugging(void)
{
    return unlikely(load_relaxed(&w_debugging) != 0);
}

void w_debug_open(struct weft_runtime *rt);
/* When its threads are gone. */
void w_debug_close(struct weft_runtime *rt);

/* t is about to wait for something that `other` must do; is told if that waits
 * for t in turn. In the graph until w_debug_waited. Any thread that keeps t in
 * its wait. */
void w_debug_waits(struct weft_task *t, struct weft_task *other);
void w_debug_waited(struct weft_task *t);

/* The owner of g is about to wait for its children. */
void w_debug_joins(struct group *g);

#endif
