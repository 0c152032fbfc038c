/* SPDX-License-Identifier: MIT */
/* Bugs of the usual kinds, planted: simulations find each within some seeds,
 * and nothing in the same programs written right. */
#include "support/cases.h"

#define BOUND 2000
#define STARTS 8

/* What a program that shows its bug returns. */
#define SHOWN 1

struct plant {
    weft_fn *fn; /* its argument: a bool, written right */
    unsigned workers;
};

static void lock(weft_mutex *m)
{
    t_equal(weft_mutex_lock(m), 0);
}

/* ---- a lost wake-up ------------------------------------------------------ */

static struct {
    weft_mutex m;
    weft_event changed;
    bool flag;
} bell;

/* A condition made by hand. Wrong: who rings between the unlock and the clear
 * is not heard. */
static long listens(void *arg)
{
    bool right = *(bool *)arg;
    int64_t end;
    long rc = 0;

    lock(&bell.m);
    while (!bell.flag && rc == 0) {
        if (right)
            weft_event_clear(&bell.changed);
        weft_mutex_unlock(&bell.m);
        end = weft_now() + 10 * WEFT_SEC;
        if (!right)
            weft_event_clear(&bell.changed);
        weft_with_deadline(end)
            rc = weft_event_wait(&bell.changed);
        lock(&bell.m);
    }
    weft_mutex_unlock(&bell.m);
    return rc == -ETIMEDOUT ? SHOWN : rc;
}

static long rings(void *arg)
{
    (void)arg;
    lock(&bell.m);
    bell.flag = true;
    weft_mutex_unlock(&bell.m);
    weft_event_set(&bell.changed);
    return 0;
}

static long lost_wakeup(void *arg)
{
    struct weft_call c[] = {{.fn = listens, .arg = arg},
                            {.fn = rings, .arg = arg}};

    memset(&bell, 0, sizeof bell);
    t_equal(weft_gather(c, T_LEN(c)), 0);
    return c[0].ret;
}

/* ---- a lost permit ------------------------------------------------------- */

struct asker {
    struct asker *next;
    weft_future granted;
};

static struct {
    weft_mutex m;
    int free;
    struct asker *first;
} permits;

static void release(void)
{
    struct asker *a;

    weft_with_shield() {
        lock(&permits.m);
        a = permits.first;
        if (a) {
            permits.first = a->next;
            weft_future_set(&a->granted, 0);
        } else {
            permits.free++;
        }
        weft_mutex_unlock(&permits.m);
    }
}

/* True: it is not to be had any more, since it was granted. */
static bool withdraw(struct asker *a)
{
    struct asker **at;
    bool found;

    weft_with_shield() {
        lock(&permits.m);
        at = &permits.first;
        while (*at && *at != a)
            at = &(*at)->next;
        found = *at == a;
        if (found)
            *at = a->next;
        weft_mutex_unlock(&permits.m);
    }
    return !found;
}

/* Wrong: one that is cancelled just after it was granted keeps the permit. */
static long acquire(bool right)
{
    struct asker me = {.next = NULL};
    bool had;
    long rc;

    rc = weft_mutex_lock(&permits.m);
    if (rc < 0)
        return rc;
    had = permits.free > 0;
    if (had) {
        permits.free--;
    } else {
        me.next = permits.first;
        permits.first = &me;
    }
    weft_mutex_unlock(&permits.m);
    if (had)
        return 0;
    rc = weft_future_wait(&me.granted);
    if (rc < 0 && withdraw(&me) && right)
        release();
    return rc;
}

static long uses_permits(void *arg)
{
    bool right = *(bool *)arg;

    for (int i = 0; i < 3; i++)
        weft_with_timeout((int64_t)(weft_sim_random() % 20) * WEFT_US) {
            if (acquire(right) < 0)
                continue;
            (void)weft_sleep((int64_t)(weft_sim_random() % 10) * WEFT_US);
            release();
        }
    return 0;
}

static long lost_permit(void *arg)
{
    weft_group g;

    memset(&permits, 0, sizeof permits);
    permits.free = 1;
    weft_with_group(&g)
        for (int i = 0; i < 3; i++)
            t_equal(weft_spawn(&g, uses_permits, arg), 0);
    t_check(permits.first == NULL);
    return permits.free == 1 ? 0 : SHOWN;
}

/* ---- a look before a leap ------------------------------------------------ */

static struct {
    weft_mutex m;
    weft_event any;
    atomic_long n;
} counter;

/* Wrong: what was read may be old when it is written back. */
static long counts(void *arg)
{
    bool right = *(bool *)arg;
    long n;

    for (int i = 0; i < 3; i++) {
        if (right)
            lock(&counter.m);
        n = atomic_load(&counter.n);
        weft_event_set(&counter.any);
        atomic_store(&counter.n, n + 1);
        if (right)
            weft_mutex_unlock(&counter.m);
    }
    return 0;
}

static long lost_count(void *arg)
{
    struct weft_call c[] = {{.fn = counts, .arg = arg},
                            {.fn = counts, .arg = arg}};

    memset(&counter, 0, sizeof counter);
    t_equal(weft_gather(c, T_LEN(c)), 0);
    return atomic_load(&counter.n) == 6 ? 0 : SHOWN;
}

/* ---- seeds --------------------------------------------------------------- */

static long run(const struct plant *p, bool right, uint64_t seed)
{
    struct weft_options o = t_options(p->workers);

    return weft_sim_run(p->fn, &right, seed,
                        &(struct weft_sim_options){.runtime = &o});
}

/* From that seed on; BOUND: not within it. */
static long seeds_until_shown(const struct plant *p, uint64_t from)
{
    for (long n = 0; n < BOUND; n++) {
        long rc = run(p, false, from + (uint64_t)n);

        t_verdict();
        if (rc == SHOWN)
            return n + 1;
        assert_int_equal(rc, 0);
    }
    return BOUND;
}

static void find(const char *name, const struct plant *p)
{
    long all = 0, most = 0;

    for (int i = 0; i < STARTS; i++) {
        long n = seeds_until_shown(p, (uint64_t)i * 1000000);

        all += n;
        most = n > most ? n : most;
    }
    printf("%s: shown after %.1f seeds (mean of %d starts), %ld at most\n",
           name, (double)all / STARTS, STARTS, most);
    assert_true(most < BOUND);
    for (uint64_t seed = 0; seed < (uint64_t)t_scale(BOUND); seed++) {
        assert_int_equal(run(p, true, seed), 0);
        t_verdict();
    }
}

static void a_lost_wakeup_is_found(void **state)
{
    (void)state;
    find("a lost wake-up", &(struct plant){lost_wakeup, 2});
}

static void a_lost_permit_is_found(void **state)
{
    (void)state;
    find("a lost permit", &(struct plant){lost_permit, 2});
}

static void a_lost_count_is_found(void **state)
{
    (void)state;
    find("a lost count", &(struct plant){lost_count, 2});
}

static const struct CMUnitTest tests[] = {
    T_REAL(a_lost_wakeup_is_found), /* it simulates by itself */
    T_REAL(a_lost_permit_is_found),
    T_REAL(a_lost_count_is_found),
};

T_MAIN(tests)
