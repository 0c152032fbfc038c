/* SPDX-License-Identifier: MIT */
/* Twice the capacity.
 *
 * The capacity C is what a closed loop gets: some clients, each of which asks
 * again when it was answered. Then arrivals come by the clock, first at C/2 for
 * comparison, then at 2 C, then at C/2 again. A latency counts from the time at
 * which its arrival was due, so that neither a stall of the server nor one of
 * the generator can hide. (The quick form takes C/8 and 3 C.)
 *
 * A request that is let in has at most Q before it, which are gone after Q / C:
 * that is the bound of its latency, beside what the threads of two processes on
 * the same cores make each other wait. */
#include <stdio.h>

#include "overload.h"

enum { CLIENTS = 16, HTTPD_WORK = 64 /* as below */ };

static const char *const httpd_options[] = {
    "--workers", "2", "--executor-threads", "1", "--executor-nice", "-1",
    "--gzip", "6", "--max-work", "64", "--max-connections", "2000", NULL,
};

struct target {
    const char *name;
    const char *const *options;
    const char *path, *fields;
    unsigned queue;
};

static const struct target targets[] = {
    {"library", NULL, "/", "", LIB_QUEUE},
    {"weft-httpd", httpd_options, WORK, GZIP, HTTPD_WORK},
};

static double peak_of(const struct target *t, const struct child *c)
{
    double seconds = demand(5, 0.5);
    struct figures f = {0};
    struct run r;
    int64_t start;

    if (!run_open(&r, c->address, t->path, t->fields, 1 << 18))
        return 0;
    run_closed_loop(&r, CLIENTS, demand(0.5, 0.1)); /* warm */
    start = weft_now();
    run_closed_loop(&r, CLIENTS, seconds);
    f = figures_of(&r, start, weft_now());
    run_close(&r);
    check(f.ok && f.ok == f.n,
          "%s: closed loop of %d: %.0f/s, median %.1f ms, p99 %.1f ms, "
          "all answered",
          t->name, CLIENTS, f.rate, f.p50, f.p99);
    return f.rate;
}

static void check_overload(const struct target *t, const struct figures *f,
                           double peak)
{
    double bound = 1e3 * t->queue / peak;
    double limit = bound * demand(1.25, 4) + demand(50, 4000);

    check(f->rate >= demand(0.9, 0.05) * peak,
          "%s: goodput %.0f/s, %.0f %% of the peak", t->name, f->rate,
          1e2 * f->rate / peak);
    check(f->p99 <= limit,
          "%s: accepted: median %.1f ms, p99 %.1f ms, max %.1f ms; "
          "Q/C = %.1f ms, at most %.0f ms",
          t->name, f->p50, f->p99, f->max, bound, limit);
    /* Where the machine has others to serve the capacity may have doubled. */
    check((f->busy > 0 || (form.quick && f->ok == f->n)) &&
              f->busy_p99 <= demand(50, 4000),
          "%s: 503 within %.1f ms (p99)", t->name, f->busy_p99);
    check(f->other == 0, "%s: every arrival was answered or refused", t->name);
}

/* When a tenth of a second was first as good as before, in ms. */
static double recovery(const struct run *r, int64_t from, int64_t to,
                       double limit)
{
    const int64_t step = 100 * WEFT_MS;

    for (int64_t t = from; t + step <= to; t += step / 2) {
        struct figures f = figures_of(r, t, t + step);

        if (f.n && f.ok == f.n && f.p99 <= limit)
            return (double)(t - from) / 1e6;
    }
    return (double)(to - from) / 1e6;
}

static void check_recovery(const struct target *t, const struct run *r,
                           int64_t drop, int64_t end,
                           const struct figures *base)
{
    struct figures f = figures_of(r, drop + WEFT_SEC, end);
    double limit = demand(3, 10) * base->p99 + demand(20, 3000);
    double took = recovery(r, drop, end, limit);

    check(took <= demand(1000, 3000), "%s: recovered %.0f ms after the drop", t->name, took);
    check((double)f.ok >= demand(1, 0.5) * (double)f.n && f.p99 <= limit,
          "%s: later than a second after it: %zu of %zu answered, median "
          "%.1f ms, p99 %.1f ms (before: %.1f, %.1f)",
          t->name, f.ok, f.n, f.p50, f.p99, base->p50, base->p99);
}

static void overload(const struct target *t, const struct child *c, double peak)
{
    double calm = demand(3, 0.5), after = demand(4, 1.6);
    /* Where others take the cores C/2 may soon be too much. */
    double low = peak / demand(2, 8), high = peak * demand(2, 3);
    double n = low * (calm + after) + high * form.seconds + 1000;
    struct watcher w = {.pid = c->pid};
    weft_task *watcher = NULL;
    struct figures base, f;
    long rss, fds;
    int64_t start, drop, end;
    struct run r;

    fds = child_fds(c->pid);
    if (!run_open(&r, c->address, t->path, t->fields, (size_t)n))
        return;
    start = weft_now();
    run_open_loop(&r, low, calm);
    base = figures_of(&r, start, weft_now());
    rss = child_rss(c->pid);
    if (weft_spawn_task(&r.group, watcher_task, &w, &watcher) < 0)
        check(false, "the watcher could be started");
    start = weft_now();
    run_open_loop(&r, high, form.seconds);
    drop = weft_now();
    run_open_loop(&r, low, after);
    end = weft_now();
    if (watcher)
        weft_task_cancel(watcher);
    run_wait(&r);
    check((double)base.ok >= demand(1, 0) * (double)base.n,
          "%s: at %.0f/s: %zu of %zu answered, median %.1f ms, p99 %.1f ms",
          t->name, low, base.ok, base.n, base.p50, base.p99);
    f = figures_of(&r, start, drop);
    tell("%s: at %.0f/s: %zu answered, %zu told 503, %zu refused, %zu else",
         t->name, high, f.ok, f.busy, f.refused, f.other);
    check_overload(t, &f, peak);
    check_recovery(t, &r, drop, end, &base);
    check(w.rss <= rss + (32 << 10),
          "%s: %ld KiB before, at most %ld KiB, at most %ld descriptors",
          t->name, rss, w.rss, w.fds);
    run_close(&r);
    for (int i = 0; i < 100 && child_fds(c->pid) > fds; i++)
        (void)weft_sleep(50 * WEFT_MS);
    check(child_fds(c->pid) <= fds, "%s: %ld descriptors, %ld before", t->name,
          child_fds(c->pid), fds);
}

long load_task(void *httpd)
{
    const struct target *t = &targets[httpd != NULL];
    struct child c;

    if (child_start(&c, t->options)) {
        double peak = peak_of(t, &c);

        if (peak > 0)
            overload(t, &c, peak);
    }
    child_stop(&c);
    return 0;
}
