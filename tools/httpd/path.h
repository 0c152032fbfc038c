/* SPDX-License-Identifier: MIT */
/* From a request target to a descriptor inside the root. */
#ifndef HTTPD_PATH_H
#define HTTPD_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* A decoded path relative to the root, without a leading slash, without empty,
 * "." and ".." segments. With a trailing slash (or empty: the root itself) it
 * names a directory. NUL-terminated. */
struct path {
    size_t n;
    char s[PATH_MAX];
};

/* Decodes the path of a target (up to '?'). 0; -EINVAL: a bad escape, a NUL,
 * or ".." above the root; -ENAMETOOLONG. */
int hd_path_decode(struct path *path, const char *target, size_t n);

/* Non-zero if path names a directory. */
static inline bool hd_path_is_dir(const struct path *path)
{
    return !path->n || path->s[path->n - 1] == '/';
}

/* Appends a segment. 0, -ENAMETOOLONG. */
int hd_path_add(struct path *path, const char *segment);

/* Writes n bytes of s percent-encoded, slashes kept, and a NUL. Returns the
 * length, or -ENAMETOOLONG if it does not fit into size. */
long hd_path_encode(char *out, size_t size, const char *s, size_t n);

/* Opens path beneath the directory root, following symbolic links that stay
 * inside. plain: without openat2. A descriptor, or -EXDEV (outside), -ENOENT,
 * -EACCES, ... Blocks only as open(2) does. */
int hd_open_beneath(int root, const char *path, int flags, bool plain);

/* Holds descriptors back for hd_open_beneath, when no other are left. */
void hd_spares_open(int root);
void hd_spares_close(void);

#endif
