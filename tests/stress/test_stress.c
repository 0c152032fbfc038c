/* SPDX-License-Identifier: MIT */
/* Everything at once, at random: spawns, cancels, time-outs, a mutex, an
 * event, queues, timers, offloads, on 4 workers for some seconds. What must
 * hold whatever happens is counted. WEFT_TEST_SEED repeats a run's choices,
 * WEFT_TEST_SECONDS its length. */
#include "support/cases.h"

#include <time.h>

#define PLAYERS 24

/* The pot is changed under the mutex only, on purpose not atomically. */
static struct {
    uint64_t seed;
    int64_t end;
    weft_mutex mutex;
    long pot;
    weft_event event;
    weft_queue queue;
    void *slots[8];
    atomic_long locked, put, got, spawned, ended, cancelled, timeouts;
    atomic_long armed, stopped, fired, refused, offloaded;
    atomic_int inside;
} ring;

struct player {
    uint64_t random;
    int depth;
    atomic_int live; /* timers of it that may still fire */
};

static uint32_t dice(struct player *p, uint32_t sides)
{
    p->random = p->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(p->random >> 33) % sides;
}

static void note(long rc)
{
    if (rc == -ECANCELED)
        atomic_fetch_add(&ring.cancelled, 1);
    else if (rc == -ETIMEDOUT)
        atomic_fetch_add(&ring.timeouts, 1);
    else
        t_check(rc >= 0);
}

static void use_mutex(struct player *p)
{
    int rc = weft_mutex_lock(&ring.mutex);

    note(rc);
    if (rc)
        return;
    t_equal(atomic_fetch_add(&ring.inside, 1), 0);
    ring.pot++;
    if (dice(p, 4) == 0)
        note(weft_yield());
    atomic_fetch_sub(&ring.inside, 1);
    atomic_fetch_add(&ring.locked, 1);
    t_equal(weft_mutex_unlock(&ring.mutex), 0);
}

static void use_event(struct player *p)
{
    switch (dice(p, 3)) {
    case 0:
        weft_event_set(&ring.event);
        break;
    case 1:
        weft_event_clear(&ring.event);
        break;
    default:
        weft_with_timeout(dice(p, 500) * WEFT_US)
            note(weft_event_wait(&ring.event));
    }
}

static void use_queue(struct player *p)
{
    void *item;
    int rc;

    weft_with_timeout(dice(p, 1000) * WEFT_US) {
        if (dice(p, 2)) {
            rc = weft_queue_put(&ring.queue, &ring);
            if (rc == 0)
                atomic_fetch_add(&ring.put, 1);
        } else {
            rc = weft_queue_get(&ring.queue, &item);
            if (rc == 0 && t_check(item == &ring))
                atomic_fetch_add(&ring.got, 1);
        }
        note(rc);
    }
}

static long rings(void *arg)
{
    struct player *p = arg;

    atomic_fetch_add(&ring.fired, 1);
    atomic_fetch_sub(&p->live, 1);
    return 0;
}

static void use_timer(struct player *p)
{
    weft_timer t = {{0}};

    atomic_fetch_add(&p->live, 1);
    t_equal(weft_timer_start(&t, weft_now() + dice(p, 300) * WEFT_US, rings, p),
            0);
    atomic_fetch_add(&ring.armed, 1);
    note(weft_sleep(dice(p, 300) * WEFT_US));
    if (weft_timer_stop(&t)) {
        atomic_fetch_add(&ring.stopped, 1);
        atomic_fetch_sub(&p->live, 1);
    }
    /* Its callback, under way, uses p. */
    weft_with_shield()
        while (atomic_load(&p->live) > 0)
            t_equal(weft_yield(), 0);
}

static long doubles(void *arg)
{
    return 2 * (long)(intptr_t)arg;
}

static void offload(struct player *p)
{
    long n = dice(p, 1000);
    long rc = dice(p, 2) ? weft_compute(doubles, (void *)(intptr_t)n)
                         : weft_blocking(doubles, (void *)(intptr_t)n);

    note(rc);
    if (rc >= 0 && t_equal(rc, 2 * n))
        atomic_fetch_add(&ring.offloaded, 1);
}

static long plays(void *arg);

/* A family of its own: some are awaited, some cancelled, some left running
 * when the block is left by break. */
static void have_children(struct player *p)
{
    struct player child[4];
    weft_task *t[4] = {NULL};
    weft_group g;

    weft_with_group(&g) {
        for (int i = 0; i < 4; i++) {
            child[i] =
                (struct player){p->random + (uint64_t)i, p->depth + 1, 0};
            if (weft_spawn_task(&g, plays, &child[i], &t[i]) == 0)
                atomic_fetch_add(&ring.spawned, 1);
            else
                atomic_fetch_add(&ring.refused, 1);
        }
        if (t[0] && dice(p, 2))
            note(weft_await(t[0]));
        if (t[1] && dice(p, 3) == 0)
            t_equal(weft_task_cancel(t[1]), 0);
        if (dice(p, 5) == 0)
            break;
        if (dice(p, 5) == 0)
            weft_group_cancel(&g);
    }
    for (int i = 0; i < 4; i++)
        t_equal(atomic_load(&child[i].live), 0);
}

static void play_once(struct player *p)
{
    switch (dice(p, 9)) {
    case 0:
        note(weft_yield());
        break;
    case 1:
        note(weft_sleep(dice(p, 200) * WEFT_US));
        break;
    case 2:
    case 3:
        use_mutex(p);
        break;
    case 4:
        use_event(p);
        break;
    case 5:
        use_queue(p);
        break;
    case 6:
        use_timer(p);
        break;
    case 7:
        if (dice(p, 10) == 0)
            offload(p);
        break;
    default:
        if (p->depth < 3)
            have_children(p);
    }
}

static long plays(void *arg)
{
    struct player *p = arg;

    for (int i = 0; i < 20 && weft_check() == 0; i++)
        play_once(p);
    atomic_fetch_add(&ring.ended, 1);
    return weft_check() == -ECANCELED ? -ECANCELED : 0;
}

static long plays_on(void *arg)
{
    struct player *p = arg;

    while (weft_now() < ring.end)
        weft_with_timeout(dice(p, 20) * WEFT_MS)
            for (int i = 0; i < 20; i++)
                play_once(p);
    return 0;
}

static long stress(void *arg)
{
    static struct player players[PLAYERS];
    weft_group g;

    (void)arg;
    weft_with_group(&g)
        for (int i = 0; i < PLAYERS; i++) {
            players[i] = (struct player){ring.seed * 7919 + (uint64_t)i, 0, 0};
            t_equal(weft_spawn(&g, plays_on, &players[i]), 0);
        }
    t_equal(weft_group_wait(&g), 0);
    t_equal(weft_sleep(5 * WEFT_MS), 0);
    return 0;
}

static void whatever_happens_the_sums_agree(void **state)
{
    const char *seed = getenv("WEFT_TEST_SEED");
    const char *seconds = getenv("WEFT_TEST_SECONDS");

    memset(&ring, 0, sizeof ring);
    ring.seed = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
    ring.end = weft_now() + (seconds ? atol(seconds) : 4) * WEFT_SEC;
    print_message("seed %llu\n", (unsigned long long)ring.seed);
    assert_int_equal(
        weft_queue_init(&ring.queue, ring.slots, T_LEN(ring.slots), WEFT_FIFO),
        0);
    assert_int_equal(t_run(t_workers(state), stress, NULL), 0);
    print_message("%ld spawned, %ld locks, %ld puts, %ld timers, %ld cancels, "
                  "%ld time-outs, %ld offloads\n",
                  ring.spawned, ring.locked, ring.put, ring.armed,
                  ring.cancelled, ring.timeouts, ring.offloaded);
    assert_int_equal(ring.pot, ring.locked);
    assert_false(weft_mutex_locked(&ring.mutex));
    assert_int_equal(ring.put - ring.got, weft_queue_len(&ring.queue));
    assert_int_equal(ring.armed, ring.stopped + ring.fired);
    assert_true(ring.ended <= ring.spawned); /* the rest never started */
    assert_true(ring.spawned > 0 && ring.locked > 0 && ring.got > 0 &&
                ring.fired > 0 && ring.cancelled > 0 && ring.timeouts > 0);
}

static const struct CMUnitTest tests[] = {
    T_WITH_(whatever_happens_the_sums_agree, 4, "4 workers"),
    T_WITH_(whatever_happens_the_sums_agree, 1, "1 worker"),
};

T_MAIN(tests)
