/* SPDX-License-Identifier: MIT */
/* Error codes, messages, names, and calls from where there is no task. */
#include "support/cases.h"

#include <limits.h>
#include <pthread.h>
#include <sys/eventfd.h>

/* ---- no task ------------------------------------------------------------ */

static long nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Of a foreign thread, beside a runtime that is open. */
static void *ask_all(void *arg)
{
    int *wrong = arg;
    weft_event e = {{0}};
    weft_mutex m = {{0}};
    weft_queue q;
    weft_group g;
    weft_scope s = {{0}};
    weft_timer t = {{0}};
    weft_stream *stream = NULL;
    weft_listener *l = NULL;
    void *slot[1], *item;
    int fd = eventfd(1, EFD_CLOEXEC);

    *wrong += weft_queue_init(&q, slot, 1, WEFT_FIFO) != 0;
    *wrong += weft_sleep(1) != -EPERM;
    *wrong += weft_sleep(0) != -EPERM;
    *wrong += weft_sleep_until(1) != -EPERM;
    *wrong += weft_yield() != -EPERM;
    *wrong += weft_event_wait(&e) != -EPERM;
    *wrong += weft_mutex_lock(&m) != -EPERM;
    *wrong += weft_mutex_unlock(&m) != -EPERM;
    *wrong += weft_queue_put(&q, NULL) != -EPERM;
    *wrong += weft_queue_get(&q, &item) != -EPERM;
    *wrong += weft_compute(nothing, NULL) != -EPERM;
    *wrong += weft_blocking(nothing, NULL) != -EPERM;
    *wrong += weft_fd_wait(fd, WEFT_READ) != -EPERM;
    *wrong += weft_listen(&l, "127.0.0.1:0") != -EPERM;
    *wrong += weft_connect(&stream, "127.0.0.1:1") != -EPERM;
    *wrong += weft_timer_start(&t, 1, nothing, NULL) != -EPERM;
    *wrong += weft_spawn_detached(nothing, NULL) != -EPERM;
    *wrong += weft_task_set_name("x") != -EPERM;
    *wrong += weft_on_unhandled(NULL, NULL) != -EPERM;
    *wrong += weft_runtime_stats(NULL, &(struct weft_stats){0}) != -EPERM;
    *wrong += weft_tasks_dump(NULL, 2) != -EPERM;
    *wrong += weft_self() != NULL;
    *wrong += weft_runtime_self() != NULL;
    *wrong += weft_scope_self() != NULL;
    *wrong += weft_check() != 0;
    *wrong += weft_group_enter(&g) != NULL;
    *wrong += weft_timeout_enter(&s, 1) != &s;
    *wrong += weft_scope_leave(&s) != 0;
    *wrong += weft_fail(-EIO, "%d", 1) != -EIO;
    close(fd);
    return NULL;
}

static long beside_a_runtime(void *arg)
{
    pthread_t thread;

    t_equal(pthread_create(&thread, NULL, ask_all, arg), 0);
    pthread_join(thread, NULL);
    return 0;
}

static void without_a_task_nothing_waits(void **state)
{
    int wrong = 0;

    assert_int_equal(t_run(t_workers(state), beside_a_runtime, &wrong), 0);
    assert_int_equal(wrong, 0);
    ask_all(&wrong);
    assert_int_equal(wrong, 0);
}

/* ---- texts -------------------------------------------------------------- */

static void every_code_has_a_text(void **state)
{
    (void)state;
    for (long code = -5000; code <= 5000; code++) {
        assert_non_null(weft_strerror(code));
        assert_true(strlen(weft_strerror(code)) > 0);
    }
    assert_string_equal(weft_strerror(0), "success");
    assert_string_equal(weft_strerror(-EIO), weft_strerror(EIO));
    assert_string_not_equal(weft_strerror(-EIO), weft_strerror(-ENOENT));
    assert_string_not_equal(weft_strerror(-ECANCELED),
                            weft_strerror(-ETIMEDOUT));
    assert_non_null(weft_strerror(LONG_MIN));
    assert_non_null(weft_strerror(LONG_MAX));
}

static void the_version_is_the_headers(void **state)
{
    char text[32];

    (void)state;
    snprintf(text, sizeof text, "%d.%d.%d", WEFT_VERSION_MAJOR,
             WEFT_VERSION_MINOR, WEFT_VERSION_PATCH);
    assert_string_equal(weft_version(), text);
}

static long errno_afresh(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        t_equal(weft_yield(), 0);
        t_equal(close(-1), -1);
        t_equal(weft_errno(), EBADF);
        t_equal(access("", F_OK), -1);
        t_equal(weft_errno(), ENOENT);
    }
    return 0;
}

static void errno_is_read_afresh(void **state)
{
    assert_int_equal(t_run(t_workers(state), errno_afresh, NULL), 0);
}

/* ---- weft_fail ---------------------------------------------------------- */

static long fails_twice(void *arg)
{
    (void)arg;
    (void)weft_fail(-ENOENT, "the first");
    return weft_fail(-EIO, "%s", "the last");
}

static long fails_otherwise(void *arg)
{
    (void)arg;
    (void)weft_fail(-ENOENT, "not this one");
    return -EIO;
}

static long succeeds_after_all(void *arg)
{
    (void)arg;
    (void)weft_fail(-ENOENT, "repaired");
    return 0;
}

static long fails_at_length(void *arg)
{
    char text[5000];

    (void)arg;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    return weft_fail(-EIO, "%s", text);
}

static long hands_up(void *arg)
{
    weft_group g;

    (void)arg;
    weft_with_group(&g)
        t_equal(weft_spawn(&g, fails_twice, NULL), 0);
    return weft_group_wait(&g);
}

/* Each fails in a group of its own: it would cancel its siblings. */
static void expect_message(weft_fn *fn, long result, const char *message)
{
    weft_group g;
    weft_task *t;

    weft_with_group(&g) {
        const char *got;

        t_equal(weft_spawn_task(&g, fn, NULL, &t), 0);
        t_equal(weft_await(t), result);
        got = weft_task_message(t);
        if (message && t_check(got != NULL))
            t_check(strncmp(got, message, strlen(message)) == 0);
        if (!message)
            t_check(got == NULL);
    }
}

static long messages(void *arg)
{
    (void)arg;
    expect_message(fails_twice, -EIO, "the last");
    expect_message(fails_otherwise, -EIO, NULL);
    expect_message(succeeds_after_all, 0, NULL);
    expect_message(fails_at_length, -EIO, "xxxxxxxx");
    expect_message(nothing, 0, NULL);
    expect_message(hands_up, -EIO, "the last");
    t_equal(weft_fail(5, "no error"), 5);
    t_equal(weft_fail(0, "no error"), 0);
    return 0;
}

static void a_message_goes_with_the_code_it_was_given_for(void **state)
{
    static struct t_errors errors;
    struct weft_options o = t_options(t_workers(state));

    memset(&errors, 0, sizeof errors);
    o.on_unhandled = t_collect;
    o.unhandled_arg = &errors;
    assert_int_equal(t_run_with(o, messages, NULL), 0);
    assert_int_equal(errors.n, 0);
}

/* ---- the handler -------------------------------------------------------- */

static atomic_int one_ran;

static long fails_unseen(void *arg)
{
    (void)arg;
    t_equal(weft_task_set_name("a name that is longer than 31 bytes"), 0);
    atomic_store(&one_ran, 1);
    return weft_fail(-EPROTO, "unseen");
}

static long change_handler(void *arg)
{
    static struct t_errors *errors;
    weft_group g;

    errors = arg;
    t_equal(weft_on_unhandled(t_collect, errors), 0);
    weft_with_group(&g)
        t_equal(weft_spawn(&g, fails_unseen, NULL), 0);
    return 0;
}

static void the_handler_is_told_all_there_is_to_know(void **state)
{
    static struct t_errors errors;

    memset(&errors, 0, sizeof errors);
    assert_int_equal(t_run(t_workers(state), change_handler, &errors), 0);
    assert_int_equal(errors.n, 1);
    assert_int_equal(errors.first[0].code, -EPROTO);
    assert_string_equal(errors.first[0].message, "unseen");
    assert_string_equal(errors.first[0].task,
                        "a name that is longer than 31 b");
    assert_non_null(strstr(errors.first[0].site, "test_misc.c:"));
}

static int report_by_itself(void *arg)
{
    struct weft_options o = t_options(*(unsigned *)arg);

    return weft_run_with(&o, hands_up, NULL) == -EIO ? 0 : 1;
}

static long forgets(void *arg)
{
    weft_group g;

    (void)arg;
    weft_with_group(&g)
        t_equal(weft_spawn(&g, fails_twice, NULL), 0);
    return 0;
}

static int forget(void *arg)
{
    struct weft_options o = t_options(*(unsigned *)arg);

    return (int)weft_run_with(&o, forgets, NULL);
}

static void without_a_handler_the_error_is_printed(void **state)
{
    unsigned n = t_workers(state);
    static struct t_child c;

    t_fork(&c, forget, &n);
    assert_int_equal(c.status, 0);
    assert_non_null(strstr(c.output, "task fails_twice (spawned at "));
    assert_non_null(strstr(c.output, "test_misc.c:"));
    assert_non_null(strstr(c.output, weft_strerror(-EIO)));
    assert_non_null(strstr(c.output, "the last"));
    t_fork(&c, report_by_itself, &n);
    assert_int_equal(c.status, 0);
    assert_string_equal(c.output, ""); /* the caller has it */
}

/* ---- names -------------------------------------------------------------- */

static long tells_names(void *arg)
{
    struct weft_task_options o = {.name = "given"};
    weft_group g;
    weft_task *plain, *named;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, nothing, NULL, &plain), 0);
        t_check(strcmp(weft_task_name(plain), "nothing") == 0);
        t_check(strstr(weft_task_site(plain), "test_misc.c:") != NULL);
        t_equal(weft_spawn_with(&g, nothing, NULL, &o, &named), 0);
        t_check(strcmp(weft_task_name(named), "given") == 0);
        t_equal(weft_await(named), 0);
        t_equal(weft_await(plain), 0);
    }
    t_equal(weft_task_set_name("main"), 0);
    t_check(strcmp(weft_task_name(weft_self()), "main") == 0);
    t_check(weft_runtime_self() != NULL);
    return 0;
}

static void tasks_have_names_and_sites(void **state)
{
    assert_int_equal(t_run(t_workers(state), tells_names, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_code_has_a_text),
    cmocka_unit_test(the_version_is_the_headers),
    T_EACH(without_a_handler_the_error_is_printed),
    T_EACH(without_a_task_nothing_waits),
    T_EACH(errno_is_read_afresh),
    T_EACH(a_message_goes_with_the_code_it_was_given_for),
    T_EACH(the_handler_is_told_all_there_is_to_know),
    T_EACH(tasks_have_names_and_sites),
};

T_MAIN(tests)
