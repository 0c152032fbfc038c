/* SPDX-License-Identifier: MIT */
/* Typed functions without a result, in one piece; and the units of time, which
 * they count with. */
#include "exec/threads.h"

#define N 4096

/* Adds one to each of n cells, n a power of two. */
WEFT_TASK_VOID(add_ones, int *, cell, size_t, n)
{
    WEFT_CHILD(add_ones) left;

    if (n == 1) {
        *cell += 1;
        return;
    }
    WEFT_FORK(add_ones, &left, cell, n / 2);
    WEFT_CALL(add_ones, cell + n / 2, n / 2);
    WEFT_JOIN(add_ones, &left);
}

static long fills(void *arg)
{
    int *cell = arg;

    for (int i = 1; i <= 10; i++) {
        t_equal(WEFT_RUN(add_ones, cell, N), 0);
        for (int k = 0; k < N; k++)
            if (cell[k] != i)
                return k + 1;
    }
    return 0;
}

static void each_leaf_runs_once_before_the_run_returns(void **state)
{
    int *cell = calloc(N, sizeof *cell);

    assert_non_null(cell);
    assert_int_equal(t_compute_with(t_workers(state), 0, fills, cell), 0);
    free(cell);
}

static void outside_a_runtime_nothing_runs(void **state)
{
    int cell = 0;

    (void)state;
    assert_int_equal(WEFT_RUN(add_ones, &cell, 1), -EPERM);
    assert_int_equal(cell, 0);
}

static long sleeps(void *arg)
{
    int64_t t = weft_now();

    (void)arg;
    t_equal(weft_sleep(WEFT_NS), 0);
    t_check(weft_now() - t >= WEFT_NS);
    t = weft_now();
    t_equal(weft_sleep(20 * 1000 * 1000 * WEFT_NS), 0);
    t_check(weft_now() - t >= 20 * WEFT_MS);
    return 0;
}

static void units_are_multiples_of_the_clocks(void **state)
{
    (void)state;
    assert_int_equal(WEFT_US, 1000 * WEFT_NS);
    assert_int_equal(WEFT_MS, 1000 * WEFT_US);
    assert_int_equal(WEFT_SEC, 1000 * WEFT_MS);
    assert_int_equal(t_run(1, sleeps, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    T_THREADS(each_leaf_runs_once_before_the_run_returns),
    cmocka_unit_test(outside_a_runtime_nothing_runs),
    cmocka_unit_test(units_are_multiples_of_the_clocks),
};

T_MAIN(tests)
