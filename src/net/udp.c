/* SPDX-License-Identifier: MIT */
/* Datagrams. As in streams each call tries the system call first and waits for
 * an edge after EAGAIN; nothing is buffered here. */
#include <netinet/in.h>
#include <string.h>

#include "base/sys.h"
#include "net/addr.h"
#include "net/door.h"

struct weft_udp {
    int fd;            /* I */
    struct cell *cell; /* I */
    struct door door;
};

/* ---- life -------------------------------------------------------------- */

/* local or peer may be NULL, not both. A descriptor or an error. */
static int open_socket(const struct addr *local, const struct addr *peer)
{
    int rc = 0, fd = sys_socket((peer ? peer : local)->sa.sa_family,
                                SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return fd;
    if (local)
        rc = sys_bind(fd, &local->sa, local->len);
    if (rc == 0 && peer)
        rc = sys_connect(fd, &peer->sa, peer->len);
    if (rc == 0)
        return fd;
    (void)sys_close(fd);
    return rc;
}

/* Of the addresses each that fits the other side's family has its turn. */
static int open_any(const struct addr *local, int n_local,
                    const struct addr *peer, int n_peer)
{
    int fd = -EAFNOSUPPORT;

    for (int i = 0; i < n_local && !n_peer && fd < 0; i++)
        fd = open_socket(&local[i], NULL);
    for (int i = 0; i < n_peer && !n_local && fd < 0; i++)
        fd = open_socket(NULL, &peer[i]);
    for (int i = 0; i < n_peer; i++)
        for (int k = 0; k < n_local && fd < 0; k++)
            if (local[k].sa.sa_family == peer[i].sa.sa_family)
                fd = open_socket(&local[k], &peer[i]);
    return fd;
}

/* How many; paths of Unix sockets are none. */
static int parse(const char *text, bool passive, struct addr out[ADDR_MAX])
{
    int n = w_addr_parse(text, passive, out);

    return n > 0 && out[0].sa.sa_family == AF_UNIX ? -EINVAL : n;
}

int weft_udp_open(weft_udp **out, const char *local, const char *peer)
{
    struct addr from[ADDR_MAX], to[ADDR_MAX];
    int rc = door_check(), n_from = 0, n_to = 0;
    weft_udp *u;

    if (rc)
        return rc;
    if (peer && (n_to = parse(peer, false, to)) < 0)
        return n_to;
    if (!local && !peer)
        local = "0.0.0.0:0";
    if (local && (n_from = parse(local, true, from)) < 0)
        return n_from;
    u = sys_calloc(1, sizeof *u);
    if (!u)
        return -ENOMEM;
    rc = u->fd = open_any(from, n_from, to, n_to);
    if (rc >= 0) {
        rc = w_cell_open(weft_runtime_self(), u->fd, &u->cell);
        if (rc < 0)
            (void)sys_close(u->fd);
    }
    if (rc < 0)
        sys_free(u);
    else
        *out = u;
    return rc;
}

static void destroy(weft_udp *u)
{
    w_cell_close(u->cell);
    (void)sys_close(u->fd);
    sys_free(u);
}

static void leave(weft_udp *u, int dir)
{
    if (door_leave(&u->door, dir))
        destroy(u);
}

void weft_udp_close(weft_udp *u)
{
    if (!u)
        return;
    if (door_close(&u->door))
        w_cell_wake(u->cell, -EBADF);
    if (door_closed_by(&u->door))
        destroy(u);
}

int weft_udp_fd(const weft_udp *u)
{
    return u->fd;
}

int weft_udp_port(const weft_udp *u)
{
    struct addr a = {.len = sizeof a.storage};
    const struct sockaddr_in *v4 = (const void *)&a.storage;
    const struct sockaddr_in6 *v6 = (const void *)&a.storage;
    int rc = sys_getsockname(u->fd, &a.sa, &a.len);

    if (rc < 0)
        return rc;
    return ntohs(a.sa.sa_family == AF_INET ? v4->sin_port : v6->sin6_port);
}

/* ---- sending and receiving --------------------------------------------- */

static ssize_t send_one(weft_udp *u, const void *buf, size_t n,
                        const struct addr *to)
{
    for (;;) {
        uint32_t tick = cell_tick(u->cell, DIR_WRITE);
        ssize_t rc;

        if (unlikely(door_closed(&u->door)))
            return -EBADF;
        rc = sys_sendto(u->fd, buf, n, MSG_NOSIGNAL, to ? &to->sa : NULL,
                        to ? to->len : 0);
        if (rc == -EINTR)
            continue;
        if (rc != -EAGAIN)
            return rc;
        rc = w_cell_wait(u->cell, DIR_WRITE, tick);
        if (rc < 0)
            return rc;
    }
}

ssize_t weft_udp_send(weft_udp *u, const void *buf, size_t n,
                      const weft_address *to)
{
    ssize_t rc = door_enter(&u->door, DIR_WRITE);

    if (rc < 0)
        return rc;
    rc = send_one(u, buf, n, (const struct addr *)to);
    leave(u, DIR_WRITE);
    return rc;
}

static ssize_t receive(weft_udp *u, void *buf, size_t n, struct addr *from)
{
    for (;;) {
        uint32_t tick = cell_tick(u->cell, DIR_READ);
        ssize_t rc;

        if (unlikely(door_closed(&u->door)))
            return -EBADF;
        if (from)
            from->len = sizeof from->storage;
        /* MSG_TRUNC: the length it had, not what is left of it. */
        rc = sys_recvfrom(u->fd, buf, n, MSG_TRUNC, from ? &from->sa : NULL,
                          from ? &from->len : NULL);
        if (rc == -EINTR)
            continue;
        if (rc != -EAGAIN)
            return rc >= 0 && (size_t)rc > n ? -EMSGSIZE : rc;
        rc = w_cell_wait(u->cell, DIR_READ, tick);
        if (rc < 0)
            return rc;
    }
}

ssize_t weft_udp_recv(weft_udp *u, void *buf, size_t n, weft_address *from)
{
    ssize_t rc = door_enter(&u->door, DIR_READ);

    if (rc < 0)
        return rc;
    rc = receive(u, buf, n, (struct addr *)from);
    leave(u, DIR_READ);
    return rc;
}
