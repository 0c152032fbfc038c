/* SPDX-License-Identifier: MIT */
/* Case 7, for every call there is that waits: cancelled while suspended it
 * returns -ECANCELED, and so does each waiting call after it, until a shield is
 * entered, in which it waits; timed out it returns -ETIMEDOUT; without a task
 * around it -EPERM. A wait that ended so leaves nothing behind. */
#include "world.h"

/* ---- cancelled, timed out ----------------------------------------------- */

static long timed_out(const struct row *r)
{
    return r->how & CHILD_TELLS ? -ECANCELED : -ETIMEDOUT;
}

/* Says which row it was. */
static bool same(long got, long wanted, const struct row *r, const char *when)
{
    char text[128];

    snprintf(text, sizeof text, "%s %s", r->name, when);
    return t_equal_at(got, wanted, text, __FILE__);
}

/* A call that need not wait may come to its end a few times before. */
static long call(const struct row *r, struct world *w)
{
    long rc;

    do
        rc = r->wait(w);
    while (r->how & AT_ONCE && rc == 0);
    return rc;
}

struct victim {
    struct world *w;
    const struct row *row;
    bool all; /* ask every row afterwards, not a few */
    atomic_int begun;
};

static void ask_others(struct victim *v, long (*wanted)(const struct row *),
                       const char *when)
{
    size_t i = (size_t)(v->row - rows);

    for (size_t k = 0; k < T_LEN(rows); k++)
        if (v->all || k == i || k == (i + 1) % T_LEN(rows) ||
            k == (7 * i + 3) % T_LEN(rows))
            same(rows[k].wait(v->w), wanted(&rows[k]), &rows[k], when);
}

static long cancelled(const struct row *r)
{
    (void)r;
    return -ECANCELED;
}

static long is_cancelled(void *arg)
{
    struct victim *v = arg;
    int64_t start;

    atomic_store(&v->begun, 1);
    same(call(v->row, v->w), -ECANCELED, v->row, "cancelled while it waits");
    ask_others(v, cancelled, "after a cancel");
    weft_with_shield() {
        t_equal(weft_sleep(1), 0);
        start = weft_now();
        weft_with_timeout(WEFT_MS)
            same(call(v->row, v->w), timed_out(v->row), v->row, "in a shield");
        if (weft_now() - start < WEFT_MS)
            same(0, 1, v->row, "did not wait in a shield");
        t_equal(weft_yield(), 0);
    }
    same(v->row->wait(v->w), -ECANCELED, v->row, "after a shield");
    t_equal(weft_check(), -ECANCELED);
    return -ECANCELED;
}

static void times_out(struct victim *v)
{
    weft_with_timeout(2 * WEFT_MS) {
        same(call(v->row, v->w), timed_out(v->row), v->row, "timed out");
        ask_others(v, timed_out, "after a time-out");
    }
    t_equal(weft_check(), 0);
}

/* Suspended, and not where it happened to be while it got there. */
static void await_suspended(const struct row *r)
{
    char line[512];
    int64_t end = weft_now() + 10 * WEFT_SEC;
    bool waits = r->how & AT_ONCE;
    /* A child may run on its parent's stack, and is then what waits. */
    static const char *const names[] = {"victim ", "child_sleeps ", "gather ",
                                        "race "};

    while (!waits && weft_now() < end) {
        int fd = memfd_create("dump", MFD_CLOEXEC);
        FILE *f = fd < 0 ? NULL : fdopen(fd, "r+");

        if (!t_check(f != NULL) || !t_equal(weft_tasks_dump(NULL, fd), 0))
            break;
        rewind(f);
        while (!waits && fgets(line, sizeof line, f)) {
            for (size_t i = 0; i < T_LEN(names); i++)
                waits |= strncmp(line, names[i], strlen(names[i])) == 0 &&
                         !strstr(line, " ready or running\n") &&
                         !strstr(line, " new\n");
        }
        fclose(f);
        if (!waits)
            t_equal(weft_sleep(WEFT_MS / 5), 0);
    }
    if (!waits)
        same(0, 1, r, "never waited");
}

static long every_row(void *arg)
{
    struct world *w = arg;
    struct weft_task_options named = {.name = "victim"};

    for (size_t i = 0; i < T_LEN(rows); i++) {
        struct victim v = {w, &rows[i], i == 0, 0};
        weft_group g;
        weft_task *t;

        times_out(&v);
        weft_with_group(&g) {
            t_equal(weft_spawn_with(&g, is_cancelled, &v, &named, &t), 0);
            t_check(t_wait_for(&v.begun, 1));
            if (i % 4 != 3) /* now and then while it gets there */
                await_suspended(&rows[i]);
            t_equal(weft_task_cancel(t), 0);
            t_equal(weft_await(t), -ECANCELED);
        }
    }
    return 0;
}

/* ---- all of it ---------------------------------------------------------- */

static void *ask_foreign(void *arg)
{
    for (size_t i = 0; i < T_LEN(rows); i++)
        if (!(rows[i].how & NOT_FOREIGN))
            same(rows[i].wait(arg), -EPERM, &rows[i], "without a task");
    return NULL;
}

static long live(void *arg)
{
    static struct world w;
    weft_group g;
    pthread_t thread;
    int fds = t_fds();

    (void)arg;
    prepare(&w);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, sleeps_on, NULL, &w.sleeper), 0);
        t_equal(weft_spawn(&g, holds, &w), 0);
        t_equal(weft_spawn(&g, computes, &w), 0);
        t_equal(weft_spawn(&g, blocks, &w), 0);
        t_equal(weft_spawn_task(&g, runs_once, &w, &w.runner), 0);
        t_equal(weft_spawn(&g, calls_pool, &w), 0);
        fill_flow(&w, &g);
        t_check(t_wait_for(&w.busy, 3));
        while (!weft_mutex_locked(&w.held))
            t_equal(weft_yield(), 0);
        t_equal(pthread_create(&thread, NULL, ask_foreign, &w), 0);
        pthread_join(thread, NULL);
        every_row(&w);
        atomic_store(&w.over, 1);
        weft_actor_close(w.actor);
        t_equal(weft_pipeline_close(w.pipeline), 0);
        t_equal(weft_task_cancel(w.sleeper), 0);
    }
    t_equal(weft_group_wait(&g), 0);
    check_and_close(&w);
    t_equal(t_fds(), fds);
    return 0;
}

static void every_waiting_call_obeys_cancel_and_time(void **state)
{
    struct weft_options o = t_options(t_workers(state));

    o.executor_threads = 1;
    o.blocking_threads = 1;
    assert_int_equal(t_run_with(o, live, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    T_REAL_EACH(every_waiting_call_obeys_cancel_and_time),
};

T_MAIN(tests)
