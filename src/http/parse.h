/* SPDX-License-Identifier: MIT */
/* HTTP/1.x heads and chunked bodies. No I/O, no allocation, no copy.
 *
 * The caller reads into one buffer and calls again whenever it has grown; what
 * was judged is not looked at again, so a slow sender costs O(n) in all. The
 * buffer may move between calls: what points into it is moved along. A head is
 * judged byte by byte, so its verdict does not depend on how it was cut.
 *
 * Strict where leniency has let requests be smuggled: CRLF only, no folded
 * lines, no space before a colon, one Host, one Content-Length, and none
 * beside a transfer coding. */
#ifndef WEFT_HTTP_PARSE_H
#define WEFT_HTTP_PARSE_H

#include "base/base.h"

/* A piece of text that is not terminated. p is NULL where a field was absent.
 */
struct slice {
    const char *p;
    size_t n;
};

struct http_header {
    struct slice name;
    struct slice value; /* without the blanks around it */
};

/* Constant while heads are parsed with it. */
struct http_limits {
    size_t head;      /* bytes from the first to the end of the empty line */
    size_t target;    /* bytes of the request target */
    unsigned headers; /* fields, and elements of the array if there is one */
};

enum http_method {
    HTTP_OTHER, /* a valid token that is none of these: answer 501 */
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_PATCH,
    HTTP_OPTIONS,
    HTTP_TRACE,
    HTTP_CONNECT,
};

/* A request's or a response's head. Valid only after a positive result. */
struct http_head {
    /* The parser's own, with what w_http_head_init was given. */
    struct http_header *headers;
    const struct http_limits *limits;
    const char *base; /* the buffer at the last call */
    size_t pos;       /* bytes judged so far */
    size_t mark;      /* where the element under way begins */
    size_t colon;     /* ... and where its value begins */
    long result;
    uint8_t state;
    uint8_t gzip, star; /* what Accept-Encoding said of them */
    bool blank_line, close, keep, coded, unknown_coding;
    bool many_etags, many_dates, many_ranges, many_if_ranges;

    unsigned count; /* headers filled */
    unsigned minor; /* 0: HTTP/1.0; 1: HTTP/1.1 or a later 1.x */
    uint64_t content_length;
    bool keep_alive;
    bool has_length; /* content_length was said */
    bool chunked;

    /* A request's. */
    enum http_method method;
    struct slice method_name;
    struct slice target;
    struct slice path; /* of target, before '?'; empty for OPTIONS *, CONNECT */
    struct slice query; /* what follows '?' */
    struct slice host;  /* target's authority, else the Host field */
    bool has_host;
    bool expect_continue;
    bool accept_gzip;
    /* Conditions, ready for text.h. A field that came twice counts as absent,
     * If-Modified-Since also beside an If-None-Match. */
    struct slice if_none_match;
    struct slice if_modified_since;
    struct slice if_range;
    struct slice range;

    /* A response's. */
    unsigned status;
    struct slice reason;
    bool no_body;     /* 1xx, 204, 304: whatever the fields say */
    bool until_close; /* the body ends with the connection */
};

/* headers may be NULL: no field is stored, the facts are. */
void w_http_head_init(struct http_head *h, struct http_header *headers,
                      const struct http_limits *limits);

/* Parses [buf, buf+len). > 0: the head's length; 0: more is needed; < 0: minus
 * the status to answer (400, 414, 431, 501, 505). The last two are final: the
 * same result comes again. A request has a body if chunked or content_length.
 */
W_MUST_CHECK long w_http_request(struct http_head *h, const char *buf,
                                 size_t len);

/* The same for a response; -400 if it is malformed, -431 too large, -505. */
W_MUST_CHECK long w_http_response(struct http_head *h, const char *buf,
                                  size_t len);

/* The first field of this name (lower case), or NULL. */
const struct http_header *w_http_find(const struct http_head *h,
                                      const char *name);

/* A chunked body on its way. Zero is its start. */
struct http_chunked {
    uint64_t left;  /* of the chunk, or the size read so far */
    uint64_t total; /* body bytes passed on */
    uint32_t line;  /* bytes of size digits, of the extension, of trailers */
    uint8_t state;
    bool done;
};

/* Eats a prefix of [buf, buf+len) and returns how much; stops behind a run of
 * body bytes, which *data then shows, at the end (done), or when all is eaten.
 * -400: malformed; -431: an extension or the trailers too long. */
W_MUST_CHECK long w_http_chunked(struct http_chunked *c, const char *buf,
                                 size_t len, struct slice *data);

/* The same for a body that is not wanted: eats up to the end (done) or all. */
W_MUST_CHECK long w_http_chunked_skip(struct http_chunked *c, const char *buf,
                                      size_t len);

#endif
