/* SPDX-License-Identifier: MIT */
/* src/exec/pool.c with fork.c: no job and no forked child waits while every
 * thread that could run it sleeps (D2 of forkq.h); a job's frame is not touched
 * after its caller has been woken; a pool is closed once all have left.
 *
 * Threads of the pool are threads of the model that wait to be created.
 *
 * With: exec/fork.c core/park.c core/scope.c core/join.c base/barrier.c */
#define sys_thread_stack(limit, bytes) ((void)(limit), (void)(bytes), 0)
#define sys_thread_name(name) ((void)(name))
#define sys_thread_create create
#define sys_thread_join join_thread

#include "env.h"

static struct spare {
    struct m_event starts, ended;
    void *(*fn)(void *);
    void *arg;
} spare[2];
static unsigned created;

static int create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *),
                  void *arg)
{
    (void)a;
    m_check(created < 2);
    spare[created].fn = fn;
    spare[created].arg = arg;
    *t = created;
    m_event_signal(&spare[created++].starts);
    return 0;
}

static int join_thread(pthread_t t)
{
    m_event_wait(&spare[t].ended);
    return 0;
}

#include "exec/pool.c"

static struct pool *pool;
static int ran[2], result;
static struct m_event child_ran;
static struct pool_thread *sleeper;

static void env_start(unsigned i)
{
    m_fail("task %u is started twice", i);
}

void w_group_cancel_now(struct group *g)
{
    (void)g;
    m_fail("no group here");
}

void w_fault_thread_open(struct thread *t) {}
void w_fault_thread_close(struct thread *t) {}
void w_budget_spent(struct worker *w) {}
long weft_compute(weft_fn *fn, void *arg) { return fn(arg); }
int w_topo_bind(const struct topo *t, const struct topo_place *p) { return 0; }
void w_topo_place(const struct topo *t, unsigned n, struct topo_place *p) {}

static void open_pool(unsigned max, bool forks)
{
    struct pool_options o = {.name = "model", .why = "model", .max = max,
                             .keepalive = -1, .forks = forks, .stack = 1};

    env_setup();
    memset(spare, 0, sizeof spare);
    memset(&child_ran, 0, sizeof child_ran);
    created = 0;
    ran[0] = ran[1] = result = 0;
    m_check(w_pool_open(&pool, &env_rt, &o) == 0);
    m_name(pool, sizeof *pool, "pool");
    m_name(&pool->lock, 4, "pool.lock");
    m_name(&pool->bell, 4, "bell");
    m_name(&pool->gone, 4, "gone");
    m_name(&pool->queued, 4, "queued");
    m_name(&pool->group.searching, 4, "searching");
    m_name(&pool->group.asleep, 4, "asleep");
    for (unsigned i = 0; i < pool->group.n; i++) {
        struct forker *f = &pool->group.forkers[i];

        m_name(&f->here.bound, 8, i ? "bound1" : "bound0");
        m_name(&f->state, 4, i ? "state1" : "state0");
        m_name(&f->queue.bottom, 8, i ? "bottom1" : "bottom0");
        m_name(&f->queue.top, 8, i ? "top1" : "top0");
    }
}

static void setup_one(void)
{
    open_pool(1, false);
}

static void setup_two(void)
{
    open_pool(2, false);
}

static void pool_thread_runs(unsigned i)
{
    m_daemon();
    m_event_wait(&spare[i].starts);
    spare[i].fn(spare[i].arg);
    m_event_signal(&spare[i].ended);
}

static void thread_0(void) { pool_thread_runs(0); }
static void thread_1(void) { pool_thread_runs(1); }

/* ---- jobs ---------------------------------------------------------------- */

static long job(void *arg)
{
    ran[(uintptr_t)arg]++;
    return 3;
}

static void calls(void)
{
    result += (int)w_pool_call(pool, env_become(0), job, (void *)0);
}

static void calls_twice(void)
{
    calls();
    result += (int)w_pool_call(pool, env_become(0), job, (void *)1);
}

static void calls_too(void)
{
    m_check(w_pool_call(pool, env_become(1), job, (void *)1) == 3);
}

static void calls_and_drains(void)
{
    calls();
    w_pool_drain(pool, env_become(0));
    m_check(load_relaxed(&pool->gone) == pool->started);
}

static void cancels(void)
{
    w_task_cancel_now(env_task(0));
}

static void one_ran(void)
{
    m_check(ran[0] == 1 && result == 3);
}

static void both_ran(void)
{
    m_check(ran[0] == 1 && ran[1] == 1);
}

static void ran_or_cancelled(void)
{
    m_check(ran[0] ? result == 3 : result == -ECANCELED);
}

/* ---- forked work and sleeping threads ------------------------------------ */

/* Two threads: one works, the other comes from work and goes to sleep. */
static void setup_sleeper(void)
{
    open_pool(2, true);
    sleeper = m_alloc(128, sizeof *sleeper);
    sleeper->pool = pool;
    sleeper->thread.kind = THREAD_POOL;
    pool->threads = pool->started = 2;
    store_relaxed(&pool->group.searching, 1);
    pool->group.forkers[0].taken = true;
    count_asleep(pool);
}

static void falls_asleep(void)
{
    m_daemon();
    (void)thread_main(sleeper);
}

static const int never_cancelled;

static void tell(struct weft_here_ *here, struct weft_forked_ *r)
{
    ran[0] = 1;
    m_event_signal(&child_ran);
}

static const struct weft_kind_ kind = {tell, sizeof(struct weft_forked_)};

/* It forks, and does not join before another has run the child: so it must
 * have been handed out, and somebody must have been woken. */
static void forks_and_waits(void)
{
    struct forker *f = &pool->group.forkers[0];
    struct weft_forked_ *r = (struct weft_forked_ *)(void *)f->records;

    w_fork_begin(f, (const _Atomic int *)&never_cancelled);
    weft_fork_(&f->here, r, &kind, sizeof *r);
    m_event_wait(&child_ran);
    m_check(!weft_unfork_(&f->here, r, sizeof *r));
    w_fork_end(f);
}

static void child_was_run(void)
{
    m_check(ran[0] == 1);
}

const struct m_scenario m_scenarios[] = {
    {.name = "pool_call", .setup = setup_one, .check = both_ran,
     .thread = {calls_twice, env_worker_0, thread_0}, .preemptions = 2,
     .stale = M_NONE},
    {.name = "pool_two_callers", .setup = setup_two, .check = both_ran,
     .thread = {calls, env_worker_0, calls_too, env_worker_1, thread_0,
                thread_1},
     .preemptions = M_NONE, .stale = M_NONE},
    {.name = "pool_drain", .setup = setup_one, .check = one_ran,
     .thread = {calls_and_drains, env_worker_0, thread_0}, .preemptions = 2,
     .stale = M_NONE},
    {.name = "pool_cancel", .setup = setup_one, .check = ran_or_cancelled,
     .thread = {calls, env_worker_0, thread_0, cancels}, .preemptions = 1,
     .stale = 1},
    {.name = "pool_forks", .setup = setup_sleeper, .check = child_was_run,
     .thread = {forks_and_waits, falls_asleep}, .preemptions = 2, .stale = 2},
    {.name = NULL},
};
