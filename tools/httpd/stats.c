/* SPDX-License-Identifier: MIT */
/* The figures behind --stats: one JSON object about the process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

/* The number behind `key` in /proc/self/status, 0 if there is none. */
static unsigned long proc_status(const char *text, const char *key)
{
    const char *p = strstr(text, key);

    return p ? strtoul(p + strlen(key), NULL, 10) : 0;
}

static void read_status(char *buf, size_t n)
{
    int fd = sys_open("/proc/self/status", O_RDONLY | O_CLOEXEC, 0);
    ssize_t got = fd < 0 ? fd : sys_read(fd, buf, n - 1);

    buf[got > 0 ? got : 0] = '\0';
    if (fd >= 0)
        (void)sys_close(fd);
}

#define U(x) ((unsigned long long)(x))

static int print(char *out, size_t size, struct server *srv)
{
    char status[4096];
    struct weft_stats s = {0};
    struct rusage ru = {0};
    unsigned conns;

    read_status(status, sizeof status);
    (void)weft_runtime_stats(NULL, &s);
    (void)getrusage(RUSAGE_SELF, &ru);
    spin_lock(&srv->lock);
    conns = srv->nconns;
    spin_unlock(&srv->lock);
    return snprintf(
        out, size,
        "{\"connections\":%u,\"accepted\":%llu,\"requests\":%llu,"
        "\"gzipped\":%llu,\"refused\":%llu,\"shed\":%llu,\"working\":%u,"
        "\"held\":%llu,"
        "\"threads\":%lu,\"rss_kb\":%lu,"
        "\"cpu_user_us\":%llu,\"cpu_system_us\":%llu,"
        "\"workers\":%u,\"executor_threads\":%u,\"blocking_threads\":%u,"
        "\"tasks_spawned\":%llu,\"tasks_ended\":%llu,\"switches\":%llu,"
        "\"steals\":%llu,\"events_stolen\":%llu,\"parks\":%llu,"
        "\"wakes\":%llu,\"polls\":%llu,\"timers_fired\":%llu,"
        "\"executor_jobs\":%llu,\"blocking_jobs\":%llu,\"stacks\":%llu,"
        "\"stacks_used\":%llu}\n",
        conns, U(load_relaxed(&srv->accepted)), U(load_relaxed(&srv->requests)),
        U(load_relaxed(&srv->gzipped)), U(load_relaxed(&srv->refused)),
        U(load_relaxed(&srv->shed)), load_relaxed(&srv->working),
        U(load_relaxed(&srv->held)),
        proc_status(status, "Threads:"),
        proc_status(status, "VmRSS:"),
        U(ru.ru_utime.tv_sec) * 1000000 + U(ru.ru_utime.tv_usec),
        U(ru.ru_stime.tv_sec) * 1000000 + U(ru.ru_stime.tv_usec), s.workers,
        s.executor_threads, s.blocking_threads, U(s.tasks_spawned),
        U(s.tasks_ended), U(s.switches), U(s.steals), U(s.events_stolen),
        U(s.parks), U(s.wakes), U(s.polls), U(s.timers_fired),
        U(s.executor_jobs), U(s.blocking_jobs), U(s.stacks), U(s.stacks_used));
}

void hd_stats(struct session *x, const struct request *r)
{
    char body[2048];
    int n = print(body, sizeof body, x->srv);

    hd_start(x, r, 200);
    hd_printf(x,
              "Content-Type: application/json\r\nCache-Control: no-store\r\n"
              "Content-Length: %d\r\n\r\n",
              n);
    if (r->method == HD_GET) {
        hd_put(x, body, (size_t)n);
        x->sent = (uint64_t)n;
    }
}
