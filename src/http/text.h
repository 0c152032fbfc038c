/* SPDX-License-Identifier: MIT */
/* What HTTP writes into fields and targets: paths, dates, ranges, entity tags,
 * content types. */
#ifndef WEFT_HTTP_TEXT_H
#define WEFT_HTTP_TEXT_H

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "http/parse.h"

/* Decodes a target's path ("/a/b%20c/") into out, as a relative path without
 * "." and empty segments, NUL-terminated; a trailing slash stays; the root is
 * "". Its length, -ENAMETOOLONG, or -EINVAL: no leading slash, a bad escape, a
 * NUL, an escaped slash, or a ".." segment. So it cannot leave its root. */
W_MUST_CHECK long w_http_path_decode(struct slice path, char *out, size_t size);

#define HTTP_DATE_LEN 29

/* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL. Years before 0 and after 9999 are
 * taken as those. */
void w_http_date_format(char out[HTTP_DATE_LEN + 1], int64_t seconds);

/* Any of HTTP's three forms. now, in seconds, tells the century of a year of
 * two digits. 0 or -EINVAL. */
W_MUST_CHECK int w_http_date_parse(struct slice text, int64_t now,
                                   int64_t *seconds);

struct http_range {
    uint64_t first;
    uint64_t n; /* > 0 */
};

/* A Range field's ranges of a body of `size` bytes, cut to it, those beyond it
 * left out. How many; -ERANGE: none is satisfiable (answer 416); -EINVAL: not
 * bytes, or malformed, and -E2BIG: more than max were asked for (both: ignore
 * the field). */
W_MUST_CHECK int w_http_ranges(struct slice field, uint64_t size,
                               struct http_range *out, unsigned max);

/* True if a list of entity tags ("*", W/"a", "b") has this one (with its
 * quotes), by weak comparison. A malformed list has none from there on. */
bool w_http_etag_match(struct slice list, struct slice etag);

/* A content type by the path's extension, never NULL. */
const char *w_http_mime(struct slice path);

/* RFC 9110's tchar, and what an authority is made of. */
extern const bool w_http_is_token[256];
extern const bool w_http_is_authority[256];

/* Cuts the next element off a comma-separated list, without the blanks around
 * it; it may be empty. False: no more. */
bool w_http_next_element(struct slice *list, struct slice *element);

/* True if an element's parameters (";q=0.5") do not say q=0. */
bool w_http_weight_allows(struct slice params);

/* --- scans ---------------------------------------------------------------- */

/* Browsers send more than the URI grammar has (| ^ { }); all that is visible
 * may pass, but for the fragment, which never belongs into a request. */
static inline bool text_is_target(unsigned char c)
{
    return c > 0x20 && c < 0x7f && c != '#';
}

/* High bytes are obs-text. */
static inline bool text_is_value(unsigned char c)
{
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

#define TEXT_ONES (~(uint64_t)0 / 255)
#define TEXT_HIGH (TEXT_ONES * 0x80)

/* Eight bytes, the first one lowest. */
static inline uint64_t text_load8(const char *p)
{
    uint64_t x;

    memcpy(&x, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

/* The high bit of each byte that is zero or below n (<= 0x80). Only the lowest
 * one found is exact, and no more is asked for. */
static inline uint64_t text_zeros(uint64_t x)
{
    return (x - TEXT_ONES) & ~x & TEXT_HIGH;
}

static inline uint64_t text_below(uint64_t x, unsigned n)
{
    return (x - TEXT_ONES * n) & ~x & TEXT_HIGH;
}

static inline const char *text_skip_token(const char *p, const char *end)
{
    while (p < end && w_http_is_token[(unsigned char)*p])
        p++;
    return p;
}

static inline const char *text_skip_target(const char *p, const char *end)
{
#if defined(__SSE2__)
    const __m128i blank = _mm_set1_epi8(0x20), del = _mm_set1_epi8(0x7f),
                  hash = _mm_set1_epi8('#');

    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* Signed: high bytes are below the blank. */
        __m128i good = _mm_cmpgt_epi8(x, blank);
        __m128i bad =
            _mm_or_si128(_mm_cmpeq_epi8(x, del), _mm_cmpeq_epi8(x, hash));
        unsigned mask =
            (unsigned)_mm_movemask_epi8(_mm_andnot_si128(bad, good));

        if (mask != 0xffff)
            return p + __builtin_ctz(~mask);
    }
#endif
    for (; end - p >= 8; p += 8) {
        uint64_t x = text_load8(p);
        uint64_t bad = text_below(x, 0x21) | text_zeros(x ^ TEXT_ONES * 0x7f) |
                       text_zeros(x ^ TEXT_ONES * '#') | (x & TEXT_HIGH);

        if (bad)
            return p + __builtin_ctzll(bad) / 8;
    }
    while (p < end && text_is_target((unsigned char)*p))
        p++;
    return p;
}

/* Stops at a control character; tabs are rare and cost a step each. */
static inline const char *text_skip_printable(const char *p, const char *end)
{
#if defined(__SSE2__)
    const __m128i top = _mm_set1_epi8(0x1f), del = _mm_set1_epi8(0x7f);

    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, top), x);
        unsigned mask = (unsigned)_mm_movemask_epi8(
            _mm_or_si128(low, _mm_cmpeq_epi8(x, del)));

        if (mask)
            return p + __builtin_ctz(mask);
    }
#endif
    for (; end - p >= 8; p += 8) {
        uint64_t x = text_load8(p);
        uint64_t bad = text_below(x, 0x20) | text_zeros(x ^ TEXT_ONES * 0x7f);

        if (bad)
            return p + __builtin_ctzll(bad) / 8;
    }
    while (p < end && (unsigned char)*p >= 0x20 && *p != 0x7f)
        p++;
    return p;
}

static inline const char *text_skip_value(const char *p, const char *end)
{
    while ((p = text_skip_printable(p, end)) < end && *p == '\t')
        p++;
    return p;
}

static inline struct slice text_between(const char *from, const char *to)
{
    return (struct slice){from, (size_t)(to - from)};
}

static inline bool text_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* s is lower case, and t of characters without control ones. */
static inline __attribute__((always_inline)) bool text_is(struct slice t,
                                                          const char *s)
{
    size_t n = strlen(s), i = 0;

    if (t.n != n)
        return false;
    for (; n - i >= 8; i += 8)
        if ((text_load8(t.p + i) | TEXT_ONES * 0x20) != text_load8(s + i))
            return false;
    for (; i < n; i++)
        if ((t.p[i] | 0x20) != s[i])
            return false;
    return true;
}

#endif
