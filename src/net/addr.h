/* SPDX-License-Identifier: MIT */
/* "host:port", ":port", "[v6]:port", "unix:/path" to socket addresses. */
#ifndef WEFT_NET_ADDR_H
#define WEFT_NET_ADDR_H

#include <sys/socket.h>
#include <weft/types.h>

#include "base/base.h"

struct addr {
    socklen_t len;
    union {
        struct sockaddr sa;
        struct sockaddr_storage storage;
    };
};

static_assert(sizeof(struct addr) == sizeof(weft_address), "weft_address");

#define ADDR_MAX 16

/* Fills at most ADDR_MAX addresses; how many, or -EINVAL (malformed), -ENOENT
 * (no such host), -EAGAIN, -ENOMEM, a cancellation. Waits only for a name that
 * is not numeric. An empty host: any address if passive, else loopback. */
W_MUST_CHECK int w_addr_parse(const char *text, bool passive,
                              struct addr out[ADDR_MAX]);

/* As text: "1.2.3.4:5", "[v6]:5", "unix:path". */
int w_addr_format(const struct addr *a, char *buf, size_t n);

#endif
