/* SPDX-License-Identifier: MIT */
/* bare_epoll: the least that a multi-threaded HTTP responder on epoll can do:
 * one epoll and one SO_REUSEPORT listener a thread, a fixed answer for each
 * blank line that arrives, no parsing beyond it. The limit that a server with a
 * runtime beneath it is measured against. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static char *answer;
static size_t answer_len;
static int port;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_here(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port)};
    socklen_t n = sizeof a;
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0)
        die("bind");
    getsockname(fd, (struct sockaddr *)&a, &n);
    port = ntohs(a.sin_port);
    return fd;
}

static void accept_all(int ep, int listener)
{
    int fd, one = 1;

    while ((fd = accept4(listener, NULL, NULL,
                         SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    }
}

/* Requests of a load generator fit one read; several may be pipelined. */
static void serve(int fd)
{
    char buf[16384];
    ssize_t n = read(fd, buf, sizeof buf - 1);
    char *p = buf;

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            close(fd);
        return;
    }
    buf[n] = 0;
    while ((p = strstr(p, "\r\n\r\n"))) {
        p += 4;
        if (write(fd, answer, answer_len) != (ssize_t)answer_len) {
            close(fd);
            return;
        }
    }
}

static void *run(void *arg)
{
    long i = (long)(intptr_t)arg;
    int listener = listen_here(), ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, ev[256];
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)(i % sysconf(_SC_NPROCESSORS_ONLN)), &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e) < 0)
        die("epoll");
    for (;;) {
        int n = epoll_wait(ep, ev, 256, -1);

        for (int k = 0; k < n; k++) {
            if (ev[k].data.fd == listener)
                accept_all(ep, listener);
            else
                serve(ev[k].data.fd);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"threads", required_argument, NULL, 't'},
        {"port", required_argument, NULL, 'p'},
        {"body", required_argument, NULL, 'b'},
        {NULL, 0, NULL, 0},
    };
    long threads = 2, body = 12;
    pthread_t t;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 't')
            threads = atol(optarg);
        else if (c == 'p')
            port = atoi(optarg);
        else if (c == 'b')
            body = atol(optarg);
        else
            return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    answer = malloc((size_t)body + 256);
    if (!answer || body < 0 || threads < 1)
        return 2;
    answer_len = (size_t)sprintf(answer,
                                 "HTTP/1.1 200 OK\r\n"
                                 "Server: bare\r\n"
                                 "Content-Type: text/plain\r\n"
                                 "Content-Length: %ld\r\n\r\n",
                                 body);
    memset(answer + answer_len, 'x', (size_t)body);
    answer_len += (size_t)body;
    close(listen_here()); /* picks the port that all threads share */
    for (long i = 0; i < threads; i++)
        if (pthread_create(&t, NULL, run, (void *)(intptr_t)i))
            die("pthread_create");
    printf("listening on 127.0.0.1:%d\n", port);
    fflush(stdout);
    pause();
    return 0;
}
