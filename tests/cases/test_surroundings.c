/* SPDX-License-Identifier: MIT */
/* What surrounds a task: cancel scopes and reasons, defers, locals, causes of
 * failures, eager starts, and what others can see of it. */
#include "support/cases.h"

#include <signal.h>
#include <sys/wait.h>

#define LONG_TIME (60 * WEFT_SEC)

/* ---- cancel scopes --------------------------------------------------------- */

struct cancelled {
    weft_scope scope;
    weft_event inside;
    atomic_int round, tried;
};

static long in_scope(void *arg)
{
    struct cancelled *c = arg;

    weft_with_scope(&c->scope) {
        t_equal(weft_scope_cancelled(&c->scope), 0);
        weft_event_set(&c->inside);
        t_equal(weft_sleep(LONG_TIME), -ECANCELED);
        t_equal(weft_yield(), -ECANCELED);
        t_check(strcmp(weft_cancel_reason(), "enough of it") == 0);
        weft_with_shield() {
            t_equal(weft_sleep(1), 0);
            t_check(weft_cancel_reason() == NULL);
        }
    }
    t_check(weft_scope_cancelled(&c->scope));
    t_equal(weft_check(), 0);
    t_check(weft_cancel_reason() == NULL);
    t_equal(weft_sleep(WEFT_MS), 0);
    return 5;
}

static long cancel_scope(void *arg)
{
    struct cancelled c = {0};
    weft_group g;
    weft_task *t;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, in_scope, &c, &t), 0);
        t_equal(weft_event_wait(&c.inside), 0);
        t_equal(weft_scope_cancel(&c.scope, "enough of it"), 0);
        (void)weft_scope_cancel(&c.scope, "too late");
        t_equal(weft_await(t), 5);
        t_equal(weft_scope_cancel(&c.scope, "over"), -EINVAL);
    }
    return 0;
}

static void a_scope_is_cancelled_from_another_task(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancel_scope, NULL), 0);
}

/* Enters a scope once a round; is cancelled while it waits in it, leaves it, or
 * has left it. */
static long short_scopes(void *arg)
{
    struct cancelled *c = arg;
    long n = 0;

    for (int i = 1; i <= (int)t_scale(3000); i++) {
        int rc = 0;

        weft_scope_enter(&c->scope);
        atomic_store(&c->round, i);
        if (i % 3)
            rc = weft_yield();
        else
            rc = weft_sleep(20 * WEFT_US);
        if (weft_scope_leave(&c->scope) == -ECANCELED)
            n++;
        else
            t_equal(rc, 0);
        /* Never felt outside. */
        t_equal(weft_yield(), 0);
        t_equal(weft_check(), 0);
        while (atomic_load(&c->tried) < i)
            t_equal(weft_yield(), 0);
    }
    return n;
}

static long race_scope(void *arg)
{
    struct cancelled c = {0};
    weft_group g;
    weft_task *t;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, short_scopes, &c, &t), 0);
        for (int i = 1; i <= (int)t_scale(3000); i++) {
            while (atomic_load(&c.round) < i)
                t_equal(weft_yield(), 0);
            for (int k = i % 16; k > 0; k--)
                (void)weft_now();
            (void)weft_scope_cancel(&c.scope, NULL);
            atomic_store(&c.tried, i);
        }
        t_check(weft_await(t) >= 0);
    }
    return 0;
}

static void cancelling_a_scope_that_is_being_left_touches_nothing_else(
    void **state)
{
    assert_int_equal(t_run(t_workers(state), race_scope, NULL), 0);
}

/* ---- reasons ---------------------------------------------------------------- */

static const char *seen_reason;

static long tell_reason(void *arg)
{
    t_equal(weft_sleep(LONG_TIME), -ECANCELED);
    seen_reason = weft_cancel_reason();
    if (arg)
        t_check(strcmp(seen_reason, arg) == 0);
    return 0;
}

static long fail_soon(void *arg)
{
    (void)arg;
    t_check(t_wait_waiting("sleep", 1));
    return -EIO;
}

static long reasons(void *arg)
{
    weft_group g;
    weft_task *t;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, tell_reason, "no longer needed", &t), 0);
        t_check(t_wait_waiting("sleep", 1));
        t_equal(weft_task_cancel_with(t, "no longer needed"), 0);
        t_equal(weft_task_cancel_with(t, "another"), 0);
        t_equal(weft_await(t), 0);
        t_equal(weft_spawn_task(&g, tell_reason, "cancelled", &t), 0);
        t_check(t_wait_waiting("sleep", 1));
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_await(t), 0);
        t_equal(weft_spawn(&g, tell_reason, "closing time"), 0);
        t_check(t_wait_waiting("sleep", 1));
        weft_group_cancel_with(&g, "closing time");
    }
    t_equal(weft_group_wait(&g), -ECANCELED);
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, tell_reason, "a task of the group failed"), 0);
        t_equal(weft_spawn(&g, fail_soon, NULL), 0);
    }
    t_equal(weft_group_wait(&g), -EIO);
    weft_with_timeout(WEFT_MS) {
        t_equal(weft_sleep(LONG_TIME), -ETIMEDOUT);
        t_check(strcmp(weft_cancel_reason(), "timed out") == 0);
    }
    return 0;
}

static void a_cancellation_tells_its_reason(void **state)
{
    assert_int_equal(t_run(t_workers(state), reasons, NULL), 0);
}

/* ---- wait_for ---------------------------------------------------------------- */

static long stubborn(void *arg)
{
    int64_t end = weft_now() + 50 * WEFT_MS;

    while (weft_now() < end)
        (void)weft_yield();
    return (long)(intptr_t)arg;
}

static long nap(void *arg)
{
    int rc = weft_sleep((int64_t)(intptr_t)arg * WEFT_MS);

    return rc ? rc : 9;
}

static long bare_cancel(void *arg)
{
    return weft_sleep((int64_t)(intptr_t)arg * WEFT_MS) ? -ECANCELED : 0;
}

static long wait_for(void *arg)
{
    int64_t start = weft_now();

    (void)arg;
    t_equal(weft_wait_for(nap, (void *)1, LONG_TIME), 9);
    t_equal(weft_wait_for(nap, (void *)60000, 5 * WEFT_MS), -ETIMEDOUT);
    t_equal(weft_wait_for(bare_cancel, (void *)60000, 5 * WEFT_MS),
            -ETIMEDOUT);
    start = weft_now();
    t_equal(weft_wait_for(stubborn, (void *)3, 5 * WEFT_MS), 3);
    t_check(weft_now() - start >= 50 * WEFT_MS);
    t_equal(weft_wait_for(stubborn, (void *)(intptr_t)-EIO, 5 * WEFT_MS),
            -EIO);
    weft_with_timeout(WEFT_MS)
        t_equal(weft_wait_for(nap, (void *)60000, LONG_TIME), -ETIMEDOUT);
    t_equal(weft_check(), 0);
    return 0;
}

static void wait_for_awaits_also_what_ignores_its_deadline(void **state)
{
    assert_int_equal(t_run(t_workers(state), wait_for, NULL), 0);
    assert_int_equal(weft_wait_for(nap, (void *)1, 1), -EPERM);
}

/* ---- defers ------------------------------------------------------------------- */

struct log {
    char text[64];
    atomic_int n;
};
static struct log log_;

static long note(void *arg)
{
    t_equal(weft_check(), 0); /* shielded */
    t_equal(weft_sleep(100 * WEFT_US), 0);
    log_.text[atomic_fetch_add(&log_.n, 1)] = *(const char *)arg;
    return 0;
}

static long note_and_fail(void *arg)
{
    (void)note(arg);
    return weft_fail(-EBUSY, "defer %s", (const char *)arg);
}

static long defers_of_task(void *arg)
{
    t_equal(weft_defer(note, "a"), 0);
    t_equal(weft_defer(note_and_fail, "b"), 0);
    weft_with_timeout(LONG_TIME) {
        t_equal(weft_defer(note, "c"), 0);
        t_equal(weft_defer(note, "d"), 0);
    }
    t_equal(weft_defer(note, "e"), 0);
    if (arg)
        return weft_fail((long)(intptr_t)arg, "the task's own");
    (void)weft_sleep(LONG_TIME);
    return -ECANCELED;
}

static void expect(const char *what)
{
    t_check(strcmp(log_.text, what) == 0);
    memset(&log_, 0, sizeof log_);
}

static long child_notes(void *arg)
{
    t_equal(weft_sleep(5 * WEFT_MS), 0);
    return note(arg);
}

static long defers(void *arg)
{
    weft_group g;
    weft_task *t;

    (void)arg;
    expect("");
    weft_with_group(&g) {
        weft_group_collect(&g);
        t_equal(weft_spawn_task(&g, defers_of_task, (void *)4, &t), 0);
        t_equal(weft_await(t), 4);
        expect("dceba");
        t_equal(weft_spawn_task(&g, defers_of_task, (void *)(intptr_t)-EIO,
                                &t), 0);
        t_equal(weft_await(t), -EIO);
        t_check(strcmp(weft_task_message(t), "the task's own") == 0);
        expect("dceba");
        t_equal(weft_spawn_task(&g, defers_of_task, NULL, &t), 0);
        t_check(t_wait_waiting("sleep", 1));
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_await(t), -ECANCELED);
        expect("dceba");
    }
    weft_with_group(&g) {
        t_equal(weft_defer(note, "z"), 0);
        t_equal(weft_defer(note, "y"), 0);
        t_equal(weft_spawn(&g, child_notes, "x"), 0);
    }
    expect("xyz");
    weft_with_group(&g) {
        t_equal(weft_defer(note, "z"), 0);
        weft_group_cancel(&g);
        break;
    }
    expect("z");
    return 0;
}

static void defers_run_last_in_first_out_however_it_ends(void **state)
{
    static struct t_errors errors;
    struct weft_options o = t_options(t_workers(state));

    memset(&errors, 0, sizeof errors);
    memset(&log_, 0, sizeof log_);
    o.on_unhandled = t_collect;
    o.unhandled_arg = &errors;
    assert_int_equal(t_run_with(o, defers, NULL), 0);
    assert_int_equal(errors.n, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(errors.first[i].code, -EBUSY);
        assert_string_equal(errors.first[i].message, "defer b");
    }
    assert_int_equal(weft_defer(note, NULL), -EPERM);
}

/* ---- locals ------------------------------------------------------------------- */

static weft_local user, trace;

static long child_locals(void *arg)
{
    t_check(weft_local_get(&user) == arg);
    t_check(weft_local_get(&trace) == NULL);
    t_equal(weft_local_set(&user, "child"), 0);
    t_equal(weft_local_set(&trace, "t"), 0);
    t_equal(weft_yield(), 0);
    t_check(strcmp(weft_local_get(&user), "child") == 0);
    t_check(strcmp(weft_local_get(&trace), "t") == 0);
    return 0;
}

static long locals(void *arg)
{
    static char name[] = "parent";
    weft_group g;

    (void)arg;
    t_check(weft_local_get(&user) == NULL);
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, child_locals, NULL), 0);
        t_equal(weft_local_set(&user, name), 0);
        for (int i = 0; i < 50; i++)
            t_equal(weft_spawn(&g, child_locals, name), 0);
        t_equal(weft_local_set(&user, NULL), 0);
        t_equal(weft_spawn(&g, child_locals, NULL), 0);
        t_equal(weft_local_set(&user, name), 0);
    }
    t_check(weft_local_get(&user) == name);
    t_check(weft_local_get(&trace) == NULL);
    return 0;
}

static void locals_are_inherited_by_value(void **state)
{
    assert_int_equal(t_run(t_workers(state), locals, NULL), 0);
    assert_int_equal(weft_local_set(&user, NULL), -EPERM);
    assert_null(weft_local_get(&user));
}

/* ---- failures ------------------------------------------------------------------ */

static long read_file(void *arg)
{
    (void)arg;
    return weft_fail(-ENOENT, "no such config");
}

static long load(void *arg)
{
    weft_group g;
    weft_task *t;
    long rc = 0;

    (void)arg;
    weft_with_group(&g) {
        weft_group_collect(&g);
        t_equal(weft_spawn_task(&g, read_file, NULL, &t), 0);
        rc = weft_await(t);
    }
    return weft_fail(rc, "loading");
}

static long serve(void *arg)
{
    weft_group g;

    (void)arg;
    weft_with_group(&g)
        t_equal(weft_spawn(&g, load, NULL), 0);
    return weft_group_wait(&g);
}

static struct {
    char tasks[64];
    char messages[128];
    int n;
} chain;

static void keep_chain(const struct weft_error *e, void *arg)
{
    (void)arg;
    for (; e; e = e->cause) {
        strcat(chain.tasks, e->task);
        strcat(chain.tasks, " ");
        strcat(chain.messages, e->message);
        strcat(chain.messages, "; ");
        chain.n++;
    }
}

static long detached_failure(void *arg)
{
    (void)arg;
    t_equal(weft_spawn_detached(serve, NULL), 0);
    return weft_sleep(20 * WEFT_MS);
}

static void an_error_tells_the_chain_of_its_causes(void **state)
{
    struct weft_options o = t_options(t_workers(state));

    memset(&chain, 0, sizeof chain);
    o.on_unhandled = keep_chain;
    assert_int_equal(t_run_with(o, detached_failure, NULL), 0);
    assert_string_equal(chain.tasks, "serve load read_file ");
    assert_string_equal(chain.messages, "loading; loading; no such config; ");
}

static int abort_on_error(void *arg)
{
    struct weft_options o = t_options(2);

    (void)arg;
    o.error_policy = WEFT_ERROR_ABORT;
    return (int)weft_run_with(&o, detached_failure, NULL);
}

static void the_policy_abort_aborts_after_the_report(void **state)
{
    struct t_child c;

    (void)state;
    t_fork(&c, abort_on_error, NULL);
    assert_true(WIFSIGNALED(c.status) && WTERMSIG(c.status) == SIGABRT);
    assert_non_null(strstr(c.output, "serve"));
    assert_non_null(strstr(c.output, "while joining read_file"));
    assert_non_null(strstr(c.output, "no such config"));
}

static long until_cancelled(void *arg)
{
    (void)arg;
    t_equal(weft_spawn_detached(serve, NULL), 0);
    return weft_sleep(LONG_TIME);
}

static void the_policy_cancel_cancels_the_root(void **state)
{
    struct weft_options o = t_options(t_workers(state));

    memset(&chain, 0, sizeof chain);
    o.on_unhandled = keep_chain;
    o.error_policy = WEFT_ERROR_CANCEL;
    assert_int_equal(t_run_with(o, until_cancelled, NULL), -ECANCELED);
    assert_int_equal(chain.n, 3);
}

/* ---- eager --------------------------------------------------------------------- */

static int stage;

static long eager_child(void *arg)
{
    (void)arg;
    t_equal(stage, 1);
    stage = 2;
    t_equal(weft_yield(), 0);
    stage = 4;
    return 0;
}

static long eager(void *arg)
{
    struct weft_task_options o = {.name = "early", .eager = 1};
    weft_group g;
    weft_task *t;

    (void)arg;
    stage = 1;
    weft_with_group(&g) {
        t_equal(weft_spawn_with(&g, eager_child, NULL, &o, &t), 0);
        t_equal(stage, 2);
        stage = 3;
        t_equal(weft_await(t), 0);
        t_equal(stage, 4);
        t_check(strcmp(weft_task_name(t), "early") == 0);
    }
    return 0;
}

static void an_eager_task_runs_until_it_waits(void **state)
{
    (void)state;
    assert_int_equal(t_run(1, eager, NULL), 0);
}

/* However many workers could go on with the spawner meanwhile. */
static atomic_int depth;

static long eager_nested(void *arg)
{
    struct weft_task_options o = {.eager = 1};
    int below = (int)(intptr_t)arg;
    weft_group g;

    weft_with_group(&g)
        for (int i = 0; below && i < 2; i++) {
            int before = atomic_load(&depth);

            t_equal(weft_spawn_with(&g, eager_nested,
                                    (void *)(intptr_t)(below - 1), &o, NULL),
                    0);
            t_check(atomic_load(&depth) > before);
        }
    t_spin(20 * WEFT_US);
    atomic_fetch_add(&depth, 1);
    return weft_yield();
}

static long eager_first(void *arg)
{
    long rounds = t_scale(100), rc = 0;

    (void)arg;
    for (long i = 0; i < rounds && rc == 0; i++) {
        atomic_store(&depth, 0);
        rc = eager_nested((void *)3);
    }
    return rc;
}

static void an_eager_child_comes_before_its_spawner(void **state)
{
    assert_int_equal(t_run(t_workers(state), eager_first, NULL), 0);
}

static long eager_many(void *arg)
{
    struct weft_task_options o = {.eager = 1};
    weft_group g;

    weft_with_group(&g)
        for (int i = 0; i < 200; i++) {
            o.stack_size = i % 5 ? 0 : 65536;
            t_equal(weft_spawn_with(&g, nap, arg, &o, NULL), 0);
        }
    return weft_group_wait(&g);
}

static void eager_tasks_by_the_hundred(void **state)
{
    assert_int_equal(t_run(t_workers(state), eager_many, (void *)1), 0);
}

/* ---- what others see ------------------------------------------------------------- */

static long asleep(void *arg)
{
    (void)arg;
    (void)weft_task_set_name("sleeper");
    return weft_sleep(LONG_TIME);
}

static long awaits_it(void *arg)
{
    (void)weft_task_set_name("awaiter");
    return weft_await(arg);
}

struct seen {
    int sleeper, awaiter, self;
    weft_task *sleeping;
};

static int look(const struct weft_task_info *i, void *arg)
{
    struct seen *s = arg;

    if (i->task == weft_self())
        s->self = strcmp(i->state, "running") == 0 && !i->waits_in;
    if (strcmp(i->name, "sleeper") == 0 && i->waits_in &&
        strcmp(i->waits_in, "sleep") == 0 && strcmp(i->state, "waiting") == 0 &&
        strstr(i->site, "test_surroundings.c:"))
        s->sleeper++;
    if (strcmp(i->name, "awaiter") == 0 && i->waits_for &&
        strcmp(i->waits_for, "sleeper") == 0 &&
        i->waits_for_task == s->sleeping)
        s->awaiter++;
    return 0;
}

static int stop_at_once(const struct weft_task_info *i, void *arg)
{
    (void)i;
    (void)arg;
    return 1;
}

static long see(void *arg)
{
    struct seen s = {0};
    weft_task *awaiter, *fresh;
    void *pcs[32];
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, asleep, NULL, &s.sleeping), 0);
        t_check(t_wait_waiting("sleep", 1));
        t_equal(weft_spawn_task(&g, awaits_it, s.sleeping, &awaiter), 0);
        t_check(t_wait_waiting("task", 1));
        t_check(weft_tasks_each(NULL, look, &s) >= 3);
        t_equal(s.sleeper, 1);
        t_equal(s.awaiter, 1);
        t_equal(s.self, 1);
        t_equal(weft_tasks_each(NULL, stop_at_once, NULL), 1);
        t_check(weft_task_backtrace(s.sleeping, pcs, 32) > 2);
        t_equal(weft_task_backtrace(s.sleeping, pcs, 2), 2);
        t_check(weft_task_backtrace(weft_self(), pcs, 32) > 2);
        t_equal(weft_task_backtrace(weft_self(), pcs, 0), -EINVAL);
        weft_task_cancel(s.sleeping);
        t_equal(weft_await(awaiter), -ECANCELED);
        t_equal(weft_task_backtrace(awaiter, pcs, 32), -ESRCH);
        t_equal(weft_spawn_task(&g, nap, (void *)1, &fresh), 0);
        t_check(weft_task_backtrace(fresh, pcs, 32) != 0);
    }
    return 0;
}

static void tasks_can_be_looked_at(void **state)
{
    assert_int_equal(t_run(t_workers(state), see, NULL), 0);
    assert_int_equal(weft_tasks_each(NULL, look, NULL), -EPERM);
}

static atomic_int done_looking;

static long busy_naps(void *arg)
{
    (void)arg;
    while (!atomic_load(&done_looking))
        t_equal(weft_sleep(30 * WEFT_US), 0);
    return 0;
}

static long inspect(void *arg)
{
    weft_task *t[4];
    void *pcs[32];
    weft_group g;
    long seen = 0;
    int64_t end;

    (void)arg;
    atomic_store(&done_looking, 0);
    weft_with_group(&g) {
        for (int i = 0; i < 4; i++)
            t_equal(weft_spawn_task(&g, busy_naps, NULL, &t[i]), 0);
        end = weft_now() + 10 * WEFT_SEC;
        for (long i = 0;
             i < t_scale(4000) || (seen == 0 && weft_now() < end); i++) {
            seen += weft_task_backtrace(t[i % 4], pcs, 32) > 0;
            t_equal(weft_yield(), 0);
        }
        atomic_store(&done_looking, 1);
    }
    t_check(seen > 0);
    return 0;
}

static void a_backtrace_delays_wakes_but_loses_none(void **state)
{
    assert_int_equal(t_run(t_workers(state), inspect, NULL), 0);
}

/* ---- blocks of one's own ----------------------------------------------------------- */

struct thing {
    int open, closed;
};

static struct thing *thing_open(struct thing *x, bool works)
{
    x->open += works;
    return works ? x : NULL;
}

static void thing_leave(struct thing **x)
{
    if (*x) {
        weft_with_shield()
            t_equal(weft_sleep(1), 0);
        (*x)->closed++;
    }
}

static void close_number(int *n)
{
    *n = -1;
}

static long own_blocks(void *arg)
{
    struct thing x = {0, 0};
    int rounds = 0;

    (void)arg;
    WEFT_WITH(struct thing, t, thing_open(&x, true), thing_leave) {
        t_check(t == &x);
        rounds++;
    }
    WEFT_WITH(struct thing, t, thing_open(&x, false), thing_leave)
        rounds += t != NULL ? 100 : 1000;
    for (int i = 0; i < 5; i++) {
        WEFT_WITH(struct thing, t, thing_open(&x, true), thing_leave) {
            rounds += t->open > 0;
            if (i == 1)
                break; /* the block */
            if (i == 2)
                goto out;
        }
    }
out:
    t_equal(rounds, 4);
    t_equal(x.open, 4);
    t_equal(x.closed, 4);
    {
        int n WEFT_CLEANUP(close_number) = 5;

        t_equal(n, 5);
    }
    return 0;
}

static void blocks_of_ones_own_release_however_they_are_left(void **state)
{
    assert_int_equal(t_run(t_workers(state), own_blocks, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    T_EACH(blocks_of_ones_own_release_however_they_are_left),
    T_EACH(a_scope_is_cancelled_from_another_task),
    T_EACH(cancelling_a_scope_that_is_being_left_touches_nothing_else),
    T_EACH(a_cancellation_tells_its_reason),
    T_EACH(wait_for_awaits_also_what_ignores_its_deadline),
    T_EACH(defers_run_last_in_first_out_however_it_ends),
    T_EACH(locals_are_inherited_by_value),
    T_EACH(an_error_tells_the_chain_of_its_causes),
    cmocka_unit_test(the_policy_abort_aborts_after_the_report),
    T_EACH(the_policy_cancel_cancels_the_root),
    cmocka_unit_test(an_eager_task_runs_until_it_waits),
    T_EACH(an_eager_child_comes_before_its_spawner),
    T_EACH(eager_tasks_by_the_hundred),
    T_EACH(tasks_can_be_looked_at),
    T_EACH(a_backtrace_delays_wakes_but_loses_none),
};
T_MAIN(tests)
