/* SPDX-License-Identifier: MIT */
/* What a simulated descriptor stands for, and who is told of its changes.
 *
 * Only what the library uses is there: epoll is edge-triggered, nothing
 * blocks. A kind of file says when it is ready and what closing it does. */
#ifndef WEFT_SIM_FILE_H
#define WEFT_SIM_FILE_H

#include "sim/kernel.h"

struct sim_kind {
    mode_t mode;                            /* as fstat tells */
    uint32_t (*ready)(struct sim *s, struct sim_file *f); /* EPOLL's bits */
    void (*close)(struct sim *s, struct sim_file *f); /* frees it */
};

struct sim_file {
    const struct sim_kind *kind;
    int fd;
    struct list registrations; /* in epoll files */
};

/* Its number, or -EMFILE, -ENOMEM: then f is still the caller's. */
int w_sim_file_open(struct sim *s, struct sim_file *f, const struct sim_kind *k);
/* NULL: no such number. */
struct sim_file *w_sim_file(struct sim *s, int fd);
/* Something became possible: epoll files that ask for it are told. */
void w_sim_file_edge(struct sim *s, struct sim_file *f);
/* Closes all that is open; how many there were but epoll and eventfds. */
int w_sim_files_close(struct sim *s);

int w_sim_op_epoll_create(void);
int w_sim_op_epoll_ctl(int ep, int op, int fd, struct epoll_event *event);
int w_sim_op_epoll_wait(int ep, struct epoll_event *out, int n, int64_t timeout);
int w_sim_op_eventfd(void);
int w_sim_op_close(int fd);
int w_sim_op_fstat(int fd, struct stat *st);
int w_sim_op_poll(int fd, int events);
ssize_t w_sim_op_send(int fd, const struct msghdr *m);
ssize_t w_sim_op_receive(int fd, struct msghdr *m, int flags);

/* socket.c, after what is common to both has been looked at. */
int w_sim_op_socket(int domain, int type);
int w_sim_op_bind(int fd, const struct sockaddr *a, socklen_t n);
int w_sim_op_listen(int fd, int backlog);
int w_sim_op_accept(int fd, struct sockaddr *a, socklen_t *n);
int w_sim_op_connect(int fd, const struct sockaddr *a, socklen_t n);
int w_sim_op_shutdown(int fd, int how);
int w_sim_op_setsockopt(int fd, int level, int name, const void *v);
int w_sim_op_getsockopt(int fd, int level, int name, void *v, socklen_t *n);
int w_sim_op_getsockname(int fd, bool peer, struct sockaddr *a, socklen_t *n);
ssize_t w_sim_socket_send(struct sim *s, struct sim_file *f,
                        const struct msghdr *m);
ssize_t w_sim_socket_receive(struct sim *s, struct sim_file *f, struct msghdr *m,
                           int flags);
bool w_sim_is_socket(const struct sim_file *f);
void w_sim_cut(struct sim *s, const struct sockaddr *host, int64_t until);
void w_sim_cuts_close(struct sim *s);

#endif
