/* SPDX-License-Identifier: MIT */
/* Requests, in a closed and in an open loop. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "overload.h"

/* More under way than any server here lets in. */
enum { FLYING_MAX = 4000 };

#define PATIENCE (10 * WEFT_SEC)

/* A connection that waits for its next request. */
struct conn {
    struct conn *next;
    weft_stream *s;
};

/* ---- one request -------------------------------------------------------- */

struct answer {
    int status;
    long length;
    bool close;
};

static bool parse(char *head, struct answer *a)
{
    char *save = NULL;
    int minor;

    *a = (struct answer){.length = -1};
    if (sscanf(head, "HTTP/1.%d %d", &minor, &a->status) != 2)
        return false;
    for (char *line = strtok_r(head, "\r\n", &save); line;
         line = strtok_r(NULL, "\r\n", &save)) {
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            a->length = atol(line + 15);
        else if (strncasecmp(line, "Connection: close", 17) == 0)
            a->close = true;
    }
    return a->length >= 0;
}

/* What a failed call means. */
static int meaning(long rc)
{
    return rc == -ETIMEDOUT ? LATE : CUT;
}

int ask(weft_stream *s, const char *path, const char *fields, bool *close)
{
    static char drop[64 << 10]; /* nobody looks */
    char text[1024];
    struct answer a;
    int n = snprintf(text, sizeof text,
                     "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, fields);
    ssize_t rc = weft_write(s, text, (size_t)n), sent = rc;

    *close = true;
    /* A server that does not want us answers before we have asked. */
    rc = weft_readuntil(s, text, sizeof text, "\r\n\r\n", 4);
    if (rc <= 0)
        return meaning(rc < 0 ? rc : sent);
    if (!parse(text, &a))
        return WRONG;
    for (long left = a.length; left > 0; left -= rc) {
        size_t part = left < (long)sizeof drop ? (size_t)left : sizeof drop;

        rc = weft_read(s, drop, part);
        if (rc <= 0)
            return meaning(rc);
    }
    *close = a.close || sent < 0;
    return a.status;
}

static int open_stream(weft_stream **s, const char *address)
{
    int one = 1;
    int rc = weft_connect(s, address);

    if (rc < 0)
        return rc == -ETIMEDOUT ? LATE : REFUSED;
    (void)setsockopt(weft_stream_fd(*s), IPPROTO_TCP, TCP_NODELAY, &one,
                     sizeof one);
    return 0;
}

int ask_once(const char *address, const char *path, const char *fields)
{
    weft_stream *s = NULL;
    int status = LATE;
    bool close;

    weft_with_timeout(PATIENCE) {
        status = open_stream(&s, address);
        if (!status)
            status = ask(s, path, fields, &close);
    }
    weft_close(s);
    return status;
}

/* ---- runs --------------------------------------------------------------- */

bool run_open(struct run *r, const char *address, const char *path,
              const char *fields, size_t cap)
{
    *r = (struct run){.address = address, .path = path, .fields = fields};
    r->sample = calloc(cap, sizeof *r->sample);
    r->cap = cap;
    if (r->sample && weft_group_enter(&r->group))
        return true;
    return check(false, "room for %zu samples", cap);
}

void run_close(struct run *r)
{
    run_wait(r);
    (void)weft_group_leave(&r->group);
    while (r->idle) {
        struct conn *c = r->idle;

        r->idle = c->next;
        weft_close(c->s);
        free(c);
    }
    free(r->sample);
}

void run_wait(struct run *r)
{
    (void)weft_group_wait(&r->group);
}

static struct sample *new_sample(struct run *r, int64_t due)
{
    if (r->n == r->cap)
        return NULL;
    r->sample[r->n].due = due;
    return &r->sample[r->n++];
}

/* A connection, an old one if there is any. NULL: *status tells why. */
static struct conn *take_conn(struct run *r, int *status)
{
    struct conn *c = r->idle;

    if (c) {
        r->idle = c->next;
        return c;
    }
    c = calloc(1, sizeof *c);
    *status = c ? open_stream(&c->s, r->address) : UNSENT;
    if (!*status)
        return c;
    free(c);
    return NULL;
}

static void put_conn(struct run *r, struct conn *c, bool close)
{
    if (close) {
        weft_close(c->s);
        free(c);
    } else {
        c->next = r->idle;
        r->idle = c;
    }
}

/* A connection that waited may have been closed meanwhile: that is no answer
 * to what is asked now. */
static void serve_sample(struct run *r, struct sample *at)
{
    struct conn *c;
    bool close = true, old;

    at->status = LATE;
    weft_with_timeout(PATIENCE) {
        do {
            old = r->idle != NULL;
            c = take_conn(r, &at->status);
            if (!c)
                break;
            at->status = ask(c->s, r->path, r->fields, &close);
            put_conn(r, c, close);
        } while (old && at->status == CUT);
    }
    at->ended = weft_now();
}

/* ---- closed ------------------------------------------------------------- */

struct worker {
    struct run *r;
    int64_t start, end;
    int64_t period; /* 0: as soon as the last was answered */
};

static long closed_task(void *arg)
{
    struct worker w = *(struct worker *)arg;

    while (weft_now() < w.end) {
        struct sample *at = new_sample(w.r, weft_now());

        if (!at)
            break;
        serve_sample(w.r, at);
        if (at->status != 200)
            (void)weft_sleep(10 * WEFT_MS);
    }
    return 0;
}

void run_closed_loop(struct run *r, unsigned clients, double seconds)
{
    int64_t now = weft_now();
    struct worker w = {r, now, now + (int64_t)(seconds * 1e9), 0};

    for (unsigned i = 0; i < clients; i++)
        if (weft_spawn(&r->group, closed_task, &w) < 0)
            check(false, "a client could be started");
    run_wait(r);
}

/* ---- open --------------------------------------------------------------- */

struct arrival {
    struct run *r;
    struct sample *at;
};

static long arrival_task(void *arg)
{
    struct arrival a = *(struct arrival *)arg;

    free(arg);
    serve_sample(a.r, a.at);
    a.r->flying--;
    return 0;
}

static void arrive(struct run *r, int64_t due)
{
    struct sample *at = new_sample(r, due);
    struct arrival *a;

    if (!at)
        return;
    a = r->flying < FLYING_MAX ? malloc(sizeof *a) : NULL;
    if (a) {
        *a = (struct arrival){r, at};
        r->flying++;
        if (weft_spawn(&r->group, arrival_task, a) == 0)
            return;
        r->flying--;
        free(a);
    }
    at->status = UNSENT;
    at->ended = weft_now();
}

void run_open_loop(struct run *r, double rate, double seconds)
{
    int64_t start = weft_now();
    long n = (long)(rate * seconds);

    for (long i = 0; i < n; i++) {
        int64_t due = start + (int64_t)((double)i * 1e9 / rate);

        if (due > weft_now())
            (void)weft_sleep_until(due);
        else if (i % 16 == 0)
            (void)weft_yield();
        arrive(r, due);
    }
}

/* ---- steady ------------------------------------------------------------- */

static long steady_task(void *arg)
{
    struct worker *w = arg;
    weft_stream *s = NULL;
    bool close;

    for (int64_t due = w->start; due < w->end; due += w->period) {
        struct sample *at = new_sample(w->r, due);

        if (!at)
            break;
        (void)weft_sleep_until(due);
        at->status = LATE;
        weft_with_timeout(PATIENCE) {
            at->status = s ? 0 : open_stream(&s, w->r->address);
            if (!at->status)
                at->status = ask(s, w->r->path, w->r->fields, &close);
        }
        at->ended = weft_now();
        if (s && close) {
            weft_close(s);
            s = NULL;
        }
    }
    weft_close(s);
    free(w);
    return 0;
}

void run_steady(struct run *r, unsigned clients, double rate, double seconds)
{
    int64_t now = weft_now(), end = now + (int64_t)(seconds * 1e9);
    int64_t each = (int64_t)(1e9 / rate);

    for (unsigned i = 0; i < clients; i++) {
        struct worker *w = malloc(sizeof *w);

        if (w)
            *w = (struct worker){r, now + i * each, end, each * clients};
        if (!w || weft_spawn(&r->group, steady_task, w) < 0) {
            check(false, "a client could be started");
            free(w);
        }
    }
}

/* ---- figures ------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double percentile(double *ms, size_t n, double p)
{
    size_t i = (size_t)(p / 100 * (double)n);

    return n ? ms[i < n ? i : n - 1] : 0;
}

struct figures figures_of(const struct run *r, int64_t from, int64_t to)
{
    double *ok = calloc(r->n + 1, sizeof *ok);
    double *busy = calloc(r->n + 1, sizeof *busy);
    struct figures f = {0};

    for (size_t i = 0; ok && busy && i < r->n; i++) {
        const struct sample *at = &r->sample[i];
        double ms = (double)(at->ended - at->due) / 1e6;

        if (at->due < from || at->due >= to || at->status == NO_ANSWER)
            continue;
        f.n++;
        if (at->status == 200)
            ok[f.ok++] = ms;
        else if (at->status == 503)
            busy[f.busy++] = ms;
        else if (at->status == REFUSED || at->status == CUT)
            f.refused++;
        else
            f.other++;
    }
    if (ok && busy) {
        qsort(ok, f.ok, sizeof *ok, compare);
        qsort(busy, f.busy, sizeof *busy, compare);
        f.p50 = percentile(ok, f.ok, 50);
        f.p99 = percentile(ok, f.ok, 99);
        f.max = percentile(ok, f.ok, 100);
        f.busy_p99 = percentile(busy, f.busy, 99);
        f.rate = (double)f.ok / ((double)(to - from) / 1e9);
    }
    free(ok);
    free(busy);
    return f;
}
