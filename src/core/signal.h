/* SPDX-License-Identifier: MIT */
/* The process's signals, told to all who asked for them.
 *
 * One handler stands behind every signal that is watched. It goes through a
 * fixed table of watchers; for each that wants the signal it sets a bit and
 * writes the watcher's eventfd, and that is all: no lock, no memory. Whoever
 * waits does so on the fd, through the poller of its runtime.
 *
 * A watcher's place in the table and its fd must not go away under a handler
 * that runs on another thread:
 *   handler: reads `wanted`; adds to `users`; reads `wanted` again; uses the
 *            place only if it is still wanted; subtracts.
 *   closer:  stores wanted = 0; waits until users == 0; frees fd and place.
 * All of these are sequentially consistent: either the handler's second read
 * sees the 0, or the closer sees the handler among the users. Only handlers
 * that had read `wanted` before the store still come, so the closer's wait is
 * short also in a storm of signals; and none of them runs on the closer's own
 * thread, where a handler ends before the closer goes on.
 *
 * The former action of a signal is kept from its first watcher to the last,
 * whose end restores it, unless the program has put another action over ours
 * meanwhile. A forked child has no watchers: it gets the former actions. */
#ifndef WEFT_CORE_SIGNAL_H
#define WEFT_CORE_SIGNAL_H

#include <pthread.h>
#include <signal.h>

#include "base/atomic.h"
#include "base/base.h"

struct signal_place {
    _Atomic uint64_t wanted;  /* A: bit sig - 1; 0: free, or being closed */
    _Atomic uint64_t pending; /* A: came and was not taken */
    _Atomic uint32_t users;   /* A: handlers that look at it */
    bool taken;               /* L */
    int fd;                   /* I while wanted */
};

/* 0, or -EINVAL for what must not be caught: faults, the monitor's own signal,
 * those that the kernel or the C library keep. */
W_MUST_CHECK int w_signal_check(int sig);

static inline uint64_t signal_bit(int sig)
{
    return UINT64_C(1) << (sig - 1);
}

/* From here on each signal of `wanted` is noted and written to fd. Any thread.
 * 0, -EMFILE (the table is full), -EINVAL. */
W_MUST_CHECK int w_signal_open(struct signal_place **out, uint64_t wanted,
                               int fd);

/* Afterwards nobody writes to the fd. */
void w_signal_close(struct signal_place *s);

/* One that came, the next after signal `last` in the circle; 0 if none. */
int w_signal_take(struct signal_place *s, int last);

/* ---- for interrupt.c --------------------------------------------------- */

/* Over the actions and who holds them; also over interrupt.c's table. */
extern pthread_mutex_t w_signal_lock;
void w_signal_prepare(void); /* before its first use */

/* Under the lock: puts the handler over sig's action. only_default: unless
 * that is anything but SIG_DFL (-EBUSY). The watcher must be found in its
 * table before, and until after the release. */
W_MUST_CHECK int w_signal_hold(int sig, bool only_default);
void w_signal_release(int sig);

#endif
