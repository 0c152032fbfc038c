/* SPDX-License-Identifier: MIT */
/* The timers of a worker: order, ties, disarming, retrying, and a thief that
 * fires while the owner arms and disarms. */
#include "core/timer.h"

#include "core/unit.h"

struct probe {
    struct timer timer;
    int64_t when;
    unsigned index;
    unsigned fired;
};

static unsigned order[1000], n_fired;

static int64_t note(struct timer *t, struct worker *w, struct chain *c)
{
    struct probe *p = container_of(t, struct probe, timer);

    (void)w, (void)c;
    p->fired++;
    order[n_fired++] = p->index;
    return 0;
}

static void fire_in_order_and_never_early(void **state)
{
    static struct probe p[1000];
    static struct timers ts;
    struct chain c = {0, 0, 0};
    unsigned seed = 7, n = 0;

    (void)state;
    w_timers_open(&ts);
    n_fired = 0;
    for (unsigned i = 0; i < 1000; i++) {
        p[i].index = i;
        p[i].when = 100 + rand_r(&seed) % 50; /* many ties */
        w_timer_arm(&ts, &p[i].timer, p[i].when, note);
    }
    for (unsigned i = 0; i < 1000; i += 3)
        assert_true(w_timer_disarm(&p[i].timer));
    assert_false(w_timer_disarm(&p[0].timer));
    assert_int_equal(w_timers_expire(&ts, NULL, 99, 1000, &c), 0);
    for (int64_t now = 100; now < 151; now += 10)
        n += w_timers_expire(&ts, NULL, now, 1000, &c);
    assert_int_equal(n, 1000 - 334);
    assert_int_equal(n_fired, n);
    for (unsigned i = 1; i < n; i++) {
        struct probe *a = &p[order[i - 1]], *b = &p[order[i]];

        assert_true(a->when < b->when ||
                    (a->when == b->when && a->index < b->index));
    }
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(p[i].fired, i % 3 != 0);
    assert_true(timers_first(&ts) == INT64_MAX);
}

static int64_t once_more(struct timer *t, struct worker *w, struct chain *c)
{
    struct probe *p = container_of(t, struct probe, timer);

    (void)w, (void)c;
    return p->fired++ ? 0 : 500;
}

static void may_ask_to_be_tried_again(void **state)
{
    static struct probe p;
    static struct timers ts;
    struct chain c = {0, 0, 0};

    (void)state;
    w_timers_open(&ts);
    w_timer_arm(&ts, &p.timer, 10, once_more);
    assert_int_equal(w_timers_expire(&ts, NULL, 10, 9, &c), 0);
    assert_true(timers_first(&ts) == 500);
    assert_true(timer_armed(&p.timer));
    assert_int_equal(w_timers_expire(&ts, NULL, 500, 9, &c), 1);
    assert_false(timer_armed(&p.timer));
    assert_int_equal(p.fired, 2);
}

/* ---- a thief ----------------------------------------------------------- */

static struct timers shared;
static _Atomic uint32_t over, fired;

static int64_t count(struct timer *t, struct worker *w, struct chain *c)
{
    struct probe *p = container_of(t, struct probe, timer);

    (void)w, (void)c;
    p->fired++; /* under the lock, as every touch of a probe by a thief */
    add_relaxed(&fired, 1);
    return 0;
}

static void *thief(void *arg)
{
    struct chain c = {0, 0, 0};

    (void)arg;
    while (!load_acquire(&over))
        (void)w_timers_expire(&shared, NULL, 1000, 3, &c);
    return NULL;
}

/* The probe stands in a frame that is left as soon as disarming returns. */
static unsigned arm_and_leave(unsigned i)
{
    struct probe p = {.index = i};

    w_timer_arm(&shared, &p.timer, (int64_t)(i % 3), count);
    for (unsigned k = 0; k < i % 200; k++)
        cpu_pause();
    return w_timer_disarm(&p.timer) ? 0 : p.fired;
}

static void disarmed_is_disarmed(void **state)
{
    pthread_t t;
    unsigned mine = 0;

    (void)state;
    w_timers_open(&shared);
    assert_int_equal(pthread_create(&t, NULL, thief, NULL), 0);
    for (unsigned i = 0; i < ROUNDS(200000u); i++)
        mine += arm_and_leave(i);
    store_release(&over, 1);
    pthread_join(t, NULL);
    assert_int_equal(mine, load_relaxed(&fired));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fire_in_order_and_never_early),
        cmocka_unit_test(may_ask_to_be_tried_again),
        cmocka_unit_test(disarmed_is_disarmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
