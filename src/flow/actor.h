/* SPDX-License-Identifier: MIT */
/* What an actor and its supervisor know of each other. */
#ifndef WEFT_FLOW_ACTOR_H
#define WEFT_FLOW_ACTOR_H

#include <weft/flow.h>
#include <weft/scope.h>

#include "flow/mailbox.h"

enum actor_phase {
    ACTOR_NEW,   /* to be started */
    ACTOR_LIVE,  /* a task runs it */
    ACTOR_ENDED, /* that task has ended, with `result` */
};

struct weft_actor {
    _Atomic uint32_t refs;
    struct mailbox mailbox;
    weft_actor_fn *fn;                /* I */
    struct weft_actor_options opts;   /* I */
    char name[32];                    /* I */
    const char *site;                 /* I */
    _Atomic(struct weft_task *) task; /* A: that runs it */

    struct weft_supervisor *supervisor; /* I: or NULL */
    struct list node;                   /* L: supervisor's */
    enum actor_phase phase;             /* L: supervisor's */
    long result;                        /* L: supervisor's, if ENDED */
    bool was_broken;                    /* as result */
    struct spin lock;
    weft_scope scope; /* of one life */
    bool scoped;      /* L: `scope` may be cancelled */
    bool broken_off;  /* L: this life shall end */
};

W_MUST_CHECK int w_actor_new(weft_actor **a, weft_actor_fn *fn,
                             const struct weft_actor_options *opts,
                             const char *site);
void w_actor_unref(weft_actor *a);

/* From on_start to on_stop; 0 (stopped and drained) or the error. *broken: it
 * was broken off. */
long w_actor_live(weft_actor *a, bool *broken);

/* Ends the present life from outside: cancels the handler. */
void w_actor_break_off(weft_actor *a);

/* Between two lives: forgets one that came too late. */
void w_actor_renew(weft_actor *a);

/* There will be no other life: refuses and drops. */
void w_actor_finish(weft_actor *a);

#endif
