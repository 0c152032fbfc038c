/* SPDX-License-Identifier: MIT */
/* A task's birth, end and name. */
#include "core/task.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/sys.h"
#include "core/runtime.h"

struct weft_task *w_task_alloc(struct weft_runtime *rt, struct worker *w)
{
    struct weft_task *t;

    if (likely(w && w->thread.rt == rt)) {
        t = slab_alloc(&w->slab);
        if (likely(t))
            COUNT(w->spawned);
        return t;
    }
    spin_lock(&rt->foreign_lock);
    t = slab_alloc(&rt->foreign);
    spin_unlock(&rt->foreign_lock);
    if (t)
        add_relaxed(&rt->foreign_spawned, 1);
    return t;
}

struct weft_task *w_root_task(struct weft_runtime *rt, struct worker *w,
                              weft_fn *fn, void *arg, const char *site)
{
    struct weft_task *t = w_task_alloc(rt, w);

    if (unlikely(!t))
        return NULL;
    if (likely(w && w->thread.rt == rt)) {
        task_init(t, fn, arg, &w->roots, site);
        COUNT(w->roots_started);
    } else {
        task_init(t, fn, arg, &rt->foreign_roots, site);
        add_seq_cst(&rt->foreign_started, 1);
    }
    store_relaxed(&t->state, TASK_NEW | TASK_QUEUED | TASK_RELEASED |
                                 TASK_LIVE);
    return t;
}

static void task_free(struct weft_task *t)
{
    struct worker *w = w_worker();

    task_wipe(t);
    if (likely(w && w->thread.rt == task_rt(t))) {
        slab_free_any(w, t);
        return;
    }
    store_relaxed(&t->state, TASK_FREE);
    w_slab_free_remote(task_chunk(t)->home, t, t, 1);
}

void w_task_stale(struct weft_task *t)
{
    uint32_t s = and_acq_rel(&t->state, ~(uint32_t)TASK_QUEUED); /* O2 */

    if ((s & (TASK_DONE | TASK_RELEASED)) == (TASK_DONE | TASK_RELEASED))
        task_free(t);
}

void w_task_release(struct weft_task *t)
{
    uint32_t s;

    if (t->failure) {
        w_failure_unref(t->failure);
        t->failure = NULL;
    }
    sys_free(t->name);
    t->name = NULL;
    s = load_acquire(&t->state);
    assert(s & TASK_DONE);
    /* Once it is out of the queues it does not come back. */
    if (s & TASK_QUEUED)
        s = or_acq_rel(&t->state, TASK_RELEASED); /* O2 */
    if (!(s & TASK_QUEUED))
        task_free(t);
}

/* ---- failures --------------------------------------------------------- */

static void copy_name(char *to, size_t n, const struct weft_task *t)
{
    snprintf(to, n, "%s", t->name ? t->name : t->site);
}

struct failure *w_failure_new(struct weft_runtime *rt, long code,
                              const struct weft_task *t, const char *message)
{
    size_t n = message ? strlen(message) : 0;
    struct failure *f = sys_malloc(sizeof *f + n + 1);

    if (!f)
        return NULL;
    memset(f, 0, sizeof *f);
    store_relaxed(&f->refs, 1);
    f->rt = rt;
    f->code = code;
    f->site = t->site;
    copy_name(f->name, sizeof f->name, t);
    f->has_message = message != NULL;
    memcpy(f->message, message ? message : "", n + 1);
    return f;
}

void w_failure_ref(struct failure *f)
{
    add_relaxed(&f->refs, 1);
}

static const char *site_of(const char *site)
{
    return site + strlen(site) + 1;
}

void w_failure_unref(struct failure *f)
{
    if (sub_acq_rel(&f->refs, 1) != 1)
        return;
    if (!load_relaxed(&f->collected))
        w_runtime_report(f->rt, f->code, f->name, site_of(f->site),
                         f->has_message ? f->message : NULL);
    sys_free(f);
}

long weft_fail(long code, const char *fmt, ...)
{
    struct weft_task *t = w_current();
    char text[512];
    va_list ap;

    if (!t || !w_is_error(code))
        return code;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    w_task_note(t, w_failure_new(task_rt(t), code, t, text));
    return code;
}

void w_task_note(struct weft_task *t, struct failure *f)
{
    t->flags |= TASK_NOTED;
    if (t->failure) {
        store_relaxed(&t->failure->collected, 1);
        w_failure_unref(t->failure);
    }
    if (f)
        store_relaxed(&f->collected, 1); /* only a note yet */
    t->failure = f;
}

/* Makes of the note, if it is for this result, the way the task ended. */
static struct failure *final_failure(struct weft_task *t, long result)
{
    struct failure *f = t->failure;

    t->failure = NULL;
    if (f && (f->code != result || f->site != t->site)) {
        const char *text = f->code == result && f->has_message ? f->message
                                                               : NULL;
        struct failure *mine =
            w_is_error(result) && result != -ECANCELED
                ? w_failure_new(task_rt(t), result, t, text)
                : NULL;
        w_failure_unref(f);
        f = mine;
    } else if (!f && w_is_error(result) && result != -ECANCELED) {
        f = w_failure_new(task_rt(t), result, t, NULL);
        if (!f)
            w_runtime_report(task_rt(t), result, t->name ? t->name : t->site,
                             site_of(t->site), NULL);
    }
    if (f)
        store_relaxed(&f->collected, result == -ECANCELED);
    return f;
}

static W_COLD void end_failures(struct weft_task *t, long result, bool handle)
{
    struct failure *f = final_failure(t, result), *next;

    if (t->family->group && w_is_error(result) && result != -ECANCELED)
        (void)w_group_fail(t->family->group, result, f);
    if (handle)
        t->failure = f;
    else if (f)
        w_failure_unref(f);
    t->flags &= ~(uint32_t)TASK_NOTED;
    for (f = t->group_failures; f; f = next) {
        next = f->next;
        w_failure_unref(f);
    }
    t->group_failures = NULL;
    if (!handle) {
        sys_free(t->name);
        t->name = NULL;
    }
}

/* ---- end --------------------------------------------------------------- */

static void wake_joiners(struct weft_task *t)
{
    struct chain c = {0, 0, 0};
    struct list claimed;
    struct list *n;

    if (!(or_acq_rel(&t->state, TASK_DONE) & TASK_AWAITED)) /* O1 */
        return;
    list_init(&claimed);
    spin_lock(&t->lock);
    while ((n = list_pop_front(&t->waiters))) {
        struct waiter *x = container_of(n, struct waiter, node);
        struct weft_task *who = x->task;

        if (w_claim(who, x->epoch))
            list_push_back(&claimed, &x->node);
    }
    spin_unlock(&t->lock);
    /* A claimed waiter cannot leave its frame before it is queued. */
    while ((n = list_pop_front(&claimed)))
        w_ready_later(&c, container_of(n, struct waiter, node)->task);
    if (c.n)
        w_submit(task_rt(t), c);
}

static void leave_family(struct weft_task *t)
{
    spin_lock(&t->family->lock);
    list_remove(&t->sibling);
    spin_unlock(&t->family->lock);
}

void w_task_end(struct worker *w, struct weft_task *t, long result)
{
    struct group *g = t->family->group;
    bool handle = load_relaxed(&t->state) & TASK_HANDLE;
    uint32_t flags = t->flags;

    COUNT(w->ended);
    if (flags & TASK_LINKED)
        leave_family(t);
    if (unlikely(w_is_error(result) || (flags & TASK_NOTED)))
        end_failures(t, result, handle);
    if (handle) {
        t->result = result;
        wake_joiners(t);
    } else {
        if (flags & TASK_USED)
            task_wipe(t);
        slab_free_any(w, t);
    }
    if (!g)
        w_root_ended(w);
    else if (w->current == g->owner && g->spawned)
        g->spawned--; /* run by its owner's join, and not yet counted */
    else
        w_group_child_end(w, g);
}

/* ---- name and state ---------------------------------------------------- */

weft_task *weft_self(void)
{
    return w_current();
}

const char *weft_task_name(const weft_task *t)
{
    return t->name ? t->name : t->site;
}

const char *weft_task_site(const weft_task *t)
{
    return site_of(t->site);
}

char *w_name_copy(const char *name)
{
    size_t n = strnlen(name, 31);
    char *copy = sys_malloc(n + 1);

    if (copy) {
        memcpy(copy, name, n);
        copy[n] = 0;
    }
    return copy;
}

int weft_task_set_name(const char *name)
{
    struct weft_task *t = w_current();
    char *copy, *old;

    if (!t)
        return -EPERM;
    copy = w_name_copy(name);
    if (!copy)
        return -ENOMEM;
    old = t->name;
    t->name = copy;
    t->flags |= TASK_NOTED | TASK_USED;
    sys_free(old);
    return 0;
}

int weft_task_done(const weft_task *t)
{
    return task_is_done(t);
}

long weft_task_result(const weft_task *t)
{
    return task_is_done(t) ? t->result : -EAGAIN;
}

const char *weft_task_message(const weft_task *t)
{
    return task_is_done(t) && t->failure && t->failure->has_message
               ? t->failure->message
               : NULL;
}
