/* SPDX-License-Identifier: MIT */
/* Between the checker's two halves: engine.c runs threads and enumerates
 * choices, memory.c says what a load may see. */
#ifndef TESTS_MODEL_ENGINE_H
#define TESTS_MODEL_ENGINE_H

#include "model.h"

#define THREADS (M_THREADS + 1) /* 0 is who sets up and checks */
#define LOCS 96                 /* atomic words an execution may touch */

/* What a thread, or a message, knows: of each thread how far it has come, of
 * each word the oldest store that may still be read. */
struct know {
    uint16_t clock[THREADS + 1];
    uint16_t at[LOCS];
};

enum thread_state { READY, PAUSED, ASLEEP, DONE };

struct mthread {
    struct know cur;  /* what it has acquired */
    struct know acq;  /* what an acquire fence would add */
    struct know rel;  /* at its last release fence */
    uint16_t floor[LOCS]; /* newest store when it last paused */
    uint64_t looked[(LOCS + 63) / 64]; /* words loaded since then */
    bool loaded;
    enum thread_state state;
    bool daemon;
    unsigned paused_at; /* stores then */
    void *asleep_on;
    bool timed_out;
    void *sp;
    char *stack;
    void *user; /* w_thread() */
};

extern struct mthread threads[THREADS];
extern unsigned cur;     /* the running thread */
extern unsigned n_threads;
extern unsigned n_stores; /* so far */
extern bool tracing;
extern bool quiet_main; /* setup or check: no choices */
extern const struct m_scenario *scenario;
extern unsigned stale_left;
extern bool all_shared; /* no word is taken for one thread's own */

/* One of n; 0 is what an undisturbed run does. */
unsigned choose(unsigned n);
/* Before each operation that others can notice. */
void sched_point(void);
/* The same before one that only this thread can notice. */
void sched_skip(void);
/* The running thread cannot go on. */
void sched_away(void);
void learned_shared(void);

#define trace(...) (tracing ? trace_line(__VA_ARGS__) : (void)0)
void trace_line(void *pc, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
const char *name_of(const void *p);
void print_trace(void);
void trace_reset(void);

/* The orders as the compiler counts them. */
enum { RELAXED, CONSUME, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST };
enum op { SWAP, ADD, SUB, AND, OR, XOR };

uint64_t memory_load(void *p, unsigned size, int mo, void *pc);
void memory_store(void *p, unsigned size, uint64_t v, int mo, void *pc);
uint64_t memory_rmw(void *p, unsigned size, enum op op, uint64_t v, int mo,
                    void *pc);
bool memory_cas(void *p, unsigned size, uint64_t *expected, uint64_t v, int mo,
                int fail_mo, void *pc);
void memory_fence(int mo, void *pc);
void memory_plain(void *at, size_t n, bool write, void *pc);
/* A volatile access, as a relaxed one: it follows the call. */
void memory_announce(void *p, unsigned size, bool write, void *pc);

void memory_reset(void);
void memory_forget(void);
void memory_start_thread(unsigned t);
void memory_join_all(void);
void know_join(struct know *to, const struct know *from);
/* Before another thread runs: what the compiler told of is done by now. */
void memory_settle(void);
void memory_pause(struct mthread *t, bool *news);
uint32_t memory_newest32(void *p);

#endif
