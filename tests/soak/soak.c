/* SPDX-License-Identifier: MIT */
/* weft-soak: a random mix of everything in weft, for as long as one likes. See
 * tools/soak and soak.h.
 *
 * Time goes in rounds. In each, players run scenarios of their choice side by
 * side; then the mix drains, and at that quiet point every account must be even
 * and memory, descriptors, threads and mappings are measured. What a seed
 * brings back is each player's sequence of choices, not the kernel's. */
#include "checks.h"

#include <getopt.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLAYERS 24
#define CROWD 250
#define DEEP 24576 /* bytes of stack that nothing here exceeds */
#define STALL (30 * WEFT_SEC)

struct part *const parts[] = {
    &part_tasks, &part_sync, &part_work, &part_net, &part_outside,
};
const size_t n_parts = LEN(parts);

static struct {
    int64_t seconds;
    uint64_t seed;
    unsigned workers;
    const char *only; /* scenarios whose names begin so; NULL: all */
    bool judge_memory;
    uint64_t sim, sims; /* the first of so many seeds of simulations */
    int64_t began;
    unsigned long weight; /* of all scenarios that take part */
    weft_runtime *rt;
    atomic_ulong peak; /* tasks at a time, since it was told */
} soak = {.seconds = 60, .workers = 4, .judge_memory = true};

/* ---- players ------------------------------------------------------------ */

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

uint32_t dice(struct player *p, uint32_t sides)
{
    return (uint32_t)((draw(&p->random) >> 32) * sides >> 32);
}

bool one_in(struct player *p, uint32_t n)
{
    return dice(p, n) == 0;
}

int64_t moment(struct player *p, uint32_t most)
{
    return dice(p, most) * WEFT_US;
}

struct player young(struct player *p)
{
    return (struct player){draw(&p->random), p->depth + 1, p->guest};
}

int linger(struct player *p)
{
    switch (dice(p, 3)) {
    case 0:
        return weft_check();
    case 1:
        return weft_yield();
    default:
        return weft_sleep(moment(p, 200));
    }
}

static bool takes_part(const struct scenario *s)
{
    if (soak.sims && s->flags & REAL)
        return false;
    return !soak.only || strncmp(s->name, soak.only, strlen(soak.only)) == 0;
}

static struct scenario *choose(struct player *p)
{
    uint32_t at = dice(p, (uint32_t)soak.weight);

    for (size_t i = 0; i < LEN(parts); i++)
        for (size_t k = 0; k < parts[i]->n; k++) {
            struct scenario *s = &parts[i]->scenarios[k];

            if (!takes_part(s))
                continue;
            if (at < s->weight)
                return s;
            at -= s->weight;
        }
    return NULL;
}

static void step(struct player *p)
{
    struct scenario *s = choose(p);

    if (!s || (p->guest && s->flags & HOME) ||
        (p->depth >= 2 && s->flags & NESTS)) {
        linger(p);
        return;
    }
    /* A dump then says what each player was at. */
    (void)weft_task_set_name(s->name);
    weft_sim_note("%s", s->name);
    switch (dice(p, 8)) {
    case 0:
        weft_with_timeout(moment(p, 2000))
            s->run(p);
        break;
    case 1:
        weft_with_shield()
            s->run(p);
        break;
    default:
        s->run(p);
    }
    atomic_fetch_add(&s->done, 1);
}

void play(struct player *p, unsigned steps)
{
    while (steps-- && weft_check() == 0)
        step(p);
}

/* Runs in whatever thread. */
static void on_unhandled(const struct weft_error *e, void *arg)
{
    (void)arg;
    if (e->code != ON_PURPOSE)
        fprintf(stderr, "unhandled in %s, spawned at %s: %s\n", e->task,
                e->site, e->message);
    check_rc(e->code == ON_PURPOSE, e->code);
}

struct weft_options soak_options(unsigned workers)
{
    return (struct weft_options){
        .workers = workers,
        .executor_threads = 2,
        .blocking_keepalive = 100 * WEFT_MS,
        .slow_task = 10 * WEFT_SEC, /* a loaded machine is no fault */
        .grace = STALL,
        .on_unhandled = on_unhandled,
        .pin = WEFT_PIN_OFF,
    };
}

/* ---- rounds ------------------------------------------------------------- */

static int64_t round_end;

static long sleeps(void *arg)
{
    volatile char deep[DEEP];

    for (size_t i = 0; i < sizeof deep; i += 1024)
        deep[i] = 1;
    return weft_sleep_until(*(int64_t *)arg);
}

/* More tasks at a time than the mix ever has, and deeper stacks: caches are as
 * large at every quiet point as they will get. */
static void crowd(void)
{
    int64_t until = weft_now() + 20 * WEFT_MS;
    weft_group g;

    weft_with_group(&g)
        for (int i = 0; i < CROWD; i++)
            check(weft_spawn(&g, sleeps, &until) == 0);
    check(weft_group_wait(&g) == 0);
}

static long plays(void *arg)
{
    struct player p = *(struct player *)arg;

    while (weft_now() < round_end)
        step(&p);
    return 0;
}

static long round_runs(void *arg)
{
    static struct player players[PLAYERS];
    uint64_t random = soak.seed + 1000003 * atomic_load(&rounds);
    weft_group services, g;

    (void)arg;
    weft_with_group(&services) {
        for (size_t i = 0; i < LEN(parts); i++)
            if (parts[i]->open)
                parts[i]->open(&services);
        crowd();
        weft_with_group(&g)
            for (int i = 0; i < PLAYERS; i++) {
                players[i] = (struct player){draw(&random), 0, false};
                check(weft_spawn(&g, plays, &players[i]) == 0);
            }
        check(weft_group_wait(&g) == 0);
        for (size_t i = LEN(parts); i--;)
            if (parts[i]->close)
                parts[i]->close();
    }
    check(weft_group_wait(&services) == 0);
    return 0;
}

static bool drained(void)
{
    struct weft_stats st;

    return weft_runtime_stats(soak.rt, &st) == 0 && even(false) &&
           st.tasks_spawned == st.tasks_ended && st.blocking_threads == 0;
}

static void drain(void)
{
    int64_t until = weft_now() + 5 * WEFT_SEC;
    struct weft_stats st = {0};

    while (!drained() && weft_now() < until)
        usleep(5000);
    check(even(true));
    check(weft_runtime_stats(soak.rt, &st) == 0);
    check_rc(st.tasks_spawned == st.tasks_ended,
             (long)(st.tasks_spawned - st.tasks_ended));
    check(waitpid(-1, NULL, WNOHANG) == -1 && weft_errno() == ECHILD);
    if (failures())
        weft_tasks_dump(soak.rt, 2);
}

/* Names begin with their kind; neighbours of a table share it. */
static void tell_kinds(void)
{
    for (size_t i = 0; i < LEN(parts); i++)
        for (size_t k = 0; k < parts[i]->n;) {
            const struct scenario *s = &parts[i]->scenarios[k];
            size_t kind = strcspn(s->name, ".");
            unsigned long n = 0;

            for (; k < parts[i]->n &&
                   !strncmp(parts[i]->scenarios[k].name, s->name, kind + 1);
                 k++)
                n += atomic_load(&parts[i]->scenarios[k].done);
            printf(" %.*s %lu", (int)kind, s->name, n);
        }
}

static void tell_round(void)
{
    printf("%5lld s ", (long long)((weft_now() - soak.began) / WEFT_SEC));
    tell_kinds();
    printf(" | tasks %lu rss %.1f MB fds %ld threads %ld maps %ld\n",
           atomic_exchange(&soak.peak, 0), (double)measured(RSS) / 1024,
           measured(FDS), measured(THREADS_NOW), measured(MAPPINGS));
    fflush(stdout);
}

/* ---- watchdog ----------------------------------------------------------- */

static pthread_mutex_t guest_lock = PTHREAD_MUTEX_INITIALIZER;
static weft_runtime *guest;
static atomic_bool over;

void soak_guest(weft_runtime *rt)
{
    pthread_mutex_lock(&guest_lock);
    guest = rt;
    pthread_mutex_unlock(&guest_lock);
}

unsigned long scenarios_done(void)
{
    unsigned long n = 0;

    for (size_t i = 0; i < LEN(parts); i++)
        for (size_t k = 0; k < parts[i]->n; k++)
            n += atomic_load(&parts[i]->scenarios[k].done);
    return n;
}

static unsigned long progress(void)
{
    return scenarios_done() + atomic_load(&rounds);
}

static void stalled(void)
{
    fprintf(stderr, "FAILED: nothing advances, seed %llu, round %lu\n",
            (unsigned long long)soak.seed, atomic_load(&rounds));
    weft_tasks_dump(soak.rt, 2);
    pthread_mutex_lock(&guest_lock);
    if (guest) {
        fprintf(stderr, "the guest:\n");
        weft_tasks_dump(guest, 2);
    }
    even(true);
    abort();
}

/* Also the thread that takes the signals. */
static void *watches(void *arg)
{
    unsigned long before = 0, now;
    int64_t since = weft_now();
    struct weft_stats st;

    pthread_sigmask(SIG_UNBLOCK, arg, NULL);
    while (!atomic_load(&over)) {
        usleep(20000);
        /* The two are not of one instant. */
        if (weft_runtime_stats(soak.rt, &st) == 0 &&
            st.tasks_spawned > st.tasks_ended + atomic_load(&soak.peak))
            atomic_store(&soak.peak, st.tasks_spawned - st.tasks_ended);
        now = progress();
        if (now != before)
            since = weft_now();
        before = now;
        if (weft_now() - since > STALL)
            stalled();
    }
    return NULL;
}

/* ---- main --------------------------------------------------------------- */

static void run(void)
{
    int64_t all = soak.seconds * WEFT_SEC, length = all / 20;
    int64_t warm = all / 10, now;
    bool judged = false; /* an early point was measured */

    if (length > 5 * WEFT_SEC)
        length = 5 * WEFT_SEC;
    soak.began = weft_now();
    while (weft_now() - soak.began < all && !failures()) {
        round_end = weft_now() + length;
        check(weft_runtime_call(soak.rt, round_runs, NULL) == 0);
        drain();
        now = weft_now() - soak.began;
        measure(now > warm && (!judged || now <= warm + (all - warm) / 3));
        judged = judged || now > warm;
        tell_round();
        atomic_fetch_add(&rounds, 1);
    }
}

static void tell_all(void)
{
    for (size_t i = 0; i < LEN(parts); i++)
        for (size_t k = 0; k < parts[i]->n; k++)
            printf("  %-18s %10lu\n", parts[i]->scenarios[k].name,
                   atomic_load(&parts[i]->scenarios[k].done));
    tell_accounts();
}

static bool options(int argc, char **argv)
{
    static const struct option names[] = {{"seconds", 1, NULL, 't'},
                                          {"minutes", 1, NULL, 'm'},
                                          {"seed", 1, NULL, 's'},
                                          {"workers", 1, NULL, 'w'},
                                          {"only", 1, NULL, 'o'},
                                          {"no-memory", 0, NULL, 'n'},
                                          {"sim", 1, NULL, 'S'},
                                          {0}};
    int c;

    soak.seed = (uint64_t)weft_now() % 1000000007;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (c == 't')
            soak.seconds = atoll(optarg);
        else if (c == 'm')
            soak.seconds = 60 * atoll(optarg);
        else if (c == 's')
            soak.seed = strtoull(optarg, NULL, 0);
        else if (c == 'w')
            soak.workers = (unsigned)atoi(optarg);
        else if (c == 'o')
            soak.only = optarg;
        else if (c == 'n')
            soak.judge_memory = false;
        else if (c == 'S' && optind < argc &&
                 (soak.sims = strtoull(argv[optind], NULL, 0)) > 0)
            soak.sim = strtoull(optarg, NULL, 0), optind++;
        else
            return false;
    }
    for (size_t i = 0; i < LEN(parts); i++)
        for (size_t k = 0; k < parts[i]->n; k++)
            if (takes_part(&parts[i]->scenarios[k]))
                soak.weight += parts[i]->scenarios[k].weight;
    if (soak.seconds < 10)
        soak.judge_memory = false; /* it is still warming up */
    return optind == argc && soak.seconds > 0 && soak.weight > 0;
}

static int simulate(const char *program)
{
    char command[256];
    bool ok;

    snprintf(command, sizeof command, "%s%s%s --sim", program,
             soak.only ? " --only " : "", soak.only ? soak.only : "");
    ok = sim_runs(soak.sim, soak.sims, command);
    tell_all();
    return ok ? 0 : 1;
}

/* libc keeps stacks of threads that have ended, of any sizes, up to a sum: so
 * many mappings come and go. It listens only at the start of a program. */
static void keep_no_stacks(char **argv)
{
    static const char name[] = "GLIBC_TUNABLES";

    if (!getenv(name) &&
        setenv(name, "glibc.pthread.stack_cache_size=0", 1) == 0)
        execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
    struct weft_options o;
    pthread_t watchdog;
    sigset_t usr;
    long fds;
    bool ok;

    keep_no_stacks(argv);
    if (!options(argc, argv)) {
        fprintf(stderr,
                "usage: weft-soak [--minutes N | --seconds N] [--seed S]"
                " [--workers N] [--only NAME] [--no-memory]\n"
                "       weft-soak --sim FROM COUNT [--only NAME]\n");
        return 2;
    }
    if (soak.sims)
        return simulate(argv[0]);
    printf("seed %llu, %u workers, %lld s\n", (unsigned long long)soak.seed,
           soak.workers, (long long)soak.seconds);
    fflush(stdout);
    /* One that comes after its last watcher has gone is harmless so. */
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    sigemptyset(&usr);
    sigaddset(&usr, SIGUSR1);
    sigaddset(&usr, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &usr, NULL);
    mallopt(M_ARENA_MAX, 2);

    fds = entries("/proc/self/fd");
    o = soak_options(soak.workers);
    if (weft_runtime_open(&soak.rt, &o) != 0 ||
        pthread_create(&watchdog, NULL, watches, &usr) != 0) {
        fprintf(stderr, "weft-soak: no runtime\n");
        return 1;
    }
    run();
    atomic_store(&over, true);
    pthread_join(watchdog, NULL);
    alarm(STALL / WEFT_SEC); /* nobody watches the close */
    check(weft_runtime_close(soak.rt) == 0);
    alarm(0);
    tell_all();
    ok = flat(soak.judge_memory);
    check(entries("/proc/self/fd") <= fds + 1); /* the signals' is kept */
    ok = ok && !failures();
    printf("%s: seed %llu, %lu rounds, %lu scenarios\n", ok ? "ok" : "FAILED",
           (unsigned long long)soak.seed, atomic_load(&rounds),
           progress() - atomic_load(&rounds));
    return ok ? 0 : 1;
}
