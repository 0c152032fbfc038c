/* SPDX-License-Identifier: MIT */
/* Two calls at the same time, for the tests of what must not be lost then. */
#ifndef TESTS_CASES_RACES_H
#define TESTS_CASES_RACES_H

#include "support/cases.h"

typedef void race_fn(void *arg);

/* A task that makes one of the calls. Before each the two meet, and neither
 * gives its worker away so soon that the other could not be taken by another
 * worker; without another one patience ends. */
struct rival {
    race_fn *fn;
    void *arg;
    long delay;
    atomic_long asked, here, done; /* calls; asked < 0: it ends */
    long patience;                 /* the caller's: ns */
    weft_group g;
};

#define RACE_PATIENCE (40 * WEFT_US)

static inline void race_delay(long n)
{
    for (volatile long i = 0; i < n; i++)
        ;
}

/* Until *n is no longer less than `to`, or is negative; yields whenever so much
 * time has passed. True: without a yield. */
static inline bool race_meet(atomic_long *n, long to, int64_t patience)
{
    int64_t end = weft_now() + patience;
    bool at_once = true;
    long now;

    while ((now = atomic_load(n)) < to && now >= 0) {
        for (int i = 0; i < 50 && atomic_load(n) == now; i++)
            ;
        if (weft_now() >= end) {
            t_equal(weft_yield(), 0);
            end = weft_now() + patience;
            at_once = false;
        }
    }
    return at_once;
}

static inline long race_loop(void *arg)
{
    struct rival *r = arg;

    for (long n = 1;; n++) {
        atomic_store(&r->here, n);
        (void)race_meet(&r->asked, n, RACE_PATIENCE / 10);
        if (atomic_load(&r->asked) < 0)
            return 0;
        race_delay(r->delay);
        r->fn(r->arg);
        atomic_store(&r->done, n);
    }
}

/* Has the rival call fn(arg) after the delay; the two do not wait. */
static inline void race_start(struct rival *r, race_fn *fn, void *arg,
                              long delay)
{
    long n = atomic_load(&r->asked) + 1;

    r->fn = fn;
    r->arg = arg;
    r->delay = delay;
    if (race_meet(&r->here, n, r->patience))
        r->patience = RACE_PATIENCE;
    else if (r->patience > WEFT_US)
        r->patience /= 2;
    atomic_store(&r->asked, n);
}

static inline void race_finish(struct rival *r)
{
    (void)race_meet(&r->done, atomic_load(&r->asked), WEFT_US);
}

/* a and b are called at once, or either of them later, by some microseconds at
 * most. Returns when both have returned. */
static inline void race(struct rival *r, race_fn *a, void *a_arg, race_fn *b,
                        void *b_arg, long round)
{
    long delay = round / 2 % 97 * (round / 2 % 3 ? 100 : 5);

    race_start(r, b, b_arg, round & 1 ? delay : 0);
    race_delay(round & 1 ? 0 : delay);
    if (round % 8 == 6) /* b first also with one worker */
        t_equal(weft_yield(), 0);
    a(a_arg);
    race_finish(r);
}

static inline struct rival *race_enter(struct rival *r)
{
    atomic_init(&r->asked, 0);
    atomic_init(&r->here, 0);
    atomic_init(&r->done, 0);
    r->patience = RACE_PATIENCE;
    weft_group_enter(&r->g);
    t_equal(weft_spawn(&r->g, race_loop, r), 0);
    return r;
}

static inline void race_leave(struct rival **r)
{
    atomic_store(&(*r)->asked, -1);
    t_equal(weft_group_leave(&(*r)->g), 0);
}

/* for (i = 0; i < n; i++), with a rival r. */
#define race_rounds(r, i, n)                                                   \
    WEFT_WITH(struct rival, r, race_enter(&(struct rival){.delay = 0}),        \
              race_leave)                                                      \
    for (long i = 0; i < (n); i++)

static inline void race_cancel(void *task)
{
    t_equal(weft_task_cancel(task), 0);
}

/* Until n tasks have added 1 to *flag; they go into their waits meanwhile,
 * mostly. */
static inline void race_let_in(atomic_int *flag, int n)
{
    while (atomic_load(flag) < n)
        t_equal(weft_yield(), 0);
    t_equal(weft_yield(), 0);
}

/* What somebody may free is overwritten; that stays so. */
static inline void race_overwrite(void *object, size_t size)
{
    unsigned char *byte = object;
    size_t same = 0;

    memset(object, 0xa5, size);
    race_delay(100);
    for (size_t i = 0; i < size; i++)
        same += ((volatile unsigned char *)byte)[i] == 0xa5;
    t_equal(same, size);
}

#endif
