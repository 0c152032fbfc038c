/* SPDX-License-Identifier: MIT */
/* src/core/runq.h: every entry is had once, by its owner or a thief, who sees
 * what the owner wrote behind it; a slot is written again only when its reader
 * is done. The ring holds two or four. */
#ifndef RUNQ_SIZE
#define RUNQ_SIZE 4u
#endif
#include "core/runq.h"

static struct runq q;
static struct {
    long data, runs;
} task[8];

static void setup(void)
{
    memset(&q, 0, sizeof q);
    memset(task, 0, sizeof task);
    m_name(&q.head, sizeof q.head, "head");
    m_name(&q.tail, sizeof q.tail, "tail");
    m_name(q.slots, sizeof q.slots, "slots");
    m_name(task, sizeof task, "task");
}

static w_entry entry(int i)
{
    return (w_entry)(i + 1) * 16;
}

static void run(w_entry e)
{
    unsigned i = (unsigned)(e / 16 - 1);

    m_check(e && e % 16 == 0 && i < 8);
    m_check(task[i].data == 1);
    task[i].runs++;
}

static void push(int i)
{
    task[i].data = 1;
    if (!runq_push(&q, entry(i)))
        task[i].runs++; /* as if it went to the shared queue */
}

static void take(void)
{
    w_entry e = runq_take(&q);

    if (e)
        run(e);
}

static void newest(uint32_t max)
{
    w_entry out[RUNQ_SIZE];
    uint32_t n = runq_take_newest(&q, out, max);

    m_check(n <= max);
    for (uint32_t i = 0; i < n; i++) {
        m_check(i == 0 || out[i] > out[i - 1]);
        run(out[i]);
    }
}

static void steal(uint32_t max)
{
    w_entry out[RUNQ_SIZE];
    uint32_t n = runq_steal(&q, out, max);

    m_check(n <= max);
    for (uint32_t i = 0; i < n; i++)
        run(out[i]);
}

static void thief(void)
{
    steal(RUNQ_SIZE);
}

static void thief_twice(void)
{
    steal(1);
    steal(RUNQ_SIZE);
}

static void fifo_owner(void)
{
    push(0);
    push(1);
    take();
    push(2);
    take();
}

static void lifo_owner(void)
{
    push(0);
    push(1);
    newest(1);
    push(2);
    newest(2);
}

static void mixed_owner(void)
{
    push(0);
    push(1);
    newest(1);
    take();
    push(2);
}

/* More than fits: the ring is full also while a thief still reads. */
static void full_owner(void)
{
    for (int i = 0; i < (int)RUNQ_SIZE; i++)
        push(i);
    push((int)RUNQ_SIZE);
    take();
    push((int)RUNQ_SIZE + 1);
    newest(1);
}

static void once(int n)
{
    for (w_entry e; (e = runq_take(&q));)
        run(e);
    m_check(runq_looks_empty(&q));
    for (int i = 0; i < n; i++)
        m_check(task[i].runs == 1);
}

static void three_once(void) { once(3); }
static void full_once(void) { once((int)RUNQ_SIZE + 2); }

/* The index wraps in the middle. */
static void setup_wrap(void)
{
    setup();
    store_relaxed(&q.head, UINT64_C(0xffffffff));
    store_relaxed(&q.tail, UINT32_C(0xffffffff));
}

#define S(n, ...) {.name = n, .setup = setup, .check = three_once, __VA_ARGS__}

const struct m_scenario m_scenarios[] = {
    S("runq_fifo", .thread = {fifo_owner, thief}, .preemptions = 3,
      .stale = 3),
    S("runq_lifo", .thread = {lifo_owner, thief}, .preemptions = 3,
      .stale = 2),
    S("runq_two_thieves", .thread = {mixed_owner, thief, thief},
      .preemptions = 2, .stale = 1),
    S("runq_thief_twice", .thread = {lifo_owner, thief_twice},
      .preemptions = 2, .stale = 2),
    {.name = "runq_full", .setup = setup, .check = full_once,
     .thread = {full_owner, thief}, .preemptions = 2, .stale = 2},
    {.name = "runq_wrap", .setup = setup_wrap, .check = three_once,
     .thread = {mixed_owner, thief}, .preemptions = 2, .stale = 2},
    {.name = NULL},
};
