/* SPDX-License-Identifier: MIT */
/* Compression of whole files.
 *
 * A file is compressed in one piece, since its length must be known before the
 * head is sent, and anew for each request: what is compressed often belongs on
 * the disk as .gz, and this server is there to show what CPU-bound work does
 * to the requests beside it. Input and output are allocated by the job when it
 * starts, so a queue of a thousand jobs holds no memory for them.
 *
 * A deflate state is 268 KB, which malloc would map and unmap each time: a few
 * are kept. */
#include "gzip.h"

#include <string.h>
#include <zlib.h>

enum { KEPT = 16, GZIP_FORMAT = 15 + 16, MEM_LEVEL = 8 };

struct deflater {
    z_stream z;
    int level;
};

static struct {
    struct spin lock;
    unsigned n;
    struct deflater *idle[KEPT];
} pool;

struct job {
    const struct file *file;
    int level;
    char *out;
    size_t n;
};

static void deflater_free(struct deflater *d)
{
    (void)deflateEnd(&d->z);
    sys_free(d);
}

static struct deflater *deflater_get(int level)
{
    struct deflater *d = NULL;

    spin_lock(&pool.lock);
    if (pool.n)
        d = pool.idle[--pool.n];
    spin_unlock(&pool.lock);
    if (d && d->level == level && deflateReset(&d->z) == Z_OK)
        return d;
    if (d)
        deflater_free(d);
    d = sys_calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->level = level;
    if (deflateInit2(&d->z, level, Z_DEFLATED, GZIP_FORMAT, MEM_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        sys_free(d);
        return NULL;
    }
    return d;
}

static void deflater_put(struct deflater *d)
{
    spin_lock(&pool.lock);
    if (pool.n < KEPT) {
        pool.idle[pool.n++] = d;
        d = NULL;
    }
    spin_unlock(&pool.lock);
    if (d)
        deflater_free(d);
}

void hd_gzip_close(void)
{
    while (pool.n)
        deflater_free(pool.idle[--pool.n]);
}

static int compress_text(struct job *job, const char *text, size_t n)
{
    struct deflater *d = deflater_get(job->level);
    size_t bound;
    int rc = -ENOMEM;

    if (!d)
        return rc;
    bound = deflateBound(&d->z, n);
    job->out = sys_malloc(bound);
    if (job->out) {
        d->z.next_in = (Bytef *)(uintptr_t)text;
        d->z.avail_in = (uInt)n;
        d->z.next_out = (Bytef *)job->out;
        d->z.avail_out = (uInt)bound;
        rc = deflate(&d->z, Z_FINISH) == Z_STREAM_END ? 0 : -EIO;
        job->n = d->z.total_out;
    }
    deflater_put(d);
    return rc;
}

/* The client may be slow to read it. */
static void shrink(struct job *job)
{
    char *out = sys_realloc(job->out, job->n);

    if (out)
        job->out = out;
}

/* Runs on an executor's thread. Reading the file may block it; the page cache
 * has what was just asked for more often than not. */
static long run_job(void *arg)
{
    struct job *job = arg;
    const struct file *f = job->file;
    size_t n = (size_t)f->size;
    char *text = NULL;
    int rc = 0;

    if (!f->body) {
        text = sys_malloc(n);
        rc = text ? hd_file_read(f, text, n, 0) : -ENOMEM;
    }
    if (!rc)
        rc = compress_text(job, f->body ? f->body : text, n);
    if (!rc)
        shrink(job);
    sys_free(text);
    return rc;
}

int hd_gzip(const struct file *f, int level, bool in_loop, char **out,
            size_t *n)
{
    struct job job = {.file = f, .level = level};
    long rc = in_loop ? run_job(&job) : weft_compute(run_job, &job);

    if (rc < 0) {
        sys_free(job.out);
        return (int)rc;
    }
    *out = job.out;
    *n = job.n;
    return 0;
}
