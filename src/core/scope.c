/* SPDX-License-Identifier: MIT */
#include "core/scope.h"

#include "core/group.h"
#include "core/park.h"
#include "core/runtime.h"

static struct scope *S(const weft_scope *s)
{
    return (struct scope *)(uintptr_t)s;
}

void w_scope_push(struct weft_task *t, struct scope *s, enum scope_kind kind)
{
    if (t->depth == SHIELD_ALL - 1)
        w_bug("task %s: more than %u scopes inside each other",
              weft_task_name(t), SHIELD_ALL - 1);
    t->flags |= TASK_USED;
    s->parent = t->scope;
    s->task = t;
    s->depth = ++t->depth;
    s->outer_shield = t->shield;
    s->kind = kind;
    s->shared = false;
    s->defers = NULL;
    store_relaxed(&s->reason, NULL);
    store_relaxed(&s->state, 0);
    store_relaxed(&s->timer.home, NULL);
    t->scope = s;
}

void w_scope_pop(struct scope *s)
{
    struct weft_task *t = s->task;

    if (t != w_current() || t->scope != s)
        w_bug("task %s: a scope is left that is not its innermost",
              weft_task_name(t));
    t->scope = s->parent;
    t->depth--;
    t->shield = s->outer_shield;
}

/* The decision, and why. */
static int decide(struct weft_task *t, const char **why)
{
    int rc = 0;

    for (struct scope *s = t->scope; s; s = s->parent) {
        uint32_t state = load_acquire(&s->state);

        if (s->kind == SCOPE_SHIELD)
            return rc;
        if (s->kind == SCOPE_GROUP &&
            load_acquire(&container_of(s, struct group, scope)
                              ->family.cancelled)) {
            rc = -ECANCELED;
            *why = load_relaxed(&container_of(s, struct group, scope)->reason);
        } else if (state & SCOPE_CANCELLED) {
            rc = -ECANCELED;
            *why = load_relaxed(&s->reason);
        } else if (state & SCOPE_EXPIRED) {
            rc = -ETIMEDOUT;
            *why = "timed out";
        }
    }
    if (load_acquire(&t->family->cancelled)) {
        rc = -ECANCELED;
        *why = t->family->group ? load_relaxed(&t->family->group->reason)
                                : "the runtime stops";
    }
    if (load_acquire(&t->cancelled)) {
        rc = -ECANCELED;
        *why = load_relaxed(&t->reason);
    }
    return rc;
}

int w_cancel_error_slow(struct weft_task *t)
{
    const char *why;

    return decide(t, &why);
}

/* Whether anything cancels t, perhaps only once it has left a shield. */
static bool stands(struct weft_task *t)
{
    if (load_acquire(&t->cancelled))
        return true;
    for (struct scope *s = t->scope; s; s = s->parent)
        if (load_acquire(&s->state) ||
            (s->kind == SCOPE_GROUP &&
             load_acquire(&container_of(s, struct group, scope)
                               ->family.cancelled)))
            return true;
    return false; /* waits look at its family themselves */
}

void w_attention_review_slow(struct weft_task *t)
{
    (void)swap_acquire(&t->attention, 0); /* O3 */
    if (stands(t))
        w_attention_raise(t);
}

const char *weft_cancel_reason(void)
{
    struct weft_task *t = w_current();
    const char *why = NULL;

    if (!t || !decide(t, &why))
        return NULL;
    return why ? why : "cancelled";
}

void w_task_cancel(struct weft_task *t, struct chain *c)
{
    store_release(&t->cancelled, 1);
    w_attention_raise(t);
    w_cancel_fence();
    w_cancel_wait(t, 0, c);
}

void w_family_cancel(struct family *f, struct chain *c)
{
    store_release(&f->cancelled, 1);
    if (f->group)
        w_attention_raise(f->group->owner);
    w_cancel_fence();
    spin_lock(&f->lock);
    if (f->tasks.next)
        list_each(n, &f->tasks)
            w_cancel_wait(container_of(n, struct weft_task, sibling), 0, c);
    spin_unlock(&f->lock);
}

/* Under the timer's lock, which the leaver of s needs. */
static int64_t expire(struct timer *timer, struct worker *w, struct chain *c)
{
    struct scope *s = container_of(timer, struct scope, timer);

    (void)w;
    (void)or_acq_rel(&s->state, SCOPE_EXPIRED);
    w_attention_raise(s->task);
    w_cancel_fence();
    w_cancel_wait(s->task, s->depth, c);
    return 0;
}

static void set_deadline(struct scope *s, int64_t when)
{
    struct worker *w = w_worker();

    if (when == WEFT_NEVER)
        return;
    if (when <= 0) { /* passed, whatever the clock says */
        (void)or_acq_rel(&s->state, SCOPE_EXPIRED);
        w_attention_raise(s->task);
        return;
    }
    w_timer_arm(&w->timers, &s->timer, when, expire);
}

/* Where there is no task. */
static weft_scope *enter_nothing(weft_scope *sp)
{
    struct scope *s = S(sp);

    s->kind = SCOPE_NONE;
    s->task = NULL;
    s->shared = false;
    store_relaxed(&s->state, 0);
    return sp;
}

weft_scope *weft_deadline_enter_(weft_scope *sp, int64_t when)
{
    struct scope *s = S(sp);
    struct weft_task *t = w_current();

    if (!t)
        return enter_nothing(sp);
    w_scope_push(t, s, SCOPE_DEADLINE);
    set_deadline(s, when);
    return sp;
}

weft_scope *weft_timeout_enter_(weft_scope *s, int64_t ns)
{
    int64_t now = ns > 0 ? sys_now() : 0;

    if (ns <= 0)
        return weft_deadline_enter_(s, 0);
    return weft_deadline_enter_(s, ns < WEFT_NEVER - now ? now + ns
                                                         : WEFT_NEVER);
}

/* The caller named it, so others may learn of it. */
static weft_scope *share(weft_scope *s)
{
    S(s)->shared = S(s)->kind != SCOPE_NONE;
    return s;
}

weft_scope *weft_deadline_enter(weft_scope *s, int64_t when)
{
    spin_init(&S(s)->lock);
    return share(weft_deadline_enter_(s, when));
}

weft_scope *weft_timeout_enter(weft_scope *s, int64_t ns)
{
    spin_init(&S(s)->lock);
    return share(weft_timeout_enter_(s, ns));
}

weft_scope *weft_scope_enter(weft_scope *s)
{
    return weft_deadline_enter(s, WEFT_NEVER);
}

weft_scope *weft_shield_enter(weft_scope *sp)
{
    struct scope *s = S(sp);
    struct weft_task *t = w_current();

    spin_init(&s->lock); /* for weft_scope_cancel, which refuses it */
    if (!t)
        return enter_nothing(sp);
    w_scope_push(t, s, SCOPE_SHIELD);
    t->shield = s->depth;
    return sp;
}

int weft_scope_leave(weft_scope *sp)
{
    struct scope *s = S(sp);
    struct weft_task *t = s->task;
    uint32_t state;

    if (s->kind == SCOPE_NONE || !t)
        return 0;
    scope_run_defers(s);
    if (s->kind == SCOPE_DEADLINE)
        (void)w_timer_disarm(&s->timer);
    w_scope_pop(s);
    if (unlikely(s->shared)) {
        spin_lock(&s->lock);
        s->task = NULL;
        spin_unlock(&s->lock);
    } else {
        s->task = NULL;
    }
    w_attention_review(t); /* nobody raises it for s any more */
    state = load_acquire(&s->state);
    if (likely(!state))
        return 0;
    return state & SCOPE_CANCELLED ? -ECANCELED : -ETIMEDOUT;
}

void weft_scope_leave_(weft_scope **s)
{
    if (*s)
        (void)weft_scope_leave(*s);
}

int weft_scope_cancel(weft_scope *sp, const char *reason)
{
    struct scope *s = S(sp);
    struct chain c = {0, 0, 0};
    struct weft_runtime *rt = NULL;
    struct weft_task *t;

    spin_lock(&s->lock);
    t = s->task;
    if (t && s->shared && s->kind == SCOPE_DEADLINE) {
        rt = task_rt(t);
        if (!(load_relaxed(&s->state) & SCOPE_CANCELLED))
            store_relaxed(&s->reason, reason);
        (void)or_acq_rel(&s->state, SCOPE_CANCELLED);
        w_attention_raise(t);
        w_cancel_fence();
        w_cancel_wait(t, s->depth, &c);
    }
    spin_unlock(&s->lock);
    if (c.n)
        w_submit(rt, c);
    return rt ? 0 : -EINVAL;
}

int weft_scope_cancelled(const weft_scope *s)
{
    return (load_acquire(&S(s)->state) & SCOPE_CANCELLED) != 0;
}

void weft_scope_cleanup_(weft_scope *s)
{
    (void)weft_scope_leave(s);
}

int weft_scope_expired(const weft_scope *s)
{
    return load_acquire(&S(s)->state) & SCOPE_EXPIRED;
}

int weft_scope_extend(weft_scope *sp, int64_t when)
{
    struct scope *s = S(sp);

    if (s->kind != SCOPE_DEADLINE || s->task != w_current())
        return -EINVAL;
    (void)w_timer_disarm(&s->timer);
    if (weft_scope_expired(sp))
        return -EALREADY;
    set_deadline(s, when);
    return 0;
}

weft_scope *weft_scope_self(void)
{
    struct weft_task *t = w_current();
    struct scope *s = t ? t->scope : NULL;

    while (s && s->kind != SCOPE_DEADLINE)
        s = s->parent;
    if (s && !s->shared) {
        spin_init(&s->lock);
        s->shared = true;
    }
    return (weft_scope *)s;
}

long weft_wait_for(weft_fn *fn, void *arg, int64_t ns)
{
    weft_scope s;
    long result;

    if (!w_current())
        return -EPERM;
    weft_timeout_enter_(&s, ns);
    result = fn(arg);
    /* fn passed on what a waiting call told it, under whichever name. */
    if (weft_scope_leave(&s) == -ETIMEDOUT && result == -ECANCELED &&
        !weft_check())
        result = -ETIMEDOUT;
    return result;
}

int weft_check(void)
{
    struct weft_task *t = w_current();
    struct thread *self;

    if (likely(t))
        return w_cancel_error(t);
    self = w_thread();
    return self && self->cancelled
               ? load_relaxed((const _Atomic int *)*self->cancelled)
               : 0;
}
