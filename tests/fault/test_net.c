/* SPDX-License-Identifier: MIT */
/* Sockets, datagrams, processes, signals, files: each call fails once. */
#include "faults.h"

#ifdef W_FAULTS

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define CLIENTS 4

static int file; /* 4000 bytes */

/* ---- streams ---------------------------------------------------------------- */

static atomic_int entered, left;

static long answers(weft_stream *s, void *arg)
{
    char line[64];
    ssize_t n;

    (void)arg;
    atomic_fetch_add(&entered, 1);
    while ((n = weft_readline(s, line, sizeof line)) > 0) {
        if (line[0] == 'f')
            n = weft_sendfile(s, file, 0, 4000);
        else
            n = weft_write(s, line, (size_t)n);
        if (n < 0)
            break;
    }
    atomic_fetch_add(&left, 1);
    return n;
}

static long serves(void *arg)
{
    return weft_serve(arg, answers, NULL);
}

static long asks(weft_stream *s)
{
    static const char text[] = "hello, this is a line\n";
    char reply[4000];
    ssize_t n = weft_write(s, text, sizeof text - 1);

    if (n < 0)
        return n;
    n = weft_readline(s, reply, sizeof reply);
    if (n <= 0)
        return n ? n : -ECONNRESET; /* the server gave up */
    t_check(memcmp(reply, text, (size_t)n) == 0);
    if (reply[n - 1] != '\n')
        return -ECONNRESET; /* in the middle of it */
    t_equal(n, sizeof text - 1);
    n = weft_write(s, "file\n", 5);
    if (n < 0)
        return n;
    n = weft_readn(s, reply, sizeof reply);
    if (n >= 0 && n < (ssize_t)sizeof reply)
        return -ECONNRESET;
    for (ssize_t i = 0; i < n; i++)
        if (!t_equal(reply[i], (char)i))
            break;
    return n < 0 ? n : 0;
}

static long visits(void *arg)
{
    weft_stream *s;
    long rc = weft_connect(&s, arg);

    if (rc < 0)
        return rc;
    rc = asks(s);
    weft_close(s);
    return rc;
}

/* The server must outlive what happens to its clients. */
static long a_server(void *arg)
{
    weft_group house, guests;
    weft_listener *l;
    char at[32];
    long rc = weft_listen(&l, "127.0.0.1:0"), rc2;
    bool open = true;

    (void)arg;
    if (rc < 0)
        return rc;
    atomic_store(&entered, 0);
    atomic_store(&left, 0);
    snprintf(at, sizeof at, "127.0.0.1:%d", weft_listener_port(l));
    weft_with_group(&house) {
        rc = weft_spawn(&house, serves, l);
        /* A server without descriptors lets its clients wait. */
        weft_with_timeout(300 * WEFT_MS) {
            weft_with_group(&guests) {
                weft_group_collect(&guests);
                for (int i = 0; i < CLIENTS && rc == 0; i++)
                    rc = weft_spawn(&guests, visits, at);
            }
            rc2 = weft_group_wait(&guests);
            rc = rc ? rc : rc2;
        }
        /* Not while its task may not have begun. */
        open = atomic_load(&entered) == 0;
        if (open)
            weft_group_cancel(&house);
        else
            weft_listener_close(l);
    }
    if (open)
        weft_listener_close(l);
    rc2 = weft_group_wait(&house);
    t_equal(atomic_load(&left), atomic_load(&entered));
    return rc ? rc : rc2;
}

static void streams(void **state)
{
    struct scenario s = {"streams", a_server, {.workers = 2}};

    (void)state;
    fault_all(&s, 3, 300);
}

/* ---- datagrams, watches ------------------------------------------------------- */

static long fires(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static long watches(void)
{
    static atomic_int fired; /* its tasks may outlive this */
    int fd[2];
    weft_watch w;
    weft_timer t = {{0}};
    long rc;

    atomic_store(&fired, 0);
    if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) < 0)
        return -EMFILE;
    memset(&w, 0, sizeof w);
    rc = weft_fd_watch(&w, fd[0], WEFT_READ, WEFT_NEVER, fires, &fired);
    if (rc == 0) {
        t_equal(write(fd[1], "x", 1), 1);
        /* Its task may not have started, for want of memory. */
        for (int i = 0; i < 2000 && !atomic_load(&fired); i++)
            if ((rc = weft_sleep(10 * WEFT_US)) < 0)
                break;
        if (weft_fd_unwatch(&w) == 0 && !atomic_load(&fired) && rc == 0)
            rc = weft_sleep(5 * WEFT_MS);
    }
    weft_fd_forget(fd[0]);
    close(fd[0]);
    close(fd[1]);
    if (rc == 0)
        rc = weft_timer_start(&t, weft_now() + WEFT_MS, fires, &fired);
    if (rc == 0)
        rc = weft_sleep(3 * WEFT_MS);
    (void)weft_timer_stop(&t);
    return rc < 0 ? rc : weft_sleep(WEFT_MS);
}

static long exchange(void)
{
    weft_udp *a = NULL, *b = NULL;
    char at[32], buf[16];
    long rc = weft_udp_open(&a, "127.0.0.1:0", NULL);

    if (rc < 0)
        return rc;
    snprintf(at, sizeof at, "127.0.0.1:%d", weft_udp_port(a));
    rc = weft_udp_open(&b, NULL, at);
    if (rc == 0)
        rc = weft_udp_send(b, "four", 4, NULL);
    if (rc == 4)
        weft_with_timeout(300 * WEFT_MS)
            rc = weft_udp_recv(a, buf, sizeof buf, NULL);
    weft_udp_close(b);
    weft_udp_close(a);
    return rc == 4 ? 0 : rc;
}

static long resolves(void)
{
    weft_address list[4];
    long rc = weft_resolve("localhost:80", list, 4);

    return rc > 0 ? 0 : rc;
}

static long packets(void *arg)
{
    long rc = exchange();

    (void)arg;
    if (rc == 0)
        rc = watches();
    return rc ? rc : resolves();
}

static void datagrams_and_watches(void **state)
{
    struct scenario s = {"datagrams", packets, {.workers = 2}};

    (void)state;
    fault_all(&s, 2, 300);
}

/* ---- processes, signals --------------------------------------------------------- */

static long reads_all(weft_process *p)
{
    char buf[64];
    ssize_t n, all = 0;

    while ((n = weft_read(weft_process_stdout(p), buf, sizeof buf)) > 0)
        all += n;
    if (n == 0)
        t_equal(all, 6);
    return n;
}

static long runs_echo(void)
{
    char *const argv[] = {"echo", "hello", NULL};
    const struct weft_process_options o = {.out = WEFT_PIPE};
    weft_process *p;
    long rc = weft_process_start(&p, argv, &o), end;

    if (rc < 0)
        return rc;
    rc = reads_all(p);
    end = weft_process_wait(p);
    weft_process_close(p);
    return rc ? rc : end;
}

static long hears(void)
{
    const int signals[] = {SIGUSR1};
    weft_signals *s;
    long rc = weft_signals_open(&s, signals, 1);

    if (rc < 0)
        return rc;
    kill(getpid(), SIGUSR1);
    weft_with_timeout(300 * WEFT_MS)
        rc = weft_signals_next(s);
    weft_signals_close(s);
    return rc == SIGUSR1 ? 0 : rc;
}

static long outside(void *arg)
{
    long rc = runs_echo();

    (void)arg;
    return rc ? rc : hears();
}

static void comes_late(int sig)
{
    (void)sig;
}

static void processes_and_signals(void **state)
{
    struct scenario s = {"processes", outside, {.workers = 2}};

    (void)state;
    /* The kernel may deliver it when nobody listens any more. */
    signal(SIGUSR1, comes_late);
    fault_all(&s, 2, 300);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie is left */
}

static int make_file(void **state)
{
    char bytes[4000];

    (void)state;
    file = memfd_create("file", MFD_CLOEXEC);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    return file < 0 || write(file, bytes, sizeof bytes) != sizeof bytes;
}

static int close_file(void **state)
{
    (void)state;
    return close(file);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(streams, make_file, close_file),
    cmocka_unit_test(datagrams_and_watches),
    cmocka_unit_test(processes_and_signals),
};

#endif

FAULT_MAIN(tests)
