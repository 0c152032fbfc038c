/* SPDX-License-Identifier: MIT */
/* The floor: what a multi-threaded server on epoll costs with no runtime
 * beneath it. One epoll and one SO_REUSEPORT listener a thread, as in
 * benchmarks/bare_epoll.c, which answers every blank line alike; this one also
 * tells two paths apart, closes when it is asked to, and echoes. Requests are
 * taken to come whole, so it is no server for the open world. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct answer {
    char text[2048];
    size_t n;
};

static struct answer hello, hello_close, file, file_close;
static int port, echoes;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void make(struct answer *a, const char *fields, const char *body,
                 size_t n)
{
    a->n = (size_t)sprintf(a->text,
                           "HTTP/1.1 200 OK\r\n"
                           "Content-Type: text/plain\r\n%s"
                           "Content-Length: %zu\r\n\r\n",
                           fields, n);
    memcpy(a->text + a->n, body, n);
    a->n += n;
}

static int listen_here(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0)
        die("bind");
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

/* -1: the connection is to be closed. */
static int answer_all(int fd, char *p)
{
    for (char *end; (end = strstr(p, "\r\n\r\n")); p = end + 4) {
        const struct answer *a;
        int close_it;

        *end = '\0';
        close_it = strcasestr(p, "\nConnection: close") != NULL;
        if (strncmp(p, "GET /1k ", 8) == 0)
            a = close_it ? &file_close : &file;
        else
            a = close_it ? &hello_close : &hello;
        if (write(fd, a->text, a->n) != (ssize_t)a->n || close_it)
            return -1;
    }
    return 0;
}

static void serve(int fd)
{
    char buf[16384];
    ssize_t n = read(fd, buf, sizeof buf - 1);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n > 0 && echoes && write(fd, buf, (size_t)n) == n)
        return;
    if (n > 0 && !echoes) {
        buf[n] = '\0';
        if (!answer_all(fd, buf))
            return;
    }
    close(fd);
}

static void *run(void *arg)
{
    int listener = listen_here(), ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, ev[256];

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
    return arg;
}

int main(int argc, char **argv)
{
    char body[1024];
    pthread_t t;

    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return puts("http\necho") < 0;
    if (argc != 4)
        return 2;
    echoes = strcmp(argv[1], "echo") == 0;
    port = atoi(argv[2]);
    signal(SIGPIPE, SIG_IGN);
    memset(body, 'x', sizeof body);
    make(&hello, "", "Hello, world", 12);
    make(&hello_close, "Connection: close\r\n", "Hello, world", 12);
    make(&file, "", body, sizeof body);
    make(&file_close, "Connection: close\r\n", body, sizeof body);
    for (long i = 1; i < atol(argv[3]); i++)
        if (pthread_create(&t, NULL, run, NULL))
            die("pthread_create");
    run(NULL);
    return 0;
}
