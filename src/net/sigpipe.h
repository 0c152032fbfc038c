/* SPDX-License-Identifier: MIT */
/* Keeps SIGPIPE away from a write.
 *
 * MSG_NOSIGNAL does so for sends. Pipes and sendfile have no such flag: there
 * the signal is blocked, and one that the call raised is taken back before the
 * mask is. Blocked before, it was the user's affair already. */
#ifndef WEFT_NET_SIGPIPE_H
#define WEFT_NET_SIGPIPE_H

#include "base/sys.h"

struct sigpipe_guard {
    sigset_t set, old;
};

static inline void guard_enter(struct sigpipe_guard *g)
{
    sigemptyset(&g->set);
    sigaddset(&g->set, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &g->set, &g->old);
}

/* rc: what the call returned; returns it. */
static inline ssize_t guard_leave(struct sigpipe_guard *g, ssize_t rc)
{
    struct timespec zero = {0, 0};

    if (rc == -EPIPE && !sigismember(&g->old, SIGPIPE))
        while (SYS_RET(sigtimedwait(&g->set, NULL, &zero)) == -EINTR)
            ;
    (void)pthread_sigmask(SIG_SETMASK, &g->old, NULL);
    return rc;
}

#endif
