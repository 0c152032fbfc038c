/* SPDX-License-Identifier: MIT */
/* src/base/spin.h: one holder at a time, and each sees what those before it
 * wrote. */
#include "base/spin.h"

static struct spin lock;
static _Atomic int64_t waited;
static int n, got;

static void setup(void)
{
    spin_init(&lock);
    store_relaxed(&waited, 0);
    n = got = 0;
    m_name(&lock, sizeof lock, "lock");
    m_name(&n, sizeof n, "n");
}

static void locks(void)
{
    spin_lock(&lock);
    n++;
    spin_unlock(&lock);
}

static void locks_twice(void)
{
    locks();
    locks();
}

static void locks_in_turns(void)
{
    for (int i = 0; i < 2; i++) {
        spin_lock_in_turns(&lock, &waited);
        n++;
        spin_unlock(&lock);
    }
}

static void tries(void)
{
    if (spin_trylock(&lock)) {
        n++;
        got++;
        spin_unlock(&lock);
    }
}

static void three(void)
{
    m_check(n == 3 && !load_relaxed(&lock.held));
}

static void four(void)
{
    m_check(n == 4 && !load_relaxed(&lock.held));
}

static void three_or_less(void)
{
    m_check(n == 2 + got);
}

const struct m_scenario m_scenarios[] = {
    {.name = "spin", .setup = setup, .thread = {locks_twice, locks},
     .check = three, .preemptions = 3, .stale = 3},
    {.name = "spin_three", .setup = setup, .thread = {locks, locks, locks},
     .check = three, .preemptions = 2, .stale = 2},
    {.name = "spin_try", .setup = setup, .thread = {locks, tries, locks},
     .check = three_or_less, .preemptions = 2, .stale = 2},
    {.name = "spin_turns", .setup = setup,
     .thread = {locks_in_turns, locks_in_turns}, .check = four,
     .preemptions = 2, .stale = 2},
    {.name = NULL},
};
