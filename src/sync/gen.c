/* SPDX-License-Identifier: MIT */
/* Generators: a task that runs only while somebody waits for its next value.
 *
 * The two sides hand the turn to each other: `next` claims the generator's
 * wait and goes into its own, `yield` the other way round, so a value costs
 * one switch each way. What is asked for and what is there are kept apart from
 * who waits: a `next` that was cancelled leaves its wish behind, the value that
 * comes of it stays for the next call.
 *
 * The generator is the only child of a group that `open` enters and `close`
 * leaves: so it ends before the frame that holds it, whatever happens. Its
 * error is a result for `next`, not a failure of the group. */
#include <weft/gather.h>

#include "core/failure.h"
#include "core/group.h"
#include "sync/waitq.h"

/* Behind weft_gen. */
struct gen {
    weft_group group;         /* T: of the owner */
    weft_gen_fn *fn;          /* I */
    void *arg;                /* I */
    const char *site;         /* I */
    struct weft_task *owner;  /* I: NULL: not open */
    struct weft_task *task;   /* I: the generator, set by itself */
    bool started, told;       /* T: of the owner */
    struct spin lock;
    bool wanted;              /* L: a value was asked for and has not come */
    bool full;                /* L: value holds one that nobody has got */
    bool ended;               /* L: fn has returned */
    void *value;              /* L */
    struct waiter *taker;     /* L: waits in weft_gen_next */
    struct waiter *giver;     /* L: waits in weft_gen_yield */
    struct failure *failure;  /* L until ended, then the owner's */
    long result;              /* L until ended */
};
static_assert(sizeof(struct gen) <= sizeof(weft_gen), "weft_gen");

/* ---- the generator's side ----------------------------------------------- */

/* Under the lock: who waits for a value, if it can be claimed, or NULL. */
static struct waiter *claim_taker(struct gen *g)
{
    struct waiter *x = g->taker;

    g->taker = NULL;
    g->wanted = false;
    return x && w_claim_waiter(x) ? x : NULL;
}

/* Under the lock. */
static struct waiter *hand_out(struct gen *g, void *value)
{
    struct waiter *x = claim_taker(g);

    if (likely(x)) {
        x->value = value;
        x->status = 1;
    } else {
        g->value = value;
        g->full = true;
    }
    return x;
}

/* Hands out `value` if one is wanted, and waits until one is. 0 or an error. */
static int take_turn(struct gen *g, struct weft_task *t, void *value,
                     bool *given)
{
    struct waiter y = {.task = t}, *x = NULL;
    int rc = w_wait_begin(t, &y.epoch);

    if (rc)
        return rc;
    spin_lock(&g->lock);
    *given = g->wanted;
    if (likely(*given))
        x = hand_out(g, value);
    g->giver = &y;
    spin_unlock(&g->lock);
    if (likely(x))
        w_ready(x->task);
    if (likely(w_wait(t, "generator's turn")))
        return 0;
    spin_lock(&g->lock);
    if (g->giver == &y)
        g->giver = NULL;
    spin_unlock(&g->lock);
    return w_cancel_error(t);
}

int weft_gen_yield(weft_gen *gp, void *value)
{
    struct gen *g = (struct gen *)gp;
    struct worker *w = w_worker();
    struct weft_task *t = w ? w->current : NULL;
    bool given = false;
    int rc;

    if (!t || t != g->task)
        return -EPERM;
    w_budget(w);
    /* Nothing is wanted after a yield whose wait a scope of fn's own cut
     * short: then the wish is awaited first. */
    do
        rc = take_turn(g, t, value, &given);
    while (rc == 0 && !given);
    return rc;
}

static long run_generator(void *arg)
{
    struct gen *g = arg;
    struct weft_task *t = w_current();
    struct waiter *x;
    long result;

    g->task = t;
    result = g->fn((weft_gen *)g, g->arg);
    g->failure = w_failure_final(t, result);
    spin_lock(&g->lock);
    g->result = result;
    g->ended = true;
    x = claim_taker(g);
    spin_unlock(&g->lock);
    /* g stays: its owner joins this task before it leaves. */
    if (x)
        w_ready(x->task);
    return 0;
}

/* ---- the owner's side --------------------------------------------------- */

int weft_gen_open_at(weft_gen *gp, weft_gen_fn *fn, void *arg,
                     const char *site)
{
    struct gen *g = (struct gen *)gp;

    memset(g, 0, sizeof *g);
    if (!weft_group_enter(&g->group))
        return -EPERM;
    g->fn = fn;
    g->arg = arg;
    g->site = site;
    g->owner = w_current();
    return 0;
}

/* Whoever passes fn's error on has its message and cause. Once: what the owner
 * says of it afterwards stays. */
static void learn(struct gen *g)
{
    if (g->failure && !g->told)
        w_task_learn(g->owner, g->failure);
    g->told = true;
}

/* What there is without a wait: as weft_gen_next, or -EAGAIN. */
static int take(struct gen *g, void **value)
{
    bool full, ended;

    spin_lock(&g->lock);
    full = g->full;
    ended = g->ended;
    if (full)
        *value = g->value;
    g->full = false;
    spin_unlock(&g->lock);
    if (full)
        return 1;
    if (!ended)
        return -EAGAIN;
    learn(g);
    return w_is_error(g->result) ? (int)g->result : 0;
}

/* Wakes the generator, unless it is at a value already, and waits. 1 with the
 * value; -EAGAIN: look again; or an error. */
static int wait_for_value(struct gen *g, void **value)
{
    struct waiter x = {.task = g->owner}, *y = NULL;
    int rc = w_wait_begin(x.task, &x.epoch);

    if (rc)
        return rc;
    spin_lock(&g->lock);
    if (unlikely(g->full || g->ended)) { /* since the look */
        spin_unlock(&g->lock);
        w_wait_abort(x.task);
        return -EAGAIN;
    }
    g->wanted = true;
    g->taker = &x;
    if (g->giver && w_claim_waiter(g->giver))
        y = g->giver;
    g->giver = NULL;
    spin_unlock(&g->lock);
    if (likely(y))
        w_ready(y->task);
    if (likely(w_wait(x.task, "generator"))) {
        *value = x.value;
        return x.status ? 1 : -EAGAIN;
    }
    spin_lock(&g->lock);
    if (g->taker == &x)
        g->taker = NULL;
    spin_unlock(&g->lock);
    return w_cancel_error(x.task);
}

static int start(struct gen *g)
{
    int rc = 0;

    if (unlikely(!g->started)) {
        rc = weft_spawn_at(&g->group, run_generator, g, g->site);
        g->started = rc == 0;
    }
    return rc;
}

int weft_gen_next(weft_gen *gp, void **value)
{
    struct gen *g = (struct gen *)gp;
    struct worker *w = w_worker();
    int rc;

    if (!w || !w->current || w->current != g->owner)
        return -EPERM;
    w_budget(w);
    rc = w_cancel_error(g->owner);
    if (rc == 0)
        rc = start(g);
    if (rc)
        return rc;
    /* fn's own -EAGAIN comes out of take once the generator has ended. */
    do
        rc = take(g, value);
    while (rc == -EAGAIN && !g->told &&
           (rc = wait_for_value(g, value)) == -EAGAIN);
    return rc;
}

long weft_gen_close(weft_gen *gp)
{
    struct gen *g = (struct gen *)gp;
    bool ended;

    if (!g->owner)
        return g->result;
    spin_lock(&g->lock);
    ended = g->ended;
    spin_unlock(&g->lock);
    if (!ended && g->started)
        weft_group_cancel_with(&g->group, "the generator is closed");
    (void)weft_group_leave(&g->group);
    if (!ended && g->result == -ECANCELED)
        g->result = 0;
    if (g->failure) {
        learn(g);
        w_failure_unref(g->failure);
        g->failure = NULL;
    }
    g->owner = NULL;
    return g->result;
}
