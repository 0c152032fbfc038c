/* SPDX-License-Identifier: MIT */
/* Who is running: the library's only thread-local variable.
 *
 * A task can continue on another thread, and compilers keep thread-local
 * addresses across a call that switched stacks. w_thread() is therefore an
 * opaque function with a volatile asm on its result; every other form of
 * access was seen to go stale with some compiler. Its result must not be kept
 * across anything that may suspend.
 */
#ifndef WEFT_CORE_THREAD_H
#define WEFT_CORE_THREAD_H

#include "base/base.h"

struct weft_runtime;

enum thread_kind {
    THREAD_WORKER = 1,
    THREAD_POOL,
};

/* First member of whatever stands for a thread of ours. */
struct thread {
    enum thread_kind kind;
    struct weft_runtime *rt;
    void *signal_stack;
    /* Of a pool's: what it is called and where its own stack ends. */
    const char *name;
    char *limit; /* lowest byte that may be used; NULL: not known */
    size_t bytes;
    const char *forks_end; /* likewise, of its forked children; or NULL */
    /* Of a pool's: non-zero once the work it runs should end early. */
    const int *const *cancelled;
};

#define THREAD_GUARD ((size_t)65536) /* below limit, and from forks_end */

/* NULL on threads that are not ours. */
W_OPAQUE struct thread *w_thread(void);
void w_thread_set(struct thread *t);

#endif
