/* SPDX-License-Identifier: MIT */
#include "core/stack.h"

#include <string.h>

#include "base/sys.h"
#include "core/context.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define MAP_STACKS_FIRST 16
#define MAP_STACKS_MAX 1024
/* vm.max_map_count is 65530 by default; each mprotect guard costs two. */
#define MPROTECT_GUARDS_MAX 24000
/* Stack tops at the same offset of a page would meet in the same cache sets. */
#define COLOURS 8

void w_stack_pool_open(struct stack_pool *p, size_t size, size_t max,
                       void (*entry)(void))
{
    memset(p, 0, sizeof *p);
    /* A page more: the loop's frame and the colour are not the task's. */
    p->size = w_align_up(size < STACK_MIN ? STACK_MIN : size, 4096) + 4096;
    p->max = max;
    p->entry = entry;
    p->next_count = MAP_STACKS_FIRST;
}

void w_stack_pool_close(struct stack_pool *p)
{
    struct stack_map *m = p->maps, *next;

    for (; m; m = next) {
        next = m->next;
        for (unsigned i = 0; i < m->used; i++) {
            if (!m->stacks[i].opened)
                continue;
            fiber_clean(&m->stacks[i].fiber, m->stacks[i].limit,
                        (size_t)(m->stacks[i].top - m->stacks[i].limit));
            fiber_close(&m->stacks[i].fiber);
        }
        sys_munmap(m->base, m->bytes);
        sys_free(m);
    }
    memset(p, 0, sizeof *p);
}

/* A guard is a help, not a need: without one an overflow is undefined. */
static void guard(struct stack_pool *p, void *at)
{
    enum guard_kind kind = load_relaxed(&p->guard);

    if (kind == GUARD_MADVISE) {
        if (sys_madvise(at, STACK_GUARD, MADV_GUARD_INSTALL) == 0)
            return;
        kind = GUARD_MPROTECT;
    }
    if (kind == GUARD_MPROTECT) {
        if (add_relaxed(&p->guards, 1) < MPROTECT_GUARDS_MAX &&
            sys_mprotect(at, STACK_GUARD, PROT_NONE) == 0) {
            store_relaxed(&p->guard, kind);
            return;
        }
        if (swap_acq_rel(&p->guard, GUARD_NONE) != GUARD_NONE)
            w_warn("further stacks have no guard page");
    }
}

static struct stack_map *map_stacks(struct stack_pool *p)
{
    size_t stride = p->size + STACK_GUARD;
    unsigned n = p->next_count;
    struct stack_map *m;

    if (p->max && p->mapped + n > p->max)
        n = (unsigned)(p->max - p->mapped);
    if (!n)
        return NULL;
    m = sys_calloc(1, sizeof *m + n * sizeof m->stacks[0]);
    if (!m)
        return NULL;
    m->bytes = n * stride;
    m->base = sys_mmap(m->bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
                           MAP_STACK);
    if (!m->base) {
        sys_free(m);
        return NULL;
    }
    /* A huge page for each first touch would cost 2 MiB a task. */
    (void)sys_madvise(m->base, m->bytes, MADV_NOHUGEPAGE);
    m->stride = stride;
    m->count = n;
    p->mapped += n;
    if (p->next_count < MAP_STACKS_MAX)
        p->next_count *= 2;
    m->next = p->maps;
    p->maps = m;
    return m;
}

static void prepare(struct stack_pool *p, struct stack *s)
{
    s->sp = context_make(s->top, p->entry);
}

/* Under the lock; the guard is still to come. */
static struct stack *carve(struct stack_pool *p)
{
    struct stack_map *m = p->maps;
    struct stack *s;
    unsigned i;

    if (!m || m->used == m->count) {
        m = map_stacks(p);
        if (!m)
            return NULL;
    }
    i = m->used++;
    s = &m->stacks[i];
    s->map = m;
    s->limit = m->base + i * m->stride + STACK_GUARD;
    s->top = m->base + (i + 1) * m->stride -
             (size_t)(i % COLOURS) * W_ISOLATED;
    s->sp = NULL;
    return s;
}

static struct stack *take_one(struct stack_pool *p)
{
    struct stack *s;

    if ((s = p->warm)) {
        p->warm = s->next;
        store_relaxed(&p->n_warm, load_relaxed(&p->n_warm) - 1);
        if (load_relaxed(&p->n_warm) < p->low)
            p->low = load_relaxed(&p->n_warm);
    } else if ((s = p->cold)) {
        p->cold = s->next;
    } else {
        s = carve(p);
    }
    return s;
}

/* First use, or first since its pages were given back: outside the lock, since
 * it may fault and calls the kernel. */
static void ready(struct stack_pool *p, struct stack *s)
{
    if (s->sp)
        return;
    if (!s->opened) {
        guard(p, s->limit - STACK_GUARD);
        fiber_open(&s->fiber, s->limit, (size_t)(s->top - s->limit));
        s->opened = true;
    }
    prepare(p, s);
}

struct stack *w_stack_take(struct stack_pool *p, unsigned n, unsigned *got)
{
    struct stack *chain = NULL, *s;

    *got = 0;
    spin_lock(&p->lock);
    while (*got < n && (s = take_one(p))) {
        s->next = chain;
        chain = s;
        (*got)++;
    }
    spin_unlock(&p->lock);
    for (s = chain; s; s = s->next)
        ready(p, s);
    add_relaxed(&p->handed, *got);
    return chain;
}

void w_stack_give(struct stack_pool *p, struct stack *chain)
{
    unsigned n = 0;

    spin_lock(&p->lock);
    for (struct stack *s = chain, *next; s; s = next, n++) {
        next = s->next;
        s->next = p->warm;
        p->warm = s;
    }
    store_relaxed(&p->n_warm, load_relaxed(&p->n_warm) + n);
    spin_unlock(&p->lock);
    sub_relaxed(&p->handed, n);
}

/* Under the lock: takes out of the warm list what shall go cold. Mappings that
 * are free as a whole go with one call each; of the others only as many stacks
 * as are too many. */
static struct stack *choose_cold(struct stack_pool *p, bool whole)
{
    struct stack *s, *next, *cold = NULL, *keep = NULL;
    unsigned n = 0;

    for (struct stack_map *m = p->maps; m; m = m->next)
        m->scratch = 0;
    for (s = p->warm; s; s = s->next)
        s->map->scratch++;
    for (s = p->warm; s; s = next) {
        struct stack_map *m = s->map;

        next = s->next;
        if (whole ? m->scratch == m->used : n >= STACK_WARM_MAX) {
            /* What is carved from now on lies beyond. */
            m->cooling = whole ? m->used : 0;
            s->next = cold;
            cold = s;
        } else {
            s->next = keep;
            keep = s;
            n++;
        }
    }
    p->warm = keep;
    store_relaxed(&p->n_warm, n);
    return cold;
}

/* Guards outlive the call. */
static void cool(struct stack_pool *p, struct stack *cold, bool whole)
{
    struct stack *s, *next;

    for (s = cold; s; s = s->next) {
        struct stack_map *m = s->map;

        fiber_clean(&s->fiber, s->limit, (size_t)(s->top - s->limit));
        if (!whole)
            (void)sys_madvise(s->limit, p->size, MADV_DONTNEED);
        else if (m->cooling)
            (void)sys_madvise(m->base, m->cooling * m->stride, MADV_DONTNEED);
        m->cooling = 0;
        s->sp = NULL;
    }
    spin_lock(&p->lock);
    for (s = cold; s; s = next) {
        next = s->next;
        s->next = p->cold;
        p->cold = s;
    }
    spin_unlock(&p->lock);
}

void w_stack_trim(struct stack_pool *p)
{
    bool whole = true, spare;

    if (p->keep || !spin_trylock(&p->trimming))
        return;
    spin_lock(&p->lock);
    spare = p->low > STACK_WARM_MAX;
    p->low = load_relaxed(&p->n_warm);
    spin_unlock(&p->lock);
    while (spare) {
        struct stack *cold;

        spin_lock(&p->lock);
        cold = choose_cold(p, whole);
        spin_unlock(&p->lock);
        cool(p, cold, whole);
        spare = whole && stack_pool_is_rich(p);
        whole = false;
    }
    spin_unlock(&p->trimming);
}

struct stack *w_stack_single(struct stack_pool *p, size_t size)
{
    struct stack *s = sys_calloc(1, sizeof *s);
    size_t usable = w_align_up(size < STACK_MIN ? STACK_MIN : size, 4096) + 4096;
    char *base;

    if (!s)
        return NULL;
    base = sys_mmap(usable + STACK_GUARD, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK);
    if (!base) {
        sys_free(s);
        return NULL;
    }
    s->limit = base + STACK_GUARD;
    s->top = s->limit + usable;
    (void)sys_mprotect(base, STACK_GUARD, PROT_NONE);
    fiber_open(&s->fiber, s->limit, usable);
    prepare(p, s);
    add_relaxed(&p->handed, 1);
    return s;
}

void w_stack_single_free(struct stack_pool *p, struct stack *s)
{
    char *base = s->limit - STACK_GUARD;

    assert(!s->map);
    fiber_clean(&s->fiber, s->limit, (size_t)(s->top - s->limit));
    fiber_close(&s->fiber);
    sys_munmap(base, (size_t)(s->top - base));
    sys_free(s);
    sub_relaxed(&p->handed, 1);
}

/* Resident bytes from the top downwards. */
static size_t touched(const struct stack *s)
{
    uintptr_t page = 4096, top = (uintptr_t)s->top + page - 1;
    uintptr_t p = top &= ~(page - 1);

    while (p > (uintptr_t)s->limit && sys_resident((void *)(p - page), page))
        p -= page;
    return top - p;
}

size_t w_stack_deepest(struct stack_pool *p)
{
    size_t deepest = 0;

    for (struct stack_map *m = p->maps; m; m = m->next)
        for (unsigned i = 0; i < m->used; i++) {
            size_t n = m->stacks[i].opened ? touched(&m->stacks[i]) : 0;

            if (n > deepest)
                deepest = n;
        }
    return deepest;
}
