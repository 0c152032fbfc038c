/* SPDX-License-Identifier: MIT */
/* Reading up to a delimiter of several bytes. */
#include "net/pairs.h"

static void pieces(weft_stream *s[2])
{
    char buf[64];

    t_equal(weft_write(s[0], "a\r\n\r\r\n\r\n--rest", 14), 14);
    t_equal(weft_shutdown(s[0]), 0);
    t_equal(weft_readuntil(s[1], buf, sizeof buf, "\r\n", 0), -EINVAL);
    t_equal(weft_readuntil(s[1], buf, 2, "\r\n", 2), -EINVAL);
    t_equal(weft_readuntil(s[1], buf, sizeof buf, "\r\n", 2), 3);
    t_check(strcmp(buf, "a\r\n") == 0);
    t_equal(weft_readuntil(s[1], buf, sizeof buf, "\r\n", 2), 3);
    t_check(strcmp(buf, "\r\r\n") == 0);
    t_equal(weft_readuntil(s[1], buf, 3, "\r\n", 2), 2);
    t_check(strcmp(buf, "\r\n") == 0);
    t_equal(weft_readuntil(s[1], buf, sizeof buf, "-", 1), 1);
    /* The last piece lacks its delimiter. */
    t_equal(weft_readuntil(s[1], buf, sizeof buf, "\0x", 2), 5);
    t_check(strcmp(buf, "-rest") == 0);
    t_equal(weft_readuntil(s[1], buf, sizeof buf, "\r\n", 2), 0);
}
PAIR_TEST(a_piece_ends_with_its_delimiter, pieces)

static void too_long(weft_stream *s[2])
{
    char buf[64];

    t_equal(weft_write(s[0], "0123456789ENDafter", 18), 18);
    for (int i = 0; i < 2; i++) {
        t_equal(weft_readuntil(s[1], buf, 13, "END", 3), -EMSGSIZE);
        t_equal(weft_readuntil(s[1], buf, 4, "END", 3), -EMSGSIZE);
    }
    t_equal(weft_readuntil(s[1], buf, 6, "nowhere", 5), -EMSGSIZE);
    /* Nothing was taken, and the stream goes on. */
    t_equal(weft_readuntil(s[1], buf, 14, "END", 3), 13);
    t_check(strcmp(buf, "0123456789END") == 0);
    t_equal(weft_readn(s[1], buf, 5), 5);
    t_check(memcmp(buf, "after", 5) == 0);
    t_equal(weft_write(s[1], "back", 4), 4);
    t_equal(weft_readn(s[0], buf, 4), 4);
}
PAIR_TEST(a_piece_that_does_not_fit_stays, too_long)

/* Comes in two halves, divided at each place of the delimiter. */
static void halves(weft_stream *s[2])
{
    static const char text[] = "xxA-A-A-Bxx";
    char buf[64];

    for (size_t cut = 1; cut < 9; cut++) {
        t_equal(weft_write(s[0], text, cut), cut);
        weft_with_timeout(2 * WEFT_MS)
            t_equal(weft_readuntil(s[1], buf, sizeof buf, "A-A-B", 5),
                    -ETIMEDOUT);
        t_equal(weft_stream_buffered(s[1]), cut);
        t_equal(weft_write(s[0], text + cut, 11 - cut), 11 - cut);
        t_equal(weft_readuntil(s[1], buf, sizeof buf, "A-A-B", 5), 9);
        t_check(memcmp(buf, text, 9) == 0 && buf[9] == 0);
        t_equal(weft_readn(s[1], buf, 2), 2);
    }
}
PAIR_TEST(a_delimiter_may_arrive_in_parts, halves)

static const size_t lengths[] = {
    4, 5, BUFFER - 1, BUFFER, BUFFER + 1, 4, 3 * BUFFER, BUFFER - 3, 40000, 7,
};

static void any_length(weft_stream *s[2])
{
    size_t total = 0, at = 0;
    char *data, *buf = malloc(4 * BUFFER);
    struct job j = {.s = s[0], .step = 1021};
    weft_group g;

    for (size_t i = 0; i < T_LEN(lengths); i++)
        total += lengths[i];
    j.data = data = malloc(total);
    j.n = total;
    fill_pattern(data, total);
    for (size_t i = 0; i < T_LEN(lengths); i++) {
        at += lengths[i];
        memcpy(data + at - 4, "\r\n\r\n", 4);
    }
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, writes, &j), 0);
        at = 0;
        for (size_t i = 0; i < T_LEN(lengths); i++) {
            size_t n = lengths[i];

            if (!t_equal(weft_readuntil(s[1], buf, 4 * BUFFER, "\r\n\r\n", 4),
                         n)) {
                weft_group_cancel(&g);
                break;
            }
            t_check(memcmp(buf, data + at, n) == 0 && buf[n] == 0);
            at += n;
        }
        t_equal(weft_readuntil(s[1], buf, BUFFER, "\r\n\r\n", 4), 0);
    }
    free(data);
    free(buf);
}
PAIR_TEST(pieces_of_any_length_arrive_whole, any_length)

static long open_for_refusal(void *arg)
{
    weft_stream **s = arg;

    t_check(open_pair(UNIX, s));
    return 0;
}

static long close_after_refusal(void *arg)
{
    close_pair(arg);
    return 0;
}

static void a_thread_that_is_no_task_is_refused(void **state)
{
    weft_stream *s[2];
    char buf[8];
    weft_runtime *rt = t_open(t_workers(state));

    assert_int_equal(weft_runtime_call(rt, open_for_refusal, s), 0);
    assert_int_equal(weft_readuntil(s[0], buf, 8, "ab", 2), -EPERM);
    assert_int_equal(weft_runtime_call(rt, close_after_refusal, s), 0);
    assert_int_equal(weft_runtime_close(rt), 0);
    t_verdict();
}

static const struct CMUnitTest tests[] = {
    T_EACH(a_piece_ends_with_its_delimiter),
    T_EACH(a_piece_that_does_not_fit_stays),
    T_REAL_EACH(a_delimiter_may_arrive_in_parts),
    T_EACH(pieces_of_any_length_arrive_whole),
    T_EACH(a_thread_that_is_no_task_is_refused),
};

T_MAIN(tests)
