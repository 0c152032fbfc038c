/* SPDX-License-Identifier: MIT */
/* Channels: elements by value, with a buffer and without. */
#include "support/cases.h"

struct element {
    long number, square;
    char pad[24];
};

static struct element element(long i)
{
    return (struct element){.number = i, .square = i * i};
}

/* ---- order and number --------------------------------------------------- */

#define SENDERS 4
#define RECEIVERS 4

struct traffic {
    weft_chan c;
    struct element buf[8];
    long each;
    atomic_uchar *seen;
    atomic_long got, unordered, torn;
};

struct end {
    struct traffic *s;
    long number;
};

static long sends(void *arg)
{
    struct end *p = arg;
    long first = p->number * p->s->each;

    for (long i = 0; i < p->s->each; i++) {
        struct element e = element(first + i);

        if (!t_equal(weft_chan_send(&p->s->c, &e), 0))
            break;
        memset(&e, 0xff, sizeof e); /* what was sent is a copy */
    }
    return 0;
}

static long receives(void *arg)
{
    struct end *c = arg;
    struct traffic *s = c->s;
    long last[SENDERS];
    struct element e;
    int rc;

    for (int i = 0; i < SENDERS; i++)
        last[i] = -1;
    while ((rc = weft_chan_recv(&s->c, &e)) == 0) {
        if (e.square != e.number * e.number) {
            atomic_fetch_add(&s->torn, 1);
            continue;
        }
        if (last[e.number / s->each] >= e.number)
            atomic_fetch_add(&s->unordered, 1);
        last[e.number / s->each] = e.number;
        atomic_fetch_add(&s->seen[e.number], 1);
        atomic_fetch_add(&s->got, 1);
    }
    return t_equal(rc, -EPIPE) ? 0 : -EPROTO;
}

static long flow(void *arg)
{
    struct traffic *s = arg;
    struct end p[SENDERS], c[RECEIVERS];
    weft_group senders, receivers;

    weft_with_group(&receivers) {
        for (int i = 0; i < RECEIVERS; i++) {
            c[i] = (struct end){s, i};
            t_equal(weft_spawn(&receivers, receives, &c[i]), 0);
        }
        weft_with_group(&senders)
            for (int i = 0; i < SENDERS; i++) {
                p[i] = (struct end){s, i};
                t_equal(weft_spawn(&senders, sends, &p[i]), 0);
            }
        weft_chan_close(&s->c);
    }
    return weft_group_wait(&receivers);
}

static void all_arrive_once(void **state, size_t cap)
{
    static struct traffic s;
    long n;

    memset(&s, 0, sizeof s);
    s.each = t_scale(40000);
    n = s.each * SENDERS;
    s.seen = calloc((size_t)n, 1);
    assert_non_null(s.seen);
    assert_int_equal(
        weft_chan_init(&s.c, cap ? s.buf : NULL, sizeof(struct element), cap),
        0);
    assert_int_equal(t_run(t_workers(state), flow, &s), 0);
    for (long i = 0; i < n; i++)
        assert_int_equal(atomic_load(&s.seen[i]), 1);
    free(s.seen);
    assert_int_equal(atomic_load(&s.got), n);
    assert_int_equal(atomic_load(&s.torn), 0);
    assert_int_equal(atomic_load(&s.unordered), 0);
}

static void elements_arrive_whole_once_and_in_order(void **state)
{
    all_arrive_once(state, 8);
}

static void without_a_buffer_too(void **state)
{
    all_arrive_once(state, 0);
}

/* ---- waiting ------------------------------------------------------------ */

struct user {
    weft_chan *c;
    struct element e;
    atomic_int rc;
};

static long sends_one(void *arg)
{
    struct user *u = arg;

    atomic_store(&u->rc, weft_chan_send(u->c, &u->e));
    return 0;
}

static long receives_one(void *arg)
{
    struct user *u = arg;

    atomic_store(&u->rc, weft_chan_recv(u->c, &u->e));
    return 0;
}

static long bounded(void *arg)
{
    struct element buf[2], e = {0};
    weft_chan c;
    struct user u = {&c, element(3), 1}, dropped = {&c, element(9), 1};
    weft_group g;
    weft_task *t;

    (void)arg;
    t_equal(weft_chan_init(&c, buf, sizeof e, 2), 0);
    t_equal(weft_chan_tryrecv(&c, &e), -EAGAIN);
    for (long i = 1; i <= 2; i++) {
        e = element(i);
        t_equal(weft_chan_send(&c, &e), 0);
    }
    t_equal(weft_chan_trysend(&c, &e), -EAGAIN);
    t_equal(weft_chan_len(&c), 2);
    weft_with_timeout(2 * WEFT_MS)
        t_equal(weft_chan_send(&c, &e), -ETIMEDOUT);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, sends_one, &dropped, &t), 0);
        t_check(t_wait_waiting("channel send", 1));
        t_equal(weft_spawn(&g, sends_one, &u), 0);
        t_check(t_wait_waiting("channel send", 2));
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_await(t), 0);
        t_equal(atomic_load(&dropped.rc), -ECANCELED);
        for (long i = 1; i <= 3; i++) {
            t_equal(weft_chan_recv(&c, &e), 0);
            t_equal(e.number, i);
            t_equal(e.square, i * i);
        }
    }
    t_equal(atomic_load(&u.rc), 0);
    t_equal(weft_chan_tryrecv(&c, &e), -EAGAIN);
    return 0;
}

static void a_full_channel_holds_senders_back_and_a_cancelled_one_sends_nothing(
    void **state)
{
    assert_int_equal(t_run(t_workers(state), bounded, NULL), 0);
}

static long meets(void *arg)
{
    weft_chan c;
    struct user u[3] = {
        {&c, element(1), 1}, {&c, element(2), 1}, {&c, element(3), 1}};
    struct element e;
    weft_group g;
    weft_task *t;

    (void)arg;
    t_equal(weft_chan_init(&c, NULL, sizeof e, 0), 0);
    t_equal(weft_chan_trysend(&c, &e), -EAGAIN);
    t_equal(weft_chan_tryrecv(&c, &e), -EAGAIN);
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, sends_one, &u[0], &t), 0);
        t_check(t_wait_waiting("channel send", 1));
        t_equal(weft_chan_len(&c), 0);
        t_equal(weft_spawn(&g, sends_one, &u[1]), 0);
        t_check(t_wait_waiting("channel send", 2));
        t_equal(atomic_load(&u[0].rc), 1); /* not before it is received */
        t_equal(weft_task_cancel(t), 0);
        t_equal(weft_chan_recv(&c, &e), 0);
        t_equal(e.number, 2);
        t_equal(weft_await(t), 0);
        t_equal(atomic_load(&u[0].rc), -ECANCELED);
        t_equal(weft_spawn(&g, receives_one, &u[2]), 0);
        t_check(t_wait_waiting("channel receive", 1));
        e = element(7);
        t_equal(weft_chan_trysend(&c, &e), 0);
    }
    t_equal(atomic_load(&u[1].rc), 0);
    t_equal(atomic_load(&u[2].rc), 0);
    t_equal(u[2].e.square, 49);
    return 0;
}

static void without_a_buffer_a_send_waits_for_its_receive(void **state)
{
    assert_int_equal(t_run(t_workers(state), meets, NULL), 0);
}

/* ---- races -------------------------------------------------------------- */

struct balance {
    weft_chan c;
    long buf[4];
    atomic_long sent, received, sum_in, sum_out;
    long rounds;
};

static long sends_hastily(void *arg)
{
    struct balance *b = arg;

    for (long i = 1; i <= b->rounds; i++)
        weft_with_timeout((i % 5) * 20 * WEFT_US)
            if (weft_chan_send(&b->c, &i) == 0) {
                atomic_fetch_add(&b->sent, 1);
                atomic_fetch_add(&b->sum_in, i);
            }
    return 0;
}

static long receives_hastily(void *arg)
{
    struct balance *b = arg;

    for (long i = 0; i < b->rounds; i++) {
        long x = -1;

        weft_with_timeout((i % 3) * 30 * WEFT_US) {
            if (weft_chan_recv(&b->c, &x) == 0) {
                atomic_fetch_add(&b->received, 1);
                atomic_fetch_add(&b->sum_out, x);
            } else {
                t_equal(x, -1); /* nothing was taken */
            }
        }
    }
    return 0;
}

static long balance(void *arg)
{
    struct balance *b = arg;
    weft_group g;
    long x;

    weft_with_group(&g)
        for (int i = 0; i < 4; i++) {
            t_equal(weft_spawn(&g, sends_hastily, b), 0);
            t_equal(weft_spawn(&g, receives_hastily, b), 0);
        }
    t_equal(atomic_load(&b->sent) - atomic_load(&b->received),
            weft_chan_len(&b->c));
    while (weft_chan_tryrecv(&b->c, &x) == 0)
        atomic_fetch_add(&b->sum_out, x);
    t_equal(atomic_load(&b->sum_in), atomic_load(&b->sum_out));
    return weft_group_wait(&g);
}

static void keeps_balance(void **state, size_t cap)
{
    static struct balance b;

    memset(&b, 0, sizeof b);
    b.rounds = t_scale(4000);
    assert_int_equal(
        weft_chan_init(&b.c, cap ? b.buf : NULL, sizeof(long), cap), 0);
    assert_int_equal(t_run(t_workers(state), balance, &b), 0);
    assert_true(atomic_load(&b.received) > 0 || T_SANITIZED);
}

static void timeouts_neither_lose_nor_add_elements(void **state)
{
    keeps_balance(state, 4);
}

static void nor_without_a_buffer(void **state)
{
    keeps_balance(state, 0);
}

/* ---- closing ------------------------------------------------------------ */

static long closes(void *arg)
{
    long buf[2], x = 1;
    weft_chan c;
    struct user u[3] = {
        {&c, element(1), 1}, {&c, element(2), 1}, {&c, element(3), 1}};
    weft_group g;

    (void)arg;
    /* Full: the sender is refused, receivers drain. */
    t_equal(weft_chan_init(&c, buf, sizeof x, 2), 0);
    t_equal(weft_chan_send(&c, &x), 0);
    x = 2;
    t_equal(weft_chan_send(&c, &x), 0);
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, sends_one, &u[0]), 0);
        t_check(t_wait_waiting("channel send", 1));
        weft_chan_close(&c);
    }
    t_equal(atomic_load(&u[0].rc), -EPIPE);
    t_equal(weft_chan_send(&c, &x), -EPIPE);
    t_equal(weft_chan_trysend(&c, &x), -EPIPE);
    t_equal(weft_chan_recv(&c, &x), 0);
    t_equal(x, 1);
    t_equal(weft_chan_tryrecv(&c, &x), 0);
    t_equal(x, 2);
    t_equal(weft_chan_recv(&c, &x), -EPIPE);
    t_equal(weft_chan_tryrecv(&c, &x), -EPIPE);
    weft_chan_close(&c);

    /* Empty: all receivers are told. */
    t_equal(weft_chan_init(&c, NULL, sizeof u[0].e, 0), 0);
    weft_with_group(&g) {
        for (int i = 0; i < 3; i++)
            t_equal(weft_spawn(&g, receives_one, &u[i]), 0);
        t_check(t_wait_waiting("channel receive", 3));
        weft_chan_close(&c);
    }
    for (int i = 0; i < 3; i++)
        t_equal(atomic_load(&u[i].rc), -EPIPE);
    return 0;
}

static void after_close_receivers_drain_and_senders_are_refused(void **state)
{
    assert_int_equal(t_run(t_workers(state), closes, NULL), 0);
}

/* ---- the edges ---------------------------------------------------------- */

static long tokens(void *arg)
{
    weft_chan c;

    (void)arg;
    t_equal(weft_chan_init(&c, NULL, 0, 3), 0);
    for (int i = 0; i < 3; i++)
        t_equal(weft_chan_trysend(&c, NULL), 0);
    t_equal(weft_chan_trysend(&c, NULL), -EAGAIN);
    for (int i = 0; i < 3; i++)
        t_equal(weft_chan_recv(&c, NULL), 0);
    t_equal(weft_chan_tryrecv(&c, NULL), -EAGAIN);
    return 0;
}

static void elements_of_no_bytes_are_counted(void **state)
{
    assert_int_equal(t_run(t_workers(state), tokens, NULL), 0);
}

static void a_foreign_thread_may_try_but_not_wait(void **state)
{
    weft_chan c;
    int buf[2], x = 5;

    (void)state;
    assert_int_equal(weft_chan_init(&c, NULL, sizeof x, 2), -EINVAL);
    assert_int_equal(weft_chan_init(&c, buf, sizeof x, 0), -EINVAL);
    assert_int_equal(weft_chan_init(&c, buf, sizeof x, 2), 0);
    assert_int_equal(weft_chan_send(&c, &x), -EPERM);
    assert_int_equal(weft_chan_trysend(&c, &x), 0);
    assert_int_equal(weft_chan_recv(&c, &x), -EPERM);
    x = 0;
    assert_int_equal(weft_chan_tryrecv(&c, &x), 0);
    assert_int_equal(x, 5);
    weft_chan_close(&c);
    assert_int_equal(weft_chan_tryrecv(&c, &x), -EPIPE);
}

/* ---- in a select ----------------------------------------------------------- */

static long switched_off(void *arg)
{
    struct weft_case c[2] = {{WEFT_NONE, -1, NULL, NULL, 0, 7},
                             WEFT_CASE_TIME(1)};

    (void)arg;
    for (int i = 0; i < 50; i++)
        t_equal(weft_select(c, 2), 1);
    t_equal(c[0].ret, 7);
    t_equal(weft_tryselect(c, 1), -EAGAIN);
    weft_with_timeout(2 * WEFT_MS)
        t_equal(weft_select(c, 1), -ETIMEDOUT);
    c[1].when = weft_now() + 2 * WEFT_MS;
    t_equal(weft_select(c, 2), 1);
    return 0;
}

static void a_case_that_is_switched_off_never_wins(void **state)
{
    assert_int_equal(t_run(t_workers(state), switched_off, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    T_EACH(a_case_that_is_switched_off_never_wins),
    T_EACH(elements_arrive_whole_once_and_in_order),
    T_EACH(without_a_buffer_too),
    T_EACH(a_full_channel_holds_senders_back_and_a_cancelled_one_sends_nothing),
    T_EACH(without_a_buffer_a_send_waits_for_its_receive),
    T_EACH(timeouts_neither_lose_nor_add_elements),
    T_EACH(nor_without_a_buffer),
    T_EACH(after_close_receivers_drain_and_senders_are_refused),
    T_EACH(elements_of_no_bytes_are_counted),
    cmocka_unit_test(a_foreign_thread_may_try_but_not_wait),
};

T_MAIN(tests)
