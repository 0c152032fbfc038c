/* SPDX-License-Identifier: MIT */
/* A busy worker's events and timers are served by the others: case 53. With
 * one worker there are no others. */
#include "support/cases.h"

#include <pthread.h>
#include <sys/socket.h>

#define EACH 50
#define HOG ((T_SANITIZED ? 1500 : 300) * WEFT_MS)
#define ROUND (5 * WEFT_MS) /* a message to each socket so often */

static struct {
    atomic_int running, over, served, fired;
    atomic_int armed, called; /* watches, and how many of them have ended */
    _Atomic int64_t worst;
    struct channel {
        weft_watch watch;
        int fd[2];
    } channels[EACH];
    struct alarm {
        weft_timer timer;
        int64_t when;
    } alarms[EACH];
} hall;

static void note_delay(int64_t ns)
{
    int64_t worst = atomic_load(&hall.worst);

    while (ns > worst && !atomic_compare_exchange_weak(&hall.worst, &worst, ns))
        ;
}

static void arm(struct channel *c);

static long on_message(void *arg)
{
    struct channel *c = arg;
    int64_t sent;

    while (recv(c->fd[0], &sent, sizeof sent, 0) == sizeof sent) {
        if (atomic_load(&hall.running)) {
            note_delay(weft_now() - sent);
            atomic_fetch_add(&hall.served, 1);
        }
    }
    if (!atomic_load(&hall.over))
        arm(c);
    atomic_fetch_add(&hall.called, 1);
    return 0;
}

static void arm(struct channel *c)
{
    atomic_fetch_add(&hall.armed, 1);
    t_equal(weft_fd_watch(&c->watch, c->fd[0], WEFT_READ, WEFT_NEVER,
                          on_message, c),
            0);
}

static long on_alarm(void *arg)
{
    struct alarm *a = arg;

    note_delay(weft_now() - a->when);
    atomic_fetch_add(&hall.fired, 1);
    return 0;
}

/* Registers everything with its own worker, then holds that worker. */
static long hogs(void *arg)
{
    int64_t start;

    (void)arg;
    for (int i = 0; i < EACH; i++)
        arm(&hall.channels[i]);
    start = weft_now();
    for (int i = 0; i < EACH; i++) {
        hall.alarms[i].when = start + (i + 1) * (HOG / (EACH + 10));
        t_equal(weft_timer_start(&hall.alarms[i].timer, hall.alarms[i].when,
                                 on_alarm, &hall.alarms[i]),
                0);
    }
    atomic_store(&hall.running, 1);
    t_spin(HOG);
    atomic_store(&hall.running, 0);
    return 0;
}

static void *writes(void *arg)
{
    (void)arg;
    while (!atomic_load(&hall.over)) {
        for (int i = 0; i < EACH; i++) {
            int64_t now = weft_now();

            (void)!send(hall.channels[i].fd[1], &now, sizeof now, MSG_DONTWAIT);
        }
        usleep((useconds_t)(ROUND / WEFT_US));
    }
    return NULL;
}

static long hold_hall(void *arg)
{
    pthread_t writer;
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(pthread_create(&writer, NULL, writes, NULL), 0);
        t_equal(weft_spawn(&g, hogs, NULL), 0);
    }
    atomic_store(&hall.over, 1);
    pthread_join(writer, NULL);
    /* A callback under way may arm once more. */
    do
        for (int i = 0; i < EACH; i++)
            if (weft_fd_unwatch(&hall.channels[i].watch))
                atomic_fetch_add(&hall.called, 1);
    while (atomic_load(&hall.called) < atomic_load(&hall.armed) &&
           weft_sleep(WEFT_MS) == 0);
    for (int i = 0; i < EACH; i++)
        weft_fd_forget(hall.channels[i].fd[0]);
    return 0;
}

static int64_t one_round(unsigned workers)
{
    memset(&hall, 0, sizeof hall);
    for (int i = 0; i < EACH; i++)
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0,
                                    hall.channels[i].fd),
                         0);
    assert_int_equal(t_run(workers, hold_hall, NULL), 0);
    for (int i = 0; i < EACH; i++) {
        close(hall.channels[i].fd[0]);
        close(hall.channels[i].fd[1]);
    }
    assert_int_equal(atomic_load(&hall.fired), EACH);
    return atomic_load(&hall.served) >= 5 * EACH ? atomic_load(&hall.worst)
                                                 : INT64_MAX;
}

/* Others may take the CPU away: the best of some rounds counts. */
static void events_and_timers_of_a_busy_worker_are_stolen(void **state)
{
    int64_t limit = (T_SANITIZED ? 700 : 20) * WEFT_MS, best = INT64_MAX;

    for (int i = 0; i < 6 && best > limit; i++) {
        int64_t worst = one_round(t_workers(state));

        if (worst < best)
            best = worst;
    }
    if (best > limit)
        fail_msg("something waited for %ld us", (long)(best / WEFT_US));
}

/* A task that never waits for long yields by itself. */
static atomic_int stop_counting;

static long counts(void *arg)
{
    weft_event set = {{0}};
    int64_t end = weft_now() + 10 * WEFT_SEC;

    (void)arg;
    weft_event_set(&set);
    while (!atomic_load(&stop_counting) && weft_now() < end)
        t_equal(weft_event_wait(&set), 0); /* never has to wait */
    return 0;
}

static long among_counters(void *arg)
{
    weft_group g;
    int64_t start = weft_now();

    weft_with_group(&g) {
        for (unsigned i = 0; i < 2 * *(unsigned *)arg; i++)
            t_equal(weft_spawn(&g, counts, NULL), 0);
        for (int i = 0; i < 50; i++)
            t_equal(weft_yield(), 0);
        t_equal(weft_sleep(WEFT_MS), 0);
        atomic_store(&stop_counting, 1);
    }
    t_check(weft_now() - start < 5 * WEFT_SEC);
    return 0;
}

static void a_task_of_many_quick_operations_lets_others_run(void **state)
{
    unsigned n = t_workers(state);

    atomic_store(&stop_counting, 0);
    assert_int_equal(t_run(n, among_counters, &n), 0);
}

/* ---- background ----------------------------------------------------------- */

struct shift {
    atomic_int busy; /* normal tasks that have not ended */
    atomic_int turns;
    atomic_int early;
    atomic_int stop;
};

static long behind(void *arg)
{
    struct shift *s = arg;

    for (int i = 0; i < 5; i++) {
        if (atomic_load(&s->busy))
            atomic_fetch_add(&s->early, 1);
        atomic_fetch_add(&s->turns, 1);
        t_equal(weft_yield(), 0);
    }
    return 0;
}

static long ahead(void *arg)
{
    struct shift *s = arg;

    for (int i = 0; i < 20; i++)
        t_equal(weft_yield(), 0);
    atomic_fetch_sub(&s->busy, 1);
    return 0;
}

static long background(void *arg)
{
    struct weft_task_options o = {.background = 1};
    int in_order = 0;
    weft_group g;

    (void)arg;
    for (int round = 0; round < 20; round++) {
        struct shift s = {.busy = 20};

        weft_with_group(&g) {
            for (int i = 0; i < 3; i++)
                t_equal(weft_spawn_with(&g, behind, &s, &o, NULL), 0);
            for (int i = 0; i < 20; i++)
                t_equal(weft_spawn(&g, ahead, &s), 0);
        }
        t_equal(atomic_load(&s.turns), 15);
        in_order += !atomic_load(&s.early);
    }
    /* They get a turn after 10 ms, which a loaded machine can take. */
    t_check(in_order >= 10 || T_SANITIZED);
    return 0;
}

static void background_tasks_let_all_others_go_first(void **state)
{
    (void)state;
    assert_int_equal(t_run(1, background, NULL), 0);
}

static long greedy(void *arg)
{
    struct shift *s = arg;

    while (!atomic_load(&s->stop))
        t_equal(weft_yield(), 0);
    return 0;
}

static long takes_turns(void *arg)
{
    struct shift *s = arg;

    for (int i = 0; i < 3; i++) {
        atomic_fetch_add(&s->turns, 1);
        t_equal(weft_yield(), 0);
    }
    atomic_store(&s->stop, 1);
    return 0;
}

static long not_starved(void *arg)
{
    struct weft_task_options o = {.background = 1};
    struct shift s = {0};
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        for (int i = 0; i < 8; i++)
            t_equal(weft_spawn(&g, greedy, &s), 0);
        t_equal(weft_spawn_with(&g, takes_turns, &s, &o, NULL), 0);
    }
    t_equal(atomic_load(&s.turns), 3);
    return 0;
}

static void background_tasks_do_not_starve(void **state)
{
    assert_int_equal(t_run(t_workers(state), not_starved, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(background_tasks_let_all_others_go_first),
    T_EACH(background_tasks_do_not_starve),
    T_REAL_WITH_(events_and_timers_of_a_busy_worker_are_stolen, 2, "2 workers"),
    T_REAL_WITH_(events_and_timers_of_a_busy_worker_are_stolen, 4, "4 workers"),
    T_EACH(a_task_of_many_quick_operations_lets_others_run),
};

T_MAIN(tests)
