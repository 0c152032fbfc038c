/* SPDX-License-Identifier: MIT */
/* Clients of the HTTP server in a simulation: the tree that it serves, what
 * they ask, how they send it, and what they make of what they read. */
#ifndef TESTS_SIM_VISIT_H
#define TESTS_SIM_VISIT_H

#include "support/cases.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <weft/sim.h>
#include <zlib.h>

#include "session.h"

#define ADDRESS "10.0.0.2:80"
#define SLACK (2 * WEFT_SEC)

enum {
    REQUESTS = 8,
    OUT = 48 << 10,
    PAGE = 4096,
    BIG = 5, /* the first file that does not fit into a socket */
    LISTED = 7,
};

/* ---- the tree ------------------------------------------------------------ */

static struct tree_file {
    const char *name, *target;
    size_t n;
    char *body;
} tree[] = {
    {"a.txt", "/a.txt", 11, NULL},
    {"empty.bin", "/empty.bin", 0, NULL},
    {"sub/index.html", "/sub/", 100, NULL},
    {"5k.bin", "/5k.bin?query", 5000, NULL},     /* sent from where it is */
    {"page.html", "/./%70age.html", 3000, NULL}, /* is compressed */
    {"64k.bin", "/64k.bin", 65536, NULL},
    {"300k.bin", "/300k.bin", 300000, NULL}, /* not held in memory */
    {"list/x.txt", "/list/x.txt", 20, NULL},
};

static char root[] = "/tmp/weft-sim-XXXXXX";
static char log_path[64];

static void write_file(const struct tree_file *f)
{
    static const struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};
    int fd = openat(AT_FDCWD, f->name, O_CREAT | O_WRONLY, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, f->body, f->n), (ssize_t)f->n);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static int make_tree(void **state)
{
    char here[256];
    unsigned x = 1;

    (void)state;
    assert_non_null(getcwd(here, sizeof here));
    assert_non_null(mkdtemp(root));
    snprintf(log_path, sizeof log_path, "%s.log", root);
    assert_int_equal(chdir(root), 0);
    assert_int_equal(mkdir("sub", 0755) | mkdir("list", 0755), 0);
    for (size_t i = 0; i < T_LEN(tree); i++) {
        tree[i].body = malloc(tree[i].n + 1);
        assert_non_null(tree[i].body);
        for (size_t k = 0; k < tree[i].n; k++) {
            x = x * 1103515245 + 12345;
            tree[i].body[k] = (char)(x >> 16 & (i == 4 ? 15 : 255));
        }
        write_file(&tree[i]);
    }
    return chdir(here);
}

static int remove_one(const char *path, const struct stat *st, int flag,
                      struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static int remove_tree(void **state)
{
    (void)state;
    for (size_t i = 0; i < T_LEN(tree); i++)
        free(tree[i].body);
    (void)unlink(log_path);
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- a run --------------------------------------------------------------- */

struct world {
    struct server srv;
    uint64_t seed;
    bool faults;     /* connections may break at any time */
    bool early;      /* stops while clients are there */
    bool few, small; /* connections are refused; requests are */
    bool crowded;    /* connections wait for others' ends */
    weft_task *acceptor;
    int64_t cut_off; /* when the grace is over; 0: no stop has begun */
    unsigned wrong, answers;
};

struct expected {
    int status;
    const char *body; /* NULL: a page of the server's */
    size_t n;
    bool head, gzip, work;
    char field[64]; /* a line of the head; "": none */
};

enum how {
    CLOSE,     /* asks for it in the last request */
    HALF,      /* its own end first */
    BAD,       /* what is no request */
    IDLE,      /* waits after the last answer */
    SILENT,    /* ... before the first request */
    SLOW_HEAD, /* ... inside a head */
    SLOW_BODY,
    DEAF, /* does not read */
    ABORT,
    HOWS,
};

struct client {
    struct world *w;
    unsigned id, conn;
    weft_stream *s;
    enum how how;
    unsigned n;
    struct expected expected[REQUESTS + 2];
    char out[OUT];
    size_t out_n, hurry; /* no long pauses from here on */
    char page[PAGE];
    int64_t begun, last; /* when something of ours or theirs went */
    int64_t before;      /* `last`, before the answer that came now */
    int write_error;     /* it may have taken the reader's */
};

static uint64_t draw(uint64_t n)
{
    return weft_sim_random() % n;
}

static void wrong(struct client *c, const char *what, long a, long b)
{
    if (c->w->wrong++)
        return;
    print_error("seed %llu, client %u, connection %u, end %d: %s (%ld, %ld)\n",
                (unsigned long long)c->w->seed, c->id, c->conn, (int)c->how,
                what, a, b);
    weft_sim_note("WRONG: client %u, connection %u, end %d: %s (%ld, %ld)",
                  c->id, c->conn, (int)c->how, what, a, b);
}

static bool may_break(const struct client *c)
{
    return c->w->faults || c->w->cut_off;
}

/* ---- what is asked ------------------------------------------------------- */

static struct expected *expect(struct client *c, int status)
{
    struct expected *e = &c->expected[c->n++];

    memset(e, 0, sizeof *e);
    e->status = status;
    return e;
}

static W_PRINTF(2, 3) void say(struct client *c, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    c->out_n +=
        (size_t)vsnprintf(c->out + c->out_n, OUT - c->out_n, format, ap);
    va_end(ap);
}

static void ask_file(struct client *c, const char *more)
{
    size_t big = draw(8) ? BIG : LISTED;
    const struct tree_file *f = &tree[draw(big)];
    struct expected *e = expect(c, 200);
    bool zip = f == &tree[4] && draw(2);

    e->head = draw(6) == 0;
    e->body = f->body;
    e->n = f->n;
    e->gzip = zip && c->w->srv.set.gzip;
    e->work = e->gzip;
    if (e->gzip)
        strcpy(e->field, "Content-Encoding: gzip");
    else
        snprintf(e->field, sizeof e->field, "Content-Length: %zu", f->n);
    say(c, "%s %s HTTP/1.1\r\nHost: x\r\n%s%s\r\n", e->head ? "HEAD" : "GET",
        f->target, zip ? "Accept-Encoding: gzip\r\n" : "", more);
}

static void ask_range(struct client *c, const char *more)
{
    const struct tree_file *f = &tree[draw(2) ? 3 : 6];
    size_t from = draw(f->n), n = 1 + draw(f->n - from);
    struct expected *e = expect(c, 206);

    if (n > 6000)
        n = 6000;
    e->body = f->body + from;
    e->n = n;
    snprintf(e->field, sizeof e->field, "Content-Range: bytes %zu-%zu/%zu",
             from, from + n - 1, f->n);
    say(c, "GET %s HTTP/1.1\r\nHost: x\r\nRange: bytes=%zu-%zu\r\n%s\r\n",
        f->target, from, from + n - 1, more);
}

/* The body reads like a request. */
static void ask_with_body(struct client *c, const char *more)
{
    static const char trap[] = "GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n";
    unsigned times = (unsigned)draw(60);
    bool post = draw(2), chunked = draw(2);

    (void)expect(c, post ? 405 : 404);
    say(c, "%s /missing HTTP/1.1\r\nHost: x\r\n%s", post ? "POST" : "GET",
        more);
    if (chunked)
        say(c, "Transfer-Encoding: chunked\r\n\r\n");
    else
        say(c, "Content-Length: %zu\r\n\r\n", times * strlen(trap));
    for (unsigned i = 0; i < times; i++) {
        if (chunked)
            say(c, "%zx\r\n%s\r\n", strlen(trap), trap);
        else
            say(c, "%s", trap);
    }
    if (chunked)
        say(c, "0\r\n%s\r\n", draw(2) ? "Trailer: x\r\n" : "");
}

/* The answer names who asked. */
static void ask_where(struct client *c, const char *more)
{
    struct expected *e = expect(c, 301);
    unsigned n = c->n;

    snprintf(e->field, sizeof e->field, "Location: /sub/?%u-%u-%u", c->id,
             c->conn, n);
    say(c, "GET /sub?%u-%u-%u HTTP/1.1\r\nHost: x\r\n%s\r\n", c->id, c->conn, n,
        more);
}

static void ask(struct client *c, const char *more)
{
    switch (draw(9)) {
    case 0:
        ask_range(c, more);
        break;
    case 1:
        ask_with_body(c, more);
        break;
    case 2:
    case 3:
        ask_where(c, more);
        break;
    case 4:
        if (draw(2)) {
            expect(c, 304);
            say(c,
                "GET /a.txt HTTP/1.1\r\nHost: x\r\n%sIf-None-Match: *\r\n"
                "\r\n",
                more);
        } else {
            expect(c, 200)->work = true;
            say(c, "GET /list/ HTTP/1.1\r\nHost: x\r\n%s\r\n", more);
        }
        break;
    default:
        ask_file(c, more);
    }
}

static void ask_badly(struct client *c)
{
    static const struct {
        const char *text;
        int status;
    } bad[] = {
        {"GET\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505},
        {"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400},
        {"GET /../../x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\nx", 413},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
         "4\r\nabcde\r\n0\r\n\r\n",
         400},
        {"BREW / HTTP/1.1\r\nHost: x\r\nConnection: x, Close\r\n\r\n", 501},
        {"GET /a.txt HTTP/1.0\r\n\r\n", 200},
        {"GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
         "Expect: 100-continue\r\n\r\n",
         200},
    };
    size_t i = draw(T_LEN(bad) + 1);

    if (i < T_LEN(bad)) {
        struct expected *e = expect(c, bad[i].status);

        if (e->status == 200) {
            e->body = tree[0].body;
            e->n = tree[0].n;
        }
        say(c, "%s", bad[i].text);
        return;
    }
    expect(c, 431);
    say(c, "GET / HTTP/1.1\r\nHost: x\r\nA: %09000d\r\n\r\n", 0);
}

static void plan(struct client *c)
{
    unsigned n = (unsigned)draw(draw(4) ? 4 : REQUESTS);

    c->n = 0;
    c->out_n = 0;
    c->write_error = 0;
    c->how = draw(3) ? (enum how)draw(IDLE) : (enum how)draw(HOWS);
    if (c->how == SILENT)
        return;
    for (unsigned i = 0; i < n; i++)
        ask(c, "");
    c->hurry = c->out_n;
    if (c->how == CLOSE)
        ask(c, "Connection: close\r\n");
    else if (c->how == BAD)
        ask_badly(c);
    else if (c->how == SLOW_HEAD)
        say(c, "GET / HTTP/1.1\r\nHo");
    else if (c->how == SLOW_BODY)
        say(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234");
    if (c->how == SLOW_HEAD || c->how == SLOW_BODY)
        expect(c, 408);
    for (int i = 0; c->how == DEAF && i < 2; i++) {
        struct expected *e = expect(c, 200);

        e->body = tree[6].body;
        e->n = tree[6].n;
        say(c, "GET /300k.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    }
}

/* ---- sending ------------------------------------------------------------- */

static void pause_a_little(bool hurry, unsigned *longer)
{
    if (!hurry && draw(16) == 0 && *longer) {
        --*longer;
        (void)weft_sleep((int64_t)draw(300 * WEFT_MS));
    } else if (draw(4) == 0) {
        (void)weft_sleep((int64_t)draw(WEFT_MS));
    } else if (draw(2)) {
        (void)weft_yield();
    }
}

/* n bytes of what is planned. */
static long send_some(struct client *c, size_t n)
{
    static const size_t sizes[] = {7, 100, 1500, OUT};
    size_t most = sizes[draw(T_LEN(sizes))];
    unsigned longer = 8;
    ssize_t rc = 0;

    for (size_t at = 0; at < n && rc >= 0;) {
        size_t piece = 1 + draw(most);

        if (piece > n - at)
            piece = n - at;
        rc = weft_write(c->s, c->out + at, piece);
        at += piece;
        c->last = weft_now();
        if (rc < 0)
            c->write_error = (int)rc;
        else if (at < n)
            pause_a_little(at >= c->hurry, &longer);
    }
    return rc < 0 ? rc : 0;
}

static long writer(void *arg)
{
    struct client *c = arg;
    if (!send_some(c, c->out_n) && c->how == HALF)
        (void)weft_shutdown(c->s);
    return 0;
}

/* ---- reading ------------------------------------------------------------- */

enum { TORN = -4000, END = 0, WHOLE = 1 };

struct reply {
    int status;
    size_t length;
    bool close, field; /* it asks for the end; it has the one expected */
    bool has_length;
};

static long read_head(struct client *c, const struct expected *e,
                      struct reply *r)
{
    char line[1024];
    ssize_t n = weft_readline(c->s, line, sizeof line);

    if (n <= 0)
        return n;
    if (line[n - 1] == '\n' && sscanf(line, "HTTP/1.1 %d ", &r->status) != 1)
        wrong(c, "no status line", n, line[0]);
    while (n > 0 && line[n - 1] == '\n') {
        n = weft_readline(c->s, line, sizeof line);
        if (n == 2 && line[0] == '\r')
            return WHOLE;
        if (n > 2)
            line[n - 2] = '\0';
        if (n > 2 && e->field[0] && !strcmp(line, e->field))
            r->field = true;
        if (n > 2 && sscanf(line, "Content-Length: %zu", &r->length) == 1)
            r->has_length = true;
        if (n > 2 && !strcmp(line, "Connection: close"))
            r->close = true;
        if (n > 2)
            line[n - 1] = '\n';
    }
    return n < 0 ? n : TORN;
}

/* n bytes; against `body` if that is known. The first are kept. */
static long read_body(struct client *c, const char *body, size_t n)
{
    char buf[PAGE];
    size_t at = 0;

    memset(c->page, 0, sizeof c->page);
    while (at < n) {
        size_t want = 1 + draw(sizeof buf);
        ssize_t got;

        if (want > n - at)
            want = n - at;
        got =
            draw(2) ? weft_read(c->s, buf, want) : weft_readn(c->s, buf, want);
        if (got <= 0)
            return got < 0 ? got : TORN;
        if (body && memcmp(buf, body + at, (size_t)got) != 0)
            wrong(c, "another body", (long)at, (long)got);
        for (size_t i = 0; i < (size_t)got && at + i < PAGE - 1; i++)
            c->page[at + i] = buf[i];
        at += (size_t)got;
        c->last = weft_now();
    }
    return WHOLE;
}

static bool unzips(const char *p, size_t n, const struct expected *e)
{
    char plain[PAGE];
    z_stream z = {.next_in = (Bytef *)(uintptr_t)p,
                  .avail_in = (uInt)n,
                  .next_out = (Bytef *)plain,
                  .avail_out = sizeof plain};
    bool same = n < PAGE && inflateInit2(&z, 15 + 16) == Z_OK &&
                inflate(&z, Z_FINISH) == Z_STREAM_END && z.total_out == e->n &&
                !memcmp(plain, e->body, e->n);

    (void)inflateEnd(&z);
    return same;
}

static void compare(struct client *c, const struct expected *e,
                    const struct reply *r)
{
    if (r->status != e->status) {
        wrong(c, "another status", r->status, e->status);
        return;
    }
    if (e->field[0] && !r->field)
        wrong(c, "a field is missing", e->status, (long)e->n);
    if (e->head || e->status == 304)
        return;
    if (!r->has_length)
        wrong(c, "no length", e->status, 0);
    if (e->gzip && !unzips(c->page, r->length, e))
        wrong(c, "does not unzip", (long)r->length, (long)e->n);
    if (e->body && !e->gzip && r->length != e->n)
        wrong(c, "another length", (long)r->length, (long)e->n);
    if (e->work && !e->gzip && !strstr(c->page, "\"./x.txt\""))
        wrong(c, "another listing", (long)r->length, 0);
    if (!e->body && !e->work && !strstr(c->page, hd_reason(e->status)))
        wrong(c, "another page", e->status, 0);
}

/* One answer: WHOLE, END, TORN or an error. */
static long read_reply(struct client *c, const struct expected *e,
                       struct reply *r)
{
    long rc;

    memset(r, 0, sizeof *r);
    rc = read_head(c, e, r);
    c->before = c->last;
    if (rc != WHOLE)
        return rc;
    if (!e->head && r->status != 304)
        rc = read_body(c, r->status == e->status && !e->gzip ? e->body : NULL,
                       r->length);
    if (rc == WHOLE) {
        c->last = weft_now();
        c->w->answers++;
    }
    return rc;
}

/* ---- a connection -------------------------------------------------------- */

/* The server turned us away, as it may. */
static bool is_refusal(const struct client *c, unsigned i,
                       const struct reply *r)
{
    const struct world *w = c->w;

    if (r->status == 408)
        return w->faults;
    return r->status == 503 &&
           ((w->few && i == 0) || (w->small && c->expected[i].work));
}

static void judge_break(struct client *c, unsigned i, const struct reply *r,
                        long rc)
{
    bool late = c->w->cut_off && weft_now() >= c->w->cut_off;

    if (rc == TORN) /* the writer may be about to note it */
        (void)weft_sleep(WEFT_MS);
    if (c->how == DEAF || (c->w->few && i == 0))
        return;
    if (rc == TORN && !c->write_error && !late)
        wrong(c, "an answer is cut off", r->status, (long)i);
    else if (!may_break(c))
        wrong(c, "the connection broke", rc, (long)i);
}

/* It came in time: `since` is when something went before it. */
static void check_408(struct client *c, int64_t since)
{
    const struct settings *set = &c->w->srv.set;
    int64_t now = weft_now(),
            limit = c->how == SLOW_HEAD ? set->head_timeout : set->body_timeout;

    if (may_break(c) || c->w->crowded || c->w->few)
        return;
    /* What had come before was answered before the wait. */
    if (now - since > limit + SLACK || now - since < limit - 2 * SLACK)
        wrong(c, "408 at another time, ms", (now - since) / WEFT_MS,
              (now - c->begun) / WEFT_MS);
}

/* True: all is as expected, and the end is next. */
static bool read_all(struct client *c)
{
    struct reply r;

    for (unsigned i = 0; i < c->n; i++) {
        long rc = read_reply(c, &c->expected[i], &r);
        int64_t since = c->before;

        if (rc != WHOLE) {
            judge_break(c, i, &r, rc);
            return false;
        }
        if (is_refusal(c, i, &r))
            return false;
        compare(c, &c->expected[i], &r);
        if (r.status == 408)
            check_408(c, since);
        if (c->how == DEAF && i == c->n - 1 && !c->w->crowded &&
            !c->w->faults) /* else it may have been asked but now */
            wrong(c, "it sent all", i, 0);
        if (r.close && i + 1 < c->n) {
            if (!may_break(c))
                wrong(c, "an early end", i, c->n);
            return false;
        }
    }
    return true;
}

static void read_end(struct client *c)
{
    int64_t since = c->how == SILENT ? c->begun : c->last, most = SLACK;
    const struct settings *set = &c->w->srv.set;
    char byte;
    ssize_t n = weft_read(c->s, &byte, 1);
    int64_t now = weft_now();

    if (n > 0 && (c->n || !c->w->few)) /* else it is a 503 */
        wrong(c, "bytes behind the end", byte, 0);
    /* Who is turned away and cannot be told so is reset. */
    if (n < 0 && !may_break(c) && (c->n || !c->w->few))
        wrong(c, "no clean end", n, 0);
    if (may_break(c) || c->w->crowded || c->w->few)
        return;
    if (c->how == SILENT)
        most += set->head_timeout;
    if (c->how == IDLE)
        most += c->n ? set->idle_timeout : set->head_timeout;
    if (now - since > most)
        wrong(c, "a late end, ms", (now - since) / WEFT_MS, most / WEFT_MS);
    if ((c->how == SILENT || c->how == IDLE) &&
        now - c->begun < most - 2 * SLACK)
        wrong(c, "an early end, ms", (now - c->begun) / WEFT_MS, 0);
}

static void abort_it(struct client *c)
{
    (void)send_some(c, draw(c->out_n + 1));
    if (draw(2))
        (void)weft_sleep((int64_t)draw(20 * WEFT_MS));
    weft_with_timeout((int64_t)draw(50 * WEFT_MS))
        if (draw(2) && weft_read(c->s, c->page, 1 + draw(PAGE)) > 0)
            c->w->answers++;
}

static void converse(struct client *c)
{
    weft_task *sender = NULL;
    weft_group g = {0};

    weft_with_group(&g) {
        if (weft_spawn_task(&g, writer, c, &sender) < 0)
            wrong(c, "no task", 0, 0);
        if (c->how == DEAF)
            (void)weft_sleep(2 * c->w->srv.set.send_timeout + SLACK);
        if (read_all(c))
            read_end(c);
        if (sender)
            weft_task_cancel(sender);
    }
}

static long client(void *arg)
{
    struct client *c = arg;
    unsigned conns = 1 + (unsigned)draw(4);

    for (c->conn = 0; c->conn < conns; c->conn++) {
        int rc;

        (void)weft_sleep((int64_t)draw(50 * WEFT_MS));
        plan(c);
        rc = weft_connect(&c->s, ADDRESS);
        if (rc < 0) {
            if (!may_break(c) && !(c->w->few && rc == -ECONNRESET))
                wrong(c, "no connection", rc, 0);
            continue;
        }
        c->begun = c->last = weft_now();
        if (c->how == ABORT)
            abort_it(c);
        else
            converse(c);
        weft_close(c->s);
    }
    return 0;
}

#endif
