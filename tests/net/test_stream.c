/* SPDX-License-Identifier: MIT */
/* Streams: reading, lines, writing, files, ends. */
#include "net/pairs.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* ---- reading ------------------------------------------------------------ */

static const size_t line_lengths[] = {
    1,     2,          BUFFER - 1, BUFFER,     BUFFER + 1, 1,  5000,  11384,
    11385, 3 * BUFFER, 1,          BUFFER - 2, 2 * BUFFER, 40, 40000, 7,
};

static void some_lines(weft_stream *s[2])
{
    static const size_t steps[] = {1000000, 4096, 1021, BUFFER};
    size_t total = 0, at;
    char *data, *buf = malloc(4 * BUFFER);

    for (size_t i = 0; i < T_LEN(line_lengths); i++)
        total += line_lengths[i];
    data = malloc(total);
    fill_pattern(data, total);
    at = 0;
    for (size_t i = 0; i < T_LEN(line_lengths); i++)
        data[(at += line_lengths[i]) - 1] = '\n';
    for (size_t k = 0; k < T_LEN(steps); k++) {
        struct job j = {.data = data, .n = total, .step = steps[k]};
        weft_stream *mine[2];
        weft_group g;

        (void)s;
        if (!open_pair(k % 2 ? TCP : UNIX, mine))
            break;
        j.s = mine[0];
        weft_with_group(&g) {
            t_equal(weft_spawn(&g, writes, &j), 0);
            at = 0;
            for (size_t i = 0; i < T_LEN(line_lengths); i++) {
                size_t n = line_lengths[i];

                if (!t_equal(weft_readline(mine[1], buf, 4 * BUFFER), n)) {
                    weft_group_cancel(&g);
                    break;
                }
                t_check(memcmp(buf, data + at, n) == 0 && buf[n] == 0);
                at += n;
            }
            t_equal(weft_readline(mine[1], buf, BUFFER), 0);
            t_equal(weft_readline(mine[1], buf, BUFFER), 0);
        }
        t_equal(atomic_load(&j.rc), 0);
        close_pair(mine);
    }
    free(data);
    free(buf);
}
PAIR_TEST(lines_of_any_length_arrive_whole, some_lines)

static void long_lines(weft_stream *s[2])
{
    char buf[64];

    t_equal(weft_write(s[0], "0123456789\nab\nlast", 18), 18);
    t_equal(weft_shutdown(s[0]), 0);
    t_equal(weft_readline(s[1], buf, 1), -EINVAL);
    t_equal(weft_readline(s[1], buf, 11), -EMSGSIZE);
    t_equal(weft_readline(s[1], buf, 5), -EMSGSIZE);
    t_equal(weft_readline(s[1], buf, 12), 11);
    t_check(strcmp(buf, "0123456789\n") == 0);
    t_equal(weft_stream_buffered(s[1]), 7);
    t_equal(weft_readline(s[1], buf, 4), 3);
    t_check(strcmp(buf, "ab\n") == 0);
    /* The last one lacks its end, and just fits. */
    t_equal(weft_readline(s[1], buf, 4), -EMSGSIZE);
    t_equal(weft_readline(s[1], buf, 5), 4);
    t_check(strcmp(buf, "last") == 0);
    t_equal(weft_readline(s[1], buf, 5), 0);
}
PAIR_TEST(a_line_too_long_stays_where_it_is, long_lines)

static void exact_reads(weft_stream *s[2])
{
    size_t n = 5 * BUFFER + 17;
    /* The last large read asks for more than will come. */
    char *data = malloc(n), *buf = malloc(2 * n);
    struct job j = {.s = s[0], .data = data, .n = n, .step = 3001};
    weft_group g;

    fill_pattern(data, n);
    weft_with_group(&g) {
        size_t at = 0;

        t_equal(weft_spawn(&g, writes, &j), 0);
        t_equal(weft_readn(s[1], buf, 0), 0);
        t_equal(weft_readn(s[1], buf, 1), 1);
        at = 1;
        t_equal(weft_readn(s[1], buf + at, 10), 10);
        at += 10;
        /* Larger than the buffer, which holds something. */
        t_equal(weft_readn(s[1], buf + at, 3 * BUFFER), 3 * BUFFER);
        at += 3 * BUFFER;
        t_equal(weft_readn(s[1], buf + at, BUFFER - 1), BUFFER - 1);
        at += BUFFER - 1;
        t_equal(weft_readn(s[1], buf + at, n), n - at);
        t_equal(weft_readn(s[1], buf, 1), 0);
    }
    t_check(memcmp(buf, data, n) == 0);
    free(data);
    free(buf);
}
PAIR_TEST(readn_is_short_at_the_end_only, exact_reads)

static void mixed_reads(weft_stream *s[2])
{
    char buf[64];

    t_equal(weft_write(s[0], "line\nabcdefgh", 13), 13);
    t_equal(weft_readline(s[1], buf, sizeof buf), 5);
    t_equal(weft_stream_buffered(s[1]), 8);
    t_equal(weft_read(s[1], buf, 3), 3);
    t_check(memcmp(buf, "abc", 3) == 0);
    t_equal(weft_read(s[1], buf, sizeof buf), 5);
    t_check(memcmp(buf, "defgh", 5) == 0);
    t_equal(weft_read(s[1], buf, 0), 0);
    /* A time-out takes nothing. */
    t_equal(weft_write(s[0], "123", 3), 3);
    weft_with_timeout(5 * WEFT_MS)
        t_equal(weft_readn(s[1], buf, 8), -ETIMEDOUT);
    weft_with_timeout(5 * WEFT_MS)
        t_equal(weft_readline(s[1], buf, 8), -ETIMEDOUT);
    t_equal(weft_write(s[0], "45678", 5), 5);
    t_equal(weft_readn(s[1], buf, 8), 8);
    t_check(memcmp(buf, "12345678", 8) == 0);
}
PAIR_TEST(reads_of_every_kind_share_the_bytes, mixed_reads)

static void cancelled_read(weft_stream *s[2])
{
    struct job j = {.s = s[1]};
    weft_task *t;
    weft_group g;
    char c = 0;

    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, reads, &j, &t), 0);
        t_check(t_wait_waiting("read", 1));
        weft_task_cancel(t);
        (void)weft_await(t);
        t_equal(atomic_load(&j.rc), -ECANCELED);
        t_equal(weft_write(s[0], "x", 1), 1);
        t_equal(weft_read(s[1], &c, 1), 1);
        t_equal(c, 'x');
    }
}
PAIR_TEST(a_cancelled_read_leaves_the_stream_usable, cancelled_read)

/* What looks like a short read but left something: packets, descriptors. */
static long short_reads(void *arg)
{
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec v = {(void *)(uintptr_t) "a", 1};
    struct msghdr m = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control.space,
                       .msg_controllen = sizeof control.space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int types[] = {SOCK_SEQPACKET, SOCK_STREAM};

    (void)arg;
    *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
                          .cmsg_level = SOL_SOCKET,
                          .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &(int){0}, sizeof(int));
    for (size_t i = 0; i < T_LEN(types); i++) {
        weft_stream *s;
        char buf[64];
        int fd[2];

        t_equal(socketpair(AF_UNIX, types[i], 0, fd), 0);
        t_equal(weft_stream_attach(&s, fd[1]), 0);
        weft_with_timeout(WEFT_MS) /* registers it: edges alone tell now */
            t_equal(weft_read(s, buf, sizeof buf), -ETIMEDOUT);
        t_equal(sendmsg(fd[0], &m, 0), 1);
        t_equal(send(fd[0], "b", 1, 0), 1);
        (void)weft_sleep(5 * WEFT_MS);
        t_equal(weft_read(s, buf, sizeof buf), 1);
        weft_with_timeout(5 * WEFT_SEC)
            t_equal(weft_read(s, buf, sizeof buf), 1);
        t_equal(buf[0], 'b');
        weft_close(s);
        close(fd[0]);
    }
    return 0;
}

static void a_short_read_may_leave_something(void **state)
{
    assert_int_equal(t_run(t_workers(state), short_reads, NULL), 0);
}

/* ---- writing ------------------------------------------------------------ */

static int unread(weft_stream *s)
{
    int n = -1;

    t_equal(ioctl(weft_stream_fd(s), FIONREAD, &n), 0);
    return n;
}

static void corked(weft_stream *s[2])
{
    static char data[3 * BUFFER], buf[3 * BUFFER + 16];
    size_t total = 0;

    fill_pattern(data, sizeof data);
    weft_stream_cork(s[0]);
    for (int i = 0; i < 16; i++, total += 1000)
        t_equal(weft_write(s[0], data + total, 1000), 1000);
    t_equal(weft_write(s[0], NULL, 0), 0);
    t_equal(unread(s[1]), 0);
    t_equal(weft_write(s[0], data + total, 1000), 1000);
    total += 1000;
    /* Larger than the buffer: what was gathered goes before it. */
    t_equal(weft_write(s[0], data + total, 2 * BUFFER - 1000),
            2 * BUFFER - 1000);
    total += 2 * BUFFER - 1000;
    t_equal(weft_flush(s[0]), 0);
    t_equal(weft_flush(s[0]), 0);
    t_equal(weft_readn(s[1], buf, total), total);
    t_check(memcmp(buf, data, total) == 0);
    t_equal(unread(s[1]), 0);
    /* Without the cork. */
    t_equal(weft_write(s[0], "now", 3), 3);
    t_equal(weft_readn(s[1], buf, 3), 3);
    /* What is corked goes before the end, and on closing. */
    weft_stream_cork(s[0]);
    t_equal(weft_write(s[0], "end", 3), 3);
    t_equal(weft_shutdown(s[0]), 0);
    t_equal(weft_readn(s[1], buf, 4), 3);
    weft_stream_cork(s[1]);
    t_equal(weft_write(s[1], "bye", 3), 3);
    weft_close(s[1]);
    s[1] = NULL;
    t_equal(weft_readn(s[0], buf, 4), 3);
}
PAIR_TEST(a_cork_gathers_until_the_flush, corked)

#define PIECES 300

struct pieces {
    weft_stream *s;
    struct iovec v[PIECES];
    size_t total;
    long rc;
};

static long writes_pieces(void *arg)
{
    struct pieces *p = arg;

    p->rc = weft_writev(p->s, p->v, PIECES);
    return weft_shutdown(p->s);
}

static void many_pieces(weft_stream *s[2])
{
    size_t n = 24 << 20, at = 0;
    char *data = malloc(n), *got = malloc(n);
    struct pieces p = {.s = s[0]};
    struct iovec before[PIECES];
    weft_group g;

    fill_pattern(data, n);
    for (size_t i = 0; i < PIECES; i++) {
        size_t len = i % 5 ? i * i * 7 % 150000 : 0;

        if (len > n - p.total)
            len = n - p.total;
        p.v[i] = (struct iovec){len ? data + p.total : NULL, len};
        p.total += len;
    }
    memcpy(before, p.v, sizeof before);
    weft_with_group(&g) {
        ssize_t rc;

        t_equal(weft_spawn(&g, writes_pieces, &p), 0);
        t_check(t_wait_waiting("write", 1)); /* the kernel takes no more */
        do {
            rc = weft_read(s[1], got + at, n - at < 50021 ? n - at : 50021);
            at += rc > 0 ? (size_t)rc : 0;
            if (at % 7 == 0)
                (void)weft_sleep(WEFT_MS / 5);
        } while (rc > 0);
        t_equal(rc, 0);
    }
    t_equal(p.rc, p.total);
    t_equal(at, p.total);
    t_check(memcmp(got, data, at) == 0);
    t_check(memcmp(before, p.v, sizeof before) == 0); /* not changed */
    t_equal(weft_writev(s[1], p.v, -1), -EINVAL);
    free(data);
    free(got);
}
PAIR_TEST(writev_sends_all_pieces_to_a_slow_reader, many_pieces)

/* ---- files -------------------------------------------------------------- */

#define FILE_SIZE ((size_t)3 << 20)

struct file_job {
    weft_stream *s;
    int fd;
    size_t off, n;
    long rc;
};

static long sends_file(void *arg)
{
    struct file_job *f = arg;

    weft_stream_cork(f->s);
    t_equal(weft_write(f->s, "head", 4), 4);
    f->rc = weft_sendfile(f->s, f->fd, (off_t)f->off, f->n);
    return weft_shutdown(f->s);
}

static void send_a_file(bool fall_back)
{
    static const size_t parts[][3] = {
        {0, FILE_SIZE, FILE_SIZE},
        {1234567, 99999, 99999},
        {FILE_SIZE - 10, 1000, 10},
        {FILE_SIZE, 1000, 0},
        {0, 0, 0},
    };
    char *data = malloc(FILE_SIZE), *got = malloc(FILE_SIZE + 16);
    int fd = memfd_create("file", 0);

    fill_pattern(data, FILE_SIZE);
    t_equal(write(fd, data, FILE_SIZE), FILE_SIZE);
    for (size_t i = 0; i < T_LEN(parts); i++) {
        struct file_job f = {.fd = fd, .off = parts[i][0], .n = parts[i][1]};
        weft_stream *s[2];
        weft_group g;

        if (!open_pair(i % 2 ? UNIX : TCP, s))
            break;
        f.s = s[0];
        /* The kernel's sendfile refuses to append. */
        if (fall_back)
            t_equal(fcntl(weft_stream_fd(s[0]), F_SETFL, O_NONBLOCK | O_APPEND),
                    0);
        weft_with_group(&g) {
            t_equal(weft_spawn(&g, sends_file, &f), 0);
            t_equal(weft_readn(s[1], got, FILE_SIZE + 16), 4 + parts[i][2]);
            t_check(memcmp(got, "head", 4) == 0);
            t_check(memcmp(got + 4, data + f.off, parts[i][2]) == 0);
        }
        t_equal(f.rc, parts[i][2]);
        close_pair(s);
    }
    close(fd);
    free(data);
    free(got);
}

static long send_files(void *arg)
{
    (void)arg;
    send_a_file(false);
    send_a_file(true);
    return 0;
}

static void files_follow_what_was_corked(void **state)
{
    assert_int_equal(t_run(t_workers(state), send_files, NULL), 0);
}

/* ---- ends --------------------------------------------------------------- */

static void half_close(weft_stream *s[2])
{
    char buf[8];

    t_equal(weft_shutdown(s[0]), 0);
    t_equal(weft_read(s[1], buf, sizeof buf), 0);
    t_equal(weft_read(s[1], buf, sizeof buf), 0);
    t_equal(weft_write(s[0], "x", 1), -EPIPE);
    t_equal(weft_write(s[1], "answer", 6), 6);
    t_equal(weft_readn(s[0], buf, 6), 6);
    t_check(memcmp(buf, "answer", 6) == 0);
    t_equal(weft_shutdown(s[1]), 0);
    t_equal(weft_readline(s[0], buf, sizeof buf), 0);
}
PAIR_TEST(one_direction_ends_and_the_other_goes_on, half_close)

static long resets(void *arg)
{
    static char data[8 << 20];
    struct linger now = {.l_onoff = 1};

    (void)arg;
    for (int writing = 0; writing < 2; writing++) {
        struct job j = {.data = data, .n = sizeof data, .step = sizeof data};
        weft_stream *s[2];
        weft_group g;

        if (!open_pair(TCP, s))
            break;
        j.s = s[0];
        weft_with_group(&g) {
            t_equal(weft_spawn(&g, writing ? writes : reads, &j), 0);
            t_check(t_wait_waiting(writing ? "write" : "read", 1));
            t_equal(setsockopt(weft_stream_fd(s[1]), SOL_SOCKET, SO_LINGER,
                               &now, sizeof now),
                    0);
            weft_close(s[1]);
            t_check(t_wait_for(&j.done, 1));
        }
        t_equal(atomic_load(&j.rc), -ECONNRESET);
        weft_close(s[0]);
    }
    return 0;
}

static void a_reset_reaches_who_waits(void **state)
{
    assert_int_equal(t_run(t_workers(state), resets, NULL), 0);
}

/* The kernel tells of it once, and then of a clean end. */
static long resets_writer(void *arg)
{
    struct linger now = {.l_onoff = 1};
    weft_stream *s[2];
    char c;

    (void)arg;
    if (!open_pair(TCP, s))
        return 0;
    t_equal(setsockopt(weft_stream_fd(s[1]), SOL_SOCKET, SO_LINGER, &now,
                       sizeof now),
            0);
    weft_close(s[1]);
    t_equal(weft_sleep(20 * WEFT_MS), 0);
    t_equal(weft_write(s[0], "x", 1), -ECONNRESET);
    t_equal(weft_read(s[0], &c, 1), -ECONNRESET);
    t_equal(weft_readline(s[0], (char[8]){0}, 8), -ECONNRESET);
    t_equal(weft_write(s[0], "x", 1), -EPIPE);
    weft_close(s[0]);
    return 0;
}

static void a_reset_that_a_write_was_told_of_is_no_end(void **state)
{
    assert_int_equal(t_run(t_workers(state), resets_writer, NULL), 0);
}

/* With the signal's default action: it would end the process. */
static long broken_pipes(void *arg)
{
    int fd[2], file = memfd_create("file", 0);
    weft_stream *s[2], *out;

    (void)arg;
    t_equal(ftruncate(file, 100), 0);
    for (int kind = 0; kind < KINDS; kind++) {
        if (!open_pair((enum kind)kind, s))
            break;
        t_equal(weft_shutdown(s[0]), 0);
        t_equal(weft_write(s[0], "x", 1), -EPIPE);
        t_equal(weft_sendfile(s[0], file, 0, 100), -EPIPE);
        close_pair(s);
    }
    t_equal(pipe(fd), 0);
    t_equal(weft_stream_attach(&out, fd[1]), 0);
    t_equal(weft_write(out, "x", 1), 1);
    close(fd[0]);
    t_equal(weft_write(out, "x", 1), -EPIPE);
    t_equal(weft_sendfile(out, file, 0, 100), -EPIPE);
    weft_close(out);
    close(file);
    return 0;
}

static void no_signal_comes_of_a_broken_pipe(void **state)
{
    void (*old)(int) = signal(SIGPIPE, SIG_DFL);
    struct weft_options o = t_options(t_workers(state));
    long rc = weft_run_with(&o, broken_pipes, NULL);

    signal(SIGPIPE, old);
    t_verdict();
    assert_int_equal(rc, 0);
}

static long use_pipe(void *arg)
{
    weft_stream *in, *out;
    char buf[64];
    int fd[2];

    (void)arg;
    t_equal(pipe(fd), 0);
    t_equal(weft_stream_attach(&in, fd[0]), 0);
    t_equal(weft_stream_attach(&out, fd[1]), 0);
    t_equal(weft_stream_peer(in, buf, sizeof buf), -ENOTCONN);
    t_equal(weft_write(out, "one\ntwo", 7), 7);
    t_equal(weft_readline(in, buf, sizeof buf), 4);
    t_equal(weft_shutdown(out), -ENOTSOCK);
    weft_close(out);
    t_equal(weft_readline(in, buf, sizeof buf), 3);
    t_equal(weft_readline(in, buf, sizeof buf), 0);
    weft_close(in);
    t_equal(weft_stream_attach(&in, 1 << 20), -EBADF);
    return 0;
}

static void pipes_are_streams(void **state)
{
    assert_int_equal(t_run(t_workers(state), use_pipe, NULL), 0);
}

/* ---- elsewhere ---------------------------------------------------------- */

static long open_for_thread(void *arg)
{
    weft_stream **s = arg;

    return open_pair(UNIX, s) ? 0 : -EIO;
}

static long close_for_thread(void *arg)
{
    close_pair(arg);
    return 0;
}

static void a_thread_that_is_no_task_is_refused(void **state)
{
    weft_runtime *rt = t_open(t_workers(state));
    struct iovec v = {NULL, 0};
    weft_stream *s[2], *x;
    char buf[8];

    assert_int_equal(weft_runtime_call(rt, open_for_thread, s), 0);
    assert_int_equal(weft_read(s[0], buf, 1), -EPERM);
    assert_int_equal(weft_readn(s[0], buf, 1), -EPERM);
    assert_int_equal(weft_readline(s[0], buf, 8), -EPERM);
    assert_int_equal(weft_write(s[0], buf, 1), -EPERM);
    assert_int_equal(weft_writev(s[0], &v, 1), -EPERM);
    assert_int_equal(weft_flush(s[0]), -EPERM);
    assert_int_equal(weft_shutdown(s[0]), -EPERM);
    assert_int_equal(weft_sendfile(s[0], 0, 0, 1), -EPERM);
    assert_int_equal(weft_stream_watch(s[0], 0, reads, NULL), -EPERM);
    assert_int_equal(weft_stream_attach(&x, 0), -EPERM);
    assert_int_equal(weft_connect(&x, "127.0.0.1:1"), -EPERM);
    assert_int_equal(weft_runtime_call(rt, close_for_thread, s), 0);
    assert_int_equal(weft_runtime_close(rt), 0);
    t_verdict();
}

static const struct CMUnitTest tests[] = {
    T_EACH(lines_of_any_length_arrive_whole),
    T_REAL_EACH(a_line_too_long_stays_where_it_is),
    T_EACH(readn_is_short_at_the_end_only),
    T_REAL_EACH(reads_of_every_kind_share_the_bytes),
    T_EACH(a_cancelled_read_leaves_the_stream_usable),
    T_REAL_EACH(a_short_read_may_leave_something),
    T_REAL_EACH(a_cork_gathers_until_the_flush),
    T_REAL_EACH(writev_sends_all_pieces_to_a_slow_reader),
    T_REAL_EACH(files_follow_what_was_corked),
    T_EACH(one_direction_ends_and_the_other_goes_on),
    T_REAL_EACH(a_reset_reaches_who_waits),
    T_REAL_EACH(a_reset_that_a_write_was_told_of_is_no_end),
    T_EACH(no_signal_comes_of_a_broken_pipe),
    T_REAL_EACH(pipes_are_streams),
    T_EACH(a_thread_that_is_no_task_is_refused),
};

T_MAIN(tests)
