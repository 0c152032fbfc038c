/* SPDX-License-Identifier: MIT */
/* weft-bench: the harness. */
#include <getopt.h>
#include <unistd.h>

#include "bench.h"

struct run {
    const struct bench *bench;
    struct setting setting;
    int repeat;
    struct outcome *outcomes;
};

double bench_rss(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = 0;

    CHECK(f && fscanf(f, "%*s %ld", &pages) == 1);
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void repeat(struct run *r)
{
    struct outcome warm = {0};

    r->bench->fn(&r->setting, &warm);
    for (int i = 0; i < r->repeat; i++)
        r->bench->fn(&r->setting, &r->outcomes[i]);
}

static long inside(void *arg)
{
    repeat(arg);
    return 0;
}

static int by_value(const void *a, const void *b)
{
    double x = ((const struct outcome *)a)->value;
    double y = ((const struct outcome *)b)->value;

    return x < y ? -1 : x > y;
}

static void print_text(const struct run *r, const struct outcome *mid)
{
    printf("%-18s %2u workers  min %10.2f  median %10.2f %s", r->bench->name,
           r->setting.workers, r->outcomes[0].value, mid->value,
           r->bench->unit);
    if (mid->bytes > 0)
        printf("  %.0f bytes each", mid->bytes);
    if (mid->other > 0)
        printf("  bare %.2f, ratio %.2f", mid->other, mid->value / mid->other);
    putchar('\n');
    fflush(stdout);
}

static void print_json(const struct run *r, const struct outcome *mid)
{
    printf("{\"name\":\"%s\",\"workers\":%u,\"unit\":\"%s\",\"min\":%.3f,"
           "\"median\":%.3f",
           r->bench->name, r->setting.workers, r->bench->unit,
           r->outcomes[0].value, mid->value);
    if (mid->bytes > 0)
        printf(",\"bytes_per_item\":%.1f", mid->bytes);
    if (mid->other > 0)
        printf(",\"bare\":%.3f", mid->other);
    puts("}");
    fflush(stdout);
}

static void run_one(const struct bench *b, struct setting s, int n, bool json)
{
    struct run r = {b, s, n, calloc((size_t)n, sizeof *r.outcomes)};
    const struct outcome *mid;

    CHECK(r.outcomes);
    if (b->workers)
        r.setting.workers = b->workers;
    if (b->own_runtime) {
        repeat(&r);
    } else {
        struct weft_options o = {.workers = r.setting.workers, .slow_task = -1};

        CHECK(weft_run_with(&o, inside, &r) == 0);
    }
    qsort(r.outcomes, (size_t)n, sizeof *r.outcomes, by_value);
    mid = &r.outcomes[n / 2];
    if (json)
        print_json(&r, mid);
    else
        print_text(&r, mid);
    free(r.outcomes);
}

static const struct bench *const groups[] = {task_benches, sync_benches,
                                             vocabulary_benches, wait_benches,
                                             fork_benches};

static bool wanted(const char *name, char **names, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return n == 0;
}

static int each(char **names, int n, struct setting s, int times, bool json,
                bool list)
{
    int found = 0;

    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
        for (const struct bench *b = groups[g]; b->name; b++) {
            if (!wanted(b->name, names, n))
                continue;
            found++;
            if (list)
                printf("%-18s %-10s %s\n", b->name, b->unit, b->what);
            else
                run_one(b, s, times, json);
        }
    return found;
}

static const char usage[] =
    "Usage: weft-bench [--list] [--workers N] [--repeat R] [--json] [--quick]\n"
    "                  [NAME...]\n";

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"list", no_argument, NULL, 'l'},
        {"workers", required_argument, NULL, 'w'},
        {"repeat", required_argument, NULL, 'r'},
        {"json", no_argument, NULL, 'j'},
        {"quick", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct setting s = {.workers = 2};
    bool json = false, list = false;
    int times = 7, c, found;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'l':
            list = true;
            break;
        case 'w':
            s.workers = (unsigned)atoi(optarg);
            break;
        case 'r':
            times = atoi(optarg);
            break;
        case 'j':
            json = true;
            break;
        case 'q':
            s.quick = true;
            break;
        default:
            fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 2;
        }
    }
    if (times < 1 || s.workers < 1) {
        fputs(usage, stderr);
        return 2;
    }
    found = each(argv + optind, argc - optind, s, times, json, list);
    if (optind < argc && found != argc - optind) {
        fputs("weft-bench: no such benchmark, see --list\n", stderr);
        return 2;
    }
    return 0;
}
