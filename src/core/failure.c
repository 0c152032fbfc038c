/* SPDX-License-Identifier: MIT */
/* A failure's life, and the handler of those that nobody asked for. */
#include "core/failure.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/sys.h"
#include "core/runtime.h"

static const char *site_of(const char *site)
{
    return site + strlen(site) + 1;
}

/* An error that is handled and met again would else trail all its former
 * selves. */
#define CAUSES_MAX 8u

static _Atomic uint64_t serials;

struct failure *w_failure_new(struct weft_runtime *rt, long code,
                              const struct weft_task *t, const char *message,
                              struct failure *cause, const char *doing)
{
    size_t n = message ? strlen(message) : 0;
    struct failure *f = sys_malloc(sizeof *f + n + 1);

    if (!f)
        return NULL;
    memset(f, 0, sizeof *f);
    store_relaxed(&f->refs, 1);
    f->rt = rt;
    f->origin = t;
    f->has_message = message != NULL;
    memcpy(f->message, message ? message : "", n + 1);
    snprintf(f->name, sizeof f->name, "%s", weft_task_name(t));
    f->view.code = code;
    f->view.task = f->name;
    f->view.site = site_of(t->site);
    f->view.message = message ? f->message : weft_strerror(code);
    f->serial = add_relaxed(&serials, 1) + 1;
    if (cause && cause->depth < CAUSES_MAX) {
        f->depth = cause->depth + 1;
        w_failure_ref(cause);
        f->cause = cause;
        f->view.cause = &cause->view;
        f->view.doing = doing;
    }
    return f;
}

void w_failure_ref(struct failure *f)
{
    add_relaxed(&f->refs, 1);
}

/* Iterative: a chain may be as long as tasks are deep. */
void w_failure_unref(struct failure *f)
{
    struct failure *todo = NULL;

    for (;;) {
        if (f && sub_acq_rel(&f->refs, 1) == 1) {
            if (!load_relaxed(&f->collected))
                w_error_report(f->rt,
                               f->in_group.code ? &f->in_group : &f->view);
            f->next = todo;
            todo = f;
        }
        if (!todo)
            return;
        if (todo->cause) {
            f = todo->cause;
            todo->cause = NULL;
        } else if (todo->suppressed) {
            f = todo->suppressed;
            todo->suppressed = NULL;
        } else {
            f = todo;
            todo = todo->next;
            sys_free(f);
            f = NULL;
        }
    }
}

/* ---- notes -------------------------------------------------------------- */

void w_task_note(struct weft_task *t, struct failure *f)
{
    t->flags |= TASK_NOTED | TASK_USED;
    if (t->failure) {
        store_relaxed(&t->failure->collected, 1);
        w_failure_unref(t->failure);
    }
    if (f)
        store_relaxed(&f->collected, 1); /* only a note yet */
    t->failure = f;
}

void w_task_learn(struct weft_task *t, struct failure *f)
{
    w_failure_ref(f);
    w_task_note(t, f);
}

long weft_fail(long code, const char *fmt, ...)
{
    struct weft_task *t = w_current();
    struct failure *cause;
    char text[512];
    va_list ap;

    if (!t || !w_is_error(code))
        return code;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    /* What it learnt last led to this if it passes the same code on. */
    cause = t->failure && t->failure->view.code == code ? t->failure : NULL;
    w_task_note(t, w_failure_new(task_rt(t), code, t, text, cause,
                                 cause && cause->origin != t
                                     ? "while joining"
                                     : "after"));
    return code;
}

struct failure *w_failure_final(struct weft_task *t, long result)
{
    bool failed = w_is_error(result) && result != -ECANCELED;
    struct failure *f = t->failure, *mine = NULL;

    t->failure = NULL;
    if (f && f->view.code == result && f->origin == t)
        mine = f;
    else if (failed && f && f->view.code == result)
        mine = w_failure_new(task_rt(t), result, t, failure_message(f), f,
                             "while joining");
    else if (failed)
        mine = w_failure_new(task_rt(t), result, t, NULL, NULL, NULL);
    if (f && f != mine)
        w_failure_unref(f);
    if (mine)
        store_relaxed(&mine->collected, result == -ECANCELED);
    if (failed && !mine) {
        struct weft_error e = {.code = result,
                               .task = weft_task_name(t),
                               .site = site_of(t->site),
                               .message = weft_strerror(result)};

        w_error_report(task_rt(t), &e);
    }
    return mine;
}

void w_task_report(struct weft_task *t, long result)
{
    w_failure_unref(w_failure_final(t, result));
}

/* ---- the handler --------------------------------------------------------- */

static void print(const struct weft_error *e, const char *what)
{
    const char *text = weft_strerror(e->code);
    bool own = strcmp(e->message, text) != 0;

    w_warn("%s %s (spawned at %s) failed: %s%s%s", what, e->task, e->site, text,
           own ? ": " : "", own ? e->message : "");
}

static void print_all(const struct weft_error *e)
{
    const struct weft_error *c;
    char what[64];

    print(e, "task");
    for (c = e; c->cause; c = c->cause) {
        snprintf(what, sizeof what, "  %s", c->doing);
        print(c->cause, what);
    }
    for (c = e->suppressed; c; c = c->suppressed)
        print(c, "  suppressed: task");
}

void w_error_report(struct weft_runtime *rt, const struct weft_error *e)
{
    weft_unhandled_fn *fn;
    void *arg;

    spin_lock(&rt->handler_lock);
    fn = rt->on_unhandled;
    arg = rt->unhandled_arg;
    spin_unlock(&rt->handler_lock);
    if (fn)
        fn(e, arg);
    else
        print_all(e);
    if (rt->opts.error_policy == WEFT_ERROR_ABORT)
        abort();
    if (rt->opts.error_policy == WEFT_ERROR_CANCEL)
        weft_runtime_stop(rt);
}

int weft_on_unhandled(weft_unhandled_fn *fn, void *arg)
{
    struct weft_runtime *rt = weft_runtime_self();

    if (!rt)
        return -EPERM;
    spin_lock(&rt->handler_lock);
    rt->on_unhandled = fn;
    rt->unhandled_arg = arg;
    spin_unlock(&rt->handler_lock);
    return 0;
}

/* ---- what users ask ------------------------------------------------------ */

const char *weft_task_message(const weft_task *t)
{
    return task_is_done(t) ? failure_message(t->failure) : NULL;
}

const struct weft_error *weft_task_error(const weft_task *t)
{
    if (!task_is_done(t) || !t->failure)
        return NULL;
    store_relaxed(&t->failure->collected, 1);
    return &t->failure->view;
}
