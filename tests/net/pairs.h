/* SPDX-License-Identifier: MIT */
/* Connected pairs of streams, and the tasks that tests of them run. */
#ifndef TESTS_NET_PAIRS_H
#define TESTS_NET_PAIRS_H

#include "support/cases.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define BUFFER 16384

enum kind { UNIX, TCP, KINDS };

static inline bool tcp_pair(int fd[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t n = sizeof a;
    int l = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd[0] = socket(AF_INET, SOCK_STREAM, 0);
    fd[1] = -1;
    if (bind(l, (struct sockaddr *)&a, n) == 0 && listen(l, 1) == 0 &&
        getsockname(l, (struct sockaddr *)&a, &n) == 0 &&
        connect(fd[0], (struct sockaddr *)&a, n) == 0)
        fd[1] = accept(l, NULL, NULL);
    close(l);
    return fd[1] >= 0;
}

/* Simulated sockets are had by the library's calls only. */
static inline bool sim_pair(enum kind kind, weft_stream *s[2])
{
    weft_listener *l;
    char address[32] = "unix:/tmp/weft-pair";

    if (!t_equal(weft_listen(&l, kind == UNIX ? address : "127.0.0.1:0"), 0))
        return false;
    if (kind == TCP)
        snprintf(address, sizeof address, "127.0.0.1:%d",
                 weft_listener_port(l));
    if (t_equal(weft_connect(&s[0], address), 0))
        t_equal(weft_accept(l, &s[1]), 0);
    weft_listener_close(l);
    return s[1] != NULL;
}

static inline bool open_pair(enum kind kind, weft_stream *s[2])
{
    int fd[2];
    bool ok;

    s[0] = s[1] = NULL;
    if (weft_sim_active())
        return sim_pair(kind, s);
    ok = kind == TCP ? tcp_pair(fd)
                     : socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0;
    return t_check(ok) && t_equal(weft_stream_attach(&s[0], fd[0]), 0) &&
           t_equal(weft_stream_attach(&s[1], fd[1]), 0);
}

static inline void close_pair(weft_stream *s[2])
{
    weft_close(s[0]);
    weft_close(s[1]);
}

/* What a test runs for each kind of pair; all fds must be gone after it. */
typedef void pair_fn(weft_stream *s[2]);

struct body {
    pair_fn *fn;
};

static inline long run_pairs(void *arg)
{
    struct body *b = arg;

    for (int kind = 0; kind < KINDS; kind++) {
        weft_stream *s[2];
        int before = t_fds();

        if (open_pair((enum kind)kind, s)) {
            weft_with_timeout(20 * WEFT_SEC) /* a failure must not hang */
                b->fn(s);
            close_pair(s);
        }
        t_equal(t_fds(), before);
    }
    return 0;
}

#define PAIR_TEST(name, body_fn)                                               \
    static void name(void **state)                                             \
    {                                                                          \
        struct body b = {body_fn};                                             \
        assert_int_equal(t_run(t_workers(state), run_pairs, &b), 0);           \
    }

struct job {
    weft_stream *s;
    char *data;
    size_t n, step;
    atomic_long rc;
    atomic_int done;
};

static inline void fill_pattern(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (char)('a' + (i * 7 + i / 251) % 26);
}

/* Writes in pieces of `step`, then ends the stream. */
static inline long writes(void *arg)
{
    struct job *j = arg;
    long rc = 0;

    for (size_t at = 0; at < j->n && rc >= 0;) {
        size_t n = j->n - at < j->step ? j->n - at : j->step;

        rc = weft_write(j->s, j->data + at, n);
        if (rc >= 0)
            t_equal(rc, n);
        at += n;
    }
    if (rc >= 0)
        rc = weft_shutdown(j->s);
    atomic_store(&j->rc, rc);
    atomic_store(&j->done, 1);
    return 0;
}

/* Reads a byte. */
static inline long reads(void *arg)
{
    struct job *j = arg;
    char c;

    atomic_store(&j->rc, weft_read(j->s, &c, 1));
    atomic_store(&j->done, 1);
    return 0;
}

#endif
