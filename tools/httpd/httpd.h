/* SPDX-License-Identifier: MIT */
/* weft-httpd: what its files share.
 *
 *   main.c     start, signals, stop
 *   settings.c the command line
 *   conn.c     a connection's life: idle without a stack, awake in a task
 *   head.c     from bytes to a parsed head
 *   request.c  from a parsed head to a response
 *   body.c     request bodies, which are read and dropped
 *   ranges.c   the Range field and multipart/byteranges
 *   out.c      response bytes on their way out, error pages
 *   path.c     from a request target to a descriptor inside the root
 *   cache.c    open-file cache
 *   gzip.c     compression on the executor
 *   listing.c  directory listings
 *   log.c      access log
 *   stats.c    the figures behind --stats
 *   date.c     HTTP dates
 *   types.c    content types
 *
 * Extern names carry hd_.
 */
#ifndef HTTPD_H
#define HTTPD_H

#include <weft.h>

#include "base/atomic.h"
#include "base/base.h"
#include "base/list.h"
#include "base/spin.h"
#include "base/sys.h"

struct cache;
struct log;

struct settings {
    const char *root;
    const char *listen;
    const char *port_file;  /* NULL: none */
    const char *access_log; /* "-": standard output; NULL: off */
    struct weft_options runtime;
    int gzip; /* 1..9; 0: off */
    bool inline_gzip;
    bool stats;
    bool no_openat2;
    unsigned max_headers;
    unsigned max_conns;  /* 0: by the limit of descriptors */
    unsigned max_work;   /* requests at a time that need work */
    uint64_t max_held;   /* of its results, to begin more; 0: any */
    unsigned cache_files;
    size_t cache_bytes;
    size_t max_head;
    uint64_t max_body;
    uint64_t gzip_max;
    int64_t head_timeout;
    int64_t body_timeout;
    int64_t idle_timeout;
    int64_t send_timeout;
    int64_t grace;
};

struct server {
    struct settings set; /* constant while tasks run */
    int root;            /* the directory that is served */
    struct cache *cache;
    struct log *log; /* NULL: off */
    weft_listener *listener;
    int signals;

    _Atomic bool stopping; /* set once; pairs with conn.state */
    struct spin lock;      /* guards conns and the counts of them */
    struct list fresh;   /* connections that have never sent anything */
    struct list conns;   /* the others */
    unsigned nconns;     /* refused ones included */
    unsigned nrefused;   /* of these, answered with 503 and on their way out
                          */
    unsigned room;       /* nconns at which no more are accepted, constant */
    weft_event changed;  /* nconns fell */
    _Atomic unsigned working; /* at most max_work */
    _Atomic uint64_t held;    /* bytes of results on their way out */

    /* Relaxed counters, kept only with --stats. */
    _Alignas(W_ISOLATED) _Atomic uint64_t accepted;
    _Atomic uint64_t requests;
    _Atomic uint64_t gzipped;
    _Atomic uint64_t refused; /* connections answered with 503 */
    _Atomic uint64_t shed;    /* requests answered with 503 for want of a turn */
};

#define HD_NAME "weft-httpd"

/* A piece of text that is not terminated. */
struct text {
    const char *p;
    size_t n;
};

#endif
