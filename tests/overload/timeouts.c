/* SPDX-License-Identifier: MIT */
/* 50 000 time-outs a second, each of which is set and taken back before it
 * fires: half of them timers that stay armed for a tenth of a second, among
 * thousands of others, the other half the deadlines of tasks that wait and are
 * woken in time, by a task that may be another worker's. */
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "overload.h"

enum {
    RATE = 50000,
    TICK_US = 1000,
    TIMERS = RATE / 2 / 10, /* armed at a time: a tenth of a second's */
    PAIRS = 8,
};

#define FAR (5 * WEFT_SEC)

static atomic_ulong set, taken_back, fired;
static weft_timer timers[TIMERS];

static long fired_task(void *arg)
{
    (void)arg;
    atomic_fetch_add(&fired, 1);
    return 0;
}

/* Puts the one that was armed longest into the future again. */
static void renew(unsigned i)
{
    weft_timer *t = &timers[i % TIMERS];

    if (i >= TIMERS && weft_timer_stop(t) == 1)
        atomic_fetch_add(&taken_back, 1);
    if (weft_timer_start(t, weft_now() + FAR, fired_task, NULL) == 0)
        atomic_fetch_add(&set, 1);
}

/* ---- those who wait ----------------------------------------------------- */

struct pair {
    weft_sem asked;
    atomic_bool over;
};

static long waiter_task(void *arg)
{
    struct pair *p = arg;

    while (!atomic_load(&p->over)) {
        int rc = -EIO;

        weft_with_timeout(FAR)
            rc = weft_sem_acquire(&p->asked);
        atomic_fetch_add(&set, 1);
        atomic_fetch_add(rc == 0 ? &taken_back : &fired, 1);
    }
    return 0;
}

/* ---- the clock ---------------------------------------------------------- */

/* What is due by now, so that a late tick makes up for what it missed. */
static unsigned long drive(struct pair *pair, double seconds, long *early)
{
    int64_t start = weft_now(), end = start + (int64_t)(seconds * 1e9);
    unsigned long done = 0;
    unsigned timer = 0;

    for (int64_t now = start; now < end; now = weft_now()) {
        unsigned long due = (unsigned long)((now - start) / 1000) * RATE /
                            1000000;

        for (; done < due; done += 2) {
            renew(timer++);
            (void)weft_sem_release(&pair[done / 2 % PAIRS].asked);
        }
        if (!*early && now - start > (end - start) / 4)
            *early = child_rss(getpid());
        (void)weft_sleep(TICK_US * WEFT_US);
    }
    for (unsigned i = 0; i < TIMERS; i++)
        if (weft_timer_stop(&timers[i]) == 1)
            atomic_fetch_add(&taken_back, 1);
    return done;
}

long timeouts_task(void *arg)
{
    struct pair *pair = calloc(PAIRS, sizeof *pair);
    double seconds = demand(20, 0.7), rate = 0;
    long early = 0, late = 0;
    int64_t start = weft_now();
    weft_group g = {0};
    int rc = 0;

    (void)arg;
    if (!check(pair != NULL, "memory"))
        return 0;
    weft_with_group(&g) {
        for (int i = 0; i < PAIRS && !rc; i++)
            rc = weft_spawn(&g, waiter_task, &pair[i]);
        check(rc == 0, "the waiters could be started");
        start = weft_now();
        rate = (double)drive(pair, seconds, &early) * 1e9 /
               (double)(weft_now() - start);
        late = child_rss(getpid());
        for (int i = 0; i < PAIRS; i++) {
            atomic_store(&pair[i].over, true);
            (void)weft_sem_release(&pair[i].asked);
        }
    }
    check(rate >= demand(0.99, 0.5) * RATE, "%.0f time-outs a second, %d wanted",
          rate, RATE);
    check(atomic_load(&fired) == 0, "%lu fired", atomic_load(&fired));
    check(atomic_load(&set) == atomic_load(&taken_back),
          "%lu were set, %lu taken back", atomic_load(&set),
          atomic_load(&taken_back));
    check(late <= early + (1 << 10), "%ld KiB early, %ld late", early, late);
    free(pair);
    return 0;
}
