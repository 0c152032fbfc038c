/* SPDX-License-Identifier: MIT */
/* Tasks that wait: the rows of asyncio, Go and Tokio. */
#include "peer.h"

#include <stdatomic.h>
#include <unistd.h>

#define BATCH 10000
#define RING 503
#define SIDE 4 /* producers, and consumers */

static long stop(struct run *r, int64_t answer)
{
    r->stop = weft_now();
    r->answer = (uint64_t)answer;
    return 0;
}

static void must(int rc)
{
    CHECK(rc == 0);
}

/* ---- spawning ------------------------------------------------------------- */

struct item {
    long in, out;
};

static long copy(void *arg)
{
    struct item *i = arg;

    i->out = i->in;
    return 0;
}

static long run_spawn(void *arg)
{
    static struct item items[BATCH];
    struct run *r = arg;
    int64_t sum = 0;

    r->start = weft_now();
    for (long done = 0; done < r->size; done += BATCH) {
        long n = r->size - done < BATCH ? r->size - done : BATCH;
        weft_group g;

        weft_with_group(&g)
            for (long i = 0; i < n; i++) {
                items[i].in = done + i;
                must(weft_spawn(&g, copy, &items[i]));
            }
        for (long i = 0; i < n; i++)
            sum += items[i].out;
    }
    return stop(r, sum);
}

static long give(void *arg)
{
    return (long)arg;
}

static long run_spawn_one(void *arg)
{
    struct run *r = arg;
    int64_t sum = 0;

    r->start = weft_now();
    for (long i = 0; i < r->size;) {
        weft_group g;

        weft_with_group(&g)
            for (int k = 0; k < 100 && i < r->size; k++, i++) {
                weft_task *t;

                must(weft_spawn_task(&g, give, (void *)i, &t));
                sum += weft_await(t);
            }
    }
    return stop(r, sum);
}

struct node {
    long first, size;
};

static long skynet(void *arg)
{
    struct node *n = arg, child[10];
    weft_task *t[10];
    weft_group g;
    long sum = 0;

    if (n->size == 1)
        return n->first;
    weft_with_group(&g) {
        for (int i = 0; i < 10; i++) {
            child[i].size = n->size / 10;
            child[i].first = n->first + i * child[i].size;
            must(weft_spawn_task(&g, skynet, &child[i], &t[i]));
        }
        for (int i = 0; i < 10; i++)
            sum += weft_await(t[i]);
    }
    return sum;
}

static long run_skynet_tasks(void *arg)
{
    struct run *r = arg;
    struct node root = {0, r->size};

    r->start = weft_now();
    return stop(r, skynet(&root));
}

/* ---- passing things on ------------------------------------------------------ */

struct line {
    weft_queue q;
    void *slot[1];
};

static void open_line(struct line *l)
{
    must(weft_queue_init(&l->q, l->slot, 1, WEFT_FIFO));
}

struct match {
    struct line to, fro;
    long n;
};

static long returns(void *arg)
{
    struct match *m = arg;

    for (long i = 0; i < m->n; i++) {
        void *ball;

        must(weft_queue_get(&m->to.q, &ball));
        must(weft_queue_put(&m->fro.q, (void *)((long)ball + 1)));
    }
    return 0;
}

static long serves(void *arg)
{
    struct match *m = arg;
    void *ball = NULL;

    for (long i = 0; i < m->n; i++) {
        must(weft_queue_put(&m->to.q, ball));
        must(weft_queue_get(&m->fro.q, &ball));
    }
    return (long)ball;
}

static long run_pingpong(void *arg)
{
    struct run *r = arg;
    struct match m = {.n = r->size};
    weft_task *server;
    long n = 0;
    weft_group g;

    open_line(&m.to);
    open_line(&m.fro);
    r->start = weft_now();
    weft_with_group(&g) {
        must(weft_spawn(&g, returns, &m));
        must(weft_spawn_task(&g, serves, &m, &server));
        n = weft_await(server);
    }
    return stop(r, n);
}

struct post {
    struct line *in, *out;
    int number, *winner;
};

static long passes(void *arg)
{
    struct post *p = arg;
    void *token;

    while (weft_queue_get(&p->in->q, &token) == 0) {
        if ((long)token == 0) {
            *p->winner = p->number;
            return 1;
        }
        if (weft_queue_put(&p->out->q, (void *)((long)token - 1)) < 0)
            break;
    }
    return 0;
}

static long run_ring(void *arg)
{
    static struct line lines[RING];
    static struct post posts[RING];
    struct run *r = arg;
    int winner = 0;
    weft_group g;

    for (int i = 0; i < RING; i++)
        open_line(&lines[i]);
    r->start = weft_now();
    weft_with_group(&g) {
        for (int i = 0; i < RING; i++) {
            posts[i] = (struct post){&lines[i], &lines[(i + 1) % RING], i + 1,
                                     &winner};
            must(weft_spawn(&g, passes, &posts[i]));
        }
        must(weft_queue_put(&lines[0].q, (void *)r->size));
        while (!winner)
            must(weft_sleep(WEFT_MS));
        weft_group_cancel(&g);
    }
    return stop(r, winner);
}

struct hall {
    weft_queue q;
    void *slots[128];
    long n;
    atomic_long number, sum;
};

static long produces(void *arg)
{
    struct hall *h = arg;
    long from = atomic_fetch_add(&h->number, 1) * (h->n / SIDE);

    for (long i = 0; i < h->n / SIDE; i++)
        must(weft_queue_put(&h->q, (void *)(from + i)));
    return 0;
}

static long consumes(void *arg)
{
    struct hall *h = arg;
    long sum = 0;
    void *x;

    for (long i = 0; i < h->n / SIDE; i++) {
        must(weft_queue_get(&h->q, &x));
        sum += (long)x;
    }
    atomic_fetch_add(&h->sum, sum);
    return 0;
}

static long run_mpmc(void *arg)
{
    struct run *r = arg;
    struct hall h = {.n = r->size};
    weft_group g;

    CHECK(r->size % SIDE == 0);
    must(weft_queue_init(&h.q, h.slots, 128, WEFT_FIFO));
    r->start = weft_now();
    weft_with_group(&g)
        for (int i = 0; i < SIDE; i++) {
            must(weft_spawn(&g, produces, &h));
            must(weft_spawn(&g, consumes, &h));
        }
    return stop(r, h.sum);
}

/* ---- turns -------------------------------------------------------------------- */

struct turns {
    long n;
    atomic_long done;
};

static long yields(void *arg)
{
    struct turns *t = arg;

    for (long i = 0; i < t->n; i++)
        must(weft_yield());
    atomic_fetch_add(&t->done, t->n);
    return 0;
}

static long run_yield(void *arg)
{
    struct run *r = arg;
    struct turns t = {.n = r->size};
    weft_group g;

    r->start = weft_now();
    weft_with_group(&g)
        for (unsigned i = 0; i < 2 * r->threads; i++)
            must(weft_spawn(&g, yields, &t));
    return stop(r, t.done);
}

struct room {
    weft_mutex m;
    long each, count;
};

static long enters(void *arg)
{
    struct room *room = arg;

    for (long i = 0; i < room->each; i++) {
        must(weft_mutex_lock(&room->m));
        room->count++;
        must(weft_mutex_unlock(&room->m));
    }
    return 0;
}

static long run_mutex(void *arg)
{
    struct run *r = arg;
    struct room room = {.each = r->size / 8};
    weft_group g;

    CHECK(r->size % 8 == 0);
    r->start = weft_now();
    weft_with_group(&g)
        for (int i = 0; i < 8; i++)
            must(weft_spawn(&g, enters, &room));
    return stop(r, room.count);
}

/* ---- time ------------------------------------------------------------------------ */

static long run_timeouts(void *arg)
{
    struct run *r = arg;
    long n = 0;

    r->start = weft_now();
    for (long i = 0; i < r->size; i++)
        weft_with_timeout(10 * WEFT_SEC)
            n += weft_yield() == 0;
    return stop(r, n);
}

static double resident(void)
{
    long pages = 0, all;
    FILE *f = fopen("/proc/self/statm", "r");

    CHECK(f && fscanf(f, "%ld %ld", &all, &pages) == 2);
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

struct crowd {
    atomic_long n;
};

static long sleeps(void *arg)
{
    struct crowd *c = arg;

    must(weft_sleep(WEFT_SEC));
    atomic_fetch_add(&c->n, 1);
    return 0;
}

static long run_sleepers(void *arg)
{
    static double before; /* the first run's: later ones find memory warm */
    struct run *r = arg;
    struct crowd c = {0};
    weft_group g;

    if (before == 0)
        before = resident();
    r->start = weft_now();
    weft_with_group(&g) {
        for (long i = 0; i < r->size; i++)
            must(weft_spawn(&g, sleeps, &c));
        /* The last ones sleep; the first may have ended. */
        must(weft_sleep(WEFT_SEC / 10));
        r->bytes = (resident() - before) / (double)(r->size - c.n);
    }
    return stop(r, c.n);
}

const struct row task_rows[] = {
    {"spawn", run_spawn},
    {"spawn_one", run_spawn_one},
    {"skynet_tasks", run_skynet_tasks},
    {"pingpong", run_pingpong},
    {"ring", run_ring},
    {"yield", run_yield},
    {"mpmc", run_mpmc},
    {"mutex", run_mutex},
    {"timeouts", run_timeouts},
    {"sleepers", run_sleepers},
    {NULL, NULL},
};
