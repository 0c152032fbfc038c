/* SPDX-License-Identifier: MIT */
/* URLs as the load generator needs them. */
#include <stdio.h>
#include <string.h>

#include "load.h"

bool load_url(const char *text, struct url *u)
{
    const char *host, *path, *port;
    size_t n;

    if (strncmp(text, "http://", 7))
        return false;
    host = text + 7;
    path = strchr(host, '/');
    n = path ? (size_t)(path - host) : strlen(host);
    if (n == 0 || n >= sizeof u->host - 8 || (path && strlen(path) >= URL_MAX))
        return false;
    memcpy(u->host, host, n);
    u->host[n] = 0;
    port = strrchr(u->host, ':');
    if (port && strchr(port, ']'))
        port = NULL;
    snprintf(u->address, sizeof u->address, port ? "%s" : "%s:80", u->host);
    snprintf(u->path, sizeof u->path, "%s", path ? path : "/");
    return strpbrk(u->path, " \r\n") == NULL;
}
