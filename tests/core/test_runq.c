/* SPDX-License-Identifier: MIT */
/* The worker's queue: order, bounds, halves, and every entry exactly once under
 * an owner that uses both ends and several thieves. The ring is small, so that
 * its edges are hit all the time. */
#define RUNQ_SIZE 8u
#include "core/runq.h"

#include <sched.h>

#include "core/unit.h"

static void oldest_first_and_full(void **state)
{
    static struct runq q;

    (void)state;
    for (w_entry i = 1; i <= RUNQ_SIZE; i++)
        assert_true(runq_push(&q, i * 2));
    assert_false(runq_push(&q, 100));
    assert_int_equal(runq_len(&q), RUNQ_SIZE);
    for (w_entry i = 1; i <= RUNQ_SIZE; i++)
        assert_int_equal(runq_take(&q), i * 2);
    assert_int_equal(runq_take(&q), 0);
    assert_true(runq_looks_empty(&q));
}

static void newest_in_order_of_age(void **state)
{
    static struct runq q;
    w_entry out[RUNQ_SIZE];

    (void)state;
    for (w_entry i = 1; i <= 5; i++)
        assert_true(runq_push(&q, i * 2));
    assert_int_equal(runq_peek_newest(&q), 10);
    assert_int_equal(runq_take_newest(&q, out, 2), 2);
    assert_int_equal(out[0], 8);
    assert_int_equal(out[1], 10);
    assert_int_equal(runq_take(&q), 2);
    assert_int_equal(runq_take_newest(&q, out, 8), 2);
    assert_int_equal(out[0], 4);
    assert_int_equal(runq_take_newest(&q, out, 8), 0);
}

static void thief_takes_half(void **state)
{
    static struct runq q;
    w_entry out[RUNQ_SIZE];

    (void)state;
    assert_int_equal(runq_steal(&q, out, 8), 0);
    for (w_entry i = 1; i <= 7; i++)
        assert_true(runq_push(&q, i * 2));
    assert_int_equal(runq_steal(&q, out, 8), 4);
    for (w_entry i = 0; i < 4; i++)
        assert_int_equal(out[i], (i + 1) * 2);
    assert_int_equal(runq_steal(&q, out, 1), 1);
    assert_int_equal(out[0], 10);
    assert_int_equal(runq_steal(&q, out, 8), 1);
    assert_int_equal(runq_steal(&q, out, 8), 1); /* the last one too */
    assert_int_equal(runq_steal(&q, out, 8), 0);
}

static void indices_wrap(void **state)
{
    static struct runq q;
    w_entry out[RUNQ_SIZE];

    (void)state;
    store_relaxed(&q.head, UINT64_C(0xfffffffd));
    store_relaxed(&q.tail, UINT32_C(0xfffffffd));
    for (w_entry i = 1; i <= 6; i++)
        assert_true(runq_push(&q, i * 2));
    assert_int_equal(runq_take(&q), 2);
    assert_int_equal(runq_steal(&q, out, 8), 3);
    assert_int_equal(out[2], 8);
    assert_int_equal(runq_take_newest(&q, out, 1), 1);
    assert_int_equal(out[0], 12);
    assert_int_equal(runq_take(&q), 10);
    assert_int_equal(runq_take(&q), 0);
}

/* ---- stress ------------------------------------------------------------ */

#define ITEMS ROUNDS(400000u)
#define THIEVES 3

static struct runq shared;
static _Atomic uint32_t *seen;
static _Atomic uint32_t over;

static void took(w_entry e)
{
    add_relaxed(&seen[e / 2], 1);
}

static void *thief(void *arg)
{
    w_entry out[RUNQ_SIZE];

    (void)arg;
    while (!load_acquire(&over)) {
        uint32_t n = runq_steal(&shared, out, RUNQ_SIZE);

        for (uint32_t i = 0; i < n; i++)
            took(out[i]);
        if (!n)
            sched_yield();
    }
    return NULL;
}

static void own(void)
{
    unsigned seed = 1;

    for (uint32_t i = 1; i <= ITEMS;) {
        w_entry out[2];
        uint32_t n;
        w_entry e;

        if (runq_push(&shared, (w_entry)i * 2))
            i++;
        switch (rand_r(&seed) % 6) {
        case 0:
            if ((e = runq_take(&shared)))
                took(e);
            break;
        case 1:
            n = runq_take_newest(&shared, out, 2);
            while (n)
                took(out[--n]);
            break;
        default:
            break;
        }
    }
    for (w_entry e; (e = runq_take(&shared));)
        took(e);
}

static void every_entry_once(void **state)
{
    pthread_t t[THIEVES];

    (void)state;
    seen = calloc(ITEMS + 1, sizeof *seen);
    assert_non_null(seen);
    for (int i = 0; i < THIEVES; i++)
        assert_int_equal(pthread_create(&t[i], NULL, thief, NULL), 0);
    own();
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
        cmocka_unit_test(oldest_first_and_full),
        cmocka_unit_test(newest_in_order_of_age),
        cmocka_unit_test(thief_takes_half),
        cmocka_unit_test(indices_wrap),
        cmocka_unit_test(every_entry_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
