/* SPDX-License-Identifier: MIT */
/* Stacks that one worker takes and another gets back do not pile up with the
 * latter, though it parks between any two tasks. */
#include "support/cases.h"

enum { BURST = 20, BURSTS = 250, MOST = 300 };

static long spin(void *arg)
{
    int64_t end = weft_now() + 50 * WEFT_US;

    (void)arg;
    while (weft_now() < end)
        continue;
    return 0;
}

static long compute_task(void *arg)
{
    (void)arg;
    return weft_compute(spin, NULL);
}

/* Each burst suspends where it was spawned, and resumes where it may. */
static long bursts_task(void *arg)
{
    struct weft_stats s;
    weft_group g = {0};

    (void)arg;
    weft_with_group(&g) {
        for (int i = 0; i < BURSTS; i++) {
            for (int k = 0; k < BURST; k++)
                t_equal(weft_spawn(&g, compute_task, NULL), 0);
            t_equal(weft_sleep(2 * WEFT_MS), 0);
        }
    }
    t_equal(weft_runtime_stats(NULL, &s), 0);
    t_check(s.stacks_used <= MOST);
    if (s.stacks_used > MOST)
        fprintf(stderr, "%llu stacks\n", (unsigned long long)s.stacks_used);
    return 0;
}

static void stacks_do_not_pile_up(void **state)
{
    struct weft_options o = t_options(2);

    (void)state;
    o.executor_threads = 1;
    o.pin = WEFT_PIN_OFF;
    assert_int_equal(t_run_with(o, bursts_task, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(stacks_do_not_pile_up),
};

T_MAIN(tests)
