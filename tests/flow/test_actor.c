/* SPDX-License-Identifier: MIT */
/* Actors: order, back-pressure, asking, and what becomes of messages when an
 * actor ends. */
#include "support/cases.h"

struct counter {
    weft_actor *a;
    atomic_int handled, dropped, started, stopped, inside;
    atomic_int unordered, seen;
    long last[8];
    weft_event gate;    /* handlers wait here if `gated` */
    bool gated;
    long fails_at;      /* the message that makes the handler fail */
    int start_error;
};

static int starts(void **state, void *arg)
{
    struct counter *c = arg;

    *state = c;
    atomic_fetch_add(&c->started, 1);
    return c->start_error;
}

static void stops(void *state, void *arg)
{
    struct counter *c = arg;

    t_check(state == arg);
    t_equal(weft_sleep(0), 0); /* under a shield */
    atomic_fetch_add(&c->stopped, 1);
}

static void drops(void *message, void *arg)
{
    struct counter *c = arg;

    t_check(message != NULL);
    atomic_fetch_add(&c->dropped, 1);
}

/* A message is sender * 100000 + number, both from 1 or so. */
static long handles(void *state, void *message)
{
    struct counter *c = state;
    long m = (long)(intptr_t)message, rc = 0;
    int sender = (int)(m / 100000);

    t_equal(atomic_fetch_add(&c->inside, 1), 0);
    atomic_fetch_add(&c->seen, 1);
    if (c->gated)
        rc = weft_event_wait(&c->gate);
    else if (m % 8 == 0)
        rc = weft_yield();
    if (sender < 8) {
        if (c->last[sender] >= m)
            atomic_fetch_add(&c->unordered, 1);
        c->last[sender] = m;
    }
    atomic_fetch_sub(&c->inside, 1);
    if (m == c->fails_at)
        return -EIO;
    if (rc == 0)
        atomic_fetch_add(&c->handled, 1);
    return rc < 0 ? rc : 2 * m;
}

static struct weft_actor_options options(struct counter *c, size_t mailbox)
{
    memset(c, 0, sizeof *c);
    return (struct weft_actor_options){.mailbox = mailbox, .on_start = starts,
                                       .on_stop = stops, .drop = drops,
                                       .arg = c};
}

static void *msg(long sender, long number)
{
    return (void *)(intptr_t)(sender * 100000 + number);
}

/* ---- sending ------------------------------------------------------------- */

struct sender {
    struct counter *c;
    long number, count;
    atomic_int sent, rc;
};

static long sends(void *arg)
{
    struct sender *s = arg;
    int rc = 0;

    for (long i = 1; i <= s->count && rc == 0; i++)
        if ((rc = weft_actor_send(s->c->a, msg(s->number, i))) == 0)
            atomic_fetch_add(&s->sent, 1);
    atomic_store(&s->rc, rc);
    return 0;
}

static void in_order(size_t mailbox)
{
    struct counter c;
    struct weft_actor_options o = options(&c, mailbox);
    struct sender s[4];
    weft_group g, senders;

    weft_with_group(&g) {
        t_equal(weft_actor_open(&c.a, &g, handles, &o), 0);
        weft_with_group(&senders)
            for (int i = 0; i < 4; i++) {
                s[i] = (struct sender){.c = &c, .number = i, .count = 1000};
                t_equal(weft_spawn(&senders, sends, &s[i]), 0);
            }
        weft_actor_stop(c.a);
        t_equal(weft_actor_send(c.a, msg(1, 1)), -ESHUTDOWN);
        t_equal(weft_actor_trysend(c.a, msg(1, 1)), -ESHUTDOWN);
        t_equal(weft_actor_ask(c.a, msg(1, 1)), -ESHUTDOWN);
    }
    t_equal(weft_group_wait(&g), 0);
    t_equal(c.handled, 4000);
    t_equal(c.unordered, 0);
    t_equal(c.dropped, 0);
    t_equal(c.started, 1);
    t_equal(c.stopped, 1);
    weft_actor_close(c.a);
}

static long many(void *arg)
{
    (void)arg;
    in_order(0);
    in_order(1);
    in_order(16);
    return 0;
}

static void thousand_messages_of_each_sender_are_handled_in_order(void **state)
{
    t_run(t_workers(state), many, NULL);
}

static long full(void *arg)
{
    struct counter c;
    struct weft_actor_options o = options(&c, 3);
    struct sender s = {.c = &c, .number = 1, .count = 6};
    weft_group g;

    (void)arg;
    c.gated = true;
    weft_with_group(&g) {
        t_equal(weft_actor_open(&c.a, &g, handles, &o), 0);
        t_equal(weft_spawn(&g, sends, &s), 0);
        t_check(t_wait_waiting("actor send", 1));
        t_check(t_wait_for(&c.seen, 1));
        t_check(t_wait_waiting("actor send", 1));
        t_equal(s.sent, 4); /* one in hand, three in the mailbox */
        t_equal(weft_actor_pending(c.a), 3);
        t_equal(weft_actor_trysend(c.a, msg(2, 1)), -EAGAIN);
        weft_event_set(&c.gate);
        t_check(t_wait_for(&s.sent, 6));
        weft_actor_close(c.a);
    }
    t_equal(c.handled, 6);
    return 0;
}

static void a_full_mailbox_holds_the_sender_up(void **state)
{
    t_run(t_workers(state), full, NULL);
}

struct self {
    weft_actor *a;
    atomic_long send, ask;
};

static long calls_itself(void *state, void *message)
{
    struct self *s = state;

    if (!message)
        return 0;
    t_equal(weft_actor_send(s->a, NULL), 0);
    s->send = weft_actor_send(s->a, NULL);
    s->ask = weft_actor_ask(s->a, NULL);
    weft_actor_stop(s->a);
    return 0;
}

static long itself(void *arg)
{
    struct self s = {0};
    struct weft_actor_options o = {.mailbox = 1, .arg = &s};
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_actor_open(&s.a, &g, calls_itself, &o), 0);
        t_equal(weft_actor_send(s.a, &s), 0);
    }
    t_equal(s.send, -EDEADLK);
    t_equal(s.ask, -EDEADLK);
    weft_actor_close(s.a);
    return 0;
}

static long doubles(void *state, void *message)
{
    (void)state;
    return 2 * *(long *)message;
}

static void an_actor_cannot_wait_for_itself(void **state)
{
    t_run(t_workers(state), itself, NULL);
}

static long tells_name(void *state, void *message)
{
    (void)message;
    return strcmp(weft_task_name(weft_self()), state) == 0;
}

static long named(void *arg)
{
    struct weft_actor_options o = {.name = "clerk", .arg = "clerk"};
    weft_actor *a, *b;
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_actor_open(&a, &g, tells_name, &o), 0);
        o = (struct weft_actor_options){.arg = "tells_name"};
        t_equal(weft_actor_open(&b, &g, tells_name, &o), 0);
        t_equal(weft_actor_ask(a, NULL), 1);
        t_equal(weft_actor_ask(b, NULL), 1);
        weft_actor_close(a);
        weft_actor_close(b);
    }
    return 0;
}

static void its_task_bears_its_name_or_the_handlers(void **state)
{
    t_run(t_workers(state), named, NULL);
}

/* ---- asking -------------------------------------------------------------- */

struct asker {
    weft_actor *a;
    long message, reply;
    atomic_int *ready;
};

static long asks(void *arg)
{
    struct asker *k = arg;
    long own = k->message;

    k->reply = weft_actor_ask(k->a, &own);
    own = -1;
    return 0;
}

static long hundred(void *arg)
{
    struct asker k[100];
    struct weft_actor_options o = {.mailbox = (size_t)(intptr_t)arg};
    weft_actor *a;
    weft_group g, askers;

    weft_with_group(&g) {
        t_equal(weft_actor_open(&a, &g, doubles, &o), 0);
        for (int r = 0; r < 10; r++) {
            weft_with_group(&askers)
                for (int i = 0; i < 100; i++) {
                    k[i] = (struct asker){.a = a, .message = i};
                    t_equal(weft_spawn(&askers, asks, &k[i]), 0);
                }
            for (int i = 0; i < 100; i++)
                t_equal(k[i].reply, 2 * i);
        }
        weft_actor_close(a);
    }
    return 0;
}

static void hundred_tasks_that_ask_get_their_own_replies(void **state)
{
    t_run(t_workers(state), hundred, (void *)0);
    t_run(t_workers(state), hundred, (void *)5);
}

static long gated_ask(void *state, void *message)
{
    struct counter *c = state;

    atomic_fetch_add(&c->seen, 1);
    weft_with_shield()
        t_equal(weft_event_wait(&c->gate), 0);
    atomic_fetch_add(&c->handled, 1);
    return 2 * *(long *)message;
}

static long cancelled_askers(void *arg)
{
    struct counter c;
    struct weft_actor_options o = options(&c, 0);
    struct asker k[3];
    weft_task *t[3];
    weft_group g;

    (void)arg;
    weft_with_group(&g) {
        t_equal(weft_actor_open(&c.a, &g, gated_ask, &o), 0);
        for (int i = 0; i < 3; i++) {
            k[i] = (struct asker){.a = c.a, .message = i + 1};
            t_equal(weft_spawn_task(&g, asks, &k[i], &t[i]), 0);
            t_check(t_wait_waiting("ask", i + 1));
        }
        t_check(t_wait_for(&c.seen, 1));
        t_equal(weft_task_cancel(t[0]), 0); /* in the handler */
        t_equal(weft_task_cancel(t[1]), 0); /* in the mailbox */
        t_check(t_wait_waiting("answer", 1));
        while (!weft_task_done(t[1]))
            t_equal(weft_sleep(WEFT_MS), 0);
        t_equal(weft_task_done(t[0]), 0);
        weft_event_set(&c.gate);
        weft_actor_close(c.a);
    }
    t_equal(k[0].reply, 2); /* it waited for the answer */
    t_equal(k[1].reply, -ECANCELED);
    t_equal(k[2].reply, 6);
    t_equal(c.handled, 2); /* the second was taken out */
    t_equal(c.dropped, 0);
    return 0;
}

static void a_cancelled_askers_message_is_withdrawn_or_answered(void **state)
{
    t_run(t_workers(state), cancelled_askers, NULL);
}

struct hasty {
    struct counter *c;
    int number;
    atomic_int answered;
};

static long slow_double(void *state, void *message)
{
    struct counter *c = state;
    long m = *(long *)message;

    t_check(m > 0);
    atomic_fetch_add(&c->handled, 1);
    if (m % 3 == 0)
        weft_with_shield()
            t_equal(weft_sleep(50000), 0);
    t_equal(*(long *)message, m); /* its frame is still there */
    return 2 * m;
}

static long asks_hastily(void *arg)
{
    struct hasty *h = arg;

    for (int i = 1, n = (int)t_scale(200); i <= n; i++) {
        long own = i, rc = 0;

        weft_with_timeout((i * 7919 + h->number * 104729) % 200000 + 1)
            rc = weft_actor_ask(h->c->a, &own);
        own = -1;
        if (rc == 2 * i)
            atomic_fetch_add(&h->answered, 1);
        else
            t_equal(rc, -ETIMEDOUT);
    }
    return 0;
}

static long hasty_askers(void *arg)
{
    struct counter c;
    struct weft_actor_options o = options(&c, (size_t)(intptr_t)arg);
    struct hasty h[8];
    int answered = 0;
    weft_group g, askers;

    weft_with_group(&g) {
        t_equal(weft_actor_open(&c.a, &g, slow_double, &o), 0);
        weft_with_group(&askers)
            for (int i = 0; i < 8; i++) {
                h[i] = (struct hasty){&c, i, 0};
                t_equal(weft_spawn(&askers, asks_hastily, &h[i]), 0);
            }
        weft_actor_close(c.a);
    }
    for (int i = 0; i < 8; i++)
        answered += h[i].answered;
    t_equal(answered, c.handled); /* each or neither */
    return 0;
}

static void a_message_is_answered_if_and_only_if_it_was_handled(void **state)
{
    t_run(t_workers(state), hasty_askers, (void *)0);
    t_run(t_workers(state), hasty_askers, (void *)2);
}

/* ---- ends ---------------------------------------------------------------- */

static long fails(void *arg)
{
    struct counter c;
    struct weft_actor_options o = options(&c, 0);
    struct asker k[2];
    weft_group g, askers;

    (void)arg;
    c.fails_at = 5;
    c.gated = true;
    weft_with_group(&askers) {
        weft_with_group(&g) {
            t_equal(weft_actor_open(&c.a, &g, handles, &o), 0);
            for (long i = 1; i <= 10; i++)
                t_equal(weft_actor_send(c.a, msg(0, i)), 0);
            k[0] = (struct asker){.a = c.a};
            t_equal(weft_spawn(&askers, asks, &k[0]), 0);
            t_check(t_wait_waiting("ask", 1));
            weft_event_set(&c.gate);
            /* The block is cancelled by the failure. */
            t_equal(weft_sleep(10 * WEFT_SEC), -ECANCELED);
        }
        t_equal(weft_group_wait(&g), -EIO);
    }
    t_equal(k[0].reply, -ESHUTDOWN);
    t_equal(c.handled, 4);
    t_equal(c.dropped, 5);
    t_equal(c.stopped, 1);
    t_equal(weft_actor_send(c.a, msg(0, 1)), -ESHUTDOWN);
    weft_actor_close(c.a);
    return 0;
}

static void a_failure_is_the_groups_and_the_rest_is_dropped(void **state)
{
    t_run(t_workers(state), fails, NULL);
}

static long asker_sees_error(void *arg)
{
    struct counter c;
    struct weft_actor_options o = options(&c, 0);
    weft_group g;

    (void)arg;
    c.fails_at = 5;
    weft_with_group(&g) {
        t_equal(weft_actor_open(&c.a, &g, handles, &o), 0);
        t_equal(weft_actor_ask(c.a, msg(0, 4)), 8);
        weft_with_shield()
            t_equal(weft_actor_ask(c.a, msg(0, 5)), -EIO);
    }
    t_equal(weft_group_wait(&g), -EIO);
    t_equal(c.dropped, 0);
    weft_actor_close(c.a);
    return 0;
}

static void who_asked_gets_the_handlers_error(void **state)
{
    t_run(t_workers(state), asker_sees_error, NULL);
}

static long cancelled_group(void *arg)
{
    struct counter c;
    struct weft_actor_options o = options(&c, 4);
    struct sender s = {.c = &c, .number = 1, .count = 1000};
    weft_group g, senders;

    (void)arg;
    c.gated = true;
    weft_with_group(&senders) {
        weft_with_group(&g) {
            t_equal(weft_actor_open(&c.a, &g, handles, &o), 0);
            t_equal(weft_spawn(&senders, sends, &s), 0);
            t_check(t_wait_for(&c.seen, 1));
            t_check(t_wait_waiting("actor send", 1));
            weft_group_cancel(&g);
        }
        t_equal(weft_group_wait(&g), -ECANCELED);
    }
    t_equal(s.rc, -ESHUTDOWN);
    t_equal(s.sent, 5);
    t_equal(c.handled, 0); /* its wait was cancelled: lost */
    t_equal(c.dropped, 4);
    t_equal(c.stopped, 1);
    weft_actor_close(c.a);
    return 0;
}

static void a_cancelled_group_ends_it_and_frees_the_senders(void **state)
{
    t_run(t_workers(state), cancelled_group, NULL);
}

static long never_started(void *arg)
{
    struct counter c;
    struct weft_actor_options o = options(&c, 4);
    struct sender s = {.c = &c, .number = 1, .count = 1000};
    weft_group g, senders;
    weft_actor *late;

    (void)arg;
    weft_with_group(&senders) {
        weft_with_group(&g) {
            t_equal(weft_actor_open(&c.a, &g, handles, &o), 0);
            t_equal(weft_actor_trysend(c.a, msg(1, 0)), 0);
            t_equal(weft_spawn(&senders, sends, &s), 0);
            weft_group_cancel(&g);
            t_equal(weft_actor_open(&late, &g, handles, &o), -ECANCELED);
            t_check(late == NULL);
        }
    }
    t_equal(s.rc, -ESHUTDOWN);
    /* One that was handled may have been cancelled in that: lost. */
    t_equal(c.seen + c.dropped, s.sent + 1);
    t_equal(c.started, c.stopped);
    weft_actor_close(c.a);
    return 0;
}

static void one_cancelled_before_its_turn_cleans_up_too(void **state)
{
    t_run(t_workers(state), never_started, NULL);
}

static long bad_start(void *arg)
{
    struct counter c;
    struct weft_actor_options o = options(&c, 4);
    weft_group g;

    (void)arg;
    c.start_error = -ENODEV;
    weft_with_group(&g) {
        t_equal(weft_actor_open(&c.a, &g, handles, &o), 0);
        t_check(weft_actor_trysend(c.a, msg(1, 1)) <= 0);
        t_equal(weft_sleep(10 * WEFT_SEC), -ECANCELED);
    }
    t_equal(weft_group_wait(&g), -ENODEV);
    t_equal(c.handled, 0);
    t_equal(c.stopped, 0);
    weft_actor_close(c.a);
    return 0;
}

static void a_start_that_fails_is_a_failure(void **state)
{
    t_run(t_workers(state), bad_start, NULL);
}

static long foreign(void *arg)
{
    struct counter *c = arg;
    struct weft_actor_options o = options(c, 2);
    weft_group g;

    weft_with_group(&g) {
        t_equal(weft_actor_open(&c->a, &g, handles, &o), 0);
        t_equal(weft_actor_ask(c->a, msg(1, 1)), 200002);
        weft_actor_stop(c->a);
    }
    return 0;
}

static void without_a_task_there_is_no_waiting(void **state)
{
    struct counter c;

    t_run(t_workers(state), foreign, &c);
    assert_int_equal(weft_actor_send(c.a, msg(1, 1)), -EPERM);
    assert_int_equal(weft_actor_ask(c.a, msg(1, 1)), -EPERM);
    assert_int_equal(weft_actor_trysend(c.a, msg(1, 1)), -ESHUTDOWN);
    assert_int_equal(weft_actor_pending(c.a), 0);
    weft_actor_close(c.a);
    weft_actor_close(NULL);
}

static const struct CMUnitTest tests[] = {
    T_EACH(thousand_messages_of_each_sender_are_handled_in_order),
    T_EACH(a_full_mailbox_holds_the_sender_up),
    T_EACH(an_actor_cannot_wait_for_itself),
    T_EACH(its_task_bears_its_name_or_the_handlers),
    T_EACH(hundred_tasks_that_ask_get_their_own_replies),
    T_EACH(a_cancelled_askers_message_is_withdrawn_or_answered),
    T_EACH(a_message_is_answered_if_and_only_if_it_was_handled),
    T_EACH(a_failure_is_the_groups_and_the_rest_is_dropped),
    T_EACH(who_asked_gets_the_handlers_error),
    T_EACH(a_cancelled_group_ends_it_and_frees_the_senders),
    T_EACH(one_cancelled_before_its_turn_cleans_up_too),
    T_EACH(a_start_that_fails_is_a_failure),
    T_EACH(without_a_task_there_is_no_waiting),
};

T_MAIN(tests)
