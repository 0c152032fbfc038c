/* SPDX-License-Identifier: MIT */
/* From a parsed head to a response. */
#include <stdio.h>
#include <string.h>

#include "cache.h"
#include "gzip.h"
#include "listing.h"
#include "path.h"
#include "ranges.h"
#include "session.h"

#define INDEX "index.html"
#define STATS ".weft/stats"

static int status_of(long rc)
{
    switch (-rc) {
    case ENOENT:
    case ENOTDIR:
    case EXDEV: /* outside the root: as if it were not there */
    case ELOOP:
        return 404;
    case EACCES:
    case EPERM:
        return 403;
    case EINVAL:
        return 400;
    case ENAMETOOLONG:
        return 414;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
    case ETIMEDOUT:
        return 503;
    default:
        return 500;
    }
}

static void fail(struct session *x, const struct request *r, long rc)
{
    int status = status_of(rc);

    if (rc == -ECANCELED) {
        x->err = -ECANCELED; /* the runtime stops */
        x->status = 503;
        return;
    }
    if (rc == -ETIMEDOUT)
        hd_deadline_renew(x, x->srv->set.send_timeout);
    hd_error(x, r, status, status == 503 ? HD_RETRY : "");
}

static bool try_turn(struct server *srv)
{
    uint64_t most = srv->set.max_held;

    if (most && load_relaxed(&srv->held) >= most)
        return false;
    if (add_relaxed(&srv->working, 1) < srv->set.max_work)
        return true;
    (void)sub_relaxed(&srv->working, 1);
    return false;
}

/* What has to be worked out, by threads that others wait for too, takes one of
 * a bounded number of turns until it is done. The result is held in memory
 * until the client has it; with too much of that nobody's turn comes. So
 * neither the queue nor the memory grows with the number of clients, and a few
 * who read slowly keep nobody from anything. False: x was answered with 503. */
static bool take_turn(struct session *x, const struct request *r)
{
    struct server *srv = x->srv;

    if (try_turn(srv))
        return true;
    if (srv->set.stats)
        add_relaxed(&srv->shed, 1);
    x->close = true;
    /* What the client has sent behind it would make the kernel take back the
     * answer. */
    x->linger = x->pos < x->have;
    hd_error(x, r, 503, HD_RETRY);
    return false;
}

/* n bytes have come of it, which are held until let_go. */
static void end_turn(struct session *x, size_t n)
{
    (void)add_relaxed(&x->srv->held, n);
    (void)sub_relaxed(&x->srv->working, 1);
}

static void let_go(struct session *x, char *result, size_t n)
{
    sys_free(result);
    (void)sub_relaxed(&x->srv->held, n);
}

/* Whether the entity tag is in the list, compared weakly. */
static bool has_tag(struct text list, const char *tag)
{
    const char *p = list.p, *end = p + list.n;
    size_t n = strlen(tag);

    while (p < end) {
        const char *close;

        if (*p == '*')
            return true;
        if (*p != '"') { /* also skips "W/" */
            p++;
            continue;
        }
        close = memchr(p + 1, '"', (size_t)(end - p - 1));
        if (!close)
            return false;
        if ((size_t)(close + 1 - p) == n && !memcmp(p, tag, n))
            return true;
        p = close + 1;
    }
    return false;
}

static bool is_text(struct text t, const char *s)
{
    return t.n == strlen(s) && !memcmp(t.p, s, t.n);
}

static bool not_modified(const struct request *r, const struct file *f,
                         const char *tag)
{
    int64_t since;

    if (r->if_none_match.p)
        return has_tag(r->if_none_match, tag);
    if (!r->if_modified_since.p)
        return false;
    if (is_text(r->if_modified_since, f->modified))
        return true;
    return hd_date_parse(r->if_modified_since, &since) && f->mtime <= since;
}

static void send_not_modified(struct session *x, const struct request *r,
                              const struct file *f, const char *tag)
{
    hd_start(x, r, 304);
    hd_printf(x, "Last-Modified: %s\r\nETag: %s\r\n%s\r\n", f->modified, tag,
              f->gzip ? "Vary: Accept-Encoding\r\n" : "");
}

static void send_gzip(struct session *x, const struct request *r,
                      const struct file *f, const char *tag)
{
    const struct settings *set = &x->srv->set;
    char length[48] = "";
    char *out = NULL;
    size_t n = 0;
    int rc;

    if (r->method == HD_GET) {
        if (!take_turn(x, r))
            return;
        /* What was answered before must not wait for this. */
        hd_flush(x);
        hd_deadline(x, set->send_timeout);
        rc = hd_gzip(f, set->gzip, set->inline_gzip, &out, &n);
        end_turn(x, n);
        if (rc < 0) {
            fail(x, r, rc);
            return;
        }
        hd_deadline(x, set->send_timeout);
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", n);
        if (set->stats)
            add_relaxed(&x->srv->gzipped, 1);
    }
    /* Without compressing it a HEAD cannot tell the length, and may omit it. */
    hd_start(x, r, 200);
    hd_printf(x,
              "Last-Modified: %s\r\nETag: %s\r\nVary: Accept-Encoding\r\n"
              "Content-Encoding: gzip\r\nContent-Type: %s\r\n%s\r\n",
              f->modified, tag, f->type, length);
    if (n)
        hd_put(x, out, n);
    x->sent = n;
    let_go(x, out, n);
}

static void send_whole(struct session *x, const struct request *r,
                       const struct file *f)
{
    hd_start(x, r, 200);
    hd_put(x, f->meta.p, f->meta.n);
    if (r->method == HD_HEAD) {
        hd_put(x, f->tail.p, f->tail.n - (f->body ? (size_t)f->size : 0));
        return;
    }
    hd_put(x, f->tail.p, f->tail.n);
    if (!f->body)
        hd_put_file(x, f->fd, 0, (uint64_t)f->size);
    x->sent = (uint64_t)f->size;
}

/* Whether the Range field counts: not if If-Range names another version. */
static bool range_holds(const struct request *r, const struct file *f)
{
    if (!r->range.p || r->method != HD_GET)
        return false;
    return !r->if_range.p || is_text(r->if_range, f->etag) ||
           is_text(r->if_range, f->modified);
}

static void send_file(struct session *x, const struct request *r,
                      const struct file *f)
{
    struct range range[HD_RANGES];
    bool gzip = f->gzip && r->gzip && !r->range.p;
    char zipped[sizeof f->etag + 4], field[64];
    const char *tag = f->etag;
    int n = 0;

    if (gzip) { /* another representation, another tag */
        snprintf(zipped, sizeof zipped, "%.*s-gz\"", (int)strlen(tag) - 1, tag);
        tag = zipped;
    }
    if (not_modified(r, f, tag)) {
        send_not_modified(x, r, f, tag);
        return;
    }
    if (range_holds(r, f))
        n = hd_ranges_parse(r->range, (uint64_t)f->size, range);
    if (n < 0) {
        snprintf(field, sizeof field, "Content-Range: bytes */%llu\r\n",
                 (unsigned long long)f->size);
        hd_error(x, r, 416, field);
    } else if (n) {
        hd_ranges_send(x, r, f, range, n);
    } else if (gzip) {
        send_gzip(x, r, f, tag);
    } else {
        send_whole(x, r, f);
    }
}

static void redirect(struct session *x, const struct request *r,
                     const struct path *path)
{
    /* The path came in unescaped or escaped within a head, and so fits. */
    char field[3 * PATH_MAX + HD_HEAD_MAX + 32];
    char *p = mempcpy(field, "Location: /", 11);
    const char *query = memchr(r->target.p, '?', r->target.n);
    long n = hd_path_encode(p, (size_t)3 * PATH_MAX, path->s, path->n);

    if (n < 0) {
        fail(x, r, n);
        return;
    }
    p += n;
    *p++ = '/';
    if (query)
        p = mempcpy(p, query, r->target.n - (size_t)(query - r->target.p));
    memcpy(p, "\r\n", 3);
    hd_error(x, r, 301, field);
}

static void send_listing(struct session *x, const struct request *r,
                         const struct path *path)
{
    char *page = NULL;
    size_t n = 0;
    int rc;

    if (!take_turn(x, r))
        return;
    hd_flush(x);
    hd_deadline(x, x->srv->set.send_timeout);
    rc = hd_listing(x->srv, path, &page, &n);
    end_turn(x, n);
    if (rc < 0) {
        fail(x, r, rc);
        return;
    }
    hd_start(x, r, 200);
    hd_printf(x,
              "Content-Type: text/html; charset=utf-8\r\n"
              "Content-Length: %zu\r\n\r\n",
              n);
    if (r->method == HD_GET) {
        hd_put(x, page, n);
        x->sent = n;
    }
    let_go(x, page, n);
}

/* The path and query of a target in origin form or absolute form. */
static int origin_form(struct text *t)
{
    const char *slash;

    if (t->n && *t->p == '/')
        return 0;
    if (t->n < 8 || strncasecmp(t->p, "http://", 7) != 0)
        return -EINVAL;
    slash = memchr(t->p + 7, '/', t->n - 7);
    if (!slash)
        slash = t->p + t->n;
    t->n -= (size_t)(slash - t->p);
    t->p = slash;
    return 0;
}

static void get(struct session *x, const struct request *r)
{
    struct text target = r->target;
    struct file *f = NULL;
    struct path path;
    size_t n;
    int rc = origin_form(&target);

    if (!rc)
        rc = hd_path_decode(&path, target.p, target.n);
    if (rc < 0) {
        fail(x, r, rc);
        return;
    }
    if (x->srv->set.stats && !strcmp(path.s, STATS)) {
        hd_stats(x, r);
        return;
    }
    n = path.n;
    if (hd_path_is_dir(&path))
        rc = hd_path_add(&path, INDEX);
    if (!rc)
        rc = hd_cache_get(x->srv->cache, x->now, path.s, path.n, &f);
    if (!rc) {
        send_file(x, r, f);
        hd_file_put(f);
    } else if (path.n == n && rc == -EISDIR) {
        redirect(x, r, &path);
    } else if (path.n != n && (rc == -ENOENT || rc == -EISDIR)) {
        path.s[n] = '\0';
        path.n = n;
        send_listing(x, r, &path);
    } else {
        fail(x, r, rc);
    }
}

void hd_answer(struct session *x, const struct request *r)
{
    switch (r->method) {
    case HD_GET:
    case HD_HEAD:
        get(x, r);
        break;
    case HD_KNOWN:
        hd_error(x, r, 405, "Allow: GET, HEAD\r\n");
        break;
    default:
        hd_error(x, r, 501, "");
        break;
    }
}
