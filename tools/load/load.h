/* SPDX-License-Identifier: MIT */
/* weft-load from the inside. */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

#include <stdbool.h>
#include <weft.h>

#include "histogram.h"

#define URL_MAX 2048
#define HEADERS_MAX 4096

struct url {
    char address[304]; /* host:port, for weft_connect */
    char host[300];    /* for the Host field */
    char path[URL_MAX];
};

struct settings {
    struct url *urls;
    int n_urls;
    long connections;
    double rate; /* requests a second in all; 0: closed loop */
    int64_t duration, warmup, timeout;
    long requests; /* stop after so many; 0: by time */
    char headers[HEADERS_MAX];
    const char *check; /* directory to compare bodies with, or NULL */
    unsigned workers;
    bool json;
};

enum failure_kind {
    FAIL_CONNECT,
    FAIL_TIMEOUT,
    FAIL_IO,
    FAIL_STATUS,
    FAIL_SHORT,
    FAIL_MISMATCH,
    FAIL_KINDS,
};

/* One connection's; merged at the end. */
struct tally {
    struct histogram latency;
    uint64_t requests, bytes, failures[FAIL_KINDS];
    uint64_t unsent; /* due before the end, held up by those before them */
};

struct clock_face {
    int64_t start;    /* first intended request */
    int64_t count_at; /* end of the warm-up */
    int64_t end;
};

/* A connection's whole life; a weft_fn. */
struct client {
    const struct settings *settings;
    const struct clock_face *clock;
    struct tally tally;
    long index;
    long quota; /* requests it may send; < 0: no limit */
};

long load_client(void *arg);

/* Parses "http://host[:port]/path". */
bool load_url(const char *text, struct url *u);

#endif
