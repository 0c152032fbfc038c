/* SPDX-License-Identifier: MIT */
/* Sockets of the simulated network: what streams (stream.c), datagrams
 * (datagram.c) and their addresses (socket.c) share.
 *
 * What is sent becomes a segment in its receiver's list at once, and arrives
 * there by an event of its own. A stream's segments keep their order, so the
 * list is the order of arrival too. */
#ifndef WEFT_SIM_SOCKET_H
#define WEFT_SIM_SOCKET_H

#include <netinet/in.h>
#include <sys/un.h>

#include "sim/file.h"

union sim_addr {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
};

enum sim_state {
    SIM_FRESH,
    SIM_LISTENING,
    SIM_CONNECTING,
    SIM_CONNECTED, /* streams: until closed */
    SIM_FAILED,    /* to connect */
};

struct sim_socket {
    struct sim_file file; /* fd < 0: in a backlog */
    struct list all;      /* of the machine's sockets */
    int domain, type, error;
    enum sim_state state;
    bool bound, linger0;
    union sim_addr local, remote;
    socklen_t local_n, remote_n;

    struct list backlog; /* a listener's: connections that wait for accept */
    struct list waiting; /* in one */
    unsigned n_backlog, max_backlog;
    struct sim_event connect; /* the next try */
    unsigned tries;

    struct sim_socket *peer; /* a stream's; NULL once that is closed */
    struct list segments;    /* arrived or on their way to us */
    size_t held, arrived;    /* bytes in them */
    size_t room;             /* that `held` may reach */
    int64_t last;            /* the latest arrival */
    int64_t cut;             /* nothing arrives before */
    bool fin_sent, fin_arrived, broken, starved;
    struct sim_event room_again, reset;
};

struct sim_segment {
    struct sim_event event;
    struct list node;
    struct sim_socket *to;
    bool arrived, fin;
    union sim_addr from; /* a datagram's */
    socklen_t from_n;
    size_t n, at;
    char data[];
};

struct sim_socket *w_sim_socket_new(struct sim *s, int domain, int type);
void w_sim_socket_free(struct sim *s, struct sim_socket *x);
static inline struct sim_socket *sim_socket(struct sim_file *f)
{
    return container_of(f, struct sim_socket, file);
}

/* When something that x sends, or is sent, now arrives. */
int64_t w_sim_arrival(struct sim *s, const struct sim_socket *x);
bool w_sim_addr_set(union sim_addr *a, socklen_t *n, const struct sockaddr *from,
                  socklen_t len);
/* Gives x an address if it has none, near the one it talks to. */
void w_sim_bind_any(struct sim *s, struct sim_socket *x,
                  const union sim_addr *remote);
/* Who is bound to the address. NULL: nobody. */
struct sim_socket *w_sim_find(struct sim *s, int type, const union sim_addr *a,
                            bool listening);
/* n bytes of m from `from` on. */
void w_sim_copy_out(const struct msghdr *m, size_t from, char *to, size_t n);
void w_sim_copy_in(struct msghdr *m, size_t at, const char *from, size_t n);
size_t w_sim_length(const struct msghdr *m);

uint32_t w_sim_stream_ready(const struct sim_socket *x);
void w_sim_stream_close(struct sim *s, struct sim_socket *x);
void w_sim_stream_pair(struct sim *s, struct sim_socket *a, struct sim_socket *b);
int w_sim_stream_end(struct sim *s, struct sim_socket *x); /* SHUT_WR */
ssize_t w_sim_stream_send(struct sim *s, struct sim_socket *x,
                        const struct msghdr *m);
ssize_t w_sim_stream_receive(struct sim *s, struct sim_socket *x,
                           struct msghdr *m, int flags);

ssize_t w_sim_datagram_send(struct sim *s, struct sim_socket *x,
                          const struct msghdr *m);
ssize_t w_sim_datagram_receive(struct sim *s, struct sim_socket *x,
                             struct msghdr *m, int flags);

#endif
