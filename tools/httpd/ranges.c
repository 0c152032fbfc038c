/* SPDX-License-Identifier: MIT */
/* The Range field: one range is answered as it is, several as
 * multipart/byteranges, in the order in which they were asked for.
 *
 * A request for more than the whole file in overlapping pieces is an attack or
 * a mistake (RFC 9110, 14.2) and is answered with the whole file, as is one
 * with more than 16 ranges. */
#include "ranges.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { PART_MAX = 384 };

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p;
}

/* Reads digits; what does not fit is as good as the largest number. Returns
 * NULL if there are none. */
static const char *number(const char *p, const char *end, uint64_t *out)
{
    const char *start = p;
    uint64_t v = 0;

    for (; p < end && *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, *p - '0', &v))
            v = UINT64_MAX / 16;
    *out = v;
    return p == start ? NULL : p;
}

/* One "a-b", "a-" or "-n". NULL: bad syntax. range->n is 0 if it cannot be
 * satisfied. */
static const char *spec(const char *p, const char *end, uint64_t size,
                        struct range *range)
{
    uint64_t first, last = UINT64_MAX;
    const char *q = number(p, end, &first);

    *range = (struct range){0};
    if (q) {
        if (q == end || *q++ != '-')
            return NULL;
        p = number(q, end, &last);
        if (!p) {
            p = q;
            last = UINT64_MAX;
        }
        if (last < first)
            return NULL;
        if (first < size) {
            range->first = first;
            range->n = (last < size ? last + 1 : size) - first;
        }
        return p;
    }
    if (p == end || *p++ != '-')
        return NULL;
    p = number(p, end, &last);
    if (p && last) {
        range->n = last < size ? last : size;
        range->first = size - range->n;
    }
    return p;
}

int hd_ranges_parse(struct text field, uint64_t size,
                    struct range range[HD_RANGES])
{
    const char *p = field.p, *end = p + field.n;
    uint64_t sum = 0;
    int n = 0, seen = 0;

    if (field.n < 6 || strncasecmp(p, "bytes=", 6) != 0)
        return 0;
    for (p += 6;; p++) {
        struct range one;

        p = skip_space(p, end);
        if (p < end && *p != ',') {
            p = spec(p, end, size, &one);
            if (!p || ++seen > HD_RANGES)
                return 0;
            if (one.n)
                range[n++] = one;
            sum += one.n;
        }
        p = skip_space(p, end);
        if (p == end)
            break;
        if (*p != ',')
            return 0;
    }
    if (n > 1 && sum > size)
        return 0;
    return n ? n : seen ? -1 : 0;
}

static void put_slice(struct session *x, const struct file *f, struct range r)
{
    if (f->body)
        hd_put(x, f->body + r.first, (size_t)r.n);
    else
        hd_put_file(x, f->fd, (off_t)r.first, r.n);
    x->sent += r.n;
}

static void send_one(struct session *x, const struct file *f, struct range r)
{
    hd_printf(x,
              "Content-Type: %s\r\n"
              "Content-Range: bytes %llu-%llu/%llu\r\n"
              "Content-Length: %llu\r\n\r\n",
              f->type, (unsigned long long)r.first,
              (unsigned long long)(r.first + r.n - 1),
              (unsigned long long)f->size, (unsigned long long)r.n);
    put_slice(x, f, r);
}

static int part_head(char out[PART_MAX], const char *mark, const struct file *f,
                     struct range r)
{
    return snprintf(out, PART_MAX,
                    "\r\n--%s\r\nContent-Type: %s\r\n"
                    "Content-Range: bytes %llu-%llu/%llu\r\n\r\n",
                    mark, f->type, (unsigned long long)r.first,
                    (unsigned long long)(r.first + r.n - 1),
                    (unsigned long long)f->size);
}

static void send_many(struct session *x, const struct file *f,
                      const struct range *range, int n)
{
    char part[PART_MAX], mark[33], tail[48];
    uint64_t total, random[2];
    int len;

    /* The boundary must not be guessable by who wrote the file. */
    if (getentropy(random, sizeof random))
        random[0] = random[1] = (uint64_t)weft_now();
    snprintf(mark, sizeof mark, "%016llx%016llx", (unsigned long long)random[0],
             (unsigned long long)random[1]);
    total = (uint64_t)snprintf(tail, sizeof tail, "\r\n--%s--\r\n", mark);
    for (int i = 0; i < n; i++)
        total += (uint64_t)part_head(part, mark, f, range[i]) + range[i].n;
    hd_printf(x,
              "Content-Type: multipart/byteranges; boundary=%s\r\n"
              "Content-Length: %llu\r\n\r\n",
              mark, (unsigned long long)total);
    for (int i = 0; i < n; i++) {
        len = part_head(part, mark, f, range[i]);
        hd_put(x, part, (size_t)len);
        put_slice(x, f, range[i]);
    }
    hd_puts(x, tail);
    x->sent = total;
}

void hd_ranges_send(struct session *x, const struct request *r,
                    const struct file *f, const struct range *range, int n)
{
    hd_start(x, r, 206);
    hd_put(x, f->meta.p, f->meta.n);
    if (n == 1)
        send_one(x, f, range[0]);
    else
        send_many(x, f, range, n);
}
