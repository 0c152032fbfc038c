/* SPDX-License-Identifier: MIT */
/* HTTP and echo on libuv: a loop a thread, each with a SO_REUSEPORT listener
 * of its own, and answers by uv_try_write first, as libuv's users do it. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum { HEAD_MAX = 8192 };

struct answer {
    char text[2048];
    size_t n;
};

struct conn {
    uv_tcp_t tcp;
    size_t have; /* bytes of an unfinished head */
    char *head;
    int closing;
};

struct late {
    uv_write_t req;
    char text[];
};

static struct answer hello, hello_close, file, file_close, missing;
static int port, echoes;

/* A loop runs one callback at a time, so one buffer a thread is enough. */
static _Thread_local char room[65536];

static void make(struct answer *a, const char *status, const char *fields,
                 const char *body, size_t n)
{
    a->n = (size_t)sprintf(a->text,
                           "HTTP/1.1 %s\r\n"
                           "Content-Type: text/plain\r\n%s"
                           "Content-Length: %zu\r\n\r\n",
                           status, fields, n);
    memcpy(a->text + a->n, body, n);
    a->n += n;
}

static void closed(uv_handle_t *h)
{
    struct conn *c = h->data;

    free(c->head);
    free(c);
}

static void end(struct conn *c)
{
    c->closing = 1;
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, closed);
}

static void written(uv_write_t *req, int status)
{
    struct conn *c = req->handle->data;

    if (status < 0 || (c->closing && !req->handle->write_queue_size))
        end(c);
    free(req);
}

/* What the kernel does not take at once is copied and written later. */
static void send_bytes(struct conn *c, const char *p, size_t n)
{
    uv_buf_t buf = uv_buf_init((char *)p, (unsigned)n);
    int done = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    struct late *w;

    if (done < 0 && done != UV_EAGAIN) {
        end(c);
        return;
    }
    if (done < 0)
        done = 0;
    if ((size_t)done == n) {
        if (c->closing)
            end(c);
        return;
    }
    n -= (size_t)done;
    w = malloc(sizeof *w + n);
    if (!w)
        abort();
    memcpy(w->text, p + done, n);
    buf = uv_buf_init(w->text, (unsigned)n);
    if (uv_write(&w->req, (uv_stream_t *)&c->tcp, &buf, 1, written) < 0) {
        free(w);
        end(c);
    }
}

static int wants_close(const char *p, const char *e)
{
    static const char name[] = "connection:";
    const size_t n = sizeof name - 1;

    while ((p = memchr(p, '\n', (size_t)(e - p)))) {
        if ((size_t)(e - ++p) < n || strncasecmp(p, name, n))
            continue;
        for (p += n; p < e && *p == ' '; p++)
            continue;
        return e - p >= 5 && !strncasecmp(p, "close", 5);
    }
    return 0;
}

static const struct answer *answer_to(const char *p, const char *e, int last)
{
    size_t n = (size_t)(e - p);

    if (n > 15 && !memcmp(p, "GET / HTTP/1.1\r", 15))
        return last ? &hello_close : &hello;
    if (n > 17 && !memcmp(p, "GET /1k HTTP/1.1\r", 17))
        return last ? &file_close : &file;
    return &missing;
}

/* Answers the whole requests at p; returns the bytes they took. */
static size_t requests(struct conn *c, const char *p, size_t n)
{
    const char *at = p, *stop = p + n, *e;

    while (!c->closing &&
           (e = memmem(at, (size_t)(stop - at), "\r\n\r\n", 4))) {
        const struct answer *a;

        c->closing = wants_close(at, e + 2);
        a = answer_to(at, e + 2, c->closing);
        at = e + 4;
        send_bytes(c, a->text, a->n);
    }
    return (size_t)(at - p);
}

static void parse(struct conn *c, const char *p, size_t n)
{
    size_t used;

    if (!c->have) {
        used = requests(c, p, n);
        if (used == n || c->closing)
            return;
        p += used;
        n -= used;
    }
    if (!c->head)
        c->head = malloc(HEAD_MAX);
    if (!c->head || n > HEAD_MAX - c->have) {
        end(c);
        return;
    }
    memcpy(c->head + c->have, p, n);
    c->have += n;
    used = requests(c, c->head, c->have);
    memmove(c->head, c->head + used, c->have - used);
    c->have -= used;
}

static void give_room(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
    (void)h, (void)hint;
    *buf = uv_buf_init(room, sizeof room);
}

static void got(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = s->data;

    if (n < 0)
        end(c);
    else if (n > 0 && echoes)
        send_bytes(c, buf->base, (size_t)n);
    else
        parse(c, buf->base, (size_t)n);
}

static void arrived(uv_stream_t *listener, int status)
{
    struct conn *c = status < 0 ? NULL : calloc(1, sizeof *c);

    if (!c)
        return;
    uv_tcp_init(listener->loop, &c->tcp);
    c->tcp.data = c;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) < 0) {
        end(c);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    if (uv_read_start((uv_stream_t *)&c->tcp, give_room, got) < 0)
        end(c);
}

static void run(void *arg)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in a;
    uv_tcp_t listener;
    uv_loop_t loop;

    (void)arg;
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    uv_ip4_addr("127.0.0.1", port, &a);
    if (uv_loop_init(&loop) || uv_tcp_init(&loop, &listener) ||
        uv_tcp_open(&listener, fd) ||
        uv_tcp_bind(&listener, (struct sockaddr *)&a, 0) ||
        uv_listen((uv_stream_t *)&listener, 4096, arrived)) {
        fprintf(stderr, "cannot listen on port %d\n", port);
        exit(1);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    uv_thread_t t;
    char body[1024];

    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return puts("http\necho") < 0;
    if (argc != 4)
        return 2;
    echoes = strcmp(argv[1], "echo") == 0;
    port = atoi(argv[2]);
    memset(body, 'x', sizeof body);
    make(&hello, "200 OK", "", "Hello, world", 12);
    make(&hello_close, "200 OK", "Connection: close\r\n", "Hello, world", 12);
    make(&file, "200 OK", "", body, sizeof body);
    make(&file_close, "200 OK", "Connection: close\r\n", body, sizeof body);
    make(&missing, "404 Not Found", "", "", 0);
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < atoi(argv[3]); i++)
        if (uv_thread_create(&t, run, NULL))
            return 1;
    run(NULL);
    return 0;
}
