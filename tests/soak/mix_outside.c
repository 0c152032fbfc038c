/* SPDX-License-Identifier: MIT */
/* Scenarios of what is outside: processes, signals, foreign threads, and
 * runtimes that come and go. */
#include "soak.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* ---- processes and signals ---------------------------------------------- */

/* Starts argv, talks with it or kills it; it should end with `want`. */
static void runs(struct player *p, char *const *argv, int kill_with, int want)
{
    struct weft_process_options o = {.in = WEFT_PIPE, .out = WEFT_PIPE};
    weft_process *pr;
    char buf[8];
    int rc;

    if (!went(weft_process_start(&pr, argv, &o)))
        return;
    lend(PROCESSES);
    if (!kill_with && went(weft_write(weft_process_stdin(pr), "abcdefg", 7)) &&
        went(weft_shutdown(weft_process_stdin(pr))) &&
        went(rc = (int)weft_readn(weft_process_stdout(pr), buf, sizeof buf)))
        check_rc(rc == 7 && memcmp(buf, "abcdefg", 7) == 0, rc);
    if (kill_with)
        check(weft_process_kill(pr, kill_with) == 0);
    if (!one_in(p, 4) && went(rc = weft_process_wait(pr)))
        check_rc(rc == want, rc);
    weft_process_close(pr);
    give_back(PROCESSES);
}

static void processes(struct player *p)
{
    if (one_in(p, 3))
        runs(p, (char *[]){"sleep", "60", NULL}, SIGKILL, 256 + SIGKILL);
    else if (one_in(p, 2))
        runs(p, (char *[]){"sh", "-c", "cat; exit 7", NULL}, 0, 7);
    else
        runs(p, (char *[]){"cat", NULL}, 0, 0);
}

static void signals(struct player *p)
{
    static const int usr[] = {SIGUSR1, SIGUSR2};
    int one = usr[dice(p, 2)], rc;
    weft_signals *s;

    if (!went(weft_signals_open(&s, &one, 1)))
        return;
    check(kill(getpid(), one) == 0);
    if (one_in(p, 4))
        weft_with_timeout(moment(p, 500))
            (void)!weft_signal_wait(usr, 2);
    if (went(rc = weft_signals_next(s)))
        check_rc(rc == one, rc);
    weft_signals_close(s);
}

/* ---- foreign threads and guests ----------------------------------------- */

struct stranger {
    struct player p;
    weft_runtime *rt;
    weft_future done;
    weft_queue queue;
    void *slots[4];
    pthread_t thread;
};

static long replies(void *arg)
{
    (void)weft_yield();
    return *(long *)arg + 1;
}

static long posted(void *arg)
{
    (void)arg;
    give_back(POSTED);
    return 0;
}

static void *visits(void *arg)
{
    struct stranger *s = arg;
    long x = dice(&s->p, 1000);
    int n = 0;

    for (uint32_t i = dice(&s->p, 20); i--;) {
        lend(POSTED);
        if (!check(weft_runtime_post(s->rt, posted, NULL) == 0))
            give_back(POSTED);
    }
    check(weft_runtime_call(s->rt, replies, &x) == x + 1);
    check(weft_yield() == -EPERM);
    while (n < 4) {
        struct item *i = item_out(&s->p, n++);

        if (i && !check(weft_queue_tryput(&s->queue, i) == 0))
            item_in(i);
    }
    weft_queue_shutdown(&s->queue, 0);
    check(weft_future_set(&s->done, n) == 0);
    return NULL;
}

static long joins(void *arg)
{
    return -pthread_join(*(pthread_t *)arg, NULL);
}

static void strangers(struct player *p)
{
    struct stranger s = {.p = young(p), .rt = weft_runtime_self()};
    int rc, n = 0;
    void *item;

    check(weft_queue_init(&s.queue, s.slots, LEN(s.slots), WEFT_FIFO) == 0);
    if (!check(pthread_create(&s.thread, NULL, visits, &s) == 0))
        return;
    lend(THREADS);
    weft_with_shield() {
        while ((rc = weft_queue_get(&s.queue, &item)) == 0)
            item_in(item), n++;
        check_rc(rc == -ESHUTDOWN && n == 4, rc);
        check(weft_future_wait(&s.done) == 4);
        check(weft_blocking(joins, &s.thread) == 0);
    }
    give_back(THREADS);
}

static long plays_there(void *arg)
{
    struct player *p = arg;

    play(p, 30);
    return 0;
}

/* Left to the runtime's end: cancelled, it ends all the same. */
static long stays(void *arg)
{
    (void)arg;
    lend(TASKS);
    check_rc(weft_sleep(WEFT_MIN) == -ECANCELED, 0);
    give_back(TASKS);
    return 0;
}

static long guests(void *arg)
{
    struct player *p = arg, young_ones[4];
    weft_group g;

    weft_with_group(&g)
        for (int i = 0; i < 4; i++) {
            young_ones[i] = young(p);
            check(weft_spawn(&g, plays_there, &young_ones[i]) == 0);
        }
    check(weft_group_wait(&g) == 0);
    for (int i = 0; i < 3; i++)
        check(weft_spawn_detached(stays, NULL) == 0);
    return 5;
}

static long visits_runtime(void *arg)
{
    struct player *p = arg;
    struct weft_options o = soak_options(1 + dice(p, 4));
    weft_runtime *rt;

    if (!check(weft_runtime_open(&rt, &o) == 0))
        return 0;
    lend(RUNTIMES);
    soak_guest(rt);
    check(weft_runtime_call(rt, guests, p) == 5);
    if (one_in(p, 2))
        weft_runtime_stop(rt);
    soak_guest(NULL);
    check(weft_runtime_close(rt) == 0);
    give_back(RUNTIMES);
    return 0;
}

/* One at a time, with whatever a player does; the shared locks and queues are
 * shared with it. */
static void runtimes(struct player *p)
{
    static atomic_int busy;
    struct player own = young(p);

    own.guest = true;
    if (atomic_exchange(&busy, 1))
        return;
    went(weft_blocking(visits_runtime, &own));
    atomic_store(&busy, 0);
}

static struct scenario scenarios[] = {
    {"outside.processes", 1, processes, REAL, 0},
    {"outside.signals", 3, signals, REAL, 0},
    {"outside.strangers", 2, strangers, HOME | REAL, 0},
    {"outside.runtimes", 1, runtimes, HOME, 0},
};

struct part part_outside = {scenarios, LEN(scenarios), NULL, NULL};
