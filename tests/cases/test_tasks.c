/* SPDX-License-Identifier: MIT */
/* Tasks and their results: cases 1-6 of the behaviour list. */
#include "support/cases.h"

#include <pthread.h>

/* ---- results ------------------------------------------------------------ */

struct joiner {
    weft_task *target;
    long got;
};

static long await_it(void *arg)
{
    struct joiner *j = arg;

    j->got = weft_await(j->target);
    return 0;
}

static long wait_then_42(void *arg)
{
    t_equal(weft_event_wait(arg), 0);
    return 42;
}

static long await_self(void *arg)
{
    (void)arg;
    return weft_await(weft_self()) == -EDEADLK ? 1 : 0;
}

static long joiners(void *arg)
{
    weft_group g;
    weft_event go = {{0}};
    struct joiner early[2] = {{NULL, 0}, {NULL, 0}}, late = {NULL, 0};
    weft_task *t, *self;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, wait_then_42, &go, &t), 0);
        late.target = early[0].target = early[1].target = t;
        t_equal(weft_spawn(&g, await_it, &early[0]), 0);
        t_equal(weft_spawn(&g, await_it, &early[1]), 0);
        /* One of the joiners may run t on its own stack. */
        t_check(t_wait_waiting("event", 1));
        t_check(t_wait_waiting("task", 1));
        t_check(!weft_task_done(t));
        t_equal(weft_task_result(t), -EAGAIN);
        weft_event_set(&go);
        t_equal(weft_await(t), 42);
        t_check(weft_task_done(t));
        t_equal(weft_task_result(t), 42);
        t_equal(weft_spawn(&g, await_it, &late), 0);
        t_equal(weft_await(t), 42);
        t_equal(weft_spawn_task(&g, await_self, NULL, &self), 0);
        t_equal(weft_await(self), 1);
    }
    t_equal(weft_group_wait(&g), 0);
    t_equal(early[0].got, 42);
    t_equal(early[1].got, 42);
    t_equal(late.got, 42);
    t_equal(weft_await(weft_self()), -EDEADLK);
    return 7;
}

static void a_result_reaches_every_joiner(void **state)
{
    assert_int_equal(t_run(t_workers(state), joiners, NULL), 7);
}

/* ---- errors ------------------------------------------------------------- */

static long disk_fails(void *arg)
{
    (void)arg;
    (void)weft_yield();
    return weft_fail(-EIO, "disk %d is gone", 7);
}

static long plainly_fails(void *arg)
{
    (void)arg;
    return -ENOSPC;
}

static long await_failure(void *arg)
{
    weft_group g;
    weft_task *t;

    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, disk_fails, NULL, &t), 0);
        t_equal(weft_await(t), -EIO);
        t_equal(weft_task_result(t), -EIO);
        if (t_check(weft_task_message(t) != NULL))
            t_check(strcmp(weft_task_message(t), "disk 7 is gone") == 0);
    }
    (void)arg;
    return 0;
}

static void a_failure_reaches_its_joiner(void **state)
{
    static struct t_errors errors;
    struct weft_options o = t_options(t_workers(state));

    memset(&errors, 0, sizeof errors);
    o.on_unhandled = t_collect;
    o.unhandled_arg = &errors;
    assert_int_equal(t_run_with(o, await_failure, NULL), 0);
    assert_int_equal(errors.n, 0);
}

static long ask_group(void *arg)
{
    weft_group g;

    (void)arg;
    weft_with_group(&g)
        t_equal(weft_spawn(&g, disk_fails, NULL), 0);
    t_equal(weft_group_wait(&g), -EIO);
    if (t_check(weft_group_message(&g) != NULL))
        t_check(strcmp(weft_group_message(&g), "disk 7 is gone") == 0);
    return 0;
}

static void a_failure_that_the_group_tells_is_not_reported(void **state)
{
    static struct t_errors errors;
    struct weft_options o = t_options(t_workers(state));

    memset(&errors, 0, sizeof errors);
    o.on_unhandled = t_collect;
    o.unhandled_arg = &errors;
    assert_int_equal(t_run_with(o, ask_group, NULL), 0);
    assert_int_equal(errors.n, 0);
}

static atomic_int detached_ran;

static long disk_fails_detached(void *arg)
{
    atomic_store(&detached_ran, 1);
    return disk_fails(arg);
}

static long ignore_all(void *arg)
{
    int kind = *(int *)arg;
    weft_group g;
    weft_task *t;

    if (kind == 2) {
        t_equal(weft_spawn_detached(disk_fails_detached, NULL), 0);
        t_check(t_wait_for(&detached_ran, 1));
        return 0;
    }
    weft_with_group(&g) {
        if (kind == 0)
            t_equal(weft_spawn(&g, disk_fails, NULL), 0);
        else
            t_equal(weft_spawn_task(&g, disk_fails, NULL, &t), 0);
    }
    return 0;
}

static void check_report(const struct t_error *e, const char *task)
{
    assert_int_equal(e->code, -EIO);
    assert_string_equal(e->task, task);
    assert_non_null(strstr(e->site, "test_tasks.c:"));
    assert_string_equal(e->message, "disk 7 is gone");
}

/* A plain child, one with a handle, a detached task. */
static void an_ignored_failure_is_reported_once(void **state)
{
    static struct t_errors errors;
    struct weft_options o = t_options(t_workers(state));

    o.on_unhandled = t_collect;
    o.unhandled_arg = &errors;
    for (int kind = 0; kind < 3; kind++) {
        memset(&errors, 0, sizeof errors);
        atomic_store(&detached_ran, 0);
        assert_int_equal(t_run_with(o, ignore_all, &kind), 0);
        assert_int_equal(errors.n, 1);
        check_report(&errors.first[0],
                     kind == 2 ? "disk_fails_detached" : "disk_fails");
    }
}

static long two_fail(void *arg)
{
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        (void)!weft_spawn(&g, plainly_fails, NULL);
        (void)!weft_spawn(&g, plainly_fails, NULL);
    }
    return weft_group_wait(&g);
}

static void an_error_without_a_message_has_its_text(void **state)
{
    static struct t_errors errors;
    struct weft_options o = t_options(t_workers(state));

    memset(&errors, 0, sizeof errors);
    o.on_unhandled = t_collect;
    o.unhandled_arg = &errors;
    assert_int_equal(t_run_with(o, two_fail, NULL), -ENOSPC);
    /* The main task's result is the caller's to see; of the children's, one
     * was collected, the other, if it ran, is reported. */
    assert_in_range(errors.n, 0, 1);
    for (int i = 0; i < errors.n; i++)
        assert_string_equal(errors.first[i].message, weft_strerror(-ENOSPC));
}

/* ---- many --------------------------------------------------------------- */

struct crowd {
    weft_group g;
    atomic_int ran;
    long n;
};

static long leaf(void *arg)
{
    atomic_fetch_add(&((struct crowd *)arg)->ran, 1);
    return 0;
}

static long spawn_one_more(void *arg)
{
    struct crowd *c = arg;

    atomic_fetch_add(&c->ran, 1);
    t_equal(weft_spawn(&c->g, leaf, c), 0);
    return 0;
}

static void gather_crowd(struct crowd *c, long n)
{
    atomic_store(&c->ran, 0);
    weft_with_group(&c->g) {
        for (long i = 0; i < n; i++)
            if (!t_equal(weft_spawn(&c->g, spawn_one_more, c), 0))
                break;
    }
    t_equal(weft_group_wait(&c->g), 0);
    t_equal(atomic_load(&c->ran), 2 * n);
}

static long crowd(void *arg)
{
    struct crowd *c = arg;
    long before, after = 0;

    gather_crowd(c, 2000); /* what any use allocates */
    (void)weft_sleep(50 * WEFT_MS);
    before = t_rss_kb();
    gather_crowd(c, c->n);
    /* Idle workers give memory back: give them the time. */
    for (int i = 0; i < 100 && !T_SANITIZED; i++) {
        after = t_rss_kb();
        if (after <= before + before / 10)
            return 0;
        t_equal(weft_sleep(50 * WEFT_MS), 0);
    }
    if (!T_SANITIZED)
        t_equal(after, before);
    return 0;
}

static void many_tasks_all_run_and_give_their_memory_back(void **state)
{
    static struct crowd c;

    c.n = t_scale(100000);
    assert_int_equal(t_run(t_workers(state), crowd, &c), 0);
}

/* ---- yield -------------------------------------------------------------- */

#define TURNS 1000

struct turns {
    atomic_int begun;
    int n;
    char log[2 * TURNS];
};

struct player {
    struct turns *t;
    char who;
};

static long take_turns(void *arg)
{
    struct player *p = arg;

    atomic_fetch_add(&p->t->begun, 1);
    while (atomic_load(&p->t->begun) < 2)
        t_equal(weft_yield(), 0);
    for (int i = 0; i < TURNS; i++) {
        p->t->log[p->t->n++] = p->who;
        t_equal(weft_yield(), 0);
    }
    return 0;
}

static long two_players(void *arg)
{
    struct player p[2] = {{arg, 'a'}, {arg, 'b'}};
    weft_group g;

    weft_with_group(&g) {
        t_equal(weft_spawn(&g, take_turns, &p[0]), 0);
        t_equal(weft_spawn(&g, take_turns, &p[1]), 0);
    }
    return 0;
}

static void yield_alternates_two_tasks_on_one_worker(void **state)
{
    static struct turns t;

    (void)state;
    memset(&t, 0, sizeof t);
    assert_int_equal(t_run(1, two_players, &t), 0);
    assert_int_equal(t.n, 2 * TURNS);
    for (int i = 1; i < 2 * TURNS - 1; i++)
        if (t.log[i] == t.log[i - 1])
            fail_msg("turns %d and %d are both %c's", i - 1, i, t.log[i]);
}

struct starve {
    atomic_int over;
    int pipe[2];
    int sleeps, bytes;
    unsigned workers;
};

static long only_yields(void *arg)
{
    struct starve *s = arg;
    int64_t end = weft_now() + 20 * WEFT_SEC;

    while (!atomic_load(&s->over) && weft_now() < end)
        t_equal(weft_yield(), 0);
    return 0;
}

static long reads_pipe(void *arg)
{
    struct starve *s = arg;
    char c;

    while (s->bytes < 20) {
        if (!t_equal(weft_fd_wait(s->pipe[0], WEFT_READ), WEFT_READ))
            break;
        s->bytes += (int)read(s->pipe[0], &c, 1);
    }
    return 0;
}

static long among_yielders(void *arg)
{
    struct starve *s = arg;
    weft_group g;
    weft_task *reader;

    weft_with_group(&g) {
        for (unsigned i = 0; i < 2 * s->workers; i++)
            t_equal(weft_spawn(&g, only_yields, s), 0);
        t_equal(weft_spawn_task(&g, reads_pipe, s, &reader), 0);
        for (s->sleeps = 0; s->sleeps < 20; s->sleeps++) {
            t_equal(weft_sleep(WEFT_MS), 0);
            t_equal(write(s->pipe[1], "x", 1), 1);
        }
        t_equal(weft_await(reader), 0);
        atomic_store(&s->over, 1);
    }
    return 0;
}

static void tasks_that_only_yield_starve_neither_timers_nor_fds(void **state)
{
    struct starve s = {.workers = t_workers(state)};
    int64_t start = weft_now();

    assert_int_equal(pipe(s.pipe), 0);
    assert_int_equal(t_run(s.workers, among_yielders, &s), 0);
    close(s.pipe[0]);
    close(s.pipe[1]);
    assert_int_equal(s.sleeps, 20);
    assert_int_equal(s.bytes, 20);
    assert_true(weft_now() - start < 15 * WEFT_SEC);
}

/* ---- foreign threads ---------------------------------------------------- */

#define CALLS 200

struct foreign {
    weft_runtime *rt;
    int number;
    bool right;
};

static long square(void *arg)
{
    long n = (long)(intptr_t)arg;

    (void)weft_yield();
    return n * n;
}

static void *call_often(void *arg)
{
    struct foreign *f = arg;

    f->right = true;
    for (long i = 0; i < CALLS; i++) {
        long n = f->number * 1000 + i;

        if (weft_runtime_call(f->rt, square, (void *)(intptr_t)n) != n * n)
            f->right = false;
    }
    return NULL;
}

static long count_up(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static void calls_of_8_foreign_threads_give_the_right_results(void **state)
{
    weft_runtime *rt = t_open(t_workers(state));
    struct foreign f[8];
    pthread_t thread[8];
    atomic_int posted = 0;

    for (int i = 0; i < 8; i++) {
        f[i] = (struct foreign){.rt = rt, .number = i};
        assert_int_equal(pthread_create(&thread[i], NULL, call_often, &f[i]),
                         0);
    }
    for (int i = 0; i < 100; i++)
        assert_int_equal(weft_runtime_post(rt, count_up, &posted), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(thread[i], NULL);
        assert_true(f[i].right);
    }
    for (int i = 0; i < 10000 && atomic_load(&posted) < 100; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&posted), 100);
    weft_runtime_stop(rt);
    assert_int_equal(weft_runtime_call(rt, square, NULL), -ESHUTDOWN);
    assert_int_equal(weft_runtime_run(rt, square, NULL), -ESHUTDOWN);
    assert_int_equal(weft_runtime_post(rt, count_up, &posted), -ESHUTDOWN);
    assert_int_equal(weft_runtime_close(rt), 0);
    assert_int_equal(atomic_load(&posted), 100);
}

struct visitor {
    weft_group g;
    weft_event done;
    atomic_int ran;
    bool refused;
};

static void *spawn_from_outside(void *arg)
{
    struct visitor *v = arg;

    for (int i = 0; i < 1000; i++)
        if (weft_spawn(&v->g, count_up, &v->ran) != 0)
            v->refused = true;
    weft_event_set(&v->done);
    return NULL;
}

static long host_visitor(void *arg)
{
    struct visitor *v = arg;
    pthread_t thread;

    weft_with_group(&v->g) {
        t_equal(pthread_create(&thread, NULL, spawn_from_outside, v), 0);
        t_equal(weft_event_wait(&v->done), 0);
    }
    t_equal(weft_group_wait(&v->g), 0);
    pthread_join(thread, NULL);
    return 0;
}

static void a_foreign_thread_spawns_into_an_open_group(void **state)
{
    static struct visitor v;

    memset(&v, 0, sizeof v);
    assert_int_equal(t_run(t_workers(state), host_visitor, &v), 0);
    assert_false(v.refused);
    assert_int_equal(atomic_load(&v.ran), 1000);
}

/* ---- cancel ------------------------------------------------------------- */

struct busy {
    unsigned workers;
    atomic_int spinning, over;
    atomic_int ran;
};

static long spins(void *arg)
{
    struct busy *b = arg;
    int64_t end = weft_now() + 10 * WEFT_SEC;

    atomic_fetch_add(&b->spinning, 1);
    while (!atomic_load(&b->over) && weft_now() < end)
        ;
    return 0;
}

/* All other workers are busy: the victim cannot have started. */
static long cancel_early(void *arg)
{
    struct busy *b = arg;
    weft_group g;
    weft_task *t, *late = NULL;
    struct joiner j = {NULL, 0};

    weft_with_group(&g) {
        for (unsigned i = 1; i < b->workers; i++)
            t_equal(weft_spawn(&g, spins, b), 0);
        t_check(t_wait_for(&b->spinning, (int)b->workers - 1));
        t_equal(weft_spawn_task(&g, count_up, &b->ran, &t), 0);
        t_equal(weft_task_cancel(t), 0);
        atomic_store(&b->over, 1);
        j.target = t;
        t_equal(weft_spawn_task(&g, await_it, &j, &late), 0);
        t_equal(weft_await(t), -ECANCELED);
        t_equal(weft_task_result(t), -ECANCELED);
        t_equal(weft_await(late), 0);
        t_equal(j.got, -ECANCELED);
    }
    t_equal(weft_group_wait(&g), 0); /* a cancelled child is no failure */
    return 0;
}

static void cancelled_before_its_first_run_a_task_never_runs(void **state)
{
    struct busy b = {.workers = t_workers(state)};

    assert_int_equal(t_run(b.workers, cancel_early, &b), 0);
    assert_int_equal(atomic_load(&b.ran), 0);
}

static long five(void *arg)
{
    (void)arg;
    return 5;
}

static long cancel_late(void *arg)
{
    weft_group g;
    weft_task *t;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, five, NULL, &t), 0);
        t_equal(weft_await(t), 5);
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_task_result(t), 5);
        t_equal(weft_await(t), 5);
        t_equal(weft_check(), 0);
    }
    return weft_group_wait(&g);
}

static void cancel_after_completion_changes_nothing(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_late, NULL), 0);
}

static long swallows(void *arg)
{
    (void)arg;
    t_equal(weft_sleep(10 * WEFT_SEC), -ECANCELED);
    t_equal(weft_sleep(10 * WEFT_SEC), -ECANCELED);
    t_equal(weft_check(), -ECANCELED);
    weft_with_shield()
        t_equal(weft_sleep(WEFT_MS), 0);
    return 7;
}

static long cancel_waiting(void *arg)
{
    weft_group g;
    weft_task *t;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, swallows, NULL, &t), 0);
        t_check(t_wait_waiting("sleep", 1));
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_await(t), 7);
    }
    return weft_group_wait(&g);
}

static void a_task_that_swallows_its_cancellation_keeps_its_result(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_waiting, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    T_EACH(a_result_reaches_every_joiner),
    T_EACH(a_failure_reaches_its_joiner),
    T_EACH(a_failure_that_the_group_tells_is_not_reported),
    T_EACH(an_ignored_failure_is_reported_once),
    T_EACH(an_error_without_a_message_has_its_text),
    T_EACH(many_tasks_all_run_and_give_their_memory_back),
    cmocka_unit_test(yield_alternates_two_tasks_on_one_worker),
    T_REAL_EACH(tasks_that_only_yield_starve_neither_timers_nor_fds),
    T_EACH(calls_of_8_foreign_threads_give_the_right_results),
    T_EACH(a_foreign_thread_spawns_into_an_open_group),
    T_EACH(cancelled_before_its_first_run_a_task_never_runs),
    T_EACH(cancel_after_completion_changes_nothing),
    T_EACH(a_task_that_swallows_its_cancellation_keeps_its_result),
};

T_MAIN(tests)
