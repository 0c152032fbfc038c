/* SPDX-License-Identifier: MIT */
/* Connections in numbers: cases 56 and 62. */
#include "support/cases.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define MESSAGE 1024

static long echoes(weft_stream *s, void *arg)
{
    char buf[MESSAGE];
    ssize_t n;

    (void)arg;
    while ((n = weft_read(s, buf, sizeof buf)) > 0)
        if ((n = weft_write(s, buf, (size_t)n)) < 0)
            break;
    return n;
}

/* ---- many connections --------------------------------------------------- */

#define CONNECTORS 50

static struct {
    weft_stream **streams;
    long n;
    char address[32];
    atomic_long next, right;
    weft_listener *listener;
} plaza;

static void fill(char *buf, long number)
{
    for (long i = 0; i < MESSAGE; i++)
        buf[i] = (char)(number * 31 + i * 7 + i / 256);
}

static long serves(void *arg)
{
    (void)arg;
    return weft_serve(plaza.listener, echoes, NULL);
}

static long connects(void *arg)
{
    char out[MESSAGE], in[MESSAGE];
    long i;

    (void)arg;
    while ((i = atomic_fetch_add(&plaza.next, 1)) < plaza.n) {
        weft_stream **s = &plaza.streams[i];

        if (!t_equal(weft_connect(s, plaza.address), 0))
            break;
        fill(out, i);
        t_equal(weft_write(*s, out, MESSAGE), MESSAGE);
        t_equal(weft_readn(*s, in, MESSAGE), MESSAGE);
        if (memcmp(in, out, MESSAGE) == 0)
            atomic_fetch_add(&plaza.right, 1);
    }
    return 0;
}

static void close_in_random_order(void)
{
    uint64_t random = 88172645463325252u;

    for (long i = plaza.n - 1; i >= 0; i--) {
        weft_stream **last = &plaza.streams[i], *s;
        long k;

        random = random * 6364136223846793005u + 1442695040888963407u;
        k = (long)((random >> 33) % (uint64_t)(i + 1));
        s = plaza.streams[k];
        plaza.streams[k] = *last;
        *last = NULL;
        weft_close(s);
        if (i % 64 == 0)
            t_equal(weft_yield(), 0);
    }
}

static long meet(void *arg)
{
    weft_group server, clients;
    int fds = t_fds();

    (void)arg;
    t_equal(weft_listen(&plaza.listener, "127.0.0.1:0"), 0);
    snprintf(plaza.address, sizeof plaza.address, "127.0.0.1:%d",
             weft_listener_port(plaza.listener));
    weft_with_group(&server) {
        t_equal(weft_spawn(&server, serves, NULL), 0);
        weft_with_group(&clients)
            for (int i = 0; i < CONNECTORS; i++)
                t_equal(weft_spawn(&clients, connects, NULL), 0);
        t_equal(weft_group_wait(&clients), 0);
        t_equal(atomic_load(&plaza.right), plaza.n);
        t_check(t_fds() >= fds + 2 * plaza.n);
        close_in_random_order();
        for (int i = 0; i < 500 && t_fds() > fds + 1; i++)
            t_equal(weft_sleep(10 * WEFT_MS), 0);
        t_equal(t_fds(), fds + 1); /* the listener */
        weft_listener_close(plaza.listener);
    }
    t_equal(weft_group_wait(&server), 0);
    t_equal(t_fds(), fds);
    return 0;
}

/* Two descriptors a connection: both ends are here. */
static long allowed_connections(void)
{
    long want = T_SANITIZED ? t_scale(10000) : 10000, may;
    struct rlimit r;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
    if (r.rlim_cur < 2 * (rlim_t)want + 200) {
        struct rlimit more = {2 * (rlim_t)want + 200, r.rlim_max};

        if (more.rlim_max < more.rlim_cur)
            more.rlim_max = more.rlim_cur;
        if (setrlimit(RLIMIT_NOFILE, &more) < 0) {
            r.rlim_cur = r.rlim_max;
            assert_int_equal(setrlimit(RLIMIT_NOFILE, &r), 0);
        }
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
    }
    may = ((long)r.rlim_cur - 200) / 2;
    if (may < want || want < 10000)
        print_message("%ld connections instead of 10000: %s\n",
                      may < want ? may : want,
                      may < want ? "RLIMIT_NOFILE allows no more"
                                 : "a sanitizer slows them down");
    return may < want ? may : want;
}

static void
ten_thousand_connections_echo_and_close_in_random_order(void **state)
{
    memset(&plaza, 0, sizeof plaza);
    plaza.n = allowed_connections();
    plaza.streams = calloc((size_t)plaza.n, sizeof *plaza.streams);
    assert_non_null(plaza.streams);
    assert_int_equal(t_run(t_workers(state), meet, NULL), 0);
    free(plaza.streams);
}

/* ---- out of descriptors ------------------------------------------------- */

#define CALLERS 60
#define LIMIT 45 /* descriptors of the server, its own included */

struct server {
    unsigned workers;
    int control[2]; /* the port goes up; the end of the test comes down */
};

static long serve_until_told(void *arg)
{
    struct server *s = arg;
    int32_t port;
    weft_group g;

    if (weft_listen(&plaza.listener, "127.0.0.1:0") < 0)
        return 2;
    port = weft_listener_port(plaza.listener);
    if (write(s->control[1], &port, sizeof port) != sizeof port)
        return 3;
    weft_with_group(&g) {
        if (weft_spawn(&g, serves, NULL) < 0)
            return 4;
        if (weft_fd_wait(s->control[1], WEFT_READ) < 0)
            return 5;
        weft_group_cancel(&g);
    }
    weft_listener_close(plaza.listener);
    return 0;
}

static int poor_server(struct server *s)
{
    struct rlimit r = {LIMIT, LIMIT};
    struct weft_options o = t_options(s->workers);

    close(s->control[0]);
    if (setrlimit(RLIMIT_NOFILE, &r) < 0)
        return 9;
    return (int)weft_run_with(&o, serve_until_told, s);
}

static int dial(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(send(fd, "ping", 4, MSG_NOSIGNAL), 4);
    return fd;
}

/* How many of them have their echo now that had none before. */
static int answered(const int *fds, bool *done)
{
    int n = 0;

    for (int i = 0; i < CALLERS; i++) {
        char buf[4];

        if (!done[i] && fds[i] >= 0 &&
            recv(fds[i], buf, 4, MSG_DONTWAIT) == 4) {
            done[i] = true;
            n++;
        }
    }
    return n;
}

/* Until all of `want` are answered or for half a second nobody was. */
static int answered_in_all(const int *fds, bool *done, int want)
{
    int n = 0, quiet = 0;

    while (n < want && quiet++ < 100) {
        int more = answered(fds, done);

        n += more;
        if (more)
            quiet = 0;
        usleep(5000 * (T_SANITIZED ? 4 : 1));
    }
    return n;
}

static int64_t cpu_of(pid_t pid)
{
    struct timespec ts;
    clockid_t clock;

    assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &ts), 0);
    return ts.tv_sec * WEFT_SEC + ts.tv_nsec;
}

static void check_poor_server(int port, pid_t pid)
{
    int fds[CALLERS], served, more, closed = 0;
    bool done[CALLERS] = {false};
    int64_t used;

    for (int i = 0; i < CALLERS; i++)
        fds[i] = dial(port);
    served = answered_in_all(fds, done, CALLERS);
    assert_in_range(served, 5, LIMIT);
    /* Some wait to be accepted: without a busy loop. */
    used = cpu_of(pid);
    usleep(500000);
    used = cpu_of(pid) - used;
    assert_true(used < (T_SANITIZED ? 300 : 100) * WEFT_MS);
    /* The open ones are still served. */
    for (int i = 0; i < CALLERS; i++)
        if (done[i]) {
            assert_int_equal(send(fds[i], "pong", 4, MSG_NOSIGNAL), 4);
            done[i] = false;
        }
    assert_int_equal(answered_in_all(fds, done, served), served);
    /* Room again: the others come in. */
    for (int i = 0; i < CALLERS; i++)
        if (done[i] && closed < CALLERS - served) {
            close(fds[i]);
            fds[i] = -1;
            closed++;
        }
    more = answered_in_all(fds, done, closed);
    assert_int_equal(more, closed);
    for (int i = 0; i < CALLERS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static void without_descriptors_the_server_pauses_and_resumes(void **state)
{
    struct server s = {.workers = t_workers(state)};
    int32_t port = 0;
    struct pollfd up;
    int status;
    pid_t pid;

#ifdef W_VALGRIND
    skip(); /* it keeps the limit itself, and closes what accept brought */
#endif
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s.control), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(poor_server(&s));
    close(s.control[1]);
    up = (struct pollfd){.fd = s.control[0], .events = POLLIN};
    if (poll(&up, 1, 10000) == 1 &&
        read(s.control[0], &port, sizeof port) == sizeof port)
        check_poor_server(port, pid);
    close(s.control[0]);
    for (int i = 0; i < 1000 && waitpid(pid, &status, WNOHANG) == 0; i++) {
        if (i == 999)
            kill(pid, SIGKILL);
        usleep(10000);
    }
    assert_true(port > 0);
    assert_int_equal(status, 0);
}

static const struct CMUnitTest tests[] = {
    T_REAL_EACH(without_descriptors_the_server_pauses_and_resumes),
    T_REAL_EACH(ten_thousand_connections_echo_and_close_in_random_order),
};

T_MAIN(tests)
