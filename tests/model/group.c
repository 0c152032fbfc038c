/* SPDX-License-Identifier: MIT */
/* src/core/group.c: whoever ends last wakes the owner, once, and nobody touches
 * a group that its owner has left; the owner sees what the children wrote.
 *
 * With: core/group.c core/park.c core/scope.c core/join.c base/barrier.c */
#include "env.h"

#define CHILDREN 2

static weft_group group;
static struct m_event starts[CHILDREN + 1];
static struct weft_task child_memory[CHILDREN + 1];
static unsigned allocated;
static int data[CHILDREN + 1];
static long result, told;

_Atomic uint32_t w_debugging;

static void setup(void)
{
    env_setup();
    memset(&group, 0, sizeof group);
    memset(starts, 0, sizeof starts);
    memset(child_memory, 0, sizeof child_memory);
    memset(data, 0, sizeof data);
    allocated = 0;
    result = told = 0;
    m_name(&group, sizeof group, "group");
    m_name(&group, 8, "pending");
    m_name(&((struct group *)&group)->ended, 8, "ended");
    m_name(&((struct group *)&group)->next_epoch, 8, "next_epoch");
    m_name(starts, sizeof starts, "starts");
    m_name(data, sizeof data, "data");
}

/* ---- what group.c asks of the rest -------------------------------------- */

/* Children stand behind the tasks that can wait. */
struct weft_task *w_task_alloc(struct weft_runtime *rt, struct worker *w)
{
    (void)rt;
    (void)w;
    return env_task(ENV_TASKS + allocated++);
}

static void env_start(unsigned i)
{
    m_event_signal(&starts[i - ENV_TASKS]);
}

bool w_inline_room(struct worker *w)
{
    (void)w;
    return false; /* children run elsewhere */
}

void w_budget_spent(struct worker *w)
{
    (void)w;
}

void w_task_release(struct weft_task *t)
{
    (void)t;
}

#define NEVER(...)                                                             \
    {                                                                          \
        m_fail("not here: %s", __func__);                                      \
    }
bool w_switch_to_new(struct worker *w, struct weft_task *t) NEVER()
void w_locals_inherit(struct weft_task *t, const struct weft_task *f) NEVER()
w_entry w_worker_take_child(struct worker *w, struct group *g) NEVER()
void w_run_inline(struct worker *w, struct weft_task *t) NEVER()
void w_task_stale(struct weft_task *t) NEVER()
void w_background_put(struct worker *w, w_entry e) NEVER()
void w_debug_joins(struct group *g) NEVER()
void w_defers_run(struct defer **first) NEVER()
void w_task_learn(struct weft_task *t, struct failure *f) NEVER()
void w_failure_unref_slow(struct failure *f) NEVER()
void w_failure_unref(struct failure *f) NEVER()
void w_failure_ref(struct failure *f) NEVER()
char *w_name_copy(const char *name) NEVER()
const char *weft_task_name(const weft_task *t) NEVER()

/* ---- threads ------------------------------------------------------------ */

static struct group *G(void)
{
    return (struct group *)&group;
}

static void owner(void)
{
    (void)env_become(0);
    m_check(weft_group_enter(&group));
    for (int i = 0; i < CHILDREN; i++)
        m_check(weft_spawn_at(&group, NULL, NULL, "") == 0);
    result = weft_group_wait(&group);
    for (int i = 0; i < CHILDREN; i++)
        m_check(data[i] == 1);
    (void)weft_group_leave(&group);
    m_gone(&group, sizeof group);
}

static void owner_of_one(void)
{
    (void)env_become(0);
    m_check(weft_group_enter(&group));
    m_check(weft_spawn_at(&group, NULL, NULL, "") == 0);
    result = weft_group_leave(&group);
    m_check(data[0] == 1);
    m_gone(&group, sizeof group);
}

/* Its second child is spawned by the first. */
static void owner_of_family(void)
{
    owner_of_one();
    m_check(data[1] == 1);
}

/* Two waits, so two epochs in one word. */
static void owner_in_turns(void)
{
    (void)env_become(0);
    m_check(weft_group_enter(&group));
    for (int i = 0; i < CHILDREN; i++) {
        m_check(weft_spawn_at(&group, NULL, NULL, "") == 0);
        (void)weft_group_wait(&group);
        m_check(data[i] == 1);
    }
    result = weft_group_leave(&group);
    m_gone(&group, sizeof group);
}

static void owner_of_told(void)
{
    weft_task *t;

    (void)env_become(0);
    m_check(weft_group_enter(&group));
    for (int i = 0; i < CHILDREN; i++)
        m_check(weft_spawn_task_at(&group, NULL, NULL, NULL, &t, "") == 0);
    while (weft_group_next(&group, &t) == 1) {
        m_check(data[env_index(t) - ENV_TASKS] == 1);
        told++;
    }
    result = weft_group_leave(&group);
    m_gone(&group, sizeof group);
}

static void child(unsigned i)
{
    m_event_wait(&starts[i]);
    data[i] = 1;
    w_group_children_end(G(), 1);
}

static void child_0(void) { child(0); }
static void child_1(void) { child(1); }

static void telling_child(unsigned i)
{
    m_event_wait(&starts[i]);
    data[i] = 1;
    w_group_told(G(), env_task(ENV_TASKS + i));
    w_group_children_end(G(), 1);
}

static void telling_0(void) { telling_child(0); }
static void telling_1(void) { telling_child(1); }

static void parent_child(void)
{
    m_event_wait(&starts[0]);
    data[0] = 1;
    (void)env_become(1);
    m_check(weft_spawn_at(&group, NULL, NULL, "") == 0);
    w_group_children_end(G(), 1);
}

static void cancels(void)
{
    w_task_cancel_now(env_task(0));
}

static void ended(void)
{
    m_check(result == 0);
    m_check(WAIT_STATE(load_relaxed(&env_task(0)->wait)) == WAIT_IDLE);
}

static void all_told(void)
{
    ended();
    m_check(told == CHILDREN);
}

static void ended_or_cancelled(void)
{
    m_check(result == 0 || result == -ECANCELED);
    m_check(WAIT_STATE(load_relaxed(&env_task(0)->wait)) == WAIT_IDLE);
}

const struct m_scenario m_scenarios[] = {
    {.name = "group_one", .setup = setup, .check = ended,
     .thread = {owner_of_one, env_worker_0, child_0}, .preemptions = 3,
     .stale = 3},
    {.name = "group_two", .setup = setup, .check = ended,
     .thread = {owner, env_worker_0, child_0, child_1}, .preemptions = 2,
     .stale = 1},
    {.name = "group_turns", .setup = setup, .check = ended,
     .thread = {owner_in_turns, env_worker_0, child_0, child_1},
     .preemptions = 1, .stale = 1},
    {.name = "group_spawns", .setup = setup, .check = ended,
     .thread = {owner_of_family, env_worker_0, parent_child, child_1},
     .preemptions = 2, .stale = 1},
    {.name = "group_cancel", .setup = setup, .check = ended_or_cancelled,
     .thread = {owner_of_one, env_worker_0, child_0, cancels},
     .preemptions = 2, .stale = 1},
    {.name = "group_next", .setup = setup, .check = all_told,
     .thread = {owner_of_told, env_worker_0, telling_0, telling_1},
     .preemptions = 1, .stale = 1},
    {.name = NULL},
};
