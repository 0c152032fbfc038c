/* SPDX-License-Identifier: MIT */
/* One connection in plain blocking style: a task. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "load.h"

struct response {
    int status;
    long long length; /* -1: chunked or until close */
    bool chunked, close;
};

/* A body as it arrives, compared with a file if one is open. */
struct body {
    uint64_t bytes;
    int file;
    bool differs;
    char buf[65536];
};

static void take_body(struct body *b, size_t n)
{
    char want[sizeof b->buf];

    if (b->file >= 0 && !b->differs)
        b->differs = pread(b->file, want, n, (off_t)b->bytes) != (ssize_t)n ||
                     memcmp(want, b->buf, n) != 0;
    b->bytes += n;
}

/* n bytes, or fewer if the peer ends. < 0: error. */
static long long read_body(weft_stream *s, struct body *b, long long n)
{
    long long left = n;

    while (left > 0) {
        size_t want =
            left < (long long)sizeof b->buf ? (size_t)left : sizeof b->buf;
        ssize_t got = weft_read(s, b->buf, want);

        if (got < 0)
            return got;
        if (got == 0)
            break;
        take_body(b, (size_t)got);
        left -= got;
    }
    return n - left;
}

static long read_chunks(weft_stream *s, struct body *b)
{
    char line[1024];

    for (;;) {
        ssize_t n = weft_readline(s, line, sizeof line);
        long long size, got;
        char *end;

        if (n <= 0)
            return n < 0 ? n : -EPROTO;
        size = strtoll(line, &end, 16);
        if (end == line || size < 0)
            return -EPROTO;
        got = read_body(s, b, size);
        if (got != size)
            return got < 0 ? (long)got : -EPROTO;
        do { /* the chunk's end, or the trailer */
            n = weft_readline(s, line, sizeof line);
            if (n <= 0)
                return n < 0 ? n : -EPROTO;
        } while (size == 0 && strcmp(line, "\r\n") && strcmp(line, "\n"));
        if (size == 0)
            return 0;
    }
}

static void on_header(const char *line, struct response *r)
{
    const char *value = strchr(line, ':');

    if (!value)
        return;
    value += 1 + strspn(value + 1, " \t");
    if (strncasecmp(line, "content-length:", 15) == 0)
        r->length = strtoll(value, NULL, 10);
    else if (strncasecmp(line, "transfer-encoding:", 18) == 0)
        r->chunked = strncasecmp(value, "chunked", 7) == 0;
    else if (strncasecmp(line, "connection:", 11) == 0)
        r->close = strncasecmp(value, "close", 5) == 0;
}

static long read_head(weft_stream *s, struct response *r)
{
    char line[8192];
    ssize_t n = weft_readline(s, line, sizeof line);
    int minor;

    *r = (struct response){.length = -1};
    if (n <= 0)
        return n < 0 ? n : -ECONNRESET;
    if (sscanf(line, "HTTP/1.%d %d", &minor, &r->status) != 2)
        return -EPROTO;
    r->close = minor == 0;
    while ((n = weft_readline(s, line, sizeof line)) > 0) {
        if (line[0] == '\r' || line[0] == '\n')
            return 0;
        on_header(line, r);
    }
    return n < 0 ? n : -EPROTO;
}

/* Where the body of a URL stands below the directory to check against. */
static int open_expected(const struct settings *o, const struct url *u)
{
    char path[URL_MAX + 4096];
    size_t n = (size_t)snprintf(path, sizeof path, "%s", o->check);

    for (const char *p = u->path; *p && *p != '?' && n + 1 < sizeof path; p++) {
        unsigned byte;

        if (*p == '%' && sscanf(p + 1, "%2x", &byte) == 1) {
            path[n++] = (char)byte;
            p += 2;
        } else {
            path[n++] = *p;
        }
    }
    path[n] = 0;
    return open(path, O_RDONLY | O_CLOEXEC);
}

static long exchange(struct client *c, weft_stream *s, const struct url *u,
                     struct body *b, struct response *r)
{
    char request[URL_MAX + HEADERS_MAX + 512];
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", u->path, u->host,
                     c->settings->headers);
    long rc = weft_write(s, request, (size_t)n);

    if (rc < 0)
        return rc;
    do
        rc = read_head(s, r);
    while (rc == 0 && r->status >= 100 && r->status < 200);
    if (rc < 0 || r->status == 204 || r->status == 304)
        return rc;
    if (r->chunked)
        return read_chunks(s, b);
    if (r->length < 0) {
        r->close = true;
        rc = (long)read_body(s, b, INT64_MAX);
        return rc < 0 ? rc : 0;
    }
    rc = (long)read_body(s, b, r->length);
    return rc < 0 ? rc : rc == r->length ? 0 : -EMSGSIZE;
}

/* The request of now; the connection is opened if there is none, and closed
 * after an error. What failed, or -1. */
static int request(struct client *c, weft_stream **s, const struct url *u,
                   struct body *b)
{
    const struct settings *o = c->settings;
    struct response r = {0};
    long rc = 0;
    int what = -1;

    b->bytes = 0;
    b->differs = false;
    b->file = o->check ? open_expected(o, u) : -1;
    weft_with_timeout(o->timeout) {
        if (!*s) {
            rc = weft_connect(s, u->address);
            what = rc < 0 ? FAIL_CONNECT : -1;
        }
        if (rc == 0) {
            rc = exchange(c, *s, u, b, &r);
            what = rc < 0 ? FAIL_IO : -1;
        }
    }
    if (rc == -ETIMEDOUT)
        what = FAIL_TIMEOUT;
    else if (rc == -EMSGSIZE)
        what = FAIL_SHORT;
    else if (rc == 0 && (r.status < 200 || r.status >= 300))
        what = FAIL_STATUS;
    else if (rc == 0 && o->check &&
             (b->file < 0 || b->differs ||
              lseek(b->file, 0, SEEK_END) != (off_t)b->bytes))
        what = FAIL_MISMATCH;
    if (b->file >= 0)
        close(b->file);
    if (*s && (rc < 0 || r.close)) {
        weft_close(*s);
        *s = NULL;
    }
    return what;
}

static void count(struct client *c, int64_t from, int failed, uint64_t bytes)
{
    int64_t now = weft_now();

    if (now < c->clock->count_at)
        return;
    c->tally.requests++;
    c->tally.bytes += bytes;
    if (failed >= 0)
        c->tally.failures[failed]++;
    else
        histogram_add(&c->tally.latency, now - from);
}

/* With a rate: when request k of this connection is due. */
static int64_t due(const struct client *c, long k)
{
    const struct settings *o = c->settings;

    return c->clock->start +
           (int64_t)(((double)c->index + (double)k * (double)o->connections) *
                     1e9 / o->rate);
}

/* The requests from k on that were due and could not be sent count with the
 * time that they have waited: a stall at the end would be hidden else. */
static void count_unsent(struct client *c, long k)
{
    int64_t now = weft_now(), from;

    for (; c->quota != 0 && (from = due(c, k)) < c->clock->end; k++) {
        if (from >= c->clock->count_at) {
            c->tally.unsent++;
            histogram_add(&c->tally.latency, now - from);
        }
        if (c->quota > 0)
            c->quota--;
    }
}

/* With a rate, a request's latency counts from the time when it was due: a
 * stall shows in all that it delays. */
long load_client(void *arg)
{
    struct client *c = arg;
    const struct settings *o = c->settings;
    struct body *b = malloc(sizeof *b);
    weft_stream *s = NULL;
    long rc = b ? 0 : -ENOMEM;

    for (long k = 0; rc == 0 && c->quota != 0; k++) {
        int64_t from = weft_now();
        const struct url *u =
            &o->urls[(c->index + k * o->connections) % o->n_urls];
        int failed;

        if (o->rate > 0) {
            from = due(c, k);
            if (from < c->clock->end)
                rc = weft_sleep_until(from);
        }
        if (from >= c->clock->end || weft_now() >= c->clock->end) {
            if (o->rate > 0)
                count_unsent(c, k);
            break;
        }
        failed = rc == 0 ? request(c, &s, u, b) : -1;
        rc = rc ? rc : weft_check();
        if (rc == 0)
            count(c, from, failed, b->bytes);
        if (c->quota > 0)
            c->quota--;
        if (failed == FAIL_CONNECT && rc == 0)
            rc = weft_sleep(10 * WEFT_MS);
    }
    if (s)
        weft_close(s);
    free(b);
    return 0;
}
