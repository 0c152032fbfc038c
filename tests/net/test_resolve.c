/* SPDX-License-Identifier: MIT */
/* Names to addresses, and back to text. */
#include "net/pairs.h"

static void shows(const weft_address *a, const char *text)
{
    char buf[128];

    if (t_equal(weft_address_format(a, buf, sizeof buf), 0))
        t_check(strcmp(buf, text) == 0);
}

static unsigned long jobs(void)
{
    struct weft_stats st;

    memset(&st, 0, sizeof st);
    weft_runtime_stats(weft_runtime_self(), &st);
    return st.blocking_jobs;
}

static long numeric(void *arg)
{
    weft_address a[16] = {{{0}}};
    const struct sockaddr *sa;
    char buf[8];
    unsigned n;

    (void)arg;
    t_equal(weft_address_format(&a[0], buf, sizeof buf), -EINVAL);
    if (t_equal(weft_resolve("127.0.0.1:80", a, 16), 1)) {
        shows(&a[0], "127.0.0.1:80");
        sa = weft_address_sockaddr(&a[0], &n);
        t_equal(sa->sa_family, AF_INET);
        t_equal(n, sizeof(struct sockaddr_in));
        t_equal(((const struct sockaddr_in *)sa)->sin_port, htons(80));
    }
    if (t_equal(weft_resolve("[::1]:65535", a, 16), 1))
        shows(&a[0], "[::1]:65535");
    if (t_equal(weft_resolve("unix:/run/x", a, 16), 1))
        shows(&a[0], "unix:/run/x");
    t_check(weft_resolve(":7", a, 16) >= 1);
    t_equal(weft_resolve(":7", a, 1), 1);
    t_equal(weft_resolve("127.0.0.1:80", NULL, 0), 0);
    t_equal(weft_resolve("127.0.0.1", a, 16), -EINVAL);
    t_equal(weft_resolve("::1:80", a, 16), -EINVAL);
    t_equal(weft_resolve("127.0.0.1:65536", a, 16), -EINVAL);
    t_equal(weft_resolve("unix:", a, 16), -EINVAL);
    t_equal(jobs(), 0); /* no thread was needed */
    return 0;
}

static void numbers_need_no_thread(void **state)
{
    assert_int_equal(t_run(t_workers(state), numeric, NULL), 0);
}

static long names(void *arg)
{
    weft_address a[16];
    int n, rc;

    (void)arg;
    n = weft_resolve("localhost:9", a, 16);
    if (t_check(n >= 1)) {
        char buf[64];

        t_equal(weft_address_format(&a[0], buf, sizeof buf), 0);
        t_check(strcmp(buf, "127.0.0.1:9") == 0 || strcmp(buf, "[::1]:9") == 0);
    }
    t_equal(jobs(), 1);
    t_equal(weft_resolve("localhost:9", a, 1), 1);
    rc = weft_resolve("no-such-host.invalid:9", a, 16);
    t_check(rc == -ENOENT || rc == -EAGAIN);
    return 0;
}

static void names_are_looked_up(void **state)
{
    assert_int_equal(t_run(t_workers(state), names, NULL), 0);
}

static long cancelled(void *arg)
{
    weft_address a;

    (void)arg;
    weft_with_timeout(0) {
        t_equal(weft_resolve("127.0.0.1:1", &a, 1), -ETIMEDOUT);
        t_equal(weft_resolve("localhost:1", &a, 1), -ETIMEDOUT);
    }
    return 0;
}

static void a_cancelled_task_gets_no_address(void **state)
{
    assert_int_equal(t_run(t_workers(state), cancelled, NULL), 0);
}

static void a_thread_that_is_no_task_is_refused(void **state)
{
    weft_address a;

    (void)state;
    assert_int_equal(weft_resolve("127.0.0.1:1", &a, 1), -EPERM);
}

static const struct CMUnitTest tests[] = {
    T_EACH(numbers_need_no_thread),
    T_EACH(names_are_looked_up),
    T_EACH(a_cancelled_task_gets_no_address),
    cmocka_unit_test(a_thread_that_is_no_task_is_refused),
};

T_MAIN(tests)
