/* SPDX-License-Identifier: MIT */
/* A connection that is awake: its buffers, which live on the task's stack, and
 * the response under way. */
#ifndef HTTPD_SESSION_H
#define HTTPD_SESSION_H

#include "date.h"
#include "httpd.h"

enum {
    HD_HEAD_MAX = 16 << 10, /* the most that --max-head allows */
    HD_HEADERS_MAX = 128,   /* and --max-headers */
    HD_OUT = 16 << 10,
    HD_BODY_ROOM = 2 << 10, /* room for a body that is dropped, behind a head */
    HD_COPY_MAX = 4 << 10,  /* more than this is sent from where it is */
};

/* A connection between its requests: this and the stream, no stack. */
struct conn {
    struct list link; /* L:server.lock */
    struct server *srv;
    weft_stream *s;
    _Atomic bool idle; /* nothing of a request has come; see hd_conns_wake */
    bool begun;        /* something has come; the connection's task */
    bool refused;      /* L, constant once begun */
    unsigned dropped;  /* bytes that came after it was refused */
    int64_t leave_at;  /* when a refused one is closed, come what may */
    char peer[];       /* for the log, else nothing */
};

/* Of every 503. */
#define HD_RETRY "Retry-After: 1\r\n"

enum method { HD_GET, HD_HEAD, HD_KNOWN, HD_UNKNOWN };

/* A parsed head. Texts point into session.in. */
struct request {
    enum method method;
    struct text line;   /* for the log */
    struct text target; /* path and query */
    struct text if_none_match;
    struct text if_modified_since;
    struct text range;
    struct text if_range;
    bool http10;
    bool keep;    /* the client wants to go on */
    bool gzip;    /* the client takes gzip */
    bool expect;  /* it waits for "100 Continue" before its body */
    bool chunked; /* its body */
    uint64_t length;
};

struct session {
    struct server *srv;
    struct conn *conn;
    weft_stream *s;
    weft_scope scope; /* the deadline of the present phase */
    int64_t now;      /* when it woke, or last moved its deadline */
    int err;          /* the first failure to send; the rest is skipped */
    bool close;       /* no request after this one */
    bool linger;      /* unread bytes may come: do not reset the response */
    unsigned requests;
    int status;       /* of the response under way */
    uint64_t sent;    /* its body */
    size_t pos, have; /* what of `in` is not parsed yet */
    size_t out_n;
    char date[HD_DATE];
    char in[HD_HEAD_MAX + HD_BODY_ROOM];
    char out[HD_OUT];
};

/* ---- out.c ---- */

/* Moves the deadline of what follows to ns from now. */
void hd_deadline(struct session *x, int64_t ns);

/* Leaves an expired deadline behind, so that an answer can be given. */
void hd_deadline_renew(struct session *x, int64_t ns);

/* Adds bytes to the response. They are copied, or sent from where they are
 * before the call returns. */
void hd_put(struct session *x, const char *p, size_t n);
void hd_puts(struct session *x, const char *s);
void hd_printf(struct session *x, const char *fmt, ...) W_PRINTF(2, 3);

/* Adds n bytes of fd from off. */
void hd_put_file(struct session *x, int fd, off_t off, uint64_t n);

/* Sends what is gathered. Waits. */
void hd_flush(struct session *x);

/* Starts a response: status line, Date, Server and Connection. */
void hd_start(struct session *x, const struct request *r, int status);

/* A whole response with a page of its own; `field` is a further head field
 * with its CRLF, or "". r may be NULL if no head was understood. */
void hd_error(struct session *x, const struct request *r, int status,
              const char *field);

const char *hd_reason(int status);

/* Writes a whole response with status 503 for who is not let in; returns its
 * length. */
enum { HD_BUSY = 512 };
size_t hd_busy(char out[HD_BUSY]);

/* ---- head.c ---- */

/* Parses a head at in[pos..have). Its length, blank line included; 0 if it is
 * not complete; or the negated HTTP status to refuse it with. */
int hd_head_parse(struct session *x, struct request *r);

/* ---- body.c ---- */

/* Reads and drops r's body, which starts at pos. 0; the HTTP status to refuse
 * it with; or a negated errno: the connection is of no use. Waits. */
int hd_body_drop(struct session *x, const struct request *r);

/* ---- request.c ---- */

/* Answers r. */
void hd_answer(struct session *x, const struct request *r);

/* ---- stats.c ---- */

void hd_stats(struct session *x, const struct request *r);

/* ---- conn.c ---- */

/* Accepts connections until it is cancelled. arg: the server. Task. */
long hd_accept_task(void *arg);

/* Makes every idle connection see its end. Task. */
void hd_conns_wake(struct server *srv);

/* Waits until no connection is open. 0, -ETIMEDOUT, -ECANCELED. */
int hd_conns_wait(struct server *srv);

#endif
