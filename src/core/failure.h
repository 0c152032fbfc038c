/* SPDX-License-Identifier: MIT */
/* How tasks fail: what was said, and what led to it. */
#ifndef WEFT_CORE_FAILURE_H
#define WEFT_CORE_FAILURE_H

#include "core/task.h"

/* An error with its origin; shared by a task, its group and its joiners.
 * Reported to the handler when the last reference goes and nobody collected
 * it. */
struct failure {
    _Atomic uint32_t refs;
    _Atomic uint32_t collected;
    struct weft_runtime *rt;
    struct failure *next;       /* owner task's list of its groups' failures */
    struct failure *cause;      /* a reference, or NULL */
    struct failure *suppressed; /* L: the group's: a reference, or NULL */
    const struct weft_task *origin; /* whose it is; never followed */
    struct weft_error view;     /* I: what users see */
    struct weft_error in_group; /* L: the group's: the same, with others */
    uint64_t serial;            /* I: tells it from one at the same address */
    uint32_t depth;             /* I: causes behind it */
    bool has_message;
    char name[32];
    char message[];
};

/* NULL without memory. cause: a reference is taken. */
struct failure *w_failure_new(struct weft_runtime *rt, long code,
                              const struct weft_task *t, const char *message,
                              struct failure *cause, const char *doing);
void w_failure_ref(struct failure *f);
void w_failure_unref(struct failure *f);

/* Replaces the running task's note on the error it may return; takes the
 * caller's reference to f (or NULL). */
void w_task_note(struct weft_task *t, struct failure *f);

/* The running task has learnt of f, somebody else's: it is collected, and noted
 * in case that the task ends with the same error. */
void w_task_learn(struct weft_task *t, struct failure *f);

/* The failure with which t ends, a reference, or NULL. Clears the note. */
struct failure *w_failure_final(struct weft_task *t, long result);

/* The running task failed with `result`, which nobody will ask for: tells the
 * handler now. */
void w_task_report(struct weft_task *t, long result);

/* Tells the handler, then does as the policy says. */
void w_error_report(struct weft_runtime *rt, const struct weft_error *e);

static inline const char *failure_message(const struct failure *f)
{
    return f && f->has_message ? f->message : NULL;
}

#endif
