/* SPDX-License-Identifier: MIT */
/* What weft-httpd reads out of a request: heads, paths, ranges and dates, from
 * tables and from heads that were damaged at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "path.h"
#include "ranges.h"
#include "session.h"

#if defined(W_ASAN)
#include <sanitizer/asan_interface.h>
#endif

static struct text text(const char *s)
{
    return (struct text){s, strlen(s)};
}

static struct session *session(void)
{
    static struct server srv;
    struct session *x = calloc(1, sizeof *x);

    assert_non_null(x);
    srv.set.max_head = 8192;
    srv.set.max_headers = 64;
    x->srv = &srv;
    return x;
}

static int parse(struct session *x, struct request *r, const char *s)
{
    x->pos = 0;
    x->have = strlen(s);
    memcpy(x->in, s, x->have);
    return hd_head_parse(x, r);
}

/* ---- paths ---- */

static void paths(void **state)
{
    static const struct {
        const char *target;
        const char *path; /* NULL: refused */
    } cases[] = {
        {"/", ""},
        {"/a", "a"},
        {"/a/", "a/"},
        {"//a//b", "a/b"},
        {"/a/./b/.", "a/b/"},
        {"/a/../b", "b"},
        {"/a/b/..", "a/"},
        {"/a/..", ""},
        {"/a%2Fb?c/..", "a/b"},
        {"/%2e%2E/a", NULL},
        {"/..", NULL},
        {"/a/../..", NULL},
        {"/a%00", NULL},
        {"/%", NULL},
        {"/%g0", NULL},
        {"/...", "..."},
        {"/..a/b..", "..a/b.."},
        {"/%25", "%"},
        {"/\xc3\xa4", "\xc3\xa4"},
    };
    struct path p;

    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        const char *t = cases[i].target;
        int rc = hd_path_decode(&p, t, strlen(t));

        assert_int_equal(rc, cases[i].path ? 0 : -EINVAL);
        if (cases[i].path) {
            assert_string_equal(p.s, cases[i].path);
            assert_int_equal(p.n, strlen(p.s));
        }
    }
}

static void paths_come_back(void **state)
{
    struct path p;
    char s[257], url[1024];

    (void)state;
    for (int i = 1; i < 256; i++)
        s[i] = (char)(i == '/' || i == '.' ? 'x' : i);
    assert_true(hd_path_encode(url, sizeof url, s + 1, 255) > 255);
    assert_int_equal(hd_path_decode(&p, url, strlen(url)), 0);
    assert_int_equal(p.n, 255);
    assert_memory_equal(p.s, s + 1, 255);
    assert_int_equal(hd_path_encode(url, 255, s + 1, 255), -ENAMETOOLONG);
}

static void long_paths(void **state)
{
    static char target[3 * PATH_MAX];
    struct path p;

    (void)state;
    memset(target, 'a', sizeof target);
    target[0] = '/';
    assert_int_equal(hd_path_decode(&p, target, PATH_MAX - 1), 0);
    assert_int_equal(p.n, PATH_MAX - 2);
    assert_int_equal(hd_path_decode(&p, target, PATH_MAX + 1), -ENAMETOOLONG);
    assert_int_equal(hd_path_decode(&p, target, sizeof target), -ENAMETOOLONG);
}

/* ---- ranges ---- */

static void ranges(void **state)
{
    static const struct {
        const char *field;
        int n;
        uint64_t first, len; /* of the last one */
    } cases[] = {
        {"bytes=0-9", 1, 0, 10},
        {"Bytes=0-0,5-6", 2, 5, 2},
        {"bytes=-1", 1, 99, 1},
        {"bytes=-1000", 1, 0, 100},
        {"bytes=90-", 1, 90, 10},
        {"bytes=90-99999999999999999999999999", 1, 90, 10},
        {"bytes=100-", -1, 0, 0},
        {"bytes=-0", -1, 0, 0},
        {"bytes=99999999999999999999999-", -1, 0, 0},
        {"bytes=100-,0-1", 1, 0, 2},
        {"bytes= 1-2 , 3-4 ,", 2, 3, 2},
        {"bytes=2-1", 0, 0, 0},
        {"bytes=", 0, 0, 0},
        {"bytes=,", 0, 0, 0},
        {"bytes=1", 0, 0, 0},
        {"bytes=1-2-3", 0, 0, 0},
        {"bytes=a-b", 0, 0, 0},
        {"lines=1-2", 0, 0, 0},
        {"bytes=0-,0-", 0, 0, 0},
        {"bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9,10-10,11-11,12-12,"
         "13-13,14-14,15-15,16-16",
         0, 0, 0},
    };
    struct range range[HD_RANGES];

    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        int n = hd_ranges_parse(text(cases[i].field), 100, range);

        assert_int_equal(n, cases[i].n);
        if (n > 0) {
            assert_int_equal(range[n - 1].first, cases[i].first);
            assert_int_equal(range[n - 1].n, cases[i].len);
        }
    }
    assert_int_equal(hd_ranges_parse(text("bytes=0-"), 0, range), -1);
    assert_int_equal(hd_ranges_parse(text("bytes=-5"), 0, range), -1);
}

/* ---- dates ---- */

static void dates(void **state)
{
    static const struct {
        const char *s;
        int64_t t;
    } cases[] = {
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Thu, 29 Feb 2024 23:59:59 GMT", 1709251199},
        {"Tue, 19 Jan 2038 03:14:08 GMT", INT64_C(2147483648)},
        {"Fri, 31 Dec 9999 23:59:59 GMT", INT64_C(253402300799)},
    };
    char s[HD_DATE + 1] = {0};
    int64_t t;

    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        hd_date_format(s, cases[i].t);
        assert_string_equal(s, cases[i].s);
        assert_true(hd_date_parse(text(s), &t));
        assert_int_equal(t, cases[i].t);
    }
    hd_date_format(s, INT64_MAX);
    assert_string_equal(s, cases[4].s);
    hd_date_format(s, -5);
    assert_string_equal(s, cases[0].s);
    assert_true(hd_date_parse(text("Sunday, 06-Nov-94 08:49:37 GMT"), &t));
    assert_int_equal(t, 784111777);
    assert_true(hd_date_parse(text("Sun Nov  6 08:49:37 1994"), &t));
    assert_int_equal(t, 784111777);
    assert_false(hd_date_parse(text("Sun, 06 Nov 1994 08:49:37 CET"), &t));
    assert_false(hd_date_parse(text(""), &t));
    hd_date_now(s);
    assert_true(hd_date_parse(text(s), &t));
    assert_true(t > hd_time() - 5 && t <= hd_time());
}

/* ---- heads ---- */

static const char *const heads[] = {
    "GET /a/b?c HTTP/1.1\r\nHost: x\r\nRange: bytes=1-2, -3\r\n"
    "Accept-Encoding: br, gzip;q=0.5, *\r\nContent-Length: 5\r\n"
    "Connection: keep-alive, close\r\n\r\n",
    "HEAD http://x/%41%2e%2e/../b HTTP/1.0\r\nIf-Range: \"a\"\r\n"
    "If-None-Match: \"a\", W/\"b\"\r\nConnection: Keep-Alive\r\n"
    "If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT\r\n\r\nGET / H",
};

static void whole_heads(void **state)
{
    struct session *x = session();
    struct request r;

    (void)state;
    assert_int_equal(parse(x, &r, heads[0]), strlen(heads[0]));
    assert_int_equal(r.method, HD_GET);
    assert_true(r.gzip && !r.keep && !r.chunked && r.length == 5);
    assert_int_equal(r.target.n, 6);
    assert_int_equal(r.line.n, 19);
    assert_int_equal(r.range.n, 13);
    assert_int_equal(parse(x, &r, heads[1]), strlen(heads[1]) - 7);
    assert_int_equal(r.method, HD_HEAD);
    assert_true(r.http10 && r.keep && !r.gzip && !r.length);
    assert_int_equal(r.if_none_match.n, 10);
    assert_int_equal(r.if_modified_since.n, HD_DATE);
    free(x);
}

static void heads_in_pieces(void **state)
{
    struct session *x = session();
    size_t n = strlen(heads[0]);
    struct request r;
    char part[512];

    (void)state;
    for (size_t i = 0; i < n; i++) {
        memcpy(part, heads[0], i);
        part[i] = '\0';
        assert_int_equal(parse(x, &r, part), 0);
    }
    free(x);
}

/* What is refused is told by the request alone, however much of it has come. */
static void heads_that_are_too_long(void **state)
{
    enum { MAX = 128 };
    static const struct {
        unsigned path, value; /* bytes */
        int rc;               /* 0: the head's length */
    } cases[] = {
        {MAX - 15, 0, -431}, /* the line alone is as long as allowed */
        {MAX - 14, 0, -414},
        {MAX * 2, 0, -414},
        {MAX * 2, MAX, -414},
        {10, MAX, -431},
        {10, MAX - 41, 0}, /* the head is as long as allowed */
        {10, MAX - 40, -431},
        {10, MAX * 4, -431},
    };
    struct session *x = session();
    struct request r;
    char s[16 * MAX];

    (void)state;
    x->srv->set.max_head = MAX;
    for (size_t i = 0; i < array_len(cases); i++) {
        int n = sprintf(s, "GET /%0*d HTTP/1.1\r\nHost: x\r\nA: %0*d\r\n\r\n",
                        (int)cases[i].path - 1, 0, (int)cases[i].value, 0);
        int want = cases[i].rc ? cases[i].rc : n;

        for (int more = 0; more < 3; more++) {
            assert_int_equal(parse(x, &r, s), want);
            strcat(s, heads[0]);
        }
        for (int part = 1; part <= n; part++) {
            int rc;

            x->pos = 0;
            x->have = (size_t)part;
            memcpy(x->in, s, x->have);
            rc = hd_head_parse(x, &r);
            assert_true(rc == want || (!rc && part < n && part < MAX));
        }
    }
    x->srv->set.max_head = 8192;
    free(x);
}

static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static size_t damage(char *s, size_t n, uint64_t *seed)
{
    static const char *const bits[] = {
        "\r\n", "\r",    "\n",       ":",    " ",      "%",
        "..",   "/",     ",",        "-",    "bytes=", "*",
        ";q=0", "Host:", "\r\n\r\n", "\x80", "0x10",   "9999999999999999999"};

    for (uint64_t times = draw(seed) % 4; times; times--) {
        const char *bit = bits[draw(seed) % array_len(bits)];
        size_t at = draw(seed) % n, len = strlen(bit);

        switch (draw(seed) % 4) {
        case 0:
            s[at] = (char)draw(seed);
            break;
        case 1:
            memmove(s + at + len, s + at, n - at);
            memcpy(s + at, bit, len);
            n += len;
            break;
        case 2:
            len = len < n - at ? len : n - at - 1;
            memmove(s + at, s + at + len, n - at - len);
            n -= len;
            break;
        default:
            n = at + 1;
        }
    }
    return n;
}

static void check_parsed(const struct session *x, const struct request *r,
                         int len)
{
    struct range range[HD_RANGES];
    struct path p;
    int n;

    assert_true((size_t)len <= x->have - x->pos);
    assert_true(r->target.p > x->in && r->target.n > 0);
    assert_true(r->target.p + r->target.n < x->in + x->have);
    if (!hd_path_decode(&p, r->target.p, r->target.n)) {
        assert_int_equal(strlen(p.s), p.n);
        assert_true(p.s[0] != '/' && !strstr(p.s, "//"));
        assert_true(strcmp(p.s, "..") && strncmp(p.s, "../", 3));
        assert_null(strstr(p.s, "/../"));
    }
    n = r->range.p ? hd_ranges_parse(r->range, 1000, range) : 0;
    for (int i = 0; i < n; i++) {
        assert_true(range[i].n && range[i].first < 1000);
        assert_true(range[i].first + range[i].n <= 1000);
    }
}

/* Any part of it is taken for a part, or for what the whole is. */
static void check_parts(struct session *x, size_t n, int whole, uint64_t *seed)
{
    struct request r;
    size_t have = x->have;
    int rc;

    x->have = x->pos + draw(seed) % n;
    rc = x->have > x->pos ? hd_head_parse(x, &r) : 0;
    assert_true(rc == 0 || rc == whole);
    x->have = have;
}

static void damaged_heads(void **state)
{
    enum { ROUNDS = 300000 };
    struct session *x = session();
    uint64_t seed = 88172645463325252u;
    long whole = 0, part = 0, bad = 0;
    char s[2048];

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        size_t n = strlen(heads[i & 1]);
        struct request r;
        int rc;

        memcpy(s, heads[i & 1], n);
        n = damage(s, n, &seed);
        /* At the very end of the buffer: a read beyond it is seen. */
        x->have = sizeof x->in;
        x->pos = sizeof x->in - n;
        memcpy(x->in + x->pos, s, n);
#if defined(W_ASAN)
        __asan_poison_memory_region(x->out, sizeof x->out);
#endif
        rc = hd_head_parse(x, &r);
        check_parts(x, n, rc, &seed);
        if (rc > 0)
            check_parsed(x, &r, rc);
        else
            assert_string_not_equal(hd_reason(-rc), rc ? hd_reason(500) : "");
        whole += rc > 0;
        part += rc == 0;
        bad += rc < 0;
    }
#if defined(W_ASAN)
    __asan_unpoison_memory_region(x->out, sizeof x->out);
#endif
    assert_true(whole > ROUNDS / 20 && part > ROUNDS / 20 && bad > ROUNDS / 20);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),           cmocka_unit_test(paths_come_back),
        cmocka_unit_test(long_paths),      cmocka_unit_test(ranges),
        cmocka_unit_test(dates),           cmocka_unit_test(whole_heads),
        cmocka_unit_test(heads_in_pieces), cmocka_unit_test(damaged_heads),
        cmocka_unit_test(heads_that_are_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
