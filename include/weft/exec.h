/* SPDX-License-Identifier: MIT */
/* weft/exec.h - work that would hold up a worker: concurrency is not
 * parallelism. The caller is suspended, its worker goes on with other tasks. */
#ifndef WEFT_EXEC_H
#define WEFT_EXEC_H

#include <weft/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Runs fn(arg), which burns CPU, on the executor: one thread a core, at lower
 * weight than the workers. Returns fn's result. fn runs on a plain thread: it
 * may not call what waits, except weft_compute itself, which there is a plain
 * call. If the caller is cancelled, work that has not started is dropped and
 * the result is -ECANCELED (-ETIMEDOUT); work that has started runs to its end
 * (weft_check() tells it to hurry) and its result is returned, so arg may live
 * on the caller's stack.
 * Task, or an executor's thread. -ENOMEM, -EAGAIN (no thread could be had).
 * run_in_executor(ProcessPoolExecutor) */
WEFT_API long weft_compute(weft_fn *fn, void *arg);

/* Runs fn(arg), which may block in the kernel or in a foreign library, on a
 * pool of threads that grows on demand up to options.blocking_threads and
 * shrinks when idle. Otherwise as weft_compute. asyncio.to_thread */
WEFT_API long weft_blocking(weft_fn *fn, void *arg);

/* ---- pools of your own --------------------------------------------------- */

/* Zero in a field means its default. */
struct weft_pool_options {
    const char *name;  /* of the threads, 15 bytes; "weft-pool" */
    unsigned threads;  /* at most; allowed cores */
    int64_t keepalive; /* ns that an idle thread stays; they stay for ever */
    int nice;          /* added to the threads' weight; 0 */
    unsigned bind;     /* non-zero: a core each */
};

/* Threads apart from the runtime's own, started on demand: a database driver
 * that wants one thread, work that must not queue behind other work. *p is
 * yours until weft_pool_close, which must come before the runtime ends; opts may
 * be NULL and is copied. Task. 0, -ENOMEM, -EPERM, -EINVAL (a negative time).
 * ThreadPoolExecutor */
WEFT_API WEFT_MUST_CHECK int weft_pool_open(weft_pool **p,
                                            const struct weft_pool_options *opts);

/* weft_blocking on p. On a thread of p it is a plain call. Task, or p's
 * threads. run_in_executor(p, ...) */
WEFT_API long weft_pool_call(weft_pool *p, weft_fn *fn, void *arg);

/* Starts weft_pool_call(p, fn, arg) as a task of g; t may be NULL. As
 * weft_spawn_task. executor.submit */
#define weft_pool_spawn(p, g, fn, arg, t)                                      \
    weft_pool_spawn_at(p, g, fn, arg, t, WEFT_SITE(#fn))
WEFT_API WEFT_MUST_CHECK int weft_pool_spawn_at(weft_pool *p, weft_group *g,
                                                weft_fn *fn, void *arg,
                                                weft_task **t,
                                                const char *site);

/* Waits until what was queued has run, ends the threads, frees p; nobody may
 * use it any more. Uncancellable. Task. executor.shutdown */
WEFT_API void weft_pool_close(weft_pool *p);

#ifdef __cplusplus
}
#endif

#endif
