/* SPDX-License-Identifier: MIT */
/* The next-task slot: what the owner sees, and every entry exactly once while
 * thieves take from it. */
#include "core/slot.h"

#include "core/unit.h"

static void owner_puts_and_takes(void **state)
{
    static struct slot s;

    (void)state;
    w_barrier_open();
    assert_int_equal(slot_take(&s), 0);
    assert_int_equal(slot_put(&s, 2), 0);
    assert_int_equal(slot_put(&s, 4), 2);
    assert_false(slot_remove(&s, 2));
    assert_true(slot_remove(&s, 4));
    assert_int_equal(slot_take(&s), 0);
    slot_put(&s, 6);
    assert_int_equal(slot_steal(&s), 6);
    assert_int_equal(slot_steal(&s), 0);
}

#define ITEMS ROUNDS(200000u)
#define THIEVES 2

static struct slot shared;
static _Atomic uint32_t *seen;
static _Atomic uint32_t over;

static void took(w_entry e)
{
    if (e)
        add_relaxed(&seen[e / 2], 1);
}

static void *thief(void *arg)
{
    (void)arg;
    while (!load_acquire(&over))
        took(slot_steal(&shared));
    return NULL;
}

static void every_entry_once(void **state)
{
    pthread_t t[THIEVES];

    (void)state;
    seen = calloc(ITEMS + 1, sizeof *seen);
    assert_non_null(seen);
    for (int i = 0; i < THIEVES; i++)
        assert_int_equal(pthread_create(&t[i], NULL, thief, NULL), 0);
    for (uint32_t i = 1; i <= ITEMS; i++) {
        took(slot_put(&shared, (w_entry)i * 2));
        if (i % 3 == 0)
            took(slot_take(&shared));
        if (i % 64 == 0 && slot_remove(&shared, (w_entry)i * 2))
            took((w_entry)i * 2);
    }
    took(slot_take(&shared));
    store_release(&over, 1);
    for (int i = 0; i < THIEVES; i++)
        pthread_join(t[i], NULL);
    for (uint32_t i = 1; i <= ITEMS; i++)
        if (load_relaxed(&seen[i]) != 1)
            fail_msg("entry %u was taken %u times", i, load_relaxed(&seen[i]));
    free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owner_puts_and_takes),
        cmocka_unit_test(every_entry_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
