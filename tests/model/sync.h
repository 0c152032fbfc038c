/* SPDX-License-Identifier: MIT */
/* What scenarios of src/sync share, which include the object's source: its
 * waits can be told of, so that others act when a task is in the queue. */
#ifndef TESTS_MODEL_SYNC_H
#define TESTS_MODEL_SYNC_H

#define ENV_TASKS 4
#define ENV_ONE_THREAD
#include "env.h"

#include "core/debugmode.h"
#include "core/scope.h"

#define debugging() false

static struct m_event queued[ENV_TASKS]; /* a task waits, or has waited */
static bool tells[ENV_TASKS];            /* I: somebody wants to know */
static struct scope scope;               /* around task 1 */

static void env_start(unsigned i)
{
    m_fail("task %u is started twice", i);
}

void w_group_cancel_now(struct group *g)
{
    (void)g;
    m_fail("no group is joined here");
}

void w_budget_spent(struct worker *w)
{
    (void)w;
}

static void tell(unsigned i)
{
    if (tells[i])
        m_event_signal(&queued[i]);
}

static bool told_wait(struct weft_task *t, const char *why)
{
    tell(env_index(t));
    return w_wait(t, why);
}
#define w_wait told_wait

static void sync_setup(void)
{
    env_setup();
    memset(queued, 0, sizeof queued);
    memset(tells, 0, sizeof tells);
    memset(&scope, 0, sizeof scope);
    m_name(queued, sizeof queued, "queued");
    m_name(&scope, sizeof scope, "scope");
    env_rt.n_workers = ENV_TASKS;
    list_init(&env_family.tasks);
    for (unsigned i = 0; i < ENV_TASKS; i++) {
        /* As if each had waited before. */
        env_task(i)->flags |= TASK_LINKED | TASK_USED;
        list_push_back(&env_family.tasks, &env_task(i)->sibling);
    }
}

static __attribute__((unused)) void sync_scope(void)
{
    scope.task = env_task(1);
    scope.depth = 1;
    scope.kind = SCOPE_DEADLINE;
    scope.shared = true;
    env_task(1)->scope = &scope;
    env_task(1)->depth = 1;
}

static __attribute__((unused)) void cancels(void)
{
    w_task_cancel_now(env_task(1));
}

static __attribute__((unused)) void cancels_scope(void)
{
    (void)weft_scope_cancel((weft_scope *)&scope, "test");
}

static void all_idle(void)
{
    for (unsigned i = 0; i < ENV_TASKS; i++)
        m_check(WAIT_STATE(load_relaxed(&env_task(i)->wait)) == WAIT_IDLE);
}

#endif
