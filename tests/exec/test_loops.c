/* SPDX-License-Identifier: MIT */
/* weft_for, weft_reduce, weft_scan, weft_sort. */
#include "exec/threads.h"

#include <sched.h>

/* ---- for ---------------------------------------------------------------- */

#define ITEMS 100003

struct sweep {
    size_t n, grain;
    unsigned char *seen;
    int64_t spin;
    atomic_long parts, wrong;
};

static long touch(size_t begin, size_t end, void *arg)
{
    struct sweep *s = arg;

    atomic_fetch_add(&s->parts, 1);
    if (begin >= end || end > s->n || (s->grain && begin % s->grain) ||
        (s->grain && end - begin > s->grain))
        atomic_fetch_add(&s->wrong, 1);
    for (size_t i = begin; i < end; i++)
        s->seen[i]++;
    if (s->spin)
        t_spin(s->spin);
    return 3; /* no error */
}

static void check_sweep(size_t n, size_t grain, int64_t spin)
{
    struct sweep s = {.n = n, .grain = grain, .spin = spin};
    size_t wrong = 0;

    s.seen = calloc(n + 1, 1);
    if (!t_check(s.seen != NULL))
        return;
    t_equal(grain ? weft_for_grain(n, grain, touch, &s)
                  : weft_for(n, touch, &s),
            0);
    for (size_t i = 0; i < n; i++)
        wrong += s.seen[i] != 1;
    t_equal(wrong, 0);
    t_equal(s.seen[n], 0);
    t_equal(atomic_load(&s.wrong), 0);
    if (grain)
        t_equal(atomic_load(&s.parts), (n + grain - 1) / grain);
    free(s.seen);
}

static long sweeps(void *arg)
{
    static const size_t sizes[] = {0, 1, 2, 7, 100, 1000, ITEMS};
    static const size_t grains[] = {0, 1, 3, 64, 5000, 1000000};

    (void)arg;
    for (size_t i = 0; i < T_LEN(sizes); i++)
        for (size_t k = 0; k < T_LEN(grains); k++)
            check_sweep(sizes[i], grains[k], 0);
    check_sweep(300, 0, 20 * WEFT_US);
    check_sweep(300, 7, 20 * WEFT_US);
    return 0;
}

static long sweeps_there(void *arg)
{
    t_equal(sweeps(arg), 0);          /* hops for each loop */
    return weft_compute(sweeps, arg); /* is there already */
}

static void every_item_once_in_parts_as_asked(void **state)
{
    assert_int_equal(t_compute_with(t_workers(state), 0, sweeps_there, NULL),
                     0);
}

static atomic_int both[2];

static long meet(size_t begin, size_t end, void *arg)
{
    int64_t give_up = weft_now() + 10 * WEFT_SEC;

    (void)arg;
    for (size_t i = begin; i < end; i++) {
        atomic_store(&both[i], 1);
        while (!atomic_load(&both[!i]) && weft_now() < give_up)
            sched_yield();
        t_check(atomic_load(&both[!i]));
    }
    return 0;
}

static long two_meet(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        atomic_store(&both[0], 0);
        atomic_store(&both[1], 0);
        t_equal(weft_for(2, meet, NULL), 0);
    }
    return 0;
}

static void two_items_run_at_once(void **state)
{
    (void)state;
    assert_int_equal(t_compute_with(2, 0, two_meet, NULL), 0);
}

static long inner_items(size_t begin, size_t end, void *arg)
{
    atomic_fetch_add((atomic_long *)arg, (long)(end - begin));
    return 0;
}

static long outer_items(size_t begin, size_t end, void *arg)
{
    for (size_t i = begin; i < end; i++)
        t_equal(weft_for(i, inner_items, arg), 0);
    return 0;
}

static long nested(void *arg)
{
    atomic_long count = 0;

    (void)arg;
    t_equal(weft_for(400, outer_items, &count), 0);
    t_equal(atomic_load(&count), 399 * 400 / 2);
    return 0;
}

static void loops_nest(void **state)
{
    assert_int_equal(t_compute_with(t_workers(state), 0, nested, NULL), 0);
}

static atomic_long parts_run;

static long fails_at_100(size_t begin, size_t end, void *arg)
{
    (void)arg;
    atomic_fetch_add(&parts_run, (long)(end - begin));
    t_spin(10 * WEFT_US);
    return begin <= 100 && 100 < end ? -EDOM : 0;
}

static long failing(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        atomic_store(&parts_run, 0);
        t_equal(weft_for_grain(1000000, 1, fails_at_100, NULL), -EDOM);
        t_check(atomic_load(&parts_run) < 900000);
    }
    return 0;
}

static void the_first_error_stops_a_loop(void **state)
{
    assert_int_equal(t_compute_with(t_workers(state), 0, failing, NULL), 0);
}

static long slow_items(size_t begin, size_t end, void *arg)
{
    (void)arg;
    t_spin((int64_t)(end - begin) * 100 * WEFT_US);
    return 0;
}

static long endless_loop(void *arg)
{
    (void)arg;
    return weft_for(1000000, slow_items, NULL);
}

static long timed_loop(void *arg)
{
    int64_t start = weft_now();

    (void)arg;
    weft_with_timeout(50 * WEFT_MS)
        t_equal(endless_loop(NULL), -ETIMEDOUT);
    t_check(weft_now() - start < 20 * WEFT_SEC);
    return 0;
}

static void a_cancelled_task_stops_its_loop(void **state)
{
    assert_int_equal(t_compute_with(t_workers(state), 0, timed_loop, NULL), 0);
}

/* ---- reduce and scan ---------------------------------------------------- */

/* 2x2 matrices modulo a prime: associative, not commutative. */
struct matrix {
    uint64_t m[4];
};
#define PRIME UINT64_C(1000003)
static const struct matrix unit = {{1, 0, 0, 1}};

static struct matrix item(size_t i)
{
    struct matrix r = {{i % 97, i % 89 + 1, i % 7, i % 13}};

    return r;
}

static void multiply(void *left, const void *right, void *arg)
{
    struct matrix a = *(struct matrix *)left;
    const struct matrix *b = right;
    struct matrix *r = left;

    (void)arg;
    r->m[0] = (a.m[0] * b->m[0] + a.m[1] * b->m[2]) % PRIME;
    r->m[1] = (a.m[0] * b->m[1] + a.m[1] * b->m[3]) % PRIME;
    r->m[2] = (a.m[2] * b->m[0] + a.m[3] * b->m[2]) % PRIME;
    r->m[3] = (a.m[2] * b->m[1] + a.m[3] * b->m[3]) % PRIME;
}

static long fold_items(size_t begin, size_t end, void *acc, void *arg)
{
    for (size_t i = begin; i < end; i++) {
        struct matrix m = item(i);

        multiply(acc, &m, arg);
    }
    return 0;
}

/* An accumulator that does not fit in a frame. */
struct wide {
    long count[100];
};

static long fold_wide(size_t begin, size_t end, void *acc, void *arg)
{
    struct wide *w = acc;

    (void)arg;
    for (size_t i = begin; i < end; i++)
        w->count[i % 100]++;
    t_spin(5 * WEFT_US);
    return 0;
}

static void merge_wide(void *left, const void *right, void *arg)
{
    struct wide *w = left;

    (void)arg;
    for (int i = 0; i < 100; i++)
        w->count[i] += ((const struct wide *)right)->count[i];
}

static long fold_fails(size_t begin, size_t end, void *acc, void *arg)
{
    (void)acc;
    (void)arg;
    return begin <= 500 && 500 < end ? -ERANGE : 0;
}

static long reduces(void *arg)
{
    static const size_t sizes[] = {0, 1, 2, 50, 3000, 200000};
    struct wide w = {{0}};

    (void)arg;
    for (size_t k = 0; k < T_LEN(sizes); k++)
        for (int round = 0; round < 5; round++) {
            struct matrix plain = unit, r = unit;

            fold_items(0, sizes[k], &plain, NULL);
            t_equal(
                weft_reduce(sizes[k], fold_items, multiply, NULL, &r, sizeof r),
                0);
            t_equal(memcmp(&plain, &r, sizeof r), 0);
        }
    t_equal(weft_reduce(20000, fold_wide, merge_wide, NULL, &w, sizeof w), 0);
    for (int i = 0; i < 100; i++)
        t_equal(w.count[i], 200);
    t_equal(weft_reduce(1000, fold_fails, merge_wide, NULL, &w, sizeof w),
            -ERANGE);
    return 0;
}

static void reductions_keep_the_order_of_items(void **state)
{
    assert_int_equal(t_compute_with(t_workers(state), 0, reduces, NULL), 0);
}

static long scans(void *arg)
{
    static const size_t sizes[] = {0, 1, 2, 255, 256, 257, 5000, 50021};
    struct matrix *v = malloc(50021 * sizeof *v);

    (void)arg;
    if (!t_check(v != NULL))
        return -ENOMEM;
    for (size_t k = 0; k < T_LEN(sizes); k++) {
        struct matrix sum = unit;
        size_t wrong = 0;

        for (size_t i = 0; i < sizes[k]; i++)
            v[i] = item(i);
        t_equal(weft_scan(v, sizes[k], sizeof *v, multiply, NULL), 0);
        for (size_t i = 0; i < sizes[k]; i++) {
            struct matrix m = item(i);

            multiply(&sum, &m, NULL);
            wrong += memcmp(&sum, &v[i], sizeof sum) != 0;
        }
        t_equal(wrong, 0);
    }
    free(v);
    return 0;
}

static void scans_give_prefix_sums(void **state)
{
    assert_int_equal(t_compute_with(t_workers(state), 0, scans, NULL), 0);
}

/* ---- sort --------------------------------------------------------------- */

static size_t key_size;

/* The key is the first byte or, in larger items, the first two; where an item
 * stood before is in the bytes after. */
static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, key_size);
}

static void fill(unsigned char *v, size_t n, size_t size, int kind)
{
    uint32_t x = 12345;

    for (size_t i = 0; i < n; i++) {
        uint32_t key;

        x = x * 1664525u + 1013904223u;
        key = kind == 0   ? x >> 16
              : kind == 1 ? (uint32_t)(i * 65535 / n)
              : kind == 2 ? (uint32_t)((n - i) * 65535 / n)
                          : x >> 29;
        memset(v + i * size, 0, size);
        v[i * size] = (unsigned char)(key >> 8);
        if (size > 1)
            v[i * size + 1] = (unsigned char)key;
        if (size >= 2 + sizeof(uint32_t)) {
            uint32_t at = (uint32_t)i;

            memcpy(v + i * size + 2, &at, sizeof at);
        }
    }
}

static size_t misplaced(const unsigned char *v, size_t n, size_t size)
{
    size_t wrong = 0;

    for (size_t i = 1; i < n; i++) {
        int c = by_key(v + (i - 1) * size, v + i * size);
        uint32_t x = 0, y = 1;

        if (size >= 2 + sizeof x) {
            memcpy(&x, v + (i - 1) * size + 2, sizeof x);
            memcpy(&y, v + i * size + 2, sizeof y);
        }
        wrong += c > 0 || (c == 0 && x >= y);
    }
    return wrong;
}

static uint64_t bytes_of(const unsigned char *v, size_t n, size_t size)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t h = 14695981039346656037u;

        for (size_t k = 0; k < size; k++)
            h = (h ^ v[i * size + k]) * 1099511628211u;
        sum += h;
    }
    return sum;
}

static long sorts(void *arg)
{
    static const size_t counts[] = {0, 1, 2, 3, 16, 17, 600, 40000};
    static const size_t sizes[] = {1, 2, 4, 8, 12, 16, 100};
    unsigned char *v = malloc(40000 * 100);

    (void)arg;
    if (!t_check(v != NULL))
        return -ENOMEM;
    for (size_t c = 0; c < T_LEN(counts); c++)
        for (size_t s = 0; s < T_LEN(sizes); s++)
            for (int kind = 0; kind < 4; kind++) {
                uint64_t before;

                key_size = sizes[s] == 1 ? 1 : 2;
                fill(v, counts[c], sizes[s], kind);
                before = bytes_of(v, counts[c], sizes[s]);
                t_equal(weft_sort(v, counts[c], sizes[s], by_key), 0);
                t_equal(misplaced(v, counts[c], sizes[s]), 0);
                t_check(before == bytes_of(v, counts[c], sizes[s]));
            }
    free(v);
    return 0;
}

static void sorts_are_stable_and_right(void **state)
{
    assert_int_equal(t_compute_with(t_workers(state), 0, sorts, NULL), 0);
}

static atomic_long compared;

static int slowly(const void *a, const void *b)
{
    if (atomic_fetch_add(&compared, 1) % 64 == 0)
        t_spin(100 * WEFT_US);
    return memcmp(a, b, 2);
}

static long cut_sort(void *arg)
{
    size_t n = 200000;
    unsigned char *v = malloc(n * 8);
    uint64_t before;

    (void)arg;
    if (!t_check(v != NULL))
        return -ENOMEM;
    fill(v, n, 8, 0);
    before = bytes_of(v, n, 8);
    weft_with_timeout(20 * WEFT_MS)
        t_equal(weft_sort(v, n, 8, slowly), -ETIMEDOUT);
    t_check(before == bytes_of(v, n, 8));
    free(v);
    return 0;
}

static void a_cancelled_sort_loses_no_item(void **state)
{
    assert_int_equal(t_compute_with(t_workers(state), 0, cut_sort, NULL), 0);
}

static void loops_on_a_foreign_thread_are_refused(void **state)
{
    int v[2] = {2, 1};
    struct wide w;

    (void)state;
    assert_int_equal(weft_for(1, slow_items, NULL), -EPERM);
    assert_int_equal(weft_sort(v, 2, sizeof *v, slowly), -EPERM);
    assert_int_equal(weft_reduce(1, fold_wide, merge_wide, NULL, &w, sizeof w),
                     -EPERM);
    assert_int_equal(weft_scan(v, 2, sizeof *v, multiply, NULL), -EPERM);
    assert_int_equal(v[0], 2);
}

static const struct CMUnitTest tests[] = {
    T_THREADS(every_item_once_in_parts_as_asked),
    cmocka_unit_test(two_items_run_at_once),
    T_THREADS(loops_nest),
    T_THREADS(the_first_error_stops_a_loop),
    T_THREADS(a_cancelled_task_stops_its_loop),
    T_THREADS(reductions_keep_the_order_of_items),
    T_THREADS(scans_give_prefix_sums),
    T_THREADS(sorts_are_stable_and_right),
    T_THREADS(a_cancelled_sort_loses_no_item),
    cmocka_unit_test(loops_on_a_foreign_thread_are_refused),
};

T_MAIN(tests)
