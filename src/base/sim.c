/* SPDX-License-Identifier: MIT */
#include "base/sim.h"

#include "base/sys.h"

_Atomic uint32_t w_sims;
const struct sim_ops *w_sim_ops;

static _Thread_local struct sim_seed *here;

/* As w_thread: a task of another runtime may have moved since. */
W_OPAQUE struct sim_seed *w_sim(void)
{
    struct sim_seed *sim = here;

    __asm__ volatile("" : "+r"(sim));
    return sim;
}

void w_sim_set(struct sim_seed *sim)
{
    here = sim;
}

ssize_t w_sim_send(int fd, const void *buf, size_t n, const struct sockaddr *a,
                   socklen_t len)
{
    struct iovec v = {(void *)(uintptr_t)buf, n};
    struct msghdr m = {.msg_name = (void *)(uintptr_t)a,
                       .msg_namelen = len,
                       .msg_iov = &v,
                       .msg_iovlen = 1};

    return w_sim_ops->send(fd, &m);
}

ssize_t w_sim_receive(int fd, void *buf, size_t n, int flags,
                      struct sockaddr *a, socklen_t *len)
{
    struct iovec v = {buf, n};
    struct msghdr m = {.msg_name = a,
                       .msg_namelen = len ? *len : 0,
                       .msg_iov = &v,
                       .msg_iovlen = 1};
    ssize_t rc = w_sim_ops->receive(fd, &m, flags);

    if (rc >= 0 && len)
        *len = m.msg_namelen;
    return rc;
}

ssize_t w_sim_sendfile(int out, int in, off_t *off, size_t n)
{
    char buf[16384];
    ssize_t got = sys_pread(in, buf, n < sizeof buf ? n : sizeof buf, *off);

    if (got > 0)
        got = w_sim_send(out, buf, (size_t)got, NULL, 0);
    if (got > 0)
        *off += got;
    return got;
}
