/* SPDX-License-Identifier: MIT */
/* Content types by extension. */
#ifndef HTTPD_TYPES_H
#define HTTPD_TYPES_H

#include <stdbool.h>

struct type {
    const char *ext;
    const char *name;
    bool text; /* worth compressing */
};

/* By the extension of path; never NULL. */
const struct type *hd_type(const char *path);

#endif
