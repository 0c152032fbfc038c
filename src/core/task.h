/* SPDX-License-Identifier: MIT */
/* task.h - the task record: lock-free state, its memory, its end.
 *
 * What      One record a task, in slabs that stay mapped while the runtime
 *           lives. Two atomic words: `state` says what became of the function,
 *           `wait` (park.h) whether the running function waits.
 * Sources   Tokio's task/state.rs (transitions as functions), Lace (a join that
 *           runs its own child), asyncio for what a task is.
 * Roles     spawner: task_alloc .. first push.   claimer: task_claim.
 *           runner: the thread inside fn.   holder: who has a handle.
 * State     NEW: fn was not started.  QUEUED: an ENTRY_NEW for it is in some
 *           queue.  DONE: result is final.  RELEASED: no handle will be used.
 *           HANDLE: somebody was given one.
 *
 *   spawn              claim                 return
 *   NEW|QUEUED ------> (running / waiting) ------> DONE --> freed when
 *       \--- await runs it: QUEUED stays until      RELEASED and not QUEUED
 *            the stale entry is popped
 *
 *   state          running?  queued?            stack?        moved on by
 *   NEW            no        as ENTRY_NEW       none          claimer
 *   claimed        yes       no                 the worker's  fn
 *   wait != IDLE   no        no                 its own       waker, canceller
 *   woken          no        as plain entry     its own       worker
 *   DONE           no        stale entry maybe  none          last reference
 *
 * Invariants
 *   I1  only one claim of NEW succeeds; a task without HANDLE has one claimer
 *       anyway (its queue entry), which needs no compare-and-swap.
 *   I2  each task has at most one ENTRY_NEW, and a plain entry exists only
 *       between a won wake and the resumption.
 *   I3  the record is freed by whoever adds the last of DONE, RELEASED and
 *       not-QUEUED.
 * Ordering
 *   O1  finish: state or DONE (acq_rel) -> task_done, await: load acquire
 *       (result, failure)
 *       awaiter: waiters, then state or AWAITED -> finish: state or DONE: one of
 *       the two sees the other's bit
 *   O2  release: state or (acq_rel) pairs with the other parties' for reuse of
 *       the record
 * Lifetime  Slabs are never unmapped before the runtime ends: a waker that lost
 *           its race may still read `wait` of a record that was reused.
 * Wrap      See park.h.
 * Progress  wait-free.
 * Rejected  reference counts (three bits tell the same); chaining queue entries
 *           through one link (a stale entry and a live one may both be chained).
 * Checked   tests/cases/test_tasks.c, tests/stress; TSan.
 */
#ifndef WEFT_CORE_TASK_H
#define WEFT_CORE_TASK_H

#include <string.h>
#include <weft/scope.h>
#include <weft/task.h>

#include "base/atomic.h"
#include "base/list.h"
#include "base/spin.h"
#include "core/inject.h"
#include "core/runq.h"

struct weft_runtime;
struct worker;
struct stack;
struct scope;
struct group;
struct waiter;
struct failure;
struct defer;
struct locals;

enum {
    TASK_NEW = 1,
    TASK_QUEUED = 2,
    TASK_DONE = 4,
    TASK_RELEASED = 8,
    TASK_HANDLE = 16,
    TASK_FREE = 32, /* in a slab's free list */
    TASK_LIVE = 64, /* for those who look through the slabs */
    TASK_AWAITED = 128, /* its list of waiters may hold some */
    TASK_APART = 256,   /* has a stack size of its own; never changes */
    TASK_BACKGROUND = 512, /* others first; never changes */
};

/* Tasks that are cancelled together: a group's children, or the detached tasks
 * that one worker spawned. A task links itself when it first suspends. */
struct family {
    _Atomic uint32_t cancelled;
    struct spin lock;
    struct list tasks;   /* L */
    struct group *group; /* I: NULL for detached tasks */
};

/* Tags of the legend: I set before sharing, T the running task (or who holds
 * it claimed), A atomic, L under lock.
 *
 * The first line is all that a task needs which is spawned, run and ended
 * without waiting, perhaps by a thief. Beyond it a free record is zero; who
 * writes there sets one of the flags that make the end of the task look. */
struct weft_task {
    _Atomic uint64_t wait;       /* A: park.h */
    _Atomic uint32_t state;      /* A */
    _Atomic uint32_t attention;  /* A: something may cancel it (park.h) */
    weft_fn *fn;                 /* I */
    void *arg;                   /* I */
    struct family *family;       /* I */
    const char *site;            /* I: "name\0file:line" */
    w_entry link_new;            /* chain link of its ENTRY_NEW */
    _Atomic uint32_t cancelled;  /* A: weft_task_cancel */
    uint32_t flags;              /* T */

    union {
        void *sp;                /* T */
        size_t stack_size;       /* I of an APART task until it starts */
    };
    struct stack *stack;         /* T */
    struct scope *scope;         /* T: innermost */
    w_entry link;                /* chain link of its plain entry */
    const char *why;             /* T: what it waits for */
    uint16_t depth;              /* T: scopes inside each other */
    uint16_t shield;             /* T: depth of the innermost shield, or 0 */
    struct spin lock;            /* waiters */
    struct list sibling;         /* L: family's */

    struct list waiters;         /* L: nodes of who awaits it */
    long result;                 /* T until DONE */
    _Atomic uintptr_t waits_for; /* T: a task, or a group | WAITS_FOR_GROUP */
    struct weft_task *next_handle; /* L: group's */
    struct failure *failure;     /* T until DONE: note, then how it ended */
    struct failure *group_failures; /* T: of groups it left */

    const char *_Atomic reason;  /* A: of the first weft_task_cancel_with */
    struct defer *defers;        /* T: outside of all scopes */
    struct locals *locals;       /* T until DONE */
    _Atomic(char *) name;        /* slab's L to write: the user's, or NULL */
};
static_assert(offsetof(struct weft_task, sp) == 64, "one line");

enum {
    TASK_RUN_CANCELLED = 1, /* I: starts even if cancelled before: it owns
                             * something */
    TASK_LINKED = 4,        /* is in its family's list */
    TASK_NOTED = 8,         /* failure, group_failures or name are set */
    TASK_USED = 16,         /* more than the first line is not zero */
    TASK_LOCALS = 32,       /* locals is set */
    TASK_DEFERS = 64,       /* defers is set */
};

#define NAME_SIZE ((size_t)32)

#define WAITS_FOR_GROUP ((uintptr_t)1) /* for its children */

static inline struct weft_task *waits_for_task(const struct weft_task *t)
{
    uintptr_t x = load_relaxed(&t->waits_for);

    return x & WAITS_FOR_GROUP ? NULL : (struct weft_task *)x;
}

static inline struct group *waits_for_group(const struct weft_task *t)
{
    uintptr_t x = load_relaxed(&t->waits_for);

    return x & WAITS_FOR_GROUP ? (struct group *)(x - WAITS_FOR_GROUP) : NULL;
}

static inline struct weft_task *entry_task(w_entry e)
{
    return (struct weft_task *)(e & ~ENTRY_NEW);
}

static inline w_entry *entry_link(w_entry e)
{
    return e & ENTRY_NEW ? &entry_task(e)->link_new : &entry_task(e)->link;
}

static inline void w_chain_add(struct chain *c, w_entry e)
{
    *entry_link(e) = 0;
    if (c->n++)
        *entry_link(c->last) = e;
    else
        c->first = e;
    c->last = e;
}

/* ---- slabs ------------------------------------------------------------ */

#define SLAB_CHUNK ((size_t)512 * 1024)

struct slab_chunk {
    struct slab_chunk *next; /* L: slab's */
    struct slab *home;       /* I */
    struct weft_runtime *rt; /* I */
    unsigned scratch;        /* W: free records, while trimming */
    bool cold;               /* W: pages given back, not carved */
};

struct slab_region {
    struct slab_region *next;
    void *map;
    char *base;
    size_t used; /* chunks */
};

/* W: the owner, a worker or whoever holds the lock of the foreigners' slab. */
struct slab {
    struct weft_task *free;      /* W: chained through fn */
    size_t n_free;               /* W */
    size_t low;                  /* W: the least n_free of late */
    size_t kept;                 /* W: free records that trimming had to leave */
    struct weft_task *fresh;     /* W: not used since they were carved */
    unsigned n_fresh;            /* W */
    unsigned n_cold;             /* W */
    struct slab_chunk *chunks;   /* L to change */
    struct slab_region *regions; /* W */
    struct weft_task *remote_last; /* W: of what was taken from remote */
    uint64_t epoch;              /* W: first epoch of a zeroed record */
    struct weft_runtime *rt;     /* I */
    struct spin lock;
    alignas(W_ISOLATED) _Atomic(struct weft_task *) remote; /* A */
};

static inline struct slab_chunk *task_chunk(const struct weft_task *t)
{
    return (struct slab_chunk *)((uintptr_t)t & ~(SLAB_CHUNK - 1));
}

static inline struct weft_runtime *task_rt(const struct weft_task *t)
{
    return task_chunk(t)->rt;
}

void w_slab_open(struct slab *s, struct weft_runtime *rt);
void w_slab_close(struct slab *s);
/* Owner. NULL without memory. What is beyond the first line is zero. */
struct weft_task *w_slab_alloc_slow(struct slab *s);
/* Not the owner: gives back n records linked through fn. */
void w_slab_free_remote(struct slab *s, struct weft_task *first,
                        struct weft_task *last, size_t n);
/* Owner, now and then while it has nothing to do: gives the pages of wholly
 * free chunks back if that many records were not needed since the last call. */
void w_slab_trim(struct slab *s);
/* Calls fn for each record that may be a live task. Any thread. */
void w_slab_each(struct slab *s, void (*fn)(struct weft_task *t, void *arg),
                 void *arg);

/* Before a record is freed. */
static inline void task_wipe(struct weft_task *t)
{
    memset(&t->sp, 0, sizeof *t - offsetof(struct weft_task, sp));
}

/* Owner. */
static inline struct weft_task *slab_alloc(struct slab *s)
{
    struct weft_task *t = s->free;

    if (unlikely(!t))
        return w_slab_alloc_slow(s);
    s->free = (struct weft_task *)(void *)t->fn;
    if (--s->n_free < s->low)
        s->low = s->n_free;
    return t;
}

/* Owner; t is of this slab. */
static inline void slab_free(struct slab *s, struct weft_task *t)
{
    store_relaxed(&t->state, TASK_FREE);
    t->fn = (weft_fn *)(void *)s->free;
    s->free = t;
    s->n_free++;
}

/* A fresh record's first line; its state is the caller's to set last. */
static inline void task_init(struct weft_task *t, weft_fn *fn, void *arg,
                             struct family *family, const char *site)
{
    t->fn = fn;
    t->arg = arg;
    t->family = family;
    t->site = site;
    t->flags = 0;
    store_relaxed(&t->attention, 0);
    store_relaxed(&t->cancelled, 0);
}

/* ---- states ----------------------------------------------------------- */

/* Popper of an ENTRY_NEW: true if the task is now the caller's to start; else
 * the entry was stale and the caller owes w_task_stale(t). */
static inline W_MUST_CHECK bool task_claim_entry(struct weft_task *t)
{
    uint32_t s = load_relaxed(&t->state);

    if (!(s & TASK_HANDLE)) { /* I1 */
        store_relaxed(&t->state, s & ~(uint32_t)(TASK_NEW | TASK_QUEUED));
        return true;
    }
    while (s & TASK_NEW)
        if (cas_acq_rel(&t->state, &s,
                        s & ~(uint32_t)(TASK_NEW | TASK_QUEUED)))
            return true;
    return false;
}

/* Holder of a handle: starts t here and now; the entry goes stale. */
static inline W_MUST_CHECK bool task_claim_handle(struct weft_task *t)
{
    uint32_t s = load_relaxed(&t->state);

    while (s & TASK_NEW)
        if (cas_acq_rel(&t->state, &s, s & ~(uint32_t)TASK_NEW))
            return true;
    return false;
}

static inline bool task_is_done(const struct weft_task *t)
{
    return load_acquire(&((struct weft_task *)t)->state) & TASK_DONE; /* O1 */
}

#endif
