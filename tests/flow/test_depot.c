/* SPDX-License-Identifier: MIT */
/* The depot: resources are conserved, whatever happens to takers. */
#include "support/cases.h"

struct thing {
    int id;
    atomic_int users;
    bool bad;
};

struct store {
    weft_depot *d;
    atomic_int opened, closed, now, most;
    atomic_int failures; /* of the next opens */
    atomic_int may_open; /* those that fail wait for it */
    bool quick;          /* closing and checking do not wait */
    struct thing things[4096];
};

static int opens(void **out, void *arg)
{
    struct store *s = arg;
    int now, most, id;

    if (atomic_load(&s->failures) > 0) {
        atomic_fetch_sub(&s->failures, 1);
        t_wait_for(&s->may_open, 1);
        return -EMFILE;
    }
    now = atomic_fetch_add(&s->now, 1) + 1;
    most = atomic_load(&s->most);
    while (now > most && !atomic_compare_exchange_weak(&s->most, &most, now))
        ;
    id = atomic_fetch_add(&s->opened, 1) + 1;
    s->things[id].id = id;
    *out = &s->things[id];
    return 0;
}

static void closes(void *resource, void *arg)
{
    struct store *s = arg;
    struct thing *x = resource;

    t_equal(atomic_load(&x->users), 0);
    if (!s->quick)
        t_equal(weft_sleep(0), 0); /* also in a cancelled task */
    atomic_fetch_add(&s->closed, 1);
    atomic_fetch_sub(&s->now, 1);
}

static int checks(void *resource, void *arg)
{
    if (!((struct store *)arg)->quick)
        t_equal(weft_sleep(0), 0);
    return ((struct thing *)resource)->bad ? -EIO : 0;
}

static struct store *store(unsigned max, unsigned max_idle, int64_t idle_time)
{
    static struct store s;
    struct weft_depot_options o = {.open = opens, .close = closes,
                                   .check = checks, .arg = &s, .max = max,
                                   .max_idle = max_idle,
                                   .idle_time = idle_time};

    memset(&s, 0, sizeof s);
    assert_int_equal(weft_depot_open(&s.d, &o), 0);
    return &s;
}

/* ---- one task ------------------------------------------------------------ */

static int take_id(struct store *s, struct thing **x)
{
    int rc = weft_depot_take(s->d, (void **)x);

    return rc < 0 ? rc : (*x)->id;
}

static long last_used_first(void *arg)
{
    struct store *s = arg;
    struct thing *a, *b, *c;

    t_equal(take_id(s, &a), 1);
    t_equal(take_id(s, &b), 2);
    weft_depot_give(s->d, b);
    weft_depot_give(s->d, a);
    t_equal(take_id(s, &c), 1);
    weft_depot_give(s->d, c);
    weft_depot_close(s->d);
    t_equal(s->closed, 2);
    return 0;
}

static void the_idle_one_used_last_is_lent_first(void **state)
{
    t_run(t_workers(state), last_used_first, store(2, 0, 0));
}

static long breaks(void *arg)
{
    struct store *s = arg;
    struct thing *a;

    t_equal(take_id(s, &a), 1);
    a->bad = true;
    weft_depot_give(s->d, a);
    t_equal(s->closed, 1);
    t_equal(take_id(s, &a), 2);
    weft_depot_drop(s->d, a);
    t_equal(s->closed, 2);
    t_equal(take_id(s, &a), 3);
    weft_depot_give(s->d, a);
    weft_depot_close(s->d);
    t_equal(s->closed, 3);
    return 0;
}

static void broken_and_dropped_ones_are_closed(void **state)
{
    t_run(t_workers(state), breaks, store(1, 0, 0));
}

static long ages(void *arg)
{
    struct store *s = arg;
    struct thing *x[3];

    for (int i = 0; i < 3; i++)
        t_equal(take_id(s, &x[i]), i + 1);
    for (int i = 0; i < 3; i++)
        weft_depot_give(s->d, x[i]);
    t_equal(s->closed, 0);
    t_equal(weft_sleep(60 * WEFT_MS), 0);
    t_equal(take_id(s, &x[0]), 4);
    t_equal(s->closed, 3);
    weft_depot_give(s->d, x[0]);
    weft_depot_close(s->d);
    t_equal(s->closed, 4);
    return 0;
}

static void those_idle_for_too_long_are_closed_when_looked_at(void **state)
{
    t_run(t_workers(state), ages, store(3, 0, 40 * WEFT_MS));
}

static long keeps_two(void *arg)
{
    struct store *s = arg;
    struct thing *x[4];

    for (int i = 0; i < 4; i++)
        t_equal(take_id(s, &x[i]), i + 1);
    for (int i = 0; i < 4; i++)
        weft_depot_give(s->d, x[i]);
    t_equal(s->closed, 2);
    weft_depot_close(s->d);
    t_equal(s->closed, 4);
    return 0;
}

static void no_more_than_max_idle_stay_open(void **state)
{
    t_run(t_workers(state), keeps_two, store(4, 2, 0));
}

static int leaves_early(struct store *s)
{
    weft_with_depot(s->d, struct thing, x) {
        t_equal(x->id, 1);
        return 7;
    }
    return 0;
}

static long blocks(void *arg)
{
    struct store *s = arg;
    int runs = 0;

    t_equal(leaves_early(s), 7);
    weft_with_depot(s->d, struct thing, x)
        runs += x->id;
    t_equal(runs, 1);
    weft_with_timeout(WEFT_MS) {
        t_equal(weft_sleep(WEFT_SEC), -ETIMEDOUT);
        weft_with_depot(s->d, struct thing, x)
            runs += x->id;
    }
    t_equal(runs, 1);
    weft_depot_close(s->d);
    return 0;
}

static void a_block_gives_back_however_it_is_left(void **state)
{
    t_run(t_workers(state), blocks, store(1, 0, 0));
}

static void nonsense_is_refused(void **state)
{
    struct weft_depot_options o = {.open = opens};
    weft_depot *d;

    (void)state;
    assert_int_equal(weft_depot_open(&d, NULL), -EINVAL);
    assert_int_equal(weft_depot_open(&d, &o), -EINVAL);
}

/* ---- several ------------------------------------------------------------- */

struct taker {
    struct store *s;
    atomic_int rc, id;
    atomic_int *turn;
    int place;
    int64_t holds;
};

static long takes(void *arg)
{
    struct taker *t = arg;
    struct thing *x;
    int rc = weft_depot_take(t->s->d, (void **)&x);

    atomic_store(&t->rc, rc);
    if (rc < 0)
        return 0;
    atomic_store(&t->id, x->id);
    t_equal(atomic_fetch_add(&x->users, 1), 0);
    if (t->turn)
        t->place = atomic_fetch_add(t->turn, 1);
    if (t->holds)
        (void)weft_sleep(t->holds);
    t_equal(atomic_fetch_sub(&x->users, 1), 1);
    weft_depot_give(t->s->d, x);
    return 0;
}

static long in_a_row(void *arg)
{
    struct store *s = arg;
    struct taker t[6];
    atomic_int turn = 0;
    struct thing *mine;
    weft_group g;

    t_equal(take_id(s, &mine), 1);
    weft_with_group(&g) {
        for (int i = 0; i < 6; i++) {
            t[i] = (struct taker){.s = s, .turn = &turn};
            t_equal(weft_spawn(&g, takes, &t[i]), 0);
            t_check(t_wait_waiting("depot", i + 1));
        }
        weft_depot_give(s->d, mine);
    }
    for (int i = 0; i < 6; i++)
        t_equal(t[i].place, i);
    t_equal(s->opened, 1);
    weft_depot_close(s->d);
    return 0;
}

static void takers_are_served_in_order_of_arrival(void **state)
{
    t_run(t_workers(state), in_a_row, store(1, 0, 0));
}

static long takes_often(void *arg)
{
    struct taker *t = arg;

    for (long i = 0, n = t_scale(200); i < n; i++) {
        t->holds = i % 3 ? 0 : 1000;
        takes(t);
        t_equal(t->rc, 0);
    }
    return 0;
}

static long crowd(void *arg)
{
    struct store *s = arg;
    struct taker t[32];
    weft_group g;

    weft_with_group(&g)
        for (int i = 0; i < 32; i++) {
            t[i] = (struct taker){.s = s};
            t_equal(weft_spawn(&g, takes_often, &t[i]), 0);
        }
    t_check(s->most <= 4);
    t_equal(s->now, s->opened - s->closed);
    weft_depot_close(s->d);
    t_equal(s->opened, s->closed);
    return 0;
}

static void never_more_than_max_are_open(void **state)
{
    t_run(t_workers(state), crowd, store(4, 2, 0));
}

static long fails_first(void *arg)
{
    struct store *s = arg;
    struct taker a = {.s = s}, b = {.s = s};
    weft_group g;

    atomic_store(&s->failures, 1);
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, takes, &a), 0);
        t_check(t_wait_waiting("sleep", 1));
        t_equal(weft_spawn(&g, takes, &b), 0);
        t_check(t_wait_waiting("depot", 1));
        atomic_store(&s->may_open, 1);
    }
    t_equal(a.rc, -EMFILE);
    t_equal(b.rc, 0);
    t_equal(b.id, 1);
    weft_depot_close(s->d);
    t_equal(s->closed, 1);
    return 0;
}

static void an_open_that_fails_leaves_the_slot_to_the_next(void **state)
{
    t_run(t_workers(state), fails_first, store(1, 0, 0));
}

struct closer {
    struct store *s;
    atomic_int closed;
};

static long closes_it(void *arg)
{
    struct closer *c = arg;

    weft_depot_close(c->s->d);
    atomic_store(&c->closed, 1);
    return 0;
}

static long close_waits(void *arg)
{
    struct store *s = arg;
    struct taker late = {.s = s};
    struct closer c = {s, 0};
    struct thing *mine;
    weft_task *t;
    weft_group g;
    void *x;

    t_equal(take_id(s, &mine), 1);
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, takes, &late), 0);
        t_check(t_wait_waiting("depot", 1));
        t_equal(weft_spawn_task(&g, closes_it, &c, &t), 0);
        t_check(t_wait_waiting("depot close", 1));
        t_equal(weft_task_cancel(t), 0); /* no effect */
        t_equal(weft_depot_take(s->d, &x), -ESHUTDOWN);
        t_equal(weft_sleep(10 * WEFT_MS), 0);
        t_equal(c.closed, 0);
        weft_depot_give(s->d, mine);
        t_check(t_wait_for(&c.closed, 1));
    }
    t_equal(late.rc, -ESHUTDOWN);
    t_equal(s->closed, 1);
    return 0;
}

static void close_waits_for_all_lent_and_refuses_takers(void **state)
{
    t_run(t_workers(state), close_waits, store(1, 0, 0));
}

/* ---- races of cancel and hand-over --------------------------------------- */

static long cancels(void *arg)
{
    return weft_task_cancel(arg);
}

/* The only resource or slot is handed over while its first taker is being
 * cancelled: the second gets it in any case. */
static long round_of(struct store *s, bool slot, int delay)
{
    struct taker a = {.s = s}, b = {.s = s};
    struct thing *mine;
    weft_task *ta;
    weft_group g;

    t_check(take_id(s, &mine) > 0);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, takes, &a, &ta), 0);
        t_check(t_wait_waiting("depot", 1));
        t_equal(weft_spawn(&g, takes, &b), 0);
        t_check(t_wait_waiting("depot", 2));
        if (delay) {
            t_equal(weft_spawn(&g, cancels, ta), 0);
            t_spin(delay);
        } else { /* it is cancelled, and has not yet left the row */
            t_equal(weft_task_cancel(ta), 0);
        }
        if (slot)
            weft_depot_drop(s->d, mine);
        else
            weft_depot_give(s->d, mine);
    }
    t_check(a.rc == 0 || a.rc == -ECANCELED);
    return t_equal(b.rc, 0);
}

static long races(void *arg)
{
    struct store *s = arg;

    s->quick = true;
    for (int i = 0, n = (int)t_scale(300); i < n; i++)
        if (!round_of(s, i % 2, i % 4 < 2 ? 0 : i * 37 % 20000))
            break;
    t_equal(s->most, 1);
    weft_depot_close(s->d);
    t_equal(s->opened, s->closed);
    return 0;
}

static void a_cancelled_taker_swallows_neither_resource_nor_slot(void **state)
{
    t_run(t_workers(state), races, store(1, 0, 0));
}

static long impatient(void *arg)
{
    struct taker *t = arg;

    for (long i = 0, n = t_scale(300); i < n; i++)
        weft_with_timeout((i * 7919 + t->place * 104729) % 150000 + 1) {
            t->holds = i % 2 ? 20000 : 0;
            takes(t);
            t_check(t->rc == 0 || t->rc == -ETIMEDOUT);
        }
    return 0;
}

static long hurry(void *arg)
{
    struct store *s = arg;
    struct taker t[12];
    struct thing *x[3];
    weft_group g;

    weft_with_group(&g)
        for (int i = 0; i < 12; i++) {
            t[i] = (struct taker){.s = s, .place = i};
            t_equal(weft_spawn(&g, impatient, &t[i]), 0);
        }
    t_check(s->most <= 3);
    weft_with_timeout(5 * WEFT_SEC)
        for (int i = 0; i < 3; i++)
            t_check(take_id(s, &x[i]) > 0);
    for (int i = 0; i < 3; i++)
        weft_depot_give(s->d, x[i]);
    weft_depot_close(s->d);
    t_equal(s->opened, s->closed);
    return 0;
}

static void timeouts_lose_no_resource(void **state)
{
    t_run(t_workers(state), hurry, store(3, 1, 100000));
}

static const struct CMUnitTest tests[] = {
    T_EACH(the_idle_one_used_last_is_lent_first),
    T_EACH(broken_and_dropped_ones_are_closed),
    T_EACH(those_idle_for_too_long_are_closed_when_looked_at),
    T_EACH(no_more_than_max_idle_stay_open),
    T_EACH(a_block_gives_back_however_it_is_left),
    cmocka_unit_test(nonsense_is_refused),
    T_EACH(takers_are_served_in_order_of_arrival),
    T_EACH(never_more_than_max_are_open),
    T_EACH(an_open_that_fails_leaves_the_slot_to_the_next),
    T_EACH(close_waits_for_all_lent_and_refuses_takers),
    T_EACH(a_cancelled_taker_swallows_neither_resource_nor_slot),
    T_EACH(timeouts_lose_no_resource),
};

T_MAIN(tests)
