/* SPDX-License-Identifier: MIT */
/* The end of a pool thread's stack: a message, then the signal takes its
 * course. What core/fault.c does for tasks; its handler is asked next. */
#ifndef WEFT_EXEC_OVERFLOW_H
#define WEFT_EXEC_OVERFLOW_H

#include <stddef.h>

#define OVERFLOW_GUARD ((size_t)65536)

struct overflow {
    char *limit; /* lowest byte that may be used; NULL: not known */
    size_t bytes;
    const char *name; /* of the thread */
    void *signal_stack;
};

/* The process's handler, counted. */
void w_overflow_open(void);
void w_overflow_close(void);

/* The calling thread's. */
void w_overflow_thread_open(struct overflow *o, const char *name);
void w_overflow_thread_close(struct overflow *o);

/* The calling thread's, NULL if it is no pool's. In a signal's handler. */
struct overflow *w_overflow_self(void);

#endif
