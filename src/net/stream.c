/* SPDX-License-Identifier: MIT */
/* Streams: a socket or pipe, read through a buffer that exists only while it
 * is of use, written straight through.
 *
 * Every operation tries the system call first. A read that got less than it
 * asked for has emptied the socket, so the next one waits at once for the next
 * edge instead of asking for EAGAIN; unless an end was signalled, which may
 * have come with the same edge.
 *
 * Who is inside a call, and closing meanwhile: door.h. */
#include "net/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/sys.h"
#include "net/sigpipe.h"

/* ---- life -------------------------------------------------------------- */

int w_stream_make(struct weft_stream **out, int fd, enum stream_kind kind)
{
    struct weft_runtime *rt = weft_runtime_self();
    struct weft_stream *s;
    int rc;

    if (!rt)
        return -EPERM;
    s = sys_calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    rc = w_cell_open(rt, fd, &s->cell);
    if (rc < 0) {
        sys_free(s);
        return rc;
    }
    s->fd = fd;
    s->socket = kind != STREAM_PIPE;
    s->gapless = kind == STREAM_TCP;
    *out = s;
    return 0;
}

/* Only of TCP does a short read tell that nothing is left: one from a Unix
 * socket can end at a passed descriptor, one from a packet socket at each
 * packet. */
enum stream_kind w_stream_kind(int fd, int family)
{
    int one = 1;

    if (family != AF_INET && family != AF_INET6)
        return STREAM_SOCKET;
    /* Requests and answers are written whole: waiting to fill a segment only
     * adds the peer's delayed acknowledgement. */
    (void)sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return STREAM_TCP;
}

int weft_stream_attach(weft_stream **out, int fd)
{
    enum stream_kind kind = STREAM_PIPE;
    int flags, rc, family = AF_UNSPEC, type = 0;
    socklen_t n = sizeof family, m = sizeof type;
    struct stat st;

    if (!w_current())
        return -EPERM;
    rc = sys_fstat(fd, &st);
    if (rc < 0)
        return rc;
    if (S_ISSOCK(st.st_mode)) {
        (void)sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n);
        (void)sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &m);
        kind = type == SOCK_STREAM ? w_stream_kind(fd, family) : STREAM_SOCKET;
    }
    flags = sys_fcntl(fd, F_GETFL, 0);
    if (flags < 0)
        return flags;
    rc = sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (rc < 0)
        return rc;
    return w_stream_make(out, fd, kind);
}

static void destroy(struct weft_stream *s)
{
    w_cell_close(s->cell);
    (void)sys_close(s->fd);
    sys_free(s->in);
    sys_free(s->out);
    sys_free(s);
}

static int enter(struct weft_stream *s, int dir)
{
    return door_enter(&s->door, dir);
}

static void leave(struct weft_stream *s, int dir)
{
    if (door_leave(&s->door, dir))
        destroy(s);
}

static int flush_now(struct weft_stream *s, bool wait, int flags);

void weft_close(weft_stream *s)
{
    unsigned inside;

    if (!s)
        return;
    (void)w_watch_disarm(&s->watch);
    inside = door_close(&s->door);
    if (!(inside & 1u << DIR_WRITE))
        (void)flush_now(s, false, 0);
    if (inside)
        w_cell_wake(s->cell, -EBADF);
    if (door_closed_by(&s->door))
        destroy(s);
}

int weft_stream_fd(const weft_stream *s)
{
    return s->fd;
}

int weft_stream_peer(const weft_stream *s, char *buf, size_t n)
{
    struct addr a = {.len = sizeof a.storage};
    int rc;

    if (!s->socket)
        return -ENOTCONN;
    memset(&a.storage, 0, sizeof a.storage);
    rc = sys_getpeername(s->fd, &a.sa, &a.len);
    return rc < 0 ? -ENOTCONN : w_addr_format(&a, buf, n);
}

/* ---- reading ----------------------------------------------------------- */

/* The kernel says that nothing more comes. What it told a write is known once
 * that is back: it was marked before, and the socket's lock came between. */
static ssize_t end_of(struct weft_stream *s)
{
    while (load_acquire(&s->writing))
        sys_yield();
    return load_relaxed(&s->reset) ? -ECONNRESET : 0;
}

/* At least one byte into the caller's memory, 0 at the end, or an error. */
static ssize_t fill(struct weft_stream *s, char *buf, size_t n)
{
    for (;;) {
        uint32_t tick = cell_tick(s->cell, DIR_READ);
        ssize_t got;

        if (unlikely(door_closed(&s->door)))
            return -EBADF;
        if (s->drained && tick == s->seen && !load_acquire(&s->cell->hup)) {
            got = -EAGAIN;
        } else {
            got = s->socket ? sys_recv(s->fd, buf, n, 0)
                            : sys_read(s->fd, buf, n);
            s->drained =
                got == -EAGAIN || (s->gapless && got > 0 && (size_t)got < n);
            s->seen = tick;
        }
        if (got == -EINTR)
            continue;
        if (got != -EAGAIN)
            return got ? got : end_of(s);
        got = w_cell_wait(s->cell, DIR_READ, tick);
        if (got < 0)
            return got;
    }
}

static size_t buffered(const struct weft_stream *s)
{
    return s->in_end - s->in_start;
}

size_t weft_stream_buffered(const weft_stream *s)
{
    return buffered(s);
}

static void drop_buffer(struct weft_stream *s)
{
    sys_free(s->in);
    s->in = NULL;
    s->in_size = s->in_start = s->in_end = 0;
}

static size_t take(struct weft_stream *s, void *buf, size_t n)
{
    size_t have = buffered(s);

    if (n > have)
        n = have;
    if (n)
        memcpy(buf, s->in + s->in_start, n);
    s->in_start += (uint32_t)n;
    if (s->in_start == s->in_end) {
        s->in_start = s->in_end = 0;
        if (s->in_size > STREAM_BUFFER)
            drop_buffer(s);
    }
    return n;
}

/* Room for more bytes behind those that are there. */
static int make_room(struct weft_stream *s)
{
    size_t size = s->in_size ? 2 * s->in_size : STREAM_BUFFER;
    char *in;

    if (s->in_start) {
        memmove(s->in, s->in + s->in_start, buffered(s));
        s->in_end -= s->in_start;
        s->in_start = 0;
    }
    if (s->in_end < s->in_size)
        return 0;
    in = sys_realloc(s->in, size);
    if (!in)
        return -ENOMEM;
    s->in = in;
    s->in_size = size;
    return 0;
}

/* More bytes behind those that are there. 0: end. */
static ssize_t fill_buffer(struct weft_stream *s)
{
    ssize_t got = make_room(s);

    if (got == 0)
        got = fill(s, s->in + s->in_end, s->in_size - s->in_end);
    if (got > 0)
        s->in_end += (size_t)got;
    return got;
}

static ssize_t read_some(struct weft_stream *s, void *buf, size_t n)
{
    return buffered(s) ? (ssize_t)take(s, buf, n) : fill(s, buf, n);
}

ssize_t weft_read(weft_stream *s, void *buf, size_t n)
{
    ssize_t rc = enter(s, DIR_READ);

    if (rc < 0)
        return rc;
    rc = n ? read_some(s, buf, n) : 0;
    leave(s, DIR_READ);
    return rc;
}

/* Through the buffer: what came before a time-out stays for the next call, and
 * the next small read may find its bytes there. */
static ssize_t read_small(struct weft_stream *s, void *buf, size_t n)
{
    while (buffered(s) < n) {
        ssize_t rc = fill_buffer(s);

        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
    }
    return (ssize_t)take(s, buf, n);
}

static ssize_t read_large(struct weft_stream *s, char *buf, size_t n)
{
    size_t done = 0;

    while (done < n) {
        ssize_t rc = read_some(s, buf + done, n - done);

        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        done += (size_t)rc;
    }
    return (ssize_t)done;
}

ssize_t weft_readn(weft_stream *s, void *buf, size_t n)
{
    ssize_t rc = enter(s, DIR_READ);

    if (rc < 0)
        return rc;
    rc = n < STREAM_BUFFER ? read_small(s, buf, n) : read_large(s, buf, n);
    leave(s, DIR_READ);
    return rc;
}

static char *find(const char *in, size_t n, const char *mark, size_t mn)
{
    return likely(mn == 1) ? memchr(in, *mark, n) : memmem(in, n, mark, mn);
}

static ssize_t read_until(struct weft_stream *s, char *buf, size_t n,
                          const char *mark, size_t mn)
{
    size_t searched = 0, len;
    ssize_t rc = 1;

    for (;;) {
        char *end = NULL;

        len = buffered(s);
        if (len > searched)
            end =
                find(s->in + s->in_start + searched, len - searched, mark, mn);
        if (end) {
            len = (size_t)(end - s->in) - s->in_start + mn;
            break;
        }
        if (rc == 0 || len > n - 1)
            break;
        /* The mark may have begun. */
        searched = len >= mn ? len - (mn - 1) : 0;
        rc = fill_buffer(s);
        if (rc < 0)
            return rc;
    }
    if (len > n - 1)
        return -EMSGSIZE;
    take(s, buf, len);
    buf[len] = 0;
    return (ssize_t)len;
}

ssize_t weft_readuntil(weft_stream *s, char *buf, size_t n,
                       const void *delimiter, size_t dn)
{
    ssize_t rc;

    if (dn == 0 || n <= dn)
        return -EINVAL;
    rc = enter(s, DIR_READ);
    if (rc < 0)
        return rc;
    rc = read_until(s, buf, n, delimiter, dn);
    leave(s, DIR_READ);
    return rc;
}

ssize_t weft_readline(weft_stream *s, char *buf, size_t n)
{
    return weft_readuntil(s, buf, n, "\n", 1);
}

/* False: an edge will tell. Registration reports what is there; later on the
 * socket is asked, unless it is known to be empty. */
static bool may_have_bytes(struct weft_stream *s, uint32_t tick)
{
    struct cell *c = s->cell;
    bool registered;
    ssize_t rc;
    char byte;

    if (buffered(s))
        return true;
    spin_lock(&c->lock);
    registered = c->home != NULL;
    spin_unlock(&c->lock);
    if (!registered ||
        (s->drained && tick == s->seen && !load_acquire(&c->hup)))
        return false;
    if (!s->socket)
        return true;
    do
        rc = sys_recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    while (rc == -EINTR);
    s->drained = rc == -EAGAIN;
    s->seen = tick;
    return rc != -EAGAIN;
}

int weft_stream_watch(weft_stream *s, int64_t deadline, weft_fn *fn, void *arg)
{
    struct worker *w = w_worker();
    uint32_t seen = cell_tick(s->cell, DIR_READ);
    bool busy;

    if (!w || !w->current)
        return -EPERM;
    spin_lock(&s->door.lock);
    busy = s->door.inside[DIR_READ];
    spin_unlock(&s->door.lock);
    if (busy)
        return -EBUSY;
    /* A value that the tick does not have makes the watch fire at once. */
    if (may_have_bytes(s, seen))
        seen--;
    if (!buffered(s))
        drop_buffer(s);
    return w_cell_watch(s->cell, &s->watch, 1u << DIR_READ, seen, deadline, fn,
                        arg);
}

int weft_stream_watch_result(const weft_stream *s)
{
    return s->watch.result;
}

/* ---- writing ----------------------------------------------------------- */

static ssize_t pipe_writev(int fd, const struct iovec *v, int n)
{
    struct sigpipe_guard g;

    guard_enter(&g);
    return guard_leave(&g, sys_writev(fd, v, n));
}

/* Around a system call that writes; rc is its result. */
static void tell_reader(struct weft_stream *s, ssize_t rc)
{
    if (unlikely(rc == -ECONNRESET))
        store_relaxed(&s->reset, 1);
    store_release(&s->writing, 0);
}

static ssize_t write_once(struct weft_stream *s, const struct iovec *v, int n,
                          int flags)
{
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)v,
                       .msg_iovlen = (size_t)n};
    ssize_t rc;

    if (!s->socket)
        return pipe_writev(s->fd, v, n);
    store_relaxed(&s->writing, 1);
    if (n == 1)
        rc = sys_send(s->fd, v->iov_base, v->iov_len, MSG_NOSIGNAL | flags);
    else
        rc = sys_sendmsg(s->fd, &m, MSG_NOSIGNAL | flags);
    tell_reader(s, rc);
    return rc;
}

/* All of v, which is changed meanwhile. The number of bytes. */
static ssize_t write_all(struct weft_stream *s, struct iovec *v, int n,
                         int flags)
{
    size_t done = 0;

    for (;;) {
        uint32_t tick = cell_tick(s->cell, DIR_WRITE);
        ssize_t rc;

        while (n && v->iov_len == 0)
            v++, n--;
        if (!n)
            return (ssize_t)done;
        if (unlikely(door_closed(&s->door)))
            return -EBADF;
        rc = write_once(s, v, n, flags);
        if (rc == -EINTR)
            continue;
        if (rc == -EAGAIN) {
            rc = w_cell_wait(s->cell, DIR_WRITE, tick);
            if (rc < 0)
                return rc;
            continue;
        }
        if (rc < 0)
            return rc;
        done += (size_t)rc;
        for (; n && (size_t)rc >= v->iov_len; v++, n--)
            rc -= (ssize_t)v->iov_len;
        if (n) {
            v->iov_base = (char *)v->iov_base + rc;
            v->iov_len -= (size_t)rc;
        }
    }
}

static int flush_now(struct weft_stream *s, bool wait, int flags)
{
    struct iovec v = {s->out, s->out_n};
    ssize_t rc;

    if (!s->out_n)
        return 0;
    s->out_n = 0;
    rc = wait ? write_all(s, &v, 1, flags) : write_once(s, &v, 1, flags);
    sys_free(s->out);
    s->out = NULL;
    return rc < 0 ? (int)rc : 0;
}

/* Gathers if it fits; 1: it did. */
static int gather(struct weft_stream *s, const struct iovec *v, int n,
                  size_t total)
{
    if (!s->out && !(s->out = sys_malloc(STREAM_BUFFER)))
        return -ENOMEM;
    if (total > STREAM_BUFFER - s->out_n)
        return 0;
    for (int i = 0; i < n; i++) {
        if (!v[i].iov_len)
            continue;
        memcpy(s->out + s->out_n, v[i].iov_base, v[i].iov_len);
        s->out_n += (uint32_t)v[i].iov_len;
    }
    return 1;
}

#define IOV_CHUNK 64

static ssize_t write_pieces(struct weft_stream *s, const struct iovec *v, int n)
{
    struct iovec copy[IOV_CHUNK];
    size_t total = 0;
    ssize_t rc;

    for (int i = 0; i < n; i++)
        total += v[i].iov_len;
    if (s->corked) {
        rc = gather(s, v, n, total);
        if (rc == 0)
            rc = flush_now(s, true, MSG_MORE);
        else if (rc == 1)
            return (ssize_t)total;
        if (rc < 0)
            return rc;
        if (total <= STREAM_BUFFER / 2)
            return gather(s, v, n, total) == 1 ? (ssize_t)total : -ENOMEM;
    }
    while (n) {
        int k = n < IOV_CHUNK ? n : IOV_CHUNK;

        memcpy(copy, v, (size_t)k * sizeof *v);
        rc = write_all(s, copy, k, n > k ? MSG_MORE : 0);
        if (rc < 0)
            return rc;
        v += k;
        n -= k;
    }
    return (ssize_t)total;
}

ssize_t weft_writev(weft_stream *s, const struct iovec *v, int n)
{
    ssize_t rc;

    if (n < 0)
        return -EINVAL;
    rc = enter(s, DIR_WRITE);
    if (rc < 0)
        return rc;
    rc = write_pieces(s, v, n);
    leave(s, DIR_WRITE);
    return rc;
}

ssize_t weft_write(weft_stream *s, const void *buf, size_t n)
{
    struct iovec v = {(void *)(uintptr_t)buf, n};

    return weft_writev(s, &v, 1);
}

void weft_stream_cork(weft_stream *s)
{
    s->corked = true;
}

int weft_flush(weft_stream *s)
{
    int rc = enter(s, DIR_WRITE);

    if (rc < 0)
        return rc;
    s->corked = false;
    rc = flush_now(s, true, 0);
    leave(s, DIR_WRITE);
    return rc;
}

/* The end of a pipe's stream is that its last writer is gone. The number stays
 * taken, by something that nobody can write to, until the stream is closed. */
static int end_pipe(struct weft_stream *s)
{
    int rc, fd = sys_open("/", O_PATH | O_CLOEXEC, 0);

    if (fd < 0)
        return fd;
    rc = sys_dup3(fd, s->fd, O_CLOEXEC);
    (void)sys_close(fd);
    return rc < 0 ? rc : 0;
}

int weft_shutdown(weft_stream *s)
{
    int rc = enter(s, DIR_WRITE);

    if (rc < 0)
        return rc;
    s->corked = false;
    rc = flush_now(s, true, 0);
    if (rc == 0 && s->socket)
        rc = sys_shutdown(s->fd, SHUT_WR);
    else if (rc == 0)
        rc = s->one_way ? end_pipe(s) : -ENOTSOCK;
    leave(s, DIR_WRITE);
    return rc;
}

/* ---- files ------------------------------------------------------------- */

/* For what sendfile does not take. */
static ssize_t copy_file(struct weft_stream *s, int fd, off_t off, size_t n)
{
    char *buf = sys_malloc(STREAM_BUFFER);
    size_t done = 0;
    ssize_t rc = 0;

    if (!buf)
        return -ENOMEM;
    while (done < n) {
        size_t want = n - done < STREAM_BUFFER ? n - done : STREAM_BUFFER;
        struct iovec v = {buf, 0};

        rc = sys_pread(fd, buf, want, off + (off_t)done);
        if (rc == -EINTR)
            continue;
        if (rc <= 0)
            break;
        v.iov_len = (size_t)rc;
        rc = write_all(s, &v, 1, 0);
        if (rc < 0)
            break;
        done += (size_t)rc;
    }
    sys_free(buf);
    return rc < 0 ? rc : (ssize_t)done;
}

/* One call of sendfile keeps a worker busy for as long as it copies. */
#define SENDFILE_CHUNK ((size_t)1 << 20)

static ssize_t send_file(struct weft_stream *s, int fd, off_t off, size_t n)
{
    size_t done = 0;

    while (done < n) {
        uint32_t tick = cell_tick(s->cell, DIR_WRITE);
        size_t want = n - done < SENDFILE_CHUNK ? n - done : SENDFILE_CHUNK;
        off_t at = off + (off_t)done;
        struct sigpipe_guard g;
        ssize_t rc;

        if (unlikely(door_closed(&s->door)))
            return -EBADF;
        guard_enter(&g);
        store_relaxed(&s->writing, 1);
        rc = guard_leave(&g, sys_sendfile(s->fd, fd, &at, want));
        tell_reader(s, rc);
        if (rc == -EINTR)
            continue;
        if (rc == -EAGAIN) {
            rc = w_cell_wait(s->cell, DIR_WRITE, tick);
            if (rc < 0)
                return rc;
            continue;
        }
        if ((rc == -EINVAL || rc == -ENOSYS) && done == 0)
            return copy_file(s, fd, off, n);
        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        done += (size_t)rc;
        rc = done < n && want == SENDFILE_CHUNK ? weft_yield() : 0;
        if (rc < 0)
            return rc;
    }
    return (ssize_t)done;
}

ssize_t weft_sendfile(weft_stream *s, int fd, off_t off, size_t n)
{
    ssize_t rc = enter(s, DIR_WRITE);

    if (rc < 0)
        return rc;
    rc = flush_now(s, true, n ? MSG_MORE : 0);
    if (rc == 0)
        rc = send_file(s, fd, off, n);
    leave(s, DIR_WRITE);
    return rc;
}
