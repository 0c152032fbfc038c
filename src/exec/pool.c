/* SPDX-License-Identifier: MIT */
#include "exec/pool.h"

#include "base/sys.h"

struct job {
    struct list node; /* linked: not started */
    weft_fn *fn;
    void *arg;
    long result;
    bool done;              /* L */
    struct weft_task *task;
    uint64_t epoch;         /* L */
};

struct pool_thread {
    struct thread thread; /* what w_thread() says there */
    struct pool *pool;
    pthread_t pthread;
    unsigned index;
    struct pool_thread *next; /* L: of those to be joined */
};

struct pool {
    struct weft_runtime *rt;   /* I */
    struct pool_options opts;  /* I */
    struct topo_place *places; /* I: for bound threads */
    struct spin lock;
    struct list jobs;          /* L */
    unsigned threads;          /* L: alive */
    unsigned idle;             /* L: asleep and not yet woken */
    unsigned started;          /* L: threads ever */
    struct pool_thread *dead;  /* L: to be joined */
    bool closing;              /* L */
    struct weft_task *closer;  /* L: waits for the last thread to leave */
    uint64_t closer_epoch;     /* L */
    _Atomic uint32_t bell;     /* futex: rung once for each thread to wake */
    _Atomic uint32_t gone;     /* futex: threads that left */
    _Atomic uint64_t n_jobs;
};

/* ---- threads ----------------------------------------------------------- */

static void join_dead(struct pool *p)
{
    struct pool_thread *d, *next;

    spin_lock(&p->lock);
    d = p->dead;
    p->dead = NULL;
    spin_unlock(&p->lock);
    for (; d; d = next) {
        next = d->next;
        (void)pthread_join(d->pthread, NULL);
        sys_free(d);
    }
}

static void run_job(struct pool *p, struct job *j)
{
    long result = j->fn(j->arg);
    struct weft_task *t = j->task;
    bool claimed;

    add_relaxed(&p->n_jobs, 1);
    spin_lock(&p->lock);
    j->result = result;
    j->done = true;
    claimed = w_claim(t, j->epoch);
    spin_unlock(&p->lock);
    if (claimed)
        w_ready(t); /* and no touch of the job after it */
}

/* Under the lock, which it lets go of while asleep. False: leave. */
static bool wait_for_job(struct pool *p)
{
    int64_t end = p->opts.keepalive < 0 ? -1 : sys_now() + p->opts.keepalive;

    p->idle++;
    while (list_empty(&p->jobs) && !p->closing) {
        uint32_t seen = load_relaxed(&p->bell);
        int64_t left = end < 0 ? -1 : end - sys_now();
        int rc;

        if (end >= 0 && left <= 0)
            break;
        spin_unlock(&p->lock);
        rc = sys_futex_wait(&p->bell, seen, left);
        spin_lock(&p->lock);
        (void)rc;
    }
    p->idle--;
    return !list_empty(&p->jobs);
}

static void set_up(struct pool_thread *me)
{
    struct pool *p = me->pool;

    w_thread_set(&me->thread);
    (void)pthread_setname_np(pthread_self(), p->opts.name);
    if (p->opts.nice)
        (void)sys_setpriority(sys_gettid(), p->opts.nice);
    if (p->places)
        (void)w_topo_bind(p->rt->topo, &p->places[me->index % p->opts.max]);
}

/* Under the lock. */
static bool all_gone(struct pool *p)
{
    return load_seq_cst(&p->gone) == p->started;
}

static void *thread_main(void *arg)
{
    struct pool_thread *me = arg;
    struct pool *p = me->pool;
    struct weft_task *closer = NULL;

    set_up(me);
    spin_lock(&p->lock);
    for (;;) {
        struct list *n = list_pop_front(&p->jobs);

        if (!n && !wait_for_job(p))
            break;
        if (!n)
            continue;
        spin_unlock(&p->lock);
        run_job(p, container_of(n, struct job, node));
        spin_lock(&p->lock);
    }
    p->threads--;
    spin_unlock(&p->lock);
    join_dead(p); /* so that at most one waits to be joined */
    spin_lock(&p->lock);
    me->next = p->dead;
    p->dead = me;
    add_seq_cst(&p->gone, 1);
    sys_futex_wake(&p->gone, INT_MAX);
    if (p->closer && all_gone(p) && w_claim(p->closer, p->closer_epoch))
        closer = p->closer;
    spin_unlock(&p->lock);
    if (closer)
        w_ready(closer);
    return NULL;
}

/* The caller has counted the new thread. 0 or -EAGAIN, -ENOMEM. */
static int start_thread(struct pool *p, unsigned index)
{
    struct pool_thread *me = sys_calloc(1, sizeof *me);
    pthread_attr_t attr;
    int rc;

    if (!me)
        return -ENOMEM;
    me->thread.kind = THREAD_POOL;
    me->thread.rt = p->rt;
    me->pool = p;
    me->index = index;
    (void)pthread_attr_init(&attr);
    /* The creator may be a bound worker. */
    (void)pthread_attr_setaffinity_np(&attr, sizeof p->rt->affinity,
                                      &p->rt->affinity);
    /* The new thread may end, and be freed by another, before this returns. */
    spin_lock(&p->lock);
    rc = sys_thread_create(&me->pthread, &attr, thread_main, me);
    spin_unlock(&p->lock);
    (void)pthread_attr_destroy(&attr);
    if (rc < 0)
        sys_free(me);
    return rc;
}

/* ---- jobs -------------------------------------------------------------- */

/* 0, or why nobody will run it: then it is not queued. */
static int submit(struct pool *p, struct job *j)
{
    bool wake, start;
    unsigned index = 0;
    int rc = 0;

    spin_lock(&p->lock);
    list_push_back(&p->jobs, &j->node);
    wake = p->idle > 0;
    start = !wake && p->threads < p->opts.max;
    if (wake)
        add_relaxed(&p->bell, 1);
    if (start) {
        p->threads++;
        index = p->started++;
    }
    spin_unlock(&p->lock);
    if (wake)
        sys_futex_wake(&p->bell, 1);
    if (!start)
        return 0;
    rc = start_thread(p, index);
    if (rc == 0)
        return 0;
    spin_lock(&p->lock);
    p->threads--;
    p->started--;
    if (p->threads > 0 || !list_linked(&j->node))
        rc = 0; /* the others will come to it */
    else
        list_remove(&j->node);
    spin_unlock(&p->lock);
    return rc;
}

/* The caller was cancelled: drops the job, or waits for its end. */
static long give_up(struct pool *p, struct job *j)
{
    spin_lock(&p->lock);
    if (list_linked(&j->node)) {
        list_remove(&j->node);
        spin_unlock(&p->lock);
        return w_cancel_error(j->task);
    }
    if (!j->done) {
        j->epoch = w_wait_begin_shielded(j->task);
        spin_unlock(&p->lock);
        (void)!w_wait(j->task, "executor");
        return j->result;
    }
    spin_unlock(&p->lock);
    return j->result;
}

long w_pool_call(struct pool *p, struct weft_task *t, weft_fn *fn, void *arg)
{
    struct job j = {.fn = fn, .arg = arg, .task = t};
    int rc = w_wait_begin(t, &j.epoch);

    if (rc)
        return rc;
    rc = submit(p, &j);
    if (rc) {
        w_wait_abort(t);
        return rc;
    }
    if (likely(w_wait(t, p->opts.why)))
        return j.result;
    return give_up(p, &j);
}

/* ---- life -------------------------------------------------------------- */

int w_pool_open(struct pool **out, struct weft_runtime *rt,
                const struct pool_options *opts)
{
    struct pool *p = sys_calloc(1, sizeof *p);

    if (!p)
        return -ENOMEM;
    p->rt = rt;
    p->opts = *opts;
    list_init(&p->jobs);
    if (opts->bind) {
        p->places = sys_calloc(opts->max, sizeof *p->places);
        if (!p->places) {
            sys_free(p);
            return -ENOMEM;
        }
        w_topo_place(rt->topo, opts->max, p->places);
    }
    *out = p;
    return 0;
}

/* Under the lock, which it lets go of. */
static void begin_close(struct pool *p)
{
    p->closing = true;
    add_relaxed(&p->bell, 1);
    spin_unlock(&p->lock);
    sys_futex_wake(&p->bell, INT_MAX);
}

void w_pool_drain(struct pool *p, struct weft_task *t)
{
    uint64_t epoch = w_wait_begin_shielded(t);

    spin_lock(&p->lock);
    if (all_gone(p)) {
        spin_unlock(&p->lock);
        w_wait_abort(t);
        return;
    }
    p->closer = t;
    p->closer_epoch = epoch;
    begin_close(p);
    (void)!w_wait(t, "end of a pool");
}

bool w_pool_is_here(struct pool *p)
{
    struct thread *self = w_thread();

    return self && self->kind == THREAD_POOL &&
           container_of(self, struct pool_thread, thread)->pool == p;
}

void w_pool_close(struct pool *p)
{
    spin_lock(&p->lock);
    begin_close(p);
    for (;;) {
        uint32_t seen = load_seq_cst(&p->gone);
        bool over;

        spin_lock(&p->lock);
        over = all_gone(p);
        spin_unlock(&p->lock);
        if (over)
            break;
        (void)sys_futex_wait(&p->gone, seen, -1);
    }
    join_dead(p);
    sys_free(p->places);
    sys_free(p);
}

unsigned w_pool_threads(struct pool *p)
{
    unsigned n;

    spin_lock(&p->lock);
    n = p->threads;
    spin_unlock(&p->lock);
    return n;
}

uint64_t w_pool_jobs(struct pool *p)
{
    return load_relaxed(&p->n_jobs);
}
