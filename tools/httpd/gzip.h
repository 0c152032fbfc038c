/* SPDX-License-Identifier: MIT */
/* Compression of whole files. */
#ifndef HTTPD_GZIP_H
#define HTTPD_GZIP_H

#include "cache.h"

/* Compresses f at level into *out (*n bytes, for sys_free): on the executor,
 * so that this worker serves others meanwhile, or in place if `in_loop`.
 * 0, -ENOMEM, -EIO, or what a waiting call returns. Waits. */
int hd_gzip(const struct file *f, int level, bool in_loop, char **out,
            size_t *n);

/* Frees what is kept between calls. */
void hd_gzip_close(void);

#endif
