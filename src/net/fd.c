/* SPDX-License-Identifier: MIT */
/* Descriptors that belong to the user: waiting for them, and the system calls
 * that would. */
#include <weft/net.h>
#include <weft/task.h>

#include "base/sys.h"
#include "net/door.h"
#include "net/sigpipe.h"

#define EVENTS (WEFT_READ | WEFT_WRITE)
static_assert(WEFT_READ == 1 << DIR_READ && WEFT_WRITE == 1 << DIR_WRITE,
              "events are directions");

/* events, or why not; 0: fd is a file that is always ready. */
static int wait_ready(int fd, int events)
{
    struct cell *c;
    uint32_t seen[2];
    int ready = 0;
    int rc = w_raw_arm(weft_runtime_self(), fd, (uint32_t)events, &c, seen);

    if (rc)
        return rc > 0 ? 0 : rc;
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

int weft_fd_wait(int fd, int events)
{
    int rc;

    if (!weft_runtime_self())
        return -EPERM;
    if (!events || (events & ~EVENTS))
        return -EINVAL;
    rc = door_check();
    if (rc == 0) {
        rc = wait_ready(fd, events);
        if (rc == 0)
            rc = events;
    }
    return rc;
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

/* ---- system calls that wait -------------------------------------------- */

/* After EAGAIN. 0: try again. */
static int wait_again(int fd, int event)
{
    int rc = wait_ready(fd, event);

    if (rc == 0) /* not even epoll can tell when */
        return weft_sleep(WEFT_MS);
    return rc < 0 ? rc : 0;
}

ssize_t weft_fd_read(int fd, void *buf, size_t n)
{
    ssize_t rc = door_check();

    while (rc == 0) {
        rc = sys_read(fd, buf, n);
        if (rc == -EINTR)
            rc = 0;
        else if (rc == -EAGAIN)
            rc = wait_again(fd, WEFT_READ);
        else
            break;
    }
    return rc;
}

static ssize_t write_some(int fd, const char *buf, size_t n, bool *socket)
{
    struct sigpipe_guard g;
    ssize_t rc;

    if (*socket) {
        rc = sys_send(fd, buf, n, MSG_NOSIGNAL);
        if (rc != -ENOTSOCK)
            return rc;
        *socket = false;
    }
    guard_enter(&g);
    return guard_leave(&g, sys_write(fd, buf, n));
}

ssize_t weft_fd_write(int fd, const void *buf, size_t n)
{
    ssize_t rc = door_check();
    bool socket = true;
    size_t done = 0;

    while (rc == 0 && done < n) {
        rc = write_some(fd, (const char *)buf + done, n - done, &socket);
        if (rc == -EAGAIN)
            rc = wait_again(fd, WEFT_WRITE);
        else if (rc >= 0 || rc == -EINTR) {
            done += rc > 0 ? (size_t)rc : 0;
            rc = 0;
        }
    }
    return rc < 0 ? rc : (ssize_t)done;
}

int weft_fd_accept(int fd, struct sockaddr *addr, unsigned *len)
{
    int rc = door_check();

    while (rc == 0) {
        int got = sys_accept4(fd, addr, len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (got == -EINTR || got == -ECONNABORTED || got == -EPROTO)
            continue;
        if (got != -EAGAIN)
            return got;
        rc = wait_again(fd, WEFT_READ);
    }
    return rc;
}

/* Until fd is connected or has failed to be. */
static int await_connect(int fd)
{
    int error = 0, rc = wait_again(fd, WEFT_WRITE);
    socklen_t n = sizeof error;

    if (rc == 0)
        rc = sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
    return rc < 0 ? rc : -error;
}

int weft_fd_connect(int fd, const struct sockaddr *addr, unsigned len)
{
    int rc = door_check();

    if (rc)
        return rc;
    rc = sys_connect(fd, addr, len);
    while (rc == -EAGAIN && addr->sa_family == AF_UNIX) {
        /* The listener's queue is full, and nothing will tell when not. */
        rc = weft_sleep(WEFT_MS);
        if (rc == 0)
            rc = sys_connect(fd, addr, len);
    }
    if (rc == -EINPROGRESS || rc == -EINTR || rc == -EALREADY)
        rc = await_connect(fd);
    return rc;
}
