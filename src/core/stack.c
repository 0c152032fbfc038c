/* SPDX-License-Identifier: MIT */
#include "core/stack.h"

#include <string.h>

#include "base/sys.h"
#include "core/context.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* Warm stacks that the pool keeps for all workers: 4 MiB of touched pages. */
#define WARM_MAX 1024
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
    p->size = w_align_up(size < STACK_MIN ? STACK_MIN : size, 4096);
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
    enum guard_kind kind = p->guard;

    if (kind == GUARD_MADVISE) {
        if (sys_madvise(at, STACK_GUARD, MADV_GUARD_INSTALL) == 0)
            return;
        kind = GUARD_MPROTECT;
    }
    if (kind == GUARD_MPROTECT) {
        if (p->guards < MPROTECT_GUARDS_MAX &&
            sys_mprotect(at, STACK_GUARD, PROT_NONE) == 0) {
            p->guards++;
            p->guard = kind;
            return;
        }
        w_warn("further stacks have no guard page (%u have)", p->guards);
    }
    p->guard = GUARD_NONE;
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
    s->limit = m->base + i * m->stride + STACK_GUARD;
    s->top = m->base + (i + 1) * m->stride - (i % COLOURS) * W_ISOLATED;
    guard(p, s->limit - STACK_GUARD);
    fiber_open(&s->fiber, s->limit, (size_t)(s->top - s->limit));
    prepare(p, s);
    return s;
}

struct stack *w_stack_take(struct stack_pool *p)
{
    struct stack *s;

    spin_lock(&p->lock);
    if ((s = p->warm)) {
        p->warm = s->next;
        p->n_warm--;
    } else if ((s = p->cold)) {
        p->cold = s->next;
        prepare(p, s);
    } else {
        s = carve(p);
    }
    spin_unlock(&p->lock);
    if (s)
        add_relaxed(&p->handed, 1);
    return s;
}

static void give_one(struct stack_pool *p, struct stack *s)
{
    spin_lock(&p->lock);
    if (p->n_warm < WARM_MAX) {
        s->next = p->warm;
        p->warm = s;
        p->n_warm++;
        spin_unlock(&p->lock);
        return;
    }
    spin_unlock(&p->lock);
    fiber_clean(&s->fiber, s->limit, (size_t)(s->top - s->limit));
    (void)sys_madvise(s->limit, p->size, MADV_DONTNEED);
    spin_lock(&p->lock);
    s->next = p->cold;
    p->cold = s;
    spin_unlock(&p->lock);
}

void w_stack_give(struct stack_pool *p, struct stack *chain)
{
    while (chain) {
        struct stack *s = chain;

        chain = s->next;
        give_one(p, s);
        sub_relaxed(&p->handed, 1);
    }
}

struct stack *w_stack_single(struct stack_pool *p, size_t size)
{
    struct stack *s = sys_calloc(1, sizeof *s);
    size_t usable = w_align_up(size < STACK_MIN ? STACK_MIN : size, 4096);
    char *base;

    if (!s)
        return NULL;
    base = sys_mmap(usable + STACK_GUARD, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK);
    if (!base) {
        sys_free(s);
        return NULL;
    }
    s->single = true;
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

    assert(s->single);
    fiber_clean(&s->fiber, s->limit, (size_t)(s->top - s->limit));
    fiber_close(&s->fiber);
    sys_munmap(base, (size_t)(s->top - base));
    sys_free(s);
    sub_relaxed(&p->handed, 1);
}
