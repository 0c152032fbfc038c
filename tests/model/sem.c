/* SPDX-License-Identifier: MIT */
/* src/sync/sem.c: no permit is lost or made, whatever is cancelled; who waits
 * is not overtaken; a release touches nothing that who takes the permit may
 * free.
 *
 * With: core/park.c core/scope.c core/join.c base/barrier.c */
#include "sync.h"

#include "sync/sem.c"

static weft_sem memory;
static struct sem *const s = (struct sem *)(void *)&memory;
/* Under the only permit. */
static int n, users;
static int result[ENV_TASKS];
static struct m_event go;

static void setup_permits(unsigned permits)
{
    sync_setup();
    m_check(weft_sem_init(&memory, permits, 0) == 0);
    memset(result, 0, sizeof result);
    memset(&go, 0, sizeof go);
    n = users = 0;
    m_name(&memory, sizeof memory, "sem");
    m_name(&s->value, 8, "value");
    m_name(&s->lock, 4, "sem.lock");
    m_name(&s->waiters, sizeof s->waiters, "waiters");
    m_name(&n, sizeof n, "n");
    m_name(&users, sizeof users, "users");
}

static void one_permit(void)
{
    setup_permits(1);
}

static void no_permit(void)
{
    setup_permits(0);
    tells[1] = true;
}

static void no_permit_for_two(void)
{
    no_permit();
    tells[2] = true;
}

static void visits(unsigned i)
{
    (void)env_become(i);
    m_check(weft_sem_acquire(&memory) == 0);
    n++;
    m_check(weft_sem_release(&memory) == 0);
}

static void visits_0(void) { visits(0); }
static void visits_1(void) { visits(1); }
static void visits_2(void) { visits(2); }

/* It keeps its permit. */
static void acquires(unsigned i)
{
    (void)env_become(i);
    result[i] = weft_sem_acquire(&memory);
    tell(i);
}

static void acquires_1(void) { acquires(1); }

static void acquires_behind_1(void)
{
    m_event_wait(&queued[1]);
    acquires(2);
}

static void releases_two(void)
{
    (void)env_become(0);
    m_event_wait(&queued[2]);
    m_event_signal(&go);
    m_check(weft_sem_release(&memory) == 0);
    m_check(weft_sem_release(&memory) == 0);
}

static void releases_for_1(void)
{
    (void)env_become(0);
    m_event_wait(&queued[1]);
    m_event_signal(&go);
    m_check(weft_sem_release(&memory) == 0);
}

static void then_cancels(void)
{
    m_event_wait(&go);
    cancels();
}

static void then_tries(void)
{
    m_event_wait(&go);
    result[2] = weft_sem_tryacquire(&memory);
}

/* As the last of its users frees an object that the semaphore is in. */
static void uses(unsigned i)
{
    bool last;

    (void)env_become(i);
    m_check(weft_sem_acquire(&memory) == 0);
    last = --users == 0;
    m_check(weft_sem_release(&memory) == 0);
    if (last)
        m_gone(&memory, sizeof memory);
}

static void uses_0(void) { uses(0); }
static void uses_1(void) { uses(1); }

static void two_users(void)
{
    one_permit();
    users = 2;
}

/* The permit is out; all who waited for it have given up, and gone. */
static void given_up(void)
{
    one_permit();
    users = 1;
    store_relaxed(&s->value, WAITERS);
}

static void releases(void)
{
    (void)env_become(0);
    m_check(weft_sem_release(&memory) == 0);
}

static void at_rest(uint64_t permits)
{
    all_idle();
    m_check(load_relaxed(&s->value) == permits);
    m_check(list_empty(&s->waiters));
}

static void three_visited(void)
{
    at_rest(1);
    m_check(n == 3);
}

static void one_may_be_cancelled(void)
{
    m_check(result[1] == 0 || result[1] == -ECANCELED);
    m_check(result[2] == 0);
    at_rest(result[1] == 0 ? 0 : 1);
}

static void not_overtaken(void)
{
    at_rest(0);
    m_check(result[1] == 0 && result[2] == -EAGAIN);
}

static void last_freed(void)
{
    all_idle();
    m_check(users == 0);
}

const struct m_scenario m_scenarios[] = {
    {.name = "sem_three", .setup = one_permit, .check = three_visited,
     .thread = {visits_0, visits_1, visits_2}, .preemptions = 2, .stale = 1},
    {.name = "sem_cancel", .setup = no_permit_for_two,
     .check = one_may_be_cancelled,
     .thread = {releases_two, acquires_1, acquires_behind_1, then_cancels},
     .preemptions = 1, .stale = 1},
    {.name = "sem_try", .setup = no_permit, .check = not_overtaken,
     .thread = {releases_for_1, acquires_1, then_tries}, .preemptions = 2,
     .stale = 1},
    {.name = "sem_freed", .setup = two_users, .check = last_freed,
     .thread = {uses_0, uses_1}, .preemptions = 3, .stale = 2},
    {.name = "sem_given_up", .setup = given_up, .check = last_freed,
     .thread = {releases, uses_1}, .preemptions = 3, .stale = 2},
    {.name = NULL},
};
