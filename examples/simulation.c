/* SPDX-License-Identifier: MIT */
/* simulation.c - a server and its clients on a network that breaks, for some
 * hundreds of seeds in a second: docs/simulation.md. asyncio has none.
 *
 * Clients pay into an account. A payment that is not answered is sent again, so
 * the server must count each number once, however often it comes. With --bug it
 * looks first and counts later: two copies of a payment, one of them sent again
 * while the other was on its way to the disk, are both counted. No test that
 * waits for this to happen ever sees it; a few seeds in a hundred do.
 *
 *     simulation [--bug]         all seeds, up to the first that is wrong
 *     simulation [--bug] SEED    one, and what happened in it
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>
#include <weft/sim.h>

#define BANK "10.0.0.2:700"
#define SEEDS 300
#define CLIENTS 3
#define PAYMENTS 4 /* of each */
#define ALL (CLIENTS * PAYMENTS)
#define DISK (20 * WEFT_MS)

struct bank {
    weft_listener *listener;
    weft_mutex lock;
    bool counted[ALL];
    long total;
};

static bool with_bug;

/* ---- the server ---------------------------------------------------------- */

static long count_locked(struct bank *b, int payment)
{
    b->counted[payment] = true;
    b->total++;
    weft_sim_note("bank: payment %d makes %ld", payment, b->total);
    return 0;
}

static bool is_counted(struct bank *b, int payment)
{
    bool yes = true;

    weft_with_mutex(&b->lock)
        yes = b->counted[payment];
    return yes;
}

static long count_wrongly(struct bank *b, int payment)
{
    long rc;

    if (is_counted(b, payment))
        return 0;
    rc = weft_sleep(DISK);
    if (rc < 0)
        return rc;
    weft_with_mutex(&b->lock)
        rc = count_locked(b, payment);
    return rc;
}

static long count(struct bank *b, int payment)
{
    long rc = weft_mutex_lock(&b->lock);

    if (rc < 0)
        return rc;
    if (!b->counted[payment])
        rc = weft_sleep(DISK);
    if (!rc && !b->counted[payment])
        rc = count_locked(b, payment);
    weft_mutex_unlock(&b->lock);
    return rc;
}

static long teller(weft_stream *s, void *arg)
{
    struct bank *b = arg;
    char line[32];
    ssize_t n;

    while ((n = weft_readline(s, line, sizeof line)) > 0) {
        int payment = atoi(line);
        long rc;

        if (line[n - 1] != '\n' || payment < 0 || payment >= ALL)
            return 0; /* cut off */
        rc = with_bug ? count_wrongly(b, payment) : count(b, payment);
        if (rc < 0 || weft_write(s, "ok\n", 3) < 0)
            return 0; /* the client will come again */
    }
    return 0;
}

static long open_bank(void *arg)
{
    struct bank *b = arg;

    return weft_serve(b->listener, teller, b);
}

/* ---- the clients --------------------------------------------------------- */

/* One try. */
static long pay(void *arg)
{
    const int *payment = arg;
    weft_stream *s = NULL;
    char text[32];
    int n = snprintf(text, sizeof text, "%d\n", *payment);
    long rc = 0;

    weft_with_timeout(200 * WEFT_MS) {
        rc = weft_connect(&s, BANK);
        if (!rc)
            rc = weft_write(s, text, (size_t)n);
        if (rc > 0)
            rc = weft_readline(s, text, sizeof text);
    }
    weft_close(s);
    weft_sim_note("bank: payment %d: %s", *payment,
                  rc < 0    ? weft_strerror(rc)
                  : rc == 3 ? "ok"
                            : "cut off");
    return rc < 0 ? rc : rc == 3 ? 0 : -ECONNRESET;
}

static long pays(void *arg)
{
    const struct weft_retry_options patient = {
        .attempts = 100, .delay = 10 * WEFT_MS, .max_delay = WEFT_SEC};
    int first = *(const int *)arg * PAYMENTS;
    long rc = 0;

    for (int i = first; i < first + PAYMENTS && !rc; i++)
        rc = weft_retry(pay, &i, &patient);
    return rc;
}

/* Somebody stumbles over a cable. */
static long stumbles(void *arg)
{
    (void)arg;
    (void)weft_sleep((int64_t)(weft_sim_random() % (300 * WEFT_MS)));
    weft_sim_note("bank: cannot be reached");
    return weft_sim_cut("10.0.0.2", 2 * WEFT_SEC);
}

/* ---- the program and its seeds ------------------------------------------- */

static long program(void *arg)
{
    int numbers[CLIENTS];
    struct bank *b = arg;
    weft_group all, clients;
    weft_task *server = NULL;
    long rc = weft_listen(&b->listener, BANK);

    if (rc < 0)
        return rc;
    weft_with_group(&all) {
        rc = weft_spawn_task(&all, open_bank, b, &server);
        weft_with_group(&clients) {
            for (int i = 0; i < CLIENTS && !rc; i++) {
                numbers[i] = i;
                rc = weft_spawn(&clients, pays, &numbers[i]);
            }
            if (!rc)
                rc = weft_spawn(&clients, stumbles, NULL);
        }
        if (!rc)
            rc = weft_group_wait(&clients);
        if (server)
            weft_task_cancel(server);
    }
    weft_listener_close(b->listener);
    return rc;
}

static void print_notes(const char *line, void *arg)
{
    (void)arg;
    if (strstr(line, "bank: "))
        puts(line);
}

static bool is_right(uint64_t seed, weft_sim_trace_fn *trace)
{
    struct weft_sim_result result;
    struct weft_sim_options opts = {
        .resets = 150, .refusals = 10, .trace = trace, .result = &result};
    struct bank b = {0};
    long rc = weft_sim_run(program, &b, seed, &opts);

    if (!rc && b.total == ALL && !result.left_tasks && !result.left_fds)
        return true;
    printf("seed %llu: %d payments, %ld counted: %s\n",
           (unsigned long long)seed, ALL, b.total,
           rc < 0 ? weft_strerror(rc) : "wrong");
    return false;
}

int main(int argc, char **argv)
{
    uint64_t seed = 0;

    with_bug = argc > 1 && !strcmp(argv[1], "--bug");
    if (argc > 1 + with_bug)
        return !is_right(strtoull(argv[1 + with_bug], NULL, 10), print_notes);
    while (seed < SEEDS && is_right(seed, NULL))
        seed++;
    printf("%llu seeds right\n", (unsigned long long)seed);
    return seed < SEEDS;
}
