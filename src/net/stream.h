/* SPDX-License-Identifier: MIT */
/* Streams from the inside, for listeners and processes. */
#ifndef WEFT_NET_STREAM_H
#define WEFT_NET_STREAM_H

#include "net/addr.h"
#include "net/door.h"

#define STREAM_BUFFER ((size_t)16384)

struct weft_stream {
    int fd;            /* I */
    struct cell *cell; /* I */
    bool socket;       /* I: else a pipe or the like */
    bool gapless;      /* I: a short read has emptied it */
    bool one_way;      /* I: a pipe's writing end, which nobody shares */
    /* The kernel tells of a reset once: if it told a write, the reader gets a
     * clean end. reset: it did; writing: it is about to. */
    _Atomic uint32_t reset, writing;
    /* The reader's. */
    bool drained; /* the socket was empty when its tick was `seen` */
    bool corked;  /* the writer's */
    struct door door;
    uint32_t seen;
    char *in; /* in_size bytes, or NULL */
    size_t in_size, in_start, in_end;
    /* The writer's. */
    char *out; /* STREAM_BUFFER bytes, or NULL */
    uint32_t out_n;
    struct watch watch;
};

enum stream_kind { STREAM_TCP, STREAM_SOCKET, STREAM_PIPE };

/* Makes a stream of a non-blocking fd; on failure fd stays the caller's. */
W_MUST_CHECK int w_stream_make(struct weft_stream **out, int fd,
                               enum stream_kind kind);

/* TCP for a stream socket of the Internet, which is set up as such. */
enum stream_kind w_stream_kind(int fd, int family);

#endif
