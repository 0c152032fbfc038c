/* SPDX-License-Identifier: MIT */
/* Several tasks at once: gather, race, waiting for one or all of many. */
#include <weft/gather.h>

#include "base/sys.h"
#include "core/failure.h"
#include "core/join.h"
#include "core/runtime.h"

#define NODES_HERE 16

/* ---- waiting for tasks --------------------------------------------------- */

/* Claims the wait, or finds that somebody did: it is over. */
static size_t enroll(weft_task *const *tasks, size_t n, struct waiter *nodes,
                     struct wait_set *set, struct weft_task *self,
                     uint64_t epoch)
{
    for (size_t i = 0; i < n; i++) {
        nodes[i] = (struct waiter){.task = self, .epoch = epoch, .value = set};
        if (w_task_enroll(tasks[i], &nodes[i]) &&
            w_wait_set_due(set, tasks[i]->result)) {
            (void)!w_claim_self(&nodes[i]);
            return i;
        }
    }
    return n;
}

static int wait_set(weft_task *const *tasks, size_t n, struct waiter *nodes,
                    struct wait_set *set, const char *why)
{
    struct weft_task *self = w_current();
    uint64_t epoch;
    size_t enrolled;
    bool woken;
    int rc = w_wait_begin(self, &epoch);

    if (rc)
        return rc;
    enrolled = enroll(tasks, n, nodes, set, self, epoch);
    woken = w_wait(self, why);
    for (size_t i = 0; i < enrolled; i++)
        w_task_withdraw(tasks[i], &nodes[i]);
    return woken ? 0 : w_cancel_error(self);
}

/* Until `ends` of them have ended or, if on_error, one has failed. */
static long wait_many(weft_task *const *tasks, size_t n, size_t ends,
                      bool on_error, const char *why)
{
    struct worker *w = w_worker();
    struct weft_task *self = w ? w->current : NULL;
    struct wait_set set = {.on_error = on_error};
    struct waiter here[NODES_HERE], *nodes = here;
    int rc;

    if (!self)
        return -EPERM;
    for (size_t i = 0; i < n; i++)
        if (tasks[i] == self)
            return -EDEADLK;
    w_budget(w);
    rc = w_cancel_error(self);
    if (rc || !ends)
        return rc;
    store_relaxed(&set.left, ends);
    if (n > NODES_HERE && !(nodes = sys_malloc(n * sizeof *nodes)))
        return -ENOMEM;
    rc = wait_set(tasks, n, nodes, &set, why);
    if (nodes != here)
        sys_free(nodes);
    return rc;
}

long weft_wait_any(weft_task *const *tasks, size_t n)
{
    long rc;

    if (!n)
        return w_current() ? -EINVAL : -EPERM;
    rc = wait_many(tasks, n, 1, false, "any task");
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        if (task_is_done(tasks[i]))
            return (long)i;
    return -EINVAL; /* not reached: one has ended */
}

long weft_wait_all(weft_task *const *tasks, size_t n)
{
    return wait_many(tasks, n, n, false, "all tasks");
}

long weft_wait_error(weft_task *const *tasks, size_t n)
{
    long rc = wait_many(tasks, n, n, true, "a task's error");

    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        long r = weft_task_result(tasks[i]);

        if (w_is_error(r) && r != -ECANCELED && r != -EAGAIN)
            return (long)i;
        if (r == -EAGAIN && task_is_done(tasks[i]))
            return (long)i;
    }
    return (long)n;
}

/* ---- calls --------------------------------------------------------------- */

/* A call of a task that was there before is a task that awaits it: so it is
 * cancelled with it, and may be named twice. */
static long run_call(struct weft_call *c)
{
    c->ret = c->fn ? c->fn(c->arg) : weft_await(c->task);
    return c->ret;
}

static long run_first(void *arg)
{
    return run_call(arg);
}

/* Its error is the call's alone. */
static long run_apart(void *arg)
{
    (void)run_call(arg);
    w_task_note(w_current(), NULL);
    return 0;
}

/* Spawns all; 0 also if the group refused some since it was cancelled. */
static int spawn_all(weft_group *g, struct weft_call *calls, size_t n,
                     weft_fn *run, const char *site)
{
    int rc = 0;

    for (size_t i = 0; i < n; i++)
        calls[i].ret = -ECANCELED; /* of one that never runs */
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = weft_spawn_at(g, run, &calls[i], site);
    if (rc && rc != -ECANCELED)
        weft_group_cancel(g);
    return rc == -ECANCELED ? 0 : rc;
}

static int check_calls(const struct weft_call *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!calls[i].fn && !calls[i].task)
            return -EINVAL;
        if (!calls[i].fn && calls[i].task == w_current())
            return -EDEADLK;
    }
    return w_current() ? weft_check() : -EPERM;
}

long weft_gather_at(struct weft_call *calls, size_t n, const char *site)
{
    weft_group g;
    long rc = check_calls(calls, n), error;

    if (rc || !n)
        return rc;
    weft_group_enter(&g);
    rc = spawn_all(&g, calls, n, run_first, site);
    error = weft_group_leave(&g);
    return rc ? rc : error;
}

long weft_gather_collect_at(struct weft_call *calls, size_t n,
                            const char *site)
{
    weft_group g;
    long rc = check_calls(calls, n), error, failed = 0;

    if (rc || !n)
        return rc;
    weft_group_enter(&g);
    rc = spawn_all(&g, calls, n, run_apart, site);
    error = weft_group_leave(&g);
    if (rc || error)
        return rc ? rc : error;
    for (size_t i = 0; i < n; i++)
        failed += w_is_error(calls[i].ret);
    return failed;
}

/* ---- race ---------------------------------------------------------------- */

struct race {
    weft_group group;
    struct weft_call *calls;
    size_t n;
    _Atomic size_t next;   /* runners take their call by number */
    _Atomic size_t winner; /* n: none */
    _Atomic long error;    /* the last */
};

static long run_racer(void *arg)
{
    struct race *r = arg;
    size_t i = add_relaxed(&r->next, 1), none = r->n;
    long ret = run_call(&r->calls[i]);

    w_task_note(w_current(), NULL);
    if (w_is_error(ret))
        store_relaxed(&r->error, ret);
    else if (cas_acq_rel(&r->winner, &none, i))
        weft_group_cancel_with(&r->group, "another one won the race");
    return 0;
}

long weft_race_at(struct weft_call *calls, size_t n, size_t *winner,
                  const char *site)
{
    struct race r = {.calls = calls, .n = n};
    long rc = n ? check_calls(calls, n) : w_current() ? -EINVAL : -EPERM;
    size_t won;

    if (rc)
        return rc;
    store_relaxed(&r.winner, n);
    store_relaxed(&r.error, -ECANCELED);
    for (size_t i = 0; i < n; i++)
        calls[i].ret = -ECANCELED;
    weft_group_enter(&r.group);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = weft_spawn_at(&r.group, run_racer, &r, site);
    if (rc && rc != -ECANCELED)
        weft_group_cancel(&r.group);
    else
        rc = 0;
    (void)weft_group_leave(&r.group);
    won = load_acquire(&r.winner);
    if (winner)
        *winner = won;
    if (won < n)
        return calls[won].ret;
    if (!rc)
        rc = weft_check();
    return rc ? rc : load_relaxed(&r.error);
}
