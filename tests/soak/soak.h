/* SPDX-License-Identifier: MIT */
/* What the files of weft-soak share: players, the tables of what they can do,
 * and the accounts that must be even whenever the mix has drained.
 *
 * To add something: write a static void function of a player in a mix_*.c and
 * a line for it in that file's table. A scenario
 *   - draws every choice from its player, so that the seed decides;
 *   - may be cancelled or timed out at each waiting call, and may run under a
 *     shield: it must end by itself within some milliseconds;
 *   - asks went() after each waiting call, inside the scope of that call;
 *   - lends what it counts and gives it back, however it is left. */
#ifndef SOAK_H
#define SOAK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdatomic.h>
#include <stdbool.h>
#include <weft.h>

#define LEN(a) (sizeof(a) / sizeof *(a))

/* The error with which things fail on purpose. */
#define ON_PURPOSE (-EXDEV)

/* ---- players ------------------------------------------------------------ */

struct player {
    uint64_t random; /* its generator */
    unsigned depth;  /* players above it */
    bool guest;      /* in a runtime that is about to be closed */
};

/* 0 .. sides - 1. */
uint32_t dice(struct player *p, uint32_t sides);
bool one_in(struct player *p, uint32_t n);
/* Nanoseconds, up to `most` microseconds. */
int64_t moment(struct player *p, uint32_t most);
/* A player of p's with a generator of its own. */
struct player young(struct player *p);

/* Up to `steps` scenarios, none once the task is cancelled. */
void play(struct player *p, unsigned steps);
/* A pause of one kind or another; what it returned. */
int linger(struct player *p);

/* ---- scenarios ---------------------------------------------------------- */

enum {
    NESTS = 1, /* runs players of its own: not below the second level */
    HOME = 2,  /* not in a guest: needs detached tasks to run, or lent things
                * of the home runtime */
    REAL = 4,  /* not in a simulation: threads, processes, signals and
                * descriptors that are not the library's */
};

struct scenario {
    const char *name; /* kind.name */
    unsigned weight;
    void (*run)(struct player *p);
    unsigned flags;
    atomic_ulong done;
};

/* A file of scenarios. open and close, which may be NULL, run in a task at a
 * round's begin and end; what open spawns into services, close ends. */
struct part {
    struct scenario *scenarios;
    size_t n;
    void (*open)(weft_group *services);
    void (*close)(void);
};

extern struct part part_tasks, part_sync, part_work, part_net, part_outside;

/* ---- checks ------------------------------------------------------------- */

/* Tells of a condition that does not hold; the run fails. Returns it. */
#define check(c) soak_check((c), #c, 0, __FILE__, __LINE__)
#define check_rc(c, rc) soak_check((c), #c, rc, __FILE__, __LINE__)
bool soak_check(bool ok, const char *what, long rc, const char *file, int line);

/* True if a call succeeded, false if it was ended by a cancellation or a
 * time-out that is in force here; anything else is a failure of the run. */
#define went(rc) soak_went((rc), #rc, __FILE__, __LINE__)
bool soak_went(long rc, const char *what, const char *file, int line);

/* The network breaks connections, which is no failure then. A simulation's. */
extern bool soak_rough;

static inline bool stopped(long rc)
{
    return rc == -ECANCELED || rc == -ETIMEDOUT;
}

/* What is lent and given back. */
enum account {
    TASKS,
    POSTED,
    CALLBACKS,
    TIMERS,
    DEFERS,
    LOCKS,
    PERMITS,
    ITEMS,
    JOBS,
    RESOURCES,
    ACTORS,
    STREAMS,
    PROCESSES,
    THREADS,
    RUNTIMES,
    ACCOUNTS
};
void lend(enum account a);
void give_back(enum account a);

/* Something to hand on: each is got once by somebody. rank is for the sender.
 */
struct item {
    atomic_int out;
    long rank;
};
struct item *item_out(struct player *p, long rank); /* NULL: all are out */
void item_in(struct item *i);

/* A runtime that the watchdog shall dump too; NULL: no more. */
void soak_guest(weft_runtime *rt);
/* The options of every runtime here. */
struct weft_options soak_options(unsigned workers);

#endif
