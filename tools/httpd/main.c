/* SPDX-License-Identifier: MIT */
/* weft-httpd: start and stop.
 *
 * SIGTERM and SIGINT are blocked in every thread and read from a signalfd by
 * the main task. The first one stops: no more connections are accepted, idle
 * ones are closed, open requests are answered with "Connection: close", all of
 * it within the grace. The second one ends the process at once. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

#include "cache.h"
#include "gzip.h"
#include "log.h"
#include "path.h"
#include "session.h"
#include "settings.h"

static W_PRINTF(2, 3) int complain(long rc, const char *fmt, ...)
{
    char what[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    fprintf(stderr, HD_NAME ": %s: %s\n", what, weft_strerror(rc));
    return (int)rc;
}

/* Scripts wait for this file, so it appears whole. */
static int write_port_file(const char *path, int port)
{
    char tmp[PATH_MAX], text[16];
    int rc, fd, n = snprintf(text, sizeof text, "%d\n", port);

    if (snprintf(tmp, sizeof tmp, "%s.tmp", path) >= (int)sizeof tmp)
        return -ENAMETOOLONG;
    fd = sys_open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return fd;
    rc = sys_write(fd, text, (size_t)n) == n ? 0 : -EIO;
    (void)sys_close(fd);
    if (!rc)
        rc = SYS_RET(rename(tmp, path));
    return rc;
}

static int announce(const struct server *srv)
{
    const char *address = srv->set.listen;
    const char *colon = strrchr(address, ':');
    int port = weft_listener_port(srv->listener);

    if (srv->set.port_file) {
        int rc = write_port_file(srv->set.port_file, port);
        if (rc < 0)
            return complain(rc, "%s", srv->set.port_file);
    }
    if (!port)
        printf("listening on %s\n", address);
    else
        printf("listening on %.*s:%d\n", (int)(colon - address), address, port);
    fflush(stdout);
    return 0;
}

/* Waits for a signal and takes it. 0, -ECANCELED. */
static int wait_signal(int fd)
{
    struct signalfd_siginfo info;
    int rc;

    do {
        rc = weft_fd_wait(fd, WEFT_READ);
        if (rc < 0)
            return rc;
    } while (sys_read(fd, &info, sizeof info) < 0);
    return 0;
}

static long second_signal_task(void *arg)
{
    struct server *srv = arg;

    if (!wait_signal(srv->signals))
        _exit(1);
    return 0;
}

/* Lets open requests end. 0, or -ETIMEDOUT if they did not. */
static int drain(struct server *srv)
{
    int rc = 0;

    store_seq_cst(&srv->stopping, true);
    hd_conns_wake(srv);
    weft_with_timeout(srv->set.grace)
        rc = hd_conns_wait(srv);
    if (rc == -ETIMEDOUT)
        w_warn(HD_NAME ": %u connections were cut off", srv->nconns);
    return rc;
}

static long run(struct server *srv)
{
    weft_task *acceptor = NULL, *logger = NULL, *second = NULL;
    weft_group group = {0};
    long rc = 0;

    weft_with_group(&group) {
        if (srv->log)
            rc = weft_spawn_task(&group, hd_log_task, srv->log, &logger);
        if (!rc)
            rc = weft_spawn_task(&group, hd_accept_task, srv, &acceptor);
        if (!rc)
            rc = wait_signal(srv->signals);
        if (rc < 0)
            complain(rc, "stopping");
        if (acceptor) {
            weft_task_cancel(acceptor);
            (void)weft_await(acceptor);
        }
        /* From here on clients are refused. */
        weft_listener_close(srv->listener);
        if (!rc)
            rc = weft_spawn_task(&group, second_signal_task, srv, &second);
        if (!rc)
            rc = drain(srv);
        if (logger)
            weft_task_cancel(logger);
        if (second)
            weft_task_cancel(second);
    }
    return rc;
}

static long main_task(void *arg)
{
    struct server *srv = arg;
    int rc = weft_listen(&srv->listener, srv->set.listen);

    if (rc < 0)
        return complain(rc, "%s", srv->set.listen);
    rc = announce(srv);
    if (rc < 0) {
        weft_listener_close(srv->listener);
        return rc;
    }
    return run(srv);
}

/* Signals are taken from a descriptor only; a client that has gone is an
 * error code, not a signal. */
static int catch_signals(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    return SYS_RET(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

/* As many descriptors as the system allows; a part is kept back for files and
 * for the runtime, so that connections cannot use up those. Beyond a limit that
 * was asked for, what room there is serves to refuse. */
static void limit_connections(struct server *srv)
{
    struct settings *set = &srv->set;
    struct rlimit lim;
    rlim_t n;

    if (getrlimit(RLIMIT_NOFILE, &lim)) {
        set->max_conns = set->max_conns ? set->max_conns : 1024;
        srv->room = set->max_conns;
        return;
    }
    if (lim.rlim_cur < lim.rlim_max) {
        lim.rlim_cur = lim.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &lim);
        (void)getrlimit(RLIMIT_NOFILE, &lim);
    }
    n = lim.rlim_cur > 1 << 30 ? 1 << 30 : lim.rlim_cur;
    n -= n / 8;
    n = n > 64 + 8 ? n - 64 : 8;
    if (!set->max_conns || set->max_conns > n)
        set->max_conns = (unsigned)n;
    srv->room = (unsigned)n;
}

static int open_root(struct server *srv)
{
    struct settings *set = &srv->set;
    int rc;

    srv->root = sys_open(set->root, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (srv->root < 0)
        return complain(srv->root, "%s", set->root);
    rc = hd_open_beneath(srv->root, "", O_PATH, set->no_openat2);
    if (rc == -ENOSYS || rc == -EPERM) {
        set->no_openat2 = true;
        rc = hd_open_beneath(srv->root, "", O_PATH, true);
    }
    if (rc < 0)
        return complain(rc, "%s", set->root);
    (void)sys_close(rc);
    hd_spares_open(srv->root);
    return 0;
}

static int open_server(struct server *srv)
{
    int rc = open_root(srv);

    if (rc < 0)
        return rc;
    list_init(&srv->fresh);
    list_init(&srv->conns);
    limit_connections(srv);
    srv->signals = catch_signals();
    if (srv->signals < 0)
        return complain(srv->signals, "signalfd");
    rc = hd_cache_open(&srv->cache, srv);
    if (rc < 0)
        return complain(rc, "file cache");
    if (srv->set.access_log) {
        rc = hd_log_open(&srv->log, srv->set.access_log);
        if (rc < 0)
            return complain(rc, "%s", srv->set.access_log);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct server srv;
    long rc;

    hd_settings(&srv.set, argc, argv);
    rc = open_server(&srv);
    if (rc < 0)
        return 1;
    rc = weft_run_with(&srv.set.runtime, main_task, &srv);
    if (rc < 0 && !srv.listener)
        complain(rc, "start");
    hd_log_close(srv.log);
    hd_cache_close(srv.cache);
    hd_gzip_close();
    hd_spares_close();
    (void)sys_close(srv.signals);
    (void)sys_close(srv.root);
    return rc < 0;
}
