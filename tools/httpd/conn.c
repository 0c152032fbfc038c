/* SPDX-License-Identifier: MIT */
/* A connection's life.
 *
 * Between requests it is a struct conn and an armed watch: no stack, no
 * buffer. When bytes come the watch makes a task of it, whose buffers live on
 * the stack that its worker stands on. The task answers all the requests that
 * have come, gathers small responses into one write, arms the watch again and
 * returns; only a head that is cut off, a slow receiver or work elsewhere make
 * it wait with its stack.
 *
 * Stop. The stopper sets `stopping` and then looks for idle connections; a
 * connection says that it is idle and then looks at `stopping`. Both in
 * sequentially consistent order: one of the two sees the other, so no
 * connection stays idle unnoticed. An idle one is woken by shutting down its
 * reading side: what the kernel already holds is still served, and then comes
 * the end.
 *
 * Too many. Beyond the limit that was asked for, a connection is answered with
 * 503 as it is accepted, without a task or a look at what it sends, and closed
 * when the client has had the time to read that. Rather than the newest it is
 * the oldest of those that have never sent anything, if there is one: whoever
 * only holds connections pushes out his own. What the kernel holds for a client
 * that does not read is thrown away with the connection. */
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "session.h"

#define PAUSE (50 * WEFT_MS)
#define LINGER (2 * WEFT_SEC)

enum {
    LINGER_BYTES = 256 << 10,
    PEER_MAX = 64,
    REFUSED_MAX = 1024, /* more are closed without a wait */
};

static void end(struct conn *c)
{
    struct server *srv = c->srv;
    bool tell;

    spin_lock(&srv->lock);
    list_remove(&c->link);
    srv->nrefused -= c->refused;
    tell = srv->nconns-- == srv->room || load_relaxed(&srv->stopping);
    spin_unlock(&srv->lock);
    /* After it is out of the list: hd_conns_wake uses its descriptor. */
    weft_close(c->s);
    sys_free(c);
    if (tell)
        weft_event_set(&srv->changed);
}

/* ---- a connection that is awake ---- */

static struct text first_line(const struct session *x)
{
    const char *p = x->in + x->pos;
    size_t n = x->have - x->pos;
    const char *nl = memchr(p, '\n', n);

    if (nl)
        n = (size_t)(nl - p);
    while (n && p[n - 1] == '\r')
        n--;
    return (struct text){p, n};
}

static void account(struct session *x, struct text line)
{
    x->requests++;
    if (x->srv->log)
        hd_log_line(x->srv->log, x->conn->peer, line, x->status, x->sent);
}

static void refuse(struct session *x, const struct request *r, int status)
{
    x->close = x->linger = true;
    hd_deadline_renew(x, x->srv->set.send_timeout);
    hd_error(x, r, status, "");
    account(x, r ? r->line : first_line(x));
}

static void answer(struct session *x, const struct request *r)
{
    int rc = 0;

    x->close = !r->keep || load_relaxed(&x->srv->stopping);
    if (r->chunked || r->length) {
        if (r->expect)
            /* The answer spares the client its body, if it waits for one. */
            x->close = x->linger = true;
        else
            rc = hd_body_drop(x, r);
        if (rc > 0)
            refuse(x, r, rc);
        if (rc < 0)
            x->err = rc;
        if (rc)
            return;
        hd_deadline(x, x->srv->set.send_timeout);
    }
    hd_answer(x, r);
    account(x, r->line);
}

/* Reads more behind what is there. As weft_read. */
static ssize_t fill(struct session *x)
{
    ssize_t n;

    if (x->pos) {
        memmove(x->in, x->in + x->pos, x->have - x->pos);
        x->have -= x->pos;
        x->pos = 0;
    }
    n = weft_read(x->s, x->in + x->have, HD_HEAD_MAX - x->have);
    if (n > 0)
        x->have += (size_t)n;
    return n;
}

/* Whether a head could be complete now that there are bytes behind `old`. A
 * client that sends byte by byte must not make us parse as often. */
static bool has_blank_line(const struct session *x, size_t old)
{
    size_t from = old > x->pos + 3 ? old - 3 : x->pos;
    const char *p = x->in + from, *stop = x->in + x->have;

    while ((p = memchr(p, '\n', (size_t)(stop - p)))) {
        p++;
        if (p < stop && (*p == '\n' || (*p == '\r' && p + 1 < stop)))
            return true;
    }
    return false;
}

/* Waits for the rest of a head. False: the connection ends. */
static bool complete(struct session *x)
{
    const struct settings *set = &x->srv->set;

    hd_flush(x);
    hd_deadline(x, set->head_timeout);
    while (!x->err) {
        size_t old = x->have - x->pos; /* fill moves what is there to 0 */
        ssize_t n = fill(x);

        if (n == -ETIMEDOUT) {
            refuse(x, NULL, 408);
            return false;
        }
        if (n <= 0) {
            x->err = n < 0 ? (int)n : -ECONNRESET;
            return false;
        }
        if (x->have >= set->max_head || has_blank_line(x, old)) {
            hd_deadline(x, set->send_timeout);
            return true;
        }
    }
    return false;
}

/* Answers what has come. True: the connection goes on. */
static bool serve(struct session *x)
{
    struct request r;
    int n;

    while (!x->err && !x->close) {
        /* Empty lines before a request are tolerated (RFC 9112, 2.2). */
        while (x->pos < x->have &&
               (x->in[x->pos] == '\r' || x->in[x->pos] == '\n'))
            x->pos++;
        if (x->pos == x->have) {
            hd_flush(x);
            return !x->err;
        }
        n = hd_head_parse(x, &r);
        if (n < 0) {
            refuse(x, NULL, -n);
        } else if (n) {
            x->pos += (size_t)n;
            answer(x, &r);
        } else if (!complete(x)) {
            break;
        }
    }
    hd_flush(x);
    return false;
}

/* Unread bytes at close make the kernel reset the connection, which can take
 * the response away from the client before it has read it. */
static void linger(struct session *x)
{
    ssize_t n = 1;

    hd_deadline_renew(x, LINGER);
    if (weft_shutdown(x->s) < 0)
        return;
    for (size_t sum = 0; n > 0 && sum < LINGER_BYTES; sum += (size_t)n)
        n = weft_read(x->s, x->in, sizeof x->in);
}

/* Closing leaves what the client has not taken to the kernel, which would hold
 * megabytes for minutes for one that does not want them. */
static void give_up(struct conn *c)
{
    struct linger hard = {.l_onoff = 1};

    (void)sys_setsockopt(weft_stream_fd(c->s), SOL_SOCKET, SO_LINGER, &hard,
                         sizeof hard);
}

static W_NOINLINE bool attend(struct conn *c, int64_t *now)
{
    struct server *srv = c->srv;
    struct session x;
    ssize_t n;
    bool more;

    /* All but the buffers. */
    memset(&x, 0, offsetof(struct session, in));
    x.srv = srv;
    x.conn = c;
    x.s = c->s;
    x.now = weft_now();
    weft_deadline_enter(&x.scope, x.now + srv->set.send_timeout);
    n = fill(&x);
    more = n > 0 && serve(&x);
    if (x.linger && !x.err)
        linger(&x);
    if (x.err == -ETIMEDOUT)
        give_up(c);
    (void)weft_scope_leave(&x.scope);
    if (srv->set.stats)
        add_relaxed(&srv->requests, x.requests);
    *now = x.now;
    return more;
}

/* ---- between requests ---- */

static long wake(void *arg);
static long see_out(void *arg);
static void rest_refused(struct conn *c);

static void rest(struct conn *c, int64_t until)
{
    store_seq_cst(&c->idle, true);
    if (load_seq_cst(&c->srv->stopping) ||
        weft_stream_watch(c->s, until, wake, c))
        end(c);
    /* else another worker may have it already */
}

/* Something has come for the first time. False: too late. */
static bool begin(struct conn *c)
{
    struct server *srv = c->srv;
    bool refused;

    c->begun = true;
    spin_lock(&srv->lock);
    refused = c->refused;
    if (!refused) {
        list_remove(&c->link);
        list_push_back(&srv->conns, &c->link);
    }
    spin_unlock(&srv->lock);
    return !refused;
}

static long wake(void *arg)
{
    struct conn *c = arg;
    int64_t now;

    if (weft_stream_watch_result(c->s) != WEFT_READ) {
        end(c);
        return 0;
    }
    if (!c->begun && !begin(c)) {
        c->leave_at = weft_now() + LINGER;
        return see_out(c);
    }
    store_relaxed(&c->idle, false);
    if (attend(c, &now))
        rest(c, now + c->srv->set.idle_timeout);
    else
        end(c);
    return 0;
}

/* ---- a connection that is not let in ---- */

/* The client reads, sends what it was about to send, and closes; or its time
 * is over. */
static long see_out(void *arg)
{
    struct conn *c = arg;
    char buf[4096];
    ssize_t n = 0;

    if (weft_stream_watch_result(c->s) == WEFT_READ)
        n = weft_read(c->s, buf, sizeof buf);
    if (n > 0)
        c->dropped += (unsigned)n;
    if (n > 0 && c->dropped < LINGER_BYTES)
        rest_refused(c);
    else
        end(c);
    return 0;
}

static void rest_refused(struct conn *c)
{
    if (weft_stream_watch(c->s, c->leave_at, see_out, c))
        end(c);
}

/* Answers 503 without a wait: nothing was sent on c before, so there is room
 * in its socket. If the kernel takes less all the same, the connection's end
 * will be a reset: a part of an answer must not look like one. Any thread; c
 * must not end meanwhile. */
static bool tell_busy(struct conn *c)
{
    char text[HD_BUSY];
    size_t n = hd_busy(text);
    ssize_t rc = sys_send(weft_stream_fd(c->s), text, n,
                          MSG_NOSIGNAL | MSG_DONTWAIT);

    if (rc == (ssize_t)n)
        return true;
    give_up(c);
    return false;
}

static void turn_away(struct conn *c, bool stay)
{
    if (c->srv->set.stats)
        add_relaxed(&c->srv->refused, 1);
    if (c->srv->log)
        hd_log_line(c->srv->log, c->peer, (struct text){"-", 1}, 503, 0);
    if (!tell_busy(c) ||
        sys_shutdown(weft_stream_fd(c->s), SHUT_WR) < 0 || !stay) {
        end(c);
        return;
    }
    c->leave_at = weft_now() + LINGER;
    store_seq_cst(&c->idle, true); /* a stop need not wait for it */
    rest_refused(c);
}

static bool is_full_locked(const struct server *srv)
{
    return srv->nconns - srv->nrefused >= srv->set.max_conns;
}

/* Tells the oldest that has never sent anything to go. It sees its answer and
 * the end, and then does; one that does not is closed by its time-out, or now
 * if there are too many of them. */
static void make_room(struct server *srv)
{
    struct conn *c = NULL;

    spin_lock(&srv->lock);
    if (!list_empty(&srv->fresh)) {
        bool hurry = srv->nrefused >= REFUSED_MAX, told;

        c = container_of(srv->fresh.next, struct conn, link);
        list_remove(&c->link);
        list_push_back(&srv->conns, &c->link);
        c->refused = true;
        srv->nrefused++;
        /* Before the lock is let go: then it may end. */
        told = tell_busy(c);
        (void)sys_shutdown(weft_stream_fd(c->s), !told   ? SHUT_RD
                                                 : hurry ? SHUT_RDWR
                                                         : SHUT_WR);
    }
    spin_unlock(&srv->lock);
    if (c && srv->set.stats)
        add_relaxed(&srv->refused, 1);
}

/* Joins the others; whether it is one too many. */
static bool join(struct conn *c, bool *stay)
{
    struct server *srv = c->srv;
    bool refused;

    spin_lock(&srv->lock);
    if (is_full_locked(srv) && !list_empty(&srv->fresh)) {
        spin_unlock(&srv->lock);
        make_room(srv);
        spin_lock(&srv->lock);
    }
    refused = is_full_locked(srv);
    c->refused = refused;
    *stay = srv->nrefused < REFUSED_MAX;
    list_push_back(refused ? &srv->conns : &srv->fresh, &c->link);
    srv->nconns++;
    srv->nrefused += refused;
    spin_unlock(&srv->lock);
    return refused;
}

/* ---- accepting ---- */

static void start(struct server *srv, weft_stream *s)
{
    struct conn *c = sys_malloc(sizeof *c + (srv->log ? PEER_MAX : 1));
    bool stay;

    if (!c) {
        weft_close(s);
        return;
    }
    memset(c, 0, sizeof *c);
    c->srv = srv;
    c->s = s;
    c->peer[0] = '\0';
    if (srv->log) {
        char *colon;

        if (weft_stream_peer(s, c->peer, PEER_MAX) < 0)
            memcpy(c->peer, "-", 2);
        colon = strrchr(c->peer, ':');
        if (colon && strncmp(c->peer, "unix:", 5) != 0)
            *colon = '\0';
    }
    if (srv->set.stats)
        add_relaxed(&srv->accepted, 1);
    if (join(c, &stay))
        turn_away(c, stay);
    else
        rest(c, weft_now() + srv->set.head_timeout);
}

static unsigned count(struct server *srv)
{
    unsigned n;

    spin_lock(&srv->lock);
    n = srv->nconns;
    spin_unlock(&srv->lock);
    return n;
}

/* Waits until there are at most n connections. 0 or a negated errno. */
static int wait_for(struct server *srv, unsigned n)
{
    int rc = 0;

    while (!rc && count(srv) > n) {
        weft_event_clear(&srv->changed);
        if (count(srv) > n)
            rc = weft_event_wait(&srv->changed);
    }
    return rc;
}

static bool is_shortage(int rc)
{
    return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM || rc == -ENOBUFS;
}

/* Out of descriptors or memory: those who wait stay in the kernel's queue
 * while those who are here are served and leave. Says so once a minute. */
static int pause_accepting(int rc, int64_t *said)
{
    int64_t now = weft_now();

    if (now - *said > WEFT_MIN || !*said) {
        *said = now;
        w_warn(HD_NAME ": accept: %s; pausing", weft_strerror(rc));
    }
    return weft_sleep(PAUSE);
}

long hd_accept_task(void *arg)
{
    struct server *srv = arg;
    int64_t said = 0;
    weft_stream *s;
    int rc;

    for (;;) {
        rc = wait_for(srv, srv->room - 1);
        if (rc < 0)
            return 0;
        rc = weft_accept(srv->listener, &s);
        if (!rc)
            start(srv, s);
        else if (rc == -ECANCELED || rc == -ETIMEDOUT || rc == -EBADF)
            return 0;
        else if (is_shortage(rc))
            rc = pause_accepting(rc, &said);
        /* else the client has gone before it was accepted */
        if (rc == -ECANCELED)
            return 0;
    }
}

static void wake_locked(struct list *conns)
{
    list_each(pos, conns) {
        struct conn *c = container_of(pos, struct conn, link);

        if (load_seq_cst(&c->idle))
            (void)sys_shutdown(weft_stream_fd(c->s), SHUT_RD);
    }
}

void hd_conns_wake(struct server *srv)
{
    spin_lock(&srv->lock);
    wake_locked(&srv->fresh);
    wake_locked(&srv->conns);
    spin_unlock(&srv->lock);
}

int hd_conns_wait(struct server *srv)
{
    return wait_for(srv, 0);
}
