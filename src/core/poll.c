/* SPDX-License-Identifier: MIT */
#include "core/poll.h"

#include "base/sys.h"
#include "core/runtime.h"

/* A watch is decided by one compare-and-swap on its state: the event (under the
 * cell's lock), the deadline (under the timer's), the user's disarm. The winner
 * unlinks it from the other side afterwards, with neither lock held while it
 * takes the other. FIRED is its alone; it ends with the making of the task (IDLE)
 * or, without memory, with a timer that tries again (RETRY), which the disarm
 * may win as well. Who sees IDLE and has waited for the timer may free it. */
enum { WATCH_IDLE, WATCH_SETTING, WATCH_ARMED, WATCH_FIRED, WATCH_RETRY };

#define EVENTS_BOTH (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define WAKE_DATA UINT64_MAX

/* ---- pollers ----------------------------------------------------------- */

int w_poller_open(struct poller *p)
{
    /* Edge-triggered and never read: each write is an edge. */
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    int rc;

    p->event = -1;
    p->epoll = sys_epoll_create();
    if (p->epoll < 0)
        return p->epoll;
    p->event = sys_eventfd();
    if (p->event < 0) {
        rc = p->event;
    } else {
        e.data.u64 = WAKE_DATA;
        rc = sys_epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->event, &e);
    }
    if (rc < 0)
        w_poller_close(p);
    return rc < 0 ? rc : 0;
}

void w_poller_close(struct poller *p)
{
    if (p->event >= 0)
        (void)sys_close(p->event);
    if (p->epoll >= 0)
        (void)sys_close(p->epoll);
    p->event = p->epoll = -1;
}

void w_poller_wake(struct poller *p)
{
    uint64_t one = 1;

    while (sys_write(p->event, &one, sizeof one) == -EINTR)
        ;
}

/* ---- cells ------------------------------------------------------------- */

static struct cell *cell_at(struct cell_table *ct, uint32_t index)
{
    return load_acquire(&ct->chunks[index / CELL_CHUNK]) + index % CELL_CHUNK;
}

static bool add_chunk(struct weft_runtime *rt, struct cell_table *ct)
{
    struct cell *chunk;

    if (ct->n_chunks == CELL_CHUNKS)
        return false;
    chunk = sys_calloc(CELL_CHUNK, sizeof *chunk);
    if (!chunk)
        return false;
    for (uint32_t i = CELL_CHUNK; i--;) {
        chunk[i].index = ct->n_chunks * CELL_CHUNK + i;
        chunk[i].rt = rt;
        chunk[i].closed = true;
        chunk[i].next_free = ct->free;
        ct->free = &chunk[i];
    }
    store_release(&ct->chunks[ct->n_chunks], chunk);
    ct->n_chunks++;
    return true;
}

int w_cell_open(struct weft_runtime *rt, int fd, struct cell **out)
{
    struct cell_table *ct = &rt->cells;
    struct cell *c = NULL;

    spin_lock(&ct->lock);
    if (ct->free || add_chunk(rt, ct)) {
        c = ct->free;
        ct->free = c->next_free;
    }
    spin_unlock(&ct->lock);
    if (!c)
        return -ENOMEM;
    spin_lock(&c->lock);
    c->fd = fd;
    c->gen++;
    c->closed = false;
    c->home = NULL;
    c->interest = 0;
    store_relaxed(&c->hup, 0);
    spin_unlock(&c->lock);
    *out = c;
    return 0;
}

void w_cells_close(struct cell_table *ct)
{
    for (unsigned i = 0; i < ct->n_chunks; i++)
        sys_free(load_relaxed(&ct->chunks[i]));
    sys_free(ct->raw);
    memset(ct, 0, sizeof *ct);
}

/* ---- watches ----------------------------------------------------------- */

static bool watch_decide(struct watch *w, uint32_t from, uint32_t to)
{
    return cas_acq_rel(&w->state, &from, to);
}

static void watch_unlink(struct watch *w)
{
    struct cell *c = w->cell;

    spin_lock(&c->lock);
    if (c->watch == w)
        c->watch = NULL;
    spin_unlock(&c->lock);
}

/* The decided watch becomes a task; false without memory. */
static bool watch_task(struct watch *x, struct worker *w, struct chain *c)
{
    struct weft_task *t = w_root_task(w->thread.rt, w, x->fn, x->arg,
                                      WEFT_SITE("watch"));

    if (!t)
        return false;
    t->flags |= TASK_RUN_CANCELLED;
    store_release(&x->state, WATCH_IDLE);
    w_chain_add(c, (w_entry)t | ENTRY_NEW);
    return true;
}

/* In its timer: 0, or when to try again. */
static int64_t watch_try(struct watch *x, struct worker *w, struct chain *c)
{
    if (watch_task(x, w, c))
        return 0;
    store_release(&x->state, WATCH_RETRY);
    return sys_now() + WEFT_MS;
}

static int64_t watch_retry(struct timer *t, struct worker *w, struct chain *c)
{
    struct watch *x = container_of(t, struct watch, timer);

    if (watch_decide(x, WATCH_RETRY, WATCH_FIRED))
        return watch_try(x, w, c);
    /* Disarmed, or he who armed this timer has not said so yet. */
    return load_acquire(&x->state) == WATCH_FIRED ? sys_now() + 50 * WEFT_US
                                                  : 0;
}

static void watch_submit(struct watch *x, struct worker *w, struct chain *c)
{
    if (watch_task(x, w, c))
        return;
    w_timer_arm(&w->timers, &x->timer, sys_now() + WEFT_MS, watch_retry);
    store_release(&x->state, WATCH_RETRY);
}

static int64_t watch_deadline(struct timer *t, struct worker *w,
                              struct chain *c)
{
    struct watch *x = container_of(t, struct watch, timer);

    if (load_acquire(&x->state) == WATCH_SETTING)
        return sys_now() + 50 * WEFT_US; /* its cell's turn is still to come */
    if (load_acquire(&x->state) == WATCH_RETRY)
        return watch_retry(t, w, c);
    if (!watch_decide(x, WATCH_ARMED, WATCH_FIRED))
        return 0;
    x->result = -ETIMEDOUT;
    /* Order of locks: a timer's, then a cell's. */
    watch_unlink(x);
    return watch_try(x, w, c);
}

bool w_watch_disarm(struct watch *w)
{
    uint32_t state;
    bool mine = watch_decide(w, WATCH_ARMED, WATCH_IDLE);

    if (mine)
        watch_unlink(w);
    while (!mine && (state = load_acquire(&w->state)) >= WATCH_FIRED) {
        mine = watch_decide(w, WATCH_RETRY, WATCH_IDLE);
        if (state == WATCH_FIRED)
            sys_yield(); /* another worker is making its task */
    }
    (void)w_timer_disarm(&w->timer);
    return mine;
}

/* ---- events ------------------------------------------------------------ */

/* Under c's lock: who is to be woken by an edge of `dirs`. */
static struct watch *cell_fire(struct cell *c, uint32_t dirs,
                               struct weft_task *woken[2], int status)
{
    struct watch *fired = NULL;

    for (int d = 0; d < 2; d++) {
        struct waiter *x = c->waiter[d];

        if (!(dirs >> d & 1))
            continue;
        store_release(&c->tick[d], load_relaxed(&c->tick[d]) + 1);
        if (x) {
            c->waiter[d] = NULL;
            x->status = status;
            if (w_claim_waiter(x))
                woken[d] = x->task;
        }
    }
    if (c->watch && (c->watch->dirs & dirs)) {
        fired = c->watch;
        c->watch = NULL;
        if (!watch_decide(fired, WATCH_ARMED, WATCH_FIRED))
            return NULL;
        fired->result = status ? status : (int)(fired->dirs & dirs);
    }
    return fired;
}

/* With no lock held. */
static void finish(struct watch *fired, struct weft_task *woken[2],
                   struct worker *w, struct chain *chain)
{
    for (int d = 0; d < 2; d++)
        if (woken[d])
            w_ready_later(chain, woken[d]);
    if (fired) {
        (void)w_timer_disarm(&fired->timer);
        watch_submit(fired, w, chain);
    }
}

static void fire(struct cell *c, uint32_t dirs, struct worker *w,
                 struct chain *chain, uint32_t gen, uint32_t hup)
{
    struct weft_task *woken[2] = {NULL, NULL};
    struct watch *fired = NULL;

    spin_lock(&c->lock);
    if (c->gen == gen && !c->closed) {
        if (hup)
            store_release(&c->hup, 1);
        fired = cell_fire(c, dirs, woken, 0);
    }
    spin_unlock(&c->lock);
    finish(fired, woken, w, chain);
}

static void on_event(struct worker *w, const struct epoll_event *e,
                     struct chain *c)
{
    struct cell *cell = cell_at(&w->thread.rt->cells,
                                (uint32_t)(e->data.u64 >> 32));
    uint32_t ends = e->events & (EPOLLHUP | EPOLLERR), dirs = 0;

    if ((e->events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI)) || ends)
        dirs |= 1u << DIR_READ;
    if ((e->events & EPOLLOUT) || ends)
        dirs |= 1u << DIR_WRITE;
    fire(cell, dirs, w, c, (uint32_t)e->data.u64,
         ends | (e->events & EPOLLRDHUP));
}

unsigned w_poller_poll(struct poller *p, struct worker *w, int64_t timeout,
                       unsigned max, struct chain *c)
{
    struct epoll_event events[128];
    unsigned count = 0;
    int n;

    if (max > array_len(events))
        max = array_len(events);
    n = sys_epoll_wait(p->epoll, events, (int)max, timeout);
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 == WAKE_DATA)
            continue;
        on_event(w, &events[i], c);
        count++;
    }
    return count;
}

unsigned w_poller_drain(struct poller *p, struct worker *w, struct chain *c)
{
    unsigned n = 0;

    if (load_relaxed(&p->fds) && !swap_acquire(&p->draining, 1)) {
        n = w_poller_poll(p, w, 0, 16, c);
        store_release(&p->draining, 0);
    }
    return n;
}

/* ---- registration ------------------------------------------------------ */

/* Here, unless another worker has clearly fewer: whoever accepts connections
 * must not end up with all of them. */
static struct poller *choose_home(struct weft_runtime *rt)
{
    struct worker *w = w_worker();
    struct poller *here = &w->poller, *least = here;
    unsigned mine = load_relaxed(&here->fds), n = mine;

    for (unsigned i = 0; i < rt->n_workers; i++) {
        struct poller *p = &rt->workers[i].poller;

        if (load_relaxed(&p->fds) < n) {
            least = p;
            n = load_relaxed(&p->fds);
        }
    }
    return mine > n + n / 8 + 1 ? least : here;
}

static int ctl(struct cell *c, int op, uint32_t events)
{
    struct epoll_event e = {.events = events};

    e.data.u64 = (uint64_t)c->index << 32 | c->gen;
    return sys_epoll_ctl(c->home->epoll, op, c->fd, &e);
}

/* Under c's lock. */
static int add(struct cell *c, uint32_t events)
{
    int rc;

    c->home = choose_home(c->rt);
    rc = ctl(c, EPOLL_CTL_ADD, events);
    if (rc < 0)
        c->home = NULL;
    else
        add_relaxed(&c->home->fds, 1);
    return rc;
}

void w_cell_wake(struct cell *c, int status)
{
    struct weft_task *woken[2] = {NULL, NULL};
    struct chain chain = {0, 0, 0};
    struct watch *fired;

    spin_lock(&c->lock);
    fired = cell_fire(c, 3, woken, status);
    spin_unlock(&c->lock);
    finish(fired, woken, w_worker(), &chain);
    if (chain.n)
        w_submit(c->rt, chain);
}

void w_cell_close(struct cell *c)
{
    struct cell_table *ct = &c->rt->cells;

    spin_lock(&c->lock);
    if (c->home) {
        (void)ctl(c, EPOLL_CTL_DEL, 0);
        sub_relaxed(&c->home->fds, 1);
    }
    c->closed = true;
    c->home = NULL;
    c->gen++;
    spin_unlock(&c->lock);
    w_cell_wake(c, -EBADF);
    spin_lock(&ct->lock);
    c->next_free = ct->free;
    ct->free = c;
    spin_unlock(&ct->lock);
}

/* ---- waiting ----------------------------------------------------------- */

int w_cell_enroll(struct cell *c, uint32_t dirs, const uint32_t seen[2],
                  struct waiter *x)
{
    int rc = 0;

    spin_lock(&c->lock);
    if (c->closed)
        rc = -EBADF;
    else if (((dirs & 1) && c->waiter[0]) || ((dirs & 2) && c->waiter[1]))
        rc = -EBUSY;
    else if (!c->home)
        rc = add(c, EVENTS_BOTH);
    for (int d = 0; rc == 0 && d < 2; d++)
        if ((dirs >> d & 1) && load_relaxed(&c->tick[d]) != seen[d])
            rc = 1;
    for (int d = 0; rc == 0 && d < 2; d++)
        if (dirs >> d & 1)
            c->waiter[d] = x;
    spin_unlock(&c->lock);
    return rc;
}

void w_cell_withdraw(struct cell *c, struct waiter *x)
{
    spin_lock(&c->lock);
    for (int d = 0; d < 2; d++)
        if (c->waiter[d] == x)
            c->waiter[d] = NULL;
    spin_unlock(&c->lock);
}

static int cell_wait(struct cell *c, uint32_t dirs, const uint32_t seen[2],
                     const char *why)
{
    struct weft_task *t = w_current();
    struct waiter x = {.task = t};
    int rc = w_wait_begin(t, &x.epoch);

    if (rc)
        return rc;
    rc = w_cell_enroll(c, dirs, seen, &x);
    if (rc) {
        w_wait_abort(t);
        return rc == 1 ? 0 : rc;
    }
    if (w_wait(t, why)) {
        if (dirs == 3)
            w_cell_withdraw(c, &x); /* of the other direction */
        return x.status;
    }
    w_cell_withdraw(c, &x);
    return w_cancel_error(t);
}

int w_cell_wait(struct cell *c, int dir, uint32_t seen)
{
    return cell_wait(c, 1u << dir, (uint32_t[2]){seen, seen},
                     dir == DIR_READ ? "read" : "write");
}

int w_cell_wait2(struct cell *c, const uint32_t seen[2])
{
    return cell_wait(c, 3, seen, "read or write");
}

/* Puts x into its cell. 0, 1 (it must fire now) or an error. */
static int watch_link(struct cell *c, struct watch *x, uint32_t seen)
{
    int rc = 0;

    spin_lock(&c->lock);
    if (c->closed)
        rc = -EBADF;
    else if (c->watch)
        rc = -EBUSY;
    else if (cell_seen(c, x->dirs) != seen || load_acquire(&c->rt->stopping))
        rc = 1;
    else if (!c->home)
        rc = add(c, EVENTS_BOTH);
    if (rc == 0) {
        c->watch = x;
        store_release(&x->state, WATCH_ARMED); /* and no touch after it */
    }
    spin_unlock(&c->lock);
    return rc;
}

int w_cell_watch(struct cell *c, struct watch *x, uint32_t dirs, uint32_t seen,
                 int64_t deadline, weft_fn *fn, void *arg)
{
    struct worker *w = w_worker();
    struct chain chain = {0, 0, 0};
    int rc;

    if (load_acquire(&x->state) >= WATCH_ARMED)
        return -EBUSY;
    store_relaxed(&x->state, WATCH_SETTING);
    store_relaxed(&x->timer.home, NULL);
    x->cell = c;
    x->dirs = dirs;
    x->fn = fn;
    x->arg = arg;
    x->result = 0;
    if (deadline != WEFT_NEVER)
        w_timer_arm(&w->timers, &x->timer, deadline, watch_deadline);
    rc = watch_link(c, x, seen);
    if (rc == 0)
        return 0;
    (void)w_timer_disarm(&x->timer);
    if (rc < 0) {
        store_relaxed(&x->state, WATCH_IDLE);
        return rc;
    }
    store_relaxed(&x->state, WATCH_FIRED);
    x->result = load_acquire(&c->rt->stopping) ? -ECANCELED : (int)dirs;
    watch_submit(x, w, &chain);
    if (chain.n)
        w_submit(c->rt, chain);
    return 0;
}

/* ---- descriptors of the user ------------------------------------------- */

static _Atomic(struct cell *) *raw_slot(struct weft_runtime *rt, int fd)
{
    struct cell_table *ct = &rt->cells;

    spin_lock(&ct->lock);
    if ((unsigned)fd >= ct->n_raw) {
        unsigned n = ct->n_raw ? ct->n_raw : 256;
        _Atomic(struct cell *) *raw;

        while (n <= (unsigned)fd)
            n *= 2;
        raw = sys_realloc(ct->raw, n * sizeof *raw);
        if (!raw) {
            spin_unlock(&ct->lock);
            return NULL;
        }
        for (unsigned i = ct->n_raw; i < n; i++)
            store_relaxed(&raw[i], NULL);
        ct->raw = raw;
        ct->n_raw = n;
    }
    spin_unlock(&ct->lock);
    return &ct->raw[fd];
}

static struct cell *raw_cell(struct weft_runtime *rt, int fd)
{
    struct cell_table *ct = &rt->cells;
    struct cell *c;

    if (!raw_slot(rt, fd))
        return NULL;
    spin_lock(&ct->lock);
    c = load_relaxed(&ct->raw[fd]);
    spin_unlock(&ct->lock);
    if (c || w_cell_open(rt, fd, &c) < 0)
        return c;
    spin_lock(&ct->lock);
    if (load_relaxed(&ct->raw[fd])) { /* somebody was quicker */
        spin_lock(&c->lock);
        c->closed = true;
        spin_unlock(&c->lock);
        c->next_free = ct->free;
        ct->free = c;
        c = load_relaxed(&ct->raw[fd]);
    } else {
        store_relaxed(&ct->raw[fd], c);
    }
    spin_unlock(&ct->lock);
    return c;
}

int w_raw_arm(struct weft_runtime *rt, int fd, uint32_t dirs,
              struct cell **out, uint32_t seen[2])
{
    struct cell *c = fd < 0 ? NULL : raw_cell(rt, fd);
    uint32_t events = EPOLLET;
    int rc;

    if (!c)
        return fd < 0 ? -EBADF : -ENOMEM;
    spin_lock(&c->lock);
    if (c->waiter[DIR_READ] || (dirs & 1u << DIR_READ) ||
        (c->watch && c->watch->dirs & 1u << DIR_READ))
        events |= EPOLLIN | EPOLLRDHUP;
    if (c->waiter[DIR_WRITE] || (dirs & 1u << DIR_WRITE) ||
        (c->watch && c->watch->dirs & 1u << DIR_WRITE))
        events |= EPOLLOUT;
    seen[0] = load_relaxed(&c->tick[0]);
    seen[1] = load_relaxed(&c->tick[1]);
    /* A modification reports again what is ready; it fails if the number was
     * closed and opened again since, and then the new file is added. */
    rc = c->home ? ctl(c, EPOLL_CTL_MOD, events) : -ENOENT;
    if (rc == -ENOENT) {
        if (c->home)
            sub_relaxed(&c->home->fds, 1);
        c->gen++;
        rc = add(c, events);
    }
    spin_unlock(&c->lock);
    *out = c;
    return rc == -EPERM ? 1 : rc;
}

void w_raw_forget(struct weft_runtime *rt, int fd)
{
    struct cell_table *ct = &rt->cells;
    struct cell *c = NULL;

    spin_lock(&ct->lock);
    if (fd >= 0 && (unsigned)fd < ct->n_raw) {
        c = load_relaxed(&ct->raw[fd]);
        store_relaxed(&ct->raw[fd], NULL);
    }
    spin_unlock(&ct->lock);
    if (c)
        w_cell_close(c);
}

/* ---- stop -------------------------------------------------------------- */

void w_watches_cancel(struct weft_runtime *rt)
{
    struct cell_table *ct = &rt->cells;
    unsigned n;

    spin_lock(&ct->lock);
    n = ct->n_chunks * CELL_CHUNK;
    spin_unlock(&ct->lock);
    for (uint32_t i = 0; i < n; i++) {
        struct cell *c = cell_at(ct, i);
        struct chain chain = {0, 0, 0};
        struct watch *x;

        spin_lock(&c->lock);
        x = c->watch;
        c->watch = NULL;
        if (x && watch_decide(x, WATCH_ARMED, WATCH_FIRED))
            x->result = -ECANCELED;
        else
            x = NULL;
        spin_unlock(&c->lock);
        if (!x)
            continue;
        (void)w_timer_disarm(&x->timer);
        watch_submit(x, w_worker(), &chain);
        if (chain.n)
            w_submit(rt, chain);
    }
}
