/* SPDX-License-Identifier: MIT */
/* What the files of weft-overload share.
 *
 *   overload.c  the command line, and what is told and checked
 *   server.c    a server on the library alone, whose queue is bounded
 *   child.c     servers as child processes, and what they hold
 *   client.c    requests, in a closed and in an open loop
 *   load.c      twice the capacity, and what comes after it
 *   hostile.c   clients that mean harm
 *   timeouts.c  time-outs that are set and cancelled
 *   shortage.c  servers without memory
 *
 * The generator is one thread, so that what it counts needs no locks. */
#ifndef OVERLOAD_H
#define OVERLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weft.h>

#define LEN(a) (sizeof(a) / sizeof *(a))

/* ---- overload.c --------------------------------------------------------- */

struct form {
    bool quick;
    double seconds;    /* of overload */
    const char *httpd; /* weft-httpd, NULL: not there */
    const char *root;  /* what it serves */
    const char *self;  /* this program */
};
extern struct form form;

/* What is demanded: by the long form, on a quiet machine; by the quick one,
 * which must pass on any. */
double demand(double full, double quick);

/* Tells of a figure; the run fails if it is not ok. Returns ok. */
bool check(bool ok, const char *fmt, ...) WEFT_PRINTF(2, 3);
void tell(const char *fmt, ...) WEFT_PRINTF(1, 2);

#define FAST "/small.txt" /* 1 KiB */
#define WORK "/text.txt"  /* 32 KiB, to be compressed */
#define MIDDLE "/middle.txt" /* 512 KiB */
#define BIG "/big.txt"    /* 8 MiB */
#define GZIP "Accept-Encoding: gzip\r\n"

/* ---- server.c ----------------------------------------------------------- */

enum {
    LIB_QUEUE = 64,   /* slots of its queue */
    LIB_COST_US = 500 /* CPU that a request takes */
};

/* Serves until SIGTERM, says where on standard output. */
int server_main(void);

/* ---- child.c ------------------------------------------------------------ */

struct child {
    weft_process *p;
    pid_t pid;
    char address[32];
};

/* Starts a server: weft-httpd with these options, or (NULL) that of server.c.
 * False: it does not run, which is told. */
bool child_start(struct child *c, const char *const *options);

/* Asks it to stop and waits: it must end well, within some seconds. */
void child_stop(struct child *c);
bool child_lives(const struct child *c);

long child_rss(pid_t pid); /* KiB */
long child_vm(pid_t pid);  /* KiB */
long child_data(pid_t pid); /* KiB, as RLIMIT_DATA counts */
long child_fds(pid_t pid);

/* Looks ten times a second, as a task, until it is cancelled. */
struct watcher {
    pid_t pid;
    long rss, fds; /* the most that was seen */
};
long watcher_task(void *arg);

/* ---- client.c ----------------------------------------------------------- */

/* In place of an HTTP status. */
enum {
    NO_ANSWER = 0, /* not yet */
    CUT = 1,       /* closed or reset without one */
    REFUSED = 2,   /* no connection */
    LATE = 3,      /* none within 10 s */
    UNSENT = 4,    /* the generator had too many under way */
    WRONG = 5,     /* no HTTP */
};

struct sample {
    int64_t due;   /* when it was to arrive */
    int64_t ended; /* when it was answered */
    int status;
};

struct run {
    const char *address;
    const char *path;
    const char *fields; /* "" or with CRLF */
    struct sample *sample;
    size_t n, cap;
    struct conn *idle;
    unsigned flying;
    weft_group group;
};

/* Room for this many samples. */
bool run_open(struct run *r, const char *address, const char *path,
              const char *fields, size_t cap);
void run_close(struct run *r);

/* `clients` ask in turn for `seconds`. */
void run_closed_loop(struct run *r, unsigned clients, double seconds);

/* Arrivals by the clock alone, answered or not; returns when the last has been
 * sent. run_wait waits for the answers. */
void run_open_loop(struct run *r, double rate, double seconds);
void run_wait(struct run *r);

/* `clients` with a connection each that they keep, asking by the clock. */
void run_steady(struct run *r, unsigned clients, double rate, double seconds);

/* One request on s. An HTTP status, or one of the above. */
int ask(weft_stream *s, const char *path, const char *fields, bool *close);
/* The same on a connection of its own. */
int ask_once(const char *address, const char *path, const char *fields);

/* Figures about the samples that were due in [from, to). */
struct figures {
    size_t n, ok, busy, refused, other;
    double p50, p99, max;           /* ms, of those that got 200 */
    double busy_p99;                /* ms, of those that got 503 */
    double rate;                    /* 200s a second */
};
struct figures figures_of(const struct run *r, int64_t from, int64_t to);

/* ---- the parts, as tasks ------------------------------------------------ */

long load_task(void *httpd); /* NULL: the library's server */
long hostile_task(void *arg);
long timeouts_task(void *arg);
long shortage_task(void *httpd);

#endif
