/* SPDX-License-Identifier: MIT */
/* A task's birth, end and name. */
#include "core/task.h"

#include "base/sys.h"
#include "core/failure.h"
#include "core/join.h"
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

/* ---- end --------------------------------------------------------------- */

static W_COLD void end_failures(struct weft_task *t, long result, bool handle)
{
    struct failure *f = w_failure_final(t, result), *next;

    if (t->family->group && w_is_error(result) && result != -ECANCELED)
        w_group_fail(t->family->group, result, f);
    if (handle)
        t->failure = f;
    else if (f)
        w_failure_unref(f);
    if (t->flags & TASK_LOCALS)
        w_locals_drop(t);
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

/* Under t's lock: those of weft_wait_error and the like that need not know of
 * this end are taken out. */
static void drop_undue(struct weft_task *t)
{
    list_each(n, &t->waiters) {
        struct waiter *x = container_of(n, struct waiter, node);

        if (x->task && x->value && !w_wait_set_due(x->value, t->result))
            list_remove(n);
    }
}

static void wake_joiners(struct weft_task *t)
{
    struct list claimed;

    if (!(or_acq_rel(&t->state, TASK_DONE) & TASK_AWAITED)) /* O1 */
        return;
    spin_lock(&t->lock);
    drop_undue(t);
    w_waiters_claim(&t->waiters, &claimed);
    spin_unlock(&t->lock);
    w_waiters_ready(&claimed);
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
        if (likely(g)) {
            if (w->current == g->owner)
                w_group_told_owner(g, t);
            else
                w_group_told(g, t);
        }
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
    return t->site + strlen(t->site) + 1;
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
