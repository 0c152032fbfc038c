/* SPDX-License-Identifier: MIT */
/* Datagrams: peers, lengths, refusals, several tasks. */
#include "net/pairs.h"

static void address_of(const weft_udp *u, weft_address *a)
{
    char text[32];

    snprintf(text, sizeof text, "127.0.0.1:%d", weft_udp_port(u));
    t_equal(weft_resolve(text, a, 1), 1);
}

/* Opens a server at any port and a client that has it as its peer. */
static bool open_two(weft_udp *u[2])
{
    char text[32];

    u[0] = u[1] = NULL;
    if (!t_equal(weft_udp_open(&u[0], "127.0.0.1:0", NULL), 0))
        return false;
    t_check(weft_udp_port(u[0]) > 0 && weft_udp_fd(u[0]) >= 0);
    snprintf(text, sizeof text, "127.0.0.1:%d", weft_udp_port(u[0]));
    return t_equal(weft_udp_open(&u[1], NULL, text), 0);
}

static void close_two(weft_udp *u[2])
{
    weft_udp_close(u[0]);
    weft_udp_close(u[1]);
}

static long exchange(void *arg)
{
    int before = t_fds();
    weft_udp *u[2];
    weft_address from, client;
    char buf[64], a[64], b[64];

    (void)arg;
    weft_udp_close(NULL);
    if (!open_two(u))
        return 0;
    address_of(u[1], &client);
    t_equal(weft_udp_send(u[0], "x", 1, NULL), -EDESTADDRREQ);
    t_equal(weft_udp_send(u[1], "question", 8, NULL), 8);
    t_equal(weft_udp_recv(u[0], buf, sizeof buf, &from), 8);
    t_check(memcmp(buf, "question", 8) == 0);
    t_equal(weft_address_format(&from, a, sizeof a), 0);
    t_equal(weft_address_format(&client, b, sizeof b), 0);
    t_check(strcmp(a, b) == 0);
    t_equal(weft_udp_send(u[0], "answer", 6, &from), 6);
    t_equal(weft_udp_recv(u[1], buf, sizeof buf, NULL), 6);
    /* Borders are kept, and nothing is a datagram too. */
    t_equal(weft_udp_send(u[1], "one", 3, NULL), 3);
    t_equal(weft_udp_send(u[1], NULL, 0, NULL), 0);
    t_equal(weft_udp_send(u[1], "three", 5, NULL), 5);
    t_equal(weft_udp_recv(u[0], buf, sizeof buf, NULL), 3);
    t_equal(weft_udp_recv(u[0], buf, sizeof buf, NULL), 0);
    t_equal(weft_udp_recv(u[0], buf, 4, NULL), -EMSGSIZE);
    t_check(memcmp(buf, "thre", 4) == 0);
    t_equal(weft_udp_send(u[1], "exact", 5, NULL), 5);
    t_equal(weft_udp_recv(u[0], buf, 5, NULL), 5);
    close_two(u);
    t_equal(t_fds(), before);
    return 0;
}

static void datagrams_keep_their_borders(void **state)
{
    assert_int_equal(t_run(t_workers(state), exchange, NULL), 0);
}

static long refusals(void *arg)
{
    static char big[70000];
    int before = t_fds();
    weft_udp *u[2], *v;
    weft_address client;
    char buf[8], text[32];

    (void)arg;
    t_equal(weft_udp_open(&v, "unix:/x", NULL), -EINVAL);
    t_equal(weft_udp_open(&v, "nonsense", NULL), -EINVAL);
    t_equal(weft_udp_open(&v, NULL, "nonsense"), -EINVAL);
    t_equal(weft_udp_open(&v, "127.0.0.1:0", "[::1]:5"), -EAFNOSUPPORT);
    if (!open_two(u))
        return 0;
    snprintf(text, sizeof text, "127.0.0.1:%d", weft_udp_port(u[0]));
    t_equal(weft_udp_open(&v, text, NULL), -EADDRINUSE);
    t_equal(weft_udp_send(u[1], big, sizeof big, NULL), -EMSGSIZE);
    weft_with_timeout(2 * WEFT_MS)
        t_equal(weft_udp_recv(u[1], buf, 8, NULL), -ETIMEDOUT);
    /* What comes from others than the peer is not seen. */
    t_equal(weft_udp_open(&v, NULL, NULL), 0);
    address_of(u[1], &client);
    t_equal(weft_udp_send(v, "spoof", 5, &client), 5);
    weft_with_timeout(2 * WEFT_MS)
        t_equal(weft_udp_recv(u[1], buf, 8, NULL), -ETIMEDOUT);
    weft_udp_close(v);
    /* Nobody there any more: the kernel says so at the next call. */
    weft_udp_close(u[0]);
    t_equal(weft_udp_send(u[1], "x", 1, NULL), 1);
    t_equal(weft_udp_recv(u[1], buf, 8, NULL), -ECONNREFUSED);
    weft_udp_close(u[1]);
    t_equal(t_fds(), before);
    return 0;
}

static void what_cannot_be_is_an_error(void **state)
{
    assert_int_equal(t_run(t_workers(state), refusals, NULL), 0);
}

static long v6(void *arg)
{
    weft_udp *u[2];
    char text[32], buf[8];
    int rc = weft_udp_open(&u[0], "[::1]:0", NULL);

    (void)arg;
    if (rc < 0) /* no IPv6 here */
        return 0;
    snprintf(text, sizeof text, "[::1]:%d", weft_udp_port(u[0]));
    if (t_equal(weft_udp_open(&u[1], "[::1]:0", text), 0)) {
        t_equal(weft_udp_send(u[1], "six", 3, NULL), 3);
        t_equal(weft_udp_recv(u[0], buf, 8, NULL), 3);
    }
    close_two(u);
    return 0;
}

static void both_families(void **state)
{
    assert_int_equal(t_run(t_workers(state), v6, NULL), 0);
}

/* ---- several tasks ------------------------------------------------------ */

struct receiver {
    weft_udp *u;
    atomic_long rc;
    atomic_int done;
};

static long receives(void *arg)
{
    struct receiver *r = arg;
    char c;

    atomic_store(&r->rc, weft_udp_recv(r->u, &c, 1, NULL));
    atomic_store(&r->done, 1);
    return 0;
}

static long two_at_once(void *arg)
{
    struct receiver r = {0};
    weft_udp *u[2];
    weft_group g;
    char c;

    (void)arg;
    if (!open_two(u))
        return 0;
    r.u = u[0];
    weft_with_group(&g) {
        t_equal(weft_spawn(&g, receives, &r), 0);
        t_check(t_wait_waiting("read", 1));
        t_equal(weft_udp_recv(u[0], &c, 1, NULL), -EBUSY);
        weft_udp_close(u[0]);
        t_check(t_wait_for(&r.done, 1));
    }
    t_equal(atomic_load(&r.rc), -EBADF);
    weft_udp_close(u[1]);
    return 0;
}

static void one_receiver_and_closing_wakes_it(void **state)
{
    assert_int_equal(t_run(t_workers(state), two_at_once, NULL), 0);
}

#define CLIENTS 8

struct client {
    weft_udp *server;
    int id, asked, answered;
};

static long echoes(void *arg)
{
    weft_udp *u = arg;
    weft_address from;
    char buf[64];
    ssize_t n;

    while ((n = weft_udp_recv(u, buf, sizeof buf, &from)) >= 0)
        if ((n = weft_udp_send(u, buf, (size_t)n, &from)) < 0)
            break;
    return n;
}

/* Asks again if an answer is lost, as datagrams may be. */
static long asks(void *arg)
{
    struct client *c = arg;
    char text[32], buf[64];
    weft_udp *u;

    snprintf(text, sizeof text, "127.0.0.1:%d", weft_udp_port(c->server));
    if (!t_equal(weft_udp_open(&u, NULL, text), 0))
        return 0;
    for (int i = 0; i < c->asked; i++) {
        int n = snprintf(text, sizeof text, "%d of %d", i, c->id);
        bool ok = false;

        for (int tries = 0; tries < 20 && !ok; tries++) {
            ssize_t got = 0;

            t_equal(weft_udp_send(u, text, (size_t)n, NULL), n);
            weft_with_timeout(500 * WEFT_MS)
                got = weft_udp_recv(u, buf, sizeof buf, NULL);
            ok = got == n && memcmp(buf, text, (size_t)n) == 0;
        }
        c->answered += ok;
    }
    weft_udp_close(u);
    return 0;
}

static long serve_many(void *arg)
{
    struct client c[CLIENTS] = {{0}};
    weft_group servers, clients;
    weft_udp *u;

    (void)arg;
    if (!t_equal(weft_udp_open(&u, "127.0.0.1:0", NULL), 0))
        return 0;
    weft_with_group(&servers) {
        t_equal(weft_spawn(&servers, echoes, u), 0);
        weft_with_group(&clients) {
            for (int i = 0; i < CLIENTS; i++) {
                c[i] = (struct client){
                    .server = u, .id = i, .asked = (int)t_scale(300)};
                t_equal(weft_spawn(&clients, asks, &c[i]), 0);
            }
        }
        weft_group_cancel(&servers);
    }
    for (int i = 0; i < CLIENTS; i++)
        t_equal(c[i].answered, c[i].asked);
    weft_udp_close(u);
    return 0;
}

static void a_server_answers_many(void **state)
{
    assert_int_equal(t_run(t_workers(state), serve_many, NULL), 0);
}

/* Closing hits who is inside at any place of its call. */
static long close_anywhere(void *arg)
{
    int before = t_fds();
    long rounds = t_scale(500);

    (void)arg;
    for (long i = 0; i < rounds; i++) {
        struct receiver r = {0};
        weft_group g;

        if (!t_equal(weft_udp_open(&r.u, NULL, NULL), 0))
            break;
        weft_with_group(&g) {
            t_equal(weft_spawn(&g, receives, &r), 0);
            if (i % 4 == 0)
                while (!t_waiting("read"))
                    (void)weft_yield();
            else if (i % 4 == 1)
                (void)weft_yield();
            else
                t_spin(i % 50 * WEFT_US);
            if (i % 4 == 0)
                weft_udp_close(r.u);
            else
                weft_group_cancel(&g);
        }
        if (i % 4 == 0)
            t_equal(atomic_load(&r.rc), -EBADF);
        else
            weft_udp_close(r.u);
    }
    t_equal(t_fds(), before);
    return 0;
}

static void closing_and_cancelling_anywhere(void **state)
{
    assert_int_equal(t_run(t_workers(state), close_anywhere, NULL), 0);
}

static void a_thread_that_is_no_task_is_refused(void **state)
{
    weft_udp *u;

    (void)state;
    assert_int_equal(weft_udp_open(&u, NULL, NULL), -EPERM);
}

static const struct CMUnitTest tests[] = {
    T_REAL_EACH(datagrams_keep_their_borders),
    T_REAL_EACH(what_cannot_be_is_an_error),
    T_EACH(both_families),
    T_EACH(one_receiver_and_closing_wakes_it),
    T_EACH(a_server_answers_many),
    T_EACH(closing_and_cancelling_anywhere),
    cmocka_unit_test(a_thread_that_is_no_task_is_refused),
};

T_MAIN(tests)
