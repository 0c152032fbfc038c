/* SPDX-License-Identifier: MIT */
/* The two ways in which the library speaks without being asked. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/sys.h"

void (*w_bug_hook)(void);

static void say(const char *what, const char *fmt, va_list ap)
{
    char line[512];
    int n = snprintf(line, sizeof line, "weft: %s", what);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);

    n += m < 0 ? 0 : m;
    if (n > (int)sizeof line - 2)
        n = (int)sizeof line - 2;
    line[n++] = '\n';
    (void)sys_write(2, line, (size_t)n);
}

void w_bug(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("bug: ", fmt, ap);
    va_end(ap);
    if (w_bug_hook)
        w_bug_hook();
    abort();
}

void w_warn(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("", fmt, ap);
    va_end(ap);
}
