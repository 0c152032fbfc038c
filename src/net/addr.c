/* SPDX-License-Identifier: MIT */
#include "net/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <weft/exec.h>
#include <weft/net.h>
#include <weft/scope.h>

#include "base/sys.h"
#include "core/runtime.h"

#define HOST_MAX 256

struct lookup {
    char host[HOST_MAX];
    char port[16];
    bool passive;
    int flags;
    struct addr *out;
    int n;
};

static int unix_addr(const char *path, struct addr *out)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->storage;
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof un->sun_path)
        return -EINVAL;
    memset(un, 0, sizeof *un);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, n);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    return 1;
}

static int split(const char *text, struct lookup *l)
{
    const char *host = text, *end, *port;
    size_t n;

    if (*text == '[') {
        host = text + 1;
        end = strchr(host, ']');
        if (!end || end[1] != ':')
            return -EINVAL;
        port = end + 2;
    } else {
        end = strrchr(text, ':');
        if (!end || memchr(text, ':', (size_t)(end - text)))
            return -EINVAL; /* v6 needs its brackets */
        port = end + 1;
    }
    n = (size_t)(end - host);
    if (n >= sizeof l->host || !*port || strlen(port) > 5 ||
        strspn(port, "0123456789") != strlen(port) ||
        strtol(port, NULL, 10) > 65535)
        return -EINVAL;
    memcpy(l->host, host, n);
    l->host[n] = 0;
    snprintf(l->port, sizeof l->port, "%s", port);
    return 0;
}

static long gai_code(int rc)
{
    switch (rc) {
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_SYSTEM:
        return errno ? -errno : -EIO;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_FAMILY:
    case EAI_SERVICE:
    case EAI_SOCKTYPE:
    case EAI_BADFLAGS:
        return -EINVAL;
    default:
        return -ENOENT;
    }
}

/* Blocks if the host is a name. */
static long look_up(void *arg)
{
    struct lookup *l = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = l->flags};
    struct addrinfo *list, *a;
    int rc;

    if (l->passive)
        hints.ai_flags |= AI_PASSIVE;
    rc = getaddrinfo(*l->host ? l->host : NULL, l->port, &hints, &list);
    if (rc)
        return rc == EAI_NONAME && (l->flags & AI_NUMERICHOST) ? 1
                                                               : gai_code(rc);
    for (a = list; a && l->n < ADDR_MAX; a = a->ai_next) {
        if (a->ai_addrlen > sizeof l->out[l->n].storage)
            continue;
        memcpy(&l->out[l->n].storage, a->ai_addr, a->ai_addrlen);
        l->out[l->n++].len = a->ai_addrlen;
    }
    freeaddrinfo(list);
    return 0;
}

int w_addr_parse(const char *text, bool passive, struct addr out[ADDR_MAX])
{
    struct lookup l = {.passive = passive, .out = out};
    long rc;

    if (strncmp(text, "unix:", 5) == 0)
        return unix_addr(text + 5, out);
    rc = split(text, &l);
    if (rc < 0)
        return (int)rc;
    l.flags = AI_NUMERICHOST | AI_NUMERICSERV;
    rc = look_up(&l);
    if (rc == 1) { /* a name */
        l.flags = AI_NUMERICSERV | AI_ADDRCONFIG;
        rc = weft_blocking(look_up, &l);
    }
    if (rc < 0)
        return (int)rc;
    return l.n ? l.n : -ENOENT;
}

int weft_resolve(const char *address, weft_address *out, size_t n)
{
    struct addr a[ADDR_MAX];
    int found;

    if (!w_current())
        return -EPERM;
    found = weft_check();
    if (found == 0)
        found = w_addr_parse(address, false, a);
    if (found > 0 && (size_t)found > n)
        found = (int)n;
    if (found > 0)
        memcpy(out, a, (size_t)found * sizeof *a);
    return found;
}

int weft_address_format(const weft_address *a, char *buf, size_t n)
{
    return w_addr_format((const struct addr *)a, buf, n);
}

const struct sockaddr *weft_address_sockaddr(const weft_address *a,
                                             unsigned *len)
{
    const struct addr *x = (const struct addr *)a;

    *len = x->len;
    return &x->sa;
}

int w_addr_format(const struct addr *a, char *buf, size_t n)
{
    const struct sockaddr_in *v4 = (const void *)&a->storage;
    const struct sockaddr_in6 *v6 = (const void *)&a->storage;
    const struct sockaddr_un *un = (const void *)&a->storage;
    char ip[INET6_ADDRSTRLEN];

    switch (a->sa.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip);
        snprintf(buf, n, "%s:%u", ip, ntohs(v4->sin_port));
        return 0;
    case AF_INET6:
        inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof ip);
        snprintf(buf, n, "[%s]:%u", ip, ntohs(v6->sin6_port));
        return 0;
    case AF_UNIX:
        snprintf(buf, n, "unix:%s",
                 a->len > offsetof(struct sockaddr_un, sun_path) ? un->sun_path
                                                                 : "");
        return 0;
    default:
        return -EINVAL;
    }
}
