/* SPDX-License-Identifier: MIT */
/* Signals for tasks: an eventfd that the process's handler writes, and a task
 * that waits for its edges. What came is told by bits, not by the fd, so the
 * fd is never read: each write is an edge. */
#include <weft/net.h>

#include "base/sys.h"
#include "core/poll.h"
#include "core/runtime.h"
#include "core/signal.h"

struct weft_signals {
    struct signal_place *place;
    struct cell *cell;
    int fd;
    int last; /* signal that was told; the one who waits has it */
};

static int set_of(const int *signals, size_t n, uint64_t *set)
{
    *set = 0;
    for (size_t i = 0; i < n; i++) {
        int rc = w_signal_check(signals[i]);

        if (rc < 0)
            return rc;
        *set |= signal_bit(signals[i]);
    }
    return n ? 0 : -EINVAL;
}

static int open_watch(weft_signals *s, const int *signals, size_t n)
{
    uint64_t set;
    int rc = set_of(signals, n, &set);

    if (rc < 0)
        return rc;
    if (sim_here())
        return -ENOTSUP; /* signals are the real kernel's */
    s->last = 0;
    s->fd = sys_eventfd();
    if (s->fd < 0)
        return s->fd;
    rc = w_cell_open(weft_runtime_self(), s->fd, &s->cell);
    if (rc == 0) {
        rc = w_signal_open(&s->place, set, s->fd);
        if (rc < 0)
            w_cell_close(s->cell);
    }
    if (rc < 0)
        (void)sys_close(s->fd);
    return rc;
}

static void close_watch(weft_signals *s)
{
    w_signal_close(s->place); /* no handler writes any more */
    w_cell_close(s->cell);
    (void)sys_close(s->fd);
}

static int wait_edge(struct cell *c, uint32_t seen)
{
    struct weft_task *t = w_current();
    struct waiter x = {.task = t};
    int rc = w_wait_begin(t, &x.epoch);

    if (rc)
        return rc;
    rc = w_cell_enroll(c, 1u << DIR_READ, (uint32_t[2]){seen, seen}, &x);
    if (rc) {
        w_wait_abort(t);
        return rc == 1 ? 0 : rc;
    }
    if (w_wait(t, "signal"))
        return x.status;
    w_cell_withdraw(c, &x);
    return w_cancel_error(t);
}

/* After an error s may be closed already. */
static int next(weft_signals *s)
{
    for (;;) {
        uint32_t seen = cell_tick(s->cell, DIR_READ);
        int sig = w_signal_take(s->place, s->last), rc;

        if (sig) {
            s->last = sig;
            return sig;
        }
        rc = wait_edge(s->cell, seen);
        if (rc < 0)
            return rc;
    }
}

/* The error of a call that must not begin. */
static int refusal(void)
{
    struct worker *w = w_worker();

    if (!w || !w->current)
        return -EPERM;
    w_budget(w);
    return weft_check();
}

int weft_signal_wait(const int *signals, size_t n)
{
    weft_signals s;
    int rc = refusal(), sig;

    if (rc < 0)
        return rc;
    rc = open_watch(&s, signals, n);
    if (rc < 0)
        return rc;
    rc = next(&s);
    if (rc < 0 && (sig = w_signal_take(s.place, 0)) > 0)
        rc = sig; /* it came with the cancellation, and nobody else has it */
    close_watch(&s);
    return rc;
}

int weft_signals_open(weft_signals **out, const int *signals, size_t n)
{
    weft_signals *s;
    int rc;

    if (!weft_runtime_self())
        return -EPERM;
    s = sys_calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    rc = open_watch(s, signals, n);
    if (rc < 0)
        sys_free(s);
    else
        *out = s;
    return rc;
}

int weft_signals_next(weft_signals *s)
{
    int rc = refusal();

    return rc < 0 ? rc : next(s);
}

void weft_signals_close(weft_signals *s)
{
    if (!s)
        return;
    close_watch(s);
    sys_free(s);
}
