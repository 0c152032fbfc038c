/* SPDX-License-Identifier: MIT */
/* The graph of who waits for whom is the tasks' own `waits_for`: the holder of a
 * mutex, the task that is awaited, the group that is joined. In debug mode edges
 * are added under one lock and each new one is followed: so the edge that
 * closes a circle finds it. */
#include "core/debugmode.h"

#include "base/sys.h"
#include "core/runtime.h"

_Atomic uint32_t w_debugging;

static struct spin graph_lock;

#define STEPS_MAX 100000

/* Is t a child of g, or of a group of a child of it, ...? */
static bool is_below(const struct weft_task *t, const struct group *g)
{
    const struct group *up;

    for (up = t->family->group; up; up = up->owner->family->group)
        if (up == g)
            return true;
    return false;
}

/* What x waits for next on a way that may lead back to t; NULL: none. */
static struct weft_task *step(const struct weft_task *x,
                              const struct weft_task *t)
{
    const struct group *g = waits_for_group(x);

    if (g && is_below(t, g))
        return (struct weft_task *)(uintptr_t)t;
    return waits_for_task(x);
}

static void print_step(const char *what, const struct weft_task *x)
{
    w_warn("  %s task %s (spawned at %s)", what, weft_task_name(x),
           weft_task_site(x));
}

/* Under the lock. */
static void report(const struct weft_task *t)
{
    const struct weft_task *x = t;

    w_warn("deadlock: tasks wait for each other");
    print_step("     ", t);
    do {
        x = step(x, t);
        print_step("for  ", x);
    } while (x != t);
}

static bool closes_a_circle(const struct weft_task *t)
{
    const struct weft_task *x = t;

    for (unsigned i = 0; i < STEPS_MAX; i++) {
        x = step(x, t);
        if (!x)
            return false;
        if (x == t)
            return true;
    }
    return false;
}

void w_debug_waits(struct weft_task *t, struct weft_task *other)
{
    spin_lock(&graph_lock);
    store_relaxed(&t->waits_for, (uintptr_t)other);
    if (closes_a_circle(t))
        report(t);
    spin_unlock(&graph_lock);
}

void w_debug_waited(struct weft_task *t)
{
    spin_lock(&graph_lock);
    store_relaxed(&t->waits_for, 0);
    spin_unlock(&graph_lock);
}

void w_debug_joins(struct group *g)
{
    spin_lock(&graph_lock);
    spin_lock(&g->family.lock);
    if (g->family.tasks.next)
        list_each(n, &g->family.tasks) {
            struct weft_task *c = container_of(n, struct weft_task, sibling);

            if (load_relaxed(&c->waits_for) && closes_a_circle(c)) {
                report(c);
                break;
            }
        }
    spin_unlock(&g->family.lock);
    spin_unlock(&graph_lock);
}

/* ---- open and close ------------------------------------------------------- */

void w_debug_open(struct weft_runtime *rt)
{
    if (rt->opts.debug)
        add_relaxed(&w_debugging, 1);
}

static void report_handles(struct weft_runtime *rt)
{
    struct cell_table *ct = &rt->cells;
    unsigned n = 0;

    for (unsigned i = 0; i < ct->n_raw; i++)
        if (load_relaxed(&ct->raw[i]))
            load_relaxed(&ct->raw[i])->closed = true; /* the user's own */
    for (uint32_t i = 0; i < ct->n_chunks * CELL_CHUNK; i++) {
        struct cell *c = load_relaxed(&ct->chunks[i / CELL_CHUNK]) +
                         i % CELL_CHUNK;

        if (!c->closed && n++ < 20)
            w_warn("debug: left open: stream or listener of descriptor %d",
                   c->fd);
    }
    if (n > 20)
        w_warn("debug: left open: %u more", n - 20);
    if (load_relaxed(&rt->own_pools))
        w_warn("debug: left open: %u pools of weft_pool_open",
               load_relaxed(&rt->own_pools));
}

void w_debug_close(struct weft_runtime *rt)
{
    if (!rt->opts.debug)
        return;
    report_handles(rt);
    w_warn("debug: deepest stack: %zu of %zu KiB",
           w_stack_deepest(&rt->stacks) / 1024, rt->stacks.size / 1024);
    sub_relaxed(&w_debugging, 1);
}
