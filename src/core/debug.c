/* SPDX-License-Identifier: MIT */
/* Version, texts of errors, counters, the list of tasks. */
#include <weft/debug.h>

#include <stdio.h>

#include "base/sys.h"
#include "core/runtime.h"

const char *weft_version(void)
{
    return WEFT_STRING(WEFT_VERSION_MAJOR) "." WEFT_STRING(
        WEFT_VERSION_MINOR) "." WEFT_STRING(WEFT_VERSION_PATCH);
}

int weft_errno(void)
{
    int e = errno;

    __asm__ volatile("" : "+r"(e));
    return e;
}

const char *weft_strerror(long code)
{
    const char *text;

    if (code >= -W_ERRNO_MAX && code <= W_ERRNO_MAX && code) {
        switch (code < 0 ? -code : code) {
        case ECANCELED:
            return "cancelled";
        case ETIMEDOUT:
            return "timed out";
        case ESHUTDOWN:
            return "shut down";
        default:
            text = strerrordesc_np((int)(code < 0 ? -code : code));
            return text ? text : "unknown error";
        }
    }
    return code ? "no error: a value" : "success";
}

int weft_runtime_stats(weft_runtime *rt, struct weft_stats *out)
{
    if (!rt)
        rt = weft_runtime_self();
    if (!rt)
        return -EPERM;
    memset(out, 0, sizeof *out);
    out->workers = rt->n_workers;
    out->tasks_spawned = load_relaxed(&rt->foreign_spawned);
    for (unsigned i = 0; i < rt->n_workers; i++) {
        struct worker *w = &rt->workers[i];

        out->tasks_spawned += load_relaxed(&w->spawned);
        out->tasks_ended += load_relaxed(&w->ended);
        out->switches += load_relaxed(&w->switches);
        out->steals += load_relaxed(&w->steals);
        out->events_stolen += load_relaxed(&w->events_stolen);
        out->parks += load_relaxed(&w->parks);
        out->wakes += load_relaxed(&w->wakes);
        out->polls += load_relaxed(&w->polls);
        out->timers_fired += load_relaxed(&w->timers_fired);
    }
    spin_lock(&rt->stacks.lock);
    out->stacks = rt->stacks.mapped;
    spin_unlock(&rt->stacks.lock);
    out->stacks_used = load_relaxed(&rt->stacks.handed);
    spin_lock(&rt->floor_lock);
    for (int i = 0; i < FLOOR_COUNT; i++)
        if (load_relaxed(&rt->floor[i]))
            rt->floor_ops[i]->stats(load_relaxed(&rt->floor[i]), out);
    spin_unlock(&rt->floor_lock);
    return 0;
}

/* ---- all tasks ------------------------------------------------------------ */

W_RACY static const char *reason(struct weft_task *t)
{
    return t->why;
}

struct visit {
    weft_task_visitor *fn;
    void *arg;
    long n;
    bool enough;
};

W_RACY static struct weft_task *waits_for_racy(struct weft_task *t)
{
    uintptr_t x;

    memcpy(&x, (const void *)&t->waits_for, sizeof x);
    return x & WAITS_FOR_GROUP ? NULL : (struct weft_task *)x;
}

static void visit_one(struct weft_task *t, void *arg)
{
    struct visit *v = arg;
    char name[32], site[128], other[32], other_site[128];
    uint32_t state = load_acquire(&t->state);
    const char *why = reason(t);
    struct weft_task *a = waits_for_racy(t);
    struct weft_task_info info = {.task = t, .name = name, .site = site};

    if (v->enough || (state & (TASK_FREE | TASK_DONE)))
        return;
    w_task_describe(t, name, sizeof name, site, sizeof site);
    info.state = state & TASK_NEW ? "new" : why ? "waiting" : "running";
    info.waits_in = why;
    if (why && a) {
        w_task_describe(a, other, sizeof other, other_site, sizeof other_site);
        info.waits_for = other;
        info.waits_for_task = a;
    }
    v->n++;
    v->enough = v->fn(&info, v->arg) != 0;
}

void w_tasks_each(struct weft_runtime *rt,
                  void (*fn)(struct weft_task *t, void *arg), void *arg)
{
    w_slab_each(&rt->foreign, fn, arg);
    for (unsigned i = 0; i < rt->n_workers; i++)
        w_slab_each(&rt->workers[i].slab, fn, arg);
}

long weft_tasks_each(weft_runtime *rt, weft_task_visitor *fn, void *arg)
{
    struct visit v = {.fn = fn, .arg = arg};

    if (!rt)
        rt = weft_runtime_self();
    if (!rt)
        return -EPERM;
    w_tasks_each(rt, visit_one, &v);
    return v.n;
}

struct dump {
    int fd;
    int rc;
};

static void dump_one(struct weft_task *t, void *arg)
{
    struct dump *d = arg;
    char name[32], site[128], other[32] = "-", other_site[128], line[320];
    uint32_t state = load_acquire(&t->state);
    const char *why = reason(t);
    struct weft_task *a = waits_for_racy(t);
    int n;

    if (state & (TASK_FREE | TASK_DONE))
        return;
    w_task_describe(t, name, sizeof name, site, sizeof site);
    if (why && a)
        w_task_describe(a, other, sizeof other, other_site, sizeof other_site);
    n = snprintf(line, sizeof line, "%-24s %-32s %-16s %s\n", name, site, other,
                 state & TASK_NEW ? "new"
                 : why            ? why
                                  : "ready or running");
    if (n >= (int)sizeof line)
        n = sizeof line - 1;
    for (int done = 0; d->rc == 0 && done < n;) {
        ssize_t k = sys_write(d->fd, line + done, (size_t)(n - done));

        if (k < 0 && k != -EINTR)
            d->rc = (int)k;
        else if (k > 0)
            done += (int)k;
    }
}

int weft_tasks_dump(weft_runtime *rt, int fd)
{
    struct dump d = {.fd = fd};

    if (!rt)
        rt = weft_runtime_self();
    if (!rt)
        return -EPERM;
    w_tasks_each(rt, dump_one, &d);
    return d.rc;
}
