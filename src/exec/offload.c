/* SPDX-License-Identifier: MIT */
/* weft_compute and weft_blocking: the two pools of a runtime, opened at their
 * first use. */
#include "base/sys.h"
#include "exec/pool.h"

#define COMPUTE_STACK ((size_t)16 << 20)

struct exec {
    struct pool *compute;
    struct pool *blocking;
};

static void close_exec(struct weft_runtime *rt, void *state)
{
    struct exec *x = state;

    (void)rt;
    w_pool_close(x->compute);
    w_pool_close(x->blocking);
    sys_free(x);
}

static void stats_exec(void *state, struct weft_stats *out)
{
    struct exec *x = state;

    out->executor_threads = w_pool_threads(x->compute);
    out->blocking_threads = w_pool_threads(x->blocking);
    out->executor_jobs = w_pool_jobs(x->compute);
    out->blocking_jobs = w_pool_jobs(x->blocking);
}

static const struct floor_ops ops = {close_exec, stats_exec};

static struct exec *open_exec(struct weft_runtime *rt)
{
    const struct weft_options *o = &rt->opts;
    struct pool_options compute = {.name = "weft-executor",
                                   .why = "weft-executor",
                                   .max = o->executor_threads,
                                   .keepalive = -1,
                                   .nice = o->executor_nice > 0
                                               ? o->executor_nice
                                               : 0,
                                   .bind = rt->pinned,
                                   .forks = true,
                                   .stack = o->executor_stack
                                                ? o->executor_stack
                                                : COMPUTE_STACK};
    struct pool_options blocking = {.name = "weft-blocking",
                                    .why = "weft-blocking",
                                    .max = o->blocking_threads,
                                    .keepalive = o->blocking_keepalive};
    struct exec *x = sys_calloc(1, sizeof *x);

    if (!x)
        return NULL;
    if (w_pool_open(&x->compute, rt, &compute) < 0) {
        sys_free(x);
        return NULL;
    }
    if (w_pool_open(&x->blocking, rt, &blocking) < 0) {
        w_pool_close(x->compute);
        sys_free(x);
        return NULL;
    }
    return x;
}

static struct exec *exec_of(struct weft_runtime *rt)
{
    struct exec *x = load_acquire(&rt->floor[FLOOR_EXEC]), *mine;

    if (likely(x))
        return x;
    mine = open_exec(rt);
    if (!mine)
        return NULL;
    spin_lock(&rt->floor_lock);
    x = load_relaxed(&rt->floor[FLOOR_EXEC]);
    if (!x) {
        rt->floor_ops[FLOOR_EXEC] = &ops;
        store_release(&rt->floor[FLOOR_EXEC], mine);
        x = mine;
        mine = NULL;
    }
    spin_unlock(&rt->floor_lock);
    if (mine)
        close_exec(rt, mine);
    return x;
}

static long offload(weft_fn *fn, void *arg, bool blocking)
{
    struct thread *self = w_thread();
    struct weft_task *t = w_current();
    struct exec *x;

    if (self && self->kind == THREAD_POOL)
        return fn(arg); /* there already */
    if (!t)
        return -EPERM;
    x = exec_of(task_rt(t));
    if (!x)
        return -ENOMEM;
    return w_pool_call(blocking ? x->blocking : x->compute, t, fn, arg);
}

long weft_compute(weft_fn *fn, void *arg)
{
    return offload(fn, arg, false);
}

long weft_blocking(weft_fn *fn, void *arg)
{
    return offload(fn, arg, true);
}
