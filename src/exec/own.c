/* SPDX-License-Identifier: MIT */
/* Pools of the user's own: threads apart from the runtime's two pools.
 *
 * A pool belongs to a runtime as the task that opened it does, and has to be
 * closed before that: its threads look at the runtime's topology when they
 * start, and wake tasks of it. weft_runtime_close does not know of it.
 *
 * What weft_pool_spawn hands to its task is a record of the pool. The task
 * gives it back when it starts; one that was cancelled before never does, so
 * the pool frees at its end what is still out. */
#include "base/sys.h"
#include "exec/pool.h"

struct order {
    struct list node; /* L */
    struct weft_pool *pool;
    weft_fn *fn;
    void *arg;
};

struct weft_pool {
    struct pool *pool; /* I */
    char name[16];     /* I */
    struct spin lock;
    struct list out;   /* L: orders whose tasks have not started */
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
    list_init(&p->out);
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
    if (rc < 0)
        sys_free(p);
    else
        *out = p;
    return rc;
}

long weft_pool_call(weft_pool *p, weft_fn *fn, void *arg)
{
    struct weft_task *t;

    if (w_pool_is_here(p->pool))
        return fn(arg);
    t = w_current();
    return t ? w_pool_call(p->pool, t, fn, arg) : -EPERM;
}

static void put_back(struct order *o)
{
    spin_lock(&o->pool->lock);
    list_remove(&o->node);
    spin_unlock(&o->pool->lock);
    sys_free(o);
}

static long carry_out(void *arg)
{
    struct order o = *(struct order *)arg;

    put_back(arg);
    return weft_pool_call(o.pool, o.fn, o.arg);
}

int weft_pool_spawn_at(weft_pool *p, weft_group *g, weft_fn *fn, void *arg,
                       weft_task **t, const char *site)
{
    struct order *o = sys_calloc(1, sizeof *o);
    int rc;

    if (!o)
        return -ENOMEM;
    o->pool = p;
    o->fn = fn;
    o->arg = arg;
    spin_lock(&p->lock);
    list_push_back(&p->out, &o->node);
    spin_unlock(&p->lock);
    rc = weft_spawn_task_at(g, carry_out, o, NULL, t, site);
    if (rc < 0)
        put_back(o);
    return rc;
}

void weft_pool_close(weft_pool *p)
{
    struct weft_task *t = w_current();
    struct list *n;

    if (w_pool_is_here(p->pool))
        w_bug("weft_pool_close: called on a thread of the pool");
    if (t)
        w_pool_drain(p->pool, t);
    w_pool_close(p->pool);
    while ((n = list_pop_front(&p->out)))
        sys_free(container_of(n, struct order, node));
    sys_free(p);
}
