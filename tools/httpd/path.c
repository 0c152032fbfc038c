/* SPDX-License-Identifier: MIT */
/* From a request target to a descriptor inside the root.
 *
 * Two walls. The text: escapes are decoded once, and "..", also an encoded
 * one, is resolved on the text and refused above the root. The kernel: openat2
 * with RESOLVE_BENEATH refuses every step out of the root, so a symbolic link
 * that leads outside, or that is swapped in between, fails there.
 *
 * Without openat2 (before Linux 5.6, or forbidden by a seccomp filter) the
 * path is opened with O_PATH, which touches nothing, and the kernel is asked
 * where that descriptor really is. The answer is about the object in hand, so
 * there is no window between the check and the use. Absolute links that end
 * inside the root work there, and with openat2 do not. */
#include "path.h"

#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>

#include "base/atomic.h"
#include "base/spin.h"
#include "base/sys.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Copies the path with its escapes undone. */
static int unescape(struct path *path, const char *p, size_t n)
{
    size_t w = 0;

    for (size_t r = 0; r < n && p[r] != '?'; r++) {
        char c = p[r];

        if (c == '%') {
            int high = r + 2 < n ? hex(p[r + 1]) : -1;
            int low = r + 2 < n ? hex(p[r + 2]) : -1;

            if (high < 0 || low < 0)
                return -EINVAL;
            c = (char)(high << 4 | low);
            r += 2;
        }
        if (!c || (c == '#' && p[r] == '#'))
            return -EINVAL;
        if (w == sizeof path->s - 1)
            return -ENAMETOOLONG;
        path->s[w++] = c;
    }
    path->n = w;
    return 0;
}

/* Resolves empty, "." and ".." segments in place. w stands at the start of a
 * segment: at 0 or behind a slash. */
static int normalise(struct path *path)
{
    char *s = path->s;
    size_t w = 0, r = 0;

    while (r < path->n) {
        size_t end = r, len;

        while (end < path->n && s[end] != '/')
            end++;
        len = end - r;
        if (len == 2 && s[r] == '.' && s[r + 1] == '.') {
            if (!w)
                return -EINVAL;
            for (w--; w && s[w - 1] != '/'; w--)
                continue;
        } else if (len && !(len == 1 && s[r] == '.')) {
            memmove(s + w, s + r, len);
            w += len;
            if (end < path->n)
                s[w++] = '/';
        }
        r = end + 1;
    }
    s[w] = '\0';
    path->n = w;
    return 0;
}

int hd_path_decode(struct path *path, const char *target, size_t n)
{
    int rc = unescape(path, target, n);

    return rc < 0 ? rc : normalise(path);
}

int hd_path_add(struct path *path, const char *segment)
{
    size_t n = strlen(segment);

    if (path->n + n >= sizeof path->s)
        return -ENAMETOOLONG;
    memcpy(path->s + path->n, segment, n + 1);
    path->n += n;
    return 0;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || (c && strchr("-._~/!$'()*,;=@", c));
}

long hd_path_encode(char *out, size_t size, const char *s, size_t n)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t w = 0;

    for (size_t r = 0; r < n; r++) {
        unsigned char c = (unsigned char)s[r];

        if (w + 4 > size)
            return -ENAMETOOLONG;
        if (is_plain(s[r])) {
            out[w++] = s[r];
            continue;
        }
        out[w++] = '%';
        out[w++] = digits[c >> 4];
        out[w++] = digits[c & 15];
    }
    if (w == size)
        return -ENAMETOOLONG;
    out[w] = '\0';
    return (long)w;
}

static int real_path(int fd, char *out, size_t size)
{
    char link[32];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = SYS_RET(readlink(link, out, size));
    if (n < 0)
        return (int)n;
    if ((size_t)n == size)
        return -ENAMETOOLONG;
    out[n] = '\0';
    return 0;
}

static bool is_inside(int root, int fd)
{
    char top[PATH_MAX], real[PATH_MAX];
    size_t n;

    if (real_path(root, top, sizeof top) || real_path(fd, real, sizeof real))
        return false;
    n = strlen(top);
    if (n == 1)
        return true; /* the root is "/" */
    return !strncmp(real, top, n) && (real[n] == '/' || !real[n]);
}

static int open_checked(int root, const char *path, int flags)
{
    char link[32];
    int fd, at = sys_openat(root, path, O_PATH | O_CLOEXEC, 0);

    if (at < 0)
        return at;
    if (!is_inside(root, at)) {
        (void)sys_close(at);
        return -EXDEV;
    }
    if (flags & O_PATH)
        return at;
    snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    fd = sys_open(link, flags, 0);
    (void)sys_close(at);
    return fd;
}

/* ---- spare descriptors ---- */

/* Connections may use up all descriptors, but those who are in must be served:
 * a few are held back, and one is let go when a file cannot be opened without
 * it. The acceptor, which pauses while there are none, could still be quicker;
 * there are several to try with. */
enum { SPARES = 8 };

static struct {
    struct spin lock;
    _Atomic unsigned n;
    int fd[SPARES];
} spare;

static void spare_take(int root)
{
    int fd = sys_fcntl(root, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        return;
    spin_lock(&spare.lock);
    if (load_relaxed(&spare.n) < SPARES) {
        spare.fd[load_relaxed(&spare.n)] = fd;
        add_relaxed(&spare.n, 1);
        fd = -1;
    }
    spin_unlock(&spare.lock);
    if (fd >= 0)
        (void)sys_close(fd);
}

static bool spare_release(void)
{
    int fd = -1;

    spin_lock(&spare.lock);
    if (load_relaxed(&spare.n))
        fd = spare.fd[sub_relaxed(&spare.n, 1) - 1];
    spin_unlock(&spare.lock);
    if (fd >= 0)
        (void)sys_close(fd);
    return fd >= 0;
}

void hd_spares_open(int root)
{
    for (int i = 0; i < SPARES; i++)
        spare_take(root);
}

void hd_spares_close(void)
{
    while (spare_release())
        continue;
}

static int open_once(int root, const char *path, int flags, bool plain)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -EAGAIN;

    if (!*path)
        path = ".";
    if (plain)
        return open_checked(root, path, flags | O_CLOEXEC);
    /* -EAGAIN: something was renamed while ".." of a link was resolved. */
    for (int i = 0; i < 8 && fd == -EAGAIN; i++)
        fd = SYS_RET(syscall(SYS_openat2, root, path, &how, sizeof how));
    return (int)fd;
}

int hd_open_beneath(int root, const char *path, int flags, bool plain)
{
    int fd;

    if (load_relaxed(&spare.n) < SPARES)
        spare_take(root);
    do {
        fd = open_once(root, path, flags, plain);
    } while ((fd == -EMFILE || fd == -ENFILE) && spare_release());
    return fd;
}
