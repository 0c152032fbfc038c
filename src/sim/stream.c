/* SPDX-License-Identifier: MIT */
/* Two ends of a connection: segments, full buffers, ends and breaks. */
#include <string.h>

#include "sim/socket.h"

#define ROOM_MAX ((size_t)65536)
#define CUT_MAX (10 * WEFT_SEC)

uint32_t w_sim_stream_ready(const struct sim_socket *x)
{
    uint32_t r = 0;

    if (x->state == SIM_FAILED)
        return EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLERR | EPOLLHUP;
    if (x->state != SIM_CONNECTED)
        return 0;
    if (x->arrived || x->fin_arrived || x->broken)
        r |= EPOLLIN;
    if (x->fin_arrived || x->broken)
        r |= EPOLLRDHUP;
    if (!x->peer || x->broken || x->peer->held < x->peer->room)
        r |= EPOLLOUT;
    if (x->broken || (x->fin_arrived && x->fin_sent))
        r |= EPOLLHUP;
    if (x->error)
        r |= EPOLLERR;
    return r;
}

void w_sim_stream_pair(struct sim *s, struct sim_socket *a,
                       struct sim_socket *b)
{
    a->peer = b;
    b->peer = a;
    a->state = b->state = SIM_CONNECTED;
    a->room = ROOM_MAX >> w_sim_random(s) % 8;
    b->room = ROOM_MAX >> w_sim_random(s) % 8;
}

/* ---- breaks --------------------------------------------------------------- */

static void break_now(struct sim *s, struct sim_event *e)
{
    struct sim_socket *x = container_of(e, struct sim_socket, reset);
    struct list *n, *next;
    struct sim_segment *g;

    /* What has arrived can still be read. */
    for (n = x->segments.next; n != &x->segments; n = next) {
        next = n->next;
        g = container_of(n, struct sim_segment, node);
        if (g->arrived)
            continue;
        w_sim_event_cancel(s, &g->event);
        list_remove(n);
        x->held -= g->n;
        sys_free(g);
    }
    x->broken = true;
    x->error = ECONNRESET;
    if (x->peer) { /* it is on its way to the same end */
        x->peer->peer = NULL;
        x->peer = NULL;
    }
    w_sim_trace(s, "reset", x->file.fd, 0);
    w_sim_file_edge(s, &x->file);
}

static void break_later(struct sim *s, struct sim_socket *x)
{
    if (!x->broken && !x->reset.armed)
        w_sim_event_at(s, &x->reset, w_sim_arrival(s, x), break_now);
}

/* ---- sending -------------------------------------------------------------- */

static void room_again(struct sim *s, struct sim_event *e)
{
    struct sim_socket *x = container_of(e, struct sim_socket, room_again);

    if (x->peer && x->peer->held >= x->peer->room)
        return; /* its reader will tell */
    x->starved = false;
    w_sim_file_edge(s, &x->file);
}

static void arrive(struct sim *s, struct sim_event *e)
{
    struct sim_segment *g = container_of(e, struct sim_segment, event);
    struct sim_socket *x = g->to;

    g->arrived = true;
    x->arrived += g->n;
    w_sim_trace(s, g->fin ? "end" : "arrive", x->file.fd, (int64_t)g->n);
    if (g->fin) {
        x->fin_arrived = true;
        list_remove(&g->node);
        sys_free(g);
    }
    w_sim_file_edge(s, &x->file);
}

/* n bytes of m from `from` on, or the end, to x. */
static bool push(struct sim *s, struct sim_socket *x, const struct msghdr *m,
                 size_t from, size_t n)
{
    struct sim_segment *g = sys_malloc(sizeof *g + n);
    int64_t when = w_sim_arrival(s, x);

    if (!g)
        return false;
    memset(g, 0, sizeof *g);
    g->to = x;
    g->n = n;
    g->fin = !m;
    if (m)
        w_sim_copy_out(m, from, g->data, n);
    x->last = when > x->last ? when : x->last;
    x->held += n;
    list_push_back(&x->segments, &g->node);
    w_sim_event_at(s, &g->event, x->last, arrive);
    return true;
}

static void mishap(struct sim *s, struct sim_socket *x)
{
    if (sim_one_in(s, s->opts.partitions))
        x->cut = x->peer->cut = s->now + sim_up_to(s, CUT_MAX);
    if (sim_one_in(s, s->opts.resets)) {
        break_later(s, x->peer);
        break_later(s, x);
    }
}

ssize_t w_sim_stream_send(struct sim *s, struct sim_socket *x,
                        const struct msghdr *m)
{
    size_t total = w_sim_length(m), n, done = 0;
    struct sim_socket *to = x->peer;

    if (x->error) {
        int error = x->error;

        x->error = 0;
        return -error;
    }
    if (x->broken || x->fin_sent)
        return -EPIPE;
    if (x->state != SIM_CONNECTED)
        return -ENOTCONN;
    if (!to) { /* the other end answers what nobody reads with a reset */
        break_later(s, x);
        return (ssize_t)total;
    }
    mishap(s, x);
    n = to->room - to->held;
    if (to->held >= to->room || total == 0) {
        x->starved = total > 0;
        return total ? -EAGAIN : 0;
    }
    if (n > total)
        n = total;
    if (n > 1 && sim_one_in(s, 4))
        n = 1 + (size_t)sim_up_to(s, (int64_t)n - 1);
    while (done < n) {
        size_t piece = n - done;

        if (piece > 1 && sim_one_in(s, 3))
            piece = 1 + (size_t)sim_up_to(s, (int64_t)piece - 1);
        if (!push(s, to, m, done, piece))
            break;
        done += piece;
    }
    if (done < total) { /* the kernel was short of something for a while */
        x->starved = true;
        w_sim_event_at(s, &x->room_again, s->now + sim_up_to(s, s->opts.delay),
                     room_again);
    }
    return done ? (ssize_t)done : -ENOBUFS;
}

int w_sim_stream_end(struct sim *s, struct sim_socket *x)
{
    if (x->state != SIM_CONNECTED || x->broken)
        return -ENOTCONN;
    if (!x->fin_sent && x->peer && !push(s, x->peer, NULL, 0, 0))
        return -ENOBUFS;
    x->fin_sent = true;
    return 0;
}

/* ---- receiving ------------------------------------------------------------ */

static size_t take(struct sim_socket *x, struct msghdr *m, size_t want,
                   bool peek)
{
    size_t done = 0;

    for (struct list *n = x->segments.next, *next;
         done < want && n != &x->segments; n = next) {
        struct sim_segment *g = container_of(n, struct sim_segment, node);
        size_t some = g->n - g->at;

        next = n->next;
        if (!g->arrived)
            break;
        if (some > want - done)
            some = want - done;
        w_sim_copy_in(m, done, g->data + g->at, some);
        done += some;
        if (peek)
            continue;
        g->at += some;
        if (g->at == g->n) {
            list_remove(n);
            sys_free(g);
        }
    }
    return done;
}

ssize_t w_sim_stream_receive(struct sim *s, struct sim_socket *x,
                           struct msghdr *m, int flags)
{
    size_t want = w_sim_length(m), n;
    bool peek = flags & MSG_PEEK;

    if (x->arrived) {
        n = take(x, m, want < x->arrived ? want : x->arrived, peek);
        if (peek)
            return (ssize_t)n;
        x->arrived -= n;
        x->held -= n;
        if (x->peer && x->peer->starved && x->held < x->room) {
            x->peer->starved = false;
            w_sim_file_edge(s, &x->peer->file);
        }
        return (ssize_t)n;
    }
    if (x->error) {
        int error = x->error;

        x->error = 0;
        return -error;
    }
    if (x->fin_arrived || x->broken || want == 0)
        return 0;
    return x->state == SIM_CONNECTED ? -EAGAIN : -ENOTCONN;
}

/* ---- the end -------------------------------------------------------------- */

void w_sim_stream_close(struct sim *s, struct sim_socket *x)
{
    struct sim_socket *peer = x->peer;
    bool breaks = x->arrived || x->linger0; /* what nobody will read */

    if (!peer)
        return;
    peer->peer = NULL;
    if (breaks || (!x->fin_sent && !push(s, peer, NULL, 0, 0)))
        break_later(s, peer);
    if (peer->starved) { /* it may go on, into the void */
        peer->starved = false;
        w_sim_file_edge(s, &peer->file);
    }
}
