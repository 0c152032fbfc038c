/* SPDX-License-Identifier: MIT */
/* src/core/park.c, and what scope.c, join.c cancel with: of wake, cancel,
 * time-out and inspection exactly one ends a wait; no wake-up is lost; nobody
 * touches a task's stack before it has left it.
 *
 * With: core/park.c core/scope.c core/join.c base/barrier.c */
#include "env.h"

/* An object with one waiter, as src/sync has them. */
static struct {
    struct spin lock;
    struct waiter *x; /* L */
    int set;          /* L */
    long gift;
} obj[2];

static struct scope scope;
static int result[2], seen_parked;
static _Atomic int claims;
static long gift;
static struct m_event begun[3];

void w_group_cancel_now(struct group *g)
{
    (void)g;
    m_fail("no group is joined here");
}

static void env_start(unsigned i)
{
    m_fail("task %u is started twice", i);
}

static void setup(void)
{
    env_setup();
    memset(obj, 0, sizeof obj);
    memset(&scope, 0, sizeof scope);
    memset(result, 0, sizeof result);
    memset(begun, 0, sizeof begun);
    store_relaxed(&claims, 0);
    seen_parked = 0;
    gift = 0;
    m_name(obj, sizeof obj, "obj");
    m_name(&scope, sizeof scope, "the scope");
}

/* 1: woken. 0: it was set before. Else the error. */
static int wait_on(struct weft_task *t, unsigned i)
{
    struct waiter x = {.task = t};
    int rc = w_wait_begin(t, &x.epoch);

    if (rc)
        return rc;
    m_name(&x, sizeof x, "waiter");
    spin_lock(&obj[i].lock);
    if (obj[i].set) {
        spin_unlock(&obj[i].lock);
        w_wait_abort(t);
        return 0;
    }
    obj[i].x = &x;
    spin_unlock(&obj[i].lock);
    if (w_wait(t, "test")) {
        m_check(x.won);
        gift += (long)x.value;
        return 1;
    }
    spin_lock(&obj[i].lock);
    if (obj[i].x == &x)
        obj[i].x = NULL;
    spin_unlock(&obj[i].lock);
    return w_cancel_error(t);
}

static void wake(unsigned i)
{
    struct waiter *x;

    spin_lock(&obj[i].lock);
    x = obj[i].x;
    obj[i].x = NULL;
    if (x && w_claim_waiter(x)) {
        struct weft_task *t = x->task;

        x->value = (void *)1;
        spin_unlock(&obj[i].lock);
        w_ready(t);
        return;
    }
    obj[i].set = 1;
    spin_unlock(&obj[i].lock);
}

static void waits(void)
{
    result[0] = wait_on(env_become(0), 0);
}

static void waits_twice(void)
{
    struct weft_task *t = env_become(0);

    result[0] = wait_on(t, 0);
    result[1] = wait_on(t, 1);
}

static void wakes(void)
{
    wake(0);
}

static void wakes_other(void)
{
    wake(1);
}

static void wakes_both(void)
{
    wake(0);
    wake(1);
}

static void cancels(void)
{
    w_task_cancel_now(env_task(0));
}

static void cancels_family(void)
{
    struct chain c = {0, 0, 0};

    w_family_cancel(&env_family, &c);
    if (c.n)
        w_submit(&env_rt, c);
}

/* What a timer does when it fires (scope.c, expire), by the public way. */
static void setup_scope(void)
{
    setup();
    scope.task = env_task(0);
    scope.depth = 1;
    scope.kind = SCOPE_DEADLINE;
    scope.shared = true;
    env_task(0)->scope = &scope;
    env_task(0)->depth = 1;
}

static void cancels_scope(void)
{
    (void)weft_scope_cancel((weft_scope *)&scope, "test");
}

static void woken_once(void)
{
    m_check(result[0] == 0 || result[0] == 1);
    m_check(gift == result[0]);
    m_check(WAIT_STATE(load_relaxed(&env_task(0)->wait)) == WAIT_IDLE);
}

static void both_woken(void)
{
    m_check(result[0] >= 0 && result[1] >= 0);
    m_check(gift == result[0] + result[1]);
}

/* Woken or cancelled; a grant is never lost: the object has it or the task. */
static void one_won(void)
{
    m_check(result[0] == 0 || result[0] == 1 || result[0] == -ECANCELED);
    m_check(gift == (result[0] == 1));
    m_check(result[0] == 1 || obj[0].set == 1);
}

/* What was not woken by both was cancelled, and the second wait must be. */
static void one_won_second_cancelled(void)
{
    one_won();
    m_check(result[1] == -ECANCELED);
}

/* ---- one wait, two objects ----------------------------------------------- */

static void selects(void)
{
    struct weft_task *t = env_become(0);
    struct waiter x[2] = {{.task = t}, {.task = t}};
    int rc = w_wait_begin(t, &x[0].epoch);

    m_check(rc == 0);
    x[1].epoch = x[0].epoch;
    for (int i = 0; i < 2; i++) {
        spin_lock(&obj[i].lock);
        if (obj[i].set)
            (void)!w_claim_self(&x[i]);
        else
            obj[i].x = &x[i];
        spin_unlock(&obj[i].lock);
    }
    m_check(w_wait(t, "select"));
    for (int i = 0; i < 2; i++) {
        spin_lock(&obj[i].lock);
        if (obj[i].x == &x[i])
            obj[i].x = NULL;
        spin_unlock(&obj[i].lock);
    }
    result[0] = x[0].won;
    result[1] = x[1].won;
    m_gone(x, sizeof x);
}

static void selected_once(void)
{
    m_check(result[0] + result[1] == 1);
    for (int i = 0; i < 2; i++)
        m_check(result[i] || obj[i].set == 1);
}

/* ---- a token of an earlier wait ------------------------------------------ */

static void claims_first(void)
{
    m_event_wait(&begun[m_self() - 2]);
    if (w_claim(env_task(0), 2)) {
        add_relaxed(&claims, 1);
        w_ready(env_task(0));
    }
}

static void claims_second(void)
{
    m_event_wait(&begun[2]);
    m_check(w_claim(env_task(0), 3));
    w_ready(env_task(0));
}

static void waits_for_claims(void)
{
    struct weft_task *t = env_become(0);
    uint64_t epoch;

    m_check(w_wait_begin(t, &epoch) == 0 && epoch == 2);
    m_event_signal(&begun[0]);
    m_event_signal(&begun[1]);
    m_check(w_wait(t, "test"));
    m_check(w_wait_begin(t, &epoch) == 0 && epoch == 3);
    m_event_signal(&begun[2]);
    m_check(w_wait(t, "test"));
    result[0] = 1;
}

static void claimed_each(void)
{
    m_check(load_relaxed(&claims) == 1 && result[0] == 1);
}

/* ---- joining, inspecting ------------------------------------------------- */

/* Runs a child on its own stack; the child's record is gone right after. */
static void joins(void)
{
    struct weft_task *t = env_become(0), *child = env_task(2);
    int rc = w_join_begin(t, (uintptr_t)child);

    result[0] = rc;
    if (rc == 0) {
        w_join_end(t);
        result[1] = (int)load_acquire(&child->cancelled);
    }
    m_gone(child, sizeof *child);
}

/* A cancellation meets the task or its child, whichever came first. */
static void join_cancelled(void)
{
    m_check(result[0] == 0 || result[0] == -ECANCELED);
    m_check(load_relaxed(&env_task(0)->cancelled));
    m_check(WAIT_STATE(load_relaxed(&env_task(0)->wait)) == WAIT_IDLE);
}

static void inspects(void)
{
    struct weft_task *t = env_task(0);

    if (w_inspect_begin(t)) {
        m_check(env[0].away == 1); /* it stays off its stack */
        seen_parked++;
        w_inspect_end(t);
    }
}

const struct m_scenario m_scenarios[] = {
    {.name = "park_wake", .setup = setup, .check = woken_once,
     .thread = {waits, env_worker_0, wakes}, .preemptions = 3, .stale = 2},
    {.name = "park_twice", .setup = setup, .check = both_woken,
     .thread = {waits_twice, env_worker_0, wakes_both}, .preemptions = 2,
     .stale = 2},
    {.name = "park_cancel", .setup = setup, .check = one_won_second_cancelled,
     .thread = {waits_twice, env_worker_0, wakes, cancels}, .preemptions = 2,
     .stale = 1},
    {.name = "park_cancel_alone", .setup = setup, .check = NULL,
     .thread = {waits, env_worker_0, cancels}, .preemptions = 3, .stale = 2},
    {.name = "park_family", .setup = setup, .check = NULL,
     .thread = {waits, env_worker_0, cancels_family}, .preemptions = 3,
     .stale = 2},
    {.name = "park_time_out", .setup = setup_scope, .check = one_won,
     .thread = {waits, env_worker_0, wakes, cancels_scope}, .preemptions = 2,
     .stale = 1},
    {.name = "park_two_cancel", .setup = setup_scope, .check = NULL,
     .thread = {waits, env_worker_0, cancels, cancels_scope},
     .preemptions = 2, .stale = 1},
    {.name = "park_select", .setup = setup, .check = selected_once,
     .thread = {selects, env_worker_0, wakes, wakes_other}, .preemptions = 2,
     .stale = 1},
    {.name = "park_epoch", .setup = setup, .check = claimed_each,
     .thread = {waits_for_claims, env_worker_0, claims_first, claims_first,
                claims_second},
     .preemptions = 1, .stale = M_NONE},
    {.name = "park_join", .setup = setup, .check = join_cancelled,
     .thread = {joins, cancels}, .preemptions = 3, .stale = 3},
    {.name = "park_inspect", .setup = setup, .check = woken_once,
     .thread = {waits, env_worker_0, wakes, inspects}, .preemptions = 2,
     .stale = 1},
    {.name = NULL},
};
