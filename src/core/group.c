/* SPDX-License-Identifier: MIT */
#include "core/group.h"

#include "base/sys.h"
#include "core/debugmode.h"
#include "core/ready.h"
#include "core/runtime.h"

/* Errors of groups that were left, kept for a message asked for later. */
#define FAILURES_KEPT 8
/* Errors that a group lists beside its first. */
#define SUPPRESSED_KEPT 31

static struct group *G(const weft_group *g)
{
    return (struct group *)(uintptr_t)g;
}

/* ---- spawning ---------------------------------------------------------- */

static struct weft_task *spawn(struct group *g, weft_fn *fn, void *arg,
                               const char *site, struct worker *w)
{
    struct weft_task *t = w_task_alloc(g->rt, w);

    if (unlikely(!t))
        return NULL;
    task_init(t, fn, arg, &g->family, site);
    if (unlikely(w && w->current && w->current->flags & TASK_LOCALS))
        w_locals_inherit(t, w->current);
    if (likely(w && w->current == g->owner))
        g->spawned++;
    else
        add_acq_rel(&g->pending, GROUP_ONE);
    return t;
}

static void publish(struct group *g, struct worker *w, struct weft_task *t,
                    uint32_t state, bool eager)
{
    store_release(&t->state, TASK_NEW | TASK_QUEUED | TASK_LIVE | state);
    if (unlikely(eager) && w && w->current && w->thread.rt == g->rt &&
        w_switch_to_new(w, t))
        return;
    if (likely(w && w->thread.rt == g->rt))
        w_worker_ready(w, (w_entry)t | ENTRY_NEW);
    else
        w_submit_foreign(g->rt, (w_entry)t | ENTRY_NEW);
    sim_point();
}

static int refusal(const struct group *g, struct worker *w)
{
    if (unlikely(!g->open || load_acquire(&((struct group *)(uintptr_t)g)
                                               ->family.cancelled)))
        return -ECANCELED;
    if (unlikely((!w || w->thread.rt != g->rt) &&
                 load_acquire(&g->rt->stopping)))
        return -ESHUTDOWN;
    return 0;
}

int weft_spawn_at(weft_group *gp, weft_fn *fn, void *arg, const char *site)
{
    struct group *g = G(gp);
    struct worker *w = w_worker();
    int rc = refusal(g, w);
    struct weft_task *t;

    if (unlikely(rc))
        return rc;
    t = spawn(g, fn, arg, site, w);
    if (unlikely(!t))
        return -ENOMEM;
    publish(g, w, t, TASK_RELEASED, false);
    return 0;
}

int weft_spawn_task_at(weft_group *gp, weft_fn *fn, void *arg,
                       const struct weft_task_options *opts, weft_task **out,
                       const char *site)
{
    struct group *g = G(gp);
    struct worker *w = w_worker();
    int rc = refusal(g, w);
    char *name = NULL;
    struct weft_task *t;
    uint32_t state = 0;

    if (unlikely(rc))
        return rc;
    if (opts && opts->name && !(name = w_name_copy(opts->name)))
        return -ENOMEM;
    t = spawn(g, fn, arg, site, w);
    if (unlikely(!t)) {
        sys_free(name);
        return -ENOMEM;
    }
    if (name) {
        store_relaxed(&t->name, name);
        t->flags |= TASK_NOTED | TASK_USED;
    }
    if (opts && opts->stack_size) {
        t->stack_size = opts->stack_size;
        t->flags |= TASK_USED;
        state = TASK_APART;
    }
    if (opts && opts->background)
        state |= TASK_BACKGROUND;
    if (opts && opts->always)
        t->flags |= TASK_RUN_CANCELLED;
    if (!out) {
        publish(g, w, t, TASK_RELEASED | state, opts && opts->eager);
        return 0;
    }
    *out = t;
    if (likely(w && w->current == g->owner)) {
        t->next_handle = g->handles;
        g->handles = t;
        g->n_handles++;
    } else {
        spin_lock(&g->family.lock);
        t->next_handle = g->others;
        g->others = t;
        g->n_others++;
        spin_unlock(&g->family.lock);
    }
    publish(g, w, t, TASK_HANDLE | state, opts && opts->eager);
    return 0;
}

int weft_spawn_detached_at(weft_fn *fn, void *arg, const char *site)
{
    struct worker *w = w_worker();
    struct weft_task *t;

    if (!w)
        return -EPERM;
    if (load_acquire(&w->thread.rt->stopping))
        return -ESHUTDOWN;
    t = w_root_task(w->thread.rt, w, fn, arg, site);
    if (!t)
        return -ENOMEM;
    if (unlikely(w->current && w->current->flags & TASK_LOCALS))
        w_locals_inherit(t, w->current);
    w_worker_ready(w, (w_entry)t | ENTRY_NEW);
    return 0;
}

/* ---- ending ------------------------------------------------------------ */

void w_group_children_end(struct group *g, uint32_t n)
{
    struct weft_task *owner = g->owner; /* I3 */
    uint64_t p = sub_acq_rel(&g->pending, n * GROUP_ONE); /* O1 */

    if (unlikely(GROUP_COUNT(p) == (int32_t)n && (p & GROUP_WAITING)))
        if (w_claim_low(owner, GROUP_EPOCH(p)))
            w_ready(owner);
}

void w_group_cancel_now(struct group *g)
{
    struct chain c = {0, 0, 0};

    /* With the owner's attention and the fence that this needs too. */
    w_family_cancel(&g->family, &c);
    w_cancel_wait(g->owner, g->scope.depth, &c);
    if (c.n)
        w_submit(g->rt, c);
}

/* Under the family's lock. */
static void keep(struct group *g, struct failure *f, bool first)
{
    f->in_group = f->view; /* which others may be reading */
    if (first) {
        g->failure = g->suppressed = f;
    } else if (g->failure && g->n_suppressed < SUPPRESSED_KEPT) {
        g->suppressed->suppressed = f;
        g->suppressed->in_group.suppressed = &f->in_group;
        g->suppressed = f;
        g->n_suppressed++;
        store_relaxed(&f->collected, 1); /* told of with the first */
    } else {
        return;
    }
    w_failure_ref(f);
}

void w_group_fail(struct group *g, long code, struct failure *f)
{
    long none = 0;
    bool first;

    if (g->collect)
        return;
    spin_lock(&g->family.lock);
    first = cas_acq_rel(&g->error, &none, code);
    if (f)
        keep(g, f, first);
    if (first)
        store_relaxed(&g->reason, "a task of the group failed");
    spin_unlock(&g->family.lock);
    if (first)
        w_group_cancel_now(g);
}

void weft_group_cancel_with(weft_group *gp, const char *reason)
{
    struct group *g = G(gp);
    long none = 0;

    if (!g->open)
        return;
    if (cas_acq_rel(&g->error, &none, -ECANCELED))
        store_relaxed(&g->reason, reason);
    w_group_cancel_now(g);
}

void weft_group_cancel(weft_group *g)
{
    weft_group_cancel_with(g, NULL);
}

static void check_owner(const struct group *g, const char *call)
{
    if (g->owner != w_current() || !g->owner)
        w_bug("%s: the caller does not own the group", call);
}

/* ---- children in the order of their ends ----------------------------------- */

void w_group_told(struct group *g, struct weft_task *t)
{
    uintptr_t head = load_relaxed(&g->ended);

    do
        t->sibling.next = (struct list *)(head & ~ENDED_WAITING);
    while (!cas_acq_rel(&g->ended, &head, (uintptr_t)t)); /* O2 */
    if (unlikely(head & ENDED_WAITING))
        if (w_claim(g->owner, load_relaxed(&g->next_epoch)))
            w_ready(g->owner);
}

/* What children pushed goes behind what was taken before, the oldest first. */
void w_group_take_ended(struct group *g)
{
    uintptr_t all = swap_acquire(&g->ended, 0); /* O2 */
    struct weft_task *t = (struct weft_task *)(all & ~ENDED_WAITING);
    struct weft_task *oldest = NULL, *newest = t;

    while (t) {
        struct weft_task *below = (struct weft_task *)(void *)t->sibling.next;

        t->sibling.next = (struct list *)(void *)oldest;
        oldest = t;
        t = below;
    }
    if (!oldest)
        return;
    if (g->next)
        g->next_last->sibling.next = (struct list *)(void *)oldest;
    else
        g->next = oldest;
    g->next_last = newest;
}

static int wait_ended(struct group *g)
{
    uintptr_t none = 0;
    uint64_t epoch;
    int rc = w_wait_begin(g->owner, &epoch);

    if (rc)
        return rc;
    store_relaxed(&g->next_epoch, epoch);
    if (!cas_acq_rel(&g->ended, &none, ENDED_WAITING)) { /* O2 */
        /* A child that told of itself in an earlier wait may have come late and
         * claimed this one: it is ended as any other. */
        struct waiter x = {.task = g->owner, .epoch = epoch};

        (void)!w_claim_self(&x);
    }
    if (w_wait(g->owner, "next of group"))
        return 0;
    (void)and_acq_rel(&g->ended, ~ENDED_WAITING);
    return w_cancel_error(g->owner);
}

static bool all_told(struct group *g)
{
    uint32_t n;

    spin_lock(&g->family.lock);
    n = g->n_others;
    spin_unlock(&g->family.lock);
    return g->told == g->n_handles + n;
}

int weft_group_next(weft_group *gp, weft_task **out)
{
    struct group *g = G(gp);
    int rc;

    if (!w_current())
        return -EPERM;
    if (!g->open)
        return 0;
    check_owner(g, "weft_group_next");
    w_budget(w_worker());
    rc = w_cancel_error(g->owner);
    while (rc == 0 && !g->next) {
        w_group_take_ended(g);
        if (g->next)
            break;
        if (all_told(g))
            return 0;
        rc = wait_ended(g);
    }
    if (rc)
        return rc;
    *out = g->next;
    g->next = (struct weft_task *)(void *)g->next->sibling.next;
    (*out)->sibling.next = NULL;
    if ((*out)->failure)
        store_relaxed(&(*out)->failure->collected, 1);
    g->told++;
    return 1;
}

/* ---- owner ------------------------------------------------------------- */

weft_group *weft_group_enter(weft_group *gp)
{
    struct group *g = G(gp);
    struct weft_task *t = w_current();

    store_relaxed(&g->pending, 0);
    memset(&g->spawned, 0,
           offsetof(struct group, scope) - offsetof(struct group, spawned));
    memset(&g->rt, 0, sizeof *g - offsetof(struct group, rt));
    if (!t)
        return NULL;
    g->rt = task_rt(t);
    g->owner = t;
    g->family.group = g;
    w_scope_push(t, &g->scope, SCOPE_GROUP);
    g->open = 1;
    return gp;
}

/* Makes the owner's spawns count. True: nothing runs. */
static bool settle(struct group *g)
{
    uint64_t p;

    if (g->spawned) {
        uint64_t n = (uint64_t)g->spawned << 32;

        g->spawned = 0;
        p = add_acq_rel(&g->pending, n) + n; /* O1 */
    } else {
        p = load_acquire(&g->pending); /* O1 */
    }
    return GROUP_COUNT(p) == 0;
}

/* The owner was cancelled from outside while it joined: so are the children,
 * and that is the result unless one failed before. */
static void note_cancel(struct group *g)
{
    int rc = w_cancel_error(g->owner);
    long none = 0;

    if (rc) {
        (void)cas_acq_rel(&g->error, &none, rc);
        w_group_cancel_now(g);
    }
}

/* Children that did not start yet and lie where only this worker looks first:
 * run them here, newest first, so that a tree of groups goes depth-first and
 * needs no stack of its own. True: one was run. */
static bool run_own_child(struct group *g)
{
    struct worker *w = w_worker();
    struct weft_task *t;
    w_entry e;

    if (!w_inline_room(w))
        return false;
    e = w_worker_take_child(w, g);
    if (!e)
        return false;
    t = entry_task(e);
    if (unlikely(load_relaxed(&t->state) & TASK_BACKGROUND)) {
        w_background_put(w, e);
        return true;
    }
    if (!task_claim_entry(t)) {
        w_task_stale(t);
        return true;
    }
    if (w_join_begin(g->owner, (uintptr_t)g | WAITS_FOR_GROUP) < 0) {
        /* The child sees that itself when it starts or waits. */
        note_cancel(g);
        w_run_inline(w, t);
    } else {
        w_run_inline(w, t);
        w_join_end(g->owner);
        if (load_acquire(&g->family.cancelled))
            note_cancel(g);
    }
    return true;
}

/* One suspension until the children have ended or, if `cancellable`, the owner
 * is cancelled. 0 or the error. */
static int wait_children(struct group *g, bool cancellable)
{
    struct weft_task *t = g->owner;
    uint64_t epoch, p, low;

    if (cancellable) {
        int rc = w_wait_begin(t, &epoch);

        if (rc)
            return rc;
    } else {
        epoch = w_wait_begin_shielded(t);
    }
    low = (epoch & INT32_MAX) << 1 | GROUP_WAITING;
    p = or_acq_rel(&g->pending, low); /* O1 */
    if (GROUP_COUNT(p) == 0) {
        (void)and_acq_rel(&g->pending, ~(uint64_t)UINT32_MAX);
        /* No child is left to claim the wait; a canceller may have. */
        w_wait_abort(t);
        return 0;
    }
    if (w_wait(t, "group")) {
        (void)and_acq_rel(&g->pending, ~(uint64_t)UINT32_MAX);
        return 0;
    }
    (void)and_acq_rel(&g->pending, ~(uint64_t)UINT32_MAX);
    return w_cancel_error(t);
}

/* The group's first error, if it is still there: a group that was left shares
 * it with its owner's list, which keeps the last few. */
static struct failure *failure_of(const struct group *g)
{
    struct failure *f = g->failure;

    if (f && !g->open) {
        if (g->owner != w_current())
            return NULL;
        for (f = g->owner->group_failures; f; f = f->next)
            if (f == g->failure && f->serial == load_relaxed(&g->next_epoch))
                break;
    }
    return f;
}

/* The owner asks: from now on it knows. */
static long result_of(struct group *g)
{
    struct failure *f = failure_of(g);

    if (f) {
        store_relaxed(&f->collected, 1);
        if (g->owner == w_current())
            w_task_learn(g->owner, f);
    }
    return load_acquire(&g->error);
}

/* Joins all; a cancellation of the owner goes on to the children. */
static void join(struct group *g)
{
    bool cancellable = true;

    while (!settle(g)) {
        int rc;

        if (run_own_child(g))
            continue;
        store_relaxed(&g->owner->waits_for, (uintptr_t)g | WAITS_FOR_GROUP);
        if (debugging())
            w_debug_joins(g);
        rc = wait_children(g, cancellable);
        store_relaxed(&g->owner->waits_for, 0);
        if (rc < 0) {
            note_cancel(g);
            cancellable = false; /* also when there was no stack to wait with */
        }
    }
}

long weft_group_wait(weft_group *gp)
{
    struct group *g = G(gp);

    if (g->open) {
        check_owner(g, "weft_group_wait");
        join(g);
    }
    return result_of(g);
}

long weft_group_join(weft_group *gp)
{
    struct group *g = G(gp);

    check_owner(g, "weft_group_join");
    join(g);
    g->block_ended = true;
    return load_acquire(&g->error);
}

/* The group's reference to its failure becomes the owner's, which reports it
 * in the end if nobody asked. */
static void keep_failure(struct group *g)
{
    struct weft_task *t = g->owner;
    struct failure **p = &t->group_failures, *f = g->failure;
    unsigned n = 1;

    if (!f)
        return;
    t->flags |= TASK_NOTED | TASK_USED;
    store_relaxed(&g->next_epoch, f->serial);
    f->next = *p;
    *p = f;
    while (*p && n++ < FAILURES_KEPT)
        p = &(*p)->next;
    for (f = *p, *p = NULL; f;) {
        struct failure *next = f->next;

        w_failure_unref(f);
        f = next;
    }
}

static void release(struct weft_task *t)
{
    for (struct weft_task *next; t; t = next) {
        next = t->next_handle;
        w_task_release(t);
    }
}

static void leave(struct group *g)
{
    do {
        join(g);
        scope_run_defers(&g->scope); /* they may spawn, and defer */
    } while (!settle(g) || g->scope.defers);
    release(g->handles);
    release(g->others);
    g->handles = g->others = NULL;
    g->open = 0;
    w_scope_pop(&g->scope);
    w_attention_review(g->owner);
    keep_failure(g);
}

long weft_group_leave(weft_group *gp)
{
    struct group *g = G(gp);

    if (g->open) {
        check_owner(g, "weft_group_leave");
        leave(g);
    }
    return result_of(g);
}

void weft_group_cleanup_(weft_group **gp)
{
    struct group *g;

    if (!*gp)
        return;
    g = G(*gp);
    if (g->open && !g->block_ended)
        weft_group_cancel(*gp);
    if (g->open) {
        check_owner(g, "weft_with_group");
        leave(g);
    }
}

const char *weft_group_message(const weft_group *gp)
{
    return failure_message(failure_of(G(gp)));
}

const struct weft_error *weft_group_error(const weft_group *gp)
{
    struct failure *f = failure_of(G(gp));

    if (!f)
        return NULL;
    store_relaxed(&f->collected, 1);
    return &f->in_group;
}

void weft_group_collect(weft_group *gp)
{
    struct group *g = G(gp);

    check_owner(g, "weft_group_collect");
    g->collect = true;
}
