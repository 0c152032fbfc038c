/* SPDX-License-Identifier: MIT */
#include "exec/pool.h"

#include "base/sys.h"

#define STAND_BACK_NS 5000

struct job {
    struct list node; /* linked: not started */
    weft_fn *fn;
    void *arg;
    long result;
    bool done; /* L */
    struct weft_task *task;
    uint64_t epoch;        /* L */
    _Atomic int cancelled; /* why the task wants it to end early */
};

struct pool_thread {
    struct thread thread; /* what w_thread() says there */
    struct pool *pool;
    struct forker *forker;
    pthread_t pthread;
    unsigned index;
    struct pool_thread *next; /* L: of those to be joined */
    struct forker alone; /* where nobody steals */
};

struct pool {
    struct weft_runtime *rt;   /* I */
    struct pool_options opts;  /* I */
    struct topo_place *places; /* I: for bound threads */
    struct spin lock;
    struct list jobs;         /* L */
    unsigned threads;         /* L: alive */
    unsigned idle;            /* L: asleep and not yet woken */
    unsigned tokens;          /* L: of those woken, who has not noticed yet */
    unsigned started;         /* L: threads ever */
    struct pool_thread *dead; /* L: to be joined */
    bool closing;             /* L */
    bool no_threads;          /* L: one could not be had for forked work */
    _Atomic unsigned home;    /* L to write: where the last job came from */
    struct weft_task *closer; /* L: waits for the last thread to leave */
    uint64_t closer_epoch;    /* L */
    _Atomic uint32_t bell;    /* futex: rung once for each thread to wake */
    _Atomic uint32_t gone;    /* futex: threads that left */
    _Atomic uint64_t n_jobs;
    _Atomic uint32_t queued; /* L to write: jobs */
    struct fork_group group; /* opts.forks */
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
        sys_thread_join(d->pthread);
        w_forker_close(&d->alone);
        sys_free(d);
    }
}

static void run_job(struct pool *p, struct pool_thread *me, struct job *j)
{
    struct weft_task *t = j->task;
    bool claimed;
    long result;

    w_fork_begin(me->forker, &j->cancelled);
    result = j->fn(j->arg);
    w_fork_end(me->forker);
    add_relaxed(&p->n_jobs, 1);
    spin_lock(&p->lock);
    j->result = result;
    j->done = true;
    claimed = w_claim(t, j->epoch);
    spin_unlock(&p->lock);
    if (claimed)
        w_ready(t); /* and no touch of the job after it */
}

struct forker *w_forker(void)
{
    struct thread *self = w_thread();

    return likely(self && self->kind == THREAD_POOL)
               ? container_of(self, struct pool_thread, thread)->forker
               : NULL;
}

/* Under the lock, after each change of idle and threads. */
static void count_asleep(struct pool *p)
{
    store_relaxed(&p->group.asleep, p->idle + (p->opts.max - p->threads));
}

/* Under the lock. A thread that is woken or started counts as searching. */
static void call_sleeper(struct pool *p)
{
    p->idle--;
    p->tokens++;
    add_relaxed(&p->bell, 1);
    add_seq_cst(&p->group.searching, 1);
    count_asleep(p);
}

/* Under the lock. */
static struct job *take_job(struct pool *p)
{
    struct list *n = list_pop_front(&p->jobs);

    if (!n)
        return NULL;
    store_relaxed(&p->queued, load_relaxed(&p->queued) - 1);
    return container_of(n, struct job, node);
}

/* Under the lock. */
static void set_state(struct pool_thread *me, enum forker_state s)
{
    store_relaxed(&me->forker->state, s);
}

/* Under the lock. Is there a reason not to sleep (on)? */
static bool is_called(struct pool *p)
{
    if (p->tokens) {
        p->tokens--;
        return true;
    }
    if (list_empty(&p->jobs) && !p->closing)
        return false;
    p->idle--;
    add_seq_cst(&p->group.searching, 1);
    count_asleep(p);
    return true;
}

/* Under the lock, which it lets go of while asleep. False: leave. */
static bool wait_for_job(struct pool *p, struct pool_thread *me)
{
    int64_t end = p->opts.keepalive < 0 ? -1 : sys_now() + p->opts.keepalive;
    bool seen_work;

    p->idle++;
    set_state(me, FORKER_ASLEEP);
    sub_seq_cst(&p->group.searching, 1);
    count_asleep(p);
    seen_work = p->opts.forks && w_fork_last_look(me->forker);
    while (!is_called(p)) {
        uint32_t seen = load_relaxed(&p->bell);
        int64_t left = end < 0 ? -1 : end - sys_now();

        if (seen_work || (end >= 0 && left <= 0)) {
            p->idle--;
            add_seq_cst(&p->group.searching, 1);
            count_asleep(p);
            set_state(me, FORKER_LOOKS);
            return seen_work;
        }
        spin_unlock(&p->lock);
        (void)sys_futex_wait(&p->bell, seen, left);
        spin_lock(&p->lock);
    }
    set_state(me, FORKER_LOOKS);
    return true;
}

/* A job has come, and me, which is awake, could take it at once. But if the
 * thread that shares the core with the job's worker is awake, too, that one
 * shall have it: it runs as soon as the worker parks, finds the data in its
 * caches, and wakes the worker without an interrupt to another core. True: it
 * has taken it. */
static bool stand_back(struct pool *p, struct forker *me)
{
    unsigned home = load_relaxed(&p->home);
    int64_t end = 0;

    if (!p->places || load_relaxed(&me->pu) == home)
        return false;
    for (unsigned i = 0; i < p->group.n; i++) {
        struct forker *f = &p->group.forkers[i];

        if (load_relaxed(&f->pu) == home &&
            load_relaxed(&f->state) == FORKER_LOOKS)
            end = sys_now() + STAND_BACK_NS;
    }
    while (end && sys_now() < end) {
        if (!load_relaxed(&p->queued))
            return true;
        cpu_pause();
    }
    return false;
}

/* Under the lock, which it lets go of meanwhile. False: there was none. */
static bool work(struct pool *p, struct pool_thread *me)
{
    struct job *j = take_job(p);
    bool found = true;

    if (!j && !p->opts.forks)
        return false;
    spin_unlock(&p->lock);
    if (j) {
        w_fork_found(me->forker);
        run_job(p, me, j);
        add_seq_cst(&p->group.searching, 1);
    } else {
        found = w_fork_search(me->forker, &p->queued) ||
                (load_relaxed(&p->queued) && stand_back(p, me->forker));
    }
    spin_lock(&p->lock);
    return found || !list_empty(&p->jobs);
}

/* Under the lock. */
static struct forker *take_forker(struct pool *p, struct pool_thread *me)
{
    for (unsigned i = 0; i < p->group.n; i++)
        if (!p->group.forkers[i].taken) {
            p->group.forkers[i].taken = true;
            return &p->group.forkers[i];
        }
    w_forker_init(&me->alone, &p->group, 0, NULL);
    return &me->alone;
}

static void find_stack(struct thread *t)
{
    void *limit;

    if (sys_thread_stack(&limit, &t->bytes))
        t->limit = limit;
}

static void set_up(struct pool_thread *me)
{
    struct pool *p = me->pool;

    find_stack(&me->thread);
    w_fault_thread_open(&me->thread);
    w_thread_set(&me->thread);
    sys_thread_name(p->opts.name);
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
    me->forker = take_forker(p, me);
    if (p->places)
        store_relaxed(&me->forker->pu,
                      p->places[me->index % p->opts.max].pu);
    set_state(me, FORKER_LOOKS);
    me->thread.cancelled = &me->forker->here.cancelled;
    me->thread.forks_end = forker_end(me->forker);
    do
        while (work(p, me))
            ;
    while (!p->closing && wait_for_job(p, me));
    me->forker->taken = false;
    set_state(me, FORKER_ASLEEP);
    sub_seq_cst(&p->group.searching, 1);
    p->threads--;
    count_asleep(p);
    spin_unlock(&p->lock);
    w_fault_thread_close(&me->thread);
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
    struct pool_thread *me =
        sys_memalign(alignof(struct pool_thread), sizeof *me);
    pthread_attr_t attr;
    int rc;

    if (!me)
        return -ENOMEM;
    memset(me, 0, sizeof *me);
    me->thread.kind = THREAD_POOL;
    me->thread.rt = p->rt;
    me->thread.name = p->opts.name;
    me->pool = p;
    me->index = index;
    (void)pthread_attr_init(&attr);
    /* The creator may be a bound worker. */
    (void)pthread_attr_setaffinity_np(&attr, sizeof p->rt->affinity,
                                      &p->rt->affinity);
    (void)pthread_attr_setguardsize(&attr, THREAD_GUARD);
    if (p->opts.stack)
        (void)pthread_attr_setstacksize(&attr, p->opts.stack);
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

/* Under the lock: counts a thread that will be started. */
static unsigned count_thread(struct pool *p)
{
    p->threads++;
    add_seq_cst(&p->group.searching, 1);
    count_asleep(p);
    return p->started++;
}

/* Under the lock: it was not. True: the bell must be rung, since somebody may
 * have relied on it to search. */
static bool uncount_thread(struct pool *p)
{
    p->threads--;
    p->started--;
    sub_seq_cst(&p->group.searching, 1);
    count_asleep(p);
    if (!p->idle)
        return false;
    call_sleeper(p);
    return true;
}

/* 0, or why nobody will run it: then it is not queued. */
static int submit(struct pool *p, struct job *j)
{
    bool wake, start;
    unsigned index = 0;
    int rc = 0;

    spin_lock(&p->lock);
    list_push_back(&p->jobs, &j->node);
    add_relaxed(&p->queued, 1);
    store_relaxed(&p->home, w_worker()->place.pu);
    wake = p->idle > 0;
    start = !wake && p->threads < p->opts.max;
    if (wake)
        call_sleeper(p);
    if (start)
        index = count_thread(p);
    spin_unlock(&p->lock);
    if (wake)
        sys_futex_wake(&p->bell, 1);
    if (!start)
        return 0;
    rc = start_thread(p, index);
    if (rc == 0)
        return 0;
    spin_lock(&p->lock);
    wake = uncount_thread(p);
    if (p->threads > 0 || !list_linked(&j->node)) {
        rc = 0; /* the others will come to it */
    } else {
        list_remove(&j->node);
        store_relaxed(&p->queued, load_relaxed(&p->queued) - 1);
    }
    spin_unlock(&p->lock);
    if (wake)
        sys_futex_wake(&p->bell, 1);
    return rc;
}

/* Somebody forked, and nobody looks around for work. */
static void more_threads(void *arg)
{
    struct pool *p = arg;
    bool wake, start;
    unsigned index = 0;

    spin_lock(&p->lock);
    wake = p->idle > 0 && !p->closing;
    start = !wake && p->threads < p->opts.max && !p->closing && !p->no_threads;
    if (wake)
        call_sleeper(p);
    if (start)
        index = count_thread(p);
    spin_unlock(&p->lock);
    if (wake)
        sys_futex_wake(&p->bell, 1);
    if (start && start_thread(p, index) < 0) {
        spin_lock(&p->lock);
        wake = uncount_thread(p);
        p->no_threads = true;
        spin_unlock(&p->lock);
        if (wake)
            sys_futex_wake(&p->bell, 1);
    }
}

/* The caller was cancelled: drops the job, or waits for its end. */
static long give_up(struct pool *p, struct job *j)
{
    spin_lock(&p->lock);
    if (list_linked(&j->node)) {
        list_remove(&j->node);
        store_relaxed(&p->queued, load_relaxed(&p->queued) - 1);
        spin_unlock(&p->lock);
        return w_cancel_error(j->task);
    }
    if (!j->done) {
        store_relaxed(&j->cancelled, w_cancel_error(j->task));
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
        return w_refused(rc);
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

static int open_group(struct pool *p)
{
    struct fork_group *g = &p->group;

    g->more = more_threads;
    g->pool = p;
    return w_fork_group_open(g, p->opts.max, p->opts.stack);
}

int w_pool_open(struct pool **out, struct weft_runtime *rt,
                const struct pool_options *opts)
{
    struct pool *p = sys_memalign(alignof(struct pool), sizeof *p);

    if (!p)
        return -ENOMEM;
    memset(p, 0, sizeof *p);
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
    if (opts->forks && open_group(p) < 0) {
        sys_free(p->places);
        sys_free(p);
        return -ENOMEM;
    }
    count_asleep(p);
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
    w_fork_group_close(&p->group);
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
