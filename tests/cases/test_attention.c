/* SPDX-License-Identifier: MIT */
/* The flag that sends a task's waits the slow way: set while something cancels
 * the task, clear once that is over; and no cancel is lost because a scope is
 * left while it comes. */
#include "races.h"

#include <pthread.h>
#include <sched.h>

#include "core/task.h"

#define LONG_TIME (20 * WEFT_SEC)
#define LONG_ENOUGH (500 * WEFT_MS) /* for a test's rounds */

static unsigned attention(void)
{
    return load_relaxed(&weft_self()->attention);
}

/* ---- set and clear ------------------------------------------------------ */

static long sleeps(void *arg)
{
    return weft_sleep(*(int64_t *)arg);
}

static long handles(void *arg)
{
    int64_t time = LONG_TIME;

    (void)arg;
    t_equal(attention(), 0);
    weft_with_timeout(5 * WEFT_MS) {
        t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
        t_equal(attention(), 1);
    }
    t_equal(attention(), 0);
    weft_with_timeout(0) {
        t_equal(weft_check(), -ETIMEDOUT);
        t_equal(attention(), 1);
    }
    t_equal(attention(), 0);
    weft_with_timeout(LONG_TIME) {
        t_equal(weft_wait_for(sleeps, &time, 5 * WEFT_MS), -ETIMEDOUT);
        t_equal(attention(), 0);
    }
    t_equal(weft_yield(), 0);
    t_equal(attention(), 0);
    return 0;
}

static void a_timeout_that_was_handled_leaves_the_flag_clear(void **state)
{
    assert_int_equal(t_run(t_workers(state), handles, NULL), 0);
}

static long nests(void *arg)
{
    weft_scope outer, middle, inner;

    (void)arg;
    weft_scope_enter(&outer);
    weft_scope_enter(&middle);
    weft_timeout_enter(&inner, 0);
    t_equal(weft_scope_cancel(&outer, "test"), 0);
    t_equal(weft_scope_leave(&inner), -ETIMEDOUT);
    t_equal(attention(), 1);
    t_equal(weft_check(), -ECANCELED);
    t_equal(weft_scope_leave(&middle), 0);
    t_equal(attention(), 1);
    t_equal(weft_yield(), -ECANCELED);
    t_equal(weft_scope_leave(&outer), -ECANCELED);
    t_equal(attention(), 0);
    t_equal(weft_yield(), 0);
    return 0;
}

static void the_flag_stays_while_a_scope_further_out_is_cancelled(void **state)
{
    assert_int_equal(t_run(t_workers(state), nests, NULL), 0);
}

static long shields(void *arg)
{
    weft_scope outer, shield, inner;

    (void)arg;
    weft_scope_enter(&outer);
    weft_shield_enter(&shield);
    weft_timeout_enter(&inner, 0);
    t_equal(weft_scope_cancel(&outer, "test"), 0);
    t_equal(weft_scope_leave(&inner), -ETIMEDOUT);
    t_equal(weft_yield(), 0);
    t_equal(weft_scope_leave(&shield), 0);
    t_equal(weft_yield(), -ECANCELED);
    t_equal(weft_scope_leave(&outer), -ECANCELED);
    t_equal(attention(), 0);
    return 0;
}

static void a_shield_hides_a_cancel_and_does_not_end_it(void **state)
{
    assert_int_equal(t_run(t_workers(state), shields, NULL), 0);
}

static long groups(void *arg)
{
    weft_group outer, inner;

    (void)arg;
    weft_group_enter(&outer);
    weft_group_enter(&inner);
    weft_group_cancel(&outer);
    t_equal(weft_yield(), -ECANCELED);
    (void)weft_group_leave(&inner);
    t_equal(attention(), 1);
    t_equal(weft_yield(), -ECANCELED);
    t_equal(weft_group_leave(&outer), -ECANCELED);
    t_equal(attention(), 0);
    t_equal(weft_yield(), 0);
    return 0;
}

static void a_cancelled_group_that_was_left_leaves_the_flag_clear(void **state)
{
    assert_int_equal(t_run(t_workers(state), groups, NULL), 0);
}

static long is_cancelled(void *arg)
{
    (void)arg;
    t_equal(weft_task_cancel(weft_self()), 0);
    weft_with_timeout(0)
        t_equal(weft_yield(), -ECANCELED);
    t_equal(attention(), 1);
    t_equal(weft_yield(), -ECANCELED);
    return 7;
}

static long cancels_itself(void *arg)
{
    weft_group g;
    weft_task *t;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, is_cancelled, NULL, &t), 0);
        t_equal(weft_await(t), 7);
    }
    t_equal(attention(), 0);
    return 0;
}

static void a_cancelled_task_stays_so_whatever_scope_it_leaves(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancels_itself, NULL), 0);
}

/* Cancelled first, then too late: it was not in time that it was cancelled. */
static long extends(void *arg)
{
    weft_scope s;

    (void)arg;
    weft_scope_enter(&s);
    t_equal(weft_scope_cancel(&s, "test"), 0);
    t_equal(weft_scope_extend(&s, 0), 0);
    t_equal(weft_check(), -ECANCELED);
    t_check(weft_scope_cancelled(&s) && weft_scope_expired(&s));
    t_equal(weft_scope_leave(&s), -ECANCELED);
    t_equal(attention(), 0);
    return 0;
}

static void a_deadline_in_the_past_keeps_what_was_cancelled(void **state)
{
    assert_int_equal(t_run(t_workers(state), extends, NULL), 0);
}

/* ---- a scope is left as a cancel comes ----------------------------------- */

/* A thread of its own makes the calls. The task waits a little longer before it
 * leaves the scope each time that it came first, and a little less each time
 * that it did not, so that the two stay close to each other on any machine. */
static struct {
    _Atomic(race_fn *) fn; /* NULL: it was called */
    void *arg;
    atomic_int stop;
} sniper;

static void *snipes(void *arg)
{
    for (long n = 1; !atomic_load(&sniper.stop); n++) {
        race_fn *fn = atomic_load(&sniper.fn);

        if (fn) {
            fn(sniper.arg);
            atomic_store(&sniper.fn, NULL);
        } else if (n % 256 == 0) {
            sched_yield();
        }
    }
    return arg;
}

static void shoot(race_fn *fn, void *arg)
{
    sniper.arg = arg;
    atomic_store(&sniper.fn, fn);
}

/* The call looks at the object until it returns. */
static void await_sniper(void)
{
    weft_with_shield() {
        while (atomic_load(&sniper.fn))
            t_equal(weft_yield(), 0);
    }
}

struct sides {
    long delay, early, late;
};

static void count(struct sides *s, bool early)
{
    if (early) {
        s->early++;
        s->delay -= s->delay > 0 ? 5 : 0;
    } else {
        s->late++;
        s->delay += 5;
    }
}

/* One round; false if it went wrong: with a lost cancel each takes long. */
typedef bool round_fn(struct sides *s);

struct fight {
    round_fn *fn;
    long rounds;
};

static long fight(void *arg)
{
    struct fight *f = arg;
    struct sides s = {0};
    int64_t end = weft_now() + LONG_ENOUGH;
    bool ok = true;

    for (long i = 0; ok && i < f->rounds && weft_now() < end; i++)
        ok = f->fn(&s) && t_equal(attention(), 0);
    if (ok && s.early + s.late > 1000)
        t_check(s.early > 0 && s.late > 0);
    return 0;
}

static void fight_with(unsigned workers, round_fn *fn, long rounds)
{
    struct weft_options o = t_options(workers);
    struct fight f = {fn, t_scale(rounds)};
    pthread_t thread;

    memset(&sniper, 0, sizeof sniper);
    assert_int_equal(pthread_create(&thread, NULL, snipes, NULL), 0);
    (void)weft_run_with(&o, fight, &f);
    atomic_store(&sniper.stop, 1);
    pthread_join(thread, NULL);
    t_verdict();
}

static void cancels_scope(void *scope)
{
    t_equal(weft_scope_cancel(scope, "test"), 0);
}

static bool leave_in_scope(struct sides *s)
{
    weft_scope outer, inner;
    bool ok;

    weft_scope_enter(&outer);
    weft_timeout_enter(&inner, 0);
    shoot(cancels_scope, &outer);
    race_delay(s->delay);
    count(s, weft_scope_cancelled(&outer));
    ok = t_equal(weft_scope_leave(&inner), -ETIMEDOUT) &&
         t_equal(weft_sleep(LONG_TIME), -ECANCELED);
    ok &= t_equal(weft_scope_leave(&outer), -ECANCELED);
    await_sniper();
    return ok;
}

static void a_cancel_of_the_outer_scope_is_not_lost(void **state)
{
    fight_with(t_workers(state), leave_in_scope, 6000);
}

static void cancels_group(void *group)
{
    weft_group_cancel(group);
}

static bool leave_in_group(struct sides *s)
{
    weft_scope inner;
    weft_group g;
    bool ok;

    weft_group_enter(&g);
    weft_timeout_enter(&inner, 0);
    shoot(cancels_group, &g);
    race_delay(s->delay);
    count(s, weft_check() == -ECANCELED);
    ok = t_equal(weft_scope_leave(&inner), -ETIMEDOUT) &&
         t_equal(weft_sleep(LONG_TIME), -ECANCELED);
    await_sniper();
    return t_equal(weft_group_leave(&g), -ECANCELED) && ok;
}

static void a_cancel_of_the_group_is_not_lost(void **state)
{
    fight_with(t_workers(state), leave_in_group, 6000);
}

struct child {
    weft_task *task;
    atomic_int told;
    long delay;
};

static void cancels_and_tells(void *arg)
{
    struct child *c = arg;

    t_equal(weft_task_cancel(c->task), 0);
    atomic_store(&c->told, 1);
}

/* Leaves scopes until it is told; what it was told before, it must know. */
static long leaves_scopes(void *arg)
{
    struct child *c = arg;
    int told = 0, rc = 0;

    shoot(cancels_and_tells, c);
    while (rc == 0 && !told) {
        told = atomic_load(&c->told);
        weft_with_timeout(0)
            t_check(weft_check() < 0);
        rc = weft_check();
    }
    t_equal(rc, -ECANCELED);
    t_equal(attention(), 1);
    return rc;
}

/* Leaves one, and waits. */
static long leaves_scope(void *arg)
{
    struct child *c = arg;
    long rc;

    shoot(cancels_and_tells, c);
    weft_with_timeout(0)
        race_delay(c->delay);
    rc = weft_sleep(LONG_TIME);
    t_equal(attention(), 1);
    return rc;
}

static bool leave_in_task(struct sides *s)
{
    struct child c = {.delay = s->delay};
    weft_group g;
    bool ok;

    weft_group_enter(&g);
    ok = t_equal(weft_spawn_task(&g, (s->early + s->late) & 1 ? leaves_scope
                                                              : leaves_scopes,
                                 &c, &c.task), 0) &&
         t_equal(weft_await(c.task), -ECANCELED);
    count(s, s->delay > 200);
    await_sniper();
    return t_equal(weft_group_leave(&g), 0) && ok;
}

static void a_cancel_of_the_task_is_not_lost(void **state)
{
    fight_with(t_workers(state), leave_in_task, 6000);
}

/* ---- a scope is left as a time-out comes --------------------------------- */

static long time_rounds(void *arg)
{
    int64_t end = weft_now() + LONG_ENOUGH;
    long n = t_scale(3000);

    (void)arg;
    for (long i = 0; i < n && weft_now() < end; i++) {
        int64_t ns = (i % 30 + 1) * WEFT_US;
        weft_scope outer, inner;

        weft_timeout_enter(&outer, ns);
        weft_timeout_enter(&inner, 0);
        t_spin(ns + i % 61 * 100 - 3 * WEFT_US);
        t_equal(weft_scope_leave(&inner), -ETIMEDOUT);
        if (!t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT))
            n = 0;
        t_equal(attention(), 1);
        t_equal(weft_scope_leave(&outer), -ETIMEDOUT);
        t_equal(attention(), 0);
    }
    return 0;
}

static void a_timeout_of_the_outer_scope_is_not_lost(void **state)
{
    assert_int_equal(t_run(t_workers(state), time_rounds, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    T_EACH(a_timeout_that_was_handled_leaves_the_flag_clear),
    T_EACH(the_flag_stays_while_a_scope_further_out_is_cancelled),
    T_EACH(a_shield_hides_a_cancel_and_does_not_end_it),
    T_EACH(a_cancelled_group_that_was_left_leaves_the_flag_clear),
    T_EACH(a_cancelled_task_stays_so_whatever_scope_it_leaves),
    T_EACH(a_deadline_in_the_past_keeps_what_was_cancelled),
    T_EACH(a_cancel_of_the_outer_scope_is_not_lost),
    T_EACH(a_timeout_of_the_outer_scope_is_not_lost),
    T_EACH(a_cancel_of_the_group_is_not_lost),
    T_EACH(a_cancel_of_the_task_is_not_lost),
};

T_MAIN(tests)
