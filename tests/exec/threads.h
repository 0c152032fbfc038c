/* SPDX-License-Identifier: MIT */
/* Runtimes whose executor has a given number of threads; tests in an entry for
 * each such number. */
#ifndef TESTS_EXEC_THREADS_H
#define TESTS_EXEC_THREADS_H

#include "support/cases.h"

#define T_THREADS(fn)                                                          \
    T_WITH_(fn, 1, "1 thread"), T_WITH_(fn, 2, "2 threads"),                   \
        T_WITH_(fn, 8, "8 threads")
#define T_REAL_THREADS(fn)                                                     \
    T_REAL_WITH_(fn, 1, "1 thread"), T_REAL_WITH_(fn, 2, "2 threads"),         \
        T_REAL_WITH_(fn, 8, "8 threads")

/* t_run with 2 workers and n executor threads of their weight. */
static inline long t_compute_with(unsigned n, size_t stack, weft_fn *fn,
                                  void *arg)
{
    struct weft_options o = t_options(2);

    o.executor_threads = n;
    o.executor_nice = -1;
    o.executor_stack = stack;
    return t_run_with(o, fn, arg);
}

#endif
