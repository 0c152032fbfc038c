/* SPDX-License-Identifier: MIT */
/* The queue of deadlines does what a sorted array would, and what comes in
 * order never gets into its heap. */
#include "base/deadlines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODES 300
#define STEPS 200000
#define MS ((int64_t)1000000)

struct item {
    struct heap_node node;
    bool inside;
    long born;
};

static struct item items[NODES];
static uint32_t seed = 20261121;

static uint32_t dice(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)seed * n >> 32);
}

static bool before(const struct item *a, const struct item *b)
{
    return a->node.key < b->node.key ||
           (a->node.key == b->node.key && a->born < b->born);
}

static struct item *least(void)
{
    struct item *first = NULL;

    for (int i = 0; i < NODES; i++)
        if (items[i].inside && (!first || before(&items[i], first)))
            first = &items[i];
    return first;
}

static int count_heap(const struct heap_node *n)
{
    int count = 1;

    for (const struct heap_node *c = n->child; c; c = c->next)
        count += count_heap(c);
    return count;
}

/* In order, with what is remembered of its ends: how many. */
static int check_lane(const struct lane *l)
{
    const struct heap_node *lane = &l->ends, *n = lane->next, *prev = lane;
    int count = 0;

    assert_true(l->due == n->key);
    assert_true(l->until == lane->prev->key);
    for (; n != lane; prev = n, n = n->next, count++) {
        assert_ptr_equal(n->prev, prev);
        assert_ptr_equal(n->child, lane);
        assert_true(prev == lane || heap_before(prev, n));
    }
    assert_ptr_equal(lane->prev, prev);
    return count;
}

static void compare(const struct deadlines *d, int n)
{
    struct item *first = least();

    assert_true(deadlines_next(d) == (first ? first->node.key : INT64_MAX));
    assert_ptr_equal(deadlines_first(d, INT64_MAX),
                     first ? &first->node : NULL);
    if (first) {
        assert_ptr_equal(deadlines_first(d, first->node.key), &first->node);
        assert_null(deadlines_first(d, first->node.key - 1));
    }
    for (unsigned i = 0; i < LANES; i++)
        n -= check_lane(&d->lanes[i]);
    assert_int_equal(d->heap.root ? count_heap(d->heap.root) : 0, n);
}

/* Time-outs of more lengths than there are lanes, ties, and some at random. */
static int64_t some_time(int64_t now)
{
    static const int64_t lengths[] = {0,         5 * MS,     50 * MS,
                                      1000 * MS, 10000 * MS, 3600000 * MS};

    if (dice(10) == 0)
        return now + (int64_t)dice(1000) * MS;
    if (dice(100) == 0)
        return INT64_MAX;
    return now + lengths[dice(sizeof lengths / sizeof lengths[0])];
}

static void does_as_its_model(void **state)
{
    static struct deadlines d;
    int64_t now = 0;
    long born = 0;
    int n = 0;

    (void)state;
    deadlines_init(&d);
    for (int i = 0; i < STEPS; i++) {
        struct item *x = &items[dice(NODES)];

        now += dice(4) == 0 ? (int64_t)dice(3) * MS : 0;
        if (x->inside) { /* anywhere in it */
            deadlines_remove(&d, &x->node);
            x->inside = false;
            n--;
        } else {
            deadlines_add(&d, &x->node, some_time(now));
            x->inside = true;
            x->born = born++;
            n++;
        }
        if (dice(4) == 0 && n > 0) {
            x = least();
            assert_ptr_equal(deadlines_first(&d, INT64_MAX), &x->node);
            deadlines_remove(&d, &x->node);
            x->inside = false;
            n--;
        }
        if (i % 32 == 0)
            compare(&d, n);
    }
    while (n-- > 0) {
        struct item *x = least();

        assert_ptr_equal(deadlines_first(&d, INT64_MAX), &x->node);
        deadlines_remove(&d, &x->node);
        x->inside = false;
    }
    compare(&d, 0);
}

/* The heap would have to pair a million siblings for the first to go. */
static void streams_stay_out_of_the_heap(void **state)
{
    static struct deadlines d;
    size_t n = 1000000;
    struct heap_node *nodes = calloc(n, sizeof *nodes);

    (void)state;
    assert_non_null(nodes);
    deadlines_init(&d);
    for (size_t i = 0; i < n; i++)
        deadlines_add(&d, &nodes[i],
                      (int64_t)i * 1000 + (i % 3 + 1) * 10000 * MS);
    assert_null(d.heap.root);
    for (size_t i = 0; i < n; i += 2) /* in the order of their ends, or not */
        deadlines_remove(&d, &nodes[i]);
    for (size_t k = 0; k < 3; k++)
        for (size_t i = k; i < n; i += 3)
            if (i % 2) {
                assert_ptr_equal(deadlines_first(&d, INT64_MAX), &nodes[i]);
                deadlines_remove(&d, &nodes[i]);
            }
    assert_true(deadlines_next(&d) == INT64_MAX);
    free(nodes);
}

/* One far away is in the way of a lane only until a stream needs it. */
static void strangers_give_up_their_lanes(void **state)
{
    static struct deadlines d;
    static struct heap_node far[2 * LANES], stream[1000];

    (void)state;
    deadlines_init(&d);
    for (unsigned i = 0; i < 2 * LANES; i++)
        deadlines_add(&d, &far[i], (int64_t)(2 * LANES - i) * 1000 * MS);
    for (unsigned i = 0; i < 1000; i++)
        deadlines_add(&d, &stream[i], (int64_t)i);
    for (unsigned i = 0; i < 1000; i++)
        assert_ptr_equal(stream[i].child, stream[0].child);
    for (unsigned i = 0; i < 1000; i++) {
        assert_ptr_equal(deadlines_first(&d, INT64_MAX), &stream[i]);
        deadlines_remove(&d, &stream[i]);
    }
    for (unsigned i = 2 * LANES; i-- > 0;) {
        assert_ptr_equal(deadlines_first(&d, INT64_MAX), &far[i]);
        deadlines_remove(&d, &far[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(does_as_its_model),
        cmocka_unit_test(streams_stay_out_of_the_heap),
        cmocka_unit_test(strangers_give_up_their_lanes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
