/* SPDX-License-Identifier: MIT */
/* Open-file cache.
 *
 * A hash table in 16 shards, each with a spin lock that is held for a look-up
 * or a link operation only: opening, statting, reading and freeing happen
 * outside it. Entries are counted references; the table holds one.
 *
 * An entry is trusted for a second. The first who comes later claims the check
 * by moving `checked` forward, so that one task looks at the file while the
 * others go on with what is there, and compares device, inode, size, mtime and
 * ctime. A file that was changed less than two seconds before it was read
 * could change again within one tick of its times; such an entry is read again
 * at its next check ("racy", as git calls it).
 *
 * Bounds, per shard, least recently used first out: entries, bytes in memory,
 * descriptors. Misses are not remembered: they cost the client as much. */
#include "cache.h"

#include <stdio.h>
#include <string.h>

#include "date.h"
#include "path.h"
#include "types.h"

enum { SHARDS = 16, GZIP_MIN = 256 };

#define TRUST WEFT_SEC
#define RACY_SECONDS 2

struct shard {
    _Alignas(W_ISOLATED) struct spin lock;
    struct list lru; /* front: most recently used */
    struct file **table;
    unsigned entries;
    unsigned fds;
    size_t bytes;
};

struct cache {
    struct shard shard[SHARDS];
    struct server *srv;
    uint32_t mask;
    unsigned max_entries; /* per shard, as the next two */
    unsigned max_fds;
    size_t max_bytes;
};

static uint32_t hash_of(const char *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
    return (uint32_t)(h ^ h >> 32);
}

static struct shard *shard_of(struct cache *c, uint32_t hash)
{
    return &c->shard[hash % SHARDS];
}

static struct file **slot_of(struct cache *c, uint32_t hash)
{
    return &shard_of(c, hash)->table[(hash / SHARDS) & c->mask];
}

int hd_cache_open(struct cache **out, struct server *srv)
{
    unsigned n = srv->set.cache_files;
    struct rlimit lim = {256, 256};
    struct cache *c = sys_memalign(_Alignof(struct cache), sizeof *c);

    if (!c)
        return -ENOMEM;
    memset(c, 0, sizeof *c);
    (void)getrlimit(RLIMIT_NOFILE, &lim);
    c->srv = srv;
    c->max_entries = (n + SHARDS - 1) / SHARDS;
    c->max_bytes = srv->set.cache_bytes / SHARDS;
    /* An eighth of the descriptors, the rest is for connections. */
    c->max_fds = (unsigned)(lim.rlim_cur > 65536 ? 65536 : lim.rlim_cur) / 8;
    c->max_fds /= SHARDS;
    for (c->mask = 1; c->mask < c->max_entries * 2; c->mask *= 2)
        continue;
    for (int i = 0; i < SHARDS; i++) {
        list_init(&c->shard[i].lru);
        c->shard[i].table = sys_calloc(c->mask, sizeof(struct file *));
        if (!c->shard[i].table) {
            hd_cache_close(c);
            return -ENOMEM;
        }
    }
    c->mask--;
    *out = c;
    return 0;
}

void hd_file_put(struct file *f)
{
    if (sub_acq_rel(&f->refs, 1) != 1)
        return;
    if (f->fd >= 0)
        (void)sys_close(f->fd);
    sys_free(f);
}

static void link_locked(struct cache *c, struct shard *s, struct file *f)
{
    struct file **slot = slot_of(c, f->hash);

    f->chain = *slot;
    *slot = f;
    list_push_front(&s->lru, &f->lru);
    f->cached = true;
    s->entries++;
    s->fds += f->fd >= 0;
    s->bytes += f->body ? (size_t)f->size : 0;
}

/* The table's reference passes to the caller. */
static void unlink_locked(struct cache *c, struct shard *s, struct file *f)
{
    struct file **slot = slot_of(c, f->hash);

    while (*slot != f)
        slot = &(*slot)->chain;
    *slot = f->chain;
    list_remove(&f->lru);
    f->cached = false;
    s->entries--;
    s->fds -= f->fd >= 0;
    s->bytes -= f->body ? (size_t)f->size : 0;
}

void hd_cache_close(struct cache *c)
{
    for (int i = 0; c && i < SHARDS; i++) {
        struct shard *s = &c->shard[i];

        while (!list_empty(&s->lru)) {
            struct file *f = container_of(s->lru.next, struct file, lru);

            unlink_locked(c, s, f);
            hd_file_put(f);
        }
        sys_free(s->table);
    }
    sys_free(c);
}

static void drop(struct cache *c, struct file *f)
{
    struct shard *s = shard_of(c, f->hash);
    bool linked;

    spin_lock(&s->lock);
    linked = f->cached;
    if (linked)
        unlink_locked(c, s, f);
    spin_unlock(&s->lock);
    if (linked)
        hd_file_put(f);
}

static struct file *find_locked(struct cache *c, uint32_t hash,
                                const char *path, size_t n)
{
    for (struct file *f = *slot_of(c, hash); f; f = f->chain)
        if (f->hash == hash && f->path.n == n && !memcmp(f->path.p, path, n))
            return f;
    return NULL;
}

static bool too_full(const struct cache *c, const struct shard *s)
{
    return s->entries > c->max_entries || s->fds > c->max_fds ||
           s->bytes > c->max_bytes;
}

/* Makes f what its path leads to. What has to go for it is collected and let
 * go outside the lock, since that closes descriptors. */
static void insert(struct cache *c, struct file *f)
{
    struct shard *s = shard_of(c, f->hash);
    struct file *old, *dead = NULL;

    if (f->fd >= 0 ? !c->max_fds : (size_t)f->size > c->max_bytes)
        return;
    spin_lock(&s->lock);
    old = find_locked(c, f->hash, f->path.p, f->path.n);
    if (old) {
        unlink_locked(c, s, old);
        old->chain = dead;
        dead = old;
    }
    add_relaxed(&f->refs, 1);
    link_locked(c, s, f);
    while (too_full(c, s)) {
        old = container_of(s->lru.prev, struct file, lru);
        unlink_locked(c, s, old);
        old->chain = dead;
        dead = old;
    }
    spin_unlock(&s->lock);
    while (dead) {
        old = dead;
        dead = old->chain;
        hd_file_put(old);
    }
}

int hd_file_read(const struct file *f, char *buf, size_t n, off_t off)
{
    if (f->body) {
        memcpy(buf, f->body + off, n);
        return 0;
    }
    while (n) {
        ssize_t got = SYS_RET(pread(f->fd, buf, n, off));

        if (got == -EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? (int)got : -EIO;
        buf += got;
        off += got;
        n -= (size_t)got;
    }
    return 0;
}

/* Fills in what depends on the file's status, and the ready-made fields. */
static void describe(struct server *srv, struct file *f, char *text,
                     const struct stat *st)
{
    const struct type *t = hd_type(f->path.p);
    int64_t now = hd_time();
    int n;

    f->size = st->st_size;
    f->mtim = st->st_mtim;
    f->ctim = st->st_ctim;
    f->dev = st->st_dev;
    f->ino = st->st_ino;
    f->type = t->name;
    f->racy = st->st_ctim.tv_sec + RACY_SECONDS > now;
    /* A date in the future must not be sent (RFC 9110, 8.8.2.1). */
    f->mtime = st->st_mtim.tv_sec < now ? st->st_mtim.tv_sec : now;
    f->gzip = srv->set.gzip && t->text && st->st_size >= GZIP_MIN &&
              (uint64_t)st->st_size <= srv->set.gzip_max;
    snprintf(f->etag, sizeof f->etag, "\"%llx.%lx-%llx\"",
             (unsigned long long)st->st_mtim.tv_sec,
             (unsigned long)st->st_mtim.tv_nsec,
             (unsigned long long)st->st_size);
    hd_date_format(f->modified, f->mtime);
    f->modified[HD_DATE] = '\0';
    f->meta.p = text;
    n = sprintf(text, "Last-Modified: %s\r\nETag: %s\r\n%s", f->modified,
                f->etag, f->gzip ? "Vary: Accept-Encoding\r\n" : "");
    f->meta.n = (size_t)n;
    text += n + 1;
    f->tail.p = text;
    n = sprintf(text,
                "Content-Type: %s\r\nAccept-Ranges: bytes\r\n"
                "Content-Length: %llu\r\n\r\n",
                f->type, (unsigned long long)f->size);
    f->tail.n = (size_t)n;
}

/* A struct file, its path, its fields and its body in one piece of memory. */
static int make(struct cache *c, int64_t now, const char *path, size_t n,
                int fd, const struct stat *st, struct file **out)
{
    enum { FIELDS = 512 };
    bool small = st->st_size <= HD_SMALL_FILE;
    size_t body = small ? (size_t)st->st_size : 0;
    struct file *f = sys_malloc(sizeof *f + n + 1 + FIELDS + body);
    char *text;
    int rc;

    if (!f)
        return -ENOMEM;
    memset(f, 0, sizeof *f);
    text = (char *)(f + 1);
    memcpy(text, path, n);
    text[n] = '\0';
    f->path = (struct text){text, n};
    f->hash = hash_of(path, n);
    f->fd = fd;
    f->checked = now;
    f->touched = f->checked;
    store_relaxed(&f->refs, 1);
    describe(c->srv, f, text + n + 1, st);
    if (small) {
        char *to = (char *)f->tail.p + f->tail.n;

        rc = hd_file_read(f, to, body, 0);
        if (rc < 0) {
            sys_free(f);
            return rc;
        }
        f->body = to;
        f->tail.n += body;
        f->fd = -1;
        (void)sys_close(fd);
    }
    *out = f;
    return 0;
}

static int load(struct cache *c, int64_t now, const char *path, size_t n,
                struct file **out)
{
    /* O_NONBLOCK: a FIFO must not hold up the worker. */
    int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
    struct stat st;
    int rc, fd;

    fd = hd_open_beneath(c->srv->root, path, flags, c->srv->set.no_openat2);
    if (fd < 0)
        return fd;
    rc = sys_fstat(fd, &st);
    if (!rc && S_ISDIR(st.st_mode))
        rc = -EISDIR;
    else if (!rc && !S_ISREG(st.st_mode))
        rc = -EACCES;
    if (!rc)
        rc = make(c, now, path, n, fd, &st, out);
    if (rc < 0)
        (void)sys_close(fd);
    else if (c->max_entries)
        insert(c, *out);
    return rc;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Whether the path still leads to what f holds. */
static bool is_current(struct cache *c, const struct file *f)
{
    struct stat st;
    int rc, fd;

    if (f->racy)
        return false;
    fd = hd_open_beneath(c->srv->root, f->path.p, O_PATH,
                         c->srv->set.no_openat2);
    if (fd < 0)
        /* Out of descriptors is no news about the file. */
        return fd == -EMFILE || fd == -ENFILE;
    rc = sys_fstat(fd, &st);
    (void)sys_close(fd);
    return !rc && st.st_dev == f->dev && st.st_ino == f->ino &&
           st.st_size == f->size && same_time(st.st_mtim, f->mtim) &&
           same_time(st.st_ctim, f->ctim);
}

int hd_cache_get(struct cache *c, int64_t now, const char *path, size_t n,
                 struct file **out)
{
    uint32_t hash = hash_of(path, n);
    struct shard *s = shard_of(c, hash);
    bool check = false;
    struct file *f;

    spin_lock(&s->lock);
    f = find_locked(c, hash, path, n);
    if (f) {
        add_relaxed(&f->refs, 1);
        check = now - f->checked >= TRUST;
        if (check)
            f->checked = now;
        if (now - f->touched >= TRUST) {
            f->touched = now;
            list_remove(&f->lru);
            list_push_front(&s->lru, &f->lru);
        }
    }
    spin_unlock(&s->lock);
    if (f && check && !is_current(c, f)) {
        drop(c, f);
        hd_file_put(f);
        f = NULL;
    }
    *out = f;
    return f ? 0 : load(c, now, path, n, out);
}
