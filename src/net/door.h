/* SPDX-License-Identifier: MIT */
/* The door of a stream or socket: one task may be inside in each direction.
 *
 * Closing while tasks are inside is allowed: the last one out, closer included,
 * frees the object; after that no call may start. The closer sets `closed`,
 * then wakes; who is inside notes the cell's tick, then looks at `closed`: so
 * it either sees it or does not wait. */
#ifndef WEFT_NET_DOOR_H
#define WEFT_NET_DOOR_H

#include "core/poll.h"
#include "core/runtime.h"

struct door {
    struct spin lock;
    bool inside[2];          /* L: by direction */
    bool closing;            /* L: the closer is still at work */
    _Atomic uint32_t closed; /* L to write */
};

static inline bool door_closed(struct door *d)
{
    return load_acquire(&d->closed);
}

/* What every call that may wait begins with. 0, -EPERM or a cancellation. */
static inline W_MUST_CHECK int door_check(void)
{
    struct worker *w = w_worker();

    if (unlikely(!w || !w->current))
        return -EPERM;
    w_budget(w);
    return w_cancel_error(w_current());
}

/* Claims a direction; after 0 the call ends with door_leave. */
static inline W_MUST_CHECK int door_enter(struct door *d, int dir)
{
    int rc = door_check();

    if (unlikely(rc))
        return rc;
    spin_lock(&d->lock);
    if (unlikely(load_relaxed(&d->closed)))
        rc = -EBADF;
    else if (unlikely(d->inside[dir]))
        rc = -EBUSY;
    else
        d->inside[dir] = true;
    spin_unlock(&d->lock);
    return rc;
}

static inline bool door_drop(struct door *d, bool *who)
{
    bool last;

    spin_lock(&d->lock);
    *who = false;
    last = load_relaxed(&d->closed) && !d->inside[0] && !d->inside[1] &&
           !d->closing;
    spin_unlock(&d->lock);
    return unlikely(last);
}

/* True: the caller was the last and frees the object. */
static inline W_MUST_CHECK bool door_leave(struct door *d, int dir)
{
    return door_drop(d, &d->inside[dir]);
}

/* Closes; which directions (1 << DIR_) have a task inside. */
static inline unsigned door_close(struct door *d)
{
    unsigned inside;

    spin_lock(&d->lock);
    store_release(&d->closed, 1);
    d->closing = true;
    inside = (d->inside[DIR_READ] ? 1u << DIR_READ : 0) |
             (d->inside[DIR_WRITE] ? 1u << DIR_WRITE : 0);
    spin_unlock(&d->lock);
    return inside;
}

/* The closer has done with the object. True: he frees it. */
static inline W_MUST_CHECK bool door_closed_by(struct door *d)
{
    return door_drop(d, &d->closing);
}

#endif
