/* SPDX-License-Identifier: MIT */
/* src/core/slot.h: an entry put is had once, by its owner or the thief, with
 * what was written behind it. Both with the kernel's barrier and with fences.
 *
 * With: base/barrier.c */
#include "core/slot.h"

static struct slot s;
static struct {
    long data, runs;
} task[4];

static void zero(void)
{
    w_barrier_open();
    memset(&s, 0, sizeof s);
    memset(task, 0, sizeof task);
    m_name(&s.entry, sizeof s.entry, "entry");
    m_name(&s.owner, sizeof s.owner, "owner");
    m_name(&s.thief, sizeof s.thief, "thief");
    m_name(task, sizeof task, "task");
}

static void setup(void)
{
    zero();
    w_barrier_uneven = true;
}

static void setup_even(void)
{
    zero();
    w_barrier_uneven = false;
}

static void run(w_entry e)
{
    m_check(task[e / 16 - 1].data == 1);
    task[e / 16 - 1].runs++;
}

static void put(unsigned i)
{
    w_entry old;

    task[i].data = 1;
    old = slot_put(&s, (i + 1) * 16);
    if (old)
        run(old);
}

static void take(void)
{
    w_entry e = slot_take(&s);

    if (e)
        run(e);
}

static void owner(void)
{
    put(0);
    put(1);
    take();
}

static void taking_owner(void)
{
    put(0);
    take();
    put(1);
    if (slot_remove(&s, 32))
        run(32);
}

static void thief(void)
{
    w_entry e = slot_steal(&s);

    if (e)
        run(e);
}

static void thief_twice(void)
{
    thief();
    thief();
}

static void once(void)
{
    w_entry e = slot_take(&s);

    if (e)
        run(e);
    m_check(task[0].runs == 1 && task[1].runs == 1);
    m_check(!load_relaxed(&s.owner) && !load_relaxed(&s.thief));
}

#define S(n, up, ...) {.name = n, .setup = up, .check = once, __VA_ARGS__}

const struct m_scenario m_scenarios[] = {
    S("slot", setup, .thread = {owner, thief_twice}, .preemptions = 3,
      .stale = 2),
    S("slot_take", setup, .thread = {taking_owner, thief_twice},
      .preemptions = 3, .stale = 2),
    S("slot_two_thieves", setup, .thread = {owner, thief, thief},
      .preemptions = 2, .stale = 2),
    S("slot_fences", setup_even, .thread = {taking_owner, thief_twice},
      .preemptions = 3, .stale = 2),
    {.name = NULL},
};
