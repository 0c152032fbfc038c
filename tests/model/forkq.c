/* SPDX-License-Identifier: MIT */
/* src/exec/forkq.h: every child is run once, by its owner or a thief, who sees
 * what the owner wrote into it; a slot is used again only when it is free. The
 * ring holds two. */
#define FORKQ_SIZE 2
#include "exec/forkq.h"

struct weft_forked_ {
    int data;
    int runs;
};

static struct forkq q;
static struct weft_forked_ child[4];

static void setup(void)
{
    memset(&q, 0, sizeof q);
    memset(child, 0, sizeof child);
    m_name(&q.top, sizeof q.top, "top");
    m_name(&q.bottom, sizeof q.bottom, "bottom");
    m_name(q.slots, sizeof q.slots, "slots");
    m_name(child, sizeof child, "child");
}

/* Plain accesses: who runs a child must know of its owner's writes, and of
 * nobody else who runs it. */
static void run(struct weft_forked_ *f)
{
    m_check(f && f->data == 1);
    f->runs++;
}

static void push(int i)
{
    child[i].data = 1;
    forkq_push(&q, &child[i]);
}

static bool pop(void)
{
    struct weft_forked_ *f = forkq_pop(&q);

    if (f)
        run(f);
    return f;
}

static void steal(void)
{
    struct weft_forked_ *f;

    if (forkq_steal(&q, &f) == FORKQ_GOT)
        run(f);
}

static void thief(void)
{
    steal();
}

static void thief_twice(void)
{
    steal();
    steal();
}

/* One child, wanted by three. */
static void owner_of_one(void)
{
    push(0);
    (void)pop();
}

static void owner_of_two(void)
{
    push(0);
    push(1);
    (void)pop();
    (void)pop();
}

/* The ring's edge: a slot that a thief has just emptied. */
static void owner_over_edge(void)
{
    push(0);
    push(1);
    if (forkq_room(&q) > 0)
        push(2);
    else
        child[2].runs = 1;
    while (pop())
        ;
    if (forkq_room(&q) > 0) {
        push(3);
        (void)pop();
    } else {
        child[3].runs = 1;
    }
}

static void once(int n)
{
    while (pop())
        ;
    for (int i = 0; i < n; i++)
        m_check(child[i].runs == 1);
    m_check(forkq_looks_empty(&q));
}

static void one_once(void) { once(1); }
static void two_once(void) { once(2); }
static void four_once(void) { once(4); }

const struct m_scenario m_scenarios[] = {
    {.name = "forkq_last", .setup = setup, .check = one_once,
     .thread = {owner_of_one, thief, thief}, .preemptions = 3, .stale = 3},
    {.name = "forkq_two", .setup = setup, .check = two_once,
     .thread = {owner_of_two, thief_twice}, .preemptions = 3, .stale = 3},
    {.name = "forkq_two_thieves", .setup = setup, .check = two_once,
     .thread = {owner_of_two, thief, thief}, .preemptions = 2, .stale = 2},
    {.name = "forkq_edge", .setup = setup, .check = four_once,
     .thread = {owner_over_edge, thief_twice}, .preemptions = 2, .stale = 2},
    {.name = NULL},
};
