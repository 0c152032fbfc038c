/* SPDX-License-Identifier: MIT */
/* Clients that are turned away, under seeds: a simulated socket takes a part of
 * a 503 now and then, and then nobody may take that for the answer. */
#include "support/cases.h"

#include <weft/sim.h>

#include "cache.h"
#include "session.h"

#define ADDRESS "10.0.0.2:80"
#define SEEDS 200
#define CLIENTS 8

struct world {
    struct server srv;
    unsigned long long seed;
    unsigned told, reset, torn, left;
};

/* What came up to an orderly end. */
static void judge(struct world *w, const char *s)
{
    const char *end = strstr(s, "\r\n\r\n");

    if (!*s) {
        w->left++;
    } else if (strncmp(s, "HTTP/1.1 503 ", 13) != 0 || !end || end[4] ||
               !strstr(s, "\r\nContent-Length: 0\r\n")) {
        print_error("seed %llu: '%s'\n", w->seed, s);
        w->torn++;
    } else {
        w->told++;
    }
}

/* Comes, says nothing, and reads what it is told. */
static long client(void *arg)
{
    struct world *w = arg;
    char s[1024];
    size_t n = 0;
    weft_stream *stream;
    ssize_t rc;

    (void)weft_sleep((int64_t)(weft_sim_random() % (50 * WEFT_MS)));
    rc = weft_connect(&stream, ADDRESS);
    if (rc < 0) { /* reset already */
        t_equal(rc, -ECONNRESET);
        w->reset++;
        return 0;
    }
    do {
        rc = weft_read(stream, s + n, sizeof s - 1 - n);
        n += rc > 0 ? (size_t)rc : 0;
    } while (rc > 0);
    s[n] = '\0';
    if (rc < 0) {
        t_equal(rc, -ECONNRESET);
        w->reset++;
    } else {
        judge(w, s);
    }
    weft_close(stream);
    return 0;
}

static long program(void *arg)
{
    struct world *w = arg;
    weft_task *acceptor;
    weft_group g = {0}, clients = {0};

    if (!t_equal(weft_listen(&w->srv.listener, ADDRESS), 0))
        return -1;
    weft_with_group(&g) {
        t_equal(weft_spawn_task(&g, hd_accept_task, &w->srv, &acceptor), 0);
        weft_with_group(&clients)
            for (int i = 0; i < CLIENTS; i++)
                t_equal(weft_spawn(&clients, client, w), 0);
        weft_task_cancel(acceptor);
    }
    weft_listener_close(w->srv.listener);
    store_seq_cst(&w->srv.stopping, true);
    hd_conns_wake(&w->srv);
    t_equal(hd_conns_wait(&w->srv), 0);
    return 0;
}

/* In every other run one is let in, until the next makes it go; else nobody. */
static void run(struct world *w, unsigned long long seed)
{
    struct weft_sim_result r;
    struct weft_sim_options o = {.time_limit = 600 * WEFT_SEC, .result = &r};
    struct server *srv = &w->srv;

    memset(srv, 0, sizeof *srv);
    list_init(&srv->fresh);
    list_init(&srv->conns);
    w->seed = seed;
    srv->room = 1000;
    srv->set = (struct settings){
        .max_conns = seed % 2,
        .max_head = 8192,
        .head_timeout = 10 * WEFT_SEC,
        .send_timeout = 10 * WEFT_SEC,
    };
    assert_int_equal(weft_sim_run(program, w, seed, &o), 0);
    assert_int_equal(r.left_tasks + r.left_fds, 0);
    assert_int_equal(srv->nconns + srv->nrefused, 0);
}

static void a_part_of_a_503_never_looks_whole(void **state)
{
    unsigned n = (unsigned)t_scale(SEEDS);
    struct world w = {0};

    (void)state;
    for (unsigned seed = 0; seed < n; seed++)
        run(&w, seed);
    t_verdict();
    print_message("%u told, %u reset, %u without a word\n", w.told, w.reset,
                  w.left);
    assert_int_equal(w.torn, 0);
    assert_true(w.told > n && w.reset > n / 4);
    assert_true(w.left <= n); /* whoever was let in and did not ask */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_of_a_503_never_looks_whole),
    };

    return t_main(__FILE__, tests, T_LEN(tests));
}
