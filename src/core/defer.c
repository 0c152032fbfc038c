/* SPDX-License-Identifier: MIT */
/* Defers: what runs when a scope or a task ends. */
#include "core/scope.h"

#include "base/sys.h"
#include "core/failure.h"
#include "core/runtime.h"

struct defer {
    struct defer *next;
    weft_fn *fn;
    void *arg;
};

int weft_defer(weft_fn *fn, void *arg)
{
    struct weft_task *t = w_current();
    struct defer *d, **to;

    if (!t)
        return -EPERM;
    d = sys_malloc(sizeof *d);
    if (!d)
        return -ENOMEM;
    to = t->scope ? &t->scope->defers : &t->defers;
    *d = (struct defer){*to, fn, arg};
    *to = d;
    t->flags |= t->scope ? TASK_USED : TASK_USED | TASK_DEFERS;
    return 0;
}

/* The task's own note on how it fails is kept apart. */
static void run_one(weft_fn *fn, void *arg)
{
    struct weft_task *t = w_current();
    struct failure *note = t->failure;
    long rc;

    t->failure = NULL;
    rc = fn(arg);
    if (w_is_error(rc))
        w_task_report(t, rc);
    else if (t->failure)
        w_task_note(t, NULL);
    t->failure = note;
}

void w_defers_run(struct defer **first)
{
    union {
        weft_scope handle;
        struct scope scope;
    } shield;
    struct defer **newer = &shield.scope.defers;

    weft_shield_enter(&shield.handle);
    while (*newer || *first) {
        struct defer **from = *newer ? newer : first, *d = *from;
        weft_fn *fn = d->fn;
        void *arg = d->arg;

        *from = d->next;
        sys_free(d);
        run_one(fn, arg); /* which may defer more: they come next */
    }
    (void)weft_scope_leave(&shield.handle);
}
