/* SPDX-License-Identifier: MIT */
/* What weft-soak counts and measures: checks, accounts, items, and what the
 * process holds at quiet points. */
#include "checks.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

atomic_ulong rounds;
bool soak_rough;

/* ---- checks ------------------------------------------------------------- */

#define TOLD 20

static atomic_int failed;

int failures(void)
{
    return atomic_load(&failed);
}

bool soak_check(bool ok, const char *what, long rc, const char *file, int line)
{
    weft_task *t = weft_self();

    if (ok || atomic_fetch_add(&failed, 1) >= TOLD)
        return ok;
    fprintf(stderr, "FAILED %s:%d: %s", file, line, what);
    if (rc)
        fprintf(stderr, " (%ld, %s)", rc, weft_strerror(rc));
    fprintf(stderr, " in %s, round %lu\n", t ? weft_task_name(t) : "a thread",
            atomic_load(&rounds));
    return ok;
}

bool soak_went(long rc, const char *what, const char *file, int line)
{
    if (rc >= 0)
        return true;
    soak_check(stopped(rc) && weft_check() != 0, what, rc, file, line);
    return false;
}

static const char *const account_names[ACCOUNTS] = {
    "tasks",  "posts",   "callbacks", "timers",  "defers",
    "locks",  "permits", "items",     "jobs",    "resources",
    "actors", "streams", "processes", "threads", "runtimes"};
static struct {
    atomic_long out, in;
} accounts[ACCOUNTS];

void lend(enum account a)
{
    atomic_fetch_add(&accounts[a].out, 1);
}

void give_back(enum account a)
{
    atomic_fetch_add(&accounts[a].in, 1);
}

bool even(bool tell)
{
    bool all = true;

    for (int a = 0; a < ACCOUNTS; a++) {
        long in = atomic_load(&accounts[a].in);
        long out = atomic_load(&accounts[a].out);

        if (in != out && tell)
            fprintf(stderr, "FAILED account of %s: %ld lent, %ld given back\n",
                    account_names[a], out, in);
        all = all && in == out;
    }
    return all;
}

void tell_accounts(void)
{
    for (int a = 0; a < ACCOUNTS; a++)
        printf("%s %s %ld", a % 5 ? "," : "\n ", account_names[a],
               atomic_load(&accounts[a].out));
    printf("\n");
}

/* ---- items -------------------------------------------------------------- */

static struct item items[4096];

struct item *item_out(struct player *p, long rank)
{
    size_t at = dice(p, LEN(items));

    for (size_t i = 0; i < LEN(items); i++) {
        struct item *it = &items[(at + i) % LEN(items)];
        int no = 0;

        if (atomic_load(&it->out) == 0 &&
            atomic_compare_exchange_strong(&it->out, &no, 1)) {
            it->rank = rank;
            lend(ITEMS);
            return it;
        }
    }
    return NULL;
}

void item_in(struct item *i)
{
    if (check(i >= items && i < items + LEN(items)) &&
        check(atomic_exchange(&i->out, 0) == 1))
        give_back(ITEMS);
}

void forget(void)
{
    memset(items, 0, sizeof items);
    memset(accounts, 0, sizeof accounts);
    atomic_store(&failed, 0);
}

/* ---- quiet points ------------------------------------------------------- */

static const char *const measure_names[] = {"RSS (KiB)", "fds", "threads",
                                            "mappings"};
#define LATEST 3

static long latest[LATEST][MEASURES]; /* of the last quiet points */
static long most[MEASURES];           /* of the early ones */
static unsigned taken;

long entries(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    long n = 0;

    while (d && (e = readdir(d)))
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

static long lines(const char *path)
{
    FILE *f = fopen(path, "r");
    long n = 0;
    int c;

    while (f && (c = getc(f)) != EOF)
        n += c == '\n';
    if (f)
        fclose(f);
    return n;
}

static long resident(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long size, pages = 0;

    if (f && fscanf(f, "%ld %ld", &size, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

void measure(bool early)
{
    long *last = latest[taken++ % LATEST];

    malloc_trim(0);
    last[RSS] = resident();
    last[FDS] = entries("/proc/self/fd") - 1; /* that of the folder itself */
    last[THREADS_NOW] = entries("/proc/self/task");
    last[MAPPINGS] = lines("/proc/self/maps");
    for (int i = 0; i < MEASURES; i++)
        if (early && last[i] > most[i])
            most[i] = last[i];
}

long measured(enum measure m)
{
    return latest[(taken - 1) % LATEST][m];
}

/* The least of the last ones: what goes away by itself is not kept. */
static long at_last(enum measure m)
{
    long least = measured(m);

    for (unsigned i = 0; i < LATEST && i < taken; i++)
        if (latest[i][m] < least)
            least = latest[i][m];
    return least;
}

bool flat(bool judge_memory)
{
    bool all = true;

    if (!most[FDS]) {
        printf("  too short a run to say what grows\n");
        return true;
    }
    for (int i = 0; i < MEASURES; i++) {
        long slack = most[i] / 100, last = at_last(i);
        bool judged = judge_memory || (i != RSS && i != MAPPINGS);
        bool ok;

        if (i == RSS && slack < 2048)
            slack = 2048;
        ok = last <= most[i] + slack;
        printf("  %-10s %8ld early, %8ld at last: %s\n", measure_names[i],
               most[i], last,
               ok       ? "flat"
               : judged ? "GROWN"
                        : "grown, not judged here");
        all = all && (ok || !judged);
    }
    return all;
}
