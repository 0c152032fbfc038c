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
 * and its result is returned, so arg may live on the caller's stack.
 * Task, or an executor's thread. -ENOMEM, -EAGAIN (no thread could be had).
 * run_in_executor(ProcessPoolExecutor) */
WEFT_API long weft_compute(weft_fn *fn, void *arg);

/* Runs fn(arg), which may block in the kernel or in a foreign library, on a
 * pool of threads that grows on demand up to options.blocking_threads and
 * shrinks when idle. Otherwise as weft_compute. asyncio.to_thread */
WEFT_API long weft_blocking(weft_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
