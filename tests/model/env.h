/* SPDX-License-Identifier: MIT */
/* Tasks for scenarios: what park.c, group.c and their like ask of a worker.
 *
 * A task is a thread of the model. Its worker is another: when the task leaves
 * its stack, the worker runs the commit, as the next stack's first code would,
 * while others may already resume the task. What is queued is checked to be off
 * its stack, visibly so to who queues it, and resumed once.
 *
 * With ENV_ONE_THREAD a task's thread runs the commit too: scenarios that are
 * not about parking itself have half as many threads, which nothing that others
 * can see tells from the above. */
#ifndef TESTS_MODEL_ENV_H
#define TESTS_MODEL_ENV_H

#include "core/park.h"
#include "core/runtime.h"
#include "core/worker.h"

#ifndef ENV_TASKS
#define ENV_TASKS 2
#endif

static alignas(SLAB_CHUNK) struct {
    struct slab_chunk chunk;
    struct weft_task task[ENV_TASKS + 2];
} env_memory;
static struct {
    struct worker task_side, worker_side;
    struct m_event leaves, resumed;
    w_commit_fn *commit;
    void *arg;
    int away; /* plain: stack saved; read by who queues the task */
} env[ENV_TASKS];
static struct weft_runtime env_rt;
static struct family env_family;

static struct weft_task *env_task(unsigned i)
{
    return &env_memory.task[i];
}

static unsigned env_index(const struct weft_task *t)
{
    return (unsigned)(t - env_memory.task);
}

static void env_setup(void)
{
    w_barrier_open();
    w_barrier_uneven = true;
    memset(&env_memory, 0, sizeof env_memory);
    memset(env, 0, sizeof env);
    memset(&env_family, 0, sizeof env_family);
    env_memory.chunk.rt = &env_rt;
    for (unsigned i = 0; i < ENV_TASKS + 2; i++) {
        struct weft_task *t = env_task(i);

        task_init(t, NULL, NULL, &env_family, "");
        store_relaxed(&t->wait, UINT64_C(1) << WAIT_EPOCH_SHIFT);
        m_name(t, sizeof *t, "task");
        m_name(&t->wait, sizeof t->wait,
               (const char *[]){"task0.wait", "task1.wait", "task2.wait",
                                "task3.wait"}[i < 4 ? i : 3]);
        m_name(&t->attention, 4, "attention");
        m_name(&t->cancelled, 4, "cancelled");
        m_name(&t->state, 4, "state");
        m_name(&t->lock, sizeof t->lock, "task.lock");
    }
    m_name(&env_family.cancelled, 4, "family.cancelled");
    m_name(&env_family.lock, 4, "family.lock");
    for (unsigned i = 0; i < ENV_TASKS; i++) {
        env[i].task_side.thread.kind = THREAD_WORKER;
        env[i].task_side.thread.rt = &env_rt;
        env[i].task_side.current = env_task(i);
        env[i].worker_side.thread = env[i].task_side.thread;
        m_name(&env[i].away, 4, "saved");
        m_name(&env[i].resumed, sizeof env[i].resumed, "resumed");
        m_name(&env[i].leaves, sizeof env[i].leaves, "leaves");
    }
}

/* The thread that calls is task i. */
static struct weft_task *env_become(unsigned i)
{
    w_thread_set(&env[i].task_side.thread);
    return env_task(i);
}

/* The task has left its stack. */
static void env_commit(unsigned i)
{
    env[i].away = 1;
    env[i].commit(&env[i].worker_side, env_task(i), env[i].arg);
}

/* The worker of task i, a thread of its own. */
static __attribute__((unused)) void env_worker(unsigned i)
{
    m_daemon();
    w_thread_set(&env[i].worker_side.thread);
    for (;;) {
        m_event_wait(&env[i].leaves);
        env_commit(i);
    }
}

static __attribute__((unused)) void env_worker_0(void)
{
    env_worker(0);
}

static __attribute__((unused)) void env_worker_1(void)
{
    env_worker(1);
}

void w_switch_out(w_commit_fn *commit, void *arg)
{
    unsigned i = env_index(w_current());

    env[i].commit = commit;
    env[i].arg = arg;
#ifdef ENV_ONE_THREAD
    w_thread_set(&env[i].worker_side.thread);
    env_commit(i);
    m_event_wait(&env[i].resumed);
    w_thread_set(&env[i].task_side.thread);
#else
    m_event_signal(&env[i].leaves);
    m_event_wait(&env[i].resumed);
#endif
}

/* A new task: the scenario's to start. */
static void env_start(unsigned i);

static void env_queue(w_entry e)
{
    unsigned i = env_index(entry_task(e));

    if (e & ENTRY_NEW) {
        env_start(i);
        return;
    }
    m_check(i < ENV_TASKS);
    if (!env[i].away)
        m_fail("task %u is queued while it stands on its stack", i);
    env[i].away = 0;
    m_event_signal(&env[i].resumed);
}

void w_worker_ready(struct worker *w, w_entry e)
{
    (void)w;
    env_queue(e);
}

void w_submit_foreign(struct weft_runtime *rt, w_entry e)
{
    (void)rt;
    env_queue(e);
}

void w_submit(struct weft_runtime *rt, struct chain c)
{
    (void)rt;
    for (w_entry e = c.first, next; e; e = next) {
        next = *entry_link(e);
        env_queue(e);
    }
}

bool w_can_suspend(struct worker *w)
{
    (void)w;
    return true;
}

#endif
