/* SPDX-License-Identifier: MIT */
/* A run: a machine is set up around the calling thread, a runtime is opened in
 * it, the program runs, all is closed and counted. */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <weft/debug.h>

#include "base/topo.h"
#include "sim/socket.h"

static const struct sim_ops ops = {
    .point = w_sim_op_point,
    .random = w_sim_op_random,
    .now = w_sim_op_now,
    .yield = w_sim_op_yield,
    .sleep = w_sim_op_sleep,
    .futex_wait = w_sim_op_futex_wait,
    .futex_wake = w_sim_op_futex_wake,
    .thread_create = w_sim_op_thread_create,
    .thread_join = w_sim_op_thread_join,
    .thread_name = w_sim_op_thread_name,
    .thread_stack = w_sim_op_thread_stack,
    .epoll_create = w_sim_op_epoll_create,
    .epoll_ctl = w_sim_op_epoll_ctl,
    .epoll_wait = w_sim_op_epoll_wait,
    .eventfd = w_sim_op_eventfd,
    .close = w_sim_op_close,
    .fstat = w_sim_op_fstat,
    .poll = w_sim_op_poll,
    .socket = w_sim_op_socket,
    .bind = w_sim_op_bind,
    .listen = w_sim_op_listen,
    .accept = w_sim_op_accept,
    .connect = w_sim_op_connect,
    .shutdown = w_sim_op_shutdown,
    .setsockopt = w_sim_op_setsockopt,
    .getsockopt = w_sim_op_getsockopt,
    .getsockname = w_sim_op_getsockname,
    .send = w_sim_op_send,
    .receive = w_sim_op_receive,
};

/* The main task. Outlives the runtime, in which it may be left. */
struct program {
    struct sim sim;
    weft_fn *fn;
    void *arg;
    long result;
    _Atomic uint32_t done; /* what the caller waits for */
};

static long run_program(void *arg)
{
    struct program *p = arg;

    (void)weft_task_set_name("main");
    p->result = p->fn(p->arg);
    store_release(&p->done, 1);
    sys_futex_wake(&p->done, 1);
    return 0;
}

static long run_in(weft_runtime *rt, struct program *p)
{
    struct sim *s = &p->sim;
    int rc = weft_runtime_post(rt, run_program, p);

    if (rc < 0)
        return rc;
    s->main_may_give_up = true;
    while (!load_acquire(&p->done) && !s->over)
        (void)sys_futex_wait(&p->done, 0, -1);
    s->main_may_give_up = false;
    if (!s->over)
        return p->result;
    w_warn("simulation, seed %llu: %s", (unsigned long long)s->id.seed,
           s->over == -EDEADLK ? "all wait for ever" : "it goes on for ever");
    weft_tasks_dump(rt, 2);
    return s->over;
}

static long simulate(struct program *p, struct weft_sim_result *r)
{
    struct weft_options o = {0};
    struct sim *s = &p->sim;
    weft_runtime *rt;
    long result;

    if (s->opts.runtime)
        o = *s->opts.runtime;
    if (!o.workers)
        o.workers = 1 + (unsigned)(w_sim_random(s) % 4);
    if (!o.slow_task)
        o.slow_task = -1;
    result = weft_runtime_open(&rt, &o);
    if (result < 0)
        return result;
    result = run_in(rt, p);
    r->left_tasks = weft_runtime_close(rt);
    return result;
}

/* hwloc loads its plugins anew for each topology unless one is alive. */
static struct topo *kept;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void prepare(void)
{
    w_sim_ops = &ops;
    if (w_topo_open(&kept, "core:1 pu:1", NULL) < 0)
        kept = NULL;
}

static void enter(struct program *p)
{
    (void)pthread_once(&once, prepare);
    w_sim_set(&p->sim.id);
    add_relaxed(&w_sims, 1);
}

static void leave(void)
{
    w_sim_set(NULL);
    sub_relaxed(&w_sims, 1);
}

long weft_sim_run(weft_fn *fn, void *arg, uint64_t seed,
                  const struct weft_sim_options *opts)
{
    struct weft_sim_result r = {0};
    struct program *p;
    struct sim *s;
    long result = -ENOMEM;

    if (w_sim() || w_thread())
        return -EPERM;
    p = sys_calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    s = &p->sim;
    p->fn = fn;
    p->arg = arg;
    s->id.seed = seed;
    if (opts)
        s->opts = *opts;
    enter(p);
    if (w_sim_machine_open(s))
        result = simulate(p, &r);
    r.left_fds = w_sim_files_close(s);
    w_sim_cuts_close(s);
    w_sim_machine_close(s);
    leave();
    r.hash = s->hash;
    r.steps = s->steps;
    r.time = s->now;
    if (s->opts.result)
        *s->opts.result = r;
    sys_free(p);
    return result;
}

int weft_sim_active(void)
{
    return sim_here();
}

uint64_t weft_sim_random(void)
{
    return sim_here() ? w_sim_random(sim_self()) : 0;
}

void weft_sim_note(const char *format, ...)
{
    char text[256];
    va_list ap;

    if (!sim_here())
        return;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    w_sim_trace_text(sim_self(), text);
}

int weft_sim_cut(const char *host, int64_t ns)
{
    struct sim *s = sim_here() ? sim_self() : NULL;
    union sim_addr a = {.sa.sa_family = AF_INET};

    if (!s)
        return -EPERM;
    if (inet_pton(AF_INET, host, &a.v4.sin_addr) != 1) {
        a.sa.sa_family = AF_INET6;
        if (inet_pton(AF_INET6, host, &a.v6.sin6_addr) != 1)
            return -EINVAL;
    }
    w_sim_trace_text(s, "cut");
    w_sim_cut(s, &a.sa, s->now + ns);
    return 0;
}
