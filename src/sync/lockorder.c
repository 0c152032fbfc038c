/* SPDX-License-Identifier: MIT */
/* Whoever takes B while holding A says "A before B". When somebody says the
 * opposite, perhaps through others between, the program can deadlock although
 * it has not yet; that is told once a pair, with both tasks. Locks are known by
 * their address: one that is freed and another one made in its place are taken
 * for the same. All under one lock; debug mode only. */
#include "sync/lockorder.h"

#include <stdio.h>

#include "base/sys.h"
#include "core/runtime.h"

#define BUCKETS 1024u
#define HELD_MAX 16
#define EDGES_MAX 100000u
#define DEPTH_MAX 64u

struct held {
    struct held *next;
    const struct weft_task *task;
    unsigned n;
    const void *lock[HELD_MAX]; /* further ones are not followed */
};

struct edge {
    struct edge *next;
    const void *from, *to;
    uint64_t visited; /* the last search that came through */
    char task[32];    /* who said so first */
};

static struct spin graph_lock;
static struct held *helds[BUCKETS];
static struct edge *edges[BUCKETS];
static unsigned n_edges;
static uint64_t searches;

static unsigned bucket(const void *p)
{
    return (unsigned)(((uintptr_t)p >> 4) * UINT64_C(0x9e3779b97f4a7c15) >>
                      54) % BUCKETS;
}

static struct held **find_held(const struct weft_task *t)
{
    struct held **p = &helds[bucket(t)];

    while (*p && (*p)->task != t)
        p = &(*p)->next;
    return p;
}

/* The first edge of a way from `from` to `to`, or NULL. */
static struct edge *find_way(const void *from, const void *to, unsigned depth)
{
    for (struct edge *e = edges[bucket(from)]; e; e = e->next) {
        if (e->from != from || e->visited == searches)
            continue;
        e->visited = searches;
        if (e->to == to || (depth && find_way(e->to, to, depth - 1)))
            return e;
    }
    return NULL;
}

static bool is_known(const void *from, const void *to)
{
    for (struct edge *e = edges[bucket(from)]; e; e = e->next)
        if (e->from == from && e->to == to)
            return true;
    return false;
}

static void add_edge(const struct weft_task *t, const void *from,
                     const void *to)
{
    struct edge *e, *other;

    if (is_known(from, to))
        return;
    searches++;
    other = find_way(to, from, DEPTH_MAX);
    if (other)
        w_warn("lock order: task %s (spawned at %s) takes lock %p while it "
               "holds %p; task %s did it the other way round",
               weft_task_name(t), weft_task_site(t), to, from, other->task);
    e = n_edges < EDGES_MAX ? sys_malloc(sizeof *e) : NULL;
    if (!e)
        return;
    n_edges++;
    *e = (struct edge){.next = edges[bucket(from)], .from = from, .to = to};
    snprintf(e->task, sizeof e->task, "%s", weft_task_name(t));
    edges[bucket(from)] = e;
}

static void hold(struct weft_task *t, const void *lock, bool ordered)
{
    struct held **p, *h;

    spin_lock(&graph_lock);
    p = find_held(t);
    h = *p;
    if (!h && (h = sys_calloc(1, sizeof *h))) {
        h->task = t;
        *p = h;
    }
    for (unsigned i = 0; ordered && h && i < h->n; i++)
        if (h->lock[i] != lock)
            add_edge(t, h->lock[i], lock);
    if (h && h->n < HELD_MAX)
        h->lock[h->n++] = lock;
    spin_unlock(&graph_lock);
}

void w_lock_order_take(struct weft_task *t, const void *lock)
{
    hold(t, lock, true);
}

void w_lock_order_got(struct weft_task *t, const void *lock)
{
    hold(t, lock, false);
}

void w_lock_order_drop(struct weft_task *t, const void *lock)
{
    struct held **p, *h;

    spin_lock(&graph_lock);
    p = find_held(t);
    h = *p;
    for (unsigned i = h ? h->n : 0; i--;)
        if (h->lock[i] == lock) {
            h->lock[i] = h->lock[--h->n];
            break;
        }
    if (h && !h->n) {
        *p = h->next;
        sys_free(h);
    }
    spin_unlock(&graph_lock);
}
