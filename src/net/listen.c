/* SPDX-License-Identifier: MIT */
/* Listeners: accepting, and serving with a task a connection. */
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <weft/task.h>

#include "base/sys.h"
#include "net/stream.h"

#define PAUSE_MIN (5 * WEFT_MS)
#define PAUSE_MAX (500 * WEFT_MS)

struct weft_listener {
    int fd;
    struct cell *cell;
    struct spin lock;
    unsigned users; /* L: tasks inside calls */
    bool closed;    /* L */
    struct addr addr;
    dev_t dev; /* of a Unix socket's path */
    ino_t ino;
};

/* ---- life -------------------------------------------------------------- */

/* What is a socket at the path of a, if anything. */
static bool find_socket(const struct addr *a, struct stat *st)
{
    const struct sockaddr_un *un = (const void *)&a->storage;
    bool found;
    int fd;

    if (a->sa.sa_family != AF_UNIX || !un->sun_path[0])
        return false;
    fd = sys_open(un->sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    found = sys_fstat(fd, st) == 0 && S_ISSOCK(st->st_mode);
    (void)sys_close(fd);
    return found;
}

/* A path left over by a server that is gone: nobody answers there. Anything
 * but a socket refuses too, and stays. */
static void remove_stale(const struct addr *a)
{
    const struct sockaddr_un *un = (const void *)&a->storage;
    struct stat st;
    int fd;

    if (!find_socket(a, &st))
        return;
    fd = sys_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sys_connect(fd, &a->sa, a->len) == -ECONNREFUSED)
        (void)sys_unlink(un->sun_path);
    (void)sys_close(fd);
}

/* Unless another server has taken its place since. */
static void remove_own(const weft_listener *l)
{
    const struct sockaddr_un *un = (const void *)&l->addr.storage;
    struct stat st;

    if (find_socket(&l->addr, &st) && st.st_dev == l->dev &&
        st.st_ino == l->ino)
        (void)sys_unlink(un->sun_path);
}

static int open_socket(const struct addr *a)
{
    int one = 1, rc;
    int fd = sys_socket(a->sa.sa_family,
                        SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return fd;
    if (a->sa.sa_family != AF_UNIX)
        (void)sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    rc = sys_bind(fd, &a->sa, a->len);
    if (rc == 0)
        rc = sys_listen(fd, 4096);
    if (rc < 0) {
        (void)sys_close(fd);
        return rc;
    }
    return fd;
}

int weft_listen(weft_listener **out, const char *address)
{
    struct weft_runtime *rt = weft_runtime_self();
    struct addr a[ADDR_MAX];
    struct stat st;
    weft_listener *l;
    int rc;

    if (!rt)
        return -EPERM;
    rc = w_addr_parse(address, true, a);
    if (rc < 0)
        return rc;
    l = sys_calloc(1, sizeof *l);
    if (!l)
        return -ENOMEM;
    remove_stale(&a[0]);
    l->fd = open_socket(&a[0]);
    if (l->fd < 0) {
        rc = l->fd;
        sys_free(l);
        return rc;
    }
    l->addr.len = sizeof l->addr.storage;
    (void)sys_getsockname(l->fd, &l->addr.sa, &l->addr.len);
    if (find_socket(&l->addr, &st)) {
        l->dev = st.st_dev;
        l->ino = st.st_ino;
    }
    rc = w_cell_open(rt, l->fd, &l->cell);
    if (rc < 0) {
        remove_own(l);
        (void)sys_close(l->fd);
        sys_free(l);
        return rc;
    }
    *out = l;
    return 0;
}

int weft_listener_port(const weft_listener *l)
{
    const struct sockaddr_in *v4 = (const void *)&l->addr.storage;
    const struct sockaddr_in6 *v6 = (const void *)&l->addr.storage;

    if (l->addr.sa.sa_family == AF_INET)
        return ntohs(v4->sin_port);
    return l->addr.sa.sa_family == AF_INET6 ? ntohs(v6->sin6_port) : 0;
}

static void destroy(weft_listener *l)
{
    w_cell_close(l->cell);
    remove_own(l);
    (void)sys_close(l->fd);
    sys_free(l);
}

static bool enter(weft_listener *l)
{
    bool open;

    spin_lock(&l->lock);
    open = !l->closed;
    if (open)
        l->users++;
    spin_unlock(&l->lock);
    return open;
}

static void leave(weft_listener *l)
{
    bool last;

    spin_lock(&l->lock);
    last = --l->users == 0 && l->closed;
    spin_unlock(&l->lock);
    if (last)
        destroy(l);
}

void weft_listener_close(weft_listener *l)
{
    bool inside;

    if (!l)
        return;
    spin_lock(&l->lock);
    l->closed = true;
    inside = l->users++ > 0;
    spin_unlock(&l->lock);
    if (inside)
        w_cell_wake(l->cell, -EBADF);
    leave(l);
}

/* ---- accepting --------------------------------------------------------- */

static bool is_closed(weft_listener *l)
{
    bool closed;

    spin_lock(&l->lock);
    closed = l->closed;
    spin_unlock(&l->lock);
    return closed;
}

static int accept_fd(weft_listener *l)
{
    for (;;) {
        uint32_t tick = cell_tick(l->cell, DIR_READ);
        int fd;

        if (is_closed(l)) /* after the tick: as in streams */
            return -EBADF;
        fd = sys_accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd == -EINTR || fd == -ECONNABORTED || fd == -EPROTO) {
            /* Clients that break off in a row must not keep the worker. */
            w_budget(w_worker());
            fd = weft_check();
            if (fd < 0)
                return fd;
            continue;
        }
        if (fd != -EAGAIN)
            return fd;
        fd = w_cell_wait(l->cell, DIR_READ, tick);
        if (fd < 0)
            return fd;
    }
}

static int accept_stream(weft_listener *l, weft_stream **s)
{
    int fd = accept_fd(l), rc;

    if (fd < 0)
        return fd;
    rc = w_stream_make(s, fd, w_stream_kind(fd, l->addr.sa.sa_family));
    if (rc < 0)
        (void)sys_close(fd);
    return rc;
}

int weft_accept(weft_listener *l, weft_stream **s)
{
    struct worker *w = w_worker();
    int rc;

    if (!w || !w->current)
        return -EPERM;
    w_budget(w);
    rc = weft_check();
    if (rc)
        return rc;
    if (!enter(l))
        return -EBADF;
    rc = accept_stream(l, s);
    leave(l);
    return rc;
}

/* ---- serving ----------------------------------------------------------- */

struct server {
    weft_handler *handler;
    void *arg;
    weft_group group;
    struct spin lock;
    struct list connections; /* L */
};

/* In the list until its task has ended: one that is cancelled before its start
 * never runs, and the stream is left to the server. */
struct connection {
    struct list node;
    struct server *server;
    weft_stream *stream;
};

/* A connection's failure is its own: it must not reach the group. */
static long serve_one(void *arg)
{
    struct connection *c = arg;
    struct server *srv = c->server;
    struct weft_task *t = w_current();
    long rc = srv->handler(c->stream, srv->arg);

    spin_lock(&srv->lock);
    list_remove(&c->node);
    spin_unlock(&srv->lock);
    weft_close(c->stream);
    sys_free(c);
    if (w_is_error(rc) && rc != -ECONNRESET && rc != -EPIPE &&
        rc != -ECANCELED && rc != -ETIMEDOUT)
        w_task_report(t, rc);
    w_task_note(t, NULL);
    return 0;
}

static bool is_shortage(long rc)
{
    return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM || rc == -ENOBUFS ||
           rc == -ENOSPC;
}

static int start_one(struct server *srv, weft_stream *s)
{
    struct connection *c = sys_calloc(1, sizeof *c);
    int rc;

    if (!c) {
        weft_close(s);
        return -ENOMEM;
    }
    c->server = srv;
    c->stream = s;
    spin_lock(&srv->lock);
    list_push_back(&srv->connections, &c->node);
    spin_unlock(&srv->lock);
    rc = weft_spawn_at(&srv->group, serve_one, c, WEFT_SITE("connection"));
    if (rc < 0) {
        spin_lock(&srv->lock);
        list_remove(&c->node);
        spin_unlock(&srv->lock);
        weft_close(s);
        sys_free(c);
    }
    return rc;
}

/* Until an error that is none of a single connection's. */
static long accept_all(struct server *srv, weft_listener *l)
{
    int64_t pause = PAUSE_MIN;
    long rc = 0;

    while (rc == 0) {
        weft_stream *s;

        w_budget(w_worker());
        rc = weft_check();
        if (rc == 0)
            rc = accept_stream(l, &s);
        if (rc == 0)
            rc = start_one(srv, s);
        if (rc == 0) {
            pause = PAUSE_MIN;
        } else if (is_shortage(rc)) {
            rc = weft_sleep(pause);
            pause = pause < PAUSE_MAX / 2 ? 2 * pause : PAUSE_MAX;
        }
    }
    return rc;
}

long weft_serve(weft_listener *l, weft_handler *handler, void *arg)
{
    struct server srv = {.handler = handler, .arg = arg};
    struct list *node;
    long rc;

    list_init(&srv.connections);
    if (!weft_group_enter(&srv.group))
        return -EPERM;
    if (!enter(l)) {
        (void)weft_group_leave(&srv.group);
        return -EBADF;
    }
    rc = accept_all(&srv, l);
    leave(l);
    weft_group_cancel(&srv.group);
    (void)weft_group_leave(&srv.group);
    while ((node = list_pop_front(&srv.connections)) != NULL) {
        struct connection *c = container_of(node, struct connection, node);

        weft_close(c->stream);
        sys_free(c);
    }
    return rc == -EBADF ? 0 : rc;
}
