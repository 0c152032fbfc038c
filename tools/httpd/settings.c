/* SPDX-License-Identifier: MIT */
/* The command line. */
#include "settings.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

static const char usage[] =
    "Usage: weft-httpd [OPTIONS] DIR\n"
    "Serves the directory DIR over HTTP/1.1.\n"
    "\n"
    "  --listen ADDRESS       host:port, [v6]:port or unix:/path; port 0: any\n"
    "                         (127.0.0.1:8080)\n"
    "  --port-file PATH       write the bound port there\n"
    "  --workers N            threads that run the event loop (one a core)\n"
    "  --executor-threads N   threads that compress (one a core)\n"
    "  --executor-nice N      their nice value; -1: as the workers (19)\n"
    "  --no-pin               do not bind threads to cores\n"
    "  --gzip LEVEL           compress text, 1..9; 0: never (0)\n"
    "  --gzip-max BYTES       ... up to this size (4M)\n"
    "  --inline               compress inside the event loop, to see what "
    "that\n"
    "                         costs\n"
    "  --access-log PATH      \"-\": standard output, \"off\": none (-)\n"
    "  --stats                serve figures as JSON under /.weft/stats\n"
    "  --max-head BYTES       of a request's head, at most 16K (8K)\n"
    "  --max-headers N        fields in a head, at most 128 (64)\n"
    "  --max-body BYTES       of a request's body, which is dropped (1M)\n"
    "  --max-connections N    more are answered with 503, first those that have "
    "never\n"
    "                         sent anything (by the limit of open files: more\n"
    "                         wait)\n"
    "  --max-work N           compressions and listings at a time; more are\n"
    "                         answered with 503 (128)\n"
    "  --max-held BYTES       of what came of them and clients have not yet "
    "read,\n"
    "                         at which more are answered with 503; 0: any "
    "(256M)\n"
    "  --header-timeout TIME  for a connection's first byte, and for a whole "
    "head\n"
    "                         from its first bytes (10)\n"
    "  --body-timeout TIME    for a request's body (60)\n"
    "  --idle-timeout TIME    between requests (60)\n"
    "  --send-timeout TIME    for each 256 KiB of a response, and for a turn on\n"
    "                         the executor (60)\n"
    "  --grace TIME           that a stop gives open requests (30)\n"
    "  --cache-files N        files in the open-file cache (4096)\n"
    "  --cache-bytes BYTES    contents of small files in it (64M)\n"
    "  --no-openat2           check symbolic links without openat2(2)\n"
    "  --help\n"
    "\n"
    "TIME is in seconds, with a fraction if need be; BYTES may end in K, M, "
    "G.\n"
    "SIGTERM or SIGINT: open requests are finished; a second one: at once.\n";

_Noreturn static W_PRINTF(2, 3) void die(const char *what, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "weft-httpd: %s: ", what);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputs("\ntry: weft-httpd --help\n", stderr);
    exit(2);
}

static uint64_t size(const char *name, const char *s, uint64_t min,
                     uint64_t max)
{
    char *end;
    unsigned long long v;
    int shift = 0;

    errno = 0;
    v = strtoull(s, &end, 10);
    if (*end)
        shift = *end == 'K' || *end == 'k'   ? 10
                : *end == 'M' || *end == 'm' ? 20
                : *end == 'G' || *end == 'g' ? 30
                                             : -1;
    if (errno || end == s || *s == '-' || shift < 0 || (shift && end[1]) ||
        v > max >> shift || v << shift < min)
        die(name, "not a number from %llu to %llu: %s", (unsigned long long)min,
            (unsigned long long)max, s);
    return v << shift;
}

static unsigned count(const char *name, const char *s, unsigned min,
                      unsigned max)
{
    return (unsigned)size(name, s, min, max);
}

static int64_t duration(const char *name, const char *s)
{
    char *end;
    double v = strtod(s, &end);

    if (end == s || *end || !(v > 0 && v <= 1e6))
        die(name, "not a time in seconds: %s", s);
    return (int64_t)(v * (double)WEFT_SEC);
}

static int nice_value(const char *name, const char *s)
{
    return strcmp(s, "-1") ? (int)count(name, s, 1, 19) : -1;
}

enum {
    LISTEN = 256,
    PORT_FILE,
    WORKERS,
    EXECUTOR,
    NICE,
    NO_PIN,
    GZIP,
    GZIP_MAX,
    INLINE,
    LOG,
    STATS,
    MAX_HEAD,
    MAX_HEADERS,
    MAX_BODY,
    MAX_CONNS,
    MAX_WORK,
    MAX_HELD,
    HEAD_TIME,
    BODY_TIME,
    IDLE_TIME,
    SEND_TIME,
    GRACE,
    FILES,
    BYTES,
    NO_OPENAT2,
    HELP,
};

static const struct option options[] = {
    {"listen", 1, NULL, LISTEN},
    {"port-file", 1, NULL, PORT_FILE},
    {"workers", 1, NULL, WORKERS},
    {"executor-threads", 1, NULL, EXECUTOR},
    {"executor-nice", 1, NULL, NICE},
    {"no-pin", 0, NULL, NO_PIN},
    {"gzip", 1, NULL, GZIP},
    {"gzip-max", 1, NULL, GZIP_MAX},
    {"inline", 0, NULL, INLINE},
    {"access-log", 1, NULL, LOG},
    {"stats", 0, NULL, STATS},
    {"max-head", 1, NULL, MAX_HEAD},
    {"max-headers", 1, NULL, MAX_HEADERS},
    {"max-body", 1, NULL, MAX_BODY},
    {"max-connections", 1, NULL, MAX_CONNS},
    {"max-work", 1, NULL, MAX_WORK},
    {"max-held", 1, NULL, MAX_HELD},
    {"header-timeout", 1, NULL, HEAD_TIME},
    {"body-timeout", 1, NULL, BODY_TIME},
    {"idle-timeout", 1, NULL, IDLE_TIME},
    {"send-timeout", 1, NULL, SEND_TIME},
    {"grace", 1, NULL, GRACE},
    {"cache-files", 1, NULL, FILES},
    {"cache-bytes", 1, NULL, BYTES},
    {"no-openat2", 0, NULL, NO_OPENAT2},
    {"help", 0, NULL, HELP},
    {NULL, 0, NULL, 0},
};

/* Times and limits. False: option is none of them. */
static bool take_limit(struct settings *set, int option, const char *name,
                       const char *arg)
{
    switch (option) {
    case GZIP_MAX:
        set->gzip_max = size(name, arg, 256, 1 << 30);
        break;
    case MAX_HEAD:
        set->max_head = size(name, arg, 128, HD_HEAD_MAX);
        break;
    case MAX_HEADERS:
        set->max_headers = count(name, arg, 1, HD_HEADERS_MAX);
        break;
    case MAX_BODY:
        set->max_body = size(name, arg, 0, UINT64_MAX / 2);
        break;
    case MAX_CONNS:
        set->max_conns = count(name, arg, 1, 1 << 30);
        break;
    case MAX_WORK:
        set->max_work = count(name, arg, 1, 1 << 30);
        break;
    case MAX_HELD:
        set->max_held = size(name, arg, 0, UINT64_MAX / 2);
        break;
    case BODY_TIME:
        set->body_timeout = duration(name, arg);
        break;
    case HEAD_TIME:
        set->head_timeout = duration(name, arg);
        break;
    case IDLE_TIME:
        set->idle_timeout = duration(name, arg);
        break;
    case SEND_TIME:
        set->send_timeout = duration(name, arg);
        break;
    case GRACE:
        set->grace = duration(name, arg);
        break;
    case FILES:
        set->cache_files = count(name, arg, 0, 1 << 24);
        break;
    case BYTES:
        set->cache_bytes = size(name, arg, 0, SIZE_MAX / 2);
        break;
    default:
        return false;
    }
    return true;
}

/* Threads. False: option is none of them. */
static bool take_threads(struct weft_options *set, int option, const char *name,
                         const char *arg)
{
    switch (option) {
    case WORKERS:
        set->workers = count(name, arg, 1, 1024);
        break;
    case EXECUTOR:
        set->executor_threads = count(name, arg, 1, 1024);
        break;
    case NICE:
        set->executor_nice = nice_value(name, arg);
        break;
    case NO_PIN:
        set->pin = WEFT_PIN_OFF;
        break;
    default:
        return false;
    }
    return true;
}

static void take(struct settings *set, int option, const char *name,
                 const char *arg)
{
    if (take_limit(set, option, name, arg) ||
        take_threads(&set->runtime, option, name, arg))
        return;
    switch (option) {
    case LISTEN:
        set->listen = arg;
        break;
    case PORT_FILE:
        set->port_file = arg;
        break;
    case GZIP:
        set->gzip = (int)count(name, arg, 0, 9);
        break;
    case INLINE:
        set->inline_gzip = true;
        break;
    case LOG:
        set->access_log = strcmp(arg, "off") ? arg : NULL;
        break;
    case STATS:
        set->stats = true;
        break;
    case NO_OPENAT2:
        set->no_openat2 = true;
        break;
    case HELP:
        fputs(usage, stdout);
        exit(0);
    default:
        fputs("try: weft-httpd --help\n", stderr);
        exit(2);
    }
}

void hd_settings(struct settings *set, int argc, char **argv)
{
    int option, index = 0;

    *set = (struct settings){
        .listen = "127.0.0.1:8080",
        .access_log = "-",
        .gzip_max = 4 << 20,
        .max_head = 8 << 10,
        .max_headers = 64,
        .max_body = 1 << 20,
        .cache_files = 4096,
        .cache_bytes = 64 << 20,
        .max_work = 128,
        .max_held = 256 << 20,
        .head_timeout = 10 * WEFT_SEC,
        .body_timeout = 60 * WEFT_SEC,
        .idle_timeout = 60 * WEFT_SEC,
        .send_timeout = 60 * WEFT_SEC,
        .grace = 30 * WEFT_SEC,
    };
    while ((option = getopt_long(argc, argv, "", options, &index)) != -1)
        take(set, option, options[index].name, optarg);
    if (optind != argc - 1)
        die("arguments", "one directory is needed");
    set->root = argv[optind];
}
