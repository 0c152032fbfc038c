/* SPDX-License-Identifier: MIT */
/* An echo server on weft: one task a connection. (HTTP is weft-httpd's.) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/net.h>
#include <weft/task.h>

static long echo(weft_stream *s, void *arg)
{
    char buf[4096];
    ssize_t n;

    (void)arg;
    while ((n = weft_read(s, buf, sizeof buf)) > 0) {
        n = weft_write(s, buf, (size_t)n);
        if (n < 0)
            break;
    }
    return n;
}

static long serve(void *arg)
{
    weft_listener *l;
    int rc = weft_listen(&l, arg);

    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", (char *)arg, weft_strerror(rc));
        return rc;
    }
    return weft_serve(l, echo, NULL);
}

int main(int argc, char **argv)
{
    struct weft_options o = {0};
    char address[64];

    if (argc != 4 || strcmp(argv[1], "echo") != 0)
        return 2;
    o.workers = (unsigned)atoi(argv[3]);
    snprintf(address, sizeof address, "127.0.0.1:%s", argv[2]);
    return weft_run_with(&o, serve, address) < 0;
}
