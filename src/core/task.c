/* SPDX-License-Identifier: MIT */
/* A task's birth, end and name. */
#include "core/task.h"

#include <stdio.h>

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

/* ---- names --------------------------------------------------------------- */

/* Two places, of which `name` is one: a new name goes to the other, so that who
 * just read the pointer still finds a name there, and the block lives as long
 * as the task. Who reads the text of a task that it does not hold takes the
 * slab's lock. */
struct names {
    char text[2][NAME_SIZE];
};
static_assert(sizeof(struct names) == 2 * NAME_SIZE, "the other is name ^ size");

static void copy_name(char *to, const char *name)
{
    size_t n = strnlen(name, NAME_SIZE - 1);

    memcpy(to, name, n);
    memset(to + n, 0, NAME_SIZE - n);
}

char *w_name_copy(const char *name)
{
    struct names *n = sys_memalign(sizeof *n, sizeof *n);

    if (!n)
        return NULL;
    copy_name(n->text[0], name);
    memset(n->text[1], 0, NAME_SIZE);
    return n->text[0];
}

int weft_task_set_name(const char *name)
{
    struct weft_task *t = w_current();
    char *old, *other;

    if (!t)
        return -EPERM;
    old = load_relaxed(&t->name);
    other = old ? (char *)((uintptr_t)old ^ NAME_SIZE) : w_name_copy(name);
    if (!other)
        return -ENOMEM;
    spin_lock(&task_chunk(t)->home->lock);
    if (old)
        copy_name(other, name);
    store_release(&t->name, other);
    spin_unlock(&task_chunk(t)->home->lock);
    t->flags |= TASK_NOTED | TASK_USED;
    return 0;
}

static void drop_name(struct weft_task *t)
{
    char *name = load_relaxed(&t->name);

    if (!name)
        return;
    spin_lock(&task_chunk(t)->home->lock);
    store_relaxed(&t->name, NULL);
    spin_unlock(&task_chunk(t)->home->lock);
    sys_free((void *)((uintptr_t)name & ~(uintptr_t)(2 * NAME_SIZE - 1)));
}

/* A record may be wiped and reused while somebody looks; sites are literals. */
W_RACY static const char *site_racy(struct weft_task *t)
{
    return t->site;
}

/* Under the lock: NULL, or a name that stays while it is held. */
W_RACY static const char *name_racy(struct weft_task *t)
{
    const char *name;

    memcpy(&name, (const void *)&t->name, sizeof name);
    return name;
}

void w_task_describe(struct weft_task *t, char *name, size_t name_n, char *site,
                     size_t site_n)
{
    const char *s = site_racy(t), *n;

    spin_lock(&task_chunk(t)->home->lock);
    n = name_racy(t);
    snprintf(name, name_n, "%s", n ? n : s ? s : "?");
    spin_unlock(&task_chunk(t)->home->lock);
    snprintf(site, site_n, "%s", s ? s + strlen(s) + 1 : "?");
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
    drop_name(t);
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
        drop_name(t);
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
    uint32_t state = load_relaxed(&t->state), flags = t->flags;
    bool handle = state & TASK_HANDLE;

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
        if (unlikely(state & TASK_AWAITED)) { /* by callbacks of its own */
            wake_joiners(t);
            flags |= TASK_USED;
        }
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

/* ---- what users ask ---------------------------------------------------- */

weft_task *weft_self(void)
{
    return w_current();
}

const char *weft_task_name(const weft_task *t)
{
    const char *name = load_acquire(&((struct weft_task *)(uintptr_t)t)->name);

    return name ? name : t->site;
}

const char *weft_task_site(const weft_task *t)
{
    return t->site + strlen(t->site) + 1;
}

int weft_task_done(const weft_task *t)
{
    return task_is_done(t);
}

long weft_task_result(const weft_task *t)
{
    return task_is_done(t) ? t->result : -EAGAIN;
}
