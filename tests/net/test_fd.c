/* SPDX-License-Identifier: MIT */
/* Descriptors of the user: waiting, watching, forgetting; the system calls. */
#include "net/pairs.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

struct poll {
    weft_watch w;
    int fd, events;
    long rc;
    atomic_int done, result;
};

static long waits(void *arg)
{
    struct poll *p = arg;

    p->rc = weft_fd_wait(p->fd, p->events);
    atomic_store(&p->done, 1);
    return 0;
}

static long on_ready(void *arg)
{
    struct poll *p = arg;

    atomic_store(&p->result, weft_watch_result(&p->w));
    atomic_fetch_add(&p->done, 1);
    return 0;
}

static void bump(int fd)
{
    t_equal(write(fd, &(uint64_t){1}, 8), 8);
}

static void drain(int fd)
{
    uint64_t n;

    t_equal(read(fd, &n, 8), 8);
}

/* ---- waiting ------------------------------------------------------------ */

static long wait_on(void *arg)
{
    int fd = eventfd(0, EFD_NONBLOCK), file = memfd_create("file", 0), p[2];
    char full[4096] = {0};

    (void)arg;
    t_equal(weft_fd_wait(fd, 0), -EINVAL);
    t_equal(weft_fd_wait(fd, 8), -EINVAL);
    t_equal(weft_fd_wait(-1, WEFT_READ), -EBADF);
    t_equal(weft_fd_wait(1 << 16, WEFT_READ), -EBADF);
    t_equal(weft_fd_wait(file, WEFT_READ), WEFT_READ);
    t_equal(weft_fd_wait(fd, WEFT_WRITE), WEFT_WRITE);
    t_equal(weft_fd_wait(fd, WEFT_READ | WEFT_WRITE), WEFT_WRITE);
    weft_with_timeout(2 * WEFT_MS)
        t_equal(weft_fd_wait(fd, WEFT_READ), -ETIMEDOUT);
    bump(fd);
    for (int i = 0; i < 3; i++) /* a level, not an edge */
        t_equal(weft_fd_wait(fd, WEFT_READ), WEFT_READ);
    t_equal(weft_fd_wait(fd, WEFT_READ | WEFT_WRITE), WEFT_READ | WEFT_WRITE);
    drain(fd);
    weft_with_timeout(2 * WEFT_MS)
        t_equal(weft_fd_wait(fd, WEFT_READ), -ETIMEDOUT);
    weft_fd_forget(fd);
    close(fd);
    /* The same number is another file now, unknown to us. */
    t_equal(pipe2(p, O_NONBLOCK), 0);
    t_equal(weft_fd_wait(p[1], WEFT_WRITE), WEFT_WRITE);
    while (write(p[1], full, sizeof full) > 0)
        ;
    weft_with_timeout(2 * WEFT_MS)
        t_equal(weft_fd_wait(p[1], WEFT_WRITE), -ETIMEDOUT);
    t_equal(weft_fd_wait(p[0], WEFT_READ), WEFT_READ);
    close(p[0]); /* hang-up is readiness */
    t_equal(weft_fd_wait(p[1], WEFT_WRITE), WEFT_WRITE);
    close(p[1]);
    close(file);
    return 0;
}

static void waiting_is_for_a_level(void **state)
{
    assert_int_equal(t_run(t_workers(state), wait_on, NULL), 0);
}

static long wait_together(void *arg)
{
    struct poll r = {.events = WEFT_READ}, w = {.events = WEFT_WRITE};
    char byte, full[4096] = {0};
    weft_group g;
    int fd[2];

    (void)arg;
    t_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    while (write(fd[0], full, sizeof full) > 0)
        ;
    r.fd = w.fd = fd[0];
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, waits, &r), 0);
        t_equal(weft_spawn(&g, waits, &w), 0);
        t_check(t_wait_waiting("read", 1) && t_wait_waiting("write", 1));
        t_equal(weft_fd_wait(fd[0], WEFT_READ), -EBUSY);
        t_equal(weft_fd_wait(fd[0], WEFT_WRITE), -EBUSY);
        t_equal(write(fd[1], "x", 1), 1);
        t_check(t_wait_for(&r.done, 1));
        t_equal(r.rc, WEFT_READ);
        t_equal(atomic_load(&w.done), 0);
        t_equal(read(fd[0], &byte, 1), 1);
        atomic_store(&r.done, 0);
        t_equal(weft_spawn(&g, waits, &r), 0);
        t_check(t_wait_waiting("read", 1));
        weft_fd_forget(fd[0]);
        t_check(t_wait_for(&r.done, 1) && t_wait_for(&w.done, 1));
        t_equal(r.rc, -EBADF);
        t_equal(w.rc, -EBADF);
    }
    close(fd[0]);
    close(fd[1]);
    return 0;
}

static void each_direction_has_one_waiter(void **state)
{
    assert_int_equal(t_run(t_workers(state), wait_together, NULL), 0);
}

/* ---- watching ----------------------------------------------------------- */

static long watch_it(void *arg)
{
    struct poll p = {.rc = 0}, q = {.rc = 0};
    int fd = eventfd(0, EFD_NONBLOCK);
    int64_t start;

    (void)arg;
    t_equal(weft_fd_unwatch(&p.w), 0);
    t_equal(weft_fd_watch(&p.w, fd, 0, WEFT_NEVER, on_ready, &p), -EINVAL);
    t_equal(weft_fd_watch(&p.w, -1, WEFT_READ, WEFT_NEVER, on_ready, &p),
            -EBADF);
    t_equal(weft_fd_watch(&p.w, fd, WEFT_READ, WEFT_NEVER, on_ready, &p), 0);
    t_equal(weft_fd_watch(&p.w, fd, WEFT_READ, WEFT_NEVER, on_ready, &p),
            -EBUSY);
    t_equal(weft_fd_watch(&q.w, fd, WEFT_READ, WEFT_NEVER, on_ready, &q),
            -EBUSY);
    (void)weft_sleep(2 * WEFT_MS);
    t_equal(atomic_load(&p.done), 0);
    bump(fd);
    t_check(t_wait_for(&p.done, 1));
    t_equal(atomic_load(&p.result), WEFT_READ);
    /* Still so: it fires again at once. */
    t_equal(weft_fd_watch(&p.w, fd, WEFT_READ, WEFT_NEVER, on_ready, &p), 0);
    t_check(t_wait_for(&p.done, 2));
    drain(fd);
    t_equal(weft_fd_watch(&p.w, fd, WEFT_READ, WEFT_NEVER, on_ready, &p), 0);
    t_equal(weft_fd_unwatch(&p.w), 1);
    t_equal(weft_fd_unwatch(&p.w), 0);
    bump(fd);
    (void)weft_sleep(2 * WEFT_MS);
    t_equal(atomic_load(&p.done), 2);
    drain(fd);
    start = weft_now();
    t_equal(
        weft_fd_watch(&p.w, fd, WEFT_READ, start + 5 * WEFT_MS, on_ready, &p),
        0);
    t_check(t_wait_for(&p.done, 3));
    t_equal(atomic_load(&p.result), -ETIMEDOUT);
    t_check(weft_now() - start >= 5 * WEFT_MS);
    t_equal(weft_fd_watch(&p.w, fd, WEFT_READ | WEFT_WRITE, WEFT_NEVER,
                          on_ready, &p),
            0);
    t_check(t_wait_for(&p.done, 4));
    t_equal(atomic_load(&p.result), WEFT_WRITE);
    t_equal(weft_fd_watch(&p.w, fd, WEFT_READ, WEFT_NEVER, on_ready, &p), 0);
    weft_fd_forget(fd);
    t_check(t_wait_for(&p.done, 5));
    t_equal(atomic_load(&p.result), -EBADF);
    close(fd);
    return 0;
}

static void a_watch_fires_once(void **state)
{
    assert_int_equal(t_run(t_workers(state), watch_it, NULL), 0);
}

/* Disarming, the event and the deadline meet: fn runs if and only if it was
 * not disarmed. */
static long watch_races(void *arg)
{
    int fd = eventfd(0, EFD_NONBLOCK);
    long rounds = t_scale(5000);
    static struct poll p;

    (void)arg;
    memset(&p, 0, sizeof p);
    for (long i = 0; i < rounds; i++) {
        int64_t deadline = weft_now() + i % 100 * WEFT_US;
        bool disarmed;

        atomic_store(&p.done, 0);
        t_equal(weft_fd_watch(&p.w, fd, WEFT_READ, deadline, on_ready, &p), 0);
        t_spin(i % 70 * WEFT_US);
        if (i % 3 == 0)
            bump(fd);
        if (i % 5 == 0)
            (void)weft_yield();
        disarmed = weft_fd_unwatch(&p.w);
        if (!disarmed && !t_check(t_wait_for(&p.done, 1)))
            break;
        t_equal(atomic_load(&p.done), !disarmed);
        if (i % 3 == 0)
            drain(fd);
    }
    weft_fd_forget(fd);
    close(fd);
    return 0;
}

static void disarming_event_and_deadline_meet(void **state)
{
    assert_int_equal(t_run(t_workers(state), watch_races, NULL), 0);
}

/* ---- system calls that wait ---------------------------------------------- */

#define MANY ((size_t)4 << 20)

struct copy {
    int fd;
    char *data;
    size_t n;
    atomic_long rc;
    atomic_int done;
};

static long writes_fd(void *arg)
{
    struct copy *c = arg;

    atomic_store(&c->rc, weft_fd_write(c->fd, c->data, c->n));
    atomic_store(&c->done, 1);
    return 0;
}

/* Through a pipe or a socket that holds a part of it at a time. */
static void pump(int in, int out)
{
    char *data = malloc(2 * MANY);
    struct copy c = {.fd = out, .data = data, .n = MANY};
    size_t got = 0;
    ssize_t rc = 1;
    weft_group g;

    fill_pattern(data, MANY);
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, writes_fd, &c), 0);
        while (got < MANY && rc > 0) {
            rc = weft_fd_read(in, data + MANY + got, MANY - got);
            got += rc > 0 ? (size_t)rc : 0;
        }
        t_check(t_wait_for(&c.done, 1));
    }
    t_equal(got, MANY);
    t_equal(atomic_load(&c.rc), MANY);
    t_check(memcmp(data, data + MANY, MANY) == 0);
    weft_fd_forget(out);
    close(out);
    t_equal(weft_fd_read(in, data, 1), 0);
    weft_fd_forget(in);
    close(in);
    free(data);
}

static long pump_all(void *arg)
{
    int before = t_fds(), fd[2], file = memfd_create("file", 0);
    char buf[8] = "";

    (void)arg;
    t_equal(pipe2(fd, O_NONBLOCK), 0);
    weft_with_timeout(2 * WEFT_MS)
        t_equal(weft_fd_read(fd[0], buf, 8), -ETIMEDOUT);
    t_equal(weft_fd_write(fd[1], buf, 0), 0);
    pump(fd[0], fd[1]);
    t_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    pump(fd[0], fd[1]);
    /* A plain file. */
    t_equal(weft_fd_write(file, "plain", 5), 5);
    t_equal(lseek(file, 0, SEEK_SET), 0);
    t_equal(weft_fd_read(file, buf, 8), 5);
    t_equal(weft_fd_read(file, buf, 8), 0);
    close(file);
    t_equal(weft_fd_read(-1, buf, 8), -EBADF);
    t_equal(weft_fd_write(-1, buf, 8), -EBADF);
    t_equal(t_fds(), before);
    return 0;
}

static void all_is_written_and_read(void **state)
{
    assert_int_equal(t_run(t_workers(state), pump_all, NULL), 0);
}

static long write_to_nobody(void *arg)
{
    int fd[2];

    (void)arg;
    t_equal(pipe2(fd, O_NONBLOCK), 0);
    close(fd[0]);
    t_equal(weft_fd_write(fd[1], "x", 1), -EPIPE);
    close(fd[1]);
    t_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    close(fd[0]);
    t_equal(weft_fd_write(fd[1], "x", 1), -EPIPE);
    close(fd[1]);
    return 0;
}

static void a_broken_pipe_is_an_error_and_no_signal(void **state)
{
    void (*old)(int) = signal(SIGPIPE, SIG_DFL);
    long rc = weft_run_with(&(struct weft_options){.workers = t_workers(state)},
                            write_to_nobody, NULL);

    signal(SIGPIPE, old);
    t_verdict();
    assert_int_equal(rc, 0);
}

static int listen_on(struct sockaddr_in *a)
{
    socklen_t n = sizeof *a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    *a = (struct sockaddr_in){.sin_family = AF_INET};
    a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    t_equal(bind(fd, (struct sockaddr *)a, n), 0);
    t_equal(listen(fd, 8), 0);
    t_equal(getsockname(fd, (struct sockaddr *)a, &n), 0);
    return fd;
}

struct dial {
    struct sockaddr_in to;
    long rc;
};

static long dials(void *arg)
{
    struct dial *d = arg;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    char c = 0;

    d->rc = weft_fd_connect(fd, (struct sockaddr *)&d->to, sizeof d->to);
    if (d->rc == 0) {
        t_equal(weft_fd_read(fd, &c, 1), 1);
        t_equal(c, '!');
    }
    weft_fd_forget(fd);
    close(fd);
    return 0;
}

static long meet(void *arg)
{
    int before = t_fds(), l, fd;
    struct dial d = {.rc = 1};
    struct sockaddr_in from;
    unsigned n = sizeof from;
    weft_group g;

    (void)arg;
    l = listen_on(&d.to);
    weft_with_timeout(2 * WEFT_MS)
        t_equal(weft_fd_accept(l, NULL, NULL), -ETIMEDOUT);
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, dials, &d), 0);
        fd = weft_fd_accept(l, (struct sockaddr *)&from, &n);
        if (t_check(fd >= 0)) {
            t_equal(n, sizeof from);
            t_equal(from.sin_family, AF_INET);
            t_check(fcntl(fd, F_GETFL) & O_NONBLOCK);
            t_check(fcntl(fd, F_GETFD) & FD_CLOEXEC);
            t_equal(weft_fd_write(fd, "!", 1), 1);
            close(fd);
        }
    }
    t_equal(d.rc, 0);
    weft_fd_forget(l);
    close(l);
    weft_with_group(&g)
        t_equal(weft_spawn(&g, dials, &d), 0);
    t_equal(d.rc, -ECONNREFUSED);
    t_equal(weft_fd_accept(-1, NULL, NULL), -EBADF);
    t_equal(t_fds(), before);
    return 0;
}

static void raw_sockets_meet(void **state)
{
    assert_int_equal(t_run(t_workers(state), meet, NULL), 0);
}

static void a_thread_that_is_no_task_cannot_wait(void **state)
{
    weft_watch w = {{0}};

    (void)state;
    assert_int_equal(weft_fd_wait(0, WEFT_READ), -EPERM);
    assert_int_equal(weft_fd_watch(&w, 0, WEFT_READ, 0, on_ready, &w), -EPERM);
    weft_fd_forget(0);
    assert_int_equal(weft_fd_read(0, &w, 1), -EPERM);
    assert_int_equal(weft_fd_write(1, &w, 1), -EPERM);
    assert_int_equal(weft_fd_accept(0, NULL, NULL), -EPERM);
    assert_int_equal(weft_fd_connect(0, NULL, 0), -EPERM);
}

static const struct CMUnitTest tests[] = {
    T_REAL_EACH(waiting_is_for_a_level),
    T_REAL_EACH(each_direction_has_one_waiter),
    T_REAL_EACH(a_watch_fires_once),
    T_REAL_EACH(disarming_event_and_deadline_meet),
    T_REAL_EACH(all_is_written_and_read),
    T_REAL_EACH(a_broken_pipe_is_an_error_and_no_signal),
    T_REAL_EACH(raw_sockets_meet),
    cmocka_unit_test(a_thread_that_is_no_task_cannot_wait),
};

T_MAIN(tests)
