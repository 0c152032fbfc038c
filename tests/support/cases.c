/* SPDX-License-Identifier: MIT */
/* Before what renames some of its calls. */
#include "base/sys.h"

#include "support/cases.h"

#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Here the surroundings are real. */
#undef pthread_create
#undef pthread_join
#undef usleep
#undef nanosleep
#undef sched_yield

/* ---- checks ------------------------------------------------------------ */

static atomic_int failed;
static char first_failure[512];
static atomic_int written;

static void note(const char *what, const char *where, const char *values)
{
    if (atomic_fetch_add(&failed, 1) > 0)
        return;
    snprintf(first_failure, sizeof first_failure, "%s: %s%s", where, what,
             values);
    atomic_store(&written, 1);
}

bool t_check_at(bool ok, const char *what, const char *where)
{
    if (!ok)
        note(what, where, "");
    return ok;
}

bool t_equal_at(long a, long b, const char *what, const char *where)
{
    char values[64];

    if (a == b)
        return true;
    snprintf(values, sizeof values, " (%ld, %ld)", a, b);
    note(what, where, values);
    return false;
}

void t_verdict(void)
{
    int n = atomic_load(&failed);
    char text[512];

    if (!n)
        return;
    while (!atomic_load(&written))
        sched_yield();
    memcpy(text, first_failure, sizeof text);
    atomic_store(&written, 0);
    atomic_store(&failed, 0);
    fail_msg("%s; %d failed checks in all", text, n);
}

/* ---- simulations -------------------------------------------------------- */

#define SIM_STEPS 20000000 /* beyond which a test does not end */

static struct {
    uint64_t seed, count; /* count 0: the real world */
    bool trace;
    unsigned long long runs;
    int64_t time;
} sim;

static void show(const char *line, void *arg)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static long simulate(struct weft_options opts, weft_fn *fn, void *arg)
{
    struct weft_sim_result r = {0};
    struct weft_sim_options o = {
        .runtime = &opts,
        .step_limit = SIM_STEPS,
        .trace = sim.trace ? show : NULL,
        .result = &r,
    };
    long rc = weft_sim_run(fn, arg, sim.seed, &o);

    sim.runs++;
    sim.time += r.time;
    t_check_at(rc != -EDEADLK, "all wait for ever", "simulation");
    t_check_at(r.steps < SIM_STEPS, "it goes on for ever", "simulation");
    return rc;
}

int t_real(void **state)
{
    (void)state;
    return 0;
}

/* What the test's own thread does is not part of any simulation. */
static void skip_in_simulations(void)
{
    if (sim.count && !weft_sim_active())
        skip();
}

/* Of those that simulations run: all on one thread of the real world. */
static struct sim_thread {
    void *(*fn)(void *arg);
    void *arg; /* then its result */
    pthread_t thread;
    bool used;
} sim_threads[32];

static void *run_thread(void *arg)
{
    struct sim_thread *t = arg;

    t->arg = t->fn(t->arg);
    return NULL;
}

int t_thread_create(pthread_t *t, const pthread_attr_t *a,
                    void *(*fn)(void *arg), void *arg)
{
    struct sim_thread *st = sim_threads;

    skip_in_simulations();
    if (!weft_sim_active())
        return pthread_create(t, a, fn, arg);
    while (st->used)
        if (++st == sim_threads + T_LEN(sim_threads))
            return EAGAIN;
    *st = (struct sim_thread){fn, arg, 0, true};
    if (sys_thread_create(&st->thread, a, run_thread, st) < 0)
        st->used = false;
    *t = st->thread;
    return st->used ? 0 : EAGAIN;
}

int t_thread_join(pthread_t t, void **result)
{
    struct sim_thread *st = sim_threads;

    if (!weft_sim_active())
        return pthread_join(t, result);
    while (!st->used || st->thread != t)
        if (++st == sim_threads + T_LEN(sim_threads))
            return ESRCH;
    sys_thread_join(t);
    if (result)
        *result = st->arg;
    st->used = false;
    return 0;
}

int t_usleep(useconds_t us)
{
    if (!weft_sim_active())
        return usleep(us);
    sys_sleep((int64_t)us * WEFT_US);
    return 0;
}

int t_nanosleep(const struct timespec *ts, struct timespec *left)
{
    if (!weft_sim_active())
        return nanosleep(ts, left);
    sys_sleep(ts->tv_sec * WEFT_SEC + ts->tv_nsec);
    return 0;
}

int t_sched_yield(void)
{
    sys_yield();
    return 0;
}

static int run_group(const char *name, const struct CMUnitTest *tests, size_t n)
{
    return _cmocka_run_group_tests(name, tests, n, NULL, NULL);
}

static int run_in_simulations(const char *name, const struct CMUnitTest *tests,
                              size_t n)
{
    struct CMUnitTest *some = calloc(n, sizeof *some);
    uint64_t end = sim.seed + sim.count;
    size_t left = 0;
    int bad = 0;

    if (!some)
        return 1;
    for (size_t i = 0; i < n; i++)
        if (tests[i].setup_func != t_real)
            some[left++] = tests[i];
    for (; left && sim.seed < end && !bad; sim.seed++)
        bad = run_group(name, some, left);
    free(some);
    if (bad)
        print_error("simulation: failed with WEFT_TEST_SIM=\"%llu 1\"\n",
                    (unsigned long long)sim.seed - 1);
    printf("simulation: %llu runs, %lld ms, %d failed\n", sim.runs,
           (long long)(sim.time / WEFT_MS), bad);
    return bad;
}

/* ---- running ----------------------------------------------------------- */

struct weft_options t_options(unsigned n)
{
    struct weft_options o = {.workers = n, .slow_task = -1};

    return o;
}

long t_run_with(struct weft_options opts, weft_fn *fn, void *arg)
{
    long rc;

    rc = sim.count ? simulate(opts, fn, arg) : weft_run_with(&opts, fn, arg);
    t_verdict();
    return rc;
}

long t_run(unsigned n, weft_fn *fn, void *arg)
{
    return t_run_with(t_options(n), fn, arg);
}

weft_runtime *t_open(unsigned n)
{
    struct weft_options o = t_options(n);
    weft_runtime *rt = NULL;

    skip_in_simulations();
    assert_int_equal(weft_runtime_open(&rt, &o), 0);
    assert_non_null(rt);
    return rt;
}

long t_scale(long n)
{
    const char *s = getenv("WEFT_TEST_SCALE");
    double f = s ? strtod(s, NULL) : 1;

#if defined(T_TSAN)
    f /= 20;
#elif defined(T_ASAN)
    f /= 5;
#endif
    if (sim.count)
        f /= 50; /* many seeds tell more than many rounds */
    f *= (double)n;
    return f < 1 ? 1 : (long)f;
}

bool t_wait_for(atomic_int *flag, int n)
{
    int64_t end = weft_now() + 10 * WEFT_SEC;

    while (atomic_load(flag) < n) {
        if (weft_now() > end || weft_sleep(WEFT_MS / 5) < 0)
            return false;
    }
    return true;
}

static int count_endings(char *text, const char *what)
{
    size_t n = strlen(what);
    int found = 0;

    for (char *line = strtok_r(text, "\n", &text); line;
         line = strtok_r(NULL, "\n", &text)) {
        size_t len = strlen(line);

        found += len > n && line[len - n - 1] == ' ' &&
                 strcmp(line + len - n, what) == 0;
    }
    return found;
}

int t_waiting(const char *what)
{
    int fd = memfd_create("dump", MFD_CLOEXEC), found = -1;
    struct stat st;
    char *text;

    if (fd < 0)
        return -1;
    if (weft_tasks_dump(NULL, fd) == 0 && fstat(fd, &st) == 0) {
        text = calloc(1, (size_t)st.st_size + 1);
        if (text && pread(fd, text, (size_t)st.st_size, 0) == st.st_size)
            found = count_endings(text, what);
        free(text);
    }
    close(fd);
    return found;
}

bool t_wait_waiting(const char *what, int n)
{
    int64_t end = weft_now() + 10 * WEFT_SEC;

    while (t_waiting(what) < n) {
        if (weft_now() > end || weft_sleep(WEFT_MS / 5) < 0)
            return false;
    }
    return true;
}

void t_spin(int64_t ns)
{
    int64_t end = weft_now() + ns;

    if (weft_sim_active())
        sys_sleep(ns); /* the others have CPUs of their own */
    while (weft_now() < end)
        ;
}

/* ---- the process ------------------------------------------------------- */

static int entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;

    if (!d)
        return -1;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

int t_fds(void)
{
    return entries("/proc/self/fd");
}

int t_threads(void)
{
    return entries("/proc/self/task");
}

int t_mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    int n = 0, c;

    if (!f)
        return -1;
    while ((c = getc(f)) != EOF)
        n += c == '\n';
    fclose(f);
    return n;
}

long t_rss_kb(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = -1;

    if (!f)
        return -1;
    if (fscanf(f, "%*d %ld", &pages) != 1)
        pages = -1;
    fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

int64_t t_cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return ts.tv_sec * WEFT_SEC + ts.tv_nsec;
}

/* ---- unhandled errors --------------------------------------------------- */

void t_collect(const struct weft_error *e, void *arg)
{
    struct t_errors *all = arg;
    int no = 0;

    while (!atomic_compare_exchange_weak(&all->lock, &no, 1)) {
        no = 0;
        sched_yield();
    }
    if (all->n < (int)T_LEN(all->first)) {
        struct t_error *mine = &all->first[all->n];

        mine->code = e->code;
        snprintf(mine->task, sizeof mine->task, "%s", e->task);
        snprintf(mine->site, sizeof mine->site, "%s", e->site);
        snprintf(mine->message, sizeof mine->message, "%s", e->message);
    }
    all->n++;
    atomic_store(&all->lock, 0);
}

/* ---- a child process ---------------------------------------------------- */

static void read_output(struct t_child *c, int fd, pid_t pid)
{
    int64_t end = weft_now() + 30 * WEFT_SEC;
    size_t n = 0;

    for (;;) {
        int64_t left = (end - weft_now()) / WEFT_MS;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char rest[512];
        bool room = n < sizeof c->output - 1;
        ssize_t got;

        if (left <= 0 || poll(&p, 1, (int)left) <= 0) {
            kill(pid, SIGKILL);
            c->status = -1;
            break;
        }
        got = room ? read(fd, c->output + n, sizeof c->output - 1 - n)
                   : read(fd, rest, sizeof rest);
        if (got <= 0)
            break;
        n += room ? (size_t)got : 0;
    }
    c->output[n] = 0;
}

void t_fork(struct t_child *c, int (*fn)(void *arg), void *arg)
{
    int p[2], status;
    pid_t pid;

    skip_in_simulations();
    memset(c, 0, sizeof *c);
    assert_int_equal(pipe(p), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(p[1], 2);
        close(p[0]);
        close(p[1]);
        _exit(fn(arg));
    }
    close(p[1]);
    read_output(c, p[0], pid);
    close(p[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (c->status == 0)
        c->status = status;
}

/* ---- main --------------------------------------------------------------- */

void t_setup(void)
{
    const char *seeds = getenv("WEFT_TEST_SIM");
    const char *trace = getenv("WEFT_SIM_TRACE");
    const char *filter = getenv("WEFT_TEST_FILTER");
    unsigned long long from = 0, count = 0;

    if (seeds && sscanf(seeds, "%llu %llu", &from, &count) == 2) {
        sim.seed = from;
        sim.count = count;
    }
    sim.trace = trace && *trace != '0';
    signal(SIGPIPE, SIG_IGN);
    if (filter)
        cmocka_set_test_filter(filter);
}

int t_main(const char *name, const struct CMUnitTest *tests, size_t n)
{
    t_setup();
    return sim.count ? run_in_simulations(name, tests, n)
                     : run_group(name, tests, n);
}
