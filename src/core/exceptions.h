/* SPDX-License-Identifier: MIT */
/* libstdc++ keeps the exceptions that are being handled in the thread; they
 * belong to whoever runs there, and go with him. Nothing in programs without
 * C++. */
#ifndef WEFT_CORE_EXCEPTIONS_H
#define WEFT_CORE_EXCEPTIONS_H

#include "base/base.h"

struct cxa_globals {
    void *caught;
    unsigned int uncaught;
};
extern struct cxa_globals *__cxa_get_globals(void) __attribute__((weak));

static inline struct cxa_globals exceptions_take(void)
{
    struct cxa_globals mine = {NULL, 0}, *g;

    if (unlikely(__cxa_get_globals != NULL)) {
        g = __cxa_get_globals();
        mine = *g;
        *g = (struct cxa_globals){NULL, 0};
    }
    return mine;
}

static inline void exceptions_give(struct cxa_globals mine)
{
    if (unlikely(__cxa_get_globals != NULL))
        *__cxa_get_globals() = mine;
}

#endif
