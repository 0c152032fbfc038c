/* SPDX-License-Identifier: MIT */
/* The fork-join engine's threads: what a pool and its threads hold of it. */
#ifndef WEFT_EXEC_FORK_H
#define WEFT_EXEC_FORK_H

#include <weft/fork.h>

#include "core/thread.h"
#include "exec/forkq.h"

enum forker_state { FORKER_ASLEEP, FORKER_LOOKS, FORKER_WORKS };

/* A thread that can fork. W: its thread; the rest is for others too. */
struct forker {
    struct weft_here_ here;   /* W but for bound */
    char *split;              /* W: the oldest private record */
    char *records;            /* W: where they begin; NULL: no room yet */
    size_t room;              /* W: mapped there for it alone */
    struct fork_group *group; /* I */
    uint32_t random;          /* W */
    bool warm;                /* W: forked work came by of late */
    bool taken;               /* L: of the pool */
    _Atomic unsigned pu;      /* L to write: where it is bound */
    alignas(W_ISOLATED) _Atomic uint32_t state; /* enum; W to write */
    _Atomic(struct forker *) waits_for; /* whose end its join waits for */
    _Atomic uint32_t park;              /* futex: its join may go on */
    struct forkq queue;
};

/* The threads of a pool that steal from each other. */
struct fork_group {
    struct forker *forkers;   /* I */
    unsigned n;               /* I */
    void (*more)(void *pool); /* I: one more thread shall search */
    void *pool;               /* I */
    char *records;            /* I: of all forkers */
    size_t room;              /* I: of each, with a guard */
    alignas(W_ISOLATED) _Atomic uint32_t asleep; /* L of the pool to write:
                                                  * threads that could help,
                                                  * asleep or not yet started */
    _Atomic uint32_t searching;                  /* awake, without work */
};

/* records: NULL if it has no room for them as yet. */
void w_forker_init(struct forker *f, struct fork_group *g, unsigned index,
                   char *records);
/* Undoes what such a one's first forks did. */
void w_forker_close(struct forker *f);

/* Makes the forkers of g, each with room for the records of a thread whose
 * stack has so many bytes: address space only. 0 or -ENOMEM. */
int w_fork_group_open(struct fork_group *g, unsigned n, size_t stack);
void w_fork_group_close(struct fork_group *g);

/* Where the room of a forker of its group ends; NULL: it has none yet. */
static inline const char *forker_end(const struct forker *f)
{
    return f->records ? f->records + f->group->room - THREAD_GUARD : NULL;
}

/* The calling thread's; NULL if it is no pool's. */
struct forker *w_forker(void);

/* Around a job that the thread took from its pool's queue. cancelled: non-zero
 * once the job should end early. */
void w_fork_begin(struct forker *f, const _Atomic int *cancelled);
void w_fork_end(struct forker *f);

/* An idle thread looks for work for a while; true: found and did some, false:
 * there is none, or a job is queued. It counts as searching when it comes and
 * when it goes. */
bool w_fork_search(struct forker *f, _Atomic uint32_t *queued);

/* A last look, after it has counted itself as asleep and under the pool's lock:
 * true if there is something to steal. */
bool w_fork_last_look(struct forker *f);

/* A searching thread has found work: wakes another if there may be more. */
void w_fork_found(struct forker *f);

/* A loop begins: its first fork is to be handed out if nothing else is, and
 * another loop may follow it. */
void w_fork_offer(struct forker *f);

static inline bool forker_is_hungry(struct forker *f)
{
    return load_relaxed((_Atomic uintptr_t *)&f->here.bound) == UINTPTR_MAX;
}

static inline int forker_cancelled(struct forker *f)
{
    return load_relaxed((const _Atomic int *)f->here.cancelled);
}

#endif
