/* SPDX-License-Identifier: MIT */
/* Scenarios of the executor and of flow: offloaded work, depots, limiters,
 * retries, actors, pipelines. */
#include "soak.h"

#include <stdlib.h>

/* ---- executor ----------------------------------------------------------- */

struct job {
    long x;
    atomic_int ran;
    bool nested;
};

static long doubles(void *arg)
{
    return 2 * *(long *)arg;
}

static long works(void *arg)
{
    struct job *j = arg;

    check(atomic_fetch_add(&j->ran, 1) == 0);
    lend(JOBS);
    for (volatile long i = 0; i < j->x * 10; i++)
        ;
    if (j->nested) {
        long rc = weft_compute(doubles, &j->x);

        check_rc(rc == 2 * j->x || stopped(rc), rc);
    }
    give_back(JOBS);
    return j->x + 1;
}

/* Started work runs to its end and its result is had; other work never ran. */
static void worked(const struct job *j, long rc)
{
    if (atomic_load(&j->ran))
        check_rc(rc == j->x + 1, rc);
    else
        check_rc(stopped(rc) && weft_check() != 0, rc);
}

static void offloads(struct player *p)
{
    struct job j = {.x = dice(p, 5000)};

    weft_with_timeout(one_in(p, 3) ? moment(p, 200) : WEFT_MIN) {
        if (one_in(p, 2)) {
            j.nested = one_in(p, 3);
            worked(&j, weft_compute(works, &j));
        } else {
            worked(&j, weft_blocking(works, &j));
        }
    }
}

static void pools(struct player *p)
{
    struct weft_pool_options o = {.name = "soak", .threads = 1 + dice(p, 2)};
    struct job j[3] = {0}, one = {.x = 3};
    weft_pool *pool;
    weft_group g;

    if (!check(weft_pool_open(&pool, &o) == 0))
        return;
    weft_with_group(&g) {
        for (int i = 0; i < 3; i++) {
            int rc;

            j[i].x = dice(p, 3000);
            rc = weft_pool_spawn(pool, &g, works, &j[i], NULL);
            check_rc(rc == 0 || rc == -ECANCELED, rc);
        }
        if (one_in(p, 4))
            break;
        worked(&one, weft_pool_call(pool, works, &one));
    }
    weft_pool_close(pool);
}

WEFT_TASK(long, fib, long, n)
{
    WEFT_CHILD(fib) a;
    long b;

    if (n < 2)
        return n;
    WEFT_FORK(fib, &a, n - 1);
    b = WEFT_CALL(fib, n - 2);
    return WEFT_JOIN(fib, &a) + b;
}

static void forks(struct player *p)
{
    static const long fibs[] = {55,  89,   144,  233,  377, 610,
                                987, 1597, 2584, 4181, 6765};
    long n = dice(p, LEN(fibs)), result = 0;
    long rc = WEFT_RUN(fib, &result, n + 10);

    if (went(rc))
        check(result == fibs[n]);
}

static long marks(size_t begin, size_t end, void *arg)
{
    int *v = arg;

    for (size_t i = begin; i < end; i++)
        v[i]++;
    return 0;
}

static int ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;

    return (x > y) - (x < y);
}

static void loops(struct player *p)
{
    size_t n = 1 + dice(p, 5000);
    int *v = calloc(n, sizeof *v);
    long rc;

    if (!check(v != NULL))
        return;
    rc = one_in(p, 2) ? weft_for(n, marks, v)
                      : weft_for_grain(n, 1 + dice(p, 100), marks, v);
    if (went(rc))
        for (size_t i = 0; i < n; i++)
            if (!check(v[i] == 1))
                break;
    for (size_t i = 0; i < n; i++)
        v[i] = (int)dice(p, 1000);
    if (went(weft_sort(v, n, sizeof *v, ints)))
        for (size_t i = 1; i < n; i++)
            if (!check(v[i - 1] <= v[i]))
                break;
    free(v);
}

/* ---- depot, limiter, retry ---------------------------------------------- */

static weft_depot *depot;
static weft_limiter limiter;

struct resource {
    atomic_int lent;
};

static atomic_uint asked;

/* Every eighth cannot be had. */
static int opens(void **out, void *arg)
{
    struct resource *r;

    (void)arg;
    (void)weft_yield();
    if (atomic_fetch_add(&asked, 1) % 8 == 7)
        return ON_PURPOSE;
    r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    lend(RESOURCES);
    *out = r;
    return 0;
}

static void closes(void *resource, void *arg)
{
    struct resource *r = resource;

    (void)arg;
    check(atomic_load(&r->lent) == 0);
    free(r);
    give_back(RESOURCES);
}

static void borrows(struct player *p)
{
    struct resource *r;
    void *out;
    int rc;

    weft_with_timeout(moment(p, 2000)) {
        rc = weft_depot_take(depot, &out);
        if (rc == ON_PURPOSE || !went(rc))
            break;
        r = out;
        check(atomic_fetch_add(&r->lent, 1) == 0);
        (void)linger(p);
        check(atomic_fetch_sub(&r->lent, 1) == 1);
        if (one_in(p, 4))
            weft_depot_drop(depot, r);
        else
            weft_depot_give(depot, r);
    }
}

static void limits(struct player *p)
{
    int rc;

    weft_with_timeout(moment(p, 1000)) {
        rc = one_in(p, 3) ? weft_limiter_trytake(&limiter, 1 + dice(p, 5))
                          : weft_limiter_take(&limiter, 1 + dice(p, 5));
        if (rc != -EAGAIN)
            went(rc);
    }
}

static long third_time(void *arg)
{
    return ++*(int *)arg < 3 ? ON_PURPOSE : 9;
}

static void retries(struct player *p)
{
    struct weft_retry_options o = {.attempts = 2 + dice(p, 4),
                                   .delay = 20 * WEFT_US};
    int tries = 0;
    long rc = weft_retry(third_time, &tries, &o);

    if (rc == ON_PURPOSE)
        check(tries == 2 || weft_check() != 0);
    else if (went(rc))
        check(rc == 9 && tries == 3);
}

/* ---- actors ------------------------------------------------------------- */

struct question {
    struct item *item; /* or NULL: x is asked */
    long x;
    atomic_int handled;
};

static weft_actor *actor;

static int starts(void **state, void *arg)
{
    *state = arg;
    lend(ACTORS);
    (void)weft_yield();
    return 0;
}

static void stops(void *state, void *arg)
{
    (void)state;
    (void)arg;
    check(weft_yield() == 0);
    give_back(ACTORS);
}

static long answers(void *state, void *message)
{
    struct question *q = message;
    atomic_int *busy = state;

    check(atomic_fetch_add(busy, 1) == 0);
    check(atomic_fetch_add(&q->handled, 1) == 0);
    if (q->x % 4 == 0)
        (void)weft_yield();
    atomic_fetch_sub(busy, 1);
    return q->x + 1;
}

static void asks(struct player *p)
{
    struct question q = {.x = dice(p, 1000)};
    long rc;

    weft_with_timeout(moment(p, 1000)) {
        rc = weft_actor_ask(actor, &q);
        if (went(rc))
            check(rc == q.x + 1 && atomic_load(&q.handled) == 1);
        else
            check(atomic_load(&q.handled) == 0);
    }
}

/* An item of rank 7 is more than it can bear. */
static long swallows(void *state, void *message)
{
    struct item *i = message;
    long rank = i->rank;

    (void)state;
    item_in(i);
    (void)weft_yield();
    return rank == 7 ? ON_PURPOSE : 0;
}

static void dropped(void *message, void *arg)
{
    (void)arg;
    item_in(message);
}

static void supervised(struct player *p)
{
    struct weft_supervisor_options so = {.restart = dice(p, 2),
                                         .max = one_in(p, 4) ? 1 : 1000};
    struct weft_actor_options o = {.mailbox = dice(p, 5),
                                   .on_start = starts,
                                   .on_stop = stops,
                                   .drop = dropped};
    weft_actor *a[2] = {NULL};
    weft_supervisor *s;
    weft_group g;
    long rc = 0;

    weft_with_group(&g) {
        if (weft_supervisor_open(&s, &g, &so) != 0)
            break;
        for (int i = 0; i < 2; i++)
            if (weft_supervisor_add(s, swallows, &o, &a[i]) != 0)
                a[i] = NULL;
        for (int n = 0; n < 20 && rc == 0; n++) {
            struct item *i = item_out(p, n % 10);
            weft_actor *to = a[dice(p, 2)];

            if (!i)
                break;
            rc = to ? weft_actor_send(to, i) : -ESHUTDOWN;
            if (rc)
                item_in(i);
        }
        check_rc(rc == 0 || rc == -ESHUTDOWN || weft_check() != 0, rc);
        weft_actor_close(a[0]);
        weft_actor_close(a[1]);
        weft_supervisor_close(s);
    }
    rc = weft_group_wait(&g);
    check_rc(rc == 0 || rc == ON_PURPOSE || stopped(rc), rc);
}

/* ---- pipelines ---------------------------------------------------------- */

static int passes(void *in, void **out, void *arg)
{
    struct item *i = in;
    const int *fails_at = arg;

    if (i->rank == *fails_at)
        return ON_PURPOSE;
    if (i->rank % 5 == 4 && *fails_at == -1) {
        item_in(i);
        *out = NULL;
    } else {
        *out = i;
    }
    return 0;
}

static void falls_out(void *item, size_t stage, void *arg)
{
    (void)stage;
    (void)arg;
    item_in(item);
}

struct line {
    struct player p;
    weft_pipeline *pipeline;
};

static long fills(void *arg)
{
    struct line *l = arg;

    for (int n = 0; n < 25; n++) {
        struct item *i = item_out(&l->p, n);
        int rc;

        if (!i)
            break;
        rc = weft_pipeline_put(l->pipeline, i);
        if (rc) {
            item_in(i);
            check_rc(rc == -EPIPE || rc == -ESHUTDOWN || stopped(rc), rc);
            break;
        }
    }
    weft_pipeline_finish(l->pipeline);
    return 0;
}

static int empties(weft_pipeline *pl, bool ordered, int *got)
{
    long before = -1;
    void *item;
    int rc;

    for (; (rc = weft_pipeline_get(pl, &item)) == 0; ++*got) {
        check(!ordered || ((struct item *)item)->rank > before);
        before = ((struct item *)item)->rank;
        item_in(item);
    }
    return rc;
}

static void pipelines(struct player *p)
{
    struct line l = {.p = young(p)};
    bool unordered = one_in(p, 2);
    int filters = -1, never = -2, fails = one_in(p, 4) ? (int)dice(p, 25) : -2;
    struct weft_stage stages[] = {
        {.fn = passes,
         .arg = &never,
         .parallel = 1 + dice(p, 3),
         .unordered = unordered},
        {.fn = passes,
         .arg = &filters,
         .parallel = 1 + dice(p, 2),
         .kind = dice(p, 3)},
        {.fn = passes, .arg = &fails},
    };
    struct weft_pipeline_options o = {
        .stages = stages, .n = 3, .output = 2, .drop = falls_out};
    int got = 0, rc = 0;
    weft_group g, h;
    long end;

    weft_with_group(&g) {
        if (weft_pipeline_open(&l.pipeline, &g, &o) != 0)
            break;
        weft_with_group(&h) {
            if (weft_spawn(&h, fills, &l) != 0)
                weft_pipeline_cancel(l.pipeline);
            rc = empties(l.pipeline, !unordered, &got);
            check_rc(rc == -ESHUTDOWN || rc == -EPIPE || weft_check(), rc);
            if (rc != -ESHUTDOWN || one_in(p, 8))
                weft_pipeline_cancel(l.pipeline);
        }
        end = weft_pipeline_close(l.pipeline);
        check_rc(end == 0 || stopped(end) || (fails >= 0 && end == ON_PURPOSE),
                 end);
        if (fails < 0 && weft_check() == 0)
            check_rc(rc == -ESHUTDOWN && got == 20, got);
    }
}

/* ---- the part ----------------------------------------------------------- */

static void open_all(weft_group *services)
{
    static atomic_int busy;
    struct weft_depot_options d = {
        .open = opens, .close = closes, .max = 4, .max_idle = 2};
    struct weft_actor_options a = {
        .mailbox = 8, .on_start = starts, .on_stop = stops, .arg = &busy};

    atomic_store(&asked, 0);
    check(weft_depot_open(&depot, &d) == 0);
    check(weft_limiter_init(&limiter, 20000, 50) == 0);
    check(weft_actor_open(&actor, services, answers, &a) == 0);
}

static void close_all(void)
{
    weft_actor_close(actor);
    weft_depot_close(depot);
}

static struct scenario scenarios[] = {
    {"exec.offloads", 8, offloads, 0, 0},
    {"exec.pools", 2, pools, 0, 0},
    {"exec.forks", 4, forks, 0, 0},
    {"exec.loops", 4, loops, 0, 0},
    {"flow.borrows", 10, borrows, HOME, 0},
    {"flow.limits", 8, limits, 0, 0},
    {"flow.retries", 4, retries, 0, 0},
    {"flow.asks", 12, asks, HOME, 0},
    {"flow.supervised", 3, supervised, 0, 0},
    {"flow.pipelines", 3, pipelines, 0, 0},
};

struct part part_work = {scenarios, LEN(scenarios), open_all, close_all};
