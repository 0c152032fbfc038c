/* SPDX-License-Identifier: MIT */
/* Edges of tasks, groups and scopes that went wrong once. What may take the
 * process down with it runs in a child process. */
#include "support/cases.h"

#define ROUNDS 20000

static long fails(void *arg)
{
    return weft_fail(-EIO, "number %ld", (long)arg);
}

static long nothing(void *arg)
{
    return (long)arg;
}

static long sleep_long(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_SEC);
}

static void ignore(const struct weft_error *e, void *arg)
{
    (void)e;
    if (arg)
        atomic_fetch_add((atomic_int *)arg, 1);
}

static struct weft_options deaf(unsigned n, atomic_int *reported)
{
    struct weft_options o = t_options(n);

    o.on_unhandled = ignore;
    o.unhandled_arg = reported;
    return o;
}

/* fn in a process of its own, which has 3 s. */
static int run_apart(void *arg)
{
    struct weft_options o = deaf(1, NULL);
    weft_fn *fn;

    memcpy(&fn, arg, sizeof fn);
    alarm(3);
    return (int)weft_run_with(&o, fn, NULL);
}

static void survives(weft_fn *fn)
{
    struct t_child c;

    t_fork(&c, run_apart, &fn);
    if (c.status != 0)
        print_error("%s", c.output);
    assert_int_equal(c.status, 0);
}

/* ---- waiting for several ------------------------------------------------- */

static long burn(void *arg)
{
    for (volatile long n = (long)arg; n > 0;)
        n = n - 1;
    return 0;
}

static long wait_error_main(void *arg)
{
    long rounds = t_scale(ROUNDS);

    (void)arg;
    for (long i = 0; i < rounds; i++) {
        weft_task *t[9];
        weft_group g;

        weft_group_enter(&g);
        weft_group_collect(&g);
        for (long k = 0; k < 8; k++)
            t_equal(weft_spawn_task(&g, burn, (void *)(i * 37 % 601), &t[k]),
                    0);
        t_equal(weft_spawn_task(&g, fails, NULL, &t[8]), 0);
        t_equal(weft_wait_error(t, 9), 8);
        (void)weft_task_error(t[8]);
        weft_group_leave(&g);
    }
    return 0;
}

static void wait_error_does_not_name_one_that_ends_well(void **state)
{
    t_run(t_workers(state), wait_error_main, NULL);
}

static long gather_main(void *arg)
{
    weft_group g;
    weft_task *t;

    (void)arg;
    weft_with_group(&g) {
        weft_group_collect(&g);
        t_equal(weft_spawn_task(&g, sleep_long, NULL, &t), 0);
        weft_yield();
        {
            struct weft_call c[] = {{.task = t}, {.fn = fails}};

            t_equal(weft_gather(c, 2), -EIO);
            t_equal(weft_task_result(t), -ECANCELED);
            t_equal(c[0].ret, -ECANCELED);
        }
    }
    return 0;
}

static void gather_cancels_and_awaits_tasks_it_was_given(void **state)
{
    t_run(t_workers(state), gather_main, NULL);
}

static long race_main(void *arg)
{
    weft_group g;
    weft_task *t;

    (void)arg;
    weft_with_group(&g) {
        weft_group_collect(&g);
        t_equal(weft_spawn_task(&g, sleep_long, NULL, &t), 0);
        weft_yield();
        {
            struct weft_call c[] = {{.fn = nothing, .arg = (void *)7L},
                                    {.task = t}};
            size_t winner;

            t_equal(weft_race(c, 2, &winner), 7);
            t_equal(winner, 0);
            t_equal(weft_task_result(t), -ECANCELED);
        }
    }
    return 0;
}

static void race_cancels_and_awaits_tasks_it_was_given(void **state)
{
    t_run(t_workers(state), race_main, NULL);
}

/* ---- groups -------------------------------------------------------------- */

static long many_failed_main(void *arg)
{
    static weft_group g[12];

    (void)arg;
    for (long i = 0; i < 12; i++) {
        weft_group_enter(&g[i]);
        t_equal(weft_spawn(&g[i], fails, (void *)i), 0);
        t_equal(weft_group_leave(&g[i]), -EIO);
    }
    t_equal(weft_group_wait(&g[0]), -EIO);
    t_check(!weft_group_message(&g[0]) ||
            strcmp(weft_group_message(&g[0]), "number 0") == 0);
    return 0;
}

static void an_old_group_has_its_own_message(void **state)
{
    t_run_with(deaf(t_workers(state), NULL), many_failed_main, NULL);
}

static weft_group *outer;
static atomic_int late;

static long late_child(void *arg)
{
    (void)arg;
    weft_sleep(20 * WEFT_MS);
    atomic_fetch_add(&late, 1);
    return 0;
}

static long spawn_late(void *arg)
{
    int rc = weft_spawn(outer, late_child, NULL);

    (void)arg;
    if (rc == -ECANCELED)
        atomic_fetch_add(&late, 1); /* refused is as good */
    return 0;
}

static long late_spawn_main(void *arg)
{
    weft_group g;
    int before;

    (void)arg;
    outer = &g;
    weft_group_enter(&g);
    if (weft_defer(spawn_late, NULL) < 0)
        return 2;
    weft_group_leave(&g);
    before = atomic_load(&late);
    memset(&g, 0xee, sizeof g);
    weft_sleep(50 * WEFT_MS);
    return before == 1 ? 0 : 1;
}

static void a_child_of_a_group_s_defer_is_joined_or_refused(void **state)
{
    (void)state;
    survives(late_spawn_main);
}

static long collect_main(void *arg)
{
    weft_group g;
    weft_task *t;

    (void)arg;
    weft_with_group(&g) {
        weft_group_collect(&g);
        t_equal(weft_spawn_task(&g, fails, NULL, &t), 0);
        t_equal(weft_group_next(&g, &t), 1);
        t_equal(weft_task_result(t), -EIO);
    }
    return 0;
}

static void who_was_told_by_group_next_has_the_error(void **state)
{
    atomic_int reported = 0;

    t_run_with(deaf(t_workers(state), &reported), collect_main, NULL);
    assert_int_equal(atomic_load(&reported), 0);
}

/* ---- records, callbacks ---------------------------------------------------- */

static long cancel_myself(void *arg)
{
    (void)arg;
    weft_task_cancel_with(weft_self(), "stale");
    return 0;
}

static long tell_reason(void *arg)
{
    (void)arg;
    t_equal(weft_sleep(WEFT_SEC), -ECANCELED);
    t_check(strcmp(weft_cancel_reason(), "cancelled") == 0);
    return 0;
}

static long reason_main(void *arg)
{
    weft_group g;
    weft_task *t;

    (void)arg;
    weft_with_group(&g) {
        for (int i = 0; i < 100; i++)
            t_equal(weft_spawn(&g, cancel_myself, NULL), 0);
        t_equal(weft_group_wait(&g), 0);
        for (int i = 0; i < 100; i++) {
            t_equal(weft_spawn_task(&g, tell_reason, NULL, &t), 0);
            weft_yield();
            weft_task_cancel(t);
        }
    }
    return 0;
}

static void a_reason_ends_with_its_task(void **state)
{
    t_run(t_workers(state), reason_main, NULL);
}

static atomic_int fired;

static long fire(void *arg)
{
    (void)arg;
    atomic_fetch_add(&fired, 1);
    return 0;
}

static long watch_myself(void *arg)
{
    return weft_task_on_done(weft_self(), arg, fire, NULL);
}

static long own_end_main(void *arg)
{
    weft_callback *cb = calloc(1, sizeof *cb);
    weft_group g;
    weft_task *t;

    (void)arg;
    weft_group_enter(&g);
    if (weft_spawn(&g, watch_myself, cb) < 0 || weft_group_wait(&g) != 0)
        return 2;
    weft_sleep(20 * WEFT_MS);
    if (atomic_load(&fired) != 1)
        return 1;
    memset(cb, 0xee, sizeof *cb);
    free(cb);
    if (weft_spawn_task(&g, nothing, NULL, &t) < 0 || weft_wait_any(&t, 1) != 0)
        return 3;
    return weft_group_leave(&g);
}

static void a_task_without_handle_can_watch_its_own_end(void **state)
{
    (void)state;
    survives(own_end_main);
}

/* For the sanitizers: nobody touches a callback that was taken back. */
static long off_done_main(void *arg)
{
    long rounds = t_scale(ROUNDS);

    (void)arg;
    for (long i = 0; i < rounds; i++) {
        weft_callback *cb = calloc(1, sizeof *cb);
        weft_group g;
        weft_task *t;

        weft_group_enter(&g);
        t_equal(weft_spawn_task(&g, burn, (void *)(i * 31 % 401), &t), 0);
        t_equal(weft_task_on_done(t, cb, nothing, NULL), 0);
        burn((void *)(i * 17 % 301));
        (void)weft_task_off_done(t, cb);
        memset(cb, 0, sizeof *cb);
        free(cb);
        weft_group_leave(&g);
    }
    return 0;
}

static void a_callback_taken_back_is_left_alone(void **state)
{
    t_run(t_workers(state), off_done_main, NULL);
}

/* ---- scopes ---------------------------------------------------------------- */

static long shield_main(void *arg)
{
    weft_scope s;
    int rc;

    (void)arg;
    memset(&s, 0xff, sizeof s);
    weft_shield_enter(&s);
    rc = weft_scope_cancel(&s, NULL);
    weft_scope_leave(&s);
    return rc == -EINVAL ? 0 : 1;
}

static void a_shield_on_a_dirty_stack_refuses_to_be_cancelled(void **state)
{
    (void)state;
    survives(shield_main);
}

static char order[8];

static long note(void *arg)
{
    order[strlen(order)] = (char)(long)arg;
    return 0;
}

static long note_and_defer(void *arg)
{
    note(arg);
    t_equal(weft_defer(note, (void *)(long)'C'), 0);
    return 0;
}

static long defers_main(void *arg)
{
    (void)arg;
    weft_with_shield() {
        t_equal(weft_defer(note, (void *)(long)'A'), 0);
        t_equal(weft_defer(note_and_defer, (void *)(long)'B'), 0);
    }
    t_check(strcmp(order, "BCA") == 0);
    return 0;
}

static void a_defer_of_a_defer_is_the_next(void **state)
{
    memset(order, 0, sizeof order);
    t_run(t_workers(state), defers_main, NULL);
}

static long dump_main(void *arg)
{
    (void)arg;
    t_equal(weft_tasks_dump(NULL, 100000), -EBADF);
    return 0;
}

static void a_dump_tells_the_error_of_writing(void **state)
{
    t_run(t_workers(state), dump_main, NULL);
}

static const struct CMUnitTest tests[] = {
    T_EACH(wait_error_does_not_name_one_that_ends_well),
    T_EACH(gather_cancels_and_awaits_tasks_it_was_given),
    T_EACH(race_cancels_and_awaits_tasks_it_was_given),
    T_EACH(an_old_group_has_its_own_message),
    cmocka_unit_test(a_child_of_a_group_s_defer_is_joined_or_refused),
    T_EACH(who_was_told_by_group_next_has_the_error),
    T_EACH(a_reason_ends_with_its_task),
    cmocka_unit_test(a_task_without_handle_can_watch_its_own_end),
    T_EACH(a_callback_taken_back_is_left_alone),
    cmocka_unit_test(a_shield_on_a_dirty_stack_refuses_to_be_cancelled),
    T_EACH(a_defer_of_a_defer_is_the_next),
    T_EACH(a_dump_tells_the_error_of_writing),
};

T_MAIN(tests)
