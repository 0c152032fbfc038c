/* SPDX-License-Identifier: MIT */
/* Scenarios of the network: streams that are reset, half closed and read
 * slowly, listeners that go, pipes, datagrams. */
#include "soak.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    weft_listener *tcp, *unix_;
    char tcp_address[32], unix_address[64];
} server;

static bool net_went(long rc, const char *what, const char *file, int line)
{
    if (soak_rough && (rc == -ECONNRESET || rc == -EPIPE ||
                       rc == -ECONNREFUSED || rc == -ETIMEDOUT ||
                       rc == -ENOTCONN))
        return false;
    return soak_went(rc, what, file, line);
}

#undef went
#define went(rc) net_went((rc), #rc, __FILE__, __LINE__)

/* ---- streams ------------------------------------------------------------ */

/* Byte `at` of the stream of a seed. */
static char byte_of(uint32_t seed, size_t at)
{
    return (char)(seed + at * 7 + (at >> 8));
}

static long echoes(weft_stream *s, void *arg)
{
    char buf[4096];
    ssize_t n;

    (void)arg;
    lend(STREAMS);
    while ((n = weft_read(s, buf, sizeof buf)) > 0)
        if (weft_write(s, buf, (size_t)n) < 0)
            break;
    give_back(STREAMS);
    return 0;
}

struct call {
    struct player p;
    weft_stream *s;
    uint32_t seed;
    size_t bytes;
};

static long says(void *arg)
{
    struct call *c = arg;
    char buf[3000];

    for (size_t at = 0; at < c->bytes;) {
        size_t n = 1 + dice(&c->p, sizeof buf);

        n = n < c->bytes - at ? n : c->bytes - at;
        for (size_t i = 0; i < n; i++)
            buf[i] = byte_of(c->seed, at + i);
        if (!went(weft_write(c->s, buf, n)))
            return 0;
        at += n;
    }
    went(weft_shutdown(c->s));
    return 0;
}

/* Reads what comes back, some slowly; leaves some of it when it is `rude`. */
static void hears(struct player *p, struct call *c, bool rude)
{
    bool slow = one_in(p, 4);
    size_t at = 0;
    char buf[2000];
    ssize_t n;

    do {
        n = weft_read(c->s, buf, 1 + dice(p, sizeof buf));
        if (!went(n))
            return;
        for (ssize_t i = 0; i < n; i++, at++)
            if (!check(buf[i] == byte_of(c->seed, at)))
                return;
        if (slow)
            (void)weft_sleep(moment(p, 300));
        if (rude && one_in(p, 3))
            return;
    } while (n > 0);
    check(at == c->bytes);
}

static void calls(struct player *p)
{
    struct linger gone = {.l_onoff = 1, .l_linger = 0};
    struct call c = {.p = young(p), .seed = dice(p, 1000)};
    bool rude = one_in(p, 3);
    weft_group g;

    c.bytes = dice(p, one_in(p, 6) ? 200000 : 5000);
    if (!went(weft_connect(&c.s, one_in(p, 2) ? server.tcp_address
                                              : server.unix_address)))
        return;
    lend(STREAMS);
    weft_with_group(&g) {
        if (weft_spawn(&g, says, &c) != 0)
            break;
        hears(p, &c, rude);
        if (rude)
            break;
    }
    if (rude && one_in(p, 2) && !weft_sim_active())
        check(setsockopt(weft_stream_fd(c.s), SOL_SOCKET, SO_LINGER, &gone,
                         sizeof gone) == 0);
    weft_close(c.s);
    give_back(STREAMS);
}

/* A simulation's sockets are had by the library's calls only. */
static bool sim_pair(weft_stream *s[2])
{
    char address[32];
    weft_listener *l;

    s[0] = s[1] = NULL;
    if (!went(weft_listen(&l, "127.0.0.1:0")))
        return false;
    snprintf(address, sizeof address, "127.0.0.1:%d", weft_listener_port(l));
    if (went(weft_connect(&s[0], address)))
        went(weft_accept(l, &s[1]));
    weft_listener_close(l);
    if (!s[1]) {
        weft_close(s[0]);
        return false;
    }
    lend(STREAMS);
    lend(STREAMS);
    return true;
}

/* A pair of streams, two lendings; false if there is none. */
static bool pair(weft_stream *s[2])
{
    int fd[2];

    if (weft_sim_active())
        return sim_pair(s);
    if (!check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0))
        return false;
    check(weft_stream_attach(&s[0], fd[0]) == 0);
    check(weft_stream_attach(&s[1], fd[1]) == 0);
    lend(STREAMS);
    lend(STREAMS);
    return true;
}

static void close_stream(weft_stream *s)
{
    weft_close(s);
    give_back(STREAMS);
}

#define LINES 30

static long writes_lines(void *arg)
{
    struct call *c = arg;
    int fd = memfd_create("soak", MFD_CLOEXEC);

    check(fd >= 0 && pwrite(fd, "sent\n", 5, 0) == 5);
    for (int n = 0; n < LINES && weft_check() == 0; n++) {
        char text[32];
        int len = snprintf(text, sizeof text, "line %d", n);
        struct iovec v[2] = {{text, (size_t)len}, {(char[]){"\n"}, 1}};

        if (one_in(&c->p, 4))
            weft_stream_cork(c->s);
        went(weft_writev(c->s, v, 2));
        if (one_in(&c->p, 3))
            went(weft_flush(c->s));
    }
    if (went(weft_flush(c->s)) && went(weft_sendfile(c->s, fd, 0, 5)))
        went(weft_shutdown(c->s));
    close(fd);
    return 0;
}

static void reads_lines(struct player *p)
{
    struct call c = {.p = young(p)};
    weft_stream *s[2];
    char want[32], text[64];
    weft_group g;
    ssize_t n = 1;
    int at = 0;

    if (!pair(s))
        return;
    c.s = s[1];
    weft_with_group(&g) {
        if (weft_spawn(&g, writes_lines, &c) != 0)
            break;
        for (; n > 0; at += n > 0) {
            n = one_in(p, 3) ? weft_readuntil(s[0], text, sizeof text, "\n", 1)
                             : weft_readline(s[0], text, sizeof text);
            snprintf(want, sizeof want, at < LINES ? "line %d\n" : "sent\n",
                     at);
            if (went(n) && n > 0 && !check(strcmp(text, want) == 0))
                break;
        }
        check(n != 0 || at == LINES + 1);
        if (n < 0)
            break;
    }
    close_stream(s[0]);
    close_stream(s[1]);
}

static long stirs(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    give_back(CALLBACKS);
    return 0;
}

static void await_stir(atomic_int *ran)
{
    weft_with_shield()
        while (!atomic_load(ran))
            check(weft_sleep(20 * WEFT_US) == 0);
    check(atomic_load(ran) == 1);
}

/* Idle connections, which are watched without a task. */
static void watches(struct player *p)
{
    int64_t deadline = weft_now() + moment(p, 1000);
    atomic_int ran = 0;
    weft_stream *s[2];

    if (!pair(s))
        return;
    lend(CALLBACKS);
    check(weft_stream_watch(s[0], deadline, stirs, &ran) == 0);
    if (one_in(p, 2))
        went(weft_write(s[1], "x", 1));
    went(linger(p));
    await_stir(&ran);
    close_stream(s[0]);
    close_stream(s[1]);
}

/* Other descriptors. */
static void watched_fds(struct player *p)
{
    int64_t deadline = weft_now() + moment(p, 1000);
    weft_watch w = {{0}};
    atomic_int ran = 0;
    int fd[2];

    check(pipe2(fd, O_CLOEXEC | O_NONBLOCK) == 0);
    lend(CALLBACKS);
    check(weft_fd_watch(&w, fd[0], WEFT_READ, deadline, stirs, &ran) == 0);
    if (one_in(p, 2))
        went(weft_fd_write(fd[1], "x", 1));
    went(linger(p));
    if (one_in(p, 2) && weft_fd_unwatch(&w) == 1)
        stirs(&ran);
    await_stir(&ran);
    weft_fd_forget(fd[0]);
    weft_fd_forget(fd[1]);
    close(fd[0]);
    close(fd[1]);
}

static long accepts(void *arg)
{
    weft_stream *s = NULL;
    int rc = weft_accept(*(weft_listener **)arg, &s);

    if (rc == 0) {
        lend(STREAMS);
        close_stream(s);
    }
    return rc == -EBADF || !went(rc) ? 0 : rc;
}

static int is_in_read(const struct weft_task_info *info, void *arg)
{
    if (info->task != *(weft_task **)arg)
        return 0;
    if (info->waits_in && strcmp(info->waits_in, "read") == 0)
        *(weft_task **)arg = NULL;
    return 1;
}

/* A listener that is closed under the task that accepts, or is called. It may
 * be closed so once that task waits, since then no accept will start. */
static void doors(struct player *p)
{
    weft_stream *s = NULL;
    weft_task *t, *reader;
    char address[32];
    weft_listener *l;
    weft_group g;

    if (!went(weft_listen(&l, "127.0.0.1:0")))
        return;
    snprintf(address, sizeof address, "127.0.0.1:%d", weft_listener_port(l));
    weft_with_group(&g) {
        if (weft_spawn_task(&g, accepts, &l, &t) != 0)
            break;
        if (one_in(p, 2)) {
            if (!went(weft_connect(&s, address)))
                break;
            lend(STREAMS);
            close_stream(s);
            continue;
        }
        went(linger(p));
        reader = t;
        check(weft_tasks_each(NULL, is_in_read, &reader) > 0);
        if (reader)
            break;
        weft_listener_close(l);
        l = NULL;
    }
    if (l)
        weft_listener_close(l);
}

static void datagrams(struct player *p)
{
    uint32_t seen = 0, n = 1 + dice(p, 20), at;
    weft_udp *to = NULL, *from = NULL;
    char peer[32];
    ssize_t got;

    if (!went(weft_udp_open(&to, "127.0.0.1:0", NULL)))
        return;
    snprintf(peer, sizeof peer, "127.0.0.1:%d", weft_udp_port(to));
    if (went(weft_udp_open(&from, NULL, peer)))
        for (at = 0; at < n; at++)
            if (!went(weft_udp_send(from, &at, sizeof at, NULL)))
                break;
    weft_with_timeout(moment(p, 2000))
        while (from && seen != (1u << n) - 1) {
            got = weft_udp_recv(to, &at, sizeof at, NULL);
            if (!went(got) || !check(got == sizeof at && at < n) ||
                !check(!(seen & 1u << at)))
                break;
            seen |= 1u << at;
        }
    weft_udp_close(from);
    weft_udp_close(to);
}

/* ---- the part ----------------------------------------------------------- */

static long serves(void *arg)
{
    long rc = weft_serve(*(weft_listener **)arg, echoes, NULL);

    check_rc(rc == 0, rc);
    return rc;
}

static void open_all(weft_group *services)
{
    snprintf(server.unix_address, sizeof server.unix_address,
             "unix:/tmp/weft-soak-%d",
             weft_sim_active() ? 0 : (int)getpid());
    unlink(server.unix_address + 5);
    check(weft_listen(&server.tcp, "127.0.0.1:0") == 0);
    check(weft_listen(&server.unix_, server.unix_address) == 0);
    snprintf(server.tcp_address, sizeof server.tcp_address, "127.0.0.1:%d",
             weft_listener_port(server.tcp));
    check(weft_spawn(services, serves, &server.tcp) == 0);
    check(weft_spawn(services, serves, &server.unix_) == 0);
}

static void close_all(void)
{
    weft_listener_close(server.tcp);
    weft_listener_close(server.unix_);
    unlink(server.unix_address + 5);
}

static struct scenario scenarios[] = {
    {"net.calls", 12, calls, 0, 0},        {"net.lines", 6, reads_lines, 0, 0},
    {"net.watches", 6, watches, HOME, 0},  {"net.doors", 4, doors, 0, 0},
    {"net.datagrams", 6, datagrams, 0, 0},
    {"net.fds", 3, watched_fds, HOME | REAL, 0},
};

struct part part_net = {scenarios, LEN(scenarios), open_all, close_all};
