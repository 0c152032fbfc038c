/* SPDX-License-Identifier: MIT */
/* weft-load: a load generator for HTTP/1.1 on weft. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "load.h"

static const char usage[] =
    "Usage: weft-load [OPTIONS] URL...\n"
    "Loads an HTTP server and tells how it answered.\n"
    "\n"
    "  --connections N   at the same time (64)\n"
    "  --duration TIME   (10)\n"
    "  --warmup TIME     not counted, before it (0)\n"
    "  --rate R          requests a second in all, at fixed times; latency "
    "counts\n"
    "                    from the intended time (as fast as answers come)\n"
    "  --requests N      stop after so many\n"
    "  --timeout TIME    for one request (10)\n"
    "  --header 'K: V'   sent with each request; may be repeated\n"
    "  --urls FILE       one a line, besides those given; taken in turns\n"
    "  --check DIR       compare each body with the file under DIR\n"
    "  --workers N       threads (one a core)\n"
    "  --json            one JSON object on one line\n"
    "  --help\n"
    "\n"
    "TIME is in seconds, with a fraction if need be.\n";

static const char *const kinds[FAIL_KINDS] = {
    [FAIL_CONNECT] = "connect", [FAIL_TIMEOUT] = "timeout",
    [FAIL_IO] = "io",           [FAIL_STATUS] = "status",
    [FAIL_SHORT] = "short",     [FAIL_MISMATCH] = "mismatch",
};

struct result {
    const struct settings *settings;
    struct tally total;
    double seconds;
};

/* ---- settings ---------------------------------------------------------- */

static int complain(const char *what, const char *about)
{
    fprintf(stderr, "weft-load: %s: %s\n", what, about);
    return -1;
}

static int add_url(struct settings *o, const char *text)
{
    struct url *more =
        realloc(o->urls, (size_t)(o->n_urls + 1) * sizeof *o->urls);

    if (!more)
        return complain("out of memory", text);
    o->urls = more;
    if (!load_url(text, &o->urls[o->n_urls]))
        return complain("not a URL that can be loaded", text);
    o->n_urls++;
    return 0;
}

static int add_urls(struct settings *o, const char *file)
{
    FILE *f = fopen(file, "r");
    char line[URL_MAX + 300];
    int rc = 0;

    if (!f)
        return complain("cannot read", file);
    while (rc == 0 && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\r\n")] = 0;
        if (*line)
            rc = add_url(o, line);
    }
    fclose(f);
    return rc;
}

static int add_header(struct settings *o, const char *text)
{
    size_t n = strlen(o->headers);

    if (!strchr(text, ':') || strpbrk(text, "\r\n") ||
        n + strlen(text) + 3 > sizeof o->headers)
        return complain("not a header", text);
    snprintf(o->headers + n, sizeof o->headers - n, "%s\r\n", text);
    return 0;
}

static int number(const char *text, double least, double *out)
{
    char *end;

    *out = strtod(text, &end);
    if (end == text || *end || !(*out >= least) || *out > 1e9)
        return complain("not a number that makes sense", text);
    return 0;
}

static int one_option(struct settings *o, int c, const char *arg)
{
    double x = 0;
    int rc;

    switch (c) {
    case 'H':
        return add_header(o, arg);
    case 'u':
        return add_urls(o, arg);
    case 'C':
        o->check = arg;
        return 0;
    case 'j':
        o->json = true;
        return 0;
    default:
        rc = number(arg, c == 'c' || c == 'w' || c == 'n' ? 1 : 0, &x);
    }
    switch (c) {
    case 'c':
        o->connections = (long)x;
        break;
    case 'd':
        o->duration = (int64_t)(x * 1e9);
        break;
    case 'W':
        o->warmup = (int64_t)(x * 1e9);
        break;
    case 'r':
        o->rate = x;
        break;
    case 'n':
        o->requests = (long)x;
        break;
    case 't':
        o->timeout = (int64_t)(x * 1e9);
        break;
    case 'w':
        o->workers = (unsigned)x;
        break;
    }
    return rc;
}

/* 0, or the exit status + 1. */
static int parse(struct settings *o, int argc, char **argv)
{
    static const struct option options[] = {
        {"connections", required_argument, NULL, 'c'},
        {"duration", required_argument, NULL, 'd'},
        {"warmup", required_argument, NULL, 'W'},
        {"rate", required_argument, NULL, 'r'},
        {"requests", required_argument, NULL, 'n'},
        {"timeout", required_argument, NULL, 't'},
        {"header", required_argument, NULL, 'H'},
        {"urls", required_argument, NULL, 'u'},
        {"check", required_argument, NULL, 'C'},
        {"workers", required_argument, NULL, 'w'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "c:d:t:H:", options, NULL)) != -1) {
        if (c == 'h') {
            fputs(usage, stdout);
            return 1;
        }
        if (c == '?' || one_option(o, c, optarg) < 0)
            return 3;
    }
    for (int i = optind; i < argc; i++)
        if (add_url(o, argv[i]) < 0)
            return 3;
    if (!o->n_urls) {
        fputs(usage, stderr);
        return 3;
    }
    return 0;
}

/* ---- running ----------------------------------------------------------- */

static void merge(struct tally *into, const struct tally *t)
{
    histogram_merge(&into->latency, &t->latency);
    into->requests += t->requests;
    into->bytes += t->bytes;
    into->unsent += t->unsent;
    for (int i = 0; i < FAIL_KINDS; i++)
        into->failures[i] += t->failures[i];
}

static long quota(const struct settings *o, long i)
{
    long each = o->requests / o->connections;

    return o->requests ? each + (i < o->requests % o->connections) : -1;
}

static long run(void *arg)
{
    struct result *r = arg;
    const struct settings *o = r->settings;
    struct client *clients = calloc((size_t)o->connections, sizeof *clients);
    struct clock_face clock = {.start = weft_now()};
    weft_group g;
    int64_t end;
    long rc;

    if (!clients)
        return -ENOMEM;
    clock.count_at = clock.start + o->warmup;
    clock.end = clock.count_at + o->duration;
    weft_with_group(&g)
        for (long i = 0; i < o->connections; i++) {
            struct client *c = &clients[i];

            c->settings = o;
            c->clock = &clock;
            c->index = i;
            c->quota = quota(o, i);
            if (weft_spawn(&g, load_client, c) < 0)
                break;
        }
    rc = weft_group_wait(&g);
    end = weft_now();
    r->seconds = (double)((end < clock.end || o->requests ? end : clock.end) -
                          clock.count_at) /
                 1e9;
    for (long i = 0; i < o->connections; i++)
        merge(&r->total, &clients[i].tally);
    free(clients);
    return rc;
}

/* ---- telling ----------------------------------------------------------- */

static uint64_t failed(const struct tally *t)
{
    uint64_t n = 0;

    for (int i = 0; i < FAIL_KINDS; i++)
        n += t->failures[i];
    return n;
}

static double us(const struct tally *t, double p)
{
    return (double)histogram_percentile(&t->latency, p) / 1e3;
}

static double mean_us(const struct tally *t)
{
    return t->latency.count ? t->latency.sum / (double)t->latency.count / 1e3
                            : 0;
}

static void print_json(const struct result *r)
{
    const struct tally *t = &r->total;

    printf("{\"requests\":%llu,\"seconds\":%.3f,\"requests_per_s\":%.1f,"
           "\"bytes\":%llu,\"mean_us\":%.1f,\"p50_us\":%.1f,\"p90_us\":%.1f,"
           "\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,"
           "\"unsent\":%llu,\"errors\":{",
           (unsigned long long)t->requests, r->seconds,
           (double)t->requests / r->seconds, (unsigned long long)t->bytes,
           mean_us(t), us(t, 50), us(t, 90), us(t, 99), us(t, 99.9),
           (double)t->latency.max / 1e3, (unsigned long long)t->unsent);
    for (int i = 0; i < FAIL_KINDS; i++)
        printf("%s\"%s\":%llu", i ? "," : "", kinds[i],
               (unsigned long long)t->failures[i]);
    puts("}}");
}

static void print_text(const struct result *r)
{
    const struct tally *t = &r->total;

    printf("%llu requests in %.2f s: %.0f a second, %.1f MB\n",
           (unsigned long long)t->requests, r->seconds,
           (double)t->requests / r->seconds, (double)t->bytes / 1e6);
    printf("latency  mean %.0f us  p50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f  "
           "max %.0f\n",
           mean_us(t), us(t, 50), us(t, 90), us(t, 99), us(t, 99.9),
           (double)t->latency.max / 1e3);
    if (t->unsent)
        printf("behind   %llu were due and not sent by the end\n",
               (unsigned long long)t->unsent);
    for (int i = 0; i < FAIL_KINDS; i++)
        if (t->failures[i])
            printf("failed   %llu: %s\n", (unsigned long long)t->failures[i],
                   kinds[i]);
}

static void raise_fd_limit(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &l);
    }
}

int main(int argc, char **argv)
{
    struct settings o = {
        .connections = 64, .duration = 10 * WEFT_SEC, .timeout = 10 * WEFT_SEC};
    struct result *r = calloc(1, sizeof *r);
    struct weft_options w = {0};
    int rc = parse(&o, argc, argv);
    long status;

    if (!r)
        return 1;
    if (rc) {
        free(r);
        return rc - 1;
    }
    if (o.requests && o.connections > o.requests)
        o.connections = o.requests;
    raise_fd_limit();
    w.workers = o.workers;
    r->settings = &o;
    status = weft_run_with(&w, run, r);
    if (status < 0) {
        fprintf(stderr, "weft-load: %s\n", weft_strerror(status));
        return 1;
    }
    if (o.json)
        print_json(r);
    else
        print_text(r);
    rc = failed(&r->total) || !r->total.requests ? 1 : 0;
    free(o.urls);
    free(r);
    return rc;
}
