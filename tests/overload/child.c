/* SPDX-License-Identifier: MIT */
/* Servers as child processes, and what they hold. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "overload.h"

enum { ARGS = 40 };

bool child_start(struct child *c, const char *const *options)
{
    const char *argv[ARGS] = {form.self, "--server", NULL};
    struct weft_process_options o = {.out = WEFT_PIPE};
    char line[128] = "";
    ssize_t n = 0;
    int rc, port = 0;

    *c = (struct child){0};
    if (options) {
        size_t i = 0;

        argv[i++] = form.httpd;
        argv[i++] = "--listen";
        argv[i++] = "127.0.0.1:0";
        argv[i++] = "--no-pin";
        argv[i++] = "--access-log";
        argv[i++] = "off";
        while (*options && i < ARGS - 2)
            argv[i++] = *options++;
        argv[i++] = form.root;
        argv[i] = NULL;
    }
    rc = weft_process_start(&c->p, (char *const *)(uintptr_t)argv, &o);
    if (rc < 0)
        return check(false, "cannot start %s: %s", argv[0], weft_strerror(rc));
    weft_with_timeout(20 * WEFT_SEC)
        n = weft_readline(weft_process_stdout(c->p), line, sizeof line);
    if (n <= 0 || sscanf(line, "listening on 127.0.0.1:%d", &port) != 1)
        return check(false, "%s says no port: %s", argv[0], line);
    c->pid = weft_process_pid(c->p);
    snprintf(c->address, sizeof c->address, "127.0.0.1:%d", port);
    return true;
}

bool child_lives(const struct child *c)
{
    return weft_process_trywait(c->p) == -EAGAIN;
}

void child_stop(struct child *c)
{
    int rc = -ETIMEDOUT;
    bool lives;

    if (c->p && c->pid) {
        lives = child_lives(c);
        (void)weft_process_kill(c->p, SIGTERM);
        weft_with_timeout(20 * WEFT_SEC)
            rc = weft_process_wait(c->p);
        check(lives && rc == 0, "the server ran until it was asked to stop, "
                                "and ended well (%d)", rc);
    }
    weft_process_close(c->p);
}

/* ---- what it holds ------------------------------------------------------ */

static long status_of(pid_t pid, const char *key)
{
    char path[64], line[256];
    long v = -1;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    f = fopen(path, "re");
    if (!f)
        return -1;
    while (v < 0 && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            v = atol(line + strlen(key));
    fclose(f);
    return v;
}

long child_rss(pid_t pid)
{
    return status_of(pid, "VmRSS:");
}

long child_vm(pid_t pid)
{
    return status_of(pid, "VmSize:");
}

long child_data(pid_t pid)
{
    return status_of(pid, "VmData:");
}

long child_fds(pid_t pid)
{
    char path[64];
    long n = 0;
    DIR *d;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    d = opendir(path);
    if (!d)
        return -1;
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

long watcher_task(void *arg)
{
    struct watcher *w = arg;

    do {
        long rss = child_rss(w->pid), fds = child_fds(w->pid);

        w->rss = rss > w->rss ? rss : w->rss;
        w->fds = fds > w->fds ? fds : w->fds;
    } while (weft_sleep(100 * WEFT_MS) == 0);
    return 0;
}
