/* SPDX-License-Identifier: MIT */
/* weft-overload: weft under more than it can do. tools/overload builds it and
 * weft-httpd and runs it. */
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "overload.h"

struct form form = {.seconds = 60};

static int failed;

/* ---- what is told ------------------------------------------------------- */

double demand(double full, double quick)
{
    return form.quick ? quick : full;
}

void tell(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    printf("      ");
    vprintf(fmt, ap);
    putchar('\n');
    va_end(ap);
    fflush(stdout);
}

bool check(bool ok, const char *fmt, ...)
{
    va_list ap;

    failed += !ok;
    va_start(ap, fmt);
    fputs(ok ? "ok    " : "FAILED ", stdout);
    vprintf(fmt, ap);
    putchar('\n');
    va_end(ap);
    fflush(stdout);
    return ok;
}

/* ---- what is served ----------------------------------------------------- */

static char root[] = "/tmp/weft-overload-XXXXXX";
static const char *const names[] = {FAST, WORK, MIDDLE, BIG};

static void path_of(char *out, size_t n, const char *name)
{
    snprintf(out, n, "%s%s", root, name);
}

/* Words that are not all alike, so that it takes time to compress them. */
static bool write_file(const char *name, size_t n)
{
    uint32_t x = 1;
    char path[128];
    FILE *f;

    path_of(path, sizeof path, name);
    f = fopen(path, "we");
    for (size_t i = 0; f && i < n; i++) {
        x = x * 1664525 + 1013904223;
        putc(x >> 29 ? 'a' + (int)(x >> 24) % 20 : ' ', f);
    }
    return f && !fclose(f);
}

static bool make_root(void)
{
    form.root = root;
    return mkdtemp(root) && write_file(FAST, 1 << 10) &&
           write_file(WORK, 32 << 10) && write_file(MIDDLE, 512 << 10) &&
           write_file(BIG, 8 << 20);
}

static void remove_root(void)
{
    char path[128];

    for (size_t i = 0; i < LEN(names); i++) {
        path_of(path, sizeof path, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(root);
}

/* ---- the parts ---------------------------------------------------------- */

static const struct part {
    const char *name;
    weft_fn *fn;
    bool httpd;       /* needs it, and is told so */
    unsigned workers; /* 1 where the part is a generator */
} parts[] = {
    {"load.library", load_task, false, 1},
    {"load.httpd", load_task, true, 1},
    {"hostile", hostile_task, true, 1},
    {"timeouts", timeouts_task, false, 2},
    {"shortage.library", shortage_task, false, 1},
    {"shortage.httpd", shortage_task, true, 1},
};

static void run_part(const struct part *p, unsigned *ran)
{
    struct weft_options o = {
        .workers = p->workers,
        .pin = WEFT_PIN_OFF,
        .slow_task = -1,
    };
    long rc;

    ++*ran;
    printf("%s\n", p->name);
    fflush(stdout);
    if (p->httpd && !form.httpd) {
        tell("left out: there is no weft-httpd");
        return;
    }
    /* What is left of a busy machine may change from one second to the next:
     * where that is to be expected, three failures in a row count as one. */
    for (int again = form.quick ? 2 : 0;; again--) {
        int before = failed;

        rc = weft_run_with(&o, p->fn, p->httpd ? &form : NULL);
        if (rc < 0)
            check(false, "%s: %s", p->name, weft_strerror(rc));
        if (failed == before || !again)
            return;
        tell("once more: the quick form is for machines that are busy");
        failed = before;
    }
}

static _Noreturn void usage(int code)
{
    fprintf(code ? stderr : stdout,
            "Usage: weft-overload [--httpd PATH] [--seconds N] [--quick]\n"
            "                     [--only PART]\n"
            "PART is the begin of a name:\n");
    for (size_t i = 0; i < LEN(parts); i++)
        fprintf(code ? stderr : stdout, "  %s\n", parts[i].name);
    exit(code);
}

static double seconds(const char *s)
{
    char *end;
    double v = strtod(s, &end);

    if (end == s || *end || !(v >= 1 && v <= 3600))
        usage(2);
    return v;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"httpd", 1, NULL, 'h'},  {"seconds", 1, NULL, 's'},
        {"quick", 0, NULL, 'q'},  {"only", 1, NULL, 'o'},
        {"server", 0, NULL, 'S'}, {"help", 0, NULL, 'H'},
        {NULL, 0, NULL, 0},
    };
    const char *only = "";
    struct rlimit lim;
    double given = 0;
    unsigned ran = 0;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'S')
            return server_main();
        if (c == 'h')
            form.httpd = optarg;
        else if (c == 's')
            given = seconds(optarg);
        else if (c == 'q')
            form.quick = true;
        else if (c == 'o')
            only = optarg;
        else
            usage(c == 'H' ? 0 : 2);
    }
    form.self = "/proc/self/exe";
    form.seconds = given > 0 ? given : demand(60, 3);
    signal(SIGPIPE, SIG_IGN);
    if (!getrlimit(RLIMIT_NOFILE, &lim)) {
        lim.rlim_cur = lim.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &lim);
    }
    if (!make_root())
        check(false, "files could be written");
    for (size_t i = 0; i < LEN(parts); i++)
        if (!strncmp(parts[i].name, only, strlen(only)))
            run_part(&parts[i], &ran);
    if (!ran)
        check(false, "there is no part %s", only);
    remove_root();
    printf(failed ? "FAILED: %d\n" : "all is well\n", failed);
    return failed != 0;
}
