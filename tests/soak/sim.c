/* SPDX-License-Identifier: MIT */
/* The mix under seeds: a few players of a few scenarios each, in a simulation
 * of which the seed decides all, the network's faults too. */
#include "checks.h"

#include <stdio.h>
#include <stdlib.h>

#define PLAYERS 8
#define STEPS 6
#define AGAIN 50 /* one in so many is run twice, and must be the same */
#define ENOUGH 5 /* failures */

/* Of a run: some ten thousand are usual, and less than a virtual minute. */
#define STEP_LIMIT 50000000
#define TIME_LIMIT (1000 * WEFT_SEC)

struct mix {
    struct player first;
    struct player players[PLAYERS];
};

static long plays(void *arg)
{
    struct player *p = arg;

    play(p, 1 + dice(p, STEPS));
    return 0;
}

static long runs_mix(void *arg)
{
    struct mix *m = arg;
    uint32_t n = 4 + dice(&m->first, PLAYERS - 3);
    weft_group services, g;

    weft_with_group(&services) {
        for (size_t i = 0; i < n_parts; i++)
            if (parts[i]->open)
                parts[i]->open(&services);
        weft_with_group(&g)
            for (uint32_t i = 0; i < n; i++) {
                m->players[i] = young(&m->first);
                m->players[i].depth = 0;
                check(weft_spawn(&g, plays, &m->players[i]) == 0);
            }
        check(weft_group_wait(&g) == 0);
        for (size_t i = n_parts; i--;)
            if (parts[i]->close)
                parts[i]->close();
    }
    check(weft_group_wait(&services) == 0);
    /* Nobody's tasks have a little more time: the close would cancel them. */
    for (int i = 0; i < 1000 && !even(false); i++)
        check(weft_sleep(WEFT_MS) == 0);
    return 0;
}

static void show(const char *line, void *arg)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

/* Half of the seeds have a calm network. */
static void set_network(struct weft_sim_options *o, uint64_t seed)
{
    unsigned kind = (unsigned)(seed % 6);

    if (kind == 3 || kind == 5)
        o->resets = 20;
    if (kind == 4 || kind == 5)
        o->partitions = 20;
    if (kind == 5)
        o->refusals = 4;
    if (kind >= 3)
        o->losses = 4;
    soak_rough = kind >= 3;
}

static struct weft_sim_result run_seed(uint64_t seed)
{
    static struct mix m;
    struct weft_options ro = soak_options(0);
    struct weft_sim_result r = {0};
    struct weft_sim_options o = {.runtime = &ro,
                                 .step_limit = STEP_LIMIT,
                                 .time_limit = TIME_LIMIT,
                                 .result = &r};
    const char *trace = getenv("WEFT_SIM_TRACE");
    long rc;

    if (trace && *trace != '0')
        o.trace = show;
    ro.slow_task = -1;
    set_network(&o, seed);
    m = (struct mix){.first = {.random = seed}};
    rc = weft_sim_run(runs_mix, &m, seed, &o);
    check_rc(rc == 0, rc);
    check_rc(r.left_tasks == 0, r.left_tasks);
    check_rc(r.left_fds == 0, r.left_fds);
    check(even(true));
    return r;
}

bool sim_runs(uint64_t from, uint64_t count, const char *command)
{
    int64_t time = 0;
    uint64_t ran = 0, steps = 0;
    int bad = 0;

    for (uint64_t seed = from; ran < count && bad < ENOUGH; seed++, ran++) {
        struct weft_sim_result r = run_seed(seed);

        if (seed % AGAIN == 0) {
            struct weft_sim_result again = run_seed(seed);

            check(again.hash == r.hash && again.steps == r.steps);
        }
        time += r.time;
        steps += r.steps;
        if (!failures())
            continue;
        bad++;
        fprintf(stderr, "FAILED: seed %llu; WEFT_SIM_TRACE=1 %s %llu 1\n",
                (unsigned long long)seed, command, (unsigned long long)seed);
        forget();
    }
    printf("simulation: %llu seeds, %lu scenarios, %llu steps, %lld ms,"
           " %d failed\n",
           (unsigned long long)ran, scenarios_done(),
           (unsigned long long)steps, (long long)(time / WEFT_MS), bad);
    return bad == 0;
}
