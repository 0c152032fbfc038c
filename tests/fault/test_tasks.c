/* SPDX-License-Identifier: MIT */
/* Tasks, groups, sync objects, flow, executor: each call fails once. */
#include "faults.h"

#ifdef W_FAULTS

/* ---- tasks ---------------------------------------------------------------- */

static atomic_int begun, ended, deferred;

static long count_defer(void *arg)
{
    (void)arg;
    atomic_fetch_add(&deferred, 1);
    return 0;
}

static weft_local name;

static long child(void *arg)
{
    long n = (long)arg;
    int rc, added;

    atomic_fetch_add(&begun, 1);
    added = weft_defer(count_defer, NULL);
    if (added < 0)
        atomic_fetch_add(&deferred, 1); /* none will */
    rc = weft_local_set(&name, "child");
    if (rc == 0 && n % 2)
        rc = weft_sleep(n * 10 * WEFT_US);
    if (rc == 0 && n % 3 == 0)
        rc = weft_yield();
    atomic_fetch_add(&ended, 1);
    return rc;
}

static long trees(void *arg)
{
    struct weft_call calls[3] = {
        {.fn = child, .arg = (void *)1},
        {.fn = child, .arg = (void *)2},
        {.fn = child, .arg = (void *)3},
    };
    weft_group g;
    long rc = 0, rc2;

    (void)arg;
    atomic_store(&begun, 0);
    atomic_store(&ended, 0);
    atomic_store(&deferred, 0);
    weft_with_group(&g)
        for (long i = 0; i < 20 && rc == 0; i++)
            rc = weft_spawn(&g, child, (void *)i);
    rc2 = weft_group_wait(&g);
    rc = rc ? rc : rc2;
    weft_with_timeout(10 * WEFT_SEC)
        rc2 = weft_gather(calls, 3);
    rc = rc ? rc : rc2;
    t_equal(atomic_load(&ended), atomic_load(&begun));
    t_equal(atomic_load(&deferred), atomic_load(&begun));
    return rc;
}

static void tasks(void **state)
{
    struct scenario s = {"tasks", trees, {.workers = 2}};

    (void)state;
    fault_all(&s, 2, 400);
}

/* ---- sync objects ----------------------------------------------------------- */

#define ITEMS 40

struct shop {
    weft_queue q;
    void *slots[4];
    weft_mutex m;
    weft_event closed;
    long put, got;
    weft_chan c;
    long buffer[2];
};

static long puts_items(void *arg)
{
    struct shop *s = arg;
    long rc = 0;

    for (long i = 1; i <= ITEMS && rc == 0; i++) {
        rc = weft_queue_put(&s->q, (void *)i);
        s->put += rc == 0;
    }
    weft_queue_shutdown(&s->q, 0);
    return rc;
}

static long gets_items(void *arg)
{
    struct shop *s = arg;
    long rc;
    void *x;

    while ((rc = weft_queue_get(&s->q, &x)) == 0)
        s->got++;
    if (rc != -ESHUTDOWN) {
        weft_queue_shutdown(&s->q, 1);
        s->got = s->put; /* those left over are dropped */
    }
    weft_event_set(&s->closed);
    return rc == -ESHUTDOWN ? 0 : rc;
}

static long locks(void *arg)
{
    struct shop *s = arg;
    int rc = weft_mutex_lock(&s->m);

    if (rc < 0)
        return rc;
    rc = weft_sleep(50 * WEFT_US);
    t_equal(weft_mutex_unlock(&s->m), 0);
    return rc;
}

static long sends(void *arg)
{
    struct shop *s = arg;
    int rc = 0;

    for (long i = 0; i < 8 && rc == 0; i++)
        rc = weft_chan_send(&s->c, &i);
    weft_chan_close(&s->c);
    return rc;
}

static long numbers(weft_gen *g, void *arg)
{
    (void)arg;
    for (long i = 1; i <= 3; i++) {
        int rc = weft_gen_yield(g, (void *)i);

        if (rc < 0)
            return rc;
    }
    return 0;
}

static long generates(void *arg)
{
    weft_gen g;
    void *v;
    long rc = weft_gen_open(&g, numbers, arg), end;

    if (rc < 0)
        return rc;
    while ((rc = weft_gen_next(&g, &v)) == 1)
        ;
    end = weft_gen_close(&g);
    return rc ? rc : end;
}

static long objects(void *arg)
{
    struct shop s = {.put = 0};
    weft_group g;
    long rc = 0, x, rc2;

    (void)arg;
    t_equal(weft_queue_init(&s.q, s.slots, 4, WEFT_FIFO), 0);
    t_equal(weft_chan_init(&s.c, s.buffer, sizeof *s.buffer, 2), 0);
    weft_with_group(&g) {
        rc = weft_spawn(&g, puts_items, &s);
        if (rc < 0)
            weft_queue_shutdown(&s.q, 1);
        rc2 = gets_items(&s);
        rc = rc ? rc : rc2;
        for (int i = 0; i < 4 && rc == 0; i++)
            rc = weft_spawn(&g, locks, &s);
        if (rc == 0)
            rc = weft_event_wait(&s.closed);
        if (rc == 0)
            rc = weft_spawn(&g, sends, &s);
        if (rc == 0)
            while ((rc = weft_chan_recv(&s.c, &x)) == 0)
                ;
        rc = rc == -EPIPE ? 0 : rc;
        if (rc == 0)
            rc = weft_spawn(&g, generates, NULL);
        if (rc < 0)
            weft_group_cancel(&g);
    }
    rc2 = weft_group_wait(&g);
    t_equal(s.got, s.put);
    t_check(!weft_mutex_locked(&s.m));
    return rc ? rc : rc2;
}

static void sync_objects(void **state)
{
    struct scenario s = {"objects", objects, {.workers = 2}};

    (void)state;
    fault_all(&s, 1, 400);
}

/* ---- flow --------------------------------------------------------------------- */

static atomic_int opened, handled, dropped;

static int opens(void **out, void *arg)
{
    (void)arg;
    *out = &opened;
    atomic_fetch_add(&opened, 1);
    return 0;
}

static void closes(void *resource, void *arg)
{
    (void)resource;
    (void)arg;
    atomic_fetch_sub(&opened, 1);
}

static long handles(void *state, void *message)
{
    (void)state;
    (void)message;
    atomic_fetch_add(&handled, 1);
    return 0;
}

static void drops(void *message, void *arg)
{
    (void)message;
    (void)arg;
    atomic_fetch_add(&dropped, 1);
}

static long borrows(void *arg)
{
    void *r;
    int rc = weft_depot_take(arg, &r);

    if (rc < 0)
        return rc;
    rc = weft_sleep(20 * WEFT_US);
    weft_depot_give(arg, r);
    return rc;
}

static int doubles(void *in, void **out, void *arg)
{
    (void)arg;
    *out = in;
    return 0;
}

static void drop_item(void *item, size_t stage, void *arg)
{
    (void)item;
    (void)stage;
    (void)arg;
    atomic_fetch_add(&dropped, 1);
}

static long through_pipeline(void)
{
    struct weft_stage stages[2] = {
        {.fn = doubles, .parallel = 2},
        {.fn = doubles, .kind = WEFT_STAGE_COMPUTE},
    };
    struct weft_pipeline_options o = {
        .stages = stages, .n = 2, .output = 16, .drop = drop_item};
    weft_pipeline *p;
    weft_group g;
    long rc = 0, rc2, put = 0, got = 0;
    void *x;

    atomic_store(&dropped, 0);
    weft_with_group(&g) {
        weft_group_collect(&g);
        rc = weft_pipeline_open(&p, &g, &o);
        if (rc < 0)
            break;
        for (long i = 1; i <= 8 && rc == 0; i++) {
            rc = weft_pipeline_put(p, (void *)i);
            put += rc == 0;
        }
        weft_pipeline_finish(p);
        while ((rc2 = weft_pipeline_get(p, &x)) == 0)
            got++;
        rc2 = weft_pipeline_close(p);
        rc = rc ? rc : rc2;
        t_equal(got + atomic_load(&dropped), put);
    }
    return rc;
}

static long flows(void *arg)
{
    struct weft_depot_options o = {.open = opens, .close = closes, .max = 2};
    struct weft_actor_options a = {.mailbox = 2, .drop = drops};
    weft_actor *actor;
    weft_depot *d;
    weft_group g;
    long rc, rc2, sent = 0;

    (void)arg;
    atomic_store(&opened, 0);
    atomic_store(&handled, 0);
    atomic_store(&dropped, 0);
    rc = weft_depot_open(&d, &o);
    if (rc < 0)
        return rc;
    weft_with_group(&g)
        for (int i = 0; i < 5 && rc == 0; i++)
            rc = weft_spawn(&g, borrows, d);
    rc2 = weft_group_wait(&g);
    rc = rc ? rc : rc2;
    weft_depot_close(d);
    t_equal(atomic_load(&opened), 0);
    if (rc < 0)
        return rc;
    weft_with_group(&g) {
        rc = weft_actor_open(&actor, &g, handles, &a);
        if (rc < 0)
            break;
        for (int i = 0; i < 6 && rc == 0; i++) {
            rc = weft_actor_send(actor, &g);
            sent += rc == 0;
        }
        weft_actor_stop(actor);
        weft_actor_close(actor);
    }
    rc2 = weft_group_wait(&g);
    t_equal(atomic_load(&handled) + atomic_load(&dropped), sent);
    rc = rc ? rc : rc2;
    return rc ? rc : through_pipeline();
}

static void flow_of_work(void **state)
{
    struct scenario s = {"flow", flows, {.workers = 2}};

    (void)state;
    fault_all(&s, 1, 400);
}

/* ---- executor -------------------------------------------------------------------- */

static long gives(void *arg)
{
    return (long)arg;
}

static long works(void *arg)
{
    weft_pool *p = arg;
    long rc = weft_compute(gives, (void *)7);

    if (rc == 7)
        rc = weft_blocking(gives, (void *)7);
    if (rc == 7)
        rc = weft_pool_call(p, gives, (void *)7);
    return rc == 7 ? 0 : rc;
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

static long adds(size_t begin, size_t end, void *acc, void *arg)
{
    (void)arg;
    for (size_t i = begin; i < end; i++)
        *(long *)acc += (long)i;
    return 0;
}

static void merges(void *left, const void *right, void *arg)
{
    (void)arg;
    *(long *)left += *(const long *)right;
}

static int compares(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;

    return (x > y) - (x < y);
}

static long parallel(void)
{
    static int items[5000];
    long f = 0, sum = 0, rc = WEFT_RUN(fib, &f, 15);

    if (rc < 0)
        return rc;
    t_equal(f, 610);
    rc = weft_reduce(10000, adds, merges, NULL, &sum, sizeof sum);
    if (rc < 0)
        return rc;
    t_equal(sum, 9999L * 10000 / 2);
    for (int i = 0; i < 5000; i++)
        items[i] = i * 7919 % 5000;
    rc = weft_sort(items, 5000, sizeof *items, compares);
    for (int i = 0; i < 5000 && rc == 0; i++)
        t_equal(items[i], i);
    return rc;
}

static long executes(void *arg)
{
    weft_pool *p = NULL;
    weft_group g;
    long rc = weft_pool_open(&p, NULL), rc2;

    (void)arg;
    if (rc < 0)
        return rc;
    weft_with_group(&g)
        for (int i = 0; i < 4 && rc == 0; i++)
            rc = weft_spawn(&g, works, p);
    rc2 = weft_group_wait(&g);
    weft_pool_close(p);
    rc = rc ? rc : rc2;
    return rc ? rc : parallel();
}

static void executor(void **state)
{
    struct scenario s = {"executor", executes,
                         {.workers = 2, .executor_threads = 2}};

    (void)state;
    fault_all(&s, 1, 400);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(tasks),
    cmocka_unit_test(sync_objects),
    cmocka_unit_test(flow_of_work),
    cmocka_unit_test(executor),
};

#endif

FAULT_MAIN(tests)
