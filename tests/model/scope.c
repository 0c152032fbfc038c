/* SPDX-License-Identifier: MIT */
/* src/core/scope.c: a task that leaves a scope clears its attention flag, and
 * no cancellation that comes meanwhile is lost. In each scenario the task is in
 * one scope in another, the inner one has expired, and it leaves that while
 * others cancel. Afterwards the flag tells whether anything is cancelled yet.
 *
 * With: core/scope.c core/park.c core/join.c core/group.c base/barrier.c */
#include "env.h"

static struct scope outer, shield, inner;
static struct group group;
static struct spin timer_lock;
static int result, left;

/* ---- what the files ask of the rest -------------------------------------- */

static void env_start(unsigned i)
{
    m_fail("task %u is started", i);
}

#define NEVER(...)                                                             \
    {                                                                          \
        m_fail("not here: %s", __func__);                                      \
    }
void w_defers_run(struct defer **first) NEVER()
void w_budget_spent(struct worker *w) NEVER()
void w_failure_ref(struct failure *f) NEVER()
const char *weft_task_name(const weft_task *t) NEVER()

/* Timers fire under a lock that who disarms them takes, if it comes before. */
void w_timer_arm(struct timers *ts, struct timer *t, int64_t when,
                 w_timer_fire *fire)
{
    (void)when;
    t->fire = fire;
    store_release(&t->home, ts);
}

bool w_timer_disarm(struct timer *t)
{
    bool armed;

    if (!load_acquire(&t->home))
        return false;
    spin_lock(&timer_lock);
    armed = load_relaxed(&t->home) != NULL;
    store_release(&t->home, NULL);
    spin_unlock(&timer_lock);
    return armed;
}

/* ---- before -------------------------------------------------------------- */

static weft_scope *S(struct scope *s)
{
    return (weft_scope *)s;
}

/* The task's to go on with. */
static struct weft_task *setup(void)
{
    env_setup();
    memset(&outer, 0, sizeof outer);
    memset(&shield, 0, sizeof shield);
    memset(&inner, 0, sizeof inner);
    memset(&group, 0, sizeof group);
    memset(&timer_lock, 0, sizeof timer_lock);
    result = left = 1;
    m_name(&outer, sizeof outer, "outer");
    m_name(&inner, sizeof inner, "inner");
    m_name(&group, sizeof group, "the group");
    m_name(&timer_lock, sizeof timer_lock, "timer_lock");
    return env_become(0);
}

static void setup_inner(void)
{
    (void)weft_timeout_enter(S(&inner), 0);
    m_check(load_relaxed(&w_current()->attention));
    w_thread_set(NULL);
}

static void setup_scopes(void)
{
    (void)setup();
    (void)weft_scope_enter(S(&outer));
    setup_inner();
}

static void setup_outer(void)
{
    (void)setup();
    (void)weft_scope_enter(S(&outer));
    w_thread_set(NULL);
}

static void setup_shield(void)
{
    (void)setup();
    (void)weft_scope_enter(S(&outer));
    (void)weft_shield_enter(S(&shield));
    setup_inner();
}

static void setup_timer(void)
{
    (void)setup();
    (void)weft_deadline_enter_(S(&outer), 10);
    setup_inner();
}

static void setup_group(void)
{
    group.owner = setup();
    group.rt = &env_rt;
    group.family.group = &group;
    group.open = true;
    w_scope_push(group.owner, &group.scope, SCOPE_GROUP);
    setup_inner();
}

/* ---- threads ------------------------------------------------------------- */

/* What is waited for never comes. */
static int wait_for_cancel(struct weft_task *t)
{
    uint64_t epoch;
    int rc = w_wait_begin(t, &epoch);

    if (rc)
        return rc;
    m_check(!w_wait(t, "test"));
    return w_cancel_error(t);
}

static void leaves(void)
{
    struct weft_task *t = env_become(0);

    left = weft_scope_leave(S(&inner));
    result = wait_for_cancel(t);
}

/* Its own raising of the flag comes between. */
static void enters_and_leaves(void)
{
    (void)env_become(0);
    (void)weft_timeout_enter(S(&inner), 0);
    leaves();
}

static void leaves_both(void)
{
    leaves();
    m_check(weft_scope_leave(S(&outer)) == result);
}

static void leaves_shield(void)
{
    struct weft_task *t = env_become(0);

    left = weft_scope_leave(S(&inner));
    m_check(weft_check() == 0);
    (void)weft_scope_leave(S(&shield));
    result = wait_for_cancel(t);
}

static void leaves_only(void)
{
    (void)env_become(0);
    left = weft_scope_leave(S(&inner));
    result = weft_check();
}

static void cancels(void)
{
    w_task_cancel_now(env_task(0));
}

static void cancels_outer(void)
{
    (void)weft_scope_cancel(S(&outer), "test");
}

static void cancels_inner(void)
{
    (void)weft_scope_cancel(S(&inner), "test");
}

static void cancels_group(void)
{
    w_group_cancel_now(&group);
}

static void expires(void)
{
    struct timer *t = &outer.timer;
    struct chain c = {0, 0, 0};

    spin_lock(&timer_lock);
    if (load_relaxed(&t->home)) {
        (void)t->fire(t, &env[0].worker_side, &c);
        store_release(&t->home, NULL);
    }
    spin_unlock(&timer_lock);
    if (c.n)
        w_submit(&env_rt, c);
}

/* ---- after --------------------------------------------------------------- */

static void ended(int rc, uint32_t attention)
{
    struct weft_task *t = env_task(0);

    m_check(left == -ETIMEDOUT || left == -ECANCELED);
    m_check(result == rc);
    m_check(load_relaxed(&t->attention) == attention);
    m_check(WAIT_STATE(load_relaxed(&t->wait)) == WAIT_IDLE);
}

static void cancelled_yet(void) { ended(-ECANCELED, 1); }
static void cancelled_and_left(void) { ended(-ECANCELED, 0); }
static void expired_and_left(void) { ended(-ETIMEDOUT, 0); }
static void nothing_left(void) { ended(0, 0); }

const struct m_scenario m_scenarios[] = {
    {.name = "scope_cancel", .setup = setup_scopes, .check = cancelled_yet,
     .thread = {leaves, env_worker_0, cancels}, .preemptions = 3, .stale = 2},
    {.name = "scope_at_once", .setup = setup_outer, .check = cancelled_yet,
     .thread = {enters_and_leaves, env_worker_0, cancels}, .preemptions = 3,
     .stale = 2},
    {.name = "scope_two", .setup = setup_scopes, .check = cancelled_yet,
     .thread = {leaves, env_worker_0, cancels, cancels_inner},
     .preemptions = 2, .stale = 1},
    {.name = "scope_outer", .setup = setup_scopes,
     .check = cancelled_and_left,
     .thread = {leaves_both, env_worker_0, cancels_outer}, .preemptions = 3,
     .stale = 2},
    {.name = "scope_outer_two", .setup = setup_scopes,
     .check = cancelled_and_left,
     .thread = {leaves_both, env_worker_0, cancels_outer, cancels_inner},
     .preemptions = 2, .stale = 1},
    {.name = "scope_inner", .setup = setup_scopes, .check = nothing_left,
     .thread = {leaves_only, cancels_inner}, .preemptions = 3, .stale = 3},
    {.name = "scope_timer", .setup = setup_timer, .check = expired_and_left,
     .thread = {leaves_both, env_worker_0, expires}, .preemptions = 3,
     .stale = 2},
    {.name = "scope_shield", .setup = setup_shield, .check = cancelled_yet,
     .thread = {leaves_shield, env_worker_0, cancels_outer},
     .preemptions = 3, .stale = 2},
    {.name = "scope_group", .setup = setup_group, .check = cancelled_yet,
     .thread = {leaves, env_worker_0, cancels_group}, .preemptions = 3,
     .stale = 2},
    {.name = NULL},
};
