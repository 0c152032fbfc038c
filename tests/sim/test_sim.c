/* SPDX-License-Identifier: MIT */
/* The simulation itself: that it repeats, that time jumps, that the network is
 * as bad as it was asked to be, and that it ends whatever the program does. */
#include "support/cases.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define SEEDS 60

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- a program with a bit of all ------------------------------------------ */

struct all {
    weft_mutex lock;
    weft_group g;
    weft_listener *l;
    int counted, naps;
    size_t echoed;
};

#define ROUNDS 10
#define BYTES 5000

static long counts(void *arg)
{
    struct all *a = arg;

    for (int i = 0; i < ROUNDS; i++) {
        t_equal(weft_mutex_lock(&a->lock), 0);
        int before = a->counted;

        (void)weft_yield();
        a->counted = before + 1;
        weft_mutex_unlock(&a->lock);
    }
    return 0;
}

static long naps(void *arg)
{
    struct all *a = arg;
    int64_t start = weft_now();

    t_equal(weft_sleep(3600 * WEFT_SEC), 0);
    t_check(weft_now() - start >= 3600 * WEFT_SEC);
    a->naps++;
    return 0;
}

static long echo(weft_stream *s, void *arg)
{
    char buf[700];
    ssize_t n;

    (void)arg;
    while ((n = weft_read(s, buf, sizeof buf)) > 0)
        if (weft_write(s, buf, (size_t)n) < 0)
            return -EIO;
    return n;
}

static long serves(void *arg)
{
    struct all *a = arg;

    return weft_serve(a->l, echo, NULL);
}

static long sends(void *arg)
{
    weft_stream *s = arg;
    char out[BYTES];

    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (char)(i * 7);
    t_equal(weft_write(s, out, sizeof out), sizeof out);
    t_equal(weft_shutdown(s), 0);
    return 0;
}

static void talk(struct all *a)
{
    weft_group g = {0};
    weft_stream *s;
    char in[BYTES];
    ssize_t n;

    if (!t_equal(weft_connect(&s, "10.0.0.2:7"), 0))
        return;
    (void)weft_group_enter(&g);
    t_equal(weft_spawn(&g, sends, s), 0);
    while ((n = weft_read(s, in + a->echoed, sizeof in - a->echoed)) > 0)
        a->echoed += (size_t)n;
    t_equal(n, 0);
    t_equal(a->echoed, BYTES);
    for (size_t i = 0; i < a->echoed; i++)
        if (!t_check(in[i] == (char)(i * 7)))
            break;
    t_equal(weft_group_leave(&g), 0);
    weft_close(s);
}

static long twice(void *arg)
{
    return 2 * (long)arg;
}

static long program(void *arg)
{
    struct all a = {.counted = 0};
    weft_group server = {0};

    (void)arg;
    t_check(weft_sim_active());
    t_equal(weft_sim_run(twice, NULL, 1, NULL), -EPERM);
    t_equal(weft_listen(&a.l, "10.0.0.2:7"), 0);
    (void)weft_group_enter(&server);
    t_equal(weft_spawn(&server, serves, &a), 0);
    (void)weft_group_enter(&a.g);
    for (int i = 0; i < 3; i++)
        t_equal(weft_spawn(&a.g, counts, &a), 0);
    t_equal(weft_spawn(&a.g, naps, &a), 0);
    talk(&a);
    t_equal(weft_compute(twice, (void *)21), 42);
    t_equal(weft_blocking(twice, (void *)21), 42);
    t_equal(weft_group_leave(&a.g), 0);
    t_equal(a.counted, 3 * ROUNDS);
    t_equal(a.naps, 1);
    weft_listener_close(a.l);
    (void)weft_group_leave(&server);
    weft_sim_note("the end");
    return 7;
}

static void a_program_runs_as_it_would_outside(void **state)
{
    struct weft_sim_result r;
    struct weft_sim_options o = {.result = &r};
    double start = seconds();

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        assert_int_equal(weft_sim_run(program, NULL, seed, &o), 7);
        t_verdict();
        assert_int_equal(r.left_tasks, 0);
        assert_int_equal(r.left_fds, 0);
        assert_true(r.time >= 3600 * WEFT_SEC);
        assert_true(r.steps > 100);
    }
    assert_true(seconds() - start < SEEDS * 60); /* not the hours it slept */
    assert_false(weft_sim_active());
    assert_int_equal(weft_sim_random(), 0);
    assert_int_equal(weft_sim_cut("10.0.0.2", 1), -EPERM);
}

/* ---- repetition ----------------------------------------------------------- */

struct text {
    char *bytes;
    size_t n, room;
};

static void keep(const char *line, void *arg)
{
    struct text *t = arg;
    size_t n = strlen(line) + 1;

    if (t->n + n > t->room) {
        t->room = 2 * t->room + n;
        t->bytes = realloc(t->bytes, t->room);
        if (!t->bytes)
            abort();
    }
    memcpy(t->bytes + t->n, line, n);
    t->bytes[t->n + n - 1] = '\n';
    t->n += n;
}

static void a_seed_gives_the_same_trace_to_the_byte(void **state)
{
    struct weft_sim_result r[2], quiet;
    uint64_t last = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct weft_sim_options o = {.result = &quiet};
        struct text t[2] = {{0}, {0}};

        for (int i = 0; i < 2; i++) {
            struct weft_sim_options told = {
                .result = &r[i], .trace = keep, .trace_arg = &t[i]};

            (void)weft_sim_run(program, NULL, seed, &told);
            /* What lies where on the heap must not matter. */
            free(malloc(seed * 100 + 1));
        }
        (void)weft_sim_run(program, NULL, seed, &o);
        t_verdict();
        assert_int_equal(t[0].n, t[1].n);
        assert_memory_equal(t[0].bytes, t[1].bytes, t[0].n);
        assert_true(r[0].hash == r[1].hash && r[0].hash == quiet.hash);
        assert_true(r[0].steps == r[1].steps && r[0].time == r[1].time);
        assert_true(r[0].hash != last);
        assert_non_null(memmem(t[0].bytes, t[0].n, "the end\n", 8));
        last = r[0].hash;
        free(t[0].bytes);
        free(t[1].bytes);
    }
}

/* ---- races ---------------------------------------------------------------- */

struct account {
    int balance;
    weft_event both;
};

/* What is between the two halves is a call of the library. */
static long pays_in(void *arg)
{
    struct account *a = arg;
    int before = a->balance;

    weft_event_set(&a->both);
    a->balance = before + 1;
    return 0;
}

static long pay_twice(void *arg)
{
    struct account a = {0};
    weft_group g = {0};

    (void)arg;
    (void)weft_group_enter(&g);
    t_equal(weft_spawn(&g, pays_in, &a), 0);
    t_equal(weft_spawn(&g, pays_in, &a), 0);
    t_equal(weft_group_leave(&g), 0);
    return a.balance;
}

static void some_seed_shows_a_lost_update(void **state)
{
    struct weft_options w = {.workers = 2};
    struct weft_sim_options o = {.runtime = &w};
    int lost = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 500; seed++)
        lost += weft_sim_run(pay_twice, NULL, seed, &o) == 1;
    t_verdict();
    assert_true(lost > 0);
    assert_true(lost < 500);
}

/* ---- the network ---------------------------------------------------------- */

struct weather {
    int connected, refused, broken, whole;
};

static long asks(void *arg)
{
    struct weather *w = arg;

    for (int i = 0; i < 10; i++) {
        char out[300], in[300];
        weft_stream *s;
        ssize_t n;
        int rc = weft_connect(&s, "10.0.0.2:7");

        if (rc == -ECONNREFUSED) {
            w->refused++;
            continue;
        }
        if (!t_check(rc == 0 || rc == -ECONNRESET))
            break;
        if (rc)
            continue;
        w->connected++;
        memset(out, i, sizeof out);
        n = weft_write(s, out, sizeof out);
        if (n > 0)
            n = weft_readn(s, in, sizeof in);
        if (n == (ssize_t)sizeof in && memcmp(in, out, sizeof in) == 0)
            w->whole++;
        else if (t_check(n == -ECONNRESET || n == -EPIPE || n >= 0))
            w->broken++;
        weft_close(s);
    }
    return 0;
}

static long meet(void *arg)
{
    weft_group server = {0};
    struct all a = {0};

    t_equal(weft_listen(&a.l, "0.0.0.0:7"), 0);
    (void)weft_group_enter(&server);
    t_equal(weft_spawn(&server, serves, &a), 0);
    (void)asks(arg);
    weft_listener_close(a.l);
    (void)weft_group_leave(&server);
    return 0;
}

static void connections_break_and_are_refused_on_demand(void **state)
{
    struct weather calm = {0}, rough = {0};
    struct weft_sim_options bad = {.resets = 8, .refusals = 5};

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        assert_int_equal(weft_sim_run(meet, &calm, seed, NULL), 0);
        assert_int_equal(weft_sim_run(meet, &rough, seed, &bad), 0);
        t_verdict();
    }
    assert_int_equal(calm.whole, SEEDS * 10);
    assert_true(rough.refused > SEEDS);
    assert_true(rough.broken > SEEDS / 2);
    assert_true(rough.whole > SEEDS);
}

static long wait_for_it(void *arg)
{
    weft_group server = {0};
    struct all a = {0};
    int64_t start, took;
    struct weather w = {0};

    (void)arg;
    t_equal(weft_listen(&a.l, "10.0.0.2:7"), 0);
    (void)weft_group_enter(&server);
    t_equal(weft_spawn(&server, serves, &a), 0);
    t_equal(weft_sim_cut("not a host", 1), -EINVAL);
    t_equal(weft_sim_cut("10.0.0.2", 30 * WEFT_SEC), 0);
    start = weft_now();
    (void)asks(&w);
    took = weft_now() - start;
    t_equal(w.whole, 10);
    t_check(took >= 30 * WEFT_SEC);
    t_equal(weft_sim_cut("10.0.0.2", 30 * WEFT_SEC), 0);
    weft_with_timeout(WEFT_SEC) {
        weft_stream *s;

        t_equal(weft_connect(&s, "10.0.0.2:7"), -ETIMEDOUT);
    }
    weft_listener_close(a.l);
    (void)weft_group_leave(&server);
    return 0;
}

static void a_host_that_is_cut_off_answers_later(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        assert_int_equal(weft_sim_run(wait_for_it, NULL, seed, NULL), 0);
    t_verdict();
}

static long post(void *arg)
{
    int *arrived = arg;
    weft_udp *a, *b;
    weft_address to;
    char buf[32];

    t_equal(weft_resolve("10.0.0.2:9", &to, 1), 1);
    t_equal(weft_udp_open(&a, "10.0.0.2:9", NULL), 0);
    t_equal(weft_udp_open(&b, "10.0.0.3:9", NULL), 0);
    for (int i = 0; i < 20; i++)
        t_equal(weft_udp_send(b, &i, sizeof i, &to), sizeof i);
    weft_with_timeout(WEFT_SEC)
        while (weft_udp_recv(a, buf, sizeof buf, NULL) == sizeof(int))
            ++*arrived;
    weft_udp_close(a);
    weft_udp_close(b);
    return 0;
}

static void datagrams_are_lost_on_demand(void **state)
{
    struct weft_sim_options lossy = {.losses = 4};
    int all = 0, some = 0;

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        assert_int_equal(weft_sim_run(post, &all, seed, NULL), 0);
        assert_int_equal(weft_sim_run(post, &some, seed, &lossy), 0);
        t_verdict();
    }
    assert_int_equal(all, SEEDS * 20);
    assert_in_range(some, SEEDS * 12, SEEDS * 18);
}

static long leave_open(void *arg)
{
    weft_listener *l;

    (void)arg;
    return weft_listen(&l, "10.0.0.2:7");
}

static void sockets_left_open_are_counted(void **state)
{
    struct weft_sim_result r;
    struct weft_sim_options o = {.result = &r};

    (void)state;
#if !defined(T_ASAN) /* the listener itself is lost on purpose */
    assert_int_equal(weft_sim_run(leave_open, NULL, 1, &o), 0);
    assert_int_equal(r.left_fds, 1);
#else
    (void)o, (void)leave_open;
#endif
}

/* ---- ends ----------------------------------------------------------------- */

static long wait_for_nothing(void *arg)
{
    weft_event never = {0};

    (void)arg;
    return weft_event_wait(&never);
}

static long go_on(void *arg)
{
    (void)arg;
    while (weft_sleep(WEFT_SEC) == 0)
        ;
    return 1;
}

static long go_round(void *arg)
{
    (void)arg;
    while (weft_yield() == 0)
        ;
    return 1;
}


static int end_all(void *arg)
{
    struct weft_sim_options o = {.time_limit = 100 * WEFT_SEC,
                                 .step_limit = 100000};

    (void)arg;
    if (weft_sim_run(wait_for_nothing, NULL, 3, NULL) != -EDEADLK)
        return 1;
    if (weft_sim_run(go_on, NULL, 3, &o) != -ETIMEDOUT)
        return 2;
    if (weft_sim_run(go_round, NULL, 3, &o) != -ETIMEDOUT)
        return 3;
    return weft_sim_run(twice, (void *)4, 3, &o) == 8 ? 0 : 4;
}

static void what_never_ends_is_ended(void **state)
{
    struct t_child c;

    (void)state;
    t_fork(&c, end_all, NULL);
    assert_int_equal(c.status, 0);
    assert_non_null(strstr(c.output, "seed 3: all wait for ever"));
    assert_non_null(strstr(c.output, "event"));
}

static long crash(void *arg)
{
    (void)arg;
    abort();
}

static int crash_simulated(void *arg)
{
    (void)arg;
    return (int)weft_sim_run(crash, NULL, 4711, NULL);
}

static void a_crash_names_its_seed(void **state)
{
    struct t_child c;

    (void)state;
    if (T_SANITIZED)
        skip(); /* they report themselves */
    t_fork(&c, crash_simulated, NULL);
    assert_int_equal(WTERMSIG(c.status), SIGABRT);
    assert_non_null(strstr(c.output, "in task main"));
    assert_non_null(strstr(c.output, "in a simulation with seed 4711"));
}

/* ---- several at a time ---------------------------------------------------- */

static void *simulate_many(void *arg)
{
    uint64_t *hash = arg;
    struct weft_sim_result r;
    struct weft_sim_options o = {.result = &r};

    for (uint64_t seed = 0; seed < 20; seed++) {
        t_equal(weft_sim_run(program, NULL, seed, &o), 7);
        *hash = *hash * 31 + r.hash;
    }
    return NULL;
}

static long beside(void *arg)
{
    (void)arg;
    t_check(!weft_sim_active());
    for (int i = 0; i < 100; i++)
        t_equal(weft_sleep(WEFT_MS / 10), 0);
    return 0;
}

static void threads_simulate_beside_each_other_and_a_real_runtime(void **state)
{
    uint64_t hash[2] = {0, 0};
    pthread_t t[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, simulate_many, &hash[i]),
                         0);
    assert_int_equal(weft_run(beside, NULL), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    t_verdict();
    assert_true(hash[0] == hash[1]);
}

static long open_another(void *arg)
{
    struct weft_options o = {.workers = 2};
    weft_runtime *rt;

    if (!t_equal(weft_runtime_open(&rt, &o), 0))
        return -1;
    t_equal(weft_runtime_call(rt, twice, (void *)4), 8);
    t_equal(weft_runtime_close(rt), 0);
    return (long)arg;
}

static void a_simulated_program_may_open_runtimes(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        assert_int_equal(weft_sim_run(open_another, (void *)5, seed, NULL), 5);
    t_verdict();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_runs_as_it_would_outside),
        cmocka_unit_test(a_seed_gives_the_same_trace_to_the_byte),
        cmocka_unit_test(some_seed_shows_a_lost_update),
        cmocka_unit_test(connections_break_and_are_refused_on_demand),
        cmocka_unit_test(a_host_that_is_cut_off_answers_later),
        cmocka_unit_test(datagrams_are_lost_on_demand),
        cmocka_unit_test(sockets_left_open_are_counted),
        cmocka_unit_test(what_never_ends_is_ended),
        cmocka_unit_test(a_crash_names_its_seed),
        cmocka_unit_test(threads_simulate_beside_each_other_and_a_real_runtime),
        cmocka_unit_test(a_simulated_program_may_open_runtimes),
    };

    t_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
