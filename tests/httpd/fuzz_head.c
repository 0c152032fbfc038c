/* SPDX-License-Identifier: MIT */
/* libFuzzer's entry to what the server reads from strangers: the head of a
 * request, the path in it, its ranges. test_fuzz.sh builds and runs it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "path.h"
#include "ranges.h"
#include "session.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

#define HOLDS(x)                                                               \
    do {                                                                       \
        if (!(x)) {                                                            \
            fprintf(stderr, "%s is not so\n", #x);                             \
            abort();                                                           \
        }                                                                      \
    } while (0)

static void check(struct session *x, struct request *r, int rc)
{
    struct path p;
    struct range range[HD_RANGES];
    int n;

    HOLDS((size_t)rc <= x->have - x->pos);
    HOLDS(r->target.p > x->in && r->target.p + r->target.n < x->in + x->have);
    if (!hd_path_decode(&p, r->target.p, r->target.n)) {
        HOLDS(strlen(p.s) == p.n);
        HOLDS(p.s[0] != '/' && !strstr(p.s, "//"));
        HOLDS(strcmp(p.s, "..") && strncmp(p.s, "../", 3));
        HOLDS(!strstr(p.s, "/../"));
    }
    n = r->range.p ? hd_ranges_parse(r->range, 1000, range) : 0;
    for (int i = 0; i < n; i++)
        HOLDS(range[i].n && range[i].first + range[i].n <= 1000);
}

/* Part of a head is taken for a part or for what the whole is, and parsing it
 * changes nothing. */
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    static struct server srv;
    static struct session *x;
    struct request r;
    int rc, part;

    if (!x && !(x = calloc(1, sizeof *x)))
        abort();
    srv.set.max_head = 512;
    srv.set.max_headers = 64;
    x->srv = &srv;
    if (n > sizeof x->in)
        return 0;
    /* At the very end of the buffer. */
    x->pos = sizeof x->in - n;
    x->have = sizeof x->in;
    memcpy(x->in + x->pos, data, n);
    rc = hd_head_parse(x, &r);
    if (rc > 0)
        check(x, &r, rc);
    else
        HOLDS(rc == 0 || hd_reason(-rc)[0]);
    x->have = x->pos + n / 2;
    part = hd_head_parse(x, &r);
    HOLDS(part == 0 || part == rc);
    x->have = sizeof x->in;
    HOLDS(hd_head_parse(x, &r) == rc);
    return 0;
}
