/* SPDX-License-Identifier: MIT */
/* From bytes to a parsed head: what its fields mean to this server.
 *
 * Strict where leniency has let requests be smuggled: CRLF only, no space
 * before a colon, no folded lines, one Host, one length, and a length never
 * beside a transfer coding. */
#include <string.h>
#include <strings.h>

#include "session.h"

struct field {
    struct text name;
    struct text value;
};

struct cursor {
    const char *p;
    const char *end;
    bool cut; /* the bytes ended where more were asked for */
};

/* RFC 9110's tchar: what methods and field names are made of. */
static const bool is_token[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
    ['!'] = true,         ['#'] = true,         ['$'] = true,
    ['%'] = true,         ['&'] = true,         ['\''] = true,
    ['*'] = true,         ['+'] = true,         ['-'] = true,
    ['.'] = true,         ['^'] = true,         ['_'] = true,
    ['`'] = true,         ['|'] = true,         ['~'] = true,
};

static struct text token(struct cursor *c)
{
    const char *start = c->p;

    while (c->p < c->end && is_token[(unsigned char)*c->p])
        c->p++;
    return (struct text){start, (size_t)(c->p - start)};
}

/* Inline, so that the length of s is a constant. */
static inline __attribute__((always_inline)) bool take(struct cursor *c,
                                                       const char *s)
{
    size_t n = strlen(s), have = (size_t)(c->end - c->p);

    if (likely(have >= n)) {
        if (memcmp(c->p, s, n) != 0)
            return false;
        c->p += n;
        return true;
    }
    if (!memcmp(c->p, s, have))
        c->cut = true;
    return false;
}

static bool is(struct text t, const char *s)
{
    return t.n == strlen(s) && !strncasecmp(t.p, s, t.n);
}

static enum method method_of(struct text t)
{
    static const char *const known[] = {"POST",    "PUT",   "DELETE", "PATCH",
                                        "OPTIONS", "TRACE", "CONNECT"};

    if (t.n == 3 && !memcmp(t.p, "GET", 3))
        return HD_GET;
    if (t.n == 4 && !memcmp(t.p, "HEAD", 4))
        return HD_HEAD;
    for (size_t i = 0; i < array_len(known); i++)
        if (t.n == strlen(known[i]) && !memcmp(t.p, known[i], t.n))
            return HD_KNOWN;
    return HD_UNKNOWN;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int version(struct cursor *c, struct request *r)
{
    r->http10 = take(c, "1.0");
    if (r->http10 || take(c, "1.1"))
        return 0;
    if (c->end - c->p < 3) {
        c->cut = true;
        return 400;
    }
    return is_digit(c->p[0]) && c->p[0] != '1' && c->p[1] == '.' &&
                   is_digit(c->p[2])
               ? 505
               : 400;
}

/* "GET /path HTTP/1.1". 0 or a status. */
static int request_line(struct cursor *c, struct request *r)
{
    const char *start = c->p;
    struct text method = token(c);
    int rc;

    if (!take(c, " ") || !method.n)
        return 400;
    r->method = method_of(method);
    r->target.p = c->p;
    while (c->p < c->end && (unsigned char)*c->p > ' ' && *c->p != 0x7f)
        c->p++;
    r->target.n = (size_t)(c->p - r->target.p);
    if (!take(c, " HTTP/") || !r->target.n)
        return 400;
    rc = version(c, r);
    if (rc)
        return rc;
    r->line = (struct text){start, (size_t)(c->p - start)};
    return take(c, "\r\n") ? 0 : 400;
}

/* "Name: value" and its line's end. 0 or a status. */
static int field_line(struct cursor *c, struct field *f)
{
    const char *end;

    f->name = token(c);
    if (!take(c, ":") || !f->name.n)
        return 400;
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t'))
        c->p++;
    f->value.p = c->p;
    while (c->p < c->end && ((unsigned char)*c->p >= ' ' || *c->p == '\t') &&
           *c->p != 0x7f)
        c->p++;
    end = c->p;
    if (!take(c, "\r\n"))
        return 400;
    while (end > f->value.p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    f->value.n = (size_t)(end - f->value.p);
    return 0;
}

/* ---- what the fields mean ---- */

struct seen {
    unsigned hosts;
    bool length;
    bool coding;
};

/* Splits off the first member of a comma-separated list. */
static bool next_member(struct text *list, struct text *member)
{
    const char *p = list->p, *end = p + list->n, *comma;

    while (p < end && (*p == ' ' || *p == '\t' || *p == ','))
        p++;
    if (p == end)
        return false;
    comma = memchr(p, ',', (size_t)(end - p));
    if (!comma)
        comma = end;
    list->p = comma;
    list->n = (size_t)(end - comma);
    while (comma[-1] == ' ' || comma[-1] == '\t')
        comma--;
    *member = (struct text){p, (size_t)(comma - p)};
    return true;
}

static void read_connection(struct request *r, struct text value)
{
    struct text member;

    while (next_member(&value, &member)) {
        if (is(member, "close"))
            r->keep = false;
        else if (is(member, "keep-alive") && r->http10)
            r->keep = true;
    }
}

/* Whether a member's quality is zero: "gzip;q=0.000". */
static bool is_refused(struct text params)
{
    const char *p = params.p, *end = p + params.n;

    while (p < end && (*p == ';' || *p == ' ' || *p == '\t'))
        p++;
    if (end - p < 3 || (*p | 0x20) != 'q' || p[1] != '=')
        return false;
    for (p += 2; p < end; p++)
        if (*p >= '1' && *p <= '9')
            return false;
    return true;
}

/* "gzip" decides, "*" only if gzip is not named. */
static void read_accept_encoding(struct request *r, struct text value)
{
    struct text member;
    bool named = false;

    while (next_member(&value, &member)) {
        size_t n = 0;
        struct text name = {member.p, 0};

        while (n < member.n && member.p[n] != ';' && member.p[n] != ' ')
            n++;
        name.n = n;
        member.p += n;
        member.n -= n;
        if (is(name, "gzip") || is(name, "x-gzip")) {
            named = true;
            r->gzip = !is_refused(member);
        } else if (is(name, "*") && !named) {
            r->gzip = !is_refused(member);
        }
    }
}

static int read_length(struct request *r, struct seen *seen, struct text value)
{
    uint64_t v = 0;

    if (!value.n)
        return 400;
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];

        if (c < '0' || c > '9')
            return 400;
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, c - '0', &v))
            return 413;
    }
    if (seen->length && r->length != v)
        return 400;
    seen->length = true;
    r->length = v;
    return 0;
}

static int read_coding(struct request *r, struct seen *seen, struct text value)
{
    if (seen->coding || r->http10)
        return 400;
    seen->coding = true;
    r->chunked = is(value, "chunked");
    return r->chunked ? 0 : 501;
}

/* A field that may come once; a second one makes it void. */
static void keep_one(struct text *slot, struct text value)
{
    *slot = slot->p ? (struct text){"", 0} : value;
}

/* Names are told apart by length first: most fields of a browser's request end
 * here. 0 or a status. */
static int interpret(struct request *r, struct seen *seen,
                     const struct field *f)
{
    switch (f->name.n) {
    case 4:
        if (is(f->name, "host"))
            seen->hosts++;
        break;
    case 5:
        if (is(f->name, "range"))
            keep_one(&r->range, f->value);
        break;
    case 6:
        if (is(f->name, "expect"))
            r->expect = is(f->value, "100-continue");
        break;
    case 8:
        if (is(f->name, "if-range"))
            keep_one(&r->if_range, f->value);
        break;
    case 10:
        if (is(f->name, "connection"))
            read_connection(r, f->value);
        break;
    case 13:
        if (is(f->name, "if-none-match"))
            keep_one(&r->if_none_match, f->value);
        break;
    case 14:
        if (is(f->name, "content-length"))
            return read_length(r, seen, f->value);
        break;
    case 15:
        if (is(f->name, "accept-encoding"))
            read_accept_encoding(r, f->value);
        break;
    case 17:
        if (is(f->name, "transfer-encoding"))
            return read_coding(r, seen, f->value);
        if (is(f->name, "if-modified-since"))
            keep_one(&r->if_modified_since, f->value);
        break;
    default:
        break;
    }
    return 0;
}

/* A head that is not complete: whether it can still become one. Too long is its
 * first line, or are its fields. */
static int examine_part(const char *p, size_t n, size_t max)
{
    const char *nl = memchr(p, '\n', n);

    if (n >= max)
        return nl ? -431 : -414;
    for (; nl; nl = memchr(nl + 1, '\n', (size_t)(p + n - nl - 1)))
        if (nl == p || nl[-1] != '\r')
            return -400;
    return 0;
}

static int read_fields(struct cursor *c, struct request *r, unsigned max)
{
    struct seen seen = {0};
    struct field f;
    int rc;

    for (unsigned n = 0; !take(c, "\r\n"); n++) {
        rc = n == max ? 431 : field_line(c, &f);
        if (!rc)
            rc = interpret(r, &seen, &f);
        if (rc)
            return rc;
    }
    if (seen.hosts > 1 || (!seen.hosts && !r->http10))
        return 400;
    return seen.length && seen.coding ? 400 : 0;
}

int hd_head_parse(struct session *x, struct request *r)
{
    const struct settings *set = &x->srv->set;
    const char *p = x->in + x->pos;
    size_t n = x->have - x->pos;
    struct cursor c = {p, p, false};
    int rc;

    /* What is behind the longest head must not count: it may have come already
     * or not. */
    c.end += n < set->max_head ? n : set->max_head;
    memset(r, 0, sizeof *r);
    rc = request_line(&c, r);
    if (!rc) {
        r->keep = !r->http10;
        rc = read_fields(&c, r, set->max_headers);
    }
    if (rc && c.cut)
        return examine_part(p, (size_t)(c.end - p), set->max_head);
    return rc ? -rc : (int)(c.p - p);
}
