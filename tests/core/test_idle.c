/* SPDX-License-Identifier: MIT */
/* Who sleeps and who searches: the rules, and the protocol against lost work
 * with real threads. */
#include "core/idle.h"

#include <sched.h>

#include "core/unit.h"

static void nobody_is_woken_without_need(void **state)
{
    static struct idle d;

    (void)state;
    idle_open(&d, 4);
    assert_int_equal(idle_wake_one(&d, 0), -1); /* all awake */
    idle_sleep_begin(&d, 2);
    assert_true(idle_search_begin(&d));
    assert_int_equal(idle_wake_one(&d, 0), -1); /* one searches */
    assert_true(idle_search_end(&d));
    assert_int_equal(idle_wake_one(&d, 0), 2);
    assert_int_equal(load_relaxed(&d.searching), 1); /* the woken one counts */
    assert_false(idle_sleep_end(&d, 2));
    assert_true(idle_search_end(&d));
}

static void half_search_at_most(void **state)
{
    static struct idle d, one;

    (void)state;
    idle_open(&d, 4);
    assert_true(idle_search_begin(&d));
    assert_true(idle_search_begin(&d));
    assert_false(idle_search_begin(&d));
    assert_false(idle_search_end(&d));
    assert_true(idle_search_end(&d));
    idle_open(&one, 1);
    assert_false(idle_search_begin(&one)); /* nobody to steal from */
}

static void nearest_sleeper_first(void **state)
{
    static struct idle d;

    (void)state;
    idle_open(&d, 130);
    idle_sleep_begin(&d, 3);
    idle_sleep_begin(&d, 70);
    idle_sleep_begin(&d, 129);
    assert_int_equal(idle_take_sleeper(&d, 65), 70);
    assert_int_equal(idle_take_sleeper(&d, 65), 129);
    assert_int_equal(idle_take_sleeper(&d, 65), 3);
    assert_int_equal(idle_take_sleeper(&d, 65), -1);
    for (unsigned i = 0; i < 130; i++) {
        assert_false(idle_all_asleep(&d));
        idle_sleep_begin(&d, i);
    }
    assert_true(idle_all_asleep(&d));
}

/* One publishes a task at a time and waits for it to be taken; the sleepers
 * sleep on a flag that only a waker sets. A lost wake-up hangs it. */
#define SLEEPERS 3
#define TASKS ROUNDS(100000u)

static struct idle idle;
static _Atomic uint32_t work, taken, over;
static _Atomic uint32_t woken[SLEEPERS];

static bool take(void)
{
    uint32_t one = 1;

    if (!load_acquire(&work) || !cas_acq_rel(&work, &one, 0))
        return false;
    add_relaxed(&taken, 1);
    return true;
}

static void *sleeper(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    bool searching = false;

    while (!load_acquire(&over)) {
        if (searching) {
            (void)idle_search_end(&idle);
            searching = false;
        }
        if (take())
            continue;
        idle_sleep_begin(&idle, me);
        while (!load_acquire(&work) && !load_acquire(&over) &&
               !load_acquire(&woken[me]))
            if (!load_acquire(&woken[me]))
                sched_yield();
        searching = !idle_sleep_end(&idle, me);
        if (searching)
            while (!load_acquire(&woken[me]))
                cpu_pause();
        store_release(&woken[me], 0);
    }
    return NULL;
}

static void no_task_is_left_behind(void **state)
{
    pthread_t t[SLEEPERS];

    (void)state;
    idle_open(&idle, SLEEPERS);
    for (uintptr_t i = 0; i < SLEEPERS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, sleeper, (void *)i), 0);
    for (uint32_t i = 0; i < TASKS; i++) {
        int w;

        store_release(&work, 1);
        w = idle_wake_one(&idle, i % SLEEPERS);
        if (w >= 0)
            store_release(&woken[w], 1);
        while (load_acquire(&work))
            sched_yield();
    }
    store_release(&over, 1);
    for (int i = 0; i < SLEEPERS; i++)
        store_release(&woken[i], 1);
    for (int i = 0; i < SLEEPERS; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(load_relaxed(&taken), TASKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_woken_without_need),
        cmocka_unit_test(half_search_at_most),
        cmocka_unit_test(nearest_sleeper_first),
        cmocka_unit_test(no_task_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
