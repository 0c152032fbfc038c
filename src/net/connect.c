/* SPDX-License-Identifier: MIT */
/* Connecting: each address that a name stands for has its turn. */
#include <weft/task.h>

#include "base/sys.h"
#include "net/stream.h"

/* Until s is connected, or has failed to be. */
static int await_connect(struct weft_stream *s)
{
    uint32_t tick = cell_tick(s->cell, DIR_WRITE);
    int error = 0, rc;
    socklen_t n = sizeof error;

    /* The tick was taken before anything was registered, so the edge of the
     * end of connecting cannot have been missed. */
    rc = w_cell_wait(s->cell, DIR_WRITE, tick);
    if (rc < 0)
        return rc;
    rc = sys_getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n);
    return rc < 0 ? rc : -error;
}

static int connect_one(const struct addr *a, struct weft_stream **out)
{
    struct weft_stream *s;
    int rc, fd = sys_socket(a->sa.sa_family,
                            SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return fd;
    rc = w_stream_make(&s, fd, w_stream_kind(fd, a->sa.sa_family));
    if (rc < 0) {
        (void)sys_close(fd);
        return rc;
    }
    rc = sys_connect(fd, &a->sa, a->len);
    while (rc == -EAGAIN && a->sa.sa_family == AF_UNIX) {
        /* The listener's queue is full, and nothing will tell when not. */
        rc = weft_sleep(WEFT_MS);
        if (rc == 0)
            rc = sys_connect(fd, &a->sa, a->len);
    }
    if (rc == -EINPROGRESS || rc == -EINTR)
        rc = await_connect(s);
    if (rc < 0) {
        weft_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

int weft_connect(weft_stream **out, const char *address)
{
    struct addr a[ADDR_MAX];
    int n, rc = -ENOENT;

    if (!w_current())
        return -EPERM;
    n = w_addr_parse(address, false, a);
    if (n < 0)
        return n;
    for (int i = 0; i < n; i++) {
        rc = connect_one(&a[i], out);
        /* The kernel's own time-out lets the next address have its turn. */
        if (rc == 0 || weft_check() < 0)
            break;
    }
    return rc;
}
