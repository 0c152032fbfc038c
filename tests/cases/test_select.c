/* SPDX-License-Identifier: MIT */
/* Select: case 42. */
#include "support/cases.h"

#include <fcntl.h>

#define NOT_SET (-4000)

/* Cases whose ret tells if somebody wrote it. */
static void unset(struct weft_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cases[i].ret = NOT_SET;
}

static void close_both(const int fd[2])
{
    close(fd[0]);
    close(fd[1]);
}

/* Only the winner has a result. */
static void check_winner(const struct weft_case *cases, size_t n, long which,
                         long expected, long ret)
{
    if (!t_equal(which, expected))
        return;
    for (size_t i = 0; i < n; i++)
        t_equal(cases[i].ret, (long)i == expected ? ret : NOT_SET);
}

/* ---- one of each -------------------------------------------------------- */

enum { GET, PUT, SEND, RECV, ENDED, SET, EVENT, TIME, READABLE, KINDS };

struct world {
    weft_queue empty, full;
    weft_chan nobody_receives, nobody_sends;
    weft_future future;
    weft_event event, stop;
    weft_task *task;
    void *empty_slots[1], *full_slots[1];
    int pipe[2];
    struct weft_case cases[KINDS];
    void *item;
    long sent, received;
    int64_t alarm;
    atomic_long which;
};

static long returns_five(void *arg)
{
    struct world *w = arg;

    t_equal(weft_event_wait(&w->stop), 0);
    return 5;
}

static void build(struct world *w)
{
    memset(w, 0, sizeof *w);
    t_equal(weft_queue_init(&w->empty, w->empty_slots, 1, WEFT_FIFO), 0);
    t_equal(weft_queue_init(&w->full, w->full_slots, 1, WEFT_FIFO), 0);
    t_equal(weft_queue_tryput(&w->full, (void *)1), 0);
    t_equal(weft_chan_init(&w->nobody_receives, NULL, sizeof(long), 0), 0);
    t_equal(weft_chan_init(&w->nobody_sends, NULL, sizeof(long), 0), 0);
    t_equal(pipe2(w->pipe, O_CLOEXEC | O_NONBLOCK), 0);
    w->item = (void *)-1;
    w->sent = 42;
    w->received = -1;
    w->alarm = WEFT_NEVER;
    atomic_store(&w->which, NOT_SET);
}

static void fill_cases(struct world *w)
{
    struct weft_case all[KINDS] = {
        [GET] = WEFT_CASE_GET(&w->empty, &w->item),
        [PUT] = WEFT_CASE_PUT(&w->full, (void *)2),
        [SEND] = WEFT_CASE_SEND(&w->nobody_receives, &w->sent),
        [RECV] = WEFT_CASE_RECV(&w->nobody_sends, &w->received),
        [ENDED] = WEFT_CASE_TASK(w->task),
        [SET] = WEFT_CASE_FUTURE(&w->future),
        [EVENT] = WEFT_CASE_EVENT(&w->event),
        [TIME] = WEFT_CASE_TIME(w->alarm),
        [READABLE] = WEFT_CASE_FD(w->pipe[0], WEFT_READ),
    };

    memcpy(w->cases, all, sizeof all);
    unset(w->cases, KINDS);
}

/* Makes case k possible; its result then. */
static long happen(struct world *w, int k)
{
    void *item = NULL;
    long x = 43, got = 0;

    switch (k) {
    case GET:
        t_equal(weft_queue_put(&w->empty, (void *)7), 0);
        return 0;
    case PUT:
        t_equal(weft_queue_get(&w->full, &item), 0);
        return 0;
    case SEND:
        t_equal(weft_chan_recv(&w->nobody_receives, &got), 0);
        t_equal(got, 42);
        return 0;
    case RECV:
        t_equal(weft_chan_send(&w->nobody_sends, &x), 0);
        return 0;
    case ENDED:
        weft_event_set(&w->stop);
        t_equal(weft_await(w->task), 5);
        return 5;
    case SET:
        t_equal(weft_future_set(&w->future, -EAGAIN), 0);
        return -EAGAIN;
    case EVENT: /* cleared again before the select runs */
        weft_event_set(&w->event);
        weft_event_clear(&w->event);
        return 0;
    case READABLE:
        t_equal(write(w->pipe[1], "x", 1), 1);
        return WEFT_READ;
    default:
        return 0;
    }
}

/* After case k alone has won. */
static void check_world(struct world *w, int k)
{
    void *item = NULL;
    long x = 1;
    char byte;

    t_equal((intptr_t)w->item, k == GET ? 7 : -1);
    t_equal(w->received, k == RECV ? 43 : -1);
    t_equal(weft_queue_len(&w->empty), 0);
    t_equal(weft_queue_tryget(&w->full, &item), 0);
    t_equal((intptr_t)item, k == PUT ? 2 : 1);
    t_equal(weft_queue_tryget(&w->full, &item), -EAGAIN);
    t_equal(read(w->pipe[0], &byte, 1), k == READABLE ? 1 : -1);
    /* Nobody stands in the objects any more. */
    t_equal(weft_chan_tryrecv(&w->nobody_receives, &x), -EAGAIN);
    t_equal(weft_chan_trysend(&w->nobody_sends, &x), -EAGAIN);
    t_equal(weft_queue_tryput(&w->empty, (void *)1), 0);
    t_equal(weft_queue_len(&w->empty), 1);
}

static long selects(void *arg)
{
    struct world *w = arg;

    atomic_store(&w->which, weft_select(w->cases, KINDS));
    return 0;
}

static void one_happens(struct world *w, int k)
{
    weft_group inner;
    long ret = 0;

    build(w);
    weft_with_group(&inner) {
        t_equal(weft_spawn_task(&inner, returns_five, w, &w->task), 0);
        t_check(t_wait_waiting("event", 1));
        if (k == TIME)
            w->alarm = weft_now() + 20 * WEFT_MS;
        fill_cases(w);
        t_equal(weft_tryselect(w->cases, KINDS), -EAGAIN);
        t_equal(weft_spawn(&inner, selects, w), 0);
        if (k != TIME) {
            t_check(t_wait_waiting("select", 1));
            ret = happen(w, k);
        }
        while (atomic_load(&w->which) == NOT_SET)
            weft_sleep(WEFT_MS / 10);
        if (k == TIME)
            t_check(weft_now() >= w->alarm);
        check_winner(w->cases, KINDS, atomic_load(&w->which), k, ret);
        check_world(w, k);
        weft_event_set(&w->stop);
    }
    close_both(w->pipe);
}

static long each_happens(void *arg)
{
    static struct world w;

    (void)arg;
    for (int k = 0; k < KINDS; k++)
        one_happens(&w, k);
    return 0;
}

static void a_waiting_select_does_the_case_that_comes_and_no_other(void **state)
{
    assert_int_equal(t_run(t_workers(state), each_happens, NULL), 0);
}

/* The same with what is ready before: not the channels, who have no peer then,
 * nor the event, which is cleared again. */
static long each_is_ready(void *arg)
{
    static const int kinds[] = {GET, PUT, ENDED, SET, TIME, READABLE};
    static struct world w;

    (void)arg;
    for (size_t i = 0; i < 2 * T_LEN(kinds); i++) {
        int k = kinds[i / 2];
        weft_group g;

        build(&w);
        weft_with_group(&g) {
            long ret;

            t_equal(weft_spawn_task(&g, returns_five, &w, &w.task), 0);
            ret = happen(&w, k);
            if (k == TIME)
                w.alarm = 1;
            fill_cases(&w);
            check_winner(w.cases, KINDS,
                         i & 1 ? weft_tryselect(w.cases, KINDS)
                               : weft_select(w.cases, KINDS),
                         k, ret);
            check_world(&w, k);
            weft_event_set(&w.stop);
        }
        close_both(w.pipe);
    }
    return 0;
}

static void what_is_ready_wins_at_once(void **state)
{
    assert_int_equal(t_run(t_workers(state), each_is_ready, NULL), 0);
}

static long is_cancelled(void *arg)
{
    static struct world w;
    weft_group g;
    weft_task *t;
    void *item;

    (void)arg;
    build(&w);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, returns_five, &w, &w.task), 0);
        t_check(t_wait_waiting("event", 1));
        w.alarm = weft_now() + WEFT_SEC * 3600;
        fill_cases(&w);
        t_equal(weft_spawn_task(&g, selects, &w, &t), 0);
        t_check(t_wait_waiting("select", 1));
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_await(t), 0);
        t_equal(atomic_load(&w.which), -ECANCELED);
        check_world(&w, -1);
        t_equal(weft_queue_tryget(&w.empty, &item), 0);
        t_equal(weft_queue_tryput(&w.full, (void *)1), 0);
        weft_with_timeout(5 * WEFT_MS)
            t_equal(weft_select(w.cases, KINDS), -ETIMEDOUT);
        check_world(&w, -1);
        weft_event_set(&w.stop);
    }
    close_both(w.pipe);
    return 0;
}

static void a_cancelled_select_leaves_nothing_behind(void **state)
{
    assert_int_equal(t_run(t_workers(state), is_cancelled, NULL), 0);
}

/* ---- ends of objects ---------------------------------------------------- */

static long shuts(void *arg)
{
    void *slots[1], *item = (void *)9;
    weft_queue q;
    weft_chan c;
    long x = 3;
    struct weft_case cases[2] = {WEFT_CASE_GET(&q, &item),
                                 WEFT_CASE_RECV(&c, &x)};
    struct world w = {.which = NOT_SET};
    weft_group g;

    (void)arg;
    t_equal(weft_queue_init(&q, slots, 1, WEFT_FIFO), 0);
    t_equal(weft_chan_init(&c, NULL, sizeof x, 0), 0);
    for (int i = 0; i < KINDS; i++)
        w.cases[i] = (struct weft_case)WEFT_CASE_TIME(WEFT_NEVER);
    w.cases[0] = cases[0];
    w.cases[1] = cases[1];
    unset(w.cases, KINDS);
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, selects, &w), 0);
        t_check(t_wait_waiting("select", 1));
        weft_chan_close(&c);
    }
    check_winner(w.cases, KINDS, atomic_load(&w.which), 1, -EPIPE);
    t_equal(weft_select(&cases[1], 1), 0);
    t_equal(cases[1].ret, -EPIPE);
    cases[1] = (struct weft_case)WEFT_CASE_SEND(&c, &x);
    t_equal(weft_select(cases, 2), 1);
    t_equal(cases[1].ret, -EPIPE);
    t_equal(x, 3);

    w.cases[1] = (struct weft_case)WEFT_CASE_TIME(WEFT_NEVER);
    unset(w.cases, KINDS);
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, selects, &w), 0);
        t_check(t_wait_waiting("select", 1));
        weft_queue_shutdown(&q, 0);
    }
    check_winner(w.cases, KINDS, atomic_load(&w.which), 0, -ESHUTDOWN);
    t_equal((intptr_t)item, 9);
    cases[1] = (struct weft_case)WEFT_CASE_PUT(&q, item);
    t_equal(weft_tryselect(&cases[1], 1), 0);
    t_equal(cases[1].ret, -ESHUTDOWN);
    return 0;
}

static void what_is_closed_or_shut_wins_with_its_error(void **state)
{
    assert_int_equal(t_run(t_workers(state), shuts, NULL), 0);
}

/* ---- descriptors -------------------------------------------------------- */

static long waits_for_fd(void *arg)
{
    return weft_fd_wait(*(int *)arg, WEFT_READ);
}

static long descriptors(void *arg)
{
    int p[2], file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct weft_case c[4];
    weft_group g;
    weft_task *t;
    char byte;

    (void)arg;
    t_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
    c[0] = (struct weft_case)WEFT_CASE_FD(-1, WEFT_READ);
    t_equal(weft_select(c, 1), 0);
    t_equal(c[0].ret, -EBADF);
    c[0] = (struct weft_case)WEFT_CASE_FD(file, WEFT_READ);
    t_equal(weft_select(c, 1), 0);
    t_equal(c[0].ret, WEFT_READ);
    c[0] = (struct weft_case)WEFT_CASE_FD(p[1], WEFT_READ | WEFT_WRITE);
    t_equal(weft_select(c, 1), 0);
    t_equal(c[0].ret, WEFT_WRITE);
    /* Several cases of one fd. */
    for (int i = 0; i < 3; i++)
        c[i] = (struct weft_case)WEFT_CASE_FD(p[0], i == 1 ? 3 : WEFT_READ);
    c[3] = (struct weft_case)WEFT_CASE_TIME(weft_now() + 5 * WEFT_MS);
    unset(c, 4);
    check_winner(c, 4, weft_select(c, 4), 3, 0);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, waits_for_fd, &p[0], &t), 0);
        t_check(t_wait_waiting("read", 1));
        /* One task a direction. */
        t_equal(weft_select(c, 1), 0);
        t_equal(c[0].ret, -EBUSY);
        t_equal(write(p[1], "x", 1), 1);
        t_equal(weft_await(t), WEFT_READ);
    }
    t_equal(weft_select(c, 1), 0);
    t_equal(c[0].ret, WEFT_READ);
    t_equal(read(p[0], &byte, 1), 1);
    t_equal(weft_tryselect(c, 3), -EAGAIN);
    close(p[1]);
    t_check(weft_select(c, 2) >= 0); /* a hang-up is readiness */
    close(p[0]);
    close(file);
    return 0;
}

static void a_descriptor_wins_with_what_its_own_wait_would_say(void **state)
{
    assert_int_equal(t_run(t_workers(state), descriptors, NULL), 0);
}

struct pipes {
    int to[2], back[2];
    long rounds;
};

static long answers(void *arg)
{
    struct pipes *p = arg;

    for (long i = 0; i < p->rounds; i++) {
        struct weft_case c[] = {WEFT_CASE_TIME(WEFT_NEVER),
                                WEFT_CASE_FD(p->to[0], WEFT_READ),
                                WEFT_CASE_FD(p->to[0], WEFT_READ)};
        char byte;

        t_check(weft_select(c, 3) >= 1);
        if (!t_equal(read(p->to[0], &byte, 1), 1) ||
            !t_equal(write(p->back[1], &byte, 1), 1))
            break;
    }
    return 0;
}

static long asks(void *arg)
{
    struct pipes *p = arg;
    weft_group g;

    weft_with_group(&g) {
        t_equal(weft_spawn(&g, answers, p), 0);
        for (long i = 0; i < p->rounds; i++) {
            struct weft_case c[] = {WEFT_CASE_FD(p->back[0], WEFT_READ)};
            char byte = 0;

            t_equal(write(p->to[1], &(char){(char)i}, 1), 1);
            t_equal(weft_select(c, 1), 0);
            t_equal(c[0].ret, WEFT_READ);
            t_equal(read(p->back[0], &byte, 1), 1);
            if (!t_equal(byte, (char)i))
                break;
        }
    }
    return weft_group_wait(&g);
}

static void no_edge_of_a_descriptor_is_lost(void **state)
{
    struct pipes p = {.rounds = t_scale(5000)};

    assert_int_equal(pipe2(p.to, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pipe2(p.back, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(t_run(t_workers(state), asks, &p), 0);
    close_both(p.to);
    close_both(p.back);
}

/* ---- fairness ----------------------------------------------------------- */

#define ROUNDS 2000

/* Some of n cases are always ready; each has its share. */
static void share(const int *ready, int n_ready, int n)
{
    struct weft_case cases[40];
    int won[40] = {0};

    for (int i = 0; i < n; i++)
        cases[i] = (struct weft_case)WEFT_CASE_TIME(WEFT_NEVER);
    for (int i = 0; i < n_ready; i++)
        cases[ready[i]].when = 1;
    for (int i = 0; i < ROUNDS; i++) {
        long which = weft_select(cases, (size_t)n);

        won[which >= 0 ? which : 0]++;
    }
    for (int i = 0; i < n_ready; i++)
        t_check(won[ready[i]] > ROUNDS / n_ready / 3);
}

static long shares(void *arg)
{
    (void)arg;
    share((int[]){0, 1}, 2, 2);
    share((int[]){0, 1, 2}, 3, 3);
    share((int[]){0, 1}, 2, 10);
    share((int[]){3, 4, 5}, 3, 10);
    share((int[]){0, 39}, 2, 40);
    share((int[]){0, 7, 8, 9}, 4, 16);
    return 0;
}

static void the_choice_among_ready_cases_is_fair(void **state)
{
    assert_int_equal(t_run(t_workers(state), shares, NULL), 0);
}

/* ---- races -------------------------------------------------------------- */

struct trade {
    weft_queue q[2];
    void *slots[2][2];
    weft_chan c[2];
    atomic_long in, out;
    long rounds;
    atomic_int traders;
};

/* Gets from either or puts into either, under time-outs that often win. */
static long trades(void *arg)
{
    struct trade *d = arg;
    long putter = atomic_fetch_add(&d->traders, 1) & 1;

    for (long i = 1; i <= d->rounds; i++) {
        void *item[2] = {NULL, NULL};
        struct weft_case put[2] = {WEFT_CASE_PUT(&d->q[0], (void *)i),
                                   WEFT_CASE_PUT(&d->q[1], (void *)i)};
        struct weft_case get[2] = {WEFT_CASE_GET(&d->q[0], &item[0]),
                                   WEFT_CASE_GET(&d->q[1], &item[1])};
        struct weft_case *c = putter ? put : get;
        long k = NOT_SET;

        weft_with_timeout((i % 7) * 20 * WEFT_US)
            k = weft_select(c, 2);
        if (k < 0) {
            t_equal(k, -ETIMEDOUT);
            t_check(!item[0] && !item[1]);
            continue;
        }
        t_equal(c[k].ret, 0);
        t_check(putter || (item[k] && !item[!k]));
        atomic_fetch_add(putter ? &d->in : &d->out,
                         putter ? i : (intptr_t)item[k]);
    }
    return 0;
}

static long trade(void *arg)
{
    struct trade *d = arg;
    void *item;
    weft_group g;

    weft_with_group(&g)
        for (int i = 0; i < 8; i++)
            t_equal(weft_spawn(&g, trades, d), 0);
    for (int i = 0; i < 2; i++)
        while (weft_queue_tryget(&d->q[i], &item) == 0)
            atomic_fetch_add(&d->out, (intptr_t)item);
    t_equal(atomic_load(&d->in), atomic_load(&d->out));
    t_check(atomic_load(&d->in) > 0 || T_SANITIZED);
    return weft_group_wait(&g);
}

static void
many_selects_over_the_same_queues_lose_and_double_nothing(void **state)
{
    static struct trade d;

    memset(&d, 0, sizeof d);
    d.rounds = t_scale(4000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(weft_queue_init(&d.q[i], d.slots[i], 2, WEFT_FIFO), 0);
    assert_int_equal(t_run(t_workers(state), trade, &d), 0);
}

/* Each offers on one channel and takes from the other, or the other way round,
 * in one select: so both sides of a meeting are selects. Who is through first
 * closes both, for the last would wait in vain. */
static long barters(void *arg)
{
    struct trade *d = arg;
    int number = atomic_fetch_add(&d->traders, 1), mine = number & 1;

    for (long i = 1; i <= d->rounds; i++) {
        long out = i, in = -1, k = NOT_SET;
        struct weft_case c[2] = {WEFT_CASE_SEND(&d->c[mine], &out),
                                 WEFT_CASE_RECV(&d->c[!mine], &in)};

        weft_with_timeout(number < 2 || i % 3 ? WEFT_SEC * 100 : 50 * WEFT_US)
            k = weft_select(c, 2);
        if (k < 0) {
            t_equal(k, -ETIMEDOUT);
            t_equal(in, -1);
            continue;
        }
        if (c[k].ret == -EPIPE)
            break;
        t_equal(c[k].ret, 0);
        t_check(k == 1 ? in > 0 : in == -1);
        atomic_fetch_add(k ? &d->out : &d->in, k ? in : out);
    }
    weft_chan_close(&d->c[0]);
    weft_chan_close(&d->c[1]);
    return 0;
}

static long barter(void *arg)
{
    struct trade *d = arg;
    weft_group g;

    weft_with_group(&g)
        for (int i = 0; i < 6; i++)
            t_equal(weft_spawn(&g, barters, d), 0);
    return weft_group_wait(&g);
}

static void
a_meeting_of_two_selects_happens_for_both_or_for_neither(void **state)
{
    static struct trade d;

    memset(&d, 0, sizeof d);
    d.rounds = t_scale(3000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(weft_chan_init(&d.c[i], NULL, sizeof(long), 0), 0);
    assert_int_equal(t_run(t_workers(state), barter, &d), 0);
    assert_int_equal(atomic_load(&d.in), atomic_load(&d.out));
    assert_true(atomic_load(&d.in) > 0 || T_SANITIZED);
}

/* A select that offers and asks on one channel does not trade with itself. */
static long alone(void *arg)
{
    weft_chan c;
    long out = 3, in = -1, got = -1;
    struct weft_case cases[] = {WEFT_CASE_SEND(&c, &out),
                                WEFT_CASE_RECV(&c, &in)};
    struct world w = {.which = NOT_SET};
    weft_group g;

    (void)arg;
    t_equal(weft_chan_init(&c, NULL, sizeof out, 0), 0);
    weft_with_timeout(5 * WEFT_MS)
        t_equal(weft_select(cases, 2), -ETIMEDOUT);
    t_equal(weft_tryselect(cases, 2), -EAGAIN);
    t_equal(in, -1);
    for (int i = 0; i < KINDS; i++)
        w.cases[i] = cases[i % 2];
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, selects, &w), 0);
        t_check(t_wait_waiting("select", 1));
        t_equal(weft_chan_recv(&c, &got), 0);
        t_equal(got, 3);
    }
    t_check(atomic_load(&w.which) % 2 == 0);
    return 0;
}

static void a_select_does_not_meet_itself(void **state)
{
    assert_int_equal(t_run(t_workers(state), alone, NULL), 0);
}

struct starts {
    weft_event e;
    weft_future f;
    weft_queue q;
    void *slots[1];
};

static long sets_all(void *arg)
{
    struct starts *s = arg;

    weft_event_set(&s->e);
    t_equal(weft_future_set(&s->f, 8), 0);
    return weft_queue_tryput(&s->q, (void *)6);
}

static long first_of_many(void *arg)
{
    int won[4] = {0};

    for (long i = 0; i < *(long *)arg; i++) {
        struct starts s = {0};
        void *item = NULL;
        weft_task *t;
        weft_group g;

        t_equal(weft_queue_init(&s.q, s.slots, 1, WEFT_FIFO), 0);
        weft_with_group(&g) {
            long k;

            t_equal(weft_spawn_task(&g, sets_all, &s, &t), 0);
            struct weft_case c[] = {WEFT_CASE_GET(&s.q, &item),
                                    WEFT_CASE_FUTURE(&s.f),
                                    WEFT_CASE_EVENT(&s.e), WEFT_CASE_TASK(t)};
            k = weft_select(c, 4);
            if (!t_check(k >= 0))
                break;
            won[k]++;
            t_equal(c[k].ret, k == 1 ? 8 : 0);
            t_equal(weft_await(t), 0);
            /* The item is in hand or in the queue. */
            t_equal((intptr_t)item, k == 0 ? 6 : 0);
            t_equal(weft_queue_len(&s.q), k == 0 ? 0 : 1);
        }
    }
    return won[0] + won[1] + won[2] + won[3] == *(long *)arg ? 0 : -EPROTO;
}

static void one_of_several_that_come_at_once_wins(void **state)
{
    long rounds = t_scale(5000);

    assert_int_equal(t_run(t_workers(state), first_of_many, &rounds), 0);
}

/* ---- many cases, and none ----------------------------------------------- */

#define MANY 100

struct crowd {
    weft_queue q[MANY];
    void *slots[MANY][1];
};

static long crowd_puts(void *arg)
{
    struct crowd *c = arg;

    for (intptr_t i = 0; i < 3 * MANY; i++)
        t_equal(weft_queue_put(&c->q[i * 37 % MANY], (void *)(i + 1)), 0);
    return 0;
}

static long crowd_gets(void *arg)
{
    static struct crowd crowd;
    long sum = 0;
    weft_group g;

    (void)arg;
    for (int i = 0; i < MANY; i++)
        t_equal(weft_queue_init(&crowd.q[i], crowd.slots[i], 1, WEFT_FIFO), 0);
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, crowd_puts, &crowd), 0);
        for (int n = 0; n < 3 * MANY; n++) {
            struct weft_case c[MANY];
            void *item = NULL;
            long k;

            for (int i = 0; i < MANY; i++)
                c[i] = (struct weft_case)WEFT_CASE_GET(&crowd.q[i], &item);
            k = weft_select(c, MANY);
            if (!t_check(k >= 0))
                break;
            t_equal(((intptr_t)item - 1) * 37 % MANY, k);
            sum += (intptr_t)item;
        }
    }
    t_equal(sum, 3 * MANY * (3 * MANY + 1) / 2);
    return 0;
}

static void a_hundred_cases_are_as_good_as_two(void **state)
{
    assert_int_equal(t_run(t_workers(state), crowd_gets, NULL), 0);
}

static long errors(void *arg)
{
    struct weft_case c[2] = {WEFT_CASE_TIME(1), WEFT_CASE_TIME(1)};
    weft_task *self = weft_self();

    (void)arg;
    t_equal(weft_select(c, 0), -EINVAL);
    t_equal(weft_tryselect(c, 0), -EINVAL);
    c[1].op = (enum weft_op)99;
    t_equal(weft_select(c, 2), -EINVAL);
    c[1] = (struct weft_case)WEFT_CASE_EVENT(NULL);
    t_equal(weft_tryselect(c, 2), -EINVAL);
    c[1] = (struct weft_case)WEFT_CASE_FD(0, 0);
    t_equal(weft_select(c, 2), -EINVAL);
    c[1] = (struct weft_case)WEFT_CASE_TASK(self);
    t_equal(weft_select(&c[1], 1), 0);
    t_equal(c[1].ret, -EDEADLK);
    c[0].when = weft_now() + 3 * WEFT_MS;
    t_equal(weft_select(c, 1), 0);
    t_check(weft_now() >= c[0].when);
    return 0;
}

static void wrong_cases_are_refused(void **state)
{
    struct weft_case c = WEFT_CASE_TIME(1);

    assert_int_equal(t_run(t_workers(state), errors, NULL), 0);
    assert_int_equal(weft_select(&c, 1), -EPERM);
    assert_int_equal(weft_tryselect(&c, 1), -EPERM);
}

static const struct CMUnitTest tests[] = {
    T_REAL_EACH(a_waiting_select_does_the_case_that_comes_and_no_other),
    T_EACH(what_is_ready_wins_at_once),
    T_REAL_EACH(a_cancelled_select_leaves_nothing_behind),
    T_EACH(what_is_closed_or_shut_wins_with_its_error),
    T_REAL_EACH(a_descriptor_wins_with_what_its_own_wait_would_say),
    T_REAL_EACH(no_edge_of_a_descriptor_is_lost),
    T_EACH(the_choice_among_ready_cases_is_fair),
    T_EACH(many_selects_over_the_same_queues_lose_and_double_nothing),
    T_EACH(a_meeting_of_two_selects_happens_for_both_or_for_neither),
    T_EACH(a_select_does_not_meet_itself),
    T_EACH(one_of_several_that_come_at_once_wins),
    T_EACH(a_hundred_cases_are_as_good_as_two),
    T_EACH(wrong_cases_are_refused),
};

T_MAIN(tests)
