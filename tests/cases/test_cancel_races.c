/* SPDX-License-Identifier: MIT */
/* Case 9: a cancel that meets its task's end. All who join see the one outcome
 * there was, and nothing is left over.
 *
 * The cancel comes from a thread of its own. The other side waits a little
 * longer each time it came first and a little less each time it did not, so
 * that the two stay close to each other on any machine. */
#include "races.h"

#include <pthread.h>
#include <sched.h>

struct duel {
    weft_event go;
    weft_task *task;
    atomic_int begun, ran; /* ran: the function came to its end by itself */
    long spins;
};

static struct {
    _Atomic(weft_task *) target; /* NULL: it has been cancelled */
    atomic_int stop;
    long cancels;
} sniper;

static void *snipes(void *arg)
{
    weft_task *t;

    for (long n = 1; !atomic_load(&sniper.stop); n++) {
        t = atomic_load(&sniper.target);
        if (t) {
            if (weft_task_cancel(t) == 0)
                sniper.cancels++;
            atomic_store(&sniper.target, NULL);
        } else if (n % 256 == 0) {
            sched_yield();
        }
    }
    return arg;
}

/* The handle lives as long as its group. */
static void await_sniper(void)
{
    while (atomic_load(&sniper.target))
        t_equal(weft_yield(), 0);
}

struct sides {
    long delay, ended, cancelled;
};

static void check_outcome(struct duel *d, struct sides *s)
{
    long result = weft_await(d->task);

    t_check(result == 42 || result == -ECANCELED);
    t_equal(atomic_load(&d->ran), result == 42);
    t_equal(weft_task_result(d->task), result);
    t_equal(weft_await(d->task), result);
    t_check(weft_task_done(d->task));
    await_sniper();
    /* What has ended stays as it ended. */
    t_equal(weft_task_cancel(d->task), 0);
    t_equal(weft_task_result(d->task), result);
    if (result == 42) {
        s->ended++;
        s->delay += 5;
    } else {
        s->cancelled++;
        s->delay -= s->delay > 0 ? 5 : 0;
    }
}

typedef void round_fn(struct sides *s, long round);

struct fight {
    round_fn *fn;
    long rounds;
};

static long fight(void *arg)
{
    struct fight *f = arg;
    struct sides s = {0};
    long before = 0, after;

    for (long i = 0; i < f->rounds; i++) {
        if (i == f->rounds / 4)
            before = t_rss_kb();
        f->fn(&s, i);
    }
    after = t_rss_kb();
    if (!T_SANITIZED)
        t_check(after <= before + before / 10 + 1024);
    t_equal(s.ended + s.cancelled, f->rounds);
    if (f->rounds > 1000)
        t_check(s.ended > 0 && s.cancelled > 0);
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
    assert_int_equal(sniper.cancels, f.rounds);
}

/* ---- before it starts --------------------------------------------------- */

static long just_runs(void *arg)
{
    atomic_store(&((struct duel *)arg)->ran, 1);
    return 42;
}

static void cancel_the_new(struct sides *s, long round)
{
    struct duel d = {.spins = round};
    weft_group g;

    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, just_runs, &d, &d.task), 0);
        atomic_store(&sniper.target, d.task);
        race_delay(s->delay);
        check_outcome(&d, s);
    }
    t_equal(weft_group_wait(&g), 0);
}

static void a_cancel_that_races_the_start_runs_all_or_nothing(void **state)
{
    fight_with(t_workers(state), cancel_the_new, 30000);
}

/* ---- while it waits ----------------------------------------------------- */

static long waits_for_go(void *arg)
{
    struct duel *d = arg;
    int rc;

    atomic_store(&d->begun, 1);
    rc = weft_event_wait(&d->go);
    if (rc < 0)
        return rc;
    atomic_store(&d->ran, 1);
    return 42;
}

static long joins_too(void *arg)
{
    return weft_await(((struct duel *)arg)->task);
}

static void cancel_the_waiting(struct sides *s, long round)
{
    struct duel d = {.spins = round};
    weft_task *other = NULL;
    weft_group g;

    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, waits_for_go, &d, &d.task), 0);
        race_let_in(&d.begun, 1);
        if (round % 8 == 0)
            t_equal(weft_spawn_task(&g, joins_too, &d, &other), 0);
        atomic_store(&sniper.target, d.task);
        race_delay(s->delay);
        weft_event_set(&d.go);
        check_outcome(&d, s);
        if (other)
            t_equal(weft_await(other), weft_task_result(d.task));
    }
    /* A child that was cancelled alone is no failure of its group. */
    if (!other)
        t_equal(weft_group_wait(&g), 0);
}

static void a_cancel_that_races_a_wake_has_one_outcome(void **state)
{
    fight_with(t_workers(state), cancel_the_waiting, 15000);
}

/* ---- as it ends --------------------------------------------------------- */

/* Ends by itself if no cancel comes before. */
static long ends_soon(void *arg)
{
    struct duel *d = arg;

    atomic_store(&sniper.target, weft_self()); /* d->task may not be set yet */
    for (long i = 0; i <= d->spins / 8; i++) {
        race_delay(8);
        if (weft_check() < 0)
            return weft_check();
    }
    atomic_store(&d->ran, 1);
    return 42;
}

static void cancel_the_ending(struct sides *s, long round)
{
    struct duel d = {.spins = s->delay};
    weft_group g;

    (void)round;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, ends_soon, &d, &d.task), 0);
        check_outcome(&d, s);
    }
    t_equal(weft_group_wait(&g), 0);
}

static void a_cancel_that_races_the_end_has_one_outcome(void **state)
{
    fight_with(t_workers(state), cancel_the_ending, 10000);
}

static const struct CMUnitTest tests[] = {
    T_EACH(a_cancel_that_races_the_start_runs_all_or_nothing),
    T_EACH(a_cancel_that_races_a_wake_has_one_outcome),
    T_EACH(a_cancel_that_races_the_end_has_one_outcome),
};

T_MAIN(tests)
