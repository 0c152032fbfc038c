/* SPDX-License-Identifier: MIT */
/* The HTTP server and its clients under seeds: every answer is complete, right
 * and in order, or its connection broke; time-outs come in time; a stop ends
 * all; and a run can be repeated.
 *
 * WEFT_SIM_SEEDS="FROM COUNT" runs other seeds than the first; WEFT_SIM_TRACE=1
 * prints their traces. */
#include "visit.h"

#include "cache.h"
#include "gzip.h"
#include "log.h"
#include "path.h"

#define SEEDS 1000
#define TWICE 50 /* one seed in so many runs twice */
#define CLIENTS 6

/* ---- the server ---------------------------------------------------------- */

/* As the server's main does when it is told to. */
static void stop(struct world *w)
{
    struct server *srv = &w->srv;
    int64_t begun = weft_now(), took;
    int rc = 0;

    w->cut_off = begun + srv->set.grace;
    weft_task_cancel(w->acceptor);
    (void)weft_await(w->acceptor);
    weft_listener_close(srv->listener);
    store_seq_cst(&srv->stopping, true);
    hd_conns_wake(srv);
    weft_with_timeout(srv->set.grace)
        rc = hd_conns_wait(srv);
    took = weft_now() - begun;
    if (w->faults || (!rc && (w->early || took <= 2 * SLACK)))
        return;
    print_error("seed %llu: the stop gave %d after %lld ms, %u left\n",
                (unsigned long long)w->seed, rc, (long long)(took / WEFT_MS),
                srv->nconns);
    w->wrong++;
}

static long stopper(void *arg)
{
    (void)weft_sleep((int64_t)draw(20 * WEFT_SEC >> draw(12)));
    stop(arg);
    return 0;
}

/* The server cannot be reached for a while, again and again. */
static long cutter(void *arg)
{
    for (uint64_t n = draw(6); n; n--) {
        (void)weft_sleep((int64_t)draw(WEFT_SEC));
        (void)weft_sim_cut("10.0.0.2", (int64_t)draw(8 * WEFT_SEC));
    }
    (void)arg;
    return 0;
}

static long talk(struct world *w, struct client *clients, unsigned n)
{
    weft_group g = {0};
    long rc = 0;

    weft_with_group(&g) {
        for (unsigned i = 0; i < n && !rc; i++) {
            clients[i].w = w;
            clients[i].id = i;
            rc = weft_spawn(&g, client, &clients[i]);
        }
        if (!rc && w->early)
            rc = weft_spawn(&g, stopper, w);
        if (!rc && w->faults && draw(2))
            rc = weft_spawn(&g, cutter, w);
    }
    return rc ? rc : weft_group_wait(&g);
}

static long program(void *arg)
{
    unsigned n = 1 + (unsigned)draw(CLIENTS);
    struct client *clients = calloc(n, sizeof *clients);
    struct world *w = arg;
    struct server *srv = &w->srv;
    weft_task *logger = NULL;
    weft_group g = {0};
    long rc = clients ? weft_listen(&srv->listener, ADDRESS) : -ENOMEM;

    if (rc < 0)
        return rc;
    weft_with_group(&g) {
        if (srv->log)
            rc = weft_spawn_task(&g, hd_log_task, srv->log, &logger);
        if (!rc)
            rc = weft_spawn_task(&g, hd_accept_task, srv, &w->acceptor);
        if (!rc)
            rc = talk(w, clients, n);
        if (!rc && !w->early)
            stop(w);
        if (logger)
            weft_task_cancel(logger);
    }
    free(clients);
    return rc;
}

/* ---- seeds --------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    return x ^ x >> 32;
}

/* What differs between seeds beyond what the simulation draws. */
static void choose(struct world *w, struct weft_sim_options *o)
{
    uint64_t x = mix(w->seed + 1);
    struct settings *set = &w->srv.set;

    w->faults = x % 8 >= 5;
    if (w->faults && x % 8 != 5)
        o->resets = 10 + (unsigned)(x >> 8) % 200;
    if (w->faults && x % 8 != 6)
        o->partitions = 10 + (unsigned)(x >> 16) % 200;
    if (w->faults && x % 8 == 7)
        o->refusals = 2 + (unsigned)(x >> 24) % 8;
    w->early = (x >> 32) % 4 == 0;
    w->few = (x >> 34) % 8 == 0;
    w->small = (x >> 37) % 4 == 0;
    w->crowded = (x >> 39) % 8 == 0;
    *set = (struct settings){
        .root = root,
        .gzip = (x >> 42) % 2 ? 1 : 0,
        .inline_gzip = (x >> 43) % 2,
        .access_log = (x >> 44) % 2 ? log_path : NULL,
        .stats = true,
        .max_headers = 64,
        .max_conns = w->few ? 2 : 1000,
        .max_work = w->small ? 1 : 128,
        .cache_files = (x >> 45) % 4 ? 4096 : (unsigned)((x >> 47) % 32),
        .cache_bytes = 1 << 20,
        .max_head = 8192,
        .max_body = 1 << 20,
        .gzip_max = 4 << 20,
        .head_timeout = 10 * WEFT_SEC,
        .body_timeout = 20 * WEFT_SEC,
        .idle_timeout = 90 * WEFT_SEC, /* longer than the grace */
        .send_timeout = 15 * WEFT_SEC,
        .grace = 60 * WEFT_SEC,
    };
    w->srv.room = w->crowded ? 2 : 1000;
}

static bool open_server(struct server *srv)
{
    list_init(&srv->fresh);
    list_init(&srv->conns);
    srv->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (srv->root < 0 || hd_cache_open(&srv->cache, srv) < 0)
        return false;
    (void)unlink(log_path);
    return !srv->set.access_log ||
           hd_log_open(&srv->log, srv->set.access_log) == 0;
}

static void close_server(struct server *srv)
{
    hd_log_close(srv->log);
    hd_cache_close(srv->cache);
    hd_gzip_close();
    hd_spares_close();
    close(srv->root);
}

/* Lines of the access log; a request each. */
static uint64_t logged(void)
{
    FILE *f = fopen(log_path, "r");
    uint64_t n = 0;

    for (int ch; f && (ch = getc(f)) != EOF;)
        n += ch == '\n';
    if (f)
        fclose(f);
    return n;
}

static void print_line(const char *line, void *arg)
{
    (void)arg;
    puts(line);
}

/* False: it went wrong. */
static bool run_seed(uint64_t seed, struct weft_sim_result *r,
                     unsigned *answers)
{
    struct world w = {.seed = seed};
    struct weft_sim_options o = {.time_limit = 7200 * WEFT_SEC, .result = r};
    struct server *srv = &w.srv;
    bool right;
    long rc;

    choose(&w, &o);
    if (getenv("WEFT_SIM_TRACE"))
        o.trace = print_line;
    assert_true(open_server(srv));
    rc = weft_sim_run(program, &w, seed, &o);
    close_server(srv);
    right = rc == 0 && !w.wrong && !r->left_tasks && !r->left_fds &&
            !srv->nconns && !srv->nrefused && !srv->working &&
            (!srv->log || w.few || logged() == srv->requests);
    if (!right)
        print_error("seed %llu:%s%s%s%s%s %ld, %u wrong, %d tasks, %d sockets "
                    "and %u, %u, %u connections left; %llu logged of %llu\n",
                    (unsigned long long)seed, w.faults ? " faults" : "",
                    w.early ? " early" : "", w.few ? " few" : "",
                    w.small ? " small" : "", w.crowded ? " crowded" : "", rc,
                    w.wrong, r->left_tasks, r->left_fds, srv->nconns,
                    srv->nrefused, srv->working, (unsigned long long)logged(),
                    (unsigned long long)srv->requests);
    *answers += w.answers;
    return right;
}

static void test_seeds(void **state)
{
    unsigned long long from = 0, count = (unsigned long long)t_scale(SEEDS);
    const char *given = getenv("WEFT_SIM_SEEDS");
    unsigned answers = 0, wrong_seeds = 0;

    (void)state;
    if (given)
        assert_int_equal(sscanf(given, "%llu %llu", &from, &count), 2);
    for (uint64_t seed = from; seed < from + count; seed++) {
        struct weft_sim_result r, again;
        unsigned same = 0;

        wrong_seeds += !run_seed(seed, &r, &answers);
        if (seed % TWICE)
            continue;
        wrong_seeds += !run_seed(seed, &again, &same);
        assert_true(r.hash == again.hash && r.steps == again.steps);
    }
    print_message("%u answers\n", answers);
    assert_int_equal(wrong_seeds, 0);
    assert_true(given || answers > count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_seeds, make_tree, remove_tree),
    };

    return t_main(__FILE__, tests, T_LEN(tests));
}
