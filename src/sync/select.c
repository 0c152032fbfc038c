/* SPDX-License-Identifier: MIT */
/* Select: tries each case; if none can go on, one wait with a node in each
 * object.
 *
 * A case that is found ready while the nodes are put in place is not done there
 * and then: a channel's peer may be a select too, and neither can be claimed
 * with the other's claim still open. So the task ends its own wait, takes its
 * nodes out and tries again, which claims the peer while it waits for nothing
 * itself. If its claim fails somebody else was quicker, and has done one of the
 * cases. A node that loses costs its object nothing: whoever pops it passes on
 * to the next.
 *
 * Descriptors have one place a direction for who waits. Several cases of one fd
 * therefore share the node of the first, and an edge only says that it is time
 * to try again. */
#include "sync/select.h"

#include "base/sys.h"
#include "core/join.h"
#include "core/poll.h"
#include "core/runtime.h"

#define FEW 16 /* nodes on the stack */
#define EVENTS (WEFT_READ | WEFT_WRITE)

/* The node of a case. */
struct node {
    struct waiter x;
    struct timer timer; /* WEFT_TIME */
    struct cell *cell;  /* WEFT_FD: NULL: not enrolled */
    uint32_t dirs;      /* WEFT_FD: 1 << DIR_ */
};

/* ---- trying ------------------------------------------------------------ */

static int fd_events(const struct weft_case *c)
{
    return (int)c->when;
}

/* 0: not ready. */
static int fd_ready(const struct weft_case *c)
{
    int events = fd_events(c), ready;

    if (c->fd < 0)
        return -EBADF;
    ready = sys_poll(c->fd,
                     (short)((events & WEFT_READ ? POLLIN | POLLRDHUP : 0) |
                             (events & WEFT_WRITE ? POLLOUT : 0)));
    if (ready <= 0)
        return ready == -EINTR ? 0 : ready;
    if (ready & POLLNVAL)
        return -EBADF;
    if (ready & (POLLERR | POLLHUP))
        return events;
    return (ready & (POLLIN | POLLRDHUP) ? WEFT_READ : 0) |
           (ready & POLLOUT ? WEFT_WRITE : 0);
}

/* True: the case's own call need not wait; what it returns is in *ret. */
static bool case_try(const struct weft_case *c, struct weft_task *self,
                     long *ret)
{
    *ret = 0;
    switch (c->op) {
    case WEFT_NONE:
        break;
    case WEFT_GET:
        *ret = weft_queue_tryget(c->object, c->data);
        return *ret != -EAGAIN;
    case WEFT_PUT:
        *ret = weft_queue_tryput(c->object, c->data);
        return *ret != -EAGAIN;
    case WEFT_SEND:
        *ret = weft_chan_trysend(c->object, c->data);
        return *ret != -EAGAIN;
    case WEFT_RECV:
        *ret = weft_chan_tryrecv(c->object, c->data);
        return *ret != -EAGAIN;
    case WEFT_ENDED:
        if (c->object != self && !weft_task_done(c->object))
            return false;
        *ret = c->object == self ? -EDEADLK : weft_task_result(c->object);
        return true;
    case WEFT_SET:
        if (!weft_future_done(c->object))
            return false;
        *ret = weft_future_result(c->object);
        return true;
    case WEFT_EVENT:
        return weft_event_is_set(c->object);
    case WEFT_TIME:
        return c->when <= 0 || c->when <= sys_now();
    case WEFT_FD:
        *ret = fd_ready(c);
        return *ret != 0;
    }
    return false;
}

/* Where to begin is drawn from what changes between two tries of a task. */
static uint64_t draw(struct weft_task *t)
{
    struct worker *w = w_worker();
    uint64_t x = load_relaxed(&t->wait) ^ (uintptr_t)t;

    if (sim_here()) /* where addresses must decide nothing */
        x = sys_seed();
    if (likely(w))
        x ^= load_relaxed(&w->tick) << 40 ^ (uint64_t)w->budget << 32;
    x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

/* Tries all once, from anywhere, in steps that meet each: the index of the
 * first that is done, or -EAGAIN. With steps of one, a case that follows others
 * which are not ready would win in their stead too. */
static long try_all(struct weft_case *cases, size_t n, struct weft_task *self)
{
    static const uint8_t steps[] = {101, 103, 107, 109, 113, 127, 131, 137,
                                    139, 149, 151, 157, 163, 167, 173, 179};
    size_t i = 0, step = 0;
    long r;

    if (n > 1) {
        uint64_t x = draw(self);

        i = (size_t)((x >> 32) * n >> 32);
        step = steps[x % array_len(steps)] % n; /* primes: 0 or no divisor */
    }
    if (step == 0)
        step = 1;
    for (size_t k = 0; k < n; k++) {
        if (case_try(&cases[i], self, &r)) {
            cases[i].ret = r;
            return (long)i;
        }
        i = i + step < n ? i + step : i + step - n;
    }
    return -EAGAIN;
}

/* ---- waiting ----------------------------------------------------------- */

static int64_t on_time(struct timer *t, struct worker *w, struct chain *c)
{
    struct node *e = container_of(t, struct node, timer);
    struct weft_task *task = e->x.task;

    (void)w;
    if (w_claim_waiter(&e->x))
        w_ready_later(c, task);
    return 0;
}

/* Directions in which the cases before the k-th wait for its fd. */
static uint32_t fd_covered(const struct weft_case *cases,
                           const struct node *nodes, size_t k)
{
    uint32_t dirs = 0;

    for (size_t i = 0; i < k; i++)
        if (cases[i].op == WEFT_FD && cases[i].fd == cases[k].fd &&
            nodes[i].cell)
            dirs |= nodes[i].dirs;
    return dirs;
}

/* 0, 1 (try again), or an error. */
static int fd_enroll(const struct weft_case *cases, struct node *nodes,
                     size_t k)
{
    struct weft_runtime *rt = task_rt(nodes[k].x.task);
    uint32_t dirs = (uint32_t)fd_events(&cases[k]), seen[2];
    bool again = false;
    struct cell *c;
    int rc;

    for (;;) {
        rc = w_raw_arm(rt, cases[k].fd, dirs, &c, seen);
        if (rc == 0)
            rc = w_cell_enroll(c, dirs, seen, &nodes[k].x);
        if (rc != -EBUSY || again)
            break;
        dirs &= ~fd_covered(cases, nodes, k);
        if (dirs == 0)
            return 0;
        again = true;
    }
    if (rc == 0) {
        nodes[k].cell = c;
        nodes[k].dirs = dirs;
    }
    return rc;
}

/* The k-th: 0: it waits, 1: it seems ready, or an error that is its result. */
static int enroll(const struct weft_case *cases, struct node *nodes, size_t k)
{
    const struct weft_case *c = &cases[k];
    struct node *e = &nodes[k];

    switch (c->op) {
    case WEFT_NONE:
        break;
    case WEFT_GET:
        return w_queue_enroll_get(c->object, &e->x);
    case WEFT_PUT:
        e->x.value = c->data;
        return w_queue_enroll_put(c->object, &e->x);
    case WEFT_SEND:
        e->x.value = c->data;
        return w_chan_enroll_send(c->object, &e->x);
    case WEFT_RECV:
        e->x.value = c->data;
        return w_chan_enroll_recv(c->object, &e->x);
    case WEFT_ENDED:
        return w_task_enroll(c->object, &e->x);
    case WEFT_SET:
        return w_future_enroll(c->object, &e->x);
    case WEFT_EVENT:
        return w_event_enroll(c->object, &e->x);
    case WEFT_TIME:
        store_relaxed(&e->timer.home, NULL);
        if (c->when != WEFT_NEVER)
            w_timer_arm(&w_worker()->timers, &e->timer, c->when, on_time);
        return 0;
    case WEFT_FD:
        e->cell = NULL;
        return fd_enroll(cases, nodes, k);
    }
    return 0;
}

/* Afterwards nobody else touches the node. Who has won was taken out. */
static void withdraw(const struct weft_case *c, struct node *e)
{
    if (e->x.won && c->op < WEFT_TIME)
        return;
    switch (c->op) {
    case WEFT_NONE:
        break;
    case WEFT_GET:
    case WEFT_PUT:
        w_queue_withdraw(c->object, &e->x);
        break;
    case WEFT_SEND:
    case WEFT_RECV:
        w_chan_withdraw(c->object, &e->x);
        break;
    case WEFT_ENDED:
        w_task_withdraw(c->object, &e->x);
        break;
    case WEFT_SET:
        w_future_withdraw(c->object, &e->x);
        break;
    case WEFT_EVENT:
        w_event_withdraw(c->object, &e->x);
        break;
    case WEFT_TIME:
        (void)w_timer_disarm(&e->timer);
        break;
    case WEFT_FD:
        if (e->cell)
            w_cell_withdraw(e->cell, &e->x);
        break;
    }
}

/* The result of a case that a waker won. False: none yet, try again. */
static bool won_result(const struct weft_case *c, const struct node *e,
                       long *ret)
{
    *ret = e->x.status;
    switch (c->op) {
    case WEFT_GET:
        if (e->x.status == 0)
            *(void **)c->data = e->x.value;
        break;
    case WEFT_ENDED:
        *ret = weft_task_result(c->object);
        break;
    case WEFT_SET:
        *ret = weft_future_result(c->object);
        break;
    case WEFT_FD:
        return *ret != 0; /* an error; else see which are ready */
    default:
        break;
    }
    return true;
}

/* Puts nodes in place until the wait is over. How many. */
static size_t enroll_all(const struct weft_case *cases, struct node *nodes,
                         size_t n, struct waiter *again)
{
    for (size_t k = 0; k < n; k++) {
        struct waiter *x = &nodes[k].x;
        int rc;

        *x = (struct waiter){.task = again->task, .epoch = again->epoch};
        rc = enroll(cases, nodes, k);
        if (rc == 0)
            continue;
        if (rc < 0)
            x->status = rc;
        rc = w_claim_self(rc < 0 ? x : again);
        (void)rc; /* if the claim failed the wait is over as well */
        return k + 1;
    }
    return n;
}

/* One wait: the index of the case that won, -EAGAIN (try again), an error. */
static long wait_once(struct weft_case *cases, struct node *nodes, size_t n,
                      struct weft_task *self)
{
    struct waiter again = {.task = self};
    size_t in, winner = n;
    long r = w_wait_begin(self, &again.epoch);
    bool woken;

    if (r)
        return r;
    in = enroll_all(cases, nodes, n, &again);
    woken = w_wait(self, "select");
    for (size_t k = 0; k < in; k++) {
        if (nodes[k].x.won)
            winner = k;
        withdraw(&cases[k], &nodes[k]);
    }
    if (!woken)
        return w_cancel_error(self);
    if (winner == n || !won_result(&cases[winner], &nodes[winner], &r))
        return -EAGAIN;
    cases[winner].ret = r;
    return (long)winner;
}

/* ---- select ------------------------------------------------------------ */

static bool valid(const struct weft_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct weft_case *c = &cases[i];

        if ((unsigned)c->op > WEFT_FD)
            return false;
        if (c->op > WEFT_NONE && c->op < WEFT_TIME && !c->object)
            return false;
        if (c->op == WEFT_FD && (!c->when || (c->when & ~(int64_t)EVENTS)))
            return false;
    }
    return n > 0;
}

static long wait_for_one(struct weft_case *cases, struct node *nodes, size_t n,
                         struct weft_task *self)
{
    long rc;

    for (;;) {
        rc = wait_once(cases, nodes, n, self);
        if (rc != -EAGAIN)
            return rc;
        w_budget(w_worker());
        rc = try_all(cases, n, self);
        if (rc != -EAGAIN)
            return rc;
    }
}

/* Not inlined: the nodes' room is taken only by those who wait. */
static W_NOINLINE long wait_few(struct weft_case *cases, size_t n,
                                struct weft_task *self)
{
    struct node nodes[FEW];

    return wait_for_one(cases, nodes, n, self);
}

static long wait_many(struct weft_case *cases, size_t n, struct weft_task *self)
{
    struct node *nodes =
        n <= SIZE_MAX / sizeof *nodes ? sys_malloc(n * sizeof *nodes) : NULL;
    long rc = nodes ? wait_for_one(cases, nodes, n, self) : -ENOMEM;

    sys_free(nodes);
    return rc;
}

long weft_select(struct weft_case *cases, size_t n)
{
    struct worker *w = w_worker();
    struct weft_task *t = w ? w->current : NULL;
    long rc;

    if (unlikely(!t))
        return -EPERM;
    if (unlikely(!valid(cases, n)))
        return -EINVAL;
    w_budget(w);
    rc = w_cancel_error(t);
    if (unlikely(rc))
        return rc;
    rc = try_all(cases, n, t);
    if (rc != -EAGAIN)
        return rc;
    return n <= FEW ? wait_few(cases, n, t) : wait_many(cases, n, t);
}

long weft_tryselect(struct weft_case *cases, size_t n)
{
    struct weft_task *t = w_current();

    if (unlikely(!t))
        return -EPERM;
    return valid(cases, n) ? try_all(cases, n, t) : -EINVAL;
}
