/* SPDX-License-Identifier: MIT */
/* Request bodies: no method that is served has a use for one, but the next
 * request stands behind it.
 *
 * A body is read into the room behind its head, over and over, so that the
 * head stays where it is. The limit is on bytes of the wire, so that framing
 * cannot be used to send for ever. */
#include "session.h"

#include <string.h>

struct drain {
    struct session *x;
    size_t base;   /* where the room begins */
    uint64_t left; /* of the limit */
};

/* Makes pos < have. 0, an HTTP status or a negated errno. */
static int refill(struct drain *d)
{
    struct session *x = d->x;
    ssize_t n;

    if (x->pos < x->have)
        return 0;
    x->pos = x->have = d->base;
    /* What was answered before must not wait for a slow body. */
    hd_flush(x);
    if (x->err)
        return x->err;
    n = weft_read(x->s, x->in + d->base, sizeof x->in - d->base);
    if (n == -ETIMEDOUT)
        return 408;
    if (n <= 0)
        return n < 0 ? (int)n : -ECONNRESET;
    x->have += (size_t)n;
    return 0;
}

static int skip(struct drain *d, uint64_t n)
{
    struct session *x = d->x;
    int rc = 0;

    if (n > d->left)
        return 413;
    d->left -= n;
    while (n && !(rc = refill(d))) {
        size_t part = x->have - x->pos;

        if (part > n)
            part = (size_t)n;
        x->pos += part;
        n -= part;
    }
    return rc;
}

/* Reads a line, up to n - 1 bytes of which are kept in buf. Lines end with
 * CRLF; a bare LF is how requests are smuggled. */
static int line(struct drain *d, char *buf, size_t n)
{
    size_t w = 0;
    char c, last = 0;
    int rc;

    for (;; last = c) {
        rc = refill(d);
        if (rc)
            return rc;
        if (!d->left--)
            return 413;
        c = d->x->in[d->x->pos++];
        if (c == '\n')
            break;
        if (last == '\r' || !c)
            return 400;
        if (c != '\r' && w < n - 1)
            buf[w++] = c;
    }
    buf[w] = '\0';
    return last == '\r' ? 0 : 400;
}

static int chunk_size(const char *s, uint64_t *size)
{
    const char *p = s;
    uint64_t v = 0;

    for (;; p++) {
        char c = (char)(*p | 0x20);
        int digit = *p >= '0' && *p <= '9' ? *p - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                           : -1;

        if (digit < 0)
            break;
        if (v >> 59)
            return 413;
        v = v << 4 | (unsigned)digit;
    }
    *size = v;
    return p > s && (!*p || *p == ';' || *p == ' ' || *p == '\t') ? 0 : 400;
}

static int skip_chunks(struct drain *d)
{
    char buf[64];
    uint64_t size = 0;
    int rc;

    do {
        rc = line(d, buf, sizeof buf);
        if (!rc)
            rc = chunk_size(buf, &size);
        if (!rc && size)
            rc = skip(d, size);
        if (!rc && size)
            rc = line(d, buf, sizeof buf);
        if (!rc && size && *buf)
            rc = 400;
    } while (!rc && size);
    /* The trailer section, up to its empty line. */
    while (!rc) {
        rc = line(d, buf, sizeof buf);
        if (!rc && !*buf)
            break;
    }
    return rc;
}

int hd_body_drop(struct session *x, const struct request *r)
{
    struct drain d = {x, x->pos, x->srv->set.max_body};

    if (r->length > d.left)
        return 413;
    hd_deadline(x, x->srv->set.body_timeout);
    return r->chunked ? skip_chunks(&d) : skip(&d, r->length);
}
