/* SPDX-License-Identifier: MIT */
/* A head is a sequence of elements (method, target, version, then name and
 * value of each field). Each is skipped over by a scan that stops at the first
 * byte which does not belong to it; where the bytes end first, the state and
 * the position are kept. What a field means is worked out once, at the end of
 * its line. */
#include "http/parse.h"

#include <string.h>

#include "http/text.h"

enum state {
    S_START,
    S_METHOD, /* a response has none */
    S_TARGET,
    S_VERSION, /* a response's whole first line up to the reason */
    S_REASON,
    S_LINE,
    S_NAME,
    S_VALUE,
};

/* No method that anyone registered is longer. */
#define METHOD_MAX 32
#define MORE 0
#define FIRST_LINE_LEN 10 /* HTTP/1.1 CR LF */

enum { Q_UNSAID, Q_NO, Q_YES };

struct cursor {
    const char *buf;
    const char *p;
    const char *end;
};

/* --- what fields mean ------------------------------------------------------
 */

static long on_connection(struct http_head *h, struct slice v)
{
    struct slice e;

    while (w_http_next_element(&v, &e)) {
        if (text_is(e, "close"))
            h->close = true;
        else if (text_is(e, "keep-alive"))
            h->keep = true;
    }
    return 1;
}

static long on_content_length(struct http_head *h, struct slice v)
{
    uint64_t n = 0;

    if (h->has_length || !v.n)
        return -400;
    for (size_t i = 0; i < v.n; i++) {
        unsigned digit = (unsigned char)v.p[i] - (unsigned)'0';

        if (digit > 9 || n > ((uint64_t)INT64_MAX - digit) / 10)
            return -400;
        n = n * 10 + digit;
    }
    h->content_length = n;
    h->has_length = true;
    return 1;
}

/* chunked comes last and once; what stands before it is for the caller to
 * refuse, since it cannot be decoded here. */
static long on_transfer_encoding(struct http_head *h, struct slice v)
{
    struct slice e;

    h->coded = true;
    while (w_http_next_element(&v, &e)) {
        if (!e.n || h->chunked)
            return -400;
        if (text_is(e, "chunked"))
            h->chunked = true;
        else
            h->unknown_coding = true;
    }
    return 1;
}

static long on_host(struct http_head *h, struct slice v)
{
    if (h->has_host)
        return -400;
    for (size_t i = 0; i < v.n; i++)
        if (!w_http_is_authority[(unsigned char)v.p[i]])
            return -400;
    h->has_host = true;
    if (!h->host.p) /* the target's authority wins */
        h->host = v;
    return 1;
}

static long on_accept_encoding(struct http_head *h, struct slice v)
{
    struct slice e;

    while (w_http_next_element(&v, &e)) {
        const char *end = e.p + e.n;
        const char *stop = text_skip_token(e.p, end), *p = stop;
        uint8_t q = Q_NO;

        while (p < end && text_blank(*p))
            p++;
        if ((p == end || *p == ';') &&
            w_http_weight_allows(text_between(p, end)))
            q = Q_YES;
        e = text_between(e.p, stop);
        if (text_is(e, "gzip") || text_is(e, "x-gzip"))
            h->gzip = q;
        else if (text_is(e, "*"))
            h->star = q;
    }
    return 1;
}

static long once(struct slice *to, struct slice v, bool *many)
{
    if (to->p)
        *many = true;
    *to = v;
    return 1;
}

/* What a message's framing hangs on, in requests and responses. */
static inline long on_framing(struct http_head *h, const struct http_header *f)
{
    switch (f->name.n) {
    case 10:
        if (text_is(f->name, "connection"))
            return on_connection(h, f->value);
        break;
    case 14:
        if (text_is(f->name, "content-length"))
            return on_content_length(h, f->value);
        break;
    case 17:
        if (text_is(f->name, "transfer-encoding"))
            return on_transfer_encoding(h, f->value);
        break;
    }
    return 1;
}

static inline long on_field(struct http_head *h, const struct http_header *f)
{
    switch (f->name.n) {
    case 4:
        if (text_is(f->name, "host"))
            return on_host(h, f->value);
        break;
    case 5:
        if (text_is(f->name, "range"))
            return once(&h->range, f->value, &h->many_ranges);
        break;
    case 6:
        if (text_is(f->name, "expect") && text_is(f->value, "100-continue"))
            h->expect_continue = true;
        break;
    case 8:
        if (text_is(f->name, "if-range"))
            return once(&h->if_range, f->value, &h->many_if_ranges);
        break;
    case 13:
        if (text_is(f->name, "if-none-match"))
            return once(&h->if_none_match, f->value, &h->many_etags);
        break;
    case 15:
        if (text_is(f->name, "accept-encoding"))
            return on_accept_encoding(h, f->value);
        break;
    case 17:
        if (text_is(f->name, "if-modified-since"))
            return once(&h->if_modified_since, f->value, &h->many_dates);
        return on_framing(h, f);
    default:
        return on_framing(h, f);
    }
    return 1;
}

/* --- first lines ---------------------------------------------------------- */

static enum http_method method_of(struct slice t)
{
    static const char known[][8] = {
        [HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",
        [HTTP_POST] = "POST",       [HTTP_PUT] = "PUT",
        [HTTP_DELETE] = "DELETE",   [HTTP_PATCH] = "PATCH",
        [HTTP_OPTIONS] = "OPTIONS", [HTTP_TRACE] = "TRACE",
        [HTTP_CONNECT] = "CONNECT",
    };

    if (likely(t.n == 3 && !memcmp(t.p, "GET", 3)))
        return HTTP_GET;
    for (unsigned m = HTTP_HEAD; m < array_len(known); m++)
        if (t.n == strnlen(known[m], sizeof known[m]) &&
            !memcmp(t.p, known[m], t.n))
            return (enum http_method)m;
    return HTTP_OTHER;
}

static void split_query(struct http_head *h, const char *p, const char *end)
{
    const char *mark = memchr(p, '?', (size_t)(end - p));

    h->path = text_between(p, mark ? mark : end);
    if (mark)
        h->query = text_between(mark + 1, end);
}

/* "http://authority/path": an empty path stands for "/". */
static long absolute_target(struct http_head *h)
{
    const char *p = h->target.p, *end = p + h->target.n, *host;

    if (h->target.n > 7 && text_is((struct slice){p, 7}, "http://"))
        p += 7;
    else if (h->target.n > 8 && text_is((struct slice){p, 8}, "https://"))
        p += 8;
    else
        return -400;
    for (host = p; p < end && w_http_is_authority[(unsigned char)*p];)
        p++;
    if (p == host || (p < end && *p != '/' && *p != '?'))
        return -400;
    h->host = text_between(host, p);
    if (p < end)
        split_query(h, p, end);
    if (!h->path.n)
        h->path = (struct slice){"/", 1};
    return 1;
}

static long on_target(struct http_head *h)
{
    struct slice t = h->target;

    if (h->method == HTTP_CONNECT) {
        for (size_t i = 0; i < t.n; i++)
            if (!w_http_is_authority[(unsigned char)t.p[i]])
                return -400;
        h->host = t;
        return t.n ? 1 : -400;
    }
    if (likely(t.n && t.p[0] == '/')) {
        split_query(h, t.p, t.p + t.n);
        return 1;
    }
    if (t.n == 1 && t.p[0] == '*' && h->method == HTTP_OPTIONS)
        return 1;
    return absolute_target(h);
}

/* "HTTP/1.x" at c->p. Byte by byte, unless it is what nearly all send: the
 * first wrong byte decides, however few have come. */
static long version(struct http_head *h, struct cursor *c)
{
    static const char model[8] = "HTTP/d.d";
    size_t n = (size_t)(c->end - c->p);

    if (likely(n >= 8 && !memcmp(c->p, "HTTP/1.1", 8))) {
        h->minor = 1;
        c->p += 8;
        return 1;
    }
    for (size_t i = 0; i < 8 && i < n; i++) {
        bool digit = c->p[i] >= '0' && c->p[i] <= '9';

        if (model[i] == 'd' ? !digit : c->p[i] != model[i])
            return -400;
    }
    if (n < 8)
        return MORE;
    if (c->p[5] != '1')
        return -505;
    h->minor = c->p[7] != '0';
    c->p += 8;
    return 1;
}

/* CR LF at c->p. */
static inline long line_end(struct cursor *c)
{
    if (c->p == c->end)
        return MORE;
    if (*c->p != '\r')
        return -400;
    if (c->end - c->p < 2)
        return MORE;
    if (c->p[1] != '\n')
        return -400;
    c->p += 2;
    return 1;
}

static inline void enter(struct http_head *h, struct cursor *c, enum state s)
{
    h->state = (uint8_t)s;
    h->mark = (size_t)(c->p - c->buf);
}

/* The scan's bound: one byte more than the element may have. */
static inline const char *bound(const struct cursor *c, const char *start,
                                size_t max)
{
    return (size_t)(c->end - start) > max ? start + max + 1 : c->end;
}

static long method(struct http_head *h, struct cursor *c)
{
    const char *start = c->buf + h->mark;
    const char *stop = bound(c, start, METHOD_MAX);

    c->p = text_skip_token(c->p, stop);
    if (c->p - start > METHOD_MAX)
        return -501;
    if (c->p == c->end)
        return MORE;
    if (*c->p != ' ' || c->p == start)
        return -400;
    h->method_name = text_between(start, c->p);
    h->method = method_of(h->method_name);
    c->p++;
    enter(h, c, S_TARGET);
    return 1;
}

static long target(struct http_head *h, struct cursor *c)
{
    const char *start = c->buf + h->mark;
    size_t max = h->limits->target;

    c->p = text_skip_target(c->p, bound(c, start, max));
    if ((size_t)(c->p - start) > max)
        return -414;
    if (c->p == c->end)
        return MORE;
    if (*c->p != ' ' || c->p == start)
        return -400;
    h->target = text_between(start, c->p);
    c->p++;
    enter(h, c, S_VERSION);
    return on_target(h);
}

static long request_line(struct http_head *h, struct cursor *c)
{
    const char *start;
    long rc;

    switch ((enum state)h->state) {
    case S_START:
        if (c->p == c->end)
            return MORE;
        /* Some clients end a body with a line too much. */
        if (*c->p == '\r' && (rc = line_end(c)) <= 0)
            return rc;
        enter(h, c, S_METHOD);
        /* fallthrough */
    case S_METHOD:
        if ((rc = method(h, c)) <= 0)
            return rc;
        /* fallthrough */
    case S_TARGET:
        if ((rc = target(h, c)) <= 0)
            return rc;
        /* fallthrough */
    default:
        start = c->p;
        if ((rc = version(h, c)) > 0)
            rc = line_end(c);
        if (rc <= 0) {
            c->p = start; /* ten bytes: looked at again */
            return rc;
        }
        enter(h, c, S_LINE);
        return 1;
    }
}

/* " 200" at c->p. */
static long status(struct http_head *h, struct cursor *c)
{
    size_t n = (size_t)(c->end - c->p);

    for (size_t i = 0; i < 4 && i < n; i++) {
        bool digit = c->p[i] >= '0' && c->p[i] <= '9';

        if (i ? !digit : c->p[0] != ' ')
            return -400;
        if (i == 1 && c->p[1] == '0')
            return -400;
    }
    if (n < 4)
        return MORE;
    h->status = (unsigned)(c->p[1] - '0') * 100 +
                (unsigned)(c->p[2] - '0') * 10 + (unsigned)(c->p[3] - '0');
    c->p += 4;
    return 1;
}

static long status_line(struct http_head *h, struct cursor *c)
{
    const char *start = c->p;
    long rc;

    if (h->state == S_START) {
        if ((rc = version(h, c)) > 0)
            rc = status(h, c);
        if (rc <= 0) {
            c->p = start;
            return rc;
        }
        enter(h, c, S_REASON);
    }
    start = c->buf + h->mark;
    /* The blank before the reason, which may be missing with it. */
    if (c->p == start && c->p < c->end && *c->p != ' ' && *c->p != '\r')
        return -400;
    c->p = text_skip_value(c->p, c->end);
    if (c->p < c->end && c->p > start)
        h->reason = text_between(start + 1, c->p);
    if ((rc = line_end(c)) > 0)
        enter(h, c, S_LINE);
    return rc;
}

/* --- the head ------------------------------------------------------------- */

/* The line from h->mark to c->p, its colon known, is a field. */
static inline long field(struct http_head *h, const struct cursor *c,
                         bool request)
{
    const char *name = c->buf + h->mark, *colon = c->buf + h->colon;
    const char *value = colon + 1, *end = c->p;
    struct http_header f;

    while (value < end && text_blank(*value))
        value++;
    while (end > value && text_blank(end[-1]))
        end--;
    f = (struct http_header){text_between(name, colon),
                             text_between(value, end)};
    if (h->headers)
        h->headers[h->count] = f;
    h->count++;
    return request ? on_field(h, &f) : on_framing(h, &f);
}

/* One line; 2: it was the empty one. */
static inline __attribute__((always_inline)) long
line(struct http_head *h, struct cursor *c, bool request)
{
    long rc;

    switch ((enum state)h->state) {
    default:
        if (c->p == c->end)
            return MORE;
        if (*c->p == '\r')
            return (rc = line_end(c)) > 0 ? 2 : rc;
        if (h->count == h->limits->headers)
            return -431;
        enter(h, c, S_NAME);
        /* fallthrough */
    case S_NAME:
        c->p = text_skip_token(c->p, c->end);
        if (c->p == c->end)
            return MORE;
        h->colon = (size_t)(c->p - c->buf);
        if (*c->p != ':' || h->colon == h->mark)
            return -400;
        c->p++;
        h->state = S_VALUE;
        /* fallthrough */
    case S_VALUE:
        c->p = text_skip_value(c->p, c->end);
        if (c->p == c->end)
            return MORE;
        if (*c->p != '\r')
            return -400;
        if (c->end - c->p < 2)
            return MORE;
        if (c->p[1] != '\n' || (rc = field(h, c, request)) < 0)
            return c->p[1] != '\n' ? -400 : rc;
        c->p += 2;
        h->state = S_LINE;
        return 1;
    }
}

static long end_of_request(struct http_head *h)
{
    if ((h->minor && !h->has_host) || (h->coded && h->has_length))
        return -400;
    /* 1.0 knows no transfer coding: who speaks both is not to be trusted. */
    if (h->coded && !h->minor)
        return -400;
    if (h->unknown_coding)
        return -501;
    if (!h->minor)
        h->expect_continue = false;
    if (h->many_dates || h->if_none_match.p)
        h->if_modified_since = (struct slice){NULL, 0};
    if (h->many_etags)
        h->if_none_match = (struct slice){NULL, 0};
    if (h->many_if_ranges || h->many_ranges)
        h->range = (struct slice){NULL, 0};
    if (!h->range.p)
        h->if_range = (struct slice){NULL, 0};
    h->accept_gzip = (h->gzip ? h->gzip : h->star) == Q_YES;
    return 1;
}

static long end_of_response(struct http_head *h)
{
    if (h->coded && (h->has_length || !h->minor))
        return -400;
    h->no_body = h->status < 200 || h->status == 204 || h->status == 304;
    if (h->unknown_coding)
        h->chunked = false; /* not ours to take apart */
    h->until_close = !h->no_body && !h->chunked && !h->has_length;
    return 1;
}

/* What was found stands in a buffer that has moved. */
static W_COLD void rebase(struct http_head *h, const char *buf)
{
    struct slice *const own[] = {
        &h->method_name,   &h->target,
        &h->path,          &h->query,
        &h->host,          &h->if_range,
        &h->range,         &h->reason,
        &h->if_none_match, &h->if_modified_since,
    };
    /* As numbers: the old buffer may be gone. */
    uintptr_t from = (uintptr_t)h->base, to = from + h->pos;

    for (unsigned i = 0; i < array_len(own); i++) {
        uintptr_t p = (uintptr_t)own[i]->p;

        if (p >= from && p <= to)
            own[i]->p = buf + (p - from);
    }
    for (unsigned i = 0; h->headers && i < h->count; i++) {
        struct http_header *f = &h->headers[i];

        f->name.p = buf + ((uintptr_t)f->name.p - from);
        f->value.p = buf + ((uintptr_t)f->value.p - from);
    }
}

static inline __attribute__((always_inline)) long
head(struct http_head *h, const char *buf, size_t len, bool request)
{
    size_t max = h->limits->head, n = len < max ? len : max;
    struct cursor c = {buf, buf + h->pos, buf + n};
    long rc = 1;

    if (unlikely(h->base != buf)) {
        if (h->base)
            rebase(h, buf);
        h->base = buf;
    }
    if (h->result)
        return h->result;
    if (h->state < S_LINE)
        rc = request ? request_line(h, &c) : status_line(h, &c);
    while (rc == 1)
        rc = line(h, &c, request);
    h->pos = (size_t)(c.p - buf);
    if (rc == MORE && n < max)
        return 0;
    if (rc == MORE)
        rc = request && h->state < S_LINE ? -414 : -431;
    if (rc > 0) {
        rc = request ? end_of_request(h) : end_of_response(h);
        h->keep_alive = !h->close && (h->minor || h->keep) && !h->until_close;
    }
    h->result = rc > 0 ? (long)h->pos : rc;
    return h->result;
}

void w_http_head_init(struct http_head *h, struct http_header *headers,
                      const struct http_limits *limits)
{
    *h = (struct http_head){.headers = headers, .limits = limits};
}

long w_http_request(struct http_head *h, const char *buf, size_t len)
{
    return head(h, buf, len, true);
}

long w_http_response(struct http_head *h, const char *buf, size_t len)
{
    return head(h, buf, len, false);
}

const struct http_header *w_http_find(const struct http_head *h,
                                      const char *name)
{
    for (unsigned i = 0; h->headers && i < h->count; i++)
        if (text_is(h->headers[i].name, name))
            return &h->headers[i];
    return NULL;
}

/* --- chunked bodies ------------------------------------------------------- */

enum chunk_state {
    C_SIZE, /* before its first digit */
    C_DIGITS,
    C_EXTENSION,
    C_SIZE_LF,
    C_DATA,
    C_DATA_CR,
    C_DATA_LF,
    C_TRAILER, /* at the start of a line */
    C_TRAILER_NAME,
    C_TRAILER_VALUE,
    C_TRAILER_LF,
    C_LAST_LF,
};

#define EXTENSION_MAX 256
#define TRAILER_MAX 8192

static int hex(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of a chunk's first line. */
static long size_byte(struct http_chunked *c, unsigned char b)
{
    int digit = hex(b);

    switch ((enum chunk_state)c->state) {
    case C_SIZE:
    case C_DIGITS:
        if (digit >= 0) {
            if (c->left >> 59 || ++c->line > 16)
                return -400; /* beyond INT64_MAX, or zeros without end */
            c->left = c->left << 4 | (unsigned)digit;
            c->state = C_DIGITS;
            return 1;
        }
        if (c->state == C_SIZE)
            return -400;
        c->line = 0;
        if (b != '\r' && b != ';')
            return -400;
        c->state = b == ';' ? C_EXTENSION : C_SIZE_LF;
        return 1;
    case C_EXTENSION:
        if (b == '\r') {
            c->state = C_SIZE_LF;
            return 1;
        }
        if (!text_is_value(b))
            return -400;
        return ++c->line > EXTENSION_MAX ? -431 : 1;
    default:
        if (b != '\n')
            return -400;
        c->line = 0;
        c->state = c->left ? C_DATA : C_TRAILER;
        return 1;
    }
}

/* One byte of the trailers, which are checked and dropped. */
static long trailer_byte(struct http_chunked *c, unsigned char b)
{
    if (++c->line > TRAILER_MAX)
        return -431;
    switch ((enum chunk_state)c->state) {
    case C_TRAILER:
        if (b != '\r' && !w_http_is_token[b])
            return -400;
        c->state = b == '\r' ? C_LAST_LF : C_TRAILER_NAME;
        return 1;
    case C_TRAILER_NAME:
        if (b == ':')
            c->state = C_TRAILER_VALUE;
        return b == ':' || w_http_is_token[b] ? 1 : -400;
    case C_TRAILER_VALUE:
        if (b == '\r')
            c->state = C_TRAILER_LF;
        return b == '\r' || text_is_value(b) ? 1 : -400;
    default:
        if (b != '\n')
            return -400;
        c->done = c->state == C_LAST_LF;
        c->state = C_TRAILER;
        return 1;
    }
}

static long frame_byte(struct http_chunked *c, unsigned char b)
{
    if (c->state == C_DATA_CR || c->state == C_DATA_LF) {
        if (b != (c->state == C_DATA_CR ? '\r' : '\n'))
            return -400;
        c->state = c->state == C_DATA_CR ? C_DATA_LF : C_SIZE;
        return 1;
    }
    return c->state < C_DATA ? size_byte(c, b) : trailer_byte(c, b);
}

long w_http_chunked(struct http_chunked *c, const char *buf, size_t len,
                    struct slice *data)
{
    size_t i = 0;

    *data = (struct slice){NULL, 0};
    while (i < len && !c->done) {
        if (c->state == C_DATA) {
            size_t n = len - i < c->left ? len - i : (size_t)c->left;

            *data = (struct slice){buf + i, n};
            c->total += n;
            c->left -= n;
            if (!c->left)
                c->state = C_DATA_CR;
            return (long)(i + n);
        }
        long rc = frame_byte(c, (unsigned char)buf[i++]);

        if (rc < 0)
            return rc;
    }
    return (long)i;
}

long w_http_chunked_skip(struct http_chunked *c, const char *buf, size_t len)
{
    struct slice data;
    size_t i = 0;

    while (i < len && !c->done) {
        long n = w_http_chunked(c, buf + i, len - i, &data);

        if (n < 0)
            return n;
        i += (size_t)n;
    }
    return (long)i;
}
