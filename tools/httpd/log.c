/* SPDX-License-Identifier: MIT */
/* Access log.
 *
 * Lines gather in one of two buffers. A task takes the full one a second after
 * its first line, or as soon as it is half full, and writes it in the blocking
 * pool: a log on a slow disk or a stopped pipe holds up neither a request nor
 * a worker. So there is one system call for hundreds of lines, and none while
 * nothing happens. */
#include "log.h"

#include <stdio.h>
#include <string.h>

#include "date.h"

enum {
    SIZE = 256 << 10,
    REQUEST_MAX = 1024, /* escaped bytes of the request line that are kept */
    LINE_MAX_BYTES = REQUEST_MAX + 256,
};

struct log {
    struct spin lock; /* guards the five below */
    char *buf;
    size_t n;
    int64_t second; /* of stamp */
    char stamp[32]; /* 20/Nov/2026:22:59:01 +0000 */
    uint64_t lost;

    char *spare; /* the writer's */
    size_t spare_n;
    weft_event some; /* the buffer is not empty */
    weft_event half; /* nor half empty */
    int fd;
};

int hd_log_open(struct log **out, const char *path)
{
    struct log *log = sys_calloc(1, sizeof *log);
    int rc = -ENOMEM;

    if (!log)
        return rc;
    log->buf = sys_malloc(SIZE);
    log->spare = sys_malloc(SIZE);
    if (log->buf && log->spare) {
        if (!strcmp(path, "-"))
            rc = sys_fcntl(1, F_DUPFD_CLOEXEC, 3);
        else
            rc =
                sys_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    }
    log->fd = rc;
    if (rc < 0) {
        hd_log_close(log);
        return rc;
    }
    *out = log;
    return 0;
}

/* A quoted string may not be left, nor a terminal be driven, by a request. */
static size_t escape(char *out, struct text in)
{
    static const char digits[] = "0123456789abcdef";
    size_t w = 0;

    for (size_t r = 0; r < in.n && w + 4 <= REQUEST_MAX; r++) {
        unsigned char c = (unsigned char)in.p[r];

        if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
            out[w++] = (char)c;
            continue;
        }
        out[w++] = '\\';
        out[w++] = 'x';
        out[w++] = digits[c >> 4];
        out[w++] = digits[c & 15];
    }
    return w;
}

static void refresh_stamp_locked(struct log *log)
{
    int64_t second = hd_time();
    char date[HD_DATE];

    if (second == log->second)
        return;
    log->second = second;
    hd_date_format(date, second); /* Sun, 06 Nov 1994 08:49:37 GMT */
    memcpy(log->stamp, date + 5, 20);
    memcpy(log->stamp + 20, " +0000", 7);
    log->stamp[2] = log->stamp[6] = '/';
    log->stamp[11] = ':';
}

void hd_log_line(struct log *log, const char *peer, struct text request,
                 int status, uint64_t bytes)
{
    char quoted[REQUEST_MAX];
    int n = (int)escape(quoted, request);
    size_t level;
    int len = 0;

    spin_lock(&log->lock);
    if (log->n + LINE_MAX_BYTES > SIZE) {
        log->lost++;
    } else {
        refresh_stamp_locked(log);
        len = snprintf(log->buf + log->n, LINE_MAX_BYTES,
                       "%s - - [%s] \"%.*s\" %d %llu\n", peer, log->stamp, n,
                       quoted, status, (unsigned long long)bytes);
        log->n += (size_t)len;
    }
    level = log->n;
    spin_unlock(&log->lock);
    if (level == (size_t)len)
        weft_event_set(&log->some);
    else if (level > SIZE / 2 && level - (size_t)len <= SIZE / 2)
        weft_event_set(&log->half);
}

static long write_spare(void *arg)
{
    struct log *log = arg;
    const char *p = log->spare;
    size_t n = log->spare_n;

    while (n) {
        ssize_t w = sys_write(log->fd, p, n);

        if (w == -EINTR)
            continue;
        if (w <= 0)
            return w;
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

/* Makes the buffer the spare one, to be written, and the other way round. */
static void take_locked(struct log *log)
{
    char *full = log->buf;

    log->buf = log->spare;
    log->spare = full;
    log->spare_n = log->n;
    log->n = 0;
}

static void flush(struct log *log)
{
    uint64_t lost;
    long rc = 0;

    spin_lock(&log->lock);
    take_locked(log);
    lost = log->lost;
    log->lost = 0;
    weft_event_clear(&log->some);
    weft_event_clear(&log->half);
    spin_unlock(&log->lock);
    weft_with_shield()
        rc = weft_blocking(write_spare, log);
    if (rc == -EAGAIN || rc == -ENOMEM)
        rc = write_spare(log); /* no thread could be had */
    if (rc < 0)
        w_warn("access log: %s", weft_strerror(rc));
    if (lost)
        w_warn("access log: %llu lines lost", (unsigned long long)lost);
}

long hd_log_task(void *arg)
{
    struct log *log = arg;
    int rc;

    do {
        rc = weft_event_wait(&log->some);
        if (!rc) {
            weft_with_timeout(WEFT_SEC)
                rc = weft_event_wait(&log->half);
        }
        flush(log);
    } while (!rc || rc == -ETIMEDOUT);
    return 0;
}

void hd_log_close(struct log *log)
{
    if (!log)
        return;
    if (log->fd >= 0 && log->n) {
        /* Lines of connections that outlived the writer's task. */
        take_locked(log);
        (void)write_spare(log);
    }
    if (log->fd >= 0)
        (void)sys_close(log->fd);
    sys_free(log->buf);
    sys_free(log->spare);
    sys_free(log);
}
