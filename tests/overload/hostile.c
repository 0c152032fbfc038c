/* SPDX-License-Identifier: MIT */
/* Clients that mean harm: that take or send a byte each tenth of a second, that
 * never send, that come in greater number than are let in, that reset what they
 * have just opened. Meanwhile others ask for a file, by the clock and on
 * connections that they keep: these must not notice. Each foe must be gone when
 * the time-out that is meant for it has passed, and in the end the server must
 * hold what it held before. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "overload.h"

enum { FRIENDS = 8, FRIENDS_RATE = 200, LIMIT = 400, FLOOD = 700 };

static const char *const options[] = {
    "--workers", "2", "--header-timeout", "1", "--body-timeout", "1",
    "--send-timeout", "1", "--idle-timeout", "3", "--max-connections", "400",
    NULL,
};

struct kind {
    const char *name;
    const char *opening;
    bool takes, drips; /* a byte at a time */
    double patience;   /* seconds that the server has */
};

enum { READER, HEAD, BODY, SILENT, KINDS };
static const struct kind kinds[KINDS] = {
    {"readers of a byte at a time", "GET " BIG " HTTP/1.1\r\nHost: x\r\n\r\n",
     true, false, 1},
    {"heads of a byte at a time", "GET / HTTP/1.1\r\nHost: x\r\nX: ", false,
     true, 1},
    {"bodies of a byte at a time",
     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n", false, true,
     1},
    {"connections that never send", "", false, false, 1},
};

/* One kind in one stage. */
struct band {
    const struct kind *kind;
    const weft_address *to;
    int64_t until; /* who is there then has stayed too long */
    unsigned wanted, started, n, dropped, busy;
    double longest; /* until it was dropped, in seconds */
};

/* ---- one foe ------------------------------------------------------------ */

static int dial(const weft_address *to)
{
    int small = 4096, rc, fd;
    const struct sockaddr *sa;
    unsigned len;

    sa = weft_address_sockaddr(to, &len);
    fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    rc = weft_fd_connect(fd, sa, len);
    if (rc == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* The server has closed its side. */
static bool is_dropped(int fd)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0 ||
           info.tcpi_state != TCP_ESTABLISHED;
}

static bool was_told_503(int fd)
{
    static const char want[] = "HTTP/1.1 503 ";
    char got[sizeof want - 1];

    return recv(fd, got, sizeof got, MSG_DONTWAIT) == (ssize_t)sizeof got &&
           !memcmp(got, want, sizeof got);
}

static void pester(struct band *b, int fd)
{
    const struct kind *k = b->kind;
    int64_t start = weft_now();
    double took;
    char c = 'x';

    (void)send(fd, k->opening, strlen(k->opening), MSG_NOSIGNAL);
    while (!is_dropped(fd) && weft_now() < b->until) {
        (void)weft_sleep(100 * WEFT_MS);
        if (k->takes)
            (void)recv(fd, &c, 1, MSG_DONTWAIT);
        if (k->drips)
            (void)send(fd, &c, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    took = (double)(weft_now() - start) / 1e9;
    b->longest = took > b->longest ? took : b->longest;
    b->dropped += is_dropped(fd);
    b->busy += was_told_503(fd);
}

static long foe_task(void *arg)
{
    struct band *b = arg;
    int fd;

    /* Half a second for all: their dialing must not be what others wait for. */
    (void)weft_sleep((int64_t)b->started++ * (WEFT_SEC / 2) / b->wanted);
    fd = dial(b->to);
    if (fd < 0)
        return 0;
    b->n++;
    pester(b, fd);
    weft_fd_forget(fd);
    (void)close(fd);
    return 0;
}

static long reset_task(void *arg)
{
    struct linger hard = {.l_onoff = 1};
    struct band *b = arg;

    while (weft_now() < b->until) {
        int fd = dial(b->to);

        if (fd < 0)
            continue;
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        weft_fd_forget(fd);
        (void)close(fd);
        b->n++;
        (void)weft_sleep(WEFT_MS);
    }
    return 0;
}

/* ---- stages ------------------------------------------------------------- */

struct stage {
    const struct child *server;
    weft_address to;
    struct figures base; /* of the friends, alone */
};

static void send_foes(struct run *r, struct band *b, weft_fn *fn, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (weft_spawn(&r->group, fn, b) < 0)
            check(false, "a foe could be started");
}

static bool friends(struct run *r, struct stage *st, double seconds)
{
    size_t n = (size_t)(seconds * FRIENDS_RATE) + 100;

    if (!run_open(r, st->server->address, FAST, "", n))
        return false;
    run_steady(r, FRIENDS, FRIENDS_RATE, seconds);
    return true;
}

static void check_friends(struct stage *st, const struct run *r,
                          const char *what)
{
    struct figures f = figures_of(r, 0, INT64_MAX);

    check(f.ok == f.n && f.p99 <= demand(3, 10) * st->base.p99 +
                                      demand(10, 3000),
          "others meet %s: %zu of %zu answered, median %.2f ms, p99 %.2f ms "
          "(alone %.2f, %.2f)",
          what, f.ok, f.n, f.p50, f.p99, st->base.p50, st->base.p99);
}

static void check_band(const struct band *b, bool flood)
{
    double limit = b->kind->patience + demand(0.7, 5);

    check(b->n == b->wanted && b->dropped == b->n && b->longest <= limit,
          "%s: %u of %u dropped, the last after %.1f s", b->kind->name,
          b->dropped, b->n, b->longest);
    if (flood)
        check(b->busy >= FLOOD - LIMIT,
              "of these %u were told 503, the limit being %d", b->busy, LIMIT);
}

/* The kinds from..to - 1 at the same time, n foes of each; reset too? */
static void attack(struct stage *st, int from, int to, unsigned n, bool resets)
{
    double seconds = demand(4, 2);
    int64_t now = weft_now();
    struct band bands[KINDS], reset = {.to = &st->to};
    bool flood = n == FLOOD;
    int new;
    struct run r;

    if (!friends(&r, st, seconds))
        return;
    (void)weft_sleep(200 * WEFT_MS); /* they are inside */
    for (int k = from; k < to; k++) {
        bands[k] = (struct band){
            .kind = &kinds[k],
            .to = &st->to,
            .until = now + 20 * WEFT_SEC,
            .wanted = n,
        };
        send_foes(&r, &bands[k], foe_task, n);
    }
    reset.until = now + (int64_t)(seconds * 1e9);
    if (resets)
        send_foes(&r, &reset, reset_task, 4);
    if (flood) {
        (void)weft_sleep(600 * WEFT_MS); /* all are there */
        new = ask_once(st->server->address, FAST, "");
        check(new == 200, "one more, who asks at once: %d", new);
    }
    run_wait(&r);
    for (int k = from; k < to; k++)
        check_band(&bands[k], flood);
    if (resets)
        check(reset.n > 100, "%u connections were reset once they were open",
              reset.n);
    check_friends(st, &r,
                  from == to       ? "resets"
                  : to - from > 1  ? "all of them"
                  : flood          ? "more than are let in"
                                   : kinds[from].name);
    run_close(&r);
}

static void stages(struct stage *st)
{
    struct run r;

    if (!friends(&r, st, demand(4, 0.6)))
        return;
    run_wait(&r);
    st->base = figures_of(&r, 0, INT64_MAX);
    run_close(&r);
    check(st->base.n && st->base.ok == st->base.n,
          "alone: %zu of %zu answered, median %.2f ms, p99 %.2f ms",
          st->base.ok, st->base.n, st->base.p50, st->base.p99);
    if (!form.quick) {
        for (int k = 0; k < KINDS; k++)
            attack(st, k, k + 1, 200, false);
        attack(st, 0, 0, 0, true);
    }
    attack(st, SILENT, KINDS, FLOOD, false);
    attack(st, 0, KINDS, 60, true);
}

long hostile_task(void *arg)
{
    struct stage st = {0};
    struct child c;
    long rss, fds;

    (void)arg;
    st.server = &c;
    if (!child_start(&c, options) || weft_resolve(c.address, &st.to, 1) != 1) {
        check(false, "the server has an address");
        child_stop(&c);
        return 0;
    }
    (void)ask_once(c.address, BIG, "");
    (void)weft_sleep(100 * WEFT_MS);
    rss = child_rss(c.pid);
    fds = child_fds(c.pid);
    stages(&st);
    for (int i = 0; i < 200 && child_fds(c.pid) > fds; i++)
        (void)weft_sleep(50 * WEFT_MS);
    check(child_fds(c.pid) <= fds, "%ld descriptors, %ld before",
          child_fds(c.pid), fds);
    check(child_rss(c.pid) <= rss + (32 << 10), "%ld KiB, %ld before",
          child_rss(c.pid), rss);
    child_stop(&c);
    return 0;
}
