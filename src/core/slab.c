/* SPDX-License-Identifier: MIT */
/* Memory of task records. Regions of 4 MiB are cut in aligned chunks, so that
 * a record finds its slab by its address. A record freed by another thread goes
 * to its slab through one atomic list that the owner empties at once: no pop,
 * hence no ABA. */
#include "base/sys.h"
#include "core/runtime.h"

#define REGION ((size_t)4 << 20)
#define TRIM_FREE 512u /* free records under which nothing is trimmed */
/* Records of pages that were given back start over with an epoch that no stale
 * token can still mean: more waits apart than a token can live through. */
#define EPOCH_STEP (UINT64_C(1) << 24)

static unsigned chunk_records(void)
{
    return (SLAB_CHUNK - w_align_up(sizeof(struct slab_chunk), W_CACHE_LINE)) /
           sizeof(struct weft_task);
}

static struct weft_task *chunk_first(struct slab_chunk *c)
{
    return (void *)((char *)c +
                    w_align_up(sizeof(struct slab_chunk), W_CACHE_LINE));
}

void w_slab_open(struct slab *s, struct weft_runtime *rt)
{
    s->rt = rt;
    s->epoch = 1;
}

void w_slab_close(struct slab *s)
{
    struct slab_region *r = s->regions, *next;

    for (; r; r = next) {
        next = r->next;
        sys_munmap(r->map, REGION + SLAB_CHUNK);
        sys_free(r);
    }
    s->regions = NULL;
}

static struct slab_chunk *map_chunk(struct slab *s)
{
    struct slab_region *r = s->regions;
    struct slab_chunk *c;

    if (!r || r->used == REGION / SLAB_CHUNK) {
        r = sys_calloc(1, sizeof *r);
        if (!r)
            return NULL;
        r->map = sys_mmap(REGION + SLAB_CHUNK, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
        if (!r->map) {
            sys_free(r);
            return NULL;
        }
        (void)sys_madvise(r->map, REGION + SLAB_CHUNK, MADV_NOHUGEPAGE);
        r->base = (char *)w_align_up((uintptr_t)r->map, SLAB_CHUNK);
        r->next = s->regions;
        s->regions = r;
    }
    c = (void *)(r->base + r->used++ * SLAB_CHUNK);
    c->home = s;
    c->rt = s->rt;
    return c;
}

static bool new_chunk(struct slab *s)
{
    struct slab_chunk *c;

    for (c = s->chunks; c && !c->cold; c = c->next)
        ;
    if (c) {
        c->cold = false;
        s->n_cold--;
    } else {
        c = map_chunk(s);
        if (!c)
            return false;
        spin_lock(&s->lock);
        c->next = s->chunks;
        s->chunks = c;
        spin_unlock(&s->lock);
    }
    s->fresh = chunk_first(c);
    s->n_fresh = chunk_records();
    return true;
}

/* Records come back in lots. The first of a lot knows how many there are and
 * which is the last, so that taking them walks lots, not records, whose lines
 * are still in another core's cache. */
static bool take_remote(struct slab *s)
{
    struct weft_task *t;

    if (!load_relaxed(&s->remote))
        return false;
    s->free = swap_acquire(&s->remote, NULL);
    s->n_free = 0;
    s->low = 0;
    for (t = s->free; t; t = (struct weft_task *)(void *)t->fn) {
        s->n_free += (uintptr_t)t->arg;
        t = (struct weft_task *)(void *)t->family;
        s->remote_last = t;
    }
    return s->free != NULL;
}

struct weft_task *w_slab_alloc_slow(struct slab *s)
{
    struct weft_task *t;

    if (s->n_fresh == 0) {
        if (take_remote(s))
            return slab_alloc(s);
        if (!new_chunk(s))
            return NULL;
    }
    s->n_fresh--;
    t = s->fresh++;
    if (!WAIT_EPOCH(load_relaxed(&t->wait)))
        store_relaxed(&t->wait, s->epoch << WAIT_EPOCH_SHIFT);
    return t;
}

void w_slab_free_remote(struct slab *s, struct weft_task *first,
                        struct weft_task *last, size_t n)
{
    struct weft_task *head = load_relaxed(&s->remote);

    first->arg = (void *)(uintptr_t)n;
    first->family = (struct family *)(void *)last;
    do
        last->fn = (weft_fn *)(void *)head;
    while (!cas_release(&s->remote, &head, first));
}

/* Splits the free list: records of chunks that are free as a whole are
 * forgotten, and their pages, but for the header's, given back. */
static void drop_free_chunks(struct slab *s)
{
    struct weft_task *t = s->free, *next;
    unsigned all = chunk_records();

    s->free = NULL;
    s->n_free = 0;
    for (; t; t = next) {
        next = (struct weft_task *)(void *)t->fn;
        if (task_chunk(t)->scratch == all)
            continue;
        t->fn = (weft_fn *)(void *)s->free;
        s->free = t;
        s->n_free++;
    }
    for (struct slab_chunk *c = s->chunks; c; c = c->next) {
        if (c->scratch == all && !c->cold) {
            (void)sys_madvise((char *)c + 4096, SLAB_CHUNK - 4096,
                              MADV_DONTNEED);
            c->cold = true;
            s->n_cold++;
        }
        c->scratch = 0;
    }
    s->epoch += EPOCH_STEP;
}

static void gather_remote(struct slab *s)
{
    struct weft_task *had = s->free;
    size_t n = s->n_free, low = s->low;

    if (!take_remote(s))
        return;
    s->low = low;
    s->remote_last->fn = (weft_fn *)(void *)had;
    s->n_free += n;
}

void w_slab_trim(struct slab *s)
{
    gather_remote(s);
    if (s->low > s->kept + TRIM_FREE) {
        for (struct weft_task *t = s->free; t;
             t = (struct weft_task *)(void *)t->fn)
            task_chunk(t)->scratch++;
        drop_free_chunks(s);
        s->kept = s->n_free;
    }
    if (s->kept > s->n_free)
        s->kept = s->n_free;
    s->low = s->n_free;
}

void w_slab_each(struct slab *s, void (*fn)(struct weft_task *t, void *arg),
                 void *arg)
{
    struct slab_chunk *c;

    spin_lock(&s->lock);
    c = s->chunks;
    spin_unlock(&s->lock);
    for (; c; c = c->next) {
        struct weft_task *t = chunk_first(c);

        for (unsigned i = chunk_records(); i--; t++)
            if (load_acquire(&t->state) & TASK_LIVE)
                fn(t, arg);
    }
}
