/* SPDX-License-Identifier: MIT */
/* src/core/idle.h with runq.h: no work waits while every worker sleeps (D1).
 * The order of calls is that of search.c. */
#define RUNQ_SIZE 4u
#include "core/idle.h"
#include "core/runq.h"

#define WORKERS 3

static struct idle d;
static struct runq q[WORKERS];
static struct m_event ev[WORKERS];
static struct {
    long data, runs;
} task[4];

static void setup(void)
{
    memset(&d, 0, sizeof d);
    memset(q, 0, sizeof q);
    memset(ev, 0, sizeof ev);
    memset(task, 0, sizeof task);
    idle_open(&d, WORKERS);
    m_name(&d.searching, 4, "searching");
    m_name(&d.sleepers, 8, "sleepers");
    m_name(q, sizeof q, "q");
    m_name(ev, sizeof ev, "ev");
    m_name(task, sizeof task, "task");
}

static bool work_visible(void)
{
    for (int i = 0; i < WORKERS; i++)
        if (!runq_looks_empty(&q[i]))
            return true;
    return false;
}

static void notify(unsigned near)
{
    int i = idle_wake_one(&d, near);

    if (i >= 0)
        m_event_signal(&ev[i]);
}

static void stop_searching(bool *searching, bool found, unsigned me)
{
    if (!*searching)
        return;
    *searching = false;
    if (idle_search_end(&d) && found && work_visible())
        notify(me);
}

static w_entry find(unsigned me, bool *searching)
{
    w_entry e = runq_take(&q[me]), out[2];

    if (e)
        return e;
    if (!*searching) {
        if (!idle_search_begin(&d))
            return 0;
        *searching = true;
    }
    for (unsigned k = 1; k < WORKERS; k++)
        if (runq_steal(&q[(me + k) % WORKERS], out, 1))
            return out[0];
    return 0;
}

static void works(bool asleep)
{
    unsigned me = m_self();
    bool searching = false;

    m_daemon();
    for (;; asleep = false) {
        w_entry e = asleep ? 0 : find(me, &searching);

        if (e) {
            stop_searching(&searching, true, me);
            m_check(task[e / 16 - 1].data == 1);
            task[e / 16 - 1].runs++;
            continue;
        }
        stop_searching(&searching, false, me);
        idle_sleep_begin(&d, me);
        if (!work_visible())
            m_event_wait(&ev[me]);
        if (!idle_sleep_end(&d, me))
            searching = true;
    }
}

static void worker(void)
{
    works(false);
}

/* It has just looked for work and found none. */
static void sleeper(void)
{
    works(true);
}

/* A busy worker: it never looks for work. */
static void push(unsigned i)
{
    task[i].data = 1;
    m_check(runq_push(&q[m_self()], (i + 1) * 16));
    notify(m_self());
}

static void busy(void)
{
    push(0);
}

static void busier(void)
{
    push(0);
    push(1);
}

/* Task 1 is there, and its worker about to tell. */
static void setup_pushed(void)
{
    setup();
    task[1].data = 1;
    m_check(runq_push(&q[1], 32));
}

static void tells(void)
{
    notify(1);
}

static void ran(int n)
{
    for (int i = 0; i < n; i++)
        if (task[i].runs != 1)
            m_fail("task %d ran %ld times: everybody sleeps", i, task[i].runs);
    m_check(load_relaxed(&d.searching) == 0);
}

static void one_ran(void) { ran(1); }
static void two_ran(void) { ran(2); }

const struct m_scenario m_scenarios[] = {
    {.name = "idle", .setup = setup, .thread = {busy, worker},
     .check = one_ran, .preemptions = 3, .stale = 3},
    {.name = "idle_two", .setup = setup, .thread = {busier, worker},
     .check = two_ran, .preemptions = 2, .stale = 2},
    {.name = "idle_three", .setup = setup, .thread = {busy, worker, worker},
     .check = one_ran, .preemptions = 2, .stale = 1},
    /* A waker that finds nobody to wake has counted a searcher meanwhile. */
    {.name = "idle_two_wakers", .setup = setup_pushed,
     .thread = {busy, tells, sleeper}, .check = two_ran, .preemptions = 4,
     .stale = M_NONE},
    {.name = NULL},
};
