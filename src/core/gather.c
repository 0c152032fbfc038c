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
        if (task_is_done(tasks[i]) && w_is_error(tasks[i]->result) &&
            tasks[i]->result != -ECANCELED)
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

/* A task that is given is cancelled and awaited whatever happens, so what does
 * that must run. */
static int start(weft_group *g, weft_fn *run, void *arg,
                 const struct weft_call *c, const char *site)
{
    struct weft_task_options o = {.always = !c->fn};

    return c->fn ? weft_spawn_at(g, run, arg, site)
                 : weft_spawn_task_at(g, run, arg, &o, NULL, site);
}

/* Spawns all; 0 also if the group refused some since it was cancelled. */
static int spawn_all(weft_group *g, struct weft_call *calls, size_t n,
                     weft_fn *run, const char *site)
{
    int rc = 0;
    size_t i;

    for (i = 0; i < n; i++)
        calls[i].ret = -ECANCELED; /* of one that never runs */
    for (i = 0; i < n && rc == 0; i++)
        rc = start(g, run, &calls[i], &calls[i], site);
    if (rc)
        weft_group_cancel(g);
    for (i -= rc != 0; i < n; i++)
        if (!calls[i].fn) /* in a cancelled group: this cancels it too */
            calls[i].ret = weft_await(calls[i].task);
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
    long rc = n ? check_calls(calls, n) : w_current() ? 0 : -EPERM, error;

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
    long rc = n ? check_calls(calls, n) : w_current() ? 0 : -EPERM, error;
    long failed = 0;

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
    struct racer *racers;
    _Atomic size_t winner; /* n: none */
    size_t n;
    _Atomic long error; /* the last */
};

struct racer {
    struct race *race;
    struct weft_call *call;
};

static long run_racer(void *arg)
{
    struct racer *x = arg;
    struct race *r = x->race;
    size_t none = r->n;
    long ret = run_call(x->call);

    w_task_note(w_current(), NULL);
    if (w_is_error(ret))
        store_relaxed(&r->error, ret);
    else if (cas_acq_rel(&r->winner, &none, (size_t)(x - r->racers)))
        weft_group_cancel_with(&r->group, "another one won the race");
    return 0;
}

/* As spawn_all. */
static int start_racers(struct race *r, struct weft_call *calls,
                        const char *site)
{
    int rc = 0;
    size_t i;

    for (i = 0; i < r->n; i++) {
        calls[i].ret = -ECANCELED;
        r->racers[i] = (struct racer){r, &calls[i]};
    }
    for (i = 0; i < r->n && rc == 0; i++)
        rc = start(&r->group, run_racer, &r->racers[i], &calls[i], site);
    if (rc)
        weft_group_cancel(&r->group);
    for (i -= rc != 0; i < r->n; i++)
        if (!calls[i].fn)
            calls[i].ret = weft_await(calls[i].task);
    return rc == -ECANCELED ? 0 : rc;
}

long weft_race_at(struct weft_call *calls, size_t n, size_t *winner,
                  const char *site)
{
    long rc = n ? check_calls(calls, n) : w_current() ? -EINVAL : -EPERM;
    struct racer here[NODES_HERE];
    struct race r = {.racers = here, .n = n};
    size_t won;

    if (rc)
        return rc;
    if (n > NODES_HERE && !(r.racers = sys_malloc(n * sizeof *r.racers)))
        return -ENOMEM;
    store_relaxed(&r.winner, n);
    store_relaxed(&r.error, -ECANCELED);
    weft_group_enter(&r.group);
    rc = start_racers(&r, calls, site);
    (void)weft_group_leave(&r.group);
    if (r.racers != here)
        sys_free(r.racers);
    won = load_acquire(&r.winner);
    if (winner)
        *winner = won;
    if (won < n)
        return calls[won].ret;
    if (!rc)
        rc = weft_check();
    return rc ? rc : load_relaxed(&r.error);
}
