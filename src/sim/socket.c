/* SPDX-License-Identifier: MIT */
/* Addresses and connecting. */
#include "sim/socket.h"

#include <stddef.h>
#include <string.h>

#define TRIES 5
#define NEXT_TRY WEFT_SEC

/* A host that is cut off for a while. */
struct cut {
    struct list node;
    union sim_addr host;
    int64_t until;
};

/* ---- addresses ------------------------------------------------------------ */

bool w_sim_addr_set(union sim_addr *a, socklen_t *n,
                    const struct sockaddr *from, socklen_t len)
{
    if (len > sizeof *a || len < sizeof(sa_family_t) ||
        (from->sa_family == AF_INET && len < sizeof a->v4) ||
        (from->sa_family == AF_INET6 && len < sizeof a->v6))
        return false;
    memset(a, 0, sizeof *a);
    memcpy(a, from, len);
    *n = len;
    return true;
}

static bool is_any(const union sim_addr *a)
{
    return a->sa.sa_family == AF_INET
               ? a->v4.sin_addr.s_addr == htonl(INADDR_ANY)
               : a->sa.sa_family == AF_INET6 &&
                     IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}

static bool same_host(const union sim_addr *a, const union sim_addr *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    switch (a->sa.sa_family) {
    case AF_INET:
        return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    case AF_INET6:
        return IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr);
    default:
        return strcmp(a->un.sun_path, b->un.sun_path) == 0;
    }
}

/* In network order; the same offset in both families. */
static in_port_t port_of(const union sim_addr *a)
{
    return a->sa.sa_family == AF_UNIX ? 0 : a->v4.sin_port;
}

/* Would what is sent to `to` reach who is bound to `at`? */
static bool reaches(const union sim_addr *at, const union sim_addr *to)
{
    return at->sa.sa_family == to->sa.sa_family && port_of(at) == port_of(to) &&
           (is_any(at) || is_any(to) || same_host(at, to));
}

struct sim_socket *w_sim_find(struct sim *s, int type, const union sim_addr *a,
                            bool listening)
{
    list_each(n, &s->sockets) {
        struct sim_socket *x = container_of(n, struct sim_socket, all);

        if (x->type == type && x->bound && reaches(&x->local, a) &&
            (!listening || x->state == SIM_LISTENING))
            return x;
    }
    return NULL;
}

static in_port_t free_port(struct sim *s)
{
    s->port = s->port >= 60999 ? 32768 : s->port + 1;
    return htons(s->port);
}

void w_sim_bind_any(struct sim *s, struct sim_socket *x,
                  const union sim_addr *remote)
{
    if (x->local_n)
        return;
    memset(&x->local, 0, sizeof x->local);
    x->local.sa.sa_family = (sa_family_t)x->domain;
    x->local_n = sizeof(sa_family_t);
    if (x->domain == AF_INET) {
        uint32_t ip = ntohl(remote->v4.sin_addr.s_addr);

        x->local.v4.sin_addr.s_addr =
            htonl(ip >> 24 == 127 || !ip ? INADDR_LOOPBACK : 0x0a000001);
        x->local_n = sizeof x->local.v4;
        x->local.v4.sin_port = free_port(s);
    } else if (x->domain == AF_INET6) {
        x->local.v6.sin6_addr = in6addr_loopback;
        x->local_n = sizeof x->local.v6;
        x->local.v6.sin6_port = free_port(s);
    }
    x->bound = x->type == SOCK_DGRAM;
}

/* ---- partitions ----------------------------------------------------------- */

void w_sim_cut(struct sim *s, const struct sockaddr *host, int64_t until)
{
    struct cut *c = sys_calloc(1, sizeof *c);

    if (!c)
        return;
    memcpy(&c->host, host,
           host->sa_family == AF_INET ? sizeof c->host.v4 : sizeof c->host.v6);
    c->until = until;
    list_push_back(&s->cuts, &c->node);
}

void w_sim_cuts_close(struct sim *s)
{
    while (!list_empty(&s->cuts))
        sys_free(container_of(list_pop_front(&s->cuts), struct cut, node));
}

int64_t w_sim_arrival(struct sim *s, const struct sim_socket *x)
{
    int64_t when = s->now + 1 + sim_up_to(s, s->opts.delay);

    if (when < x->cut)
        when = x->cut;
    list_each(n, &s->cuts) {
        struct cut *c = container_of(n, struct cut, node);

        if (when < c->until && (same_host(&c->host, &x->local) ||
                                same_host(&c->host, &x->remote)))
            when = c->until + sim_up_to(s, s->opts.delay);
    }
    return when;
}

/* ---- bytes ---------------------------------------------------------------- */

size_t w_sim_length(const struct msghdr *m)
{
    size_t n = 0;

    for (size_t i = 0; i < m->msg_iovlen; i++)
        n += m->msg_iov[i].iov_len;
    return n;
}

/* The part of v that lies in n bytes of the message from `from` on. */
static size_t overlap(const struct iovec *v, size_t *from, size_t n,
                      char **place)
{
    size_t some;

    if (*from >= v->iov_len) {
        *from -= v->iov_len;
        return 0;
    }
    some = v->iov_len - *from;
    *place = (char *)v->iov_base + *from;
    *from = 0;
    return some < n ? some : n;
}

void w_sim_copy_out(const struct msghdr *m, size_t from, char *to, size_t n)
{
    for (size_t i = 0; n && i < m->msg_iovlen; i++) {
        char *place = NULL;
        size_t some = overlap(&m->msg_iov[i], &from, n, &place);

        if (!some)
            continue;
        memcpy(to, place, some);
        to += some;
        n -= some;
    }
}

void w_sim_copy_in(struct msghdr *m, size_t at, const char *from, size_t n)
{
    for (size_t i = 0; n && i < m->msg_iovlen; i++) {
        char *place = NULL;
        size_t some = overlap(&m->msg_iov[i], &at, n, &place);

        if (!some)
            continue;
        memcpy(place, from, some);
        from += some;
        n -= some;
    }
}

/* ---- life ----------------------------------------------------------------- */

static uint32_t ready(struct sim *s, struct sim_file *f)
{
    const struct sim_socket *x = sim_socket(f);

    (void)s;
    if (x->type == SOCK_DGRAM)
        return EPOLLOUT | (x->arrived ? EPOLLIN : 0u);
    if (x->state == SIM_LISTENING)
        return x->n_backlog ? EPOLLIN : 0u;
    return w_sim_stream_ready(x);
}

static void close_socket(struct sim *s, struct sim_file *f)
{
    struct sim_socket *x = sim_socket(f);

    while (!list_empty(&x->backlog)) {
        struct sim_socket *c = container_of(list_pop_front(&x->backlog),
                                            struct sim_socket, waiting);

        c->linger0 = true;
        w_sim_stream_close(s, c);
        w_sim_socket_free(s, c);
    }
    if (x->type == SOCK_STREAM)
        w_sim_stream_close(s, x);
    w_sim_socket_free(s, x);
}

static const struct sim_kind socket_kind = {S_IFSOCK | 0777, ready,
                                            close_socket};

bool w_sim_is_socket(const struct sim_file *f)
{
    return f->kind == &socket_kind;
}

struct sim_socket *w_sim_socket_new(struct sim *s, int domain, int type)
{
    struct sim_socket *x = sys_calloc(1, sizeof *x);

    if (!x)
        return NULL;
    x->file.fd = -1;
    list_init(&x->file.registrations);
    x->domain = domain;
    x->type = type;
    list_init(&x->backlog);
    list_init(&x->segments);
    list_push_back(&s->sockets, &x->all);
    return x;
}

void w_sim_socket_free(struct sim *s, struct sim_socket *x)
{
    w_sim_event_cancel(s, &x->connect);
    w_sim_event_cancel(s, &x->room_again);
    w_sim_event_cancel(s, &x->reset);
    while (!list_empty(&x->segments)) {
        struct sim_segment *g = container_of(list_pop_front(&x->segments),
                                             struct sim_segment, node);

        w_sim_event_cancel(s, &g->event);
        sys_free(g);
    }
    list_remove(&x->all);
    sys_free(x);
}

int w_sim_op_socket(int domain, int type)
{
    struct sim *s = sim_self();
    struct sim_socket *x;
    int fd;

    type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    if ((domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX) ||
        (type != SOCK_STREAM && type != SOCK_DGRAM))
        return -EAFNOSUPPORT;
    x = w_sim_socket_new(s, domain, type);
    fd = x ? w_sim_file_open(s, &x->file, &socket_kind) : -ENOMEM;
    if (fd < 0 && x)
        w_sim_socket_free(s, x);
    w_sim_trace(s, "socket", type, fd);
    return fd;
}

static struct sim_socket *socket_of(struct sim *s, int fd)
{
    struct sim_file *f = w_sim_file(s, fd);

    return f && w_sim_is_socket(f) ? sim_socket(f) : NULL;
}

int w_sim_op_bind(int fd, const struct sockaddr *a, socklen_t n)
{
    struct sim *s = sim_self();
    struct sim_socket *x = socket_of(s, fd);

    if (!x)
        return -EBADF;
    if (x->bound || !w_sim_addr_set(&x->local, &x->local_n, a, n))
        return -EINVAL;
    if (a->sa_family != AF_UNIX && !x->local.v4.sin_port)
        x->local.v4.sin_port = free_port(s);
    if (w_sim_find(s, x->type, &x->local, false)) {
        x->local_n = 0;
        return -EADDRINUSE;
    }
    x->bound = true;
    return 0;
}

int w_sim_op_listen(int fd, int backlog)
{
    struct sim_socket *x = socket_of(sim_self(), fd);

    if (!x || x->type != SOCK_STREAM)
        return x ? -EOPNOTSUPP : -EBADF;
    x->max_backlog = backlog < 1 ? 1 : (unsigned)backlog;
    x->state = SIM_LISTENING;
    return 0;
}

/* ---- connecting ----------------------------------------------------------- */

static void fail(struct sim *s, struct sim_socket *x, int error)
{
    x->error = error;
    x->state = SIM_FAILED;
    w_sim_file_edge(s, &x->file);
}

/* 0, or why not: -EAGAIN means that the queue is full. */
static int try_connect(struct sim *s, struct sim_socket *x)
{
    struct sim_socket *l = w_sim_find(s, SOCK_STREAM, &x->remote, true), *c;

    if (!l || sim_one_in(s, s->opts.refusals))
        return -ECONNREFUSED;
    if (l->n_backlog >= l->max_backlog)
        return -EAGAIN;
    c = w_sim_socket_new(s, x->domain, SOCK_STREAM);
    if (!c)
        return -EAGAIN;
    c->local = x->remote;
    c->local_n = x->remote_n;
    c->remote = x->local;
    c->remote_n = x->local_n;
    w_sim_stream_pair(s, x, c);
    list_push_back(&l->backlog, &c->waiting);
    l->n_backlog++;
    w_sim_trace(s, "connected", x->file.fd, l->file.fd);
    w_sim_file_edge(s, &x->file);
    w_sim_file_edge(s, &l->file);
    return 0;
}

static void next_try(struct sim *s, struct sim_event *e)
{
    struct sim_socket *x = container_of(e, struct sim_socket, connect);
    int rc = try_connect(s, x);

    if (rc == -EAGAIN && ++x->tries < TRIES)
        w_sim_event_at(s, &x->connect, s->now + NEXT_TRY, next_try);
    else if (rc)
        fail(s, x, rc == -EAGAIN ? ETIMEDOUT : -rc);
}

int w_sim_op_connect(int fd, const struct sockaddr *a, socklen_t n)
{
    struct sim *s = sim_self();
    struct sim_socket *x = socket_of(s, fd);
    int rc;

    if (!x)
        return -EBADF;
    if (x->type == SOCK_STREAM && x->state != SIM_FRESH)
        return x->state == SIM_CONNECTED ? -EISCONN : -EALREADY;
    if (!w_sim_addr_set(&x->remote, &x->remote_n, a, n))
        return -EINVAL;
    w_sim_bind_any(s, x, &x->remote);
    if (x->type == SOCK_DGRAM)
        return 0;
    if (x->domain == AF_UNIX) {
        rc = try_connect(s, x);
    } else {
        x->state = SIM_CONNECTING;
        w_sim_event_at(s, &x->connect, w_sim_arrival(s, x), next_try);
        rc = -EINPROGRESS;
    }
    w_sim_trace(s, "connect", fd, rc);
    w_sim_maybe_switch(s);
    return rc;
}

int w_sim_op_accept(int fd, struct sockaddr *a, socklen_t *n)
{
    struct sim *s = sim_self();
    struct sim_socket *l, *c;
    struct list *first;
    int got;

    w_sim_maybe_switch(s);
    l = socket_of(s, fd);
    if (!l || l->state != SIM_LISTENING)
        return l ? -EINVAL : -EBADF;
    first = list_pop_front(&l->backlog);
    if (!first)
        return -EAGAIN;
    c = container_of(first, struct sim_socket, waiting);
    got = w_sim_file_open(s, &c->file, &socket_kind);
    if (got < 0) {
        list_push_front(&l->backlog, &c->waiting);
        return got;
    }
    l->n_backlog--;
    if (a && n) {
        memcpy(a, &c->remote, *n < c->remote_n ? *n : c->remote_n);
        *n = c->remote_n;
    }
    w_sim_trace(s, "accept", fd, got);
    return got;
}

/* ---- the rest ------------------------------------------------------------- */

int w_sim_op_shutdown(int fd, int how)
{
    struct sim *s = sim_self();
    struct sim_socket *x = socket_of(s, fd);
    int rc = 0;

    if (!x)
        return -EBADF;
    if (x->type != SOCK_STREAM || x->state != SIM_CONNECTED)
        return -ENOTCONN;
    if (how != SHUT_RD)
        rc = w_sim_stream_end(s, x);
    if (how != SHUT_WR) {
        x->fin_arrived = true;
        w_sim_file_edge(s, &x->file);
    }
    w_sim_trace(s, "shutdown", fd, rc);
    return rc;
}

int w_sim_op_setsockopt(int fd, int level, int name, const void *v)
{
    struct sim_socket *x = socket_of(sim_self(), fd);
    const struct linger *l = v;

    if (!x)
        return -EBADF;
    if (level == SOL_SOCKET && name == SO_LINGER)
        x->linger0 = l->l_onoff && !l->l_linger;
    return 0;
}

int w_sim_op_getsockopt(int fd, int level, int name, void *v, socklen_t *n)
{
    struct sim_socket *x = socket_of(sim_self(), fd);
    int value = 0;

    if (!x)
        return -EBADF;
    if (level == SOL_SOCKET && name == SO_ERROR) {
        value = x->error;
        x->error = 0;
    } else if (level == SOL_SOCKET && name == SO_DOMAIN) {
        value = x->domain;
    } else if (level == SOL_SOCKET && name == SO_TYPE) {
        value = x->type;
    }
    if (*n > sizeof value)
        *n = sizeof value;
    memcpy(v, &value, *n);
    return 0;
}

int w_sim_op_getsockname(int fd, bool peer, struct sockaddr *a, socklen_t *n)
{
    const struct sim_socket *x = socket_of(sim_self(), fd);
    socklen_t len;

    if (!x)
        return -EBADF;
    if (peer && x->type == SOCK_STREAM && x->state != SIM_CONNECTED)
        return -ENOTCONN;
    len = peer ? x->remote_n : x->local_n;
    memcpy(a, peer ? &x->remote : &x->local, *n < len ? *n : len);
    *n = len;
    return 0;
}

ssize_t w_sim_socket_send(struct sim *s, struct sim_file *f,
                        const struct msghdr *m)
{
    struct sim_socket *x = sim_socket(f);

    return x->type == SOCK_DGRAM ? w_sim_datagram_send(s, x, m)
                                 : w_sim_stream_send(s, x, m);
}

ssize_t w_sim_socket_receive(struct sim *s, struct sim_file *f,
                             struct msghdr *m, int flags)
{
    struct sim_socket *x = sim_socket(f);

    return x->type == SOCK_DGRAM ? w_sim_datagram_receive(s, x, m, flags)
                                 : w_sim_stream_receive(s, x, m, flags);
}
