/* SPDX-License-Identifier: MIT */
/* src/sync/mutex.c: one owner at a time, who sees what those before it wrote;
 * whoever waits gets it once all have unlocked, whatever is cancelled on the
 * way; in order of arrival; one who came in vain is overtaken by no more than
 * the one section that it met; an unlock touches nothing that the next owner
 * may free.
 *
 * Task 0 owns the mutex to begin with where it says so, and unlocks when the
 * others wait.
 *
 * With: core/park.c core/scope.c core/join.c base/barrier.c */
#include "sync.h"

#define UNSEEN __attribute__((noinline, no_sanitize("thread")))
#define PLACES 8

/* Seen by the checker alone: no choices, no races. */
static struct {
    unsigned arrived[PLACES], n_arrived;
    bool in_vain[ENV_TASKS];
    unsigned at[ENV_TASKS]; /* sections begun when it came in vain */
} ghost;

static weft_mutex memory;
/* Under the mutex. */
static unsigned entered[PLACES], n_entered;
static int users;
static int result[ENV_TASKS];
static struct m_event go, may_end;

static UNSEEN void arrives(struct list *n)
{
    struct waiter *x = container_of(n, struct waiter, node);

    ghost.arrived[ghost.n_arrived++] = env_index(x->task);
}

static UNSEEN void comes_in_vain(struct list *n)
{
    unsigned i = env_index(container_of(n, struct waiter, node)->task);

    ghost.in_vain[i] = true;
    ghost.at[i] = n_entered;
}

static UNSEEN unsigned overtaken(unsigned i)
{
    unsigned by = ghost.in_vain[i] ? n_entered - ghost.at[i] : 0;

    ghost.in_vain[i] = false;
    return by;
}

#define list_push_back(l, n) (arrives(n), list_push_back(l, n))
#define list_push_front(l, n) (comes_in_vain(n), list_push_front(l, n))
#include "sync/mutex.c"
#undef list_push_back
#undef list_push_front

static struct mutex *const m = (struct mutex *)(void *)&memory;

static UNSEEN bool is_queued(unsigned i)
{
    if (m->waiters.next)
        list_each(n, &m->waiters)
            if (container_of(n, struct waiter, node)->task == env_task(i))
                return true;
    return false;
}

static void setup(void)
{
    sync_setup();
    memset(&ghost, 0, sizeof ghost);
    memset(&memory, 0, sizeof memory);
    memset(entered, 0, sizeof entered);
    memset(result, 0, sizeof result);
    memset(&go, 0, sizeof go);
    memset(&may_end, 0, sizeof may_end);
    n_entered = 0;
    users = 0;
    m_name(&memory, sizeof memory, "mutex");
    m_name(&m->owner, 8, "owner");
    m_name(&m->lock, 4, "mutex.lock");
    m_name(&m->waiters, sizeof m->waiters, "waiters");
    m_name(entered, sizeof entered, "entered");
    m_name(&n_entered, sizeof n_entered, "n_entered");
    m_name(&users, sizeof users, "users");
}

/* The task owns the mutex. */
static void section(unsigned i)
{
    m_check(overtaken(i) <= 1);
    m_check(n_entered < PLACES);
    entered[n_entered++] = i;
}

static void unlocks(unsigned i)
{
    (void)i;
    m_check(weft_mutex_unlock(&memory) == 0);
}

static void locks(unsigned i)
{
    result[i] = weft_mutex_lock(&memory);
    m_check(!is_queued(i));
    if (result[i] == 0) {
        section(i);
        unlocks(i);
    }
    tell(i);
}

static void once(unsigned i)
{
    (void)env_become(i);
    locks(i);
}

static void once_0(void) { once(0); }
static void once_1(void) { once(1); }
static void once_2(void) { once(2); }

static void twice_0(void)
{
    (void)env_become(0);
    locks(0);
    locks(0);
}

/* ---- one that owns it, two that wait ------------------------------------- */

static void held(void)
{
    setup();
    store_relaxed(&m->owner, (uintptr_t)env_task(0));
    entered[n_entered++] = 0;
    tells[1] = true;
}

static void held_before_two(void)
{
    held();
    tells[2] = true;
}

static void timed_before_two(void)
{
    held_before_two();
    sync_scope();
}

static void behind_1(void)
{
    m_event_wait(&queued[1]);
    once(2);
}

/* Two wait; then it comes again. */
static void unlocks_and_locks(void)
{
    (void)env_become(0);
    m_event_wait(&queued[2]);
    unlocks(0);
    locks(0);
}

/* The same, and may be cancelled from then on whoever is to be. */
static void tells_and_unlocks(void)
{
    (void)env_become(0);
    m_event_wait(&queued[2]);
    m_event_signal(&go);
    unlocks(0);
    locks(0);
}

/* One waits; and somebody may be about to. */
static void unlocks_once(void)
{
    (void)env_become(0);
    m_event_wait(&queued[1]);
    m_event_signal(&go);
    unlocks(0);
}

static void unlocks_early(void)
{
    (void)env_become(0);
    unlocks(0);
    locks(0);
}

static void then_cancels(void)
{
    m_event_wait(&go);
    cancels();
}

static void then_cancels_scope(void)
{
    m_event_wait(&go);
    cancels_scope();
}

static void tries(void)
{
    (void)env_become(2);
    result[2] = weft_mutex_trylock(&memory);
    if (result[2] == 0) {
        m_check(weft_mutex_trylock(&memory) == -EDEADLK);
        section(2);
        unlocks(2);
    }
}

static void shielded(void)
{
    struct weft_task *t = env_become(1);

    w_mutex_lock_shielded(&memory, t);
    section(1);
    unlocks(1);
    tell(1);
}

/* ---- what became of them ------------------------------------------------- */

static int place(unsigned i)
{
    for (unsigned k = 0; k < n_entered; k++)
        if (entered[k] == i)
            return (int)k;
    return -1;
}

/* Nobody owns it, waits, or is on its way. */
static void at_rest(void)
{
    all_idle();
    m_check(load_relaxed(&m->owner) == 0);
    m_check(load_relaxed(&m->lock.held) == 0);
    m_check(list_empty(&m->waiters));
    for (unsigned i = 1; i < ghost.n_arrived; i++) {
        unsigned a = ghost.arrived[i - 1], b = ghost.arrived[i];

        if (a && b && result[a] == 0 && result[b] == 0)
            m_check(place(a) < place(b));
    }
}

static void three_entered(void)
{
    at_rest();
    m_check(n_entered == 3);
}

static void four_entered(void)
{
    at_rest();
    m_check(n_entered == 4);
}

static void one_may_be_cancelled(void)
{
    at_rest();
    m_check(result[1] == 0 || result[1] == -ECANCELED);
    m_check(n_entered == (result[1] == 0 ? 4 : 3));
    m_check(place(2) > 0);
}

static void one_may_have_failed(void)
{
    at_rest();
    m_check(result[2] == 0 || result[2] == -EAGAIN);
    m_check(n_entered == (result[2] == 0 ? 4 : 3));
}

static void newcomer_entered(void)
{
    at_rest();
    m_check(result[1] == 0 || result[1] == -ECANCELED);
    m_check(n_entered == (result[1] == 0 ? 3 : 2));
}

/* ---- one who was called does not come ------------------------------------ */

/* 1 was called while 0 took the mutex again. */
static void called(void)
{
    setup();
    store_relaxed(&m->owner, (uintptr_t)env_task(0) | WOKEN);
    entered[n_entered++] = 0;
}

static void does_not_come(void)
{
    (void)env_become(1);
    pass_on(m);
}

static void unlocks_and_goes(void)
{
    (void)env_become(0);
    unlocks(0);
}

static void once_3(void) { once(3); }

static void two_entered(void)
{
    at_rest();
    m_check(n_entered == 2);
}

/* ---- nobody gets in between ---------------------------------------------- */

static void unlocks_in_order(void)
{
    (void)env_become(0);
    m_event_wait(&queued[1]);
    w_mutex_unlock_in_order(&memory);
    locks(0);
}

/* It waits in its section, and 1 comes meanwhile. */
static void waits_inside(void)
{
    struct weft_task *t = env_become(0);
    uint64_t epoch;

    m_check(w_wait_begin(t, &epoch) == 0 && epoch == 2);
    m_check(w_wait(t, "test"));
    unlocks(0);
    locks(0);
}

static void ends_that_wait(void)
{
    m_event_wait(&queued[1]);
    m_check(w_claim(env_task(0), 2));
    w_ready(env_task(0));
}

static void held_and_waits(void)
{
    held();
    tells[0] = true;
}

static void comes_meanwhile(void)
{
    m_event_wait(&queued[0]);
    once(1);
}

static void in_turn(void)
{
    at_rest();
    m_check(n_entered == 3 && place(1) == 1);
}

/* ---- the end of the mutex, and of its owner ------------------------------ */

/* As the last of its users frees an object that the mutex is in. */
static void lets_go(unsigned i)
{
    bool last = --users == 0;

    unlocks(i);
    if (last)
        m_gone(&memory, sizeof memory);
}

static void uses(unsigned i)
{
    (void)env_become(i);
    m_check(weft_mutex_lock(&memory) == 0);
    lets_go(i);
}

static void uses_0(void) { uses(0); }
static void uses_1(void) { uses(1); }
static void uses_2(void) { uses(2); }

static void used_by_0(void)
{
    (void)env_become(0);
    lets_go(0);
}

/* All who waited for 0 have given up, and gone. */
static void setup_given_up(void)
{
    setup();
    store_relaxed(&m->owner, (uintptr_t)env_task(0) | WAITERS);
    users = 2;
}

static void setup_two_users(void)
{
    setup();
    users = 2;
}

static void setup_three_users(void)
{
    setup();
    users = 3;
}

static void last_freed(void)
{
    all_idle();
    m_check(users == 0);
}

/* 1 is called and 2 queues while 0 owns it again, who then ends. */
static void unlocks_and_ends(void)
{
    (void)env_become(0);
    m_event_wait(&queued[1]);
    unlocks(0);
    if (weft_mutex_trylock(&memory) == 0) {
        section(0);
        unlocks(0);
    }
    w_thread_set(NULL);
    m_gone(env_task(0), sizeof(struct weft_task));
}

static void all_others_entered(void)
{
    m_check(load_relaxed(&m->owner) == 0);
    m_check(place(1) > 0 && place(2) > 0);
}

const struct m_scenario m_scenarios[] = {
    {.name = "mutex_two", .setup = setup, .check = three_entered,
     .thread = {twice_0, once_1}, .preemptions = 3, .stale = 2},
    {.name = "mutex_three", .setup = setup, .check = three_entered,
     .thread = {once_0, once_1, once_2}, .preemptions = 2, .stale = 1},
    {.name = "mutex_overtaken", .setup = held_before_two,
     .check = four_entered,
     .thread = {unlocks_and_locks, once_1, behind_1}, .preemptions = 2,
     .stale = 1},
    {.name = "mutex_cancel", .setup = held_before_two,
     .check = one_may_be_cancelled,
     .thread = {tells_and_unlocks, once_1, behind_1, then_cancels},
     .preemptions = 1, .stale = 1},
    {.name = "mutex_time_out", .setup = timed_before_two,
     .check = one_may_be_cancelled,
     .thread = {tells_and_unlocks, once_1, behind_1, then_cancels_scope},
     .preemptions = 1, .stale = M_NONE},
    {.name = "mutex_newcomer", .setup = held, .check = newcomer_entered,
     .thread = {unlocks_once, once_1, once_2, then_cancels},
     .preemptions = 1, .stale = 1},
    {.name = "mutex_pass_on", .setup = called, .check = two_entered,
     .thread = {unlocks_and_goes, does_not_come, once_2}, .preemptions = 3,
     .stale = 1},
    {.name = "mutex_pass_on_two", .setup = called, .check = three_entered,
     .thread = {unlocks_and_goes, does_not_come, once_2, once_3},
     .preemptions = 1, .stale = 1},
    {.name = "mutex_try", .setup = held, .check = one_may_have_failed,
     .thread = {unlocks_early, once_1, tries}, .preemptions = 2, .stale = 1},
    {.name = "mutex_shielded", .setup = held, .check = three_entered,
     .thread = {unlocks_early, shielded, cancels}, .preemptions = 2,
     .stale = 1},
    {.name = "mutex_in_order", .setup = held, .check = in_turn,
     .thread = {unlocks_in_order, once_1}, .preemptions = 2, .stale = 2},
    {.name = "mutex_owner_waits", .setup = held_and_waits, .check = in_turn,
     .thread = {waits_inside, comes_meanwhile, ends_that_wait},
     .preemptions = 2, .stale = 1},
    {.name = "mutex_freed", .setup = setup_two_users, .check = last_freed,
     .thread = {uses_0, uses_1}, .preemptions = 3, .stale = 2},
    {.name = "mutex_three_free", .setup = setup_three_users,
     .check = last_freed, .thread = {uses_0, uses_1, uses_2},
     .preemptions = 2, .stale = 1},
    {.name = "mutex_given_up", .setup = setup_given_up, .check = last_freed,
     .thread = {used_by_0, uses_1}, .preemptions = 3, .stale = 2},
    {.name = "mutex_owner_ends", .setup = held, .check = all_others_entered,
     .thread = {unlocks_and_ends, once_1, once_2}, .preemptions = 2,
     .stale = M_NONE},
    {.name = NULL},
};
