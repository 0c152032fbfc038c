/* SPDX-License-Identifier: MIT */
/* How tasks that own something begin and end. */
#ifndef WEFT_FLOW_START_H
#define WEFT_FLOW_START_H

#include "core/runtime.h"

/* The wait that w_wait_begin_shielded began. */
static inline void wait_shielded(struct weft_task *t, const char *why)
{
    if (!w_wait(t, why))
        w_bug("a shielded wait was cancelled");
}

/* A task that cleans up also if it is cancelled before its turn comes. name may
 * be NULL. */
W_MUST_CHECK static inline int spawn_owner(weft_group *g, weft_fn *fn,
                                           void *arg, const char *name,
                                           const char *site)
{
    struct weft_task_options o = {.name = name, .always = 1};

    return weft_spawn_task_at(g, fn, arg, &o, NULL, site);
}

#endif
