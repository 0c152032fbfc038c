/* SPDX-License-Identifier: MIT */
/* Pipelines: order, bounds, batches, and that nothing leaks when they end. */
#include "support/cases.h"

/* Items are numbers from 1 on. */
static long number(void *item)
{
    return (long)(intptr_t)item;
}

static void *item(long n)
{
    return (void *)(intptr_t)n;
}

struct line {
    weft_pipeline *p;
    long items;
    atomic_long put, through, inside, most, dropped, unordered;
    atomic_long dropped_at[4], calls, at_once, most_at_once;
    long next;     /* what the sink expects */
    long bad;      /* the item that fails */
    long modulus;  /* items that are no multiple of it are filtered out */
    bool slow;
    atomic_uchar *seen;
};

static void note_most(atomic_long *most, long now)
{
    long m = atomic_load(most);

    while (now > m && !atomic_compare_exchange_weak(most, &m, now))
        ;
}

static void enters(struct line *l)
{
    note_most(&l->most, atomic_fetch_add(&l->inside, 1) + 1);
}

/* ---- stages -------------------------------------------------------------- */

static int passes(void *in, void **out, void *arg)
{
    struct line *l = arg;

    note_most(&l->most_at_once, atomic_fetch_add(&l->at_once, 1) + 1);
    atomic_fetch_add(&l->calls, 1);
    if (number(in) % 7 == 0)
        t_check(weft_yield() == 0 || l->bad);
    if (l->slow)
        (void)weft_sleep(number(in) % 3 * 300000);
    atomic_fetch_sub(&l->at_once, 1);
    if (number(in) == l->bad)
        return -EBADMSG;
    if (l->modulus && number(in) % l->modulus) {
        atomic_fetch_sub(&l->inside, 1);
        return 0;
    }
    *out = in;
    return 0;
}

static int computes(void *in, void **out, void *arg)
{
    (void)arg;
    t_check(weft_self() == NULL); /* a plain thread */
    *out = in;
    return 0;
}

static int sinks(void *in, void **out, void *arg)
{
    struct line *l = arg;

    (void)out;
    if (number(in) != l->next++)
        atomic_fetch_add(&l->unordered, 1);
    if (l->seen)
        atomic_fetch_add(&l->seen[number(in)], 1);
    atomic_fetch_add(&l->through, 1);
    atomic_fetch_sub(&l->inside, 1);
    return 0;
}

static int source(void **out, void *arg)
{
    struct line *l = arg;
    long n = atomic_load(&l->put) + 1;

    if (n > l->items)
        return 0;
    enters(l);
    atomic_store(&l->put, n);
    *out = item(n);
    return 0;
}

static void drops(void *it, size_t stage, void *arg)
{
    struct line *l = arg;

    t_check(it != NULL);
    if (stage < 4)
        atomic_fetch_add(&l->dropped_at[stage], 1);
    atomic_fetch_add(&l->dropped, 1);
    atomic_fetch_sub(&l->inside, 1);
}

static void put_all(struct line *l)
{
    for (long i = 1; i <= l->items; i++) {
        t_equal(weft_pipeline_put(l->p, item(i)), 0);
        atomic_fetch_add(&l->put, 1);
    }
}

/* ---- order --------------------------------------------------------------- */

static struct line line;

static struct line *fresh(long items)
{
    free(line.seen);
    memset(&line, 0, sizeof line);
    line.items = items;
    line.next = 1;
    line.seen = calloc((size_t)items + 1, 1);
    return &line;
}

static long three_stages(void *arg)
{
    struct line *l = arg;
    unsigned free_order = l->modulus == -1;
    const struct weft_stage stages[] = {
        {.fn = passes, .arg = l, .parallel = 4, .unordered = free_order},
        {.fn = computes, .kind = WEFT_STAGE_COMPUTE, .parallel = 4,
         .unordered = free_order},
        {.fn = sinks, .arg = l, .name = "sink"},
    };
    struct weft_pipeline_options o = {.stages = stages, .n = 3, .drop = drops,
                                      .source = l->bad ? source : NULL,
                                      .arg = l};
    weft_group g;

    l->modulus = l->bad = 0;
    weft_with_group(&g) {
        t_equal(weft_pipeline_open(&l->p, &g, &o), 0);
        if (!o.source)
            put_all(l);
        t_equal(weft_pipeline_close(l->p), 0);
    }
    t_equal(weft_group_wait(&g), 0);
    t_equal(l->put, l->items);
    t_equal(l->through, l->items);
    t_equal(l->dropped, 0);
    for (long i = 1; i <= l->items; i++)
        if (!t_equal(l->seen[i], 1))
            break;
    if (!free_order)
        t_equal(l->unordered, 0);
    return 0;
}

static void parallel_stages_keep_the_order(void **state)
{
    t_run(t_workers(state), three_stages, fresh(t_scale(10000)));
}

static void a_source_function_feeds_as_put_does(void **state)
{
    struct line *l = fresh(t_scale(10000));

    l->bad = -1;
    t_run(t_workers(state), three_stages, l);
}

static void unordered_stages_lose_nothing(void **state)
{
    struct line *l = fresh(t_scale(10000));

    l->modulus = -1;
    t_run(t_workers(state), three_stages, l);
}

static long parallel_now(void *arg)
{
    struct line *l = arg;
    const struct weft_stage stages[] = {
        {.fn = passes, .arg = l, .parallel = 5},
        {.fn = sinks, .arg = l},
    };
    struct weft_pipeline_options o = {.stages = stages, .n = 2};
    weft_group g;

    l->slow = true;
    weft_with_group(&g) {
        t_equal(weft_pipeline_open(&l->p, &g, &o), 0);
        put_all(l);
        t_equal(weft_pipeline_close(l->p), 0);
    }
    t_equal(l->unordered, 0);
    t_equal(l->most_at_once, 5);
    return 0;
}

static void parallel_calls_run_at_once_and_no_more(void **state)
{
    t_run(t_workers(state), parallel_now, fresh(100));
}

/* ---- bounds -------------------------------------------------------------- */

struct hold {
    struct line *l;
    weft_event gate;
    long held; /* the item that waits for the gate */
};

static int holds(void *in, void **out, void *arg)
{
    struct hold *h = arg;
    int rc = 0;

    atomic_fetch_add(&h->l->calls, 1);
    if (number(in) == h->held)
        rc = weft_event_wait(&h->gate);
    *out = in;
    return rc;
}

static long puts_them(void *arg)
{
    struct line *l = arg;

    for (long i = 1; i <= l->items; i++) {
        t_equal(weft_pipeline_put(l->p, item(i)), 0);
        atomic_fetch_add(&l->put, 1);
    }
    return 0;
}

/* The first item is slow: those behind it fill the window, the queue before the
 * stage, and then the putter waits. */
static long slow_first(void *arg)
{
    struct hold h = {.l = fresh(100), .held = 1};
    const struct weft_stage stages[] = {
        {.fn = holds, .arg = &h, .parallel = 2, .window = 3, .queue = 4},
        {.fn = sinks, .arg = h.l},
    };
    struct weft_pipeline_options o = {.stages = stages, .n = 2};
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_pipeline_open(&h.l->p, &g, &o), 0);
        t_equal(weft_spawn(&g, puts_them, h.l), 0);
        t_check(t_wait_waiting("queue put", 1));
        t_equal(weft_sleep(20 * WEFT_MS), 0);
        t_check(t_wait_waiting("queue put", 1));
        t_equal(h.l->put, 2 + 3 + 4);
        t_equal(h.l->calls, 2 + 3);
        t_equal(h.l->through, 0);
        weft_event_set(&h.gate);
        while (h.l->put < 100)
            t_equal(weft_sleep(WEFT_MS), 0);
        t_equal(weft_pipeline_close(h.l->p), 0);
    }
    t_equal(h.l->through, 100);
    t_equal(h.l->unordered, 0);
    return 0;
}

static void a_slow_item_holds_up_no_more_than_the_window(void **state)
{
    t_run(t_workers(state), slow_first, NULL);
}

static long bounded(void *arg)
{
    struct line *l = fresh(t_scale(3000));
    const struct weft_stage stages[] = {
        {.fn = passes, .arg = l, .parallel = 3, .window = 2, .queue = 5},
        {.fn = passes, .arg = l, .parallel = 2, .unordered = 1, .queue = 1},
        {.fn = sinks, .arg = l, .queue = 2},
    };
    struct weft_pipeline_options o = {.stages = stages, .n = 3, .arg = l,
                                      .source = source};
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_pipeline_open(&l->p, &g, &o), 0);
        t_equal(weft_pipeline_close(l->p), 0);
    }
    t_equal(l->through, l->items);
    t_equal(l->inside, 0);
    /* And one in the source's hands. */
    t_check(l->most <= (5 + 3 + 2) + (1 + 2) + (2 + 1) + 1);
    return 0;
}

static void never_more_are_inside_than_the_sum_of_the_bounds(void **state)
{
    t_run(t_workers(state), bounded, NULL);
}

/* ---- filters and results ------------------------------------------------- */

static long filters(void *arg)
{
    struct line *l = fresh(t_scale(2000));
    const struct weft_stage stages[] = {
        {.fn = passes, .arg = l, .parallel = 4},
    };
    struct weft_pipeline_options o = {.stages = stages, .n = 1, .arg = l,
                                      .source = source, .output = 3};
    long last = 0, got = 0;
    void *x;
    int rc;
    weft_group g;

    (void)arg;
    l->modulus = 3;
    weft_with_group(&g) {
        t_equal(weft_pipeline_open(&l->p, &g, &o), 0);
        t_equal(weft_pipeline_put(l->p, item(1)), -EINVAL); /* has a source */
        while ((rc = weft_pipeline_get(l->p, &x)) == 0) {
            t_equal(number(x), last + 3);
            last = number(x);
            got++;
        }
        t_equal(rc, -ESHUTDOWN);
        t_equal(weft_pipeline_close(l->p), 0);
    }
    t_equal(got, l->items / 3);
    return 0;
}

static void null_filters_and_get_hands_results_out(void **state)
{
    t_run(t_workers(state), filters, NULL);
}

static long unwanted(void *arg)
{
    struct line *l = fresh(50);
    const struct weft_stage stages[] = {{.fn = passes, .arg = l}};
    struct weft_pipeline_options o = {.stages = stages, .n = 1, .arg = l,
                                      .drop = drops, .source = source};
    weft_group g;

    (void)arg;
    for (o.output = 0; o.output < 3; o.output += 2) {
        l = fresh(50);
        weft_with_group(&g) {
            t_equal(weft_pipeline_open(&l->p, &g, &o), 0);
            t_equal(weft_pipeline_close(l->p), 0);
        }
        t_equal(l->dropped_at[1], 50);
    }
    return 0;
}

static void results_that_nobody_gets_are_dropped(void **state)
{
    t_run(t_workers(state), unwanted, NULL);
}

static int blocks(void *in, void **out, void *arg)
{
    (void)arg;
    t_check(weft_self() == NULL);
    usleep(1000);
    *out = in;
    return 0;
}

static long blocking(void *arg)
{
    struct line *l = fresh(40);
    const struct weft_stage stages[] = {
        {.fn = blocks, .kind = WEFT_STAGE_BLOCKING, .parallel = 8},
        {.fn = sinks, .arg = l},
    };
    struct weft_pipeline_options o = {.stages = stages, .n = 2};
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_pipeline_open(&l->p, &g, &o), 0);
        put_all(l);
        t_equal(weft_pipeline_close(l->p), 0);
    }
    t_equal(l->through, 40);
    t_equal(l->unordered, 0);
    return 0;
}

static void a_blocking_stage_runs_on_threads(void **state)
{
    t_run(t_workers(state), blocking, NULL);
}

/* ---- batches ------------------------------------------------------------- */

struct batches {
    struct line *l;
    atomic_long n, items, sizes[11];
};

static int collects(void *in, void **out, void *arg)
{
    const struct weft_batch *b = in;
    struct batches *k = arg;

    t_check(b->n >= 1 && b->n <= 10);
    for (size_t i = 1; i < b->n; i++)
        t_equal(number(b->items[i]), number(b->items[0]) + (long)i);
    atomic_fetch_add(&k->n, 1);
    atomic_fetch_add(&k->items, (long)b->n);
    atomic_fetch_add(&k->sizes[b->n], 1);
    *out = b->items[0];
    return 0;
}

static int sinks_batch(void *in, void **out, void *arg)
{
    struct line *l = arg;

    (void)out;
    if (number(in) <= l->next)
        atomic_fetch_add(&l->unordered, 1);
    l->next = number(in);
    atomic_fetch_add(&l->through, 1);
    return 0;
}

static long by_size(void *arg)
{
    struct line *l = fresh(1005);
    struct batches k = {.l = l};
    const struct weft_stage stages[] = {
        {.fn = collects, .arg = &k, .batch = 10, .parallel = 3},
        {.fn = sinks_batch, .arg = l},
    };
    struct weft_pipeline_options o = {.stages = stages, .n = 2, .arg = l,
                                      .source = source};
    weft_group g;

    (void)arg;
    l->next = 0;
    weft_with_group(&g) {
        t_equal(weft_pipeline_open(&l->p, &g, &o), 0);
        t_equal(weft_pipeline_close(l->p), 0);
    }
    t_equal(k.items, 1005);
    t_equal(k.n, 101);
    t_equal(k.sizes[10], 100); /* and what was left at the end */
    t_equal(k.sizes[5], 1);
    t_equal(l->through, 101);
    t_equal(l->unordered, 0);
    return 0;
}

static void a_batch_goes_when_it_is_full_or_input_ends(void **state)
{
    t_run(t_workers(state), by_size, NULL);
}

static long by_time(void *arg)
{
    struct line *l = fresh(0);
    struct batches k = {.l = l};
    const struct weft_stage stages[] = {
        {.fn = collects, .arg = &k, .batch = 10, .batch_time = 30 * WEFT_MS,
         .queue = 10},
    };
    struct weft_pipeline_options o = {.stages = stages, .n = 1, .output = 9};
    int64_t start;
    weft_group g;
    void *x;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_pipeline_open(&l->p, &g, &o), 0);
        t_equal(weft_sleep(40 * WEFT_MS), 0); /* time begins with an item */
        start = weft_now();
        for (int i = 1; i <= 3; i++)
            t_equal(weft_pipeline_put(l->p, item(i)), 0);
        t_equal(weft_pipeline_get(l->p, &x), 0);
        t_equal(number(x), 1);
        t_check(weft_now() - start >= 30 * WEFT_MS);
        t_equal(weft_pipeline_put(l->p, item(7)), 0);
        t_equal(weft_pipeline_get(l->p, &x), 0);
        t_equal(weft_pipeline_close(l->p), 0);
    }
    t_equal(k.items, 4);
    t_equal(k.sizes[1] + k.sizes[2] + k.sizes[3], k.n);
    return 0;
}

static void a_batch_goes_when_its_time_has_come(void **state)
{
    t_run(t_workers(state), by_time, NULL);
}

/* ---- errors -------------------------------------------------------------- */

static long breaks(void *arg)
{
    struct line *l = fresh(1000);
    unsigned unordered = arg != NULL;
    const struct weft_stage stages[] = {
        {.fn = computes, .kind = WEFT_STAGE_COMPUTE, .parallel = 3,
         .unordered = unordered},
        {.fn = passes, .arg = l, .parallel = 4, .queue = 6,
         .unordered = unordered},
        {.fn = sinks, .arg = l, .parallel = 1},
    };
    struct weft_pipeline_options o = {.stages = stages, .n = 3, .drop = drops,
                                      .arg = l};
    int rc = 0;
    weft_group g;

    l->bad = 400;
    weft_with_group(&g) {
        t_equal(weft_pipeline_open(&l->p, &g, &o), 0);
        for (long i = 1; i <= l->items && rc == 0; i++) {
            rc = weft_pipeline_put(l->p, item(i));
            if (rc == 0)
                atomic_fetch_add(&l->put, 1);
        }
        t_equal(rc, -EPIPE);
        t_equal(weft_pipeline_close(l->p), -EBADMSG);
        t_equal(weft_check(), 0); /* the group is not affected */
    }
    t_equal(weft_group_wait(&g), 0);
    t_check(l->put >= 400);
    t_check(l->dropped >= 1);
    t_equal(l->put, l->through + l->dropped);
    for (long i = 1; i <= l->items; i++)
        t_check(l->seen[i] <= (i != l->bad));
    return 0;
}

static void an_error_stops_it_and_what_is_inside_is_dropped(void **state)
{
    for (int i = 0, n = (int)t_scale(10); i < n; i++) {
        t_run(t_workers(state), breaks, NULL);
        t_run(t_workers(state), breaks, state);
    }
}

/* Item 1 ignores the cancellation for long; 2 fails. */
static int stubborn(void *in, void **out, void *arg)
{
    struct hold *h = arg;

    (void)out;
    if (number(in) != h->held)
        return -EBADMSG;
    weft_with_shield()
        t_equal(weft_event_wait(&h->gate), 0);
    return 0;
}

static long refuses_at_once(void *arg)
{
    struct line *l = fresh(0);
    struct hold h = {.l = l, .held = 1};
    const struct weft_stage stages[] = {
        {.fn = stubborn, .arg = &h, .parallel = 2, .queue = 1},
    };
    struct weft_pipeline_options o = {.stages = stages, .n = 1, .drop = drops,
                                      .arg = l};
    int rc = 0;
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_pipeline_open(&l->p, &g, &o), 0);
        t_equal(weft_pipeline_put(l->p, item(1)), 0);
        t_check(t_wait_waiting("event", 1));
        weft_with_timeout(10 * WEFT_SEC)
            for (long i = 2; rc == 0; i++)
                rc = weft_pipeline_put(l->p, item(i));
        t_equal(rc, -EPIPE);
        weft_event_set(&h.gate);
        t_equal(weft_pipeline_close(l->p), -EBADMSG);
    }
    return 0;
}

static void putters_are_told_of_an_error_at_once(void **state)
{
    t_run(t_workers(state), refuses_at_once, NULL);
}

static int bad_batch(void *in, void **out, void *arg)
{
    const struct weft_batch *b = in;

    (void)out;
    (void)arg;
    return number(b->items[0]) > 20 ? -EBADMSG : 0;
}

static long breaks_batch(void *arg)
{
    struct line *l = fresh(1000);
    const struct weft_stage stages[] = {
        {.fn = bad_batch, .arg = l, .batch = 10, .queue = 5},
    };
    struct weft_pipeline_options o = {.stages = stages, .n = 1, .drop = drops,
                                      .arg = l, .source = source};
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_pipeline_open(&l->p, &g, &o), 0);
        t_equal(weft_pipeline_close(l->p), -EBADMSG);
    }
    t_equal(l->put, 20 + l->dropped);
    t_check(l->dropped >= 10);
    return 0;
}

static void a_batch_that_failed_is_dropped_item_by_item(void **state)
{
    t_run(t_workers(state), breaks_batch, NULL);
}

static int bad_source(void **out, void *arg)
{
    struct line *l = arg;

    if (l->put == 10)
        return -ENETDOWN;
    return source(out, arg);
}

static long source_fails(void *arg)
{
    struct line *l = fresh(1000);
    const struct weft_stage stages[] = {{.fn = sinks, .arg = l}};
    struct weft_pipeline_options o = {.stages = stages, .n = 1, .drop = drops,
                                      .arg = l, .source = bad_source,
                                      .output = 1};
    weft_group g;
    void *x;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_pipeline_open(&l->p, &g, &o), 0);
        t_equal(weft_pipeline_get(l->p, &x), -EPIPE);
        t_equal(weft_pipeline_close(l->p), -ENETDOWN);
    }
    t_equal(10, l->through + l->dropped);
    return 0;
}

static void an_error_of_the_source_ends_it(void **state)
{
    t_run(t_workers(state), source_fails, NULL);
}

/* ---- cancellation -------------------------------------------------------- */

struct other {
    struct line *l;
    long result;
};

static long closes(void *arg)
{
    struct other *o = arg;

    o->result = weft_pipeline_close(o->l->p);
    return 0;
}

enum { BY_GROUP, BY_CANCEL, BY_CLOSER, BEFORE };

static long cancelled(void *arg)
{
    int how = *(int *)arg;
    struct line *l = fresh(1000);
    struct hold h = {.l = l, .held = 3};
    const struct weft_stage stages[] = {
        {.fn = passes, .arg = l, .parallel = 2},
        {.fn = holds, .arg = &h, .parallel = 3, .queue = 4},
        {.fn = sinks, .arg = l},
    };
    struct weft_pipeline_options o = {.stages = stages, .n = 3, .drop = drops,
                                      .arg = l};
    struct other c = {l, 0};
    weft_task *t;
    weft_group g, closers;

    l->bad = -1; /* none; but a pause within may be cancelled */
    weft_with_group(&closers) {
        weft_with_group(&g) {
            t_equal(weft_pipeline_open(&l->p, &g, &o), 0);
            for (int i = 1; i <= (how == BEFORE ? 2 : 7); i++) {
                t_equal(weft_pipeline_put(l->p, item(i)), 0);
                atomic_fetch_add(&l->put, 1);
            }
            if (how != BEFORE)
                t_check(t_wait_waiting("event", 1));
            if (how == BY_GROUP || how == BEFORE)
                weft_group_cancel(&g);
            else if (how == BY_CANCEL)
                weft_pipeline_cancel(l->p);
            t_equal(weft_spawn_task(&closers, closes, &c, &t), 0);
            if (how == BY_CLOSER) {
                t_check(t_wait_waiting("event", 2));
                t_equal(weft_task_cancel(t), 0);
            }
        }
    }
    t_equal(c.result, -ECANCELED);
    t_equal(l->put, l->through + l->dropped);
    return 0;
}

static void cancelled_it_drops_what_is_inside(void **state)
{
    for (int how = BY_GROUP; how <= BEFORE; how++)
        t_run(t_workers(state), cancelled, &how);
}

static long refuses(void *arg)
{
    struct weft_stage stage = {.fn = NULL};
    struct weft_pipeline_options o = {.stages = &stage, .n = 0};
    weft_pipeline *p = NULL;
    weft_group g;
    void *x;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_pipeline_open(&p, &g, NULL), -EINVAL);
        t_equal(weft_pipeline_open(&p, &g, &o), -EINVAL);
        o.n = 1;
        t_equal(weft_pipeline_open(&p, &g, &o), -EINVAL);
        stage.fn = sinks;
        stage.kind = (enum weft_stage_kind)9;
        t_equal(weft_pipeline_open(&p, &g, &o), -EINVAL);
        stage.kind = WEFT_STAGE_TASK;
        t_equal(weft_pipeline_open(&p, &g, &o), 0);
        t_equal(weft_pipeline_put(p, NULL), -EINVAL);
        t_equal(weft_pipeline_get(p, &x), -EINVAL);
        weft_pipeline_finish(p);
        t_equal(weft_pipeline_put(p, item(1)), -ESHUTDOWN);
        t_equal(weft_pipeline_close(p), 0);
    }
    return 0;
}

static void nonsense_is_refused(void **state)
{
    t_run(t_workers(state), refuses, NULL);
}

static const struct CMUnitTest tests[] = {
    T_EACH(parallel_stages_keep_the_order),
    T_EACH(a_source_function_feeds_as_put_does),
    T_EACH(unordered_stages_lose_nothing),
    T_EACH(parallel_calls_run_at_once_and_no_more),
    T_EACH(a_slow_item_holds_up_no_more_than_the_window),
    T_EACH(never_more_are_inside_than_the_sum_of_the_bounds),
    T_EACH(null_filters_and_get_hands_results_out),
    T_EACH(results_that_nobody_gets_are_dropped),
    T_EACH(a_blocking_stage_runs_on_threads),
    T_EACH(a_batch_goes_when_it_is_full_or_input_ends),
    T_EACH(a_batch_goes_when_its_time_has_come),
    T_EACH(an_error_stops_it_and_what_is_inside_is_dropped),
    T_EACH(putters_are_told_of_an_error_at_once),
    T_EACH(a_batch_that_failed_is_dropped_item_by_item),
    T_EACH(an_error_of_the_source_ends_it),
    T_EACH(cancelled_it_drops_what_is_inside),
    T_EACH(nonsense_is_refused),
};

T_MAIN(tests)
