/* SPDX-License-Identifier: MIT */
/* Stacks: carved from large mappings, guarded, cached.
 *
 * Every stack begins with a frame of the worker's loop. A stack in a cache is
 * a loop that waits to go on (sp), so taking one and switching to it is all
 * that a worker needs to leave a suspended task behind.
 *
 * The descriptor stands outside the stack: a stack whose pages were given back
 * to the kernel must still be known.
 */
#ifndef WEFT_CORE_STACK_H
#define WEFT_CORE_STACK_H

#include "base/atomic.h"
#include "base/base.h"
#include "base/spin.h"
#include "core/fiber.h"

struct stack {
    struct stack *next;
    void *sp;         /* the loop's context while nobody runs here */
    char *limit;      /* lowest byte that may be used */
    char *top;        /* one past the highest */
    bool opened;      /* has its guard */
    struct stack_map *map; /* NULL: a mapping of its own, never cached */
    struct fiber fiber;
};

enum guard_kind {
    GUARD_MADVISE, /* splits no mapping: Linux 6.13 */
    GUARD_MPROTECT,
    GUARD_NONE,
};

/* A mapping with the descriptors of its stacks. Never unmapped before the
 * runtime ends. */
struct stack_map {
    struct stack_map *next;
    char *base;
    size_t bytes, stride;
    unsigned count, used; /* L: pool's lock; used: ever handed out */
    unsigned scratch;     /* L: warm stacks, while trimming */
    unsigned cooling;     /* the trimmer's: stacks whose pages it gives back */
    struct stack stacks[];
};

struct stack_pool {
    struct spin lock;
    size_t size;          /* I: usable bytes of a stack */
    size_t max;           /* I: stacks in all, 0: no limit */
    void (*entry)(void);  /* I: the loop */
    struct stack *warm;   /* L: pages resident, loop context valid */
    unsigned low;         /* L: the least n_warm of late */
    struct stack *cold;   /* L: pages given back */
    _Atomic unsigned n_warm; /* L to write */
    size_t mapped;        /* L */
    unsigned next_count;  /* L: stacks in the next mapping */
    struct spin trimming; /* one at a time */
    _Atomic unsigned guards; /* mprotect guards so far */
    _Atomic(enum guard_kind) guard;
    struct stack_map *maps; /* L */
    bool keep;            /* I: trims nothing */
    _Atomic size_t handed; /* in use or in a worker's cache */
};

/* No smaller than what -fstack-clash-protection takes for granted: code that
 * is built with it touches larger frames in steps of this (gcc: a page, and 64
 * KiB on aarch64), so that none steps over. */
#ifdef __aarch64__
#define STACK_GUARD ((size_t)65536)
#else
#define STACK_GUARD ((size_t)16384)
#endif
#define STACK_DEFAULT ((size_t)256 * 1024)
#define STACK_MIN ((size_t)32 * 1024)
/* 4 MiB of touched pages. */
#define STACK_WARM_MAX 1024u

void w_stack_pool_open(struct stack_pool *p, size_t size, size_t max,
                       void (*entry)(void));
void w_stack_pool_close(struct stack_pool *p);

/* At most n, chained through next; NULL when there is no memory or the limit
 * is reached. *got: how many. Any thread. */
struct stack *w_stack_take(struct stack_pool *p, unsigned n, unsigned *got);
/* Gives back a chain. Any thread. */
void w_stack_give(struct stack_pool *p, struct stack *chain);

/* More warm stacks than the pool should keep while nobody needs them? */
static inline bool stack_pool_is_rich(struct stack_pool *p)
{
    return load_relaxed(&p->n_warm) > STACK_WARM_MAX;
}

/* Now and then by somebody idle: gives pages of warm stacks back to the kernel
 * if that many were not needed since the last call. */
void w_stack_trim(struct stack_pool *p);

/* The most bytes that any stack of the pool had touched, in whole pages; what
 * was trimmed is forgotten. When nobody uses the pool. */
size_t w_stack_deepest(struct stack_pool *p);

/* A stack of `size` bytes in a mapping of its own. */
struct stack *w_stack_single(struct stack_pool *p, size_t size);
void w_stack_single_free(struct stack_pool *p, struct stack *s);

#endif
