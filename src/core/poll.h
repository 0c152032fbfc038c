/* SPDX-License-Identifier: MIT */
/* Readiness: one epoll a worker, edge-triggered, and a cell for each fd.
 *
 * A cell counts edges: tick[READ], tick[WRITE]. A reader notes the tick, tries
 * its system call, and on EAGAIN waits "until the tick is no longer what I
 * saw"; an edge that came in between is then seen under the cell's lock, and
 * none is lost or consumed twice. What travels in epoll_data is (index,
 * generation), so an event of a closed fd never reaches its successor.
 *
 * Any worker may drain another's epoll: events are only tokens. */
#ifndef WEFT_CORE_POLL_H
#define WEFT_CORE_POLL_H

#include <weft/net.h>

#include "core/park.h"
#include "core/timer.h"

struct worker;
struct weft_runtime;

enum { DIR_READ, DIR_WRITE };

struct poller {
    int epoll, event; /* I */
    _Atomic unsigned fds;      /* registered here; a hint */
    _Atomic uint32_t draining; /* A: some thief is at it */
};

struct watch;

struct cell {
    struct spin lock;
    int fd;                      /* L */
    uint32_t index;              /* I */
    uint32_t gen;                /* L */
    _Atomic uint32_t tick[2];    /* L to write */
    _Atomic uint32_t hup;        /* L to write: end or error was signalled */
    bool closed;                 /* L */
    uint32_t interest;           /* L: raw fds: epoll events asked for */
    struct waiter *waiter[2];    /* L */
    struct watch *watch;         /* L */
    struct poller *home;         /* L: NULL: not registered */
    struct cell *next_free;      /* L: table's */
    struct weft_runtime *rt;     /* I */
};

/* Behind weft_watch. */
struct watch {
    struct timer timer;
    _Atomic uint32_t state; /* see poll.c */
    int result;
    uint32_t dirs;
    struct cell *cell;
    weft_fn *fn;
    void *arg;
};
static_assert(sizeof(struct watch) <= sizeof(weft_watch), "weft_watch");

#define CELL_CHUNK 256u
#define CELL_CHUNKS 16384u

/* All cells of a runtime, by index; and which cell a raw fd has. */
struct cell_table {
    struct spin lock;
    struct cell *free;                       /* L */
    unsigned n_chunks;                       /* L */
    _Atomic(struct cell *) chunks[CELL_CHUNKS];
    _Atomic(struct cell *) *raw;             /* by fd; allocated on first use */
    unsigned n_raw;
};

int w_poller_open(struct poller *p);
void w_poller_close(struct poller *p);
void w_poller_wake(struct poller *p);
void w_cells_close(struct cell_table *ct);

/* Polls p: waits up to timeout ns (0: not at all, < 0: for ever), at most max
 * events; ready tasks are appended to *c. Returns the number of events,
 * wake-ups not counted. Worker. */
unsigned w_poller_poll(struct poller *p, struct worker *w, int64_t timeout,
                       unsigned max, struct chain *c);

/* Another worker's, without waiting, unless somebody does so already. */
unsigned w_poller_drain(struct poller *p, struct worker *w, struct chain *c);

/* For fds that the library owns (streams, listeners): registered once, for
 * both directions, when they first wait. 0, -ENOMEM. Any thread. */
W_MUST_CHECK int w_cell_open(struct weft_runtime *rt, int fd,
                             struct cell **out);

/* Deregisters, wakes who waits with -EBADF (a watch fires with it), frees the
 * cell. The caller then closes the fd. */
void w_cell_close(struct cell *c);

/* Note this before the system call that may say EAGAIN. */
static inline uint32_t cell_tick(struct cell *c, int dir)
{
    return load_acquire(&c->tick[dir]);
}

/* The same for a watch of one or both directions. */
static inline uint32_t cell_seen(struct cell *c, uint32_t dirs)
{
    return (dirs & 1u << DIR_READ ? cell_tick(c, DIR_READ) : 0) +
           (dirs & 1u << DIR_WRITE ? cell_tick(c, DIR_WRITE) : 0);
}

/* Waits until the tick is not `seen`. Task. 0, -ECANCELED, -ETIMEDOUT, -EBUSY,
 * -EBADF, -ENOMEM, -ENOSPC. */
W_MUST_CHECK int w_cell_wait(struct cell *c, int dir, uint32_t seen);

/* Waits until either tick is not what was seen. The same results. */
W_MUST_CHECK int w_cell_wait2(struct cell *c, const uint32_t seen[2]);

/* Puts x, a node of a wait that the running task has begun, where an edge of
 * `dirs` (1 << DIR_) finds it. 0, 1 (one came since `seen`), or an error as
 * above; x->status is 0 or -EBADF when it was claimed. */
W_MUST_CHECK int w_cell_enroll(struct cell *c, uint32_t dirs,
                               const uint32_t seen[2], struct waiter *x);
void w_cell_withdraw(struct cell *c, struct waiter *x);

/* Wakes who waits on c, and fires its watch, with `status`. Any thread. */
void w_cell_wake(struct cell *c, int status);

/* Arms w on c: fires once cell_seen(c, dirs) is not `seen` (dirs: 1 << DIR_),
 * or at the deadline. 0 or an error as above; after 0 the watch may have fired
 * already. */
W_MUST_CHECK int w_cell_watch(struct cell *c, struct watch *w, uint32_t dirs,
                              uint32_t seen, int64_t deadline, weft_fn *fn,
                              void *arg);

/* For fds that belong to the user: finds or makes the cell of fd and arms the
 * epoll anew, which costs a system call but is level-triggered and right even
 * if fd was closed and opened again meanwhile. seen[dir]: the ticks before
 * that. 0, 1 (a file that epoll does not take: always ready), -EBADF, -ENOMEM,
 * -ENOSPC. */
W_MUST_CHECK int w_raw_arm(struct weft_runtime *rt, int fd, uint32_t dirs,
                           struct cell **out, uint32_t seen[2]);

/* Forgets the cell of fd, if there is one: who waits gets -EBADF. */
void w_raw_forget(struct weft_runtime *rt, int fd);

/* True: w will not fire. */
bool w_watch_disarm(struct watch *w);

/* Stop: fires every armed watch with -ECANCELED. */
void w_watches_cancel(struct weft_runtime *rt);

#endif
