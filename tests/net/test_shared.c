/* SPDX-License-Identifier: MIT */
/* Streams that several have in hand: two tasks, one that closes, a watch. */
#include "net/pairs.h"

/* ---- several tasks ------------------------------------------------------ */

static void two_at_once(weft_stream *s[2])
{
    static char data[8 << 20];
    struct job r = {.s = s[0]};
    struct job w = {
        .s = s[0], .data = data, .n = sizeof data, .step = sizeof data};
    weft_group g;
    char c;

    weft_with_group(&g) {
        t_equal(weft_spawn(&g, reads, &r), 0);
        t_equal(weft_spawn(&g, writes, &w), 0);
        t_check(t_wait_waiting("read", 1) && t_wait_waiting("write", 1));
        t_equal(weft_read(s[0], &c, 1), -EBUSY);
        t_equal(weft_readn(s[0], &c, 1), -EBUSY);
        t_equal(weft_write(s[0], "x", 1), -EBUSY);
        t_equal(weft_shutdown(s[0]), -EBUSY);
        t_equal(weft_stream_watch(s[0], WEFT_NEVER, reads, &r), -EBUSY);
        weft_close(s[0]);
        s[0] = NULL;
        t_check(t_wait_for(&r.done, 1) && t_wait_for(&w.done, 1));
    }
    t_equal(atomic_load(&r.rc), -EBADF);
    t_equal(atomic_load(&w.rc), -EBADF);
}
PAIR_TEST(one_reader_one_writer_and_closing_wakes_both, two_at_once)

#define ENDLESS ((size_t)64 << 20)
static char source[ENDLESS], sink[ENDLESS];

static long reads_endless(void *arg)
{
    struct job *j = arg;

    atomic_store(&j->rc, weft_readn(j->s, sink, ENDLESS));
    return 0;
}

static long writes_endless(void *arg)
{
    struct job *j = arg;

    atomic_store(&j->rc, weft_write(j->s, source, ENDLESS));
    return 0;
}

/* Closing hits who is inside at any place of its call, and must not leave it
 * waiting. */
static long close_anywhere(void *arg)
{
    int before = t_fds();
    long rounds = t_scale(1500);

    (void)arg;
    for (long i = 0; i < rounds; i++) {
        struct job r = {0}, w = {0};
        weft_stream *s[2];
        weft_group g;

        if (!open_pair(i & 2 ? TCP : UNIX, s))
            break;
        r.s = s[0];
        w.s = s[1];
        weft_with_group(&g) {
            if (i & 1) {
                t_equal(weft_spawn(&g, writes_endless, &w), 0);
                t_check(t_wait_waiting("write", 1));
                t_equal(weft_spawn(&g, reads_endless, &r), 0);
            } else {
                t_equal(weft_spawn(&g, reads_endless, &r), 0);
                t_check(t_wait_waiting("read", 1));
                t_equal(weft_spawn(&g, writes_endless, &w), 0);
            }
            t_spin(i % 200 * WEFT_US);
            weft_close(s[i & 1]);
            s[i & 1] = NULL;
        }
        t_equal(atomic_load(i & 1 ? &w.rc : &r.rc), -EBADF);
        close_pair(s);
    }
    t_equal(t_fds(), before);
    return 0;
}

static void closing_hits_a_call_anywhere(void **state)
{
    assert_int_equal(t_run(t_workers(state), close_anywhere, NULL), 0);
}

/* ---- watching ----------------------------------------------------------- */

struct watched {
    weft_stream *s;
    atomic_int fired, result;
};

static long on_watch(void *arg)
{
    struct watched *w = arg;

    atomic_store(&w->result, weft_stream_watch_result(w->s));
    atomic_fetch_add(&w->fired, 1);
    return 0;
}

static void watching(weft_stream *s[2])
{
    struct watched w = {.s = s[1]};
    int64_t start;
    char buf[64];

    /* Something comes, before anything was read and after. */
    for (int i = 1; i <= 3; i++) {
        t_equal(weft_stream_watch(s[1], WEFT_NEVER, on_watch, &w), 0);
        t_equal(weft_stream_watch(s[1], WEFT_NEVER, on_watch, &w), -EBUSY);
        (void)weft_sleep(2 * WEFT_MS);
        t_equal(atomic_load(&w.fired), i - 1);
        t_equal(weft_write(s[0], "some", 4), 4);
        t_check(t_wait_for(&w.fired, i));
        t_equal(atomic_load(&w.result), WEFT_READ);
        t_equal(weft_read(s[1], buf, sizeof buf), 4);
    }
    /* At once: unread in the buffer, then in the socket. */
    t_equal(weft_write(s[0], "a\nb", 3), 3);
    t_equal(weft_readline(s[1], buf, sizeof buf), 2);
    t_equal(weft_stream_watch(s[1], WEFT_NEVER, on_watch, &w), 0);
    t_check(t_wait_for(&w.fired, 4));
    t_equal(weft_read(s[1], buf, sizeof buf), 1);
    t_equal(weft_write(s[0], "abc", 3), 3);
    t_equal(weft_read(s[1], buf, 1), 1);
    t_equal(weft_stream_watch(s[1], WEFT_NEVER, on_watch, &w), 0);
    t_check(t_wait_for(&w.fired, 5));
    t_equal(weft_read(s[1], buf, sizeof buf), 2);
    /* The deadline. */
    start = weft_now();
    t_equal(weft_stream_watch(s[1], start + 20 * WEFT_MS, on_watch, &w), 0);
    t_check(t_wait_for(&w.fired, 6));
    t_equal(atomic_load(&w.result), -ETIMEDOUT);
    t_check(weft_now() - start >= 20 * WEFT_MS);
    /* The end is something to read. */
    t_equal(weft_stream_watch(s[1], WEFT_NEVER, on_watch, &w), 0);
    t_equal(weft_shutdown(s[0]), 0);
    t_check(t_wait_for(&w.fired, 7));
    t_equal(atomic_load(&w.result), WEFT_READ);
    t_equal(weft_stream_watch(s[1], WEFT_NEVER, on_watch, &w), 0);
    t_check(t_wait_for(&w.fired, 8));
    t_equal(weft_read(s[1], buf, sizeof buf), 0);
}
PAIR_TEST(a_watch_fires_once_for_bytes_end_or_deadline, watching)

static void closed_watch(weft_stream *s[2])
{
    struct watched w = {.s = s[1]};

    t_equal(weft_stream_watch(s[1], weft_now() + 10 * WEFT_MS, on_watch, &w),
            0);
    weft_close(s[1]);
    s[1] = NULL;
    (void)weft_sleep(20 * WEFT_MS);
    t_equal(atomic_load(&w.fired), 0);
}
PAIR_TEST(a_closed_stream_does_not_fire, closed_watch)

static long on_stop(void *arg)
{
    struct watched *w = arg;

    (void)on_watch(arg);
    weft_close(w->s);
    return 0;
}

static long arm_one(void *arg)
{
    struct watched *w = arg;
    int fd[2];

    t_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    t_equal(weft_stream_attach(&w->s, fd[0]), 0);
    t_equal(weft_stream_watch(w->s, WEFT_NEVER, on_stop, w), 0);
    return fd[1];
}

static void a_stop_fires_watches(void **state)
{
    weft_runtime *rt = t_open(t_workers(state));
    struct watched w = {.fired = 0};
    long fd = weft_runtime_call(rt, arm_one, &w);

    assert_true(fd >= 0);
    assert_int_equal(weft_runtime_close(rt), 0);
    t_verdict();
    assert_int_equal(atomic_load(&w.fired), 1);
    assert_int_equal(atomic_load(&w.result), -ECANCELED);
    close((int)fd);
}

static const struct CMUnitTest tests[] = {
    T_EACH(one_reader_one_writer_and_closing_wakes_both),
    T_EACH(closing_hits_a_call_anywhere),
    T_REAL_EACH(a_watch_fires_once_for_bytes_end_or_deadline),
    T_EACH(a_closed_stream_does_not_fire),
    T_EACH(a_stop_fires_watches),
};

T_MAIN(tests)
