/* SPDX-License-Identifier: MIT */
/* What an execution did, to be read by people: a line an operation with the
 * source lines it came from. */
#include "engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINES_MAX 3000

static struct line {
    void *pc;
    unsigned thread;
    char text[200];
} *lines;
static unsigned n_lines;

void trace_line(void *pc, const char *fmt, ...)
{
    struct line *l;
    va_list ap;

    if (quiet_main || n_lines == LINES_MAX)
        return;
    if (!lines && !(lines = calloc(LINES_MAX, sizeof *lines)))
        return;
    l = &lines[n_lines++];
    l->pc = pc;
    l->thread = cur;
    va_start(ap, fmt);
    vsnprintf(l->text, sizeof l->text, fmt, ap);
    va_end(ap);
}

/* "file:line function" for each line; addr2line answers in order, and with -i
 * it gives the frames that were inlined, of which the first two tell most. */
void print_trace(void)
{
    char name[] = "/tmp/modelXXXXXX", cmd[600], exe[300];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    int fd = mkstemp(name);
    FILE *f, *p;

    if (n < 0 || fd < 0 || !(f = fdopen(fd, "w")))
        return;
    exe[n] = 0;
    for (unsigned i = 0; i < n_lines; i++)
        fprintf(f, "%p\n", (void *)((char *)lines[i].pc - 1));
    fclose(f);
    snprintf(cmd, sizeof cmd, "addr2line -e '%s' -fpsi <%s 2>/dev/null", exe,
             name);
    p = popen(cmd, "r");
    for (unsigned i = 0, at = 0; p && i <= n_lines;) {
        char where[300], *nl;

        if (!fgets(where, sizeof where, p))
            break;
        if ((nl = strchr(where, '\n')))
            *nl = 0;
        if (strncmp(where, " (inlined by) ", 14) == 0) {
            if (at++ < 3)
                printf(" < %s", where + 14);
            continue;
        }
        if (i)
            putchar('\n');
        at = 0;
        if (i < n_lines)
            printf("  %4u T%-2d %-52s %s", i, (int)lines[i].thread - 1,
                   lines[i].text, where);
        i++;
    }
    putchar('\n');
    if (p)
        pclose(p);
    unlink(name);
}

static struct {
    char *p;
    size_t n;
    const char *name;
} names[64];
static unsigned n_names;

void m_name(void *p, size_t n, const char *name)
{
    if (n_names < 64) {
        names[n_names].p = p;
        names[n_names].n = n;
        names[n_names++].name = name;
    }
}

const char *name_of(const void *p)
{
    static char buf[4][64];
    static unsigned next;
    char *out = buf[next++ % 4];

    for (unsigned i = n_names; i--;)
        if ((char *)p >= names[i].p && (char *)p < names[i].p + names[i].n) {
            if ((char *)p == names[i].p)
                snprintf(out, 64, "%s", names[i].name);
            else
                snprintf(out, 64, "%s+%zu", names[i].name,
                         (size_t)((char *)p - names[i].p));
            return out;
        }
    snprintf(out, 64, "%p", p);
    return out;
}

void trace_reset(void)
{
    n_lines = n_names = 0;
}
