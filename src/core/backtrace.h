/* SPDX-License-Identifier: MIT */
/* Following frame pointers inside one stack. */
#ifndef WEFT_CORE_BACKTRACE_H
#define WEFT_CORE_BACKTRACE_H

#include "core/stack.h"

/* At most n return addresses from pc and the frame fp outwards; stops where fp
 * leaves s. Async-signal-safe. Returns how many. */
int w_backtrace_walk(const struct stack *s, uintptr_t pc, uintptr_t fp,
                     void **pcs, int n);

#endif
