/* SPDX-License-Identifier: MIT */
/* What a worker runs next, and what it does when it has nothing: look around,
 * steal, serve the busy, sleep. */
#include "core/ready.h"

#include "base/sys.h"
#include "core/runtime.h"

#define CACHE_MAX 64u
#define SLOT_HELD_NS (100 * WEFT_US)
#define TINY_NS 200
#define NAP_MIN (10 * WEFT_US)
#define NAP_MAX (100 * WEFT_US)
#define EXPIRE_MIN 16u
#define SPARE_TASKS 1024u
#define BACKGROUND_NS (10 * WEFT_MS)
#define SPARE_NS WEFT_SEC

/* ---- looking around ---------------------------------------------------- */

static void give_stacks(struct worker *w)
{
    struct stack *keep = w->cache, *chain;

    for (unsigned i = 1; i < CACHE_MAX / 2; i++)
        keep = keep->next;
    chain = keep->next;
    keep->next = NULL;
    w->cached = CACHE_MAX / 2;
    w_stack_give(&w->thread.rt->stacks, chain);
}

/* About every 200 us, whatever the tasks are like. */
static void tune_inject(struct worker *w, int64_t now)
{
    int64_t each = (now - w->look_at) / (w->looked_picks + 1) + 1;
    int64_t every = 200000 / each;

    w->inject_every = every < 2 ? 2 : every > 127 ? 127 : (unsigned)every;
}

/* No more than the ring has room for: what goes over would lose its order. Yet
 * `max` at the least, or tasks that only yield could starve the timers. */
static void expire_own(struct worker *w, int64_t now, uint32_t max,
                       struct chain *c)
{
    uint32_t used = runq_len(&w->runq) + c->n;

    if (timers_first(&w->timers) > now)
        return;
    if (used + max < RUNQ_SIZE / 2)
        max = RUNQ_SIZE / 2 - used;
    if (max)
        COUNT_N(w->timers_fired, w_timers_expire(&w->timers, w, now, max, c));
}

static void poll_own(struct worker *w, int64_t now, int64_t timeout,
                     unsigned max, struct chain *c)
{
    if (timeout || load_relaxed(&w->poller.fds)) {
        COUNT(w->polls);
        (void)w_poller_poll(&w->poller, w, timeout, max, c);
        if (timeout)
            now = 0;
    }
    if (now == 0)
        now = sys_now();
    store_relaxed(&w->last_poll, now);
    expire_own(w, now, EXPIRE_MIN, c);
}

/* Every 8 picks the clock and timers; every 61 or after 500 us events. */
static void look(struct worker *w)
{
    struct chain c = {0, 0, 0};
    int64_t now = sys_now();

    w->picks = 8;
    w->looked_picks += 8;
    if (w->looked_picks >= LOOK_PICKS || now - w->look_at > RUN_MAX_NS) {
        tune_inject(w, now);
        w->look_at = now;
        w->looked_picks = 0;
        poll_own(w, now, 0, 16, &c);
        if (unlikely(w->cached > CACHE_MAX))
            give_stacks(w);
    } else {
        expire_own(w, now, 0, &c);
    }
    if (c.n)
        w_ready_submit(w, c);
}

/* ---- searching and sleeping -------------------------------------------- */

static bool work_visible(struct weft_runtime *rt)
{
    if (!inject_looks_empty(&rt->inject) ||
        !inject_looks_empty(&rt->background))
        return true;
    for (unsigned i = 0; i < rt->n_workers; i++)
        if (!runq_looks_empty(&rt->workers[i].runq))
            return true;
    return false;
}

static void stop_searching(struct worker *w, bool found)
{
    struct weft_runtime *rt = w->thread.rt;

    if (!w->searching)
        return;
    w->searching = false;
    /* Whoever published work and saw a searcher relied on it: D1 of idle.h. */
    if (idle_search_end(&rt->idle) && found && work_visible(rt))
        w_notify(rt, w->index);
}

static w_entry steal_from(struct worker *w, struct worker *victim)
{
    w_entry got[RUNQ_SIZE / 2];
    uint32_t n = runq_steal(&victim->runq, got, RUNQ_SIZE / 2);

    if (!n)
        return 0;
    COUNT_N(w->steals, n);
    for (uint32_t i = 1; i < n; i++)
        ready_push(w, got[i]);
    w->loot = n;
    w->loot_at = sys_now();
    return got[0];
}

/* A task that has run for long holds up what its worker alone would serve. */
static w_entry rescue(struct worker *w, unsigned k, int64_t now)
{
    struct worker *v = &w->thread.rt->workers[w->victims[k]];
    uint64_t tick = load_relaxed(&v->tick);
    struct chain c = {0, 0, 0};
    unsigned events;
    w_entry e;

    if (idle_is_asleep(&w->thread.rt->idle, v->index))
        return 0;
    if (w->seen_tick[k] != tick) {
        w->seen_tick[k] = tick;
        w->seen_at[k] = now;
    } else if (now - w->seen_at[k] > SLOT_HELD_NS &&
               (e = slot_steal(&v->slot))) {
        COUNT(w->steals);
        return e;
    }
    if (now - load_relaxed(&v->last_poll) < RUN_MAX_NS)
        return 0;
    events = w_poller_drain(&v->poller, w, &c);
    events += w_timers_expire(&v->timers, w, now, 64, &c);
    COUNT_N(w->events_stolen, events);
    if (!c.n)
        return 0;
    e = c.first;
    c.first = *entry_link(e);
    if (--c.n)
        w_ready_submit(w, c);
    return e;
}

/* Moving a task's record here and back costs more than running a tiny task. A
 * thief whose last loot was gone in no time lets the victim be for a while. */
static bool theft_pays(struct worker *w)
{
    int64_t now;

    if (!w->loot)
        return true;
    now = sys_now();
    if ((now - w->loot_at) / w->loot < TINY_NS)
        w->nap = w->nap >= NAP_MAX / 2 ? NAP_MAX : 2 * w->nap + NAP_MIN;
    else
        w->nap = 0;
    w->loot = 0;
    return w->nap == 0;
}

/* Not counted as asleep: nobody shall spend a wake on it. */
static void nap(struct worker *w)
{
    struct chain c = {0, 0, 0};

    stop_searching(w, false);
    poll_own(w, 0, w->nap, 128, &c);
    if (c.n)
        w_ready_submit(w, c);
}

static w_entry search(struct worker *w)
{
    struct weft_runtime *rt = w->thread.rt;
    unsigned n = rt->n_workers - 1;
    int64_t now;
    w_entry e;

    if (!theft_pays(w)) {
        nap(w);
        if ((e = ready_take(w)))
            return e;
    }

    if (!w->searching) {
        if (!idle_search_begin(&rt->idle))
            return 0;
        w->searching = true;
    }
    for (unsigned k = 0; k < n; k++)
        if ((e = steal_from(w, &rt->workers[w->victims[k]])))
            return e;
    if ((e = w_ready_take_shared(w)))
        return e;
    now = sys_now();
    for (unsigned k = 0; k < n; k++)
        if ((e = rescue(w, k, now)))
            return e;
    return 0;
}

/* How long to sleep: until the next timer; one sleeper looks after the busy
 * ones each millisecond. */
static int64_t sleep_time(struct worker *w, bool *sentinel)
{
    struct weft_runtime *rt = w->thread.rt;
    int64_t first = timers_first(&w->timers), ns = -1;
    uint32_t none = 0;

    if (first != INT64_MAX) {
        ns = first - sys_now();
        ns = ns < 0 ? 0 : ns;
    }
    *sentinel = rt->n_workers > 1 && !idle_all_asleep(&rt->idle) &&
                !load_relaxed(&rt->sentinel) &&
                cas_acq_rel(&rt->sentinel, &none, w->index + 1);
    if (*sentinel && (ns < 0 || ns > 1000000))
        ns = 1000000;
    return ns;
}

/* Memory that a burst has left, and what others have freed of ours. */
static bool has_spare(struct worker *w)
{
    return w->slab.n_free > w->slab.kept + SPARE_TASKS ||
           load_relaxed(&w->slab.remote) ||
           stack_pool_is_rich(&w->thread.rt->stacks);
}

/* What was not needed for a while goes back to the kernel. */
static void give_spare(struct worker *w, int64_t now)
{
    struct weft_runtime *rt = w->thread.rt;

    if (now - w->trimmed_at < SPARE_NS)
        return;
    w->trimmed_at = now;
    w_slab_trim(&w->slab);
    w_stack_trim(&rt->stacks);
    /* Who slept while we freed its records has not seen them. */
    for (unsigned i = 0; i < rt->n_workers; i++) {
        struct worker *v = &rt->workers[i];

        if (v != w && load_relaxed(&v->slab.remote) &&
            idle_is_asleep(&rt->idle, i))
            w_poller_wake(&v->poller);
    }
}

static void park(struct worker *w)
{
    struct weft_runtime *rt = w->thread.rt;
    struct chain c = {0, 0, 0};
    bool sentinel = false;
    int64_t ns = 0;

    stop_searching(w, false);
    idle_sleep_begin(&rt->idle, w->index);
    if (!work_visible(rt) && !load_acquire(&rt->exiting)) {
        ns = sleep_time(w, &sentinel);
        if ((ns < 0 || ns > SPARE_NS) && has_spare(w))
            ns = SPARE_NS;
        COUNT(w->parks);
    }
    poll_own(w, 0, ns, 128, &c);
    if (!idle_sleep_end(&rt->idle, w->index))
        w->searching = true;
    if (sentinel)
        store_release(&rt->sentinel, 0);
    if (load_seq_cst(&rt->monitor_asleep))
        w_monitor_kick(rt);
    w->look_at = load_relaxed(&w->last_poll);
    w->looked_picks = 0;
    w->picks = 8;
    /* One that parks often never gets to look. */
    if (unlikely(w->cached > CACHE_MAX))
        give_stacks(w);
    if (c.n)
        w_ready_submit(w, c);
    give_spare(w, w->look_at);
}

/* The oldest task that was put off; its turn has come. */
static w_entry take_background(struct worker *w, int64_t now)
{
    struct inject *q = &w->thread.rt->background;
    struct chain c;
    w_entry e;

    if (inject_looks_empty(q))
        return 0;
    c = w_inject_take(q, 1);
    e = c.first;
    if (!e)
        return 0;
    c.first = *entry_link(e);
    if (--c.n) {
        w_inject_push(q, c);
        w_notify(w->thread.rt, w->index);
    }
    w->background_turn = true;
    w->background_at = now;
    w->budget = w->budget_full;
    w->run_start = 0;
    return e;
}

/* 0: the runtime ends. */
w_entry w_pick(struct worker *w)
{
    struct weft_runtime *rt = w->thread.rt;
    w_entry e = w->handoff;

    if (e) {
        w->handoff = 0;
        return e;
    }
    if (unlikely(w->held))
        return ready_take_held(w);
    for (;;) {
        if (unlikely(load_relaxed(&rt->exiting)))
            return 0;
        if (unlikely(--w->picks == 0)) {
            look(w);
            if (unlikely(!inject_looks_empty(&rt->background)) &&
                w->look_at - w->background_at > BACKGROUND_NS &&
                (e = take_background(w, w->look_at)))
                break;
        }
        if (unlikely(--w->inject_left == 0) && (e = w_ready_take_shared(w)))
            break;
        if (out_of_turn(w, 8) && (e = search(w)))
            break;
        if ((e = ready_take(w)) || (e = w_ready_take_shared(w)))
            break;
        w_worker_flush(w);
        if (!runq_looks_empty(&w->runq) || slot_full(&w->slot))
            continue; /* an owner that was waiting for its children */
        if (rt->n_workers > 1 && (e = search(w)))
            break;
        if ((e = take_background(w, w->look_at)))
            break;
        park(w);
    }
    if (w->searching)
        stop_searching(w, true);
    return e;
}

