/* SPDX-License-Identifier: MIT */
/* The simulated machine: threads that take turns, a clock that jumps, files.
 *
 * All of it belongs to one real thread, so nothing here is locked or atomic.
 * A simulated thread is a stack; at each point (struct sim_ops: every call that
 * others can notice) the seed may let another go on. What is to happen later,
 * a time-out or the arrival of a segment, is an event in one heap, ordered by
 * time and then by who came first. Nothing is decided by an address or by the
 * real clock: that is what makes a run repeat. */
#ifndef WEFT_SIM_KERNEL_H
#define WEFT_SIM_KERNEL_H

#include <weft/sim.h>

#include "base/atomic.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/sys.h"
#include "core/fiber.h"
#include "core/thread.h"

struct sim;
struct sim_file;

/* ---- threads ------------------------------------------------------------- */

struct sim_event {
    struct heap_node node; /* key: when */
    bool armed;
    void (*fire)(struct sim *s, struct sim_event *e);
};

struct sim_thread {
    struct list all;
    unsigned id; /* in order of creation */
    char name[16];
    void *(*fn)(void *arg);
    void *arg;

    void *sp;              /* while it does not run */
    struct fiber fiber;    /* of the stack it stands on, likewise */
    struct thread *thread; /* w_thread(), likewise */
    struct fiber own;
    char *map;             /* its own stack; NULL: the caller's */
    size_t bytes;

    unsigned turn;    /* its place among the runnable */
    const void *waits; /* for a word, an epoll file, a thread; NULL: runnable */
    bool timed_out, ended;
    struct sim_event timeout;
};


/* ---- the machine ---------------------------------------------------------- */

struct sim {
    struct sim_seed id;
    struct weft_sim_options opts; /* with what the seed chose */
    uint64_t state[2], hash, steps;
    int64_t now;

    struct list threads;
    struct sim_thread **runnable; /* room for all */
    unsigned n_threads, n_runnable, room, ids;
    struct sim_thread *running, *left; /* left: who ran before */
    struct heap events;

    struct sim_thread main; /* the caller */
    bool main_may_give_up;  /* it waits for the program, not for its end */
    int over;               /* why it was told to */

    struct sim_file **files; /* by number */
    unsigned n_files, n_open;
    struct list sockets, cuts;
    uint16_t port; /* the last given */
};

/* The calling thread's. */
static inline struct sim *sim_self(void)
{
    struct sim_seed *id = w_sim();

    return id ? container_of(id, struct sim, id) : NULL;
}

uint64_t w_sim_random(struct sim *s);
static inline bool sim_one_in(struct sim *s, unsigned n)
{
    return n && w_sim_random(s) % n == 0;
}
/* 0 .. n. */
static inline int64_t sim_up_to(struct sim *s, int64_t n)
{
    return (int64_t)(w_sim_random(s) % (uint64_t)(n + 1));
}

/* One line of the trace. */
void w_sim_trace(struct sim *s, const char *what, int64_t a, int64_t b);
void w_sim_trace_text(struct sim *s, const char *text);

/* Another may go on. */
void w_sim_maybe_switch(struct sim *s);

/* Until someone wakes `key`, or `ns` have passed (< 0: no limit). False:
 * the time was over. */
bool w_sim_wait(struct sim *s, const void *key, int64_t ns);
/* Up to n of those who wait for it, which of them the seed says. */
void w_sim_wake(struct sim *s, const void *key, int n);

void w_sim_event_at(struct sim *s, struct sim_event *e, int64_t when,
                  void (*fire)(struct sim *s, struct sim_event *e));
void w_sim_event_cancel(struct sim *s, struct sim_event *e);

/* s is zeroed but for its options and seed. False: no memory. */
W_MUST_CHECK bool w_sim_machine_open(struct sim *s);
void w_sim_machine_close(struct sim *s);

/* kernel.c's part of struct sim_ops. */
void w_sim_op_point(void);
uint64_t w_sim_op_random(void);
int64_t w_sim_op_now(void);
void w_sim_op_yield(void);
void w_sim_op_sleep(int64_t ns);
int w_sim_op_futex_wait(void *word, uint32_t seen, int64_t ns);
void w_sim_op_futex_wake(void *word, int n);
int w_sim_op_thread_create(pthread_t *out, const pthread_attr_t *a,
                           void *(*fn)(void *), void *arg);
void w_sim_op_thread_join(pthread_t id);
void w_sim_op_thread_name(const char *name);
bool w_sim_op_thread_stack(void **limit, size_t *bytes);

#endif
