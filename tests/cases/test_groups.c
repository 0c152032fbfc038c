/* SPDX-License-Identifier: MIT */
/* Groups: who is joined, who is cancelled, which error is told. */
#include "support/cases.h"

#include <pthread.h>

/* Short enough to tell of a cancel that did not come before the test's limit
 * does. */
#define LONG_TIME (8 * WEFT_SEC)

/* ---- joining ------------------------------------------------------------ */

static long naps(void *arg)
{
    t_equal(weft_sleep(5 * WEFT_MS), 0);
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static long end_of_block(void *arg)
{
    weft_group g;

    weft_with_group(&g) {
        for (int i = 0; i < 5; i++)
            t_equal(weft_spawn(&g, naps, arg), 0);
    }
    t_equal(atomic_load((atomic_int *)arg), 5);
    t_equal(weft_group_wait(&g), 0);
    t_check(weft_group_message(&g) == NULL);
    t_equal(weft_spawn(&g, naps, arg), -ECANCELED);
    return 0;
}

static void the_end_of_the_block_joins_all(void **state)
{
    atomic_int n = 0;

    assert_int_equal(t_run(t_workers(state), end_of_block, &n), 0);
    assert_int_equal(atomic_load(&n), 5);
}

struct sleeper {
    atomic_int begun, ended;
    atomic_long got;
};

static long sleeps_long(void *arg)
{
    struct sleeper *s = arg;

    atomic_fetch_add(&s->begun, 1);
    atomic_store(&s->got, weft_sleep(LONG_TIME));
    atomic_fetch_add(&s->ended, 1);
    return atomic_load(&s->got);
}

enum way { BREAK, RETURN, GOTO, OUTER_LOOP, WAYS };

static long leave_early(struct sleeper *s, enum way way)
{
    weft_group g;

    for (int i = 0; i < 2; i++) {
        weft_with_group(&g) {
            t_equal(weft_spawn(&g, sleeps_long, s), 0);
            t_check(t_wait_for(&s->begun, 1));
            if (way == BREAK)
                break;
            if (way == RETURN)
                return 1;
            if (way == GOTO)
                goto out;
            weft_group_cancel(&g);
        }
        t_equal(weft_group_wait(&g), -ECANCELED);
        break;
    }
out:
    return 0;
}

static long leave_all_ways(void *arg)
{
    (void)arg;
    for (enum way way = BREAK; way < WAYS; way++) {
        struct sleeper s = {0};
        int64_t start = weft_now();

        t_equal(leave_early(&s, way), way == RETURN);
        t_equal(atomic_load(&s.ended), 1);
        t_equal(atomic_load(&s.got), -ECANCELED);
        t_check(weft_now() - start < LONG_TIME / 2);
        t_equal(weft_check(), 0);
        t_equal(weft_sleep(1), 0);
    }
    return 0;
}

static void leaving_otherwise_cancels_and_joins(void **state)
{
    assert_int_equal(t_run(t_workers(state), leave_all_ways, NULL), 0);
}

static long wait_and_go_on(void *arg)
{
    weft_group g;

    weft_with_group(&g) {
        for (int round = 1; round <= 3; round++) {
            t_equal(weft_spawn(&g, naps, arg), 0);
            t_equal(weft_group_wait(&g), 0);
            t_equal(atomic_load((atomic_int *)arg), round);
        }
    }
    return weft_group_wait(&g);
}

static void after_a_wait_the_group_takes_spawns_again(void **state)
{
    atomic_int n = 0;

    assert_int_equal(t_run(t_workers(state), wait_and_go_on, &n), 0);
}

static long enter_and_leave(void *arg)
{
    weft_group g;

    t_check(weft_group_enter(&g) == &g);
    t_equal(weft_spawn(&g, naps, arg), 0);
    t_equal(weft_group_leave(&g), 0);
    t_equal(atomic_load((atomic_int *)arg), 1);
    return 0;
}

static void enter_and_leave_do_without_the_block(void **state)
{
    atomic_int n = 0;

    assert_int_equal(t_run(t_workers(state), enter_and_leave, &n), 0);
}

/* ---- errors ------------------------------------------------------------- */

static long fails_when_all_sleep(void *arg)
{
    struct sleeper *s = arg;

    t_check(t_wait_for(&s->begun, 3));
    return weft_fail(-EIO, "the %s one", "third");
}

static long first_error(void *arg)
{
    struct sleeper s = {0};
    weft_group g;
    int64_t start = weft_now();

    (void)arg;
    weft_with_group(&g) {
        for (int i = 0; i < 3; i++)
            t_equal(weft_spawn(&g, sleeps_long, &s), 0);
        t_equal(weft_spawn(&g, fails_when_all_sleep, &s), 0);
        t_equal(weft_sleep(LONG_TIME), -ECANCELED);
        t_equal(weft_sleep(LONG_TIME), -ECANCELED);
        t_equal(weft_check(), -ECANCELED);
    }
    t_equal(weft_check(), 0);
    t_equal(weft_sleep(1), 0);
    t_equal(weft_group_wait(&g), -EIO);
    if (t_check(weft_group_message(&g) != NULL))
        t_check(strcmp(weft_group_message(&g), "the third one") == 0);
    t_equal(atomic_load(&s.ended), 3);
    t_equal(atomic_load(&s.got), -ECANCELED);
    t_check(weft_now() - start < LONG_TIME / 2);
    return 0;
}

static void the_first_error_cancels_the_others_and_is_told(void **state)
{
    assert_int_equal(t_run(t_workers(state), first_error, NULL), 0);
}

static long fails_when_cancelled(void *arg)
{
    struct sleeper *s = arg;

    atomic_fetch_add(&s->begun, 1);
    t_equal(weft_sleep(LONG_TIME), -ECANCELED);
    return -EBADF;
}

static long later_errors(void *arg)
{
    struct sleeper s = {0};
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        for (int i = 0; i < 3; i++)
            t_equal(weft_spawn(&g, fails_when_cancelled, &s), 0);
        t_equal(weft_spawn(&g, fails_when_all_sleep, &s), 0);
    }
    if (t_check(weft_group_error(&g) != NULL)) {
        const struct weft_error *e = weft_group_error(&g);
        int n = 0;

        t_equal(e->code, -EIO);
        while ((e = e->suppressed) && ++n)
            t_equal(e->code, -EBADF);
        t_equal(n, 3);
    }
    return weft_group_wait(&g);
}

/* They are listed with it: no error is silent. */
static void errors_while_being_cancelled_do_not_replace_the_first(void **state)
{
    static struct t_errors errors;
    struct weft_options o = t_options(t_workers(state));

    memset(&errors, 0, sizeof errors);
    o.on_unhandled = t_collect;
    o.unhandled_arg = &errors;
    assert_int_equal(t_run_with(o, later_errors, NULL), -EIO);
    assert_int_equal(errors.n, 0);
}

/* ---- cancelled groups --------------------------------------------------- */

static long never_runs(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static long refuse(void *arg)
{
    weft_group g;
    weft_task *t = NULL;

    weft_with_group(&g) {
        weft_group_cancel(&g);
        t_equal(weft_spawn(&g, never_runs, arg), -ECANCELED);
        t_equal(weft_spawn_task(&g, never_runs, arg, &t), -ECANCELED);
        t_equal(weft_yield(), -ECANCELED);
    }
    t_equal(weft_group_wait(&g), -ECANCELED);
    return 0;
}

static void a_cancelled_group_refuses_spawns(void **state)
{
    atomic_int n = 0;

    assert_int_equal(t_run(t_workers(state), refuse, &n), 0);
    assert_int_equal(atomic_load(&n), 0);
}

/* Spawns race with the cancel: each is refused or joined, none is lost. */
struct race {
    weft_group g;
    atomic_int accepted, ended;
};

static long ends(void *arg)
{
    atomic_fetch_add(&((struct race *)arg)->ended, 1);
    return 0;
}

/* Started or not, a task that was accepted ends before the group does. */
static long spawns_on(void *arg)
{
    struct race *r = arg;

    for (int i = 0;; i++) {
        int rc = weft_spawn(&r->g, ends, r);

        if (rc) {
            t_equal(rc, -ECANCELED);
            return 0;
        }
        atomic_fetch_add(&r->accepted, 1);
        if (i % 50 == 49)
            (void)weft_yield();
    }
}

static long race_cancel(void *arg)
{
    long rounds = *(long *)arg, accepted = 0;

    for (long i = 0; i < rounds; i++) {
        static struct race r;

        atomic_store(&r.accepted, 0);
        atomic_store(&r.ended, 0);
        weft_with_group(&r.g) {
            t_equal(weft_spawn(&r.g, spawns_on, &r), 0);
            t_equal(weft_spawn(&r.g, spawns_on, &r), 0);
            for (int k = 0; k < 3; k++)
                t_equal(weft_yield(), 0);
            t_spin((i % 7) * 10 * WEFT_US);
            weft_group_cancel(&r.g);
        }
        t_check(atomic_load(&r.ended) <= atomic_load(&r.accepted));
        accepted += atomic_load(&r.accepted);
        t_equal(weft_group_wait(&r.g), -ECANCELED);
    }
    t_check(accepted > 0 || rounds < 50);
    return 0;
}

static void spawns_that_race_a_cancel_are_refused_or_joined(void **state)
{
    long rounds = t_scale(100);

    assert_int_equal(t_run(t_workers(state), race_cancel, &rounds), 0);
}

static void *cancel_from_outside(void *arg)
{
    usleep(2000);
    weft_group_cancel(arg);
    return NULL;
}

static long foreign_cancel(void *arg)
{
    weft_group g;
    pthread_t thread;

    (void)arg;
    weft_with_group(&g) {
        struct sleeper *s = calloc(1, sizeof *s);

        t_equal(weft_spawn(&g, sleeps_long, s), 0);
        t_equal(pthread_create(&thread, NULL, cancel_from_outside, &g), 0);
        t_equal(weft_sleep(LONG_TIME), -ECANCELED);
        pthread_join(thread, NULL);
        weft_with_shield()
            t_equal(weft_group_wait(&g), -ECANCELED);
        free(s);
    }
    return weft_group_wait(&g);
}

static void a_foreign_thread_may_cancel_a_group(void **state)
{
    assert_int_equal(t_run(t_workers(state), foreign_cancel, NULL), -ECANCELED);
}

/* ---- nested ------------------------------------------------------------- */

static long fails_at_once(void *arg)
{
    (void)arg;
    return -EIO;
}

static long inner_failure(void *arg)
{
    struct sleeper s = {0};
    weft_group outer, inner;
    weft_task *t;

    (void)arg;
    weft_with_group(&outer) {
        t_equal(weft_spawn_task(&outer, sleeps_long, &s, &t), 0);
        weft_with_group(&inner) {
            t_equal(weft_spawn(&inner, fails_at_once, NULL), 0);
            t_equal(weft_sleep(LONG_TIME), -ECANCELED);
        }
        t_equal(weft_group_wait(&inner), -EIO);
        t_equal(weft_check(), 0);
        t_equal(weft_sleep(WEFT_MS), 0);
        t_check(!weft_task_done(t));
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_await(t), -ECANCELED);
    }
    return weft_group_wait(&outer);
}

static void an_inner_failure_does_not_touch_the_outer_group(void **state)
{
    assert_int_equal(t_run(t_workers(state), inner_failure, NULL), 0);
}

struct both {
    struct sleeper s, t;
    long inner, outer;
    int after_inner, after_outer;
};

static long two_groups(void *arg)
{
    struct both *b = arg;
    weft_group outer, inner;

    weft_with_group(&outer) {
        t_equal(weft_spawn(&outer, sleeps_long, &b->t), 0);
        weft_with_group(&inner)
            t_equal(weft_spawn(&inner, sleeps_long, &b->s), 0);
        b->inner = weft_group_wait(&inner);
        b->after_inner = weft_check();
    }
    b->outer = weft_group_wait(&outer);
    b->after_outer = weft_check();
    return -ECANCELED;
}

static long cancel_through_both(void *arg)
{
    struct both b = {{0}, {0}, 0, 0, 0, 0};
    weft_group g;
    weft_task *t;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, two_groups, &b, &t), 0);
        t_check(t_wait_for(&b.s.begun, 1));
        t_check(t_wait_for(&b.t.begun, 1));
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_await(t), -ECANCELED);
    }
    t_equal(atomic_load(&b.s.got), -ECANCELED);
    t_equal(atomic_load(&b.t.got), -ECANCELED);
    t_equal(b.inner, -ECANCELED);
    t_equal(b.outer, -ECANCELED);
    t_equal(b.after_inner, -ECANCELED);
    t_equal(b.after_outer, -ECANCELED);
    return weft_group_wait(&g);
}

static void an_outside_cancel_goes_through_nested_groups(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_through_both, NULL), 0);
}

/* A parent that never waited itself: its join runs the child on its stack. */
static long joins_only(void *arg)
{
    weft_group g;

    weft_with_group(&g)
        t_equal(weft_spawn(&g, sleeps_long, arg), 0);
    return weft_group_wait(&g);
}

static long cancel_below(void *arg)
{
    struct sleeper s = {0};
    weft_group g;
    int64_t start = weft_now();

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, joins_only, &s), 0);
        while (!atomic_load(&s.begun))
            t_equal(weft_yield(), 0);
        t_equal(weft_sleep(5 * WEFT_MS), 0);
        weft_group_cancel(&g);
    }
    t_equal(atomic_load(&s.got), -ECANCELED);
    t_check(weft_now() - start < LONG_TIME / 2);
    return 0;
}

static void a_cancel_reaches_a_child_on_its_parents_stack(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_below, NULL), 0);
}

/* The parent waits in an await or at the end of its group. */
static long awaits_child(void *arg)
{
    weft_group g;
    weft_task *t;
    long rc = 0;

    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, sleeps_long, arg, &t), 0);
        rc = weft_await(t);
    }
    return rc;
}

static long shields_child(void *arg)
{
    weft_group g;

    weft_with_shield()
        weft_with_group(&g)
            t_equal(weft_spawn(&g, naps, arg), 0);
    t_equal(weft_group_wait(&g), 0);
    t_equal(weft_sleep(LONG_TIME), -ECANCELED);
    return 9;
}

static long cancel_parents(void *arg)
{
    struct sleeper s = {0};
    atomic_int napped = 0;
    weft_group g;
    weft_task *t, *shielded;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, awaits_child, &s, &t), 0);
        t_check(t_wait_for(&s.begun, 1));
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_await(t), -ECANCELED);
        t_equal(atomic_load(&s.got), -ECANCELED);
        t_equal(weft_spawn_task(&g, shields_child, &napped, &shielded), 0);
        t_check(t_wait_waiting("sleep", 1));
        t_equal(weft_task_cancel(shielded), 0);
        t_equal(weft_await(shielded), 9);
        t_equal(atomic_load(&napped), 1);
    }
    return weft_group_wait(&g);
}

static void a_cancelled_parent_cancels_its_child_unless_shielded(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_parents, NULL), 0);
}

static long join_times_out(void *arg)
{
    struct sleeper s = {0};
    weft_group g;

    (void)arg;
    weft_with_timeout(10 * WEFT_MS)
        weft_with_group(&g)
            t_equal(weft_spawn(&g, sleeps_long, &s), 0);
    t_equal(weft_group_wait(&g), -ETIMEDOUT);
    t_equal(atomic_load(&s.got), -ECANCELED);
    return weft_check();
}

static void a_timeout_around_a_group_cancels_the_children(void **state)
{
    assert_int_equal(t_run(t_workers(state), join_times_out, NULL), 0);
}

/* ---- trees -------------------------------------------------------------- */

struct node {
    int depth;
    long leaves;
};

static long grow_tree(void *arg)
{
    struct node *n = arg, left, right;
    weft_group g;

    if (n->depth == 0) {
        n->leaves = 1;
        return 0;
    }
    left = right = (struct node){n->depth - 1, 0};
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, grow_tree, &left), 0);
        t_equal(weft_spawn(&g, grow_tree, &right), 0);
    }
    n->leaves = left.leaves + right.leaves;
    return weft_group_wait(&g);
}

static void a_tree_of_groups_counts_its_leaves(void **state)
{
    struct node root = {T_SANITIZED ? 10 : 15, 0};
    long leaves = 1L << root.depth;

    assert_int_equal(t_run(t_workers(state), grow_tree, &root), 0);
    assert_int_equal(root.leaves, leaves);
}

static const struct CMUnitTest tests[] = {
    T_EACH(the_end_of_the_block_joins_all),
    T_EACH(leaving_otherwise_cancels_and_joins),
    T_EACH(after_a_wait_the_group_takes_spawns_again),
    T_EACH(enter_and_leave_do_without_the_block),
    T_EACH(the_first_error_cancels_the_others_and_is_told),
    T_EACH(errors_while_being_cancelled_do_not_replace_the_first),
    T_EACH(a_cancelled_group_refuses_spawns),
    T_EACH(spawns_that_race_a_cancel_are_refused_or_joined),
    T_EACH(a_foreign_thread_may_cancel_a_group),
    T_EACH(an_inner_failure_does_not_touch_the_outer_group),
    T_EACH(an_outside_cancel_goes_through_nested_groups),
    T_EACH(a_cancel_reaches_a_child_on_its_parents_stack),
    T_EACH(a_cancelled_parent_cancels_its_child_unless_shielded),
    T_EACH(a_timeout_around_a_group_cancels_the_children),
    T_EACH(a_tree_of_groups_counts_its_leaves),
};

T_MAIN(tests)
