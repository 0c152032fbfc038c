/* SPDX-License-Identifier: MIT */
/* src/core/inject.c on ck's ring, as on a machine that keeps no order: every
 * entry comes out once, with what was written behind it; the ring of two runs
 * over at once.
 *
 * ck's volatile accesses are taken as relaxed atomics, its fences as seq_cst.
 *
 * With: core/inject.c
 * Flags: -DM_CK -DM_WEAK -DCK_USE_CC_BUILTINS=1 */
#include "core/inject.h"
#include "core/task.h"

static struct inject q;
static struct weft_task task[4];
static int runs[4];

static void setup(void)
{
    memset(&q, 0, sizeof q);
    memset(task, 0, sizeof task);
    memset(runs, 0, sizeof runs);
    ck_ring_init(&q.ring, 2);
    m_name(&q, sizeof q, "q");
    m_name(&q.len, sizeof q.len, "len");
    m_name(&q.ring, sizeof q.ring, "ring");
    m_name(q.slots, sizeof q.slots, "slots");
    m_name(&q.overflow, sizeof q.overflow, "overflow");
    m_name(&q.lock, sizeof q.lock, "lock");
    m_name(task, sizeof task, "task");
}

static w_entry entry(int i)
{
    return (w_entry)&task[i];
}

static void push(int i)
{
    task[i].site = "x";
    w_inject_push(&q, (struct chain){entry(i), entry(i), 1});
}

static unsigned take(void)
{
    struct chain c = w_inject_take(&q, 2);

    for (w_entry e = c.first; e; e = *entry_link(e)) {
        m_check(entry_task(e)->site);
        runs[entry_task(e) - task]++;
    }
    return c.n;
}

static void pusher(void)
{
    push(0);
}

static void other_pusher(void)
{
    push(1);
}

static void pusher_of_two(void)
{
    push(0);
    push(1);
}

static void pusher_of_three(void)
{
    push(0);
    push(1);
    push(2);
}

static void chain_pusher(void)
{
    struct chain c = {0, 0, 0};

    task[0].site = task[1].site = "x";
    w_chain_add(&c, entry(0));
    w_chain_add(&c, entry(1));
    w_inject_push(&q, c);
}

static void taker(void)
{
    (void)take();
}

static void taker_twice(void)
{
    (void)take();
    (void)take();
}

static void once(int n)
{
    while (take())
        ;
    for (int i = 0; i < n; i++)
        m_check(runs[i] == 1);
    m_check(load_relaxed(&q.len) == 0 && inject_looks_empty(&q));
}

static void two_once(void) { once(2); }
static void three_once(void) { once(3); }

#define S(n, f, ...) {.name = n, .setup = setup, .check = f, __VA_ARGS__}

const struct m_scenario m_scenarios[] = {
    S("inject", two_once, .thread = {pusher_of_two, taker_twice},
      .preemptions = 2, .stale = 2),
    S("inject_chain", two_once, .thread = {chain_pusher, taker, taker},
      .preemptions = 2, .stale = 1),
    S("inject_two_pushers", two_once,
      .thread = {pusher, other_pusher, taker}, .preemptions = 2, .stale = 1),
    S("inject_overflow", three_once, .thread = {pusher_of_three, taker_twice},
      .preemptions = 2, .stale = 2),
    {.name = NULL},
};
