/* SPDX-License-Identifier: MIT */
/* Response bytes on their way out.
 *
 * Responses to pipelined requests gather in one buffer, so that a burst of
 * small ones is one system call; a body that is already in memory goes out
 * with what was gathered before it, in one writev. After a failure the rest is
 * swallowed and the connection closes: nobody checks each piece. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "session.h"

/* As much as must get through within one send time-out. */
#define SEND_CHUNK ((size_t)256 << 10)

/* What the kernel may hold of a long body beside what is under way. Else it
 * takes megabytes for each client that does not read, out of a memory that all
 * connections of the machine share. */
#define UNSENT_MAX (128 << 10)

void hd_deadline(struct session *x, int64_t ns)
{
    x->date[0] = '\0'; /* time has passed */
    x->now = weft_now();
    (void)weft_scope_extend(&x->scope, x->now + ns);
}

void hd_deadline_renew(struct session *x, int64_t ns)
{
    (void)weft_scope_leave(&x->scope);
    memset(&x->scope, 0, sizeof x->scope);
    x->date[0] = '\0';
    x->now = weft_now();
    weft_deadline_enter(&x->scope, x->now + ns);
}

static void note(struct session *x, ssize_t rc)
{
    if (rc < 0 && !x->err)
        x->err = (int)rc;
}

void hd_flush(struct session *x)
{
    size_t n = x->out_n;

    x->out_n = 0;
    if (n && !x->err)
        note(x, weft_write(x->s, x->out, n));
}

/* Not for unix sockets, which refuse it harmlessly. */
static void expect_long_body(struct session *x, uint64_t n)
{
    int most = UNSENT_MAX;

    if (n > SEND_CHUNK)
        (void)sys_setsockopt(weft_stream_fd(x->s), IPPROTO_TCP,
                             TCP_NOTSENT_LOWAT, &most, sizeof most);
}

static void send_beside(struct session *x, const char *p, size_t n)
{
    struct iovec v[2] = {
        {x->out, x->out_n},
        {(char *)(uintptr_t)p, n < SEND_CHUNK ? n : SEND_CHUNK},
    };
    int first = !x->out_n;

    expect_long_body(x, n);
    x->out_n = 0;
    hd_deadline(x, x->srv->set.send_timeout);
    note(x, weft_writev(x->s, v + first, 2 - first));
    for (size_t at = v[1].iov_len; at < n && !x->err; at += SEND_CHUNK) {
        size_t len = n - at < SEND_CHUNK ? n - at : SEND_CHUNK;

        hd_deadline(x, x->srv->set.send_timeout);
        note(x, weft_write(x->s, p + at, len));
    }
}

void hd_put(struct session *x, const char *p, size_t n)
{
    if (x->err)
        return;
    if (n > HD_COPY_MAX) {
        send_beside(x, p, n);
        return;
    }
    if (n > sizeof x->out - x->out_n) {
        hd_deadline(x, x->srv->set.send_timeout);
        hd_flush(x);
    }
    memcpy(x->out + x->out_n, p, n);
    x->out_n += n;
}

void hd_puts(struct session *x, const char *s)
{
    hd_put(x, s, strlen(s));
}

void hd_printf(struct session *x, const char *fmt, ...)
{
    char line[HD_COPY_MAX];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof line)
        note(x, -EMSGSIZE);
    else
        hd_put(x, line, (size_t)n);
}

/* The kernel holds back the head until the file's first bytes fill its packet,
 * and sends what is left when the cork is pulled. Not for unix sockets, which
 * refuse it harmlessly. */
static void set_cork(struct session *x, int on)
{
    (void)sys_setsockopt(weft_stream_fd(x->s), IPPROTO_TCP, TCP_CORK, &on,
                         sizeof on);
}

void hd_put_file(struct session *x, int fd, off_t off, uint64_t n)
{
    if (x->err)
        return;
    expect_long_body(x, n);
    set_cork(x, 1);
    hd_flush(x);
    while (n && !x->err) {
        size_t len = n < SEND_CHUNK ? (size_t)n : SEND_CHUNK;
        ssize_t rc;

        hd_deadline(x, x->srv->set.send_timeout);
        rc = weft_sendfile(x->s, fd, off, len);
        /* A file that has become shorter: the promised length cannot be kept
         * any more, and closing is how the client learns of it. */
        if (rc >= 0 && (size_t)rc < len)
            rc = -EIO;
        note(x, rc);
        off += (off_t)len;
        n -= len;
    }
    set_cork(x, 0);
}

const char *hd_reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 206:
        return "Partial Content";
    case 301:
        return "Moved Permanently";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 416:
        return "Range Not Satisfiable";
    case 417:
        return "Expectation Failed";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Internal Server Error";
    }
}

void hd_start(struct session *x, const struct request *r, int status)
{
    char head[256], *p = head;

    x->status = status;
    x->sent = 0;
    if (!x->date[0])
        hd_date_now(x->date);
    if (status == 200) {
        p = mempcpy(p, "HTTP/1.1 200 OK\r\nServer: " HD_NAME "\r\nDate: ",
                    sizeof "HTTP/1.1 200 OK\r\nServer: " HD_NAME "\r\nDate: " -
                        1);
    } else {
        p += sprintf(p,
                     "HTTP/1.1 %d %s\r\nServer: " HD_NAME "\r\nDate: ", status,
                     hd_reason(status));
    }
    p = mempcpy(p, x->date, HD_DATE);
    if (x->close)
        p = mempcpy(p, "\r\nConnection: close\r\n", 21);
    else if (r && r->http10)
        p = mempcpy(p, "\r\nConnection: keep-alive\r\n", 26);
    else
        p = mempcpy(p, "\r\n", 2);
    hd_put(x, head, (size_t)(p - head));
}

size_t hd_busy(char out[HD_BUSY])
{
    char date[HD_DATE + 1] = {0};

    hd_date_now(date);
    return (size_t)snprintf(out, HD_BUSY,
                            "HTTP/1.1 503 Service Unavailable\r\n"
                            "Server: " HD_NAME "\r\nDate: %s\r\n"
                            "Connection: close\r\n" HD_RETRY
                            "Content-Length: 0\r\n\r\n",
                            date);
}

void hd_error(struct session *x, const struct request *r, int status,
              const char *field)
{
    char page[512];
    int n = snprintf(page, sizeof page,
                     "<!DOCTYPE html>\n<html><head><title>%d %s</title></head>"
                     "\n<body><h1>%d %s</h1></body></html>\n",
                     status, hd_reason(status), status, hd_reason(status));

    hd_start(x, r, status);
    hd_printf(x,
              "Content-Type: text/html; charset=utf-8\r\n"
              "Content-Length: %d\r\n",
              n);
    hd_puts(x, field);
    hd_puts(x, "\r\n");
    if (!r || r->method != HD_HEAD) {
        hd_put(x, page, (size_t)n);
        x->sent = (uint64_t)n;
    }
}
