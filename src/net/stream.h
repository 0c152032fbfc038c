/* SPDX-License-Identifier: MIT */
/* Streams from the inside, for listeners. */
#ifndef WEFT_NET_STREAM_H
#define WEFT_NET_STREAM_H

#include "core/poll.h"
#include "core/runtime.h"
#include "net/addr.h"

#define STREAM_BUFFER ((size_t)16384)

struct weft_stream {
    int fd;              /* I */
    struct cell *cell;   /* I */
    bool socket;         /* I: else a pipe or the like */
    bool closed;         /* L */
    bool reading;        /* L: a task is inside a read */
    bool writing;        /* L: a task is inside a write */
    struct spin lock;
    /* The reader's. */
    bool drained;        /* the socket was empty when its tick was `seen` */
    bool corked;         /* the writer's */
    uint32_t seen;
    char *in;            /* STREAM_BUFFER bytes, or NULL */
    uint32_t in_start, in_end;
    /* The writer's. */
    char *out;           /* STREAM_BUFFER bytes, or NULL */
    uint32_t out_n;
    struct watch watch;
};

/* Makes a stream of a non-blocking fd; on failure fd stays the caller's. */
W_MUST_CHECK int w_stream_make(struct weft_stream **out, int fd, bool socket);

/* Waits until fd is connected, or has failed to. */
W_MUST_CHECK int w_stream_await_connect(struct weft_stream *s);

#endif
