/* SPDX-License-Identifier: MIT */
/* Datagrams: they may be lost, and overtake each other. */
#include <string.h>

#include "sim/socket.h"

#define HELD_MAX ((size_t)212992) /* as Linux's default */

static void arrive(struct sim *s, struct sim_event *e)
{
    struct sim_segment *g = container_of(e, struct sim_segment, event);

    /* Behind those that have arrived. */
    list_remove(&g->node);
    list_push_back(&g->to->segments, &g->node);
    g->arrived = true;
    g->to->arrived++;
    w_sim_trace(s, "datagram", g->to->file.fd, (int64_t)g->n);
    w_sim_file_edge(s, &g->to->file);
}

ssize_t w_sim_datagram_send(struct sim *s, struct sim_socket *x,
                          const struct msghdr *m)
{
    size_t n = w_sim_length(m);
    union sim_addr a = x->remote;
    socklen_t a_n = x->remote_n;
    struct sim_segment *g;
    struct sim_socket *to;

    if (m->msg_name && !w_sim_addr_set(&a, &a_n, m->msg_name, m->msg_namelen))
        return -EINVAL;
    if (!a_n)
        return -EDESTADDRREQ;
    if (n > 65507)
        return -EMSGSIZE;
    w_sim_bind_any(s, x, &a);
    to = w_sim_find(s, SOCK_DGRAM, &a, false);
    if (!to || to->held + n > HELD_MAX || sim_one_in(s, s->opts.losses))
        return (ssize_t)n;
    g = sys_malloc(sizeof *g + n);
    if (!g)
        return -ENOBUFS;
    memset(g, 0, sizeof *g);
    g->to = to;
    g->n = n;
    g->from = x->local;
    g->from_n = x->local_n;
    w_sim_copy_out(m, 0, g->data, n);
    to->held += n;
    list_push_front(&to->segments, &g->node);
    w_sim_event_at(s, &g->event, w_sim_arrival(s, to), arrive);
    return (ssize_t)n;
}

static struct sim_segment *first(const struct sim_socket *x)
{
    list_each(n, &x->segments) {
        struct sim_segment *g = container_of(n, struct sim_segment, node);

        if (g->arrived)
            return g;
    }
    return NULL;
}

ssize_t w_sim_datagram_receive(struct sim *s, struct sim_socket *x,
                             struct msghdr *m, int flags)
{
    struct sim_segment *g = first(x);
    size_t room = w_sim_length(m), n;
    ssize_t rc;

    (void)s;
    if (!g)
        return -EAGAIN;
    n = g->n < room ? g->n : room;
    w_sim_copy_in(m, 0, g->data, n);
    if (m->msg_name) {
        socklen_t space = m->msg_namelen;

        memcpy(m->msg_name, &g->from, space < g->from_n ? space : g->from_n);
        m->msg_namelen = g->from_n;
    }
    rc = flags & MSG_TRUNC ? (ssize_t)g->n : (ssize_t)n;
    if (!(flags & MSG_PEEK)) {
        x->arrived--;
        x->held -= g->n;
        list_remove(&g->node);
        sys_free(g);
    }
    return rc;
}
