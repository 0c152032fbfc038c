/* SPDX-License-Identifier: MIT */
/* Waiting for descriptors that belong to the user. */
#include <weft/net.h>

#include "base/sys.h"
#include "core/poll.h"
#include "core/runtime.h"

#define EVENTS (WEFT_READ | WEFT_WRITE)
static_assert(WEFT_READ == 1 << DIR_READ && WEFT_WRITE == 1 << DIR_WRITE,
              "events are directions");

int weft_fd_wait(int fd, int events)
{
    struct weft_runtime *rt = weft_runtime_self();
    struct worker *w = w_worker();
    struct cell *c;
    uint32_t seen[2];
    int rc, ready = 0;

    if (!rt)
        return -EPERM;
    if (!events || (events & ~EVENTS))
        return -EINVAL;
    w_budget(w);
    rc = weft_check();
    if (rc)
        return rc;
    rc = w_raw_arm(rt, fd, (uint32_t)events, &c, seen);
    if (rc)
        return rc > 0 ? events : rc;
    if (events == EVENTS)
        rc = w_cell_wait2(c, seen);
    else
        rc = w_cell_wait(c, events == WEFT_READ ? DIR_READ : DIR_WRITE,
                         seen[events == WEFT_READ ? DIR_READ : DIR_WRITE]);
    if (rc < 0)
        return rc;
    for (int d = 0; d < 2; d++)
        if ((events >> d & 1) && cell_tick(c, d) != seen[d])
            ready |= 1 << d;
    return ready ? ready : events;
}

void weft_fd_forget(int fd)
{
    struct weft_runtime *rt = weft_runtime_self();

    if (rt)
        w_raw_forget(rt, fd);
}

int weft_fd_watch(weft_watch *wp, int fd, int events, int64_t deadline,
                  weft_fn *fn, void *arg)
{
    struct weft_runtime *rt = weft_runtime_self();
    struct cell *c;
    uint32_t seen[2];
    int rc;

    if (!rt)
        return -EPERM;
    if (!events || (events & ~EVENTS))
        return -EINVAL;
    rc = w_raw_arm(rt, fd, (uint32_t)events, &c, seen);
    if (rc < 0)
        return rc;
    if (rc > 0) /* a plain file is always ready */
        seen[0]--, seen[1]--;
    return w_cell_watch(c, (struct watch *)wp, (uint32_t)events,
                        (events & WEFT_READ ? seen[DIR_READ] : 0) +
                            (events & WEFT_WRITE ? seen[DIR_WRITE] : 0),
                        deadline, fn, arg);
}

int weft_fd_unwatch(weft_watch *w)
{
    return w_watch_disarm((struct watch *)w);
}

int weft_watch_result(const weft_watch *w)
{
    return ((const struct watch *)w)->result;
}
