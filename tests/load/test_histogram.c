/* SPDX-License-Identifier: MIT */
/* The load generator's histogram: percentiles within one percent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those. */
#include <cmocka.h>
#include <string.h>

#include "../../tools/load/load.h"

static struct histogram h, k;

static void assert_near(int64_t got, int64_t want)
{
    int64_t off = got > want ? got - want : want - got;

    if (off * 100 > want)
        fail_msg("%lld is not within 1 %% of %lld", (long long)got,
                 (long long)want);
}

static void empty_has_no_percentile(void **state)
{
    (void)state;
    memset(&h, 0, sizeof h);
    assert_int_equal(histogram_percentile(&h, 99), 0);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    memset(&h, 0, sizeof h);
    for (int i = 1; i <= 100; i++)
        histogram_add(&h, i);
    assert_int_equal(histogram_percentile(&h, 1), 1);
    assert_int_equal(histogram_percentile(&h, 50), 50);
    assert_int_equal(histogram_percentile(&h, 99), 99);
    assert_int_equal(histogram_percentile(&h, 100), 100);
}

static void every_magnitude_is_within_a_percent(void **state)
{
    (void)state;
    for (int64_t v = 3; v < INT64_C(100000000000); v = v * 5 / 3 + 1) {
        memset(&h, 0, sizeof h);
        histogram_add(&h, v / 2);
        histogram_add(&h, v);
        histogram_add(&h, v * 2);
        assert_near(histogram_percentile(&h, 50), v);
        assert_int_equal(histogram_percentile(&h, 100), h.max);
    }
}

static void far_ends_do_not_break_it(void **state)
{
    (void)state;
    memset(&h, 0, sizeof h);
    histogram_add(&h, -5);
    histogram_add(&h, INT64_MAX);
    assert_int_equal(h.min, -5);
    assert_int_equal(histogram_percentile(&h, 100) > INT64_C(1) << 40, 1);
}

static void merging_is_adding(void **state)
{
    struct histogram both;

    (void)state;
    memset(&h, 0, sizeof h);
    memset(&k, 0, sizeof k);
    memset(&both, 0, sizeof both);
    for (int64_t v = 1; v < 1000000; v = v * 3 / 2 + 1) {
        histogram_add(v % 2 ? &h : &k, v);
        histogram_add(&both, v);
    }
    histogram_merge(&h, &k);
    assert_memory_equal(h.buckets, both.buckets, sizeof both.buckets);
    assert_int_equal(h.count, both.count);
    assert_int_equal(h.min, both.min);
    assert_int_equal(h.max, both.max);
}

static void urls_are_taken_apart(void **state)
{
    struct url u;

    (void)state;
    assert_true(load_url("http://127.0.0.1:8080/a/b?c", &u));
    assert_string_equal(u.address, "127.0.0.1:8080");
    assert_string_equal(u.path, "/a/b?c");
    assert_true(load_url("http://[::1]", &u));
    assert_string_equal(u.address, "[::1]:80");
    assert_string_equal(u.path, "/");
    assert_false(load_url("https://x/", &u));
    assert_false(load_url("http://", &u));
    assert_false(load_url("http://x/a b", &u));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_has_no_percentile),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(every_magnitude_is_within_a_percent),
        cmocka_unit_test(far_ends_do_not_break_it),
        cmocka_unit_test(merging_is_adding),
        cmocka_unit_test(urls_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
