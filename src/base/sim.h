/* SPDX-License-Identifier: MIT */
/* The other kernel: while a simulation (src/sim) runs on a thread, the seam's
 * calls on that thread are answered by it. One relaxed load where none runs in
 * the process. */
#ifndef WEFT_BASE_SIM_H
#define WEFT_BASE_SIM_H

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/atomic.h"
#include "base/base.h"

/* Its descriptors; all below are the real kernel's. */
#define SIM_FD 65536

/* Answers as the seam does: values, or negative errnos. */
struct sim_ops {
    void (*point)(void); /* another thread may go on */
    uint64_t (*random)(void);
    int64_t (*now)(void);
    void (*yield)(void);
    void (*sleep)(int64_t ns);
    int (*futex_wait)(void *word, uint32_t seen, int64_t ns);
    void (*futex_wake)(void *word, int n);
    int (*thread_create)(pthread_t *t, const pthread_attr_t *a,
                         void *(*fn)(void *), void *arg);
    void (*thread_join)(pthread_t t);
    void (*thread_name)(const char *name);
    bool (*thread_stack)(void **limit, size_t *bytes);

    int (*epoll_create)(void);
    int (*epoll_ctl)(int ep, int op, int fd, struct epoll_event *e);
    int (*epoll_wait)(int ep, struct epoll_event *e, int n, int64_t timeout);
    int (*eventfd)(void);

    int (*close)(int fd);
    int (*fstat)(int fd, struct stat *st);
    int (*poll)(int fd, int events); /* poll(2)'s, at once */
    int (*socket)(int domain, int type);
    int (*bind)(int fd, const struct sockaddr *a, socklen_t n);
    int (*listen)(int fd, int backlog);
    int (*accept)(int fd, struct sockaddr *a, socklen_t *n);
    int (*connect)(int fd, const struct sockaddr *a, socklen_t n);
    int (*shutdown)(int fd, int how);
    int (*setsockopt)(int fd, int level, int name, const void *v);
    int (*getsockopt)(int fd, int level, int name, void *v, socklen_t *n);
    int (*getsockname)(int fd, bool peer, struct sockaddr *a, socklen_t *n);
    ssize_t (*send)(int fd, const struct msghdr *m);
    ssize_t (*receive)(int fd, struct msghdr *m, int flags);
};

extern _Atomic uint32_t w_sims; /* that run in the process */
extern const struct sim_ops *w_sim_ops; /* set before the first of them */

/* Every simulation begins with it. */
struct sim_seed {
    uint64_t seed;
};

/* The calling thread's simulation, NULL: none. */
W_OPAQUE struct sim_seed *w_sim(void);
void w_sim_set(struct sim_seed *sim);

#ifdef W_NO_SIM /* the model checker, whose steps are counted */
#define sim_here() false
#else
static inline bool sim_here(void)
{
    return unlikely(load_relaxed(&w_sims)) && w_sim();
}
#endif

/* The shapes of sending and receiving are one there. */
ssize_t w_sim_send(int fd, const void *buf, size_t n, const struct sockaddr *a,
                   socklen_t len);
ssize_t w_sim_receive(int fd, void *buf, size_t n, int flags,
                      struct sockaddr *a, socklen_t *len);
ssize_t w_sim_sendfile(int out, int in, off_t *off, size_t n);

/* A place where another thread may go on. */
static inline void sim_point(void)
{
    if (sim_here())
        w_sim_ops->point();
}

#endif
