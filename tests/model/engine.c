/* SPDX-License-Identifier: MIT */
/* The checker's engine: threads as coroutines, and a depth-first walk over all
 * their choices (who goes on, which store a load sees).
 *
 * An execution is the list of its choices. After each the last choice that has
 * an alternative takes it and what follows is new, until none is left. A bound
 * on preemptions (a switch away from a thread that could go on) and one on
 * stale loads keep that small: faults need few of either.
 *
 * A word that one thread alone touches needs no choice before it. Which those
 * are is learned: when a second thread comes to a word, the walk starts over
 * with the word known as shared. */
#include "engine.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/context.h"

#define STACK ((size_t)256 << 10)
#define STEPS_MAX 3000
#define LEVEL_MAX 4 /* of bounds that rise */
#define FRUITLESS_MAX 100 /* rounds of a spinning loop without news */

struct choice {
    unsigned taken, of;
};

struct mthread threads[THREADS];
unsigned cur, n_threads, n_stores, stale_left;
bool tracing, quiet_main;
const struct m_scenario *scenario;
bool all_shared;

static struct choice *path;
static unsigned depth, path_len, path_room;
static unsigned preempted, bound, stale_bound, steps, fruitless;
static bool walk_anew, random_mode;
static bool replaying; /* no new choices */
static bool recording; /* the path as it is with every word shared */
static unsigned full[4 * STEPS_MAX], n_full;
static uint64_t random_state;
static void *main_sp;
static bool failed;
static char failure[1024];
static jmp_buf main_jump;
static int64_t model_time;

/* ---- choices ------------------------------------------------------------ */

static unsigned draw(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 20) % n);
}

static void record(unsigned taken)
{
    if (recording && n_full < 4 * STEPS_MAX)
        full[n_full++] = taken;
}

static void path_push(unsigned taken, unsigned of)
{
    if (path_len == path_room) {
        path_room = path_room ? 2 * path_room : 1024;
        path = realloc(path, path_room * sizeof *path);
        if (!path)
            abort();
    }
    path[path_len++] = (struct choice){taken, of};
}

unsigned choose(unsigned n)
{
    if (n < 2 || quiet_main)
        return 0;
    if (depth == path_len) {
        /* At random, an undisturbed step is still the rule. */
        unsigned k =
            random_mode && !replaying && draw(4) == 0 ? draw(n) : 0;

        path_push(k, n);
    }
    if (path[depth].taken >= n) {
        fprintf(stderr, "model: the path does not fit this program\n");
        exit(3);
    }
    path[depth].of = n;
    record(path[depth].taken);
    return path[depth++].taken;
}

unsigned m_choose(unsigned n)
{
    memory_settle();
    return choose(n);
}

/* False: all was tried. */
static bool next_path(void)
{
    while (path_len && path[path_len - 1].taken + 1 >= path[path_len - 1].of)
        path_len--;
    if (!path_len)
        return false;
    path[path_len - 1].taken++;
    return true;
}

static void print_path(FILE *f)
{
    bool any = false;

    for (unsigned i = 0; i < n_full; i++)
        if (full[i]) {
            fprintf(f, "%s%u:%u", any ? "," : "", i, full[i]);
            any = true;
        }
    if (!any)
        fputs("-", f);
}

static void read_path(const char *s)
{
    path_len = 0;
    while (*s && *s != '-') {
        unsigned at = (unsigned)strtoul(s, (char **)&s, 10), taken;

        if (*s++ != ':')
            exit(3);
        taken = (unsigned)strtoul(s, (char **)&s, 10);
        while (path_len < at)
            path_push(0, 1);
        path_push(taken, taken + 1);
        if (*s == ',')
            s++;
    }
}

/* ---- failure and trace -------------------------------------------------- */

static void to_main(void)
{
    if (cur == 0)
        longjmp(main_jump, 1);
    context_switch(&threads[cur].sp, main_sp);
    abort();
}

void m_fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(failure, sizeof failure, fmt, ap);
    va_end(ap);
    failed = true;
    to_main();
    abort();
}

/* Of assert() in the library. */
_Noreturn void __assert_fail(const char *what, const char *file,
                             unsigned line, const char *fn)
{
    m_fail("assertion %s in %s, %s:%u", what, fn, file, line);
}

_Noreturn void w_bug(const char *fmt, ...);
_Noreturn void w_bug(const char *fmt, ...)
{
    m_fail("w_bug: %s", fmt);
}

/* ---- threads ------------------------------------------------------------ */

unsigned m_self(void)
{
    return cur - 1;
}

struct thread;
struct thread *w_thread(void);
void w_thread_set(struct thread *t);

struct thread *w_thread(void)
{
    return threads[cur].user;
}

void w_thread_set(struct thread *t)
{
    threads[cur].user = t;
}

static bool can_run(unsigned t)
{
    struct mthread *m = &threads[t];

    if (m->state == PAUSED && m->paused_at != n_stores) {
        m->state = READY;
        fruitless = 0;
    }
    return m->state == READY;
}

static void go_to(unsigned t)
{
    unsigned from = cur;

    if (t == cur)
        return;
    cur = t;
    context_switch(&threads[from].sp, threads[t].sp);
}

/* Nobody can go on: spinning loops may count their rounds and do something
 * else; else all have ended, or it is a violation. */
static unsigned last_resort(void)
{
    bool all = true;

    for (unsigned k = 1; k <= n_threads; k++) {
        unsigned t = (cur + k - 1) % n_threads + 1;

        if (threads[t].state == PAUSED && fruitless < FRUITLESS_MAX) {
            fruitless++;
            threads[t].state = READY;
            return t;
        }
    }
    for (unsigned t = 1; t <= n_threads; t++) {
        if (threads[t].state == PAUSED)
            m_fail("thread %u spins for ever", t - 1);
        if (threads[t].state != DONE && !threads[t].daemon)
            all = false;
    }
    if (all)
        return 0;
    for (unsigned t = 1; t <= n_threads; t++)
        if (threads[t].state == ASLEEP && !threads[t].daemon)
            m_fail("nobody can go on: thread %u sleeps at %s", t - 1,
                   name_of(threads[t].asleep_on));
    m_fail("nobody can go on");
}

static void reschedule(bool may_stay)
{
    unsigned next[THREADS], n = 0, k;

    if (may_stay)
        next[n++] = cur;
    if (!may_stay || preempted < bound || random_mode)
        for (k = 1; k < n_threads + (unsigned)!may_stay; k++) {
            unsigned t = (cur + k - 1) % n_threads + 1;

            if (can_run(t))
                next[n++] = t;
        }
    if (n == 0) {
        unsigned t = last_resort();

        if (t)
            next[n++] = t;
        else
            to_main();
    }
    k = choose(n);
    if (may_stay && k)
        preempted++;
    go_to(next[k]);
}

void sched_point(void)
{
    if (quiet_main)
        return;
    if (++steps > STEPS_MAX)
        m_fail("more than %d steps: a loop that does not end", STEPS_MAX);
    reschedule(true);
}

/* Where the point would be if the word were shared. */
void sched_skip(void)
{
    if (quiet_main || !recording || !(preempted < bound || random_mode))
        return;
    for (unsigned t = 1; t <= n_threads; t++)
        if (t != cur && can_run(t)) {
            record(0);
            return;
        }
}

void sched_away(void)
{
    if (quiet_main)
        m_fail("setup or check must not wait");
    reschedule(false);
}

void learned_shared(void)
{
    walk_anew = true;
}

static void boot(void)
{
    scenario->thread[cur - 1]();
    memory_settle();
    trace(__builtin_return_address(0), "ends");
    threads[cur].state = DONE;
    n_stores++;
    reschedule(false);
    abort();
}

void m_pause(void)
{
    struct mthread *t = &threads[cur];
    bool news;

    memory_settle();
    if (quiet_main || !t->loaded)
        return;
    if (++steps > STEPS_MAX)
        m_fail("more than %d steps: a loop that does not end", STEPS_MAX);
    memory_pause(t, &news);
    t->loaded = false;
    trace(__builtin_return_address(0), "pauses%s", news ? ", sees news" : "");
    t->paused_at = n_stores;
    t->state = news ? READY : PAUSED;
    sched_away();
}

void m_daemon(void)
{
    threads[cur].daemon = true;
}

/* ---- sleeping ----------------------------------------------------------- */

static void sleep_on(void *p)
{
    threads[cur].state = ASLEEP;
    threads[cur].asleep_on = p;
    n_stores++; /* who spins until this one does */
    sched_away();
}

static void wake(unsigned t)
{
    threads[t].state = READY;
    fruitless = 0;
}

int m_futex_wait(void *word, uint32_t seen, int64_t ns)
{
    memory_settle();
    sched_point();
    if (memory_newest32(word) != seen) {
        trace(__builtin_return_address(0), "futex wait %s: changed",
              name_of(word));
        return -11;
    }
    if (ns >= 0 && scenario->time_outs && choose(2)) {
        trace(__builtin_return_address(0), "futex wait %s: time out",
              name_of(word));
        return -110;
    }
    trace(__builtin_return_address(0), "futex wait %s: sleeps", name_of(word));
    sleep_on(word);
    trace(__builtin_return_address(0), "futex wait %s: woken", name_of(word));
    return 0;
}

void m_futex_wake(void *word, int n)
{
    int woken = 0;

    memory_settle();
    sched_point();
    for (unsigned t = 1; t <= n_threads && woken < n; t++)
        if (threads[t].state == ASLEEP && threads[t].asleep_on == word) {
            wake(t);
            woken++;
        }
    n_stores++;
    trace(__builtin_return_address(0), "futex wake %s: %d", name_of(word),
          woken);
}

/* Events order what is before the signal and what is after the wait, as the
 * kernel's locks do. */
static struct know event_know[16];
static unsigned n_events;

void m_event_signal(struct m_event *e)
{
    memory_settle();
    sched_point();
    if (!e->know) {
        if (n_events == 16)
            m_fail("too many events");
        e->know = &event_know[n_events++];
        memset(e->know, 0, sizeof *event_know);
    }
    know_join(e->know, &threads[cur].cur);
    threads[cur].cur.clock[cur]++;
    e->state = 1;
    n_stores++;
    trace(__builtin_return_address(0), "signal %s", name_of(e));
    for (unsigned t = 1; t <= n_threads; t++)
        if (threads[t].state == ASLEEP && threads[t].asleep_on == e)
            wake(t);
}

bool m_event_try(struct m_event *e)
{
    memory_settle();
    sched_point();
    if (!e->state)
        return false;
    e->state = 0;
    know_join(&threads[cur].cur, e->know);
    return true;
}

void m_event_wait(struct m_event *e)
{
    memory_settle();
    while (!m_event_try(e)) {
        trace(__builtin_return_address(0), "sleeps at %s", name_of(e));
        sleep_on(e);
    }
    trace(__builtin_return_address(0), "event %s taken", name_of(e));
}

int64_t m_now(void)
{
    memory_settle();
    return model_time += 1000000000;
}

void m_sleep(int64_t ns)
{
    (void)ns;
    m_pause();
}

/* ---- outcomes ----------------------------------------------------------- */

static char outcomes[64][16];
static unsigned n_outcomes;

void m_outcome(int a, int b, int c, int d)
{
    char s[16];

    snprintf(s, sizeof s, "%d%d%d%d", a, b, c, d);
    for (unsigned i = 0; i < n_outcomes; i++)
        if (strcmp(outcomes[i], s) == 0)
            return;
    if (n_outcomes == 64)
        m_fail("too many outcomes");
    strcpy(outcomes[n_outcomes++], s);
    if (scenario->outcomes && !strstr(scenario->outcomes, s))
        m_fail("outcome %s must not be", s);
}

/* All of the expected ones were seen? */
static bool outcomes_complete(void)
{
    bool ok = true;

    for (const char *s = scenario->outcomes; s && *s; s += strcspn(s, " ")) {
        bool seen = false;

        s += strspn(s, " ");
        for (unsigned i = 0; i < n_outcomes; i++)
            if (strncmp(outcomes[i], s, 4) == 0)
                seen = true;
        if (*s && !seen) {
            printf("%s: outcome %.4s was never seen\n", scenario->name, s);
            ok = false;
        }
    }
    return ok;
}

/* ---- executions --------------------------------------------------------- */

static void reset(void)
{
    depth = preempted = steps = fruitless = n_stores = 0;
    n_events = 0;
    trace_reset();
    stale_left = random_mode ? 1000 : stale_bound;
    failed = false;
    model_time = 0;
    memory_reset();
    n_threads = 0;
    while (n_threads < M_THREADS && scenario->thread[n_threads])
        n_threads++;
}

static void prepare_thread(unsigned t)
{
    struct mthread *m = &threads[t];

    if (!m->stack) {
        m->stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (m->stack == MAP_FAILED)
            abort();
    }
    m->state = READY;
    m->daemon = false;
    m->timed_out = false;
    m->loaded = false;
    m->user = NULL;
    m->sp = context_make(m->stack + STACK, boot);
    memory_start_thread(t);
}

static void run_threads(void)
{
    unsigned order[THREADS], k;

    for (k = 0; k < n_threads; k++)
        order[k] = k + 1;
    quiet_main = false;
    k = choose(n_threads);
    cur = order[k];
    context_switch(&main_sp, threads[cur].sp);
    memory_settle();
    cur = 0;
    quiet_main = true;
}

/* One execution of the path; false: a violation. */
static bool execute(void)
{
    reset();
    cur = 0;
    quiet_main = true;
    if (setjmp(main_jump) == 0) {
        scenario->setup();
        memory_settle();
        for (unsigned t = 1; t <= n_threads; t++)
            prepare_thread(t);
        run_threads();
        if (!failed && scenario->check) {
            memory_join_all();
            scenario->check();
        }
    }
    return !failed;
}

static double seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void report(const char *exe)
{
    printf("VIOLATION in %s: %s\n", scenario->name, failure);
    tracing = replaying = recording = true;
    n_full = 0;
    if (execute())
        printf("(not seen again in the replay: the scenario is not "
               "deterministic)\n");
    print_trace();
    tracing = replaying = recording = false;
    printf("  => %s\nreplay: %s --only %s --preempt %u --stale %u %s--replay ",
           failure, exe, scenario->name, bound, stale_bound,
           random_mode ? "--random 1 " : "");
    print_path(stdout);
    putchar('\n');
}

static uint64_t executions;

/* 0: all explored. 1: a violation. 2: the limit. */
static int walk(uint64_t limit, double until)
{
    path_len = 0;
    executions = 0;
    n_outcomes = 0;
    for (;;) {
        walk_anew = false;
        executions++;
        if (random_mode)
            path_len = 0;
        if (!execute() && !walk_anew)
            return 1;
        if (walk_anew) {
            path_len = 0;
            n_outcomes = 0;
            continue;
        }
        if (!random_mode && !next_path())
            return 0;
        if (executions >= limit ||
            (executions % 1024 == 0 && seconds() > until))
            return 2;
    }
}

struct options {
    const char *only, *replay;
    int preempt, stale;
    uint64_t limit, random;
    double time;
    bool rising; /* from small bounds up; ends at the first violation */
    int more;    /* than each scenario's bounds */
};

/* A scenario that is to fail tests the checker. */
static bool failed_well(int rc)
{
    if (rc == 1 && strstr(failure, scenario->fails))
        return true;
    printf("%s: expected a violation: %s\n", scenario->name, scenario->fails);
    return false;
}

/* Of two bounds the lower. */
static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned bound_of(unsigned of_scenario, int asked, int more)
{
    if (asked >= 0)
        return (unsigned)asked;
    if (of_scenario == M_NONE)
        return (unsigned)more;
    return (of_scenario ? of_scenario : 2) + (unsigned)more;
}

static const char *verdict(int rc)
{
    if (rc == 1)
        return scenario->fails ? "found" : "VIOLATION";
    if (rc == 2 && !random_mode)
        return "not all";
    return random_mode ? "at random" : "all";
}

/* With bounds of at most `level`. */
static int run(const struct options *o, const char *exe, unsigned level)
{
    double begun = seconds();
    int rc;

    bound = least(bound_of(scenario->preemptions, o->preempt, o->more), level);
    stale_bound = least(bound_of(scenario->stale, o->stale, o->more), level);
    memory_forget();
    if (o->replay) {
        read_path(o->replay);
        replaying = all_shared = true;
        rc = !execute();
        replaying = false;
    } else {
        rc = walk(o->limit, begun + o->time);
    }
    printf("%-20s %9llu executions  preemptions %u stale %u  %6.1f s  %s\n",
           scenario->name, (unsigned long long)executions, bound, stale_bound,
           seconds() - begun, verdict(rc));
    if (scenario->fails && !o->replay)
        rc = !failed_well(rc);
    else if (rc == 1)
        report(exe);
    else if (!random_mode && !o->replay && rc == 0 && !outcomes_complete())
        rc = 1;
    fflush(stdout);
    return rc == 1;
}

static bool wanted(const char *only, const char *name)
{
    return !only || strcmp(only, name) == 0;
}

int main(int argc, char **argv)
{
    struct options o = {.preempt = -1, .stale = -1, .limit = UINT64_MAX,
                        .time = 1e9};
    int bad = 0, ran = 0;

    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(a, "--rising") == 0) {
            o.rising = true;
            continue;
        }
        i++;
        if (strcmp(a, "--only") == 0)
            o.only = v;
        else if (strcmp(a, "--replay") == 0)
            o.replay = v;
        else if (strcmp(a, "--preempt") == 0)
            o.preempt = atoi(v);
        else if (strcmp(a, "--stale") == 0)
            o.stale = atoi(v);
        else if (strcmp(a, "--more") == 0)
            o.more = atoi(v);
        else if (strcmp(a, "--time") == 0)
            o.time = atof(v);
        else if (strcmp(a, "--limit") == 0)
            o.limit = strtoull(v, NULL, 10);
        else if (strcmp(a, "--random") == 0)
            o.random = strtoull(v, NULL, 10);
        else
            return fprintf(stderr, "model: unknown option %s\n", a), 2;
    }
    if (o.random) {
        random_mode = true;
        random_state = o.random * 0x9e3779b97f4a7c15u + 1;
        if (o.limit == UINT64_MAX)
            o.limit = 100000;
    }
    /* Bounds rise when a fault is expected: most need little. */
    for (unsigned level = o.rising ? 0 : LEVEL_MAX; level <= LEVEL_MAX; level++)
        for (scenario = m_scenarios; scenario->name; scenario++)
            if (wanted(o.only, scenario->name) && !(bad && o.rising)) {
                ran++;
                bad |= run(&o, argv[0], o.rising ? level : UINT_MAX);
            }
    if (!ran)
        return fprintf(stderr, "model: no such scenario\n"), 2;
    return bad;
}
