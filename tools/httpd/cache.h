/* SPDX-License-Identifier: MIT */
/* Open-file cache: a path is opened, examined and, if it is small, read once;
 * then it is looked at again at most once a second. */
#ifndef HTTPD_CACHE_H
#define HTTPD_CACHE_H

#include "httpd.h"

enum {
    HD_SMALL_FILE = 64 << 10, /* files up to this are kept in memory */
};

/* One version of one file, shared by all who send it. Constant but for refs
 * and what the cache keeps. */
struct file {
    struct list lru;    /* L:shard */
    struct file *chain; /* L:shard */
    _Atomic uint32_t refs;
    uint32_t hash;
    int64_t checked; /* L:shard: when it was last found unchanged, ns */
    int64_t touched; /* L:shard: when it was last moved to the front */
    bool cached;     /* L:shard */
    bool racy;       /* could have changed without a change of its times */
    bool gzip;       /* is sent compressed to those who take it */
    int fd;          /* -1: body holds everything */
    off_t size;
    int64_t mtime; /* s */
    struct timespec mtim, ctim;
    dev_t dev;
    ino_t ino;
    const char *type;
    char etag[40]; /* with its quotes */
    char modified[32];
    struct text path;
    struct text meta; /* ETag, Last-Modified and the like, CRLFs included */
    struct text tail; /* Content-Length, the empty line, and a body in memory */
    const char *body; /* NULL: read fd */
};

int hd_cache_open(struct cache **out, struct server *srv);
void hd_cache_close(struct cache *c);

/* The file of path at `now` (weft_now's clock); *out is a reference. -EISDIR,
 * -EACCES, -ENOENT, -EXDEV, -EMFILE, ... Blocks as open(2) and stat(2) do:
 * metadata of a tree that is being served is in the kernel's caches, and a trip
 * to the blocking pool costs more than it saves. */
int hd_cache_get(struct cache *c, int64_t now, const char *path, size_t n,
                 struct file **out);

void hd_file_put(struct file *f);

/* Reads n bytes at off into buf. 0, -EIO if the file has become shorter. */
int hd_file_read(const struct file *f, char *buf, size_t n, off_t off);

#endif
