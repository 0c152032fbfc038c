/* SPDX-License-Identifier: MIT */
/* load: the load that wrk has no mode for, on plain epoll.
 *
 *   load echo PORT CONNECTIONS SECONDS THREADS
 *   load idle PORT IDLE ACTIVE SECONDS THREADS
 *
 * echo: each connection sends 64 bytes, reads them back, checks them, and
 * begins anew. idle: opens IDLE connections, each of which had one answer to
 * GET /, then sends GET / on ACTIVE further ones as above. Both end with a line
 * of JSON: answers a second, and the 99th percentile of their times in ms.
 * idle also says "warm" after WARM connections and "idle" when all are there,
 * and waits for a line on its standard input each time, so that the server's
 * memory can be looked at. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    WARM = 500,
    MESSAGE = 64,
    ANSWER_MAX = 4096,
    STEPS = 64, /* of the histogram, to a doubling */
    BUCKETS = 40 * STEPS,
};

struct conn {
    int fd;
    size_t have; /* of the answer that is awaited */
    int64_t sent;
    uint64_t count;
    char out[MESSAGE];
    char in[ANSWER_MAX];
};

struct thread {
    pthread_t id;
    struct conn *conns;
    long n;
    uint64_t answers;
    uint64_t histogram[BUCKETS];
};

static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
static struct sockaddr_in server;
static size_t answer_len; /* all answers are of one length */
static int http;
static int64_t stop_at;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static _Noreturn void wrong(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static int64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Linear below STEPS, then STEPS / 2 equal steps to each doubling. */
static unsigned bucket_of(uint64_t ns)
{
    unsigned shift = 0, i;

    while (ns >> shift >= STEPS)
        shift++;
    i = shift * (STEPS / 2) + (unsigned)(ns >> shift);
    return i < BUCKETS ? i : BUCKETS - 1;
}

static double value_of(unsigned i)
{
    unsigned shift = i < STEPS ? 0 : i / (STEPS / 2) - 1;

    return (double)((uint64_t)(i - shift * (STEPS / 2)) << shift);
}

static int connect_to(void)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        die("socket");
    if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void write_all(int fd, const char *p, size_t n)
{
    if (send(fd, p, n, MSG_NOSIGNAL) != (ssize_t)n)
        die("send");
}

/* One answer on a blocking connection; the first tells how long all are. */
static void ask_once(int fd)
{
    char buf[ANSWER_MAX], *body, *field;
    size_t have = 0, want = answer_len;

    write_all(fd, request, sizeof request - 1);
    while (!want || have < want) {
        ssize_t n = read(fd, buf + have, sizeof buf - 1 - have);

        if (n <= 0)
            die("an answer");
        have += (size_t)n;
        buf[have] = '\0';
        body = strstr(buf, "\r\n\r\n");
        if (want || !body)
            continue;
        field = strcasestr(buf, "\r\nContent-Length:");
        if (!field || field > body)
            wrong("an answer without Content-Length");
        want = (size_t)(body + 4 - buf) + strtoul(field + 17, NULL, 10);
    }
    if (have != want || strncmp(buf, "HTTP/1.1 200 ", 13))
        wrong("a wrong answer");
    answer_len = want;
}

static void send_next(struct conn *c)
{
    c->sent = now();
    c->have = 0;
    if (http) {
        write_all(c->fd, request, sizeof request - 1);
        return;
    }
    c->count++;
    memcpy(c->out, &c->count, sizeof c->count);
    write_all(c->fd, c->out, MESSAGE);
}

static void check(const struct conn *c)
{
    if (http ? memcmp(c->in, "HTTP/1.1 200 ", 13) != 0
             : memcmp(c->in, c->out, MESSAGE) != 0)
        wrong("a wrong answer");
}

static void readable(struct thread *t, struct conn *c)
{
    ssize_t n = read(c->fd, c->in + c->have, sizeof c->in - c->have);

    if (n <= 0)
        die("an answer");
    c->have += (size_t)n;
    if (c->have < answer_len)
        return;
    if (c->have > answer_len)
        wrong("more than was asked for");
    check(c);
    t->answers++;
    t->histogram[bucket_of((uint64_t)(now() - c->sent))]++;
    send_next(c);
}

static void *run(void *arg)
{
    struct thread *t = arg;
    struct epoll_event ev[256];
    int ep = epoll_create1(EPOLL_CLOEXEC);

    for (long i = 0; i < t->n; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &t->conns[i]};

        if (epoll_ctl(ep, EPOLL_CTL_ADD, t->conns[i].fd, &e) < 0)
            die("epoll_ctl");
        send_next(&t->conns[i]);
    }
    while (now() < stop_at) {
        int n = epoll_wait(ep, ev, 256, 100);

        for (int i = 0; i < n; i++)
            readable(t, ev[i].data.ptr);
    }
    return NULL;
}

static void report(const struct thread *t, long threads, double seconds)
{
    uint64_t answers = 0, seen = 0;
    unsigned i = 0;

    for (long k = 0; k < threads; k++)
        answers += t[k].answers;
    for (; i < BUCKETS; i++) {
        for (long k = 0; k < threads; k++)
            seen += t[k].histogram[i];
        if ((double)seen >= 0.99 * (double)answers)
            break;
    }
    printf("{\"rate\": %.1f, \"p99_ms\": %.4f}\n", (double)answers / seconds,
           value_of(i) / 1e6);
}

static void drive(long conns, double seconds, long threads)
{
    struct thread *t = calloc((size_t)threads, sizeof *t);
    struct conn *c = calloc((size_t)conns, sizeof *c);
    int64_t begin;
    long at = 0;

    if (!t || !c)
        die("memory");
    for (long i = 0; i < conns; i++) {
        c[i].fd = connect_to();
        memset(c[i].out, 'a' + (int)(i % 26), MESSAGE);
    }
    begin = now();
    stop_at = begin + (int64_t)(seconds * 1e9);
    for (long k = 0; k < threads; k++) {
        t[k].conns = c + at;
        t[k].n = conns / threads + (k < conns % threads);
        at += t[k].n;
        if (pthread_create(&t[k].id, NULL, run, &t[k]))
            die("pthread_create");
    }
    for (long k = 0; k < threads; k++)
        pthread_join(t[k].id, NULL);
    report(t, threads, (double)(now() - begin) / 1e9);
}

/* Says what is there, and waits to be told to go on. */
static void pause_at(const char *what)
{
    char line[64];

    puts(what);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        exit(1);
}

static void open_idle(long n)
{
    for (long i = 0; i < n; i++) {
        ask_once(connect_to());
        if (i == WARM - 1)
            pause_at("warm");
    }
    pause_at("idle");
}

int main(int argc, char **argv)
{
    struct rlimit lim;

    if (argc < 6)
        return 2;
    if (!getrlimit(RLIMIT_NOFILE, &lim)) {
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);
    }
    server.sin_family = AF_INET;
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    if (!strcmp(argv[1], "echo") && argc == 6) {
        answer_len = MESSAGE;
        drive(atol(argv[3]), atof(argv[4]), atol(argv[5]));
    } else if (!strcmp(argv[1], "idle") && argc == 7) {
        http = 1;
        open_idle(atol(argv[3]));
        drive(atol(argv[4]), atof(argv[5]), atol(argv[6]));
    } else {
        return 2;
    }
    return 0;
}
