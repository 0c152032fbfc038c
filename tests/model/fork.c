/* SPDX-License-Identifier: MIT */
/* src/exec/fork.c: a stolen child's word. The joiner sees its result, is not
 * left asleep, and the thief does not touch the child's frame after its end;
 * with a third thread that leaps along.
 *
 * Included, for its functions are static: nap() comes after 128 rounds of
 * spinning, too many to explore. */
#include "exec/fork.c"

static struct fork_group group;
static struct forker forkers[3];
/* The records of thread 0. */
static struct child {
    alignas(16) struct weft_forked_ forked;
    int result;
} child[2];
static int result[2];
static unsigned waked;

struct forker *w_forker(void)
{
    return &forkers[m_self()];
}

static void more(void *pool)
{
    (void)pool;
    waked++;
}

static void setup(void)
{
    memset(&group, 0, sizeof group);
    memset(forkers, 0, sizeof forkers);
    memset(child, 0, sizeof child);
    memset(result, 0, sizeof result);
    waked = 0;
    group.forkers = forkers;
    group.n = 3;
    group.more = more;
    for (unsigned i = 0; i < 3; i++) {
        w_forker_init(&forkers[i], &group, i, (char *)(i ? NULL : child));
        m_name(&forkers[i], sizeof forkers[i], "forker");
        m_name(&forkers[i].park, 4, "park");
        m_name(&forkers[i].queue.top, 8, "top");
        m_name(&forkers[i].queue.bottom, 8, "bottom");
    }
    for (int i = 0; i < 2; i++) {
        m_name(&child[i], sizeof child[i], i ? "child1" : "child0");
        m_name(word(&child[i].forked), 8, i ? "word1" : "word0");
    }
}

static void leaf(struct weft_here_ *here, struct weft_forked_ *r)
{
    (void)here;
    container_of(r, struct child, forked)->result = 7;
}

static const struct weft_kind_ kind = {leaf, sizeof(struct child)};

/* The end of weft_unfork_slow_, sleeping as soon as that may. */
static void await(struct forker *f, struct weft_forked_ *r)
{
    uintptr_t s;

    while ((s = load_acquire(word(r))) != DONE) {
        if (s & ~WAITING)
            nap(f, r, -1);
        else
            m_pause();
    }
}

static int fork_one(struct forker *f, struct child *c)
{
    int got;

    f->here.top = f->split = (char *)c; /* a place of its own */
    weft_fork_(&f->here, &c->forked, &kind, sizeof *c);
    if (f->split == (char *)c) /* nobody asked */
        c->result = 7;
    else if (forkq_pop(&f->queue) == &c->forked)
        c->result = 7;
    else
        await(f, &c->forked);
    got = c->result;
    m_gone(c, sizeof *c);
    f->here.top = (char *)child;
    move_split(f, (char *)child);
    return got;
}

static void owner(void)
{
    struct forker *f = &forkers[0];

    w_fork_begin(f, (const _Atomic int *)&never);
    result[0] = fork_one(f, &child[0]);
    w_fork_end(f);
}

static void owner_of_two(void)
{
    struct forker *f = &forkers[0];

    w_fork_begin(f, (const _Atomic int *)&never);
    result[0] = fork_one(f, &child[0]);
    ask(f);
    result[1] = fork_one(f, &child[1]);
    w_fork_end(f);
}

/* As a program does it; the join spins, leaps, yields. */
static void forks_and_joins(void)
{
    struct forker *f = &forkers[0];

    w_fork_begin(f, (const _Atomic int *)&never);
    for (int i = 0; i < 2; i++)
        weft_fork_(&f->here, &child[i].forked, &kind, sizeof child[i]);
    for (int i = 2; i--;) {
        if (weft_unfork_(&f->here, &child[i].forked, sizeof child[i]))
            child[i].result = 7;
        result[i] = child[i].result;
        m_gone(&child[i], sizeof child[i]);
    }
    w_fork_end(f);
}

static void thief(void)
{
    struct forker *f = &forkers[m_self()];
    struct weft_forked_ *r = steal(&forkers[0]);

    if (r)
        run_taken(f, r, &forkers[0]);
}

static void thief_twice(void)
{
    thief();
    thief();
}

static void one_done(void)
{
    m_check(result[0] == 7);
}

static void two_done(void)
{
    m_check(result[0] == 7 && result[1] == 7);
}

const struct m_scenario m_scenarios[] = {
    {.name = "fork_join", .setup = setup, .check = one_done,
     .thread = {owner, thief}, .preemptions = 3, .stale = 3},
    {.name = "fork_two", .setup = setup, .check = two_done,
     .thread = {owner_of_two, thief_twice}, .preemptions = 2, .stale = 2},
    {.name = "fork_two_thieves", .setup = setup, .check = one_done,
     .thread = {owner, thief, thief}, .preemptions = 2, .stale = 2},
    {.name = "fork_unfork", .setup = setup, .check = two_done,
     .thread = {forks_and_joins, thief, thief}, .preemptions = 2, .stale = 1},
    {.name = NULL},
};
