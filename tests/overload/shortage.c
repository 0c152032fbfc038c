/* SPDX-License-Identifier: MIT */
/* Servers without memory.
 *
 * The limit of a server that runs is lowered to little more than it has, and
 * then many clients come at once, each of which needs memory. Who is answered
 * is answered right or told 503; who is not finds his connection closed. The
 * server lives, and when the limit is lifted all is as before.
 *
 * A control group that is too small is another matter: the kernel grants every
 * allocation and kills when it cannot keep its word. There it is the limits of
 * weft-httpd that have to keep it small. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overload.h"

enum { CROWD = 200, TURNS = 3, MARGIN = 2 << 20 };
enum { GROUP_LIMIT = 64 << 20 };

struct crowd {
    const struct child *server;
    const char *path, *fields;
    unsigned ok, busy, closed, late, wrong;
};

static long one_task(void *arg)
{
    struct crowd *c = arg;

    for (int i = 0; i < TURNS; i++) {
        int status = ask_once(c->server->address, c->path, c->fields);

        c->ok += status == 200;
        c->busy += status == 503;
        c->closed += status == CUT || status == REFUSED;
        c->late += status == LATE;
        c->wrong += status == WRONG || status > 503 ||
                    (status >= 100 && status != 200 && status != 503);
        (void)weft_sleep(WEFT_MS);
    }
    return 0;
}

static void crowd(struct crowd *c, unsigned n)
{
    weft_group g = {0};

    weft_with_group(&g) {
        for (unsigned i = 0; i < n; i++)
            if (weft_spawn(&g, one_task, c) < 0)
                check(false, "a client could be started");
    }
}

static void check_healthy(const struct crowd *of, unsigned n, const char *when)
{
    struct crowd c = {of->server, of->path, of->fields, 0, 0, 0, 0, 0};

    crowd(&c, n);
    check(c.ok == n * TURNS,
          "%s: %u answered, %u told 503, %u closed, %u late, %u wrong", when,
          c.ok, c.busy, c.closed, c.late, c.wrong);
}

static const struct limit {
    const char *name;
    int resource;
    long (*now)(pid_t pid);
} limits[] = {
    {"RLIMIT_AS", RLIMIT_AS, child_vm},
    {"RLIMIT_DATA", RLIMIT_DATA, child_data},
};

static void starve(const struct limit *l, struct crowd *c)
{
    struct rlimit old, lim;
    pid_t pid = c->server->pid;

    if (prlimit(pid, l->resource, NULL, &old) < 0)
        return;
    lim = old;
    lim.rlim_cur = (rlim_t)l->now(pid) * 1024 + MARGIN;
    if (!check(prlimit(pid, l->resource, &lim, NULL) ==
                   0,
               "%s is %llu KiB, 2 MiB more than in use", l->name,
               (unsigned long long)lim.rlim_cur / 1024))
        return;
    crowd(c, CROWD);
    check(child_lives(c->server) && c->wrong == 0 && c->late == 0 &&
              c->ok < CROWD * TURNS,
          "%s: %u answered, %u told 503, %u closed, %u late, %u wrong", l->name,
          c->ok, c->busy, c->closed, c->late, c->wrong);
    (void)prlimit(pid, l->resource, &old, NULL);
    check_healthy(c, 8, "after it");
}

/* ---- a control group ---------------------------------------------------- */

static bool put(const char *dir, const char *file, long value)
{
    char path[256], text[32];
    int n = snprintf(text, sizeof text, "%ld", value), fd;
    bool ok;

    snprintf(path, sizeof path, "%s/%s", dir, file);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ok = write(fd, text, (size_t)n) == n;
    (void)close(fd);
    return ok;
}

static bool make_group(char *dir, size_t n, pid_t pid)
{
    static const char *const at[][2] = {
        {"/sys/fs/cgroup", "memory.max"},
        {"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
    };

    for (size_t i = 0; i < LEN(at); i++) {
        snprintf(dir, n, "%s/weft-overload-%d", at[i][0], (int)getpid());
        if (mkdir(dir, 0755) < 0)
            continue;
        if (put(dir, at[i][1], GROUP_LIMIT) && put(dir, "cgroup.procs", pid))
            return true;
        (void)rmdir(dir);
    }
    return false;
}

static void in_group(struct crowd *c, const char *const *options)
{
    struct child child;
    char dir[128];

    if (child_start(&child, options)) {
        c->server = &child;
        if (!make_group(dir, sizeof dir, child.pid)) {
            tell("no control group could be made: left out");
            child_stop(&child);
            return;
        }
        crowd(c, CROWD);
        check(child_lives(&child) && c->wrong == 0 && c->late == 0,
              "in a control group of %d MiB: %u answered, %u told 503, %u "
              "closed, %u late, %u wrong",
              GROUP_LIMIT >> 20, c->ok, c->busy, c->closed, c->late, c->wrong);
        check_healthy(c, 1, "after it");
    }
    child_stop(&child);
    (void)rmdir(dir);
}

/* ---- the part ----------------------------------------------------------- */

static const char *const httpd_options[] = {
    "--workers", "2", "--executor-nice", "-1", "--gzip", "1", NULL,
};
/* What a job holds: 8 MiB of text, and as much for what comes out. */
static const char *const small_options[] = {
    "--workers", "2", "--executor-nice", "-1", "--gzip", "1", "--gzip-max",
    "16M", "--max-work", "2", "--max-connections", "100", NULL,
};

long shortage_task(void *httpd)
{
    struct child child;

    if (child_start(&child, httpd ? httpd_options : NULL)) {
        struct crowd whole = {&child, httpd ? MIDDLE : "/", httpd ? GZIP : "",
                              0,      0,                 0,
                              0,      0};

        check_healthy(&whole, 8, "before");
        for (size_t i = 0; i < LEN(limits); i++) {
            struct crowd c = whole;

            starve(&limits[i], &c);
        }
    }
    child_stop(&child);
    if (httpd && !form.quick) {
        struct crowd c = {NULL, BIG, GZIP, 0, 0, 0, 0, 0};

        in_group(&c, small_options);
    }
    return 0;
}
