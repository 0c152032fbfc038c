/* SPDX-License-Identifier: MIT */
/* Pools of the user's own: threads apart from the runtime's two pools.
 *
 * A pool belongs to a runtime as the task that opened it does, and has to be
 * closed before that: its threads look at the runtime's topology when they
 * start, and wake tasks of it. weft_runtime_close does not know of it. */
#include "base/sys.h"
#include "exec/pool.h"

/* What weft_pool_spawn hands to its task, which frees it. */
struct order {
    struct weft_pool *pool;
    weft_fn *fn;
    void *arg;
};

struct weft_pool {
    struct weft_runtime *rt; /* I */
    struct pool *pool; /* I */
    char name[16];     /* I */
};

int weft_pool_open(weft_pool **out, const struct weft_pool_options *opts)
{
    struct weft_runtime *rt = weft_runtime_self();
    struct pool_options o = {.why = "pool", .keepalive = -1};
    weft_pool *p;
    int rc;

    if (!rt)
        return -EPERM;
    if (opts && opts->keepalive < 0)
        return -EINVAL;
    p = sys_calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    (void)strncpy(p->name, opts && opts->name ? opts->name : "weft-pool",
                  sizeof p->name - 1);
    o.name = p->name;
    if (opts) {
        o.max = opts->threads;
        o.nice = opts->nice;
        o.bind = opts->bind != 0;
        if (opts->keepalive)
            o.keepalive = opts->keepalive;
    }
    if (!o.max)
        o.max = w_topo_default_workers(rt->topo);
    rc = w_pool_open(&p->pool, rt, &o);
    if (rc < 0) {
        sys_free(p);
        return rc;
    }
    p->rt = rt;
    add_relaxed(&rt->own_pools, 1);
    *out = p;
    return 0;
}

long weft_pool_call(weft_pool *p, weft_fn *fn, void *arg)
{
    struct weft_task *t;

    if (w_pool_is_here(p->pool))
        return fn(arg);
    t = w_current();
    return t ? w_pool_call(p->pool, t, fn, arg) : -EPERM;
}

static long carry_out(void *arg)
{
    struct order o = *(struct order *)arg;

    sys_free(arg);
    return weft_pool_call(o.pool, o.fn, o.arg);
}

int weft_pool_spawn_at(weft_pool *p, weft_group *g, weft_fn *fn, void *arg,
                       weft_task **t, const char *site)
{
    struct weft_task_options opts = {.always = 1};
    struct order *o = sys_calloc(1, sizeof *o);
    int rc;

    if (!o)
        return -ENOMEM;
    o->pool = p;
    o->fn = fn;
    o->arg = arg;
    rc = weft_spawn_task_at(g, carry_out, o, &opts, t, site);
    if (rc < 0)
        sys_free(o);
    return rc;
}

void weft_pool_close(weft_pool *p)
{
    struct weft_task *t = w_current();

    if (w_pool_is_here(p->pool))
        w_bug("weft_pool_close: called on a thread of the pool");
    if (t)
        w_pool_drain(p->pool, t);
    w_pool_close(p->pool);
    sub_relaxed(&p->rt->own_pools, 1);
    sys_free(p);
}
