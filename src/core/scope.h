/* SPDX-License-Identifier: MIT */
/* Cancel scopes: a chain through the frames of a task, innermost first.
 *
 * A waiting call asks for the outermost scope that was cancelled or expired,
 * looking outward no further than the innermost shield. Other threads touch a
 * scope in three ways only: its timer fires (under the timer's lock, which the
 * leaver takes), weft_scope_cancel (under the scope's), and a group's family is
 * marked. */
#ifndef WEFT_CORE_SCOPE_H
#define WEFT_CORE_SCOPE_H

#include "core/task.h"
#include "core/timer.h"

enum scope_kind {
    SCOPE_NONE, /* zeroed, or entered without a task */
    SCOPE_DEADLINE,
    SCOPE_SHIELD,
    SCOPE_GROUP,
};

enum {
    SCOPE_EXPIRED = 1,
    SCOPE_CANCELLED = 2,
};

/* Behind weft_scope. */
struct scope {
    struct scope *parent;
    struct weft_task *task;
    _Atomic uint32_t state;
    uint16_t depth;
    uint16_t outer_shield; /* task->shield to go back to */
    uint8_t kind;
    bool shared;            /* others may know of it: leaving takes the lock */
    struct spin lock;       /* task and reason, where it is shared */
    const char *_Atomic reason; /* L to write: of the first weft_scope_cancel */
    struct defer *defers;   /* T */
    struct timer timer;
};
static_assert(sizeof(struct scope) <= sizeof(weft_scope), "weft_scope");

void w_scope_push(struct weft_task *t, struct scope *s, enum scope_kind kind);
void w_scope_pop(struct scope *s);

/* What weft_defer left, in a scope that is about to be popped. */
void w_defers_run(struct defer **first);
static inline void scope_run_defers(struct scope *s)
{
    if (unlikely(s->defers))
        w_defers_run(&s->defers);
}

/* Marks the root of t: every wait outside a shield fails. Any thread that
 * keeps t from being freed. */
void w_task_cancel(struct weft_task *t, struct chain *c);

/* w_task_cancel, and wakes it. */
void w_task_cancel_now(struct weft_task *t);

/* Marks the family and all its members that ever suspended. */
void w_family_cancel(struct family *f, struct chain *c);

#endif
