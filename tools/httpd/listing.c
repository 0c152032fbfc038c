/* SPDX-License-Identifier: MIT */
/* Directory listings: names sorted, directories first, hidden files left out.
 *
 * Reading a directory and looking at each entry is hundreds of system calls
 * that may go to the disk, so it is one job for the blocking pool. The page is
 * not cached. */
#include "listing.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "date.h"

enum { ENTRIES_MAX = 100000, NAME_HTML = 6 * 256 };

struct entry {
    char *name;
    bool dir;
    off_t size;
    int64_t mtime;
};

struct listing {
    struct server *srv;
    const struct path *path;
    struct entry *entry;
    size_t n, room;
    FILE *page;
    char *out;
    size_t out_n;
};

char *hd_html_escape(char *out, size_t size, const char *s)
{
    size_t w = 0;

    for (; *s; s++) {
        const char *ref = *s == '&'    ? "&amp;"
                          : *s == '<'  ? "&lt;"
                          : *s == '>'  ? "&gt;"
                          : *s == '"'  ? "&quot;"
                          : *s == '\'' ? "&#39;"
                                       : NULL;
        size_t len = ref ? strlen(ref) : 1;

        if (w + len >= size)
            break;
        memcpy(out + w, ref ? ref : s, len);
        w += len;
    }
    out[w] = '\0';
    return out;
}

static int compare(const void *pa, const void *pb)
{
    const struct entry *a = pa, *b = pb;

    return a->dir != b->dir ? b->dir - a->dir : strcmp(a->name, b->name);
}

static int add_entry(struct listing *l, int dir, const char *name)
{
    struct entry *e;
    struct stat st;

    /* A link that leads nowhere, or out of the root, is not listed: it could
     * not be opened. */
    if (*name == '.' || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
        return 0;
    if (S_ISLNK(st.st_mode)) {
        char full[PATH_MAX];
        int fd, rc;

        if (snprintf(full, sizeof full, "%s%s", l->path->s, name) >= PATH_MAX)
            return 0;
        fd =
            hd_open_beneath(l->srv->root, full, O_PATH, l->srv->set.no_openat2);
        if (fd < 0)
            return 0;
        rc = sys_fstat(fd, &st);
        (void)sys_close(fd);
        if (rc < 0)
            return 0;
    }
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return 0;
    if (l->n == l->room) {
        size_t room = l->room ? l->room * 2 : 64;

        e = sys_realloc(l->entry, room * sizeof *e);
        if (!e)
            return -ENOMEM;
        l->entry = e;
        l->room = room;
    }
    e = &l->entry[l->n];
    e->name = strdup(name);
    if (!e->name)
        return -ENOMEM;
    e->dir = S_ISDIR(st.st_mode);
    e->size = st.st_size;
    e->mtime = st.st_mtim.tv_sec;
    l->n++;
    return 0;
}

static int read_entries(struct listing *l)
{
    int rc = 0,
        fd = hd_open_beneath(l->srv->root, l->path->s, O_RDONLY | O_DIRECTORY,
                             l->srv->set.no_openat2);
    struct dirent *d;
    DIR *dir;

    if (fd < 0)
        return fd;
    dir = fdopendir(fd);
    if (!dir) {
        rc = -errno;
        (void)sys_close(fd);
        return rc;
    }
    while (!rc && l->n < ENTRIES_MAX && (d = readdir(dir)))
        rc = add_entry(l, fd, d->d_name);
    closedir(dir);
    return rc;
}

static void print_entry(struct listing *l, const struct entry *e)
{
    char url[3 * 256 + 4], html[NAME_HTML], date[HD_DATE + 1] = {0};

    if (hd_path_encode(url, sizeof url, e->name, strlen(e->name)) < 0)
        return;
    hd_date_format(date, e->mtime);
    /* "./": a name with a colon would read as a scheme. */
    fprintf(l->page, "<tr><td><a href=\"./%s%s\">%s%s</a><td>", url,
            e->dir ? "/" : "", hd_html_escape(html, sizeof html, e->name),
            e->dir ? "/" : "");
    if (!e->dir)
        fprintf(l->page, "%lld", (long long)e->size);
    fprintf(l->page, "<td>%s\n", date);
}

static void print_page(struct listing *l)
{
    size_t size = 6 * l->path->n + 8;
    char *title = sys_malloc(size);

    if (title)
        hd_html_escape(title, size, l->path->s);
    fprintf(l->page,
            "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\">"
            "<title>/%s</title></head>\n<body><h1>/%s</h1>\n<table>\n",
            title ? title : "", title ? title : "");
    sys_free(title);
    if (l->path->n)
        fputs("<tr><td><a href=\"../\">../</a><td><td>\n", l->page);
    for (size_t i = 0; i < l->n; i++)
        print_entry(l, &l->entry[i]);
    fputs("</table></body></html>\n", l->page);
}

static long run(void *arg)
{
    struct listing *l = arg;
    int rc = read_entries(l);

    if (!rc) {
        if (l->n)
            qsort(l->entry, l->n, sizeof *l->entry, compare);
        l->page = open_memstream(&l->out, &l->out_n);
        if (l->page)
            print_page(l);
        if (!l->page || fclose(l->page))
            rc = -ENOMEM;
    }
    for (size_t i = 0; i < l->n; i++)
        free(l->entry[i].name);
    sys_free(l->entry);
    return rc;
}

int hd_listing(struct server *srv, const struct path *path, char **out,
               size_t *n)
{
    struct listing l = {.srv = srv, .path = path};
    long rc = weft_blocking(run, &l);

    if (rc < 0) {
        sys_free(l.out);
        return (int)rc;
    }
    *out = l.out;
    *n = l.out_n;
    return 0;
}
