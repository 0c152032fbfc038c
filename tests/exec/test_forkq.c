/* SPDX-License-Identifier: MIT */
/* The ring of forked children: order, bounds, and every child exactly once
 * under an owner that pushes and pops and several thieves. The ring is small,
 * so that its edges are hit all the time. */
#define FORKQ_SIZE 4
#include "exec/forkq.h"

#include "core/unit.h"

struct weft_forked_ {
    _Atomic int taken;
    long value;
};

static void newest_to_the_owner_oldest_to_thieves(void **state)
{
    static struct forkq q;
    static struct weft_forked_ f[FORKQ_SIZE];
    struct weft_forked_ *got;

    (void)state;
    assert_true(forkq_looks_empty(&q));
    assert_null(forkq_pop(&q));
    assert_int_equal(forkq_steal(&q, &got), FORKQ_EMPTY);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < FORKQ_SIZE; i++) {
            assert_int_equal(forkq_room(&q), FORKQ_SIZE - i);
            forkq_push(&q, &f[i]);
        }
        assert_int_equal(forkq_room(&q), 0);
        assert_ptr_equal(forkq_pop(&q), &f[FORKQ_SIZE - 1]);
        assert_int_equal(forkq_steal(&q, &got), FORKQ_GOT);
        assert_ptr_equal(got, &f[0]);
        for (int i = FORKQ_SIZE - 2; i > 0; i--)
            assert_ptr_equal(forkq_pop(&q), &f[i]);
        assert_null(forkq_pop(&q));
        assert_true(forkq_looks_empty(&q));
    }
}

#define THIEVES 3
#define CHILDREN 300000

static struct {
    struct forkq q;
    struct weft_forked_ *children;
    _Atomic bool over;
    _Atomic long stolen, sum;
} yard;

static void take(struct weft_forked_ *f)
{
    add_relaxed(&f->taken, 1);
    add_relaxed(&yard.sum, f->value);
}

static void *thief(void *arg)
{
    (void)arg;
    while (!load_acquire(&yard.over)) {
        struct weft_forked_ *f;

        if (forkq_steal(&yard.q, &f) == FORKQ_GOT) {
            take(f);
            add_relaxed(&yard.stolen, 1);
        }
    }
    return NULL;
}

static void every_child_once(void **state)
{
    pthread_t threads[THIEVES];
    long n = ROUNDS(CHILDREN), next = 0, sum = 0;
    unsigned seed = 7;
    struct weft_forked_ *f;

    (void)state;
    yard.children = calloc((size_t)n, sizeof *yard.children);
    assert_non_null(yard.children);
    for (int i = 0; i < THIEVES; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thief, NULL), 0);
    while (next < n) {
        seed = seed * 1664525u + 1013904223u;
        for (unsigned k = (seed >> 16) % 6; k && next < n; k--)
            if (forkq_room(&yard.q) > 0) {
                f = &yard.children[next];
                f->value = ++next; /* what the push must carry over */
                forkq_push(&yard.q, f);
            }
        for (unsigned k = (seed >> 24) % 4; k; k--)
            if ((f = forkq_pop(&yard.q)))
                take(f);
    }
    while ((f = forkq_pop(&yard.q)))
        take(f);
    store_release(&yard.over, true);
    for (int i = 0; i < THIEVES; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (long i = 0; i < n; i++) {
        assert_int_equal(yard.children[i].taken, 1);
        sum += i + 1;
    }
    assert_int_equal(yard.sum, sum);
    free(yard.children);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_to_the_owner_oldest_to_thieves),
        cmocka_unit_test(every_child_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
