/* SPDX-License-Identifier: MIT */
/* Listeners: addresses, accepting, serving. */
#include "net/pairs.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

/* ---- addresses ---------------------------------------------------------- */

static long try_addresses(void *arg)
{
    static const char *const malformed[] = {
        "",         "127.0.0.1", "127.0.0.1:",     ":x",    ":65536",
        "::1:80",   "[::1:80",   "[::1]80",        "unix:", ":-1",
        "host:80a", "[::1]:",    "1.2.3.4:123456",
    };
    char path[200] = "unix:";
    weft_listener *l;
    weft_stream *s;
    int before = t_fds();

    (void)arg;
    for (size_t i = 0; i < T_LEN(malformed); i++) {
        t_equal(weft_listen(&l, malformed[i]), -EINVAL);
        t_equal(weft_connect(&s, malformed[i]), -EINVAL);
    }
    memset(path + 5, 'x', sizeof path - 6);
    path[sizeof path - 1] = 0;
    t_equal(weft_listen(&l, path), -EINVAL);
    t_equal(weft_connect(&s, "unix:/nowhere/at/all"), -ENOENT);
    t_equal(weft_listen(&l, "unix:/nowhere/at/all"), -ENOENT);
    t_equal(weft_connect(&s, "no-such-host.invalid:80") < 0, 1);
    t_equal(t_fds(), before);
    return 0;
}

static void malformed_addresses_are_refused(void **state)
{
    assert_int_equal(t_run(t_workers(state), try_addresses, NULL), 0);
}

static void meet(const char *listen_at, const char *connect_to,
                 const char *peer_is)
{
    char to[64], expected[64], peer[64], buf[8];
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    weft_listener *l;
    weft_stream *s, *t;

    if (!t_equal(weft_listen(&l, listen_at), 0))
        return;
    t_check(weft_listener_port(l) > 0);
    snprintf(to, sizeof to, "%s:%d", connect_to, weft_listener_port(l));
    if (t_equal(weft_connect(&s, to), 0) && t_equal(weft_accept(l, &t), 0)) {
        snprintf(expected, sizeof expected, "%s:%d", peer_is,
                 weft_listener_port(l));
        t_equal(weft_stream_peer(s, peer, sizeof peer), 0);
        t_check(strcmp(peer, expected) == 0);
        t_equal(getsockname(weft_stream_fd(s), (struct sockaddr *)&a, &n), 0);
        t_equal(weft_write(s, "hello", 5), 5);
        t_equal(weft_readn(t, buf, 5), 5);
        t_check(fcntl(weft_stream_fd(t), F_GETFD) & FD_CLOEXEC);
        t_check(fcntl(weft_stream_fd(s), F_GETFD) & FD_CLOEXEC);
        weft_close(s);
        weft_close(t);
    }
    weft_listener_close(l);
    t_equal(weft_connect(&s, to), -ECONNREFUSED);
}

/* A bare system may have no hosts file. */
static bool knows_localhost(void)
{
    struct addrinfo *list, hints = {.ai_family = AF_INET};

    if (getaddrinfo("localhost", NULL, &hints, &list))
        return false;
    freeaddrinfo(list);
    return true;
}

static long meet_everywhere(void *arg)
{
    int before = t_fds();
    weft_listener *l, *m;
    char at[64];

    (void)arg;
    meet("127.0.0.1:0", "127.0.0.1", "127.0.0.1");
    meet(":0", "127.0.0.1", "127.0.0.1");
    if (knows_localhost())
        meet("localhost:0", "localhost", "127.0.0.1");
    if (access("/proc/net/if_inet6", F_OK) == 0 &&
        weft_listen(&l, "[::1]:0") == 0) {
        weft_listener_close(l);
        meet("[::1]:0", "[::1]", "[::1]");
    }
    t_equal(weft_listen(&l, "127.0.0.1:0"), 0);
    snprintf(at, sizeof at, "127.0.0.1:%d", weft_listener_port(l));
    t_equal(weft_listen(&m, at), -EADDRINUSE);
    weft_listener_close(l);
    weft_listener_close(NULL);
    t_equal(t_fds(), before);
    return 0;
}

static void both_ends_meet(void **state)
{
    assert_int_equal(t_run(t_workers(state), meet_everywhere, NULL), 0);
}

/* ---- paths -------------------------------------------------------------- */

/* A socket that nobody listens on, as a killed server leaves it. */
static void leave_socket(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    t_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    close(fd);
}

static long use_paths(void *arg)
{
    char dir[] = "/tmp/weft-test-XXXXXX", at[64], *path = at + 5;
    weft_listener *l, *m;
    weft_stream *s, *t;
    struct stat st;
    char buf[64];

    (void)arg;
    if (!t_check(mkdtemp(dir) != NULL))
        return 0;
    snprintf(at, sizeof at, "unix:%s/s", dir);
    leave_socket(path);
    t_equal(weft_connect(&s, at), -ECONNREFUSED);
    t_equal(weft_listen(&l, at), 0);
    t_equal(weft_listener_port(l), 0);
    t_equal(weft_connect(&s, at), 0);
    t_equal(weft_accept(l, &t), 0);
    t_equal(weft_stream_peer(s, buf, sizeof buf), 0);
    t_check(strcmp(buf, at) == 0);
    weft_close(s);
    weft_close(t);
    /* One that answers stays, and so does its successor. */
    t_equal(weft_listen(&m, at), -EADDRINUSE);
    t_equal(unlink(path), 0);
    t_equal(weft_listen(&m, at), 0);
    weft_listener_close(l);
    t_equal(lstat(path, &st), 0);
    weft_listener_close(m);
    t_equal(lstat(path, &st), -1);
    /* What is no socket is not ours to remove. */
    close(open(path, O_CREAT | O_WRONLY, 0600));
    t_equal(weft_listen(&l, at), -EADDRINUSE);
    t_check(lstat(path, &st) == 0 && S_ISREG(st.st_mode));
    unlink(path);
    rmdir(dir);
    return 0;
}

static void only_dead_sockets_are_removed(void **state)
{
    assert_int_equal(t_run(t_workers(state), use_paths, NULL), 0);
}

/* ---- accepting ---------------------------------------------------------- */

struct acceptor {
    weft_listener *l;
    long rc;
    atomic_int done;
};

static long accepts(void *arg)
{
    struct acceptor *a = arg;
    weft_stream *s;

    a->rc = weft_accept(a->l, &s);
    if (a->rc == 0)
        weft_close(s);
    atomic_store(&a->done, 1);
    return 0;
}

static long stop_accepting(void *arg)
{
    struct acceptor a = {.rc = 0};
    weft_stream *s;
    weft_task *t;
    weft_group g;
    int before = t_fds();

    (void)arg;
    t_equal(weft_listen(&a.l, "127.0.0.1:0"), 0);
    weft_with_timeout(5 * WEFT_MS)
        t_equal(weft_accept(a.l, &s), -ETIMEDOUT);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, accepts, &a, &t), 0);
        t_check(t_wait_waiting("read", 1));
        t_equal(weft_accept(a.l, &s), -EBUSY);
        weft_task_cancel(t);
        (void)weft_await(t);
        t_equal(a.rc, -ECANCELED);
        atomic_store(&a.done, 0);
        t_equal(weft_spawn(&g, accepts, &a), 0);
        t_check(t_wait_waiting("read", 1));
        weft_listener_close(a.l);
        t_check(t_wait_for(&a.done, 1));
        t_equal(a.rc, -EBADF);
    }
    t_equal(t_fds(), before);
    return 0;
}

static void an_accept_ends_by_cancel_and_close(void **state)
{
    assert_int_equal(t_run(t_workers(state), stop_accepting, NULL), 0);
}

/* ---- serving ------------------------------------------------------------ */

struct house {
    weft_listener *l;
    weft_handler *handler;
    char at[64];
    atomic_int entered, cancelled, left;
    long rc;
    atomic_int done;
};

static long serves(void *arg)
{
    struct house *h = arg;

    h->rc = weft_serve(h->l, h->handler, h);
    atomic_store(&h->done, 1);
    return 0;
}

static bool open_house(struct house *h, weft_handler *handler)
{
    h->handler = handler;
    if (!t_equal(weft_listen(&h->l, "127.0.0.1:0"), 0))
        return false;
    snprintf(h->at, sizeof h->at, "127.0.0.1:%d", weft_listener_port(h->l));
    return true;
}

/* Echoes lines; a line "!<n>" makes it fail with -n. */
static long echo(weft_stream *s, void *arg)
{
    struct house *h = arg;
    char line[128];
    ssize_t n;

    atomic_fetch_add(&h->entered, 1);
    while ((n = weft_readline(s, line, sizeof line)) > 0) {
        if (line[0] == '!') {
            n = -atoi(line + 1);
            if (n == -EDOM)
                n = weft_fail(n, "of %s", "its own");
            break;
        }
        n = weft_write(s, line, (size_t)n);
        if (n < 0)
            break;
    }
    if (n == -ECANCELED)
        atomic_fetch_add(&h->cancelled, 1);
    atomic_fetch_add(&h->left, 1);
    return n;
}

static void say(weft_stream *s, const char *line)
{
    char buf[128];

    t_equal(weft_write(s, line, strlen(line)), strlen(line));
    t_equal(weft_readline(s, buf, sizeof buf), strlen(line));
    t_check(strcmp(buf, line) == 0);
}

static long asks(void *arg)
{
    struct house *h = arg;
    weft_stream *s;

    if (!t_equal(weft_connect(&s, h->at), 0))
        return 0;
    for (int i = 0; i < 5; i++)
        say(s, "how do you do\n");
    weft_close(s);
    return 0;
}

#define CLIENTS 40

static long serve_many(void *arg)
{
    struct house h = {.rc = 1};
    int before = t_fds();
    weft_group g;

    (void)arg;
    if (!open_house(&h, echo))
        return 0;
    weft_with_group(&g) {
        weft_group clients;

        t_equal(weft_spawn(&g, serves, &h), 0);
        weft_with_group(&clients)
            for (int i = 0; i < CLIENTS; i++)
                t_equal(weft_spawn(&clients, asks, &h), 0);
        t_check(t_wait_for(&h.left, CLIENTS));
        weft_listener_close(h.l);
    }
    t_equal(h.rc, 0);
    t_equal(atomic_load(&h.entered), CLIENTS);
    t_equal(atomic_load(&h.cancelled), 0);
    t_equal(t_fds(), before);
    return 0;
}

static void each_connection_has_its_task(void **state)
{
    assert_int_equal(t_run(t_workers(state), serve_many, NULL), 0);
}

static void fail_one(struct house *h, int code, int left)
{
    char line[16];
    weft_stream *s;

    if (!t_equal(weft_connect(&s, h->at), 0))
        return;
    snprintf(line, sizeof line, "!%d\n", code);
    t_equal(weft_write(s, line, strlen(line)), strlen(line));
    t_equal(weft_read(s, line, 1), 0); /* closed by the server */
    t_check(t_wait_for(&h->left, left));
    weft_close(s);
}

static long serve_failures(void *arg)
{
    struct house h = {.rc = 1};
    struct t_errors *errors = arg;
    weft_stream *stays;
    weft_group g;

    if (!open_house(&h, echo))
        return 0;
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, serves, &h), 0);
        t_equal(weft_connect(&stays, h.at), 0);
        say(stays, "first\n");
        fail_one(&h, ECONNRESET, 1);
        fail_one(&h, EPIPE, 2);
        fail_one(&h, EDOM, 3);
        t_check(t_wait_for(&errors->n, 1)); /* reported when the task ends */
        fail_one(&h, EBADMSG, 4);
        say(stays, "still here\n");
        weft_close(stays);
        t_check(t_wait_for(&h.left, 5));
        weft_listener_close(h.l);
    }
    t_equal(h.rc, 0);
    t_equal(atomic_load(&h.cancelled), 0);
    return 0;
}

static void a_failure_is_reported_and_stays_alone(void **state)
{
    struct weft_options o = t_options(t_workers(state));
    struct t_errors errors = {.n = 0};

    o.on_unhandled = t_collect;
    o.unhandled_arg = &errors;
    assert_int_equal(t_run_with(o, serve_failures, &errors), 0);
    assert_int_equal(errors.n, 2);
    assert_int_equal(errors.first[0].code, -EDOM);
    assert_string_equal(errors.first[0].message, "of its own");
    assert_string_equal(errors.first[0].task, "connection");
    assert_int_equal(errors.first[1].code, -EBADMSG);
    assert_string_equal(errors.first[1].message, weft_strerror(-EBADMSG));
}

/* Cancelled, timed out or closed: the handlers are cancelled and awaited. */
static long end_serving(void *arg)
{
    int before = t_fds();

    (void)arg;
    for (int how = 0; how < 3; how++) {
        struct house h = {.rc = 1};
        weft_stream *s[5];
        weft_task *t;
        weft_group g;

        if (!open_house(&h, echo))
            return 0;
        weft_with_group(&g) {
            t_equal(weft_spawn_task(&g, serves, &h, &t), 0);
            for (int i = 0; i < 5; i++)
                t_equal(weft_connect(&s[i], h.at), 0);
            t_check(t_wait_for(&h.entered, 5));
            if (how == 0)
                weft_listener_close(h.l);
            else
                weft_task_cancel(t);
            (void)weft_await(t);
            t_equal(atomic_load(&h.left), 5);
            for (int i = 0; i < 5; i++)
                weft_close(s[i]);
        }
        t_equal(h.rc, how == 0 ? 0 : -ECANCELED);
        t_equal(atomic_load(&h.cancelled), 5);
        if (how == 1) { /* the listener outlives it */
            weft_with_timeout(5 * WEFT_MS)
                t_equal(weft_serve(h.l, echo, &h), -ETIMEDOUT);
        }
        if (how)
            weft_listener_close(h.l);
    }
    t_equal(t_fds(), before);
    return 0;
}

static void the_end_of_serving_cancels_and_awaits(void **state)
{
    assert_int_equal(t_run(t_workers(state), end_serving, NULL), 0);
}

/* Many connections come at once and serving ends among them: those whose task
 * never started are closed as well. */
static long end_early(void *arg)
{
    int before = t_fds();
    long rounds = t_scale(200);

    (void)arg;
    for (long i = 0; i < rounds; i++) {
        struct house h = {.rc = 1};
        weft_stream *s[10];
        weft_task *t;
        weft_group g;

        if (!open_house(&h, echo))
            return 0;
        weft_with_group(&g) {
            for (size_t k = 0; k < T_LEN(s); k++)
                t_equal(weft_connect(&s[k], h.at), 0);
            t_equal(weft_spawn_task(&g, serves, &h, &t), 0);
            if (i % 2)
                (void)weft_sleep(i % 100 * WEFT_US);
            else
                (void)weft_yield();
            weft_task_cancel(t);
            (void)weft_await(t);
            for (size_t k = 0; k < T_LEN(s); k++)
                weft_close(s[k]);
        }
        t_equal(atomic_load(&h.left), atomic_load(&h.entered));
        weft_listener_close(h.l);
        if (!t_equal(t_fds(), before))
            break;
    }
    return 0;
}

static void no_connection_is_left_behind(void **state)
{
    assert_int_equal(t_run(t_workers(state), end_early, NULL), 0);
}

/* ---- shortage ----------------------------------------------------------- */

#define LATE 3

static void dial(const struct house *h, int fd)
{
    struct sockaddr_in a = {.sin_family = AF_INET};

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons((uint16_t)weft_listener_port(h->l));
    t_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
}

static long run_short(void *arg)
{
    struct house h = {.rc = 1};
    struct rlimit was, none;
    weft_stream *early;
    int fd[LATE], lowest;
    int64_t cpu, end;
    weft_group g;

    (void)arg;
    if (!open_house(&h, echo))
        return 0;
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, serves, &h), 0);
        t_equal(weft_connect(&early, h.at), 0);
        say(early, "early\n");
        /* No number below the limit is free when the others knock. */
        for (int i = 0; i < LATE; i++)
            fd[i] = socket(AF_INET, SOCK_STREAM, 0);
        lowest = dup(fd[0]);
        close(lowest);
        t_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
        none = was;
        none.rlim_cur = (rlim_t)lowest;
        t_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        for (int i = 0; i < LATE; i++)
            dial(&h, fd[i]);
        cpu = t_cpu_ns();
        end = weft_now() + 400 * WEFT_MS;
        while (weft_now() < end)
            (void)weft_sleep(20 * WEFT_MS);
        cpu = t_cpu_ns() - cpu;
        say(early, "open ones are served\n");
        t_equal(atomic_load(&h.entered), 1);
        t_check(cpu < 200 * WEFT_MS); /* it does not spin */
        t_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
        t_check(t_wait_for(&h.entered, 1 + LATE));
        for (int i = 0; i < LATE; i++)
            close(fd[i]);
        weft_close(early);
        t_check(t_wait_for(&h.left, 1 + LATE));
        weft_listener_close(h.l);
    }
    t_equal(h.rc, 0);
    return 0;
}

static void out_of_descriptors_it_pauses_and_goes_on(void **state)
{
    struct weft_options o = t_options(t_workers(state));
    struct t_errors errors = {.n = 0};

#ifdef W_VALGRIND
    skip(); /* it keeps the limit itself, and closes what accept brought */
#endif
    o.on_unhandled = t_collect;
    o.unhandled_arg = &errors;
    assert_int_equal(t_run_with(o, run_short, NULL), 0);
    assert_int_equal(errors.n, 0);
}

static const struct CMUnitTest tests[] = {
    T_REAL_EACH(malformed_addresses_are_refused),
    T_REAL_EACH(both_ends_meet),
    T_REAL_EACH(only_dead_sockets_are_removed),
    T_EACH(an_accept_ends_by_cancel_and_close),
    T_EACH(each_connection_has_its_task),
    T_EACH(a_failure_is_reported_and_stays_alone),
    T_EACH(the_end_of_serving_cancels_and_awaits),
    T_EACH(no_connection_is_left_behind),
    T_REAL_EACH(out_of_descriptors_it_pauses_and_goes_on),
};

T_MAIN(tests)
