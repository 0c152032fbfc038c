/* SPDX-License-Identifier: MIT */
/* Directory listings. */
#ifndef HTTPD_LISTING_H
#define HTTPD_LISTING_H

#include "httpd.h"
#include "path.h"

/* Makes an HTML page (*out, *n bytes, for sys_free) of the directory `path`.
 * -ENOENT, -ENOTDIR, -EACCES, -EXDEV, -ENOMEM, ... Waits, in the blocking
 * pool. */
int hd_listing(struct server *srv, const struct path *path, char **out,
               size_t *n);

/* Writes s with HTML's special characters as references, and a NUL; cuts it to
 * size. Returns out. */
char *hd_html_escape(char *out, size_t size, const char *s);

#endif
