/* SPDX-License-Identifier: MIT */
/* The Range field. */
#ifndef HTTPD_RANGES_H
#define HTTPD_RANGES_H

#include "session.h"
#include "cache.h"

enum { HD_RANGES = 16 };

struct range {
    uint64_t first;
    uint64_t n;
};

/* Parses a Range field for a file of `size` bytes. The number of satisfiable
 * ranges; 0: the field is to be ignored (another unit, bad syntax, too many
 * ranges, or ranges that together exceed the file); -1: none of the ranges
 * can be satisfied. */
int hd_ranges_parse(struct text field, uint64_t size,
                    struct range range[HD_RANGES]);

/* Answers with n of f's ranges: one as it is, several as
 * multipart/byteranges. */
void hd_ranges_send(struct session *x, const struct request *r,
                    const struct file *f, const struct range *range, int n);

#endif
