/* SPDX-License-Identifier: MIT */
/* Pipelines: a runner, whose group holds the tasks of all stages; a bounded
 * queue before each stage.
 *
 * Where order is kept, a task takes an item and a number under one lock, and
 * results go on in the order of the numbers: a result that is early lies in a
 * ring, and whoever brings the one that is due hands on all that follow it. A
 * permit for each place in the ring, taken before the item and given back when
 * its result is in the next queue, bounds what waits for a slow one.
 *
 * The first error cancels the group. Each task drops what it holds; when all
 * have ended the runner drops what lies in the queues and rings. */
#include <weft/exec.h>
#include <weft/flow.h>
#include <weft/queue.h>
#include <weft/scope.h>
#include <weft/sync.h>
#include <weft/task.h>

#include "base/sys.h"
#include "flow/start.h"
#include "sync/select.h"

struct result {
    void *item; /* NULL: it was filtered out */
    bool ready;
};

struct stage {
    weft_pipeline *p;
    size_t index;
    struct weft_stage o; /* I: defaults filled in */
    weft_queue in;
    void **slots; /* of `in` */
    weft_mutex intake;
    uint64_t next;         /* L: intake: number of the next item */
    _Atomic uint32_t live; /* tasks that have not ended */

    size_t places; /* I: 0: order keeps itself, or need not */
    weft_sem permits;
    struct spin lock;
    struct result *ring; /* L */
    uint64_t due;        /* L: number whose result goes on next */
    bool emitting;       /* L: somebody hands results on */
};

struct weft_pipeline {
    _Atomic uint32_t refs;             /* the handle's, the runner's */
    struct weft_pipeline_options opts; /* I */
    weft_queue out;
    void **out_slots;
    weft_event done;

    struct spin lock;
    weft_group group;   /* the runner's */
    bool open;          /* L: group may be cancelled */
    bool ended;         /* L: and all of it is through */
    _Atomic long error; /* L to write: the first */
    struct stage stages[];
};

/* One call of a stage's function. */
struct job {
    struct stage *s;
    uint64_t number;
    void *out;
    struct weft_batch batch; /* one item, if the stage makes none */
    bool ran;
    int rc;
};

/* ---- memory -------------------------------------------------------------- */

static void unref(weft_pipeline *p)
{
    if (sub_acq_rel(&p->refs, 1) != 1)
        return;
    for (size_t i = 0; i < p->opts.n; i++) {
        sys_free(p->stages[i].slots);
        sys_free(p->stages[i].ring);
    }
    sys_free(p->out_slots);
    sys_free(p);
}

static int init_stage(struct stage *s)
{
    struct weft_stage *o = &s->o;
    int rc;

    if (!o->fn || (unsigned)o->kind > WEFT_STAGE_BLOCKING || o->batch_time < 0)
        return -EINVAL;
    if (!o->parallel)
        o->parallel = 1;
    if (!o->window)
        o->window = o->parallel;
    if (!o->queue)
        o->queue = o->parallel;
    s->slots = sys_calloc(o->queue, sizeof *s->slots);
    if (!s->slots)
        return -ENOMEM;
    rc = weft_queue_init(&s->in, s->slots, o->queue, WEFT_FIFO);
    if (rc || o->unordered || o->parallel == 1)
        return rc;
    s->places = (size_t)o->parallel + o->window;
    s->ring = sys_calloc(s->places, sizeof *s->ring);
    return s->ring ? weft_sem_init(&s->permits, (uint32_t)s->places, 0)
                   : -ENOMEM;
}

static int init(weft_pipeline *p)
{
    int rc = 0;

    for (size_t i = 0; i < p->opts.n && rc == 0; i++) {
        p->stages[i].p = p;
        p->stages[i].index = i;
        p->stages[i].o = p->opts.stages[i];
        rc = init_stage(&p->stages[i]);
    }
    if (rc || !p->opts.output)
        return rc;
    p->out_slots = sys_calloc(p->opts.output, sizeof *p->out_slots);
    return p->out_slots ? weft_queue_init(&p->out, p->out_slots, p->opts.output,
                                          WEFT_FIFO)
                        : -ENOMEM;
}

/* ---- errors -------------------------------------------------------------- */

static void fail(weft_pipeline *p, long code)
{
    spin_lock(&p->lock);
    if (!p->ended && !load_relaxed(&p->error))
        store_release(&p->error, code);
    if (p->open)
        weft_group_cancel(&p->group);
    spin_unlock(&p->lock);
    weft_queue_shutdown(&p->stages[0].in, 0); /* for those who put */
}

static void drop(weft_pipeline *p, void *item, size_t stage)
{
    if (p->opts.drop)
        p->opts.drop(item, stage, p->opts.arg);
}

static void drop_queue(weft_pipeline *p, weft_queue *q, size_t stage)
{
    void *item;

    while (weft_queue_tryget(q, &item) == 0)
        drop(p, item, stage);
}

/* ---- results ------------------------------------------------------------- */

/* Into the next queue. */
static int emit(struct stage *s, void *item)
{
    weft_pipeline *p = s->p;
    size_t to = s->index + 1;
    weft_queue *q = to < p->opts.n ? &p->stages[to].in : &p->out;
    bool wanted = to < p->opts.n || p->opts.output;
    int rc = wanted ? weft_queue_put(q, item) : 0;

    if (!wanted || rc)
        drop(p, item, to);
    return rc;
}

static int emit_in_order(struct stage *s, const struct job *j)
{
    struct result *r;
    int rc = 0, last;

    spin_lock(&s->lock);
    s->ring[j->number % s->places] = (struct result){j->out, true};
    if (s->emitting) {
        spin_unlock(&s->lock);
        return 0;
    }
    s->emitting = true;
    while ((r = &s->ring[s->due % s->places])->ready) {
        void *item = r->item;

        r->ready = false;
        s->due++;
        spin_unlock(&s->lock);
        last = item ? emit(s, item) : 0;
        if (last)
            rc = last;
        (void)weft_sem_release(&s->permits);
        spin_lock(&s->lock);
    }
    s->emitting = false;
    spin_unlock(&s->lock);
    return rc;
}

static int hand_on(struct stage *s, const struct job *j)
{
    if (s->places)
        return emit_in_order(s, j);
    return j->out ? emit(s, j->out) : 0;
}

/* ---- a stage ------------------------------------------------------------- */

/* More of a batch, until it is full, its time has come or there is no more.
 * An error is that of a cancelled pipeline. */
static int fill(struct stage *s, struct job *j)
{
    struct weft_batch *b = &j->batch;
    weft_scope limit;
    int rc = 0;

    memset(&limit, 0, sizeof limit);
    if (s->o.batch_time)
        (void)weft_timeout_enter(&limit, s->o.batch_time);
    while (b->n < s->o.batch && rc == 0) {
        rc = weft_queue_get(&s->in, &b->items[b->n]);
        if (rc == 0)
            b->n++;
    }
    if (s->o.batch_time)
        (void)weft_scope_leave(&limit);
    return rc == -ECANCELED ? rc : 0;
}

/* 0, -ESHUTDOWN at the end; what was taken is in the job in any case. */
static int take(struct stage *s, struct job *j)
{
    bool alone = !s->o.batch && !s->places;
    int rc = alone ? 0 : weft_mutex_lock(&s->intake);

    if (rc)
        return rc;
    rc = weft_queue_get(&s->in, &j->batch.items[0]);
    if (rc == 0) {
        j->batch.n = 1;
        j->number = s->next;
        if (s->o.batch)
            rc = fill(s, j);
        if (rc == 0 && !alone)
            s->next++;
    }
    if (!alone)
        (void)weft_mutex_unlock(&s->intake);
    return rc;
}

static long call(void *arg)
{
    struct job *j = arg;
    struct stage *s = j->s;

    j->ran = true;
    j->rc = s->o.fn(s->o.batch ? (void *)&j->batch : j->batch.items[0], &j->out,
                    s->o.arg);
    return 0;
}

/* 0 or the error of the function, or why it could not be called. */
static int run(struct stage *s, struct job *j)
{
    long rc = 0;

    j->s = s;
    j->out = NULL;
    if (s->o.kind == WEFT_STAGE_COMPUTE)
        rc = weft_compute(call, j);
    else if (s->o.kind == WEFT_STAGE_BLOCKING)
        rc = weft_blocking(call, j);
    else
        rc = call(j);
    if (j->ran)
        rc = j->rc;
    return rc < 0 ? (int)rc : 0;
}

/* The stage's task ends with this error. One that comes of a cancellation is
 * not the first. */
static void failed(struct stage *s, const struct job *j, int rc)
{
    if (rc != -ECANCELED || j->ran)
        fail(s->p, rc);
    for (size_t i = 0; i < j->batch.n; i++)
        drop(s->p, j->batch.items[i], s->index);
}

static int one_item(struct stage *s, struct job *j)
{
    int rc = s->places ? weft_sem_acquire(&s->permits) : 0;

    j->batch.n = 0;
    j->ran = false;
    if (rc == 0)
        rc = take(s, j);
    if (rc == -ESHUTDOWN) {
        if (s->places)
            (void)weft_sem_release(&s->permits);
        return rc;
    }
    if (rc == 0)
        rc = run(s, j);
    if (rc) {
        failed(s, j, rc);
        return rc;
    }
    rc = hand_on(s, j);
    if (rc && rc != -ECANCELED)
        fail(s->p, rc);
    return rc;
}

static long work(void *arg)
{
    struct stage *s = arg;
    weft_pipeline *p = s->p;
    struct job j = {.s = s};
    void *one;

    j.batch.items = &one;
    if (s->o.batch)
        j.batch.items = sys_calloc(s->o.batch, sizeof(void *));
    if (!j.batch.items)
        fail(p, -ENOMEM);
    else
        while (one_item(s, &j) == 0)
            ;
    if (j.batch.items != &one)
        sys_free(j.batch.items);
    /* The last one: no result of this stage is still to come. */
    if (sub_acq_rel(&s->live, 1) == 1) {
        if (s->index + 1 < p->opts.n)
            weft_queue_shutdown(&s[1].in, 0);
        else if (p->opts.output)
            weft_queue_shutdown(&p->out, 0);
    }
    return 0;
}

static long feed(void *arg)
{
    weft_pipeline *p = arg;
    void *item;
    int rc;

    for (;;) {
        item = NULL;
        rc = p->opts.source(&item, p->opts.arg);
        if (rc < 0 || !item)
            break;
        rc = weft_queue_put(&p->stages[0].in, item);
        if (rc) {
            drop(p, item, 0);
            break;
        }
    }
    if (rc < 0 && rc != -ESHUTDOWN)
        fail(p, rc);
    weft_queue_shutdown(&p->stages[0].in, 0);
    return 0;
}

/* ---- the runner ---------------------------------------------------------- */

static int spawn_all(weft_pipeline *p)
{
    int rc = 0;

    for (size_t i = 0; i < p->opts.n; i++)
        store_relaxed(&p->stages[i].live, p->stages[i].o.parallel);
    for (size_t i = 0; i < p->opts.n; i++) {
        struct stage *s = &p->stages[i];
        struct weft_task_options o = {.name = s->o.name};

        for (unsigned k = 0; k < s->o.parallel && rc == 0; k++)
            rc = weft_spawn_task_at(&p->group, work, s, o.name ? &o : NULL,
                                    NULL, WEFT_SITE("stage"));
    }
    return rc == 0 && p->opts.source ? weft_spawn(&p->group, feed, p) : rc;
}

/* After all tasks have ended. */
static void drain(weft_pipeline *p)
{
    for (size_t i = 0; i < p->opts.n; i++) {
        struct stage *s = &p->stages[i];

        weft_queue_shutdown(&s->in, 0);
        drop_queue(p, &s->in, i);
        for (size_t k = 0; k < s->places; k++)
            if (s->ring[k].ready && s->ring[k].item)
                drop(p, s->ring[k].item, i + 1);
    }
}

static long run_all(void *arg)
{
    weft_pipeline *p = arg;
    int rc = 0;

    (void)weft_group_enter(&p->group);
    spin_lock(&p->lock);
    p->open = !load_relaxed(&p->error);
    spin_unlock(&p->lock);
    if (p->open)
        rc = spawn_all(p);
    if (rc)
        fail(p, rc);
    rc = (int)weft_group_wait(&p->group);
    spin_lock(&p->lock);
    p->open = false;
    p->ended = true;
    if (rc && !load_relaxed(&p->error))
        store_release(&p->error, rc);
    spin_unlock(&p->lock);
    (void)weft_group_leave(&p->group);
    drain(p);
    if (p->opts.output)
        weft_queue_shutdown(&p->out, 0);
    weft_event_set(&p->done);
    unref(p);
    return 0;
}

/* ---- handles ------------------------------------------------------------- */

int weft_pipeline_open_at(weft_pipeline **out, weft_group *g,
                          const struct weft_pipeline_options *opts,
                          const char *site)
{
    weft_pipeline *p;
    int rc;

    if (!opts || !opts->stages || opts->n == 0)
        return -EINVAL;
    p = sys_calloc(1, sizeof *p + opts->n * sizeof p->stages[0]);
    if (!p)
        return -ENOMEM;
    p->opts = *opts;
    store_relaxed(&p->refs, 2);
    rc = init(p);
    if (rc == 0)
        rc = spawn_owner(g, run_all, p, NULL, site);
    if (rc) {
        store_relaxed(&p->refs, 1);
        unref(p);
        return rc;
    }
    *out = p;
    return 0;
}

static int why_shut(weft_pipeline *p, int rc)
{
    return rc == -ESHUTDOWN && load_acquire(&p->error) ? -EPIPE : rc;
}

int weft_pipeline_put(weft_pipeline *p, void *item)
{
    if (!item || p->opts.source)
        return -EINVAL;
    return why_shut(p, weft_queue_put(&p->stages[0].in, item));
}

int weft_pipeline_get(weft_pipeline *p, void **item)
{
    if (!p->opts.output)
        return -EINVAL;
    return why_shut(p, weft_queue_get(&p->out, item));
}

void weft_pipeline_finish(weft_pipeline *p)
{
    weft_queue_shutdown(&p->stages[0].in, 0);
}

void weft_pipeline_cancel(weft_pipeline *p)
{
    fail(p, -ECANCELED);
}

/* Uncancellable; after it the runner has nothing more to drop. */
static void wait_done(weft_pipeline *p)
{
    struct waiter x = {.task = w_current()};

    x.epoch = w_wait_begin_shielded(x.task);
    if (w_event_enroll(&p->done, &x))
        w_wait_abort(x.task);
    else
        wait_shielded(x.task, "pipeline close");
}

long weft_pipeline_close(weft_pipeline *p)
{
    void *item;
    long error;
    int rc = 0;

    if (!w_current())
        return -EPERM;
    if (!p->opts.source)
        weft_pipeline_finish(p);
    while (p->opts.output && (rc = weft_queue_get(&p->out, &item)) == 0)
        drop(p, item, p->opts.n);
    if (!p->opts.output)
        rc = weft_event_wait(&p->done);
    if (rc && rc != -ESHUTDOWN)
        fail(p, rc);
    wait_done(p);
    if (p->opts.output)
        drop_queue(p, &p->out, p->opts.n);
    error = load_acquire(&p->error);
    unref(p);
    return error;
}
