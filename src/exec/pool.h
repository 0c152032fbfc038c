/* SPDX-License-Identifier: MIT */
/* A pool of threads that run jobs: the executor and the blocking pool are two
 * of them with different limits.
 *
 * Threads start on demand and leave after `keepalive` without work. A job
 * stands in the frame of the task that waits for it; it is claimed and ended
 * under the pool's lock, so the frame outlives it. */
#ifndef WEFT_EXEC_POOL_H
#define WEFT_EXEC_POOL_H

#include <weft/exec.h>

#include "core/runtime.h"
#include "exec/fork.h"

struct pool_options {
    const char *name;  /* of the threads; lives as long as the pool */
    const char *why;   /* what a caller waits for; static */
    unsigned max;      /* threads */
    int64_t keepalive; /* ns; < 0: they stay */
    int nice;          /* the threads' weight; 0: the creator's */
    bool bind;         /* one core each */
    bool forks;        /* idle threads steal from each other */
    size_t stack;      /* of a thread; 0: the process's default */
};

struct pool;

int w_pool_open(struct pool **out, struct weft_runtime *rt,
                const struct pool_options *opts);
/* Runs what is queued to its end, joins the threads. Blocks. */
void w_pool_close(struct pool *p);
/* The running task t waits until w_pool_close need not. */
void w_pool_drain(struct pool *p, struct weft_task *t);

/* The running task t waits until fn(arg) has run on p. */
long w_pool_call(struct pool *p, struct weft_task *t, weft_fn *fn, void *arg);

/* Is the caller a thread of p? */
bool w_pool_is_here(struct pool *p);

unsigned w_pool_threads(struct pool *p);
uint64_t w_pool_jobs(struct pool *p);

#endif
