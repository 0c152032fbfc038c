/* SPDX-License-Identifier: MIT */
/* weft/types.h - the words that every other header uses.
 *
 * Conventions, everywhere in weft:
 *   - int, long and ssize_t results: >= 0 is a value, [-4095, -1] is a negated
 *     errno. errno itself is never set or read: it belongs to a thread, and a
 *     task can continue on another one.
 *   - Times are nanoseconds in int64_t on CLOCK_MONOTONIC.
 *   - Value objects (weft_group, weft_mutex, ...) live in your memory, are
 *     valid when zeroed (those with an init function: after it), need no
 *     destroy, and must not move while in use.
 *   - "Waits": the call may suspend the running task; it is a cancellation
 *     point, takes no time-out (scopes do, see weft_with_timeout), and returns
 *     -EPERM where there is no task to suspend (a thread that is not weft's).
 *     Any waiting call can also return -ENOMEM when no stack can be had.
 */
#ifndef WEFT_TYPES_H
#define WEFT_TYPES_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_VERSION_MAJOR 0
#define WEFT_VERSION_MINOR 1
#define WEFT_VERSION_PATCH 0

#define WEFT_API __attribute__((visibility("default")))
#define WEFT_MUST_CHECK __attribute__((warn_unused_result))
#define WEFT_PRINTF(f, a) __attribute__((format(printf, f, a)))

#define WEFT_NS INT64_C(1)
#define WEFT_US INT64_C(1000)
#define WEFT_MS INT64_C(1000000)
#define WEFT_SEC INT64_C(1000000000)
#define WEFT_MIN (60 * WEFT_SEC)
#define WEFT_NEVER INT64_MAX /* a deadline that does not come */

/* A task, like a system call, takes a word and returns a word. A result in
 * [-4095, -1] means that it failed with that negated errno. */
typedef long weft_fn(void *arg);

/* Owned by the runtime; you hold pointers. */
typedef struct weft_runtime weft_runtime;
typedef struct weft_task weft_task;
typedef struct weft_stream weft_stream;
typedef struct weft_listener weft_listener;
typedef struct weft_pool weft_pool;
typedef struct weft_signals weft_signals;
typedef struct weft_udp weft_udp;
typedef struct weft_process weft_process;
typedef struct weft_depot weft_depot;
typedef struct weft_actor weft_actor;
typedef struct weft_supervisor weft_supervisor;
typedef struct weft_pipeline weft_pipeline;

/* Value objects: yours, opaque, valid when zeroed. */
typedef struct weft_scope {
    uint64_t opaque[14];
} weft_scope;
typedef struct weft_group {
    uint64_t opaque[40];
} weft_group;
typedef struct weft_timer {
    uint64_t opaque[12];
} weft_timer;
typedef struct weft_watch {
    uint64_t opaque[20];
} weft_watch;
typedef struct weft_mutex {
    uint64_t opaque[4];
} weft_mutex;
typedef struct weft_event {
    uint64_t opaque[4];
} weft_event;
typedef struct weft_queue {
    uint64_t opaque[20];
} weft_queue;
typedef struct weft_callback {
    uint64_t opaque[20];
} weft_callback;
typedef struct weft_ticker {
    uint64_t opaque[6];
} weft_ticker;
typedef struct weft_local {
    uint64_t opaque[1];
} weft_local;
typedef struct weft_cond {
    uint64_t opaque[6];
} weft_cond;
typedef struct weft_rwlock {
    uint64_t opaque[8];
} weft_rwlock;
typedef struct weft_sem {
    uint64_t opaque[8];
} weft_sem;
typedef struct weft_barrier {
    uint64_t opaque[10];
} weft_barrier;
typedef struct weft_once_flag {
    uint64_t opaque[8];
} weft_once_flag;
typedef struct weft_future {
    uint64_t opaque[8];
} weft_future;
typedef struct weft_chan {
    uint64_t opaque[18];
} weft_chan;
typedef struct weft_gen {
    uint64_t opaque[72];
} weft_gen;
typedef struct weft_address {
    uint64_t opaque[17];
} weft_address;
typedef struct weft_limiter {
    uint64_t opaque[12];
} weft_limiter;

/* Where a task was spawned: "name\0file:line", one literal for both. */
#define WEFT_STRING_(x) #x
#define WEFT_STRING(x) WEFT_STRING_(x)
#define WEFT_SITE(name) name "\0" __FILE__ ":" WEFT_STRING(__LINE__)

/* The form of every weft_with_ block. The body runs once, or not at all when
 * enter returns NULL. `end` runs when control falls off the block's end,
 * `leave` (a cleanup function) always: after break, return and goto too.
 * `continue` means "end of block". */
#define WEFT_GLUE_(a, b) a##b
#define WEFT_GLUE(a, b) WEFT_GLUE_(a, b)
#define WEFT_WITH_(T, v, enter, end, leave)                                    \
    for (T *v __attribute__((cleanup(leave))) = (enter),                       \
           *WEFT_GLUE(v, once) = v;                                            \
         WEFT_GLUE(v, once); (void)(end), WEFT_GLUE(v, once) = NULL)

/* Runs the block with v, a T *, that `enter` (an expression) gave; not at all
 * if that is NULL. leave(&v), a void function of a T **, runs when the block is
 * left, whichever way; it may wait (see weft_with_shield).
 *     WEFT_WITH(struct conn, c, conn_open(&cfg), conn_leave) { ... } */
#define WEFT_WITH(T, v, enter, leave) WEFT_WITH_(T, v, enter, 0, leave)

/* On a variable: fn(&variable) runs when its block is left. */
#define WEFT_CLEANUP(fn) __attribute__((cleanup(fn)))

/* The library's version as "major.minor.patch". Any thread. */
WEFT_API const char *weft_version(void);

/* Text for a result of weft (negative or positive errno; >= 0: "success" for
 * 0). Never NULL, static memory. Any thread. */
WEFT_API const char *weft_strerror(long code);

#ifdef __cplusplus
}
#endif

#endif
