/* SPDX-License-Identifier: MIT */
#include "sim/file.h"

#include <string.h>

#define FILES_MAX 65536u

/* ---- numbers -------------------------------------------------------------- */

static bool make_room(struct sim *s)
{
    unsigned n = s->n_files ? 2 * s->n_files : 64;
    struct sim_file **more;

    if (s->n_open < s->n_files)
        return true;
    more = n > FILES_MAX ? NULL : sys_realloc(s->files, n * sizeof *more);
    if (!more)
        return false;
    memset(more + s->n_files, 0, (n - s->n_files) * sizeof *more);
    s->files = more;
    s->n_files = n;
    return true;
}

int w_sim_file_open(struct sim *s, struct sim_file *f, const struct sim_kind *k)
{
    unsigned i = 0;

    if (!make_room(s))
        return s->n_files >= FILES_MAX ? -EMFILE : -ENOMEM;
    while (s->files[i]) /* the lowest, as the kernel does */
        i++;
    s->files[i] = f;
    s->n_open++;
    f->kind = k;
    f->fd = SIM_FD + (int)i;
    list_init(&f->registrations);
    return f->fd;
}

struct sim_file *w_sim_file(struct sim *s, int fd)
{
    return fd >= SIM_FD && (unsigned)(fd - SIM_FD) < s->n_files
               ? s->files[fd - SIM_FD]
               : NULL;
}

/* ---- epoll ---------------------------------------------------------------- */

struct epoll_file {
    struct sim_file file;
    struct list registrations, pending;
    unsigned n_pending;
};

struct registration {
    struct list of_file, of_epoll;
    struct list pending; /* linked: something happened since it was told */
    struct sim_file *file;
    struct epoll_file *epoll;
    uint32_t interest;
    epoll_data_t data;
};

static uint32_t news(struct sim *s, struct registration *r)
{
    return r->file->kind->ready(s, r->file) &
           (r->interest | EPOLLERR | EPOLLHUP);
}

static void note(struct sim *s, struct registration *r)
{
    if (!news(s, r))
        return;
    if (!list_linked(&r->pending)) {
        list_push_back(&r->epoll->pending, &r->pending);
        r->epoll->n_pending++;
    }
    w_sim_wake(s, r->epoll, 1);
}

static void settle(struct registration *r)
{
    if (list_linked(&r->pending)) {
        list_remove(&r->pending);
        r->epoll->n_pending--;
    }
}

/* Out of one list it may have been taken already. */
static void drop(struct registration *r)
{
    settle(r);
    if (list_linked(&r->of_file))
        list_remove(&r->of_file);
    if (list_linked(&r->of_epoll))
        list_remove(&r->of_epoll);
    sys_free(r);
}

void w_sim_file_edge(struct sim *s, struct sim_file *f)
{
    list_each(n, &f->registrations)
        note(s, container_of(n, struct registration, of_file));
}

static uint32_t never_ready(struct sim *s, struct sim_file *f)
{
    (void)s, (void)f;
    return 0;
}

static void close_epoll(struct sim *s, struct sim_file *f)
{
    struct epoll_file *e = container_of(f, struct epoll_file, file);
    struct list *n;

    (void)s;
    while ((n = list_pop_front(&e->registrations)))
        drop(container_of(n, struct registration, of_epoll));
    sys_free(e);
}

static const struct sim_kind epoll_kind = {0, never_ready, close_epoll};

int w_sim_op_epoll_create(void)
{
    struct sim *s = sim_self();
    struct epoll_file *e = sys_calloc(1, sizeof *e);
    int fd = e ? w_sim_file_open(s, &e->file, &epoll_kind) : -ENOMEM;

    if (fd < 0) {
        sys_free(e);
        return fd;
    }
    list_init(&e->registrations);
    list_init(&e->pending);
    return fd;
}

static struct epoll_file *epoll_file(struct sim *s, int fd)
{
    struct sim_file *f = w_sim_file(s, fd);

    if (!f || f->kind != &epoll_kind)
        return NULL;
    return container_of(f, struct epoll_file, file);
}

static struct registration *find(struct epoll_file *e, struct sim_file *f)
{
    list_each(n, &f->registrations) {
        struct registration *r = container_of(n, struct registration, of_file);

        if (r->epoll == e)
            return r;
    }
    return NULL;
}

static int control(struct sim *s, struct epoll_file *e, int op,
                   struct sim_file *f, const struct epoll_event *event)
{
    struct registration *r = find(e, f);

    if (op == EPOLL_CTL_ADD && r)
        return -EEXIST;
    if (op != EPOLL_CTL_ADD && !r)
        return -ENOENT;
    if (op == EPOLL_CTL_DEL) {
        drop(r);
        return 0;
    }
    if (!r) {
        r = sys_calloc(1, sizeof *r);
        if (!r)
            return -ENOMEM;
        r->file = f;
        r->epoll = e;
        list_push_back(&f->registrations, &r->of_file);
        list_push_back(&e->registrations, &r->of_epoll);
    }
    r->interest = event->events & ~(uint32_t)EPOLLET;
    r->data = event->data;
    note(s, r);
    return 0;
}

int w_sim_op_epoll_ctl(int ep, int op, int fd, struct epoll_event *event)
{
    struct sim *s = sim_self();
    struct epoll_file *e = epoll_file(s, ep);
    struct sim_file *f = w_sim_file(s, fd);
    int rc;

    if (!e)
        return -EBADF;
    if (!f)
        return fd < SIM_FD ? -EPERM : -EBADF; /* as a file of the disk's */
    rc = control(s, e, op, f, event);
    w_sim_trace(s, op == EPOLL_CTL_DEL ? "epoll_del" : "epoll_add", fd, rc);
    w_sim_maybe_switch(s);
    return rc;
}

static struct registration *nth_pending(struct epoll_file *e, uint64_t nth)
{
    struct list *first = e->pending.next;

    list_each(n, &e->pending)
        if (nth-- == 0)
            return container_of(n, struct registration, pending);
    return container_of(first, struct registration, pending);
}

/* In an order of the seed's. */
static int collect(struct sim *s, struct epoll_file *e, struct epoll_event *out,
                   int n)
{
    int count = 0;

    while (count < n && e->n_pending) {
        struct registration *r = nth_pending(e, w_sim_random(s) % e->n_pending);
        uint32_t events;

        settle(r);
        events = news(s, r);
        if (!events)
            continue;
        out[count].events = events;
        out[count++].data = r->data;
        w_sim_trace(s, "event", r->file->fd, events);
    }
    return count;
}

int w_sim_op_epoll_wait(int ep, struct epoll_event *out, int n, int64_t timeout)
{
    struct sim *s = sim_self();
    struct epoll_file *e = epoll_file(s, ep);
    int64_t end = s->now + timeout, left;
    int count;

    if (!e)
        return -EBADF;
    w_sim_maybe_switch(s);
    while ((count = collect(s, e, out, n)) == 0 && timeout) {
        left = end > s->now ? end - s->now : 0;
        if (!w_sim_wait(s, e, timeout < 0 ? -1 : left))
            return collect(s, e, out, n);
    }
    return count;
}

/* ---- eventfd -------------------------------------------------------------- */

/* Written by many, never read: each write is an edge. */
static uint32_t event_ready(struct sim *s, struct sim_file *f)
{
    (void)s, (void)f;
    return EPOLLIN | EPOLLOUT;
}

static void free_file(struct sim *s, struct sim_file *f)
{
    (void)s;
    sys_free(f);
}

static const struct sim_kind event_kind = {0, event_ready, free_file};

int w_sim_op_eventfd(void)
{
    struct sim *s = sim_self();
    struct sim_file *f = sys_calloc(1, sizeof *f);
    int fd = f ? w_sim_file_open(s, f, &event_kind) : -ENOMEM;

    if (fd < 0)
        sys_free(f);
    return fd;
}

/* ---- for all -------------------------------------------------------------- */

static void close_file(struct sim *s, struct sim_file *f)
{
    struct list *n;

    while ((n = list_pop_front(&f->registrations)))
        drop(container_of(n, struct registration, of_file));
    s->files[f->fd - SIM_FD] = NULL;
    s->n_open--;
    f->kind->close(s, f);
}

int w_sim_op_close(int fd)
{
    struct sim *s = sim_self();
    struct sim_file *f = w_sim_file(s, fd);

    if (!f)
        return -EBADF;
    w_sim_trace(s, "close", fd, 0);
    close_file(s, f);
    w_sim_maybe_switch(s);
    return 0;
}

int w_sim_files_close(struct sim *s)
{
    int sockets = 0;

    for (unsigned i = 0; i < s->n_files; i++) {
        if (!s->files[i])
            continue;
        sockets += w_sim_is_socket(s->files[i]);
        close_file(s, s->files[i]);
    }
    sys_free(s->files);
    return sockets;
}

int w_sim_op_fstat(int fd, struct stat *st)
{
    struct sim_file *f = w_sim_file(sim_self(), fd);

    if (!f)
        return -EBADF;
    memset(st, 0, sizeof *st);
    st->st_mode = f->kind->mode;
    return 0;
}

int w_sim_op_poll(int fd, int events)
{
    struct sim *s = sim_self();
    struct sim_file *f = w_sim_file(s, fd);

    /* EPOLL's bits are poll's. */
    return f ? (int)f->kind->ready(s, f) & (events | POLLERR | POLLHUP)
             : POLLNVAL;
}

ssize_t w_sim_op_send(int fd, const struct msghdr *m)
{
    struct sim *s = sim_self();
    struct sim_file *f = w_sim_file(s, fd);
    ssize_t rc = sizeof(uint64_t);

    if (!f)
        return -EBADF;
    if (w_sim_is_socket(f))
        rc = w_sim_socket_send(s, f, m);
    else
        w_sim_file_edge(s, f);
    w_sim_trace(s, "send", fd, rc);
    w_sim_maybe_switch(s);
    return rc;
}

ssize_t w_sim_op_receive(int fd, struct msghdr *m, int flags)
{
    struct sim *s = sim_self();
    struct sim_file *f;
    ssize_t rc;

    w_sim_maybe_switch(s);
    f = w_sim_file(s, fd);
    if (!f)
        return -EBADF;
    if (!w_sim_is_socket(f))
        return -EINVAL;
    rc = w_sim_socket_receive(s, f, m, flags);
    w_sim_trace(s, "receive", fd, rc);
    return rc;
}
