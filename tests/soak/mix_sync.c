/* SPDX-License-Identifier: MIT */
/* Scenarios of locks, events, queues, channels and select. Most share one
 * object: it is the crowd that makes them interesting. */
#include "soak.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PERMITS_IN_ALL 3

static struct {
    weft_mutex mutex, tokens_mutex;
    weft_rwlock rw;
    weft_sem sem;
    weft_cond some;
    weft_event event;
    weft_queue queue;
    weft_chan chan;
    void *slots[8];
    struct item *buffer[4];
    long pot, book; /* guarded by mutex and rw, on purpose not atomic */
    int tokens;     /* guarded by tokens_mutex */
    atomic_int inside, readers, writers, permits;
} all;

/* ---- locks -------------------------------------------------------------- */

static void mutex(struct player *p)
{
    int rc = 0;

    weft_with_timeout(moment(p, 3000)) {
        rc = one_in(p, 8) ? weft_mutex_trylock(&all.mutex)
                          : weft_mutex_lock(&all.mutex);
        if (rc == -EAGAIN || !went(rc))
            return;
    }
    lend(LOCKS);
    check(atomic_fetch_add(&all.inside, 1) == 0);
    all.pot++;
    (void)linger(p);
    check(weft_mutex_locked(&all.mutex));
    check(atomic_fetch_sub(&all.inside, 1) == 1);
    give_back(LOCKS);
    check(weft_mutex_unlock(&all.mutex) == 0);
}

static void reads(struct player *p)
{
    long seen;

    weft_with_timeout(moment(p, 3000))
        weft_with_rdlock(&all.rw) {
            lend(LOCKS);
            atomic_fetch_add(&all.readers, 1);
            seen = all.book;
            (void)linger(p);
            check(all.book == seen && atomic_load(&all.writers) == 0);
            atomic_fetch_sub(&all.readers, 1);
            give_back(LOCKS);
        }
}

static void writes(struct player *p)
{
    weft_with_timeout(moment(p, 3000))
        weft_with_wrlock(&all.rw) {
            lend(LOCKS);
            check(atomic_fetch_add(&all.writers, 1) == 0);
            all.book++;
            if (one_in(p, 4))
                (void)linger(p);
            check(atomic_load(&all.readers) == 0);
            atomic_fetch_sub(&all.writers, 1);
            give_back(LOCKS);
        }
}

static void permits(struct player *p)
{
    weft_with_timeout(moment(p, 3000)) {
        if (!went(weft_sem_acquire(&all.sem)))
            break;
        lend(PERMITS);
        check(atomic_fetch_add(&all.permits, 1) < PERMITS_IN_ALL);
        (void)linger(p);
        atomic_fetch_sub(&all.permits, 1);
        give_back(PERMITS);
        check(weft_sem_release(&all.sem) == 0);
    }
}

static int has_token(void *arg)
{
    (void)arg;
    return all.tokens > 0;
}

static void tokens(struct player *p)
{
    bool takes = one_in(p, 2);
    int rc;

    weft_with_timeout(moment(p, 2000))
        weft_with_mutex(&all.tokens_mutex) {
            if (!takes) {
                all.tokens++;
                if (one_in(p, 8))
                    weft_cond_broadcast(&all.some);
                else
                    weft_cond_signal(&all.some);
                continue;
            }
            rc = weft_cond_wait_for(&all.some, &all.tokens_mutex, has_token,
                                    NULL);
            if (rc == 0 && check(all.tokens > 0))
                all.tokens--;
            went(rc);
        }
}

static void events(struct player *p)
{
    weft_with_timeout(moment(p, 1000)) {
        if (one_in(p, 3))
            weft_event_set(&all.event);
        else if (one_in(p, 2))
            weft_event_clear(&all.event);
        else
            went(weft_event_wait(&all.event));
    }
}

/* ---- together ----------------------------------------------------------- */

#define PARTY 3

struct party {
    struct player p;
    weft_barrier barrier;
    weft_once_flag once;
    weft_future future;
    atomic_int begun, runs, seats, met;
};

static long first_time(void *arg)
{
    struct party *a = arg;

    check(atomic_fetch_add(&a->begun, 1) == 0);
    (void)weft_yield();
    atomic_fetch_sub(&a->begun, 1);
    return atomic_fetch_add(&a->runs, 1) == 0 ? ON_PURPOSE : 7;
}

static long attends(void *arg)
{
    struct party *a = arg;
    long rc = weft_barrier_wait(&a->barrier);

    if (rc >= 0) {
        check(rc < PARTY);
        check(!(atomic_fetch_or(&a->seats, 1 << rc) & 1 << rc));
        atomic_fetch_add(&a->met, 1);
    } else if (rc != -EPIPE) {
        went(rc);
    }
    rc = weft_once(&a->once, first_time, a);
    if (rc != ON_PURPOSE && went(rc))
        check(rc == 7);
    weft_future_set(&a->future, 11);
    rc = weft_future_wait(&a->future);
    if (went(rc))
        check(rc == 11);
    return 0;
}

static void parties(struct player *p)
{
    struct party a = {.p = young(p)};
    bool breaks = one_in(p, 4);
    int n = 0, met;
    weft_group g;

    check(weft_barrier_init(&a.barrier, PARTY) == 0);
    weft_with_group(&g) {
        for (int i = 0; i < PARTY; i++)
            n += weft_spawn(&g, attends, &a) == 0;
        if (breaks && one_in(p, 2))
            weft_barrier_abort(&a.barrier);
        else if (breaks)
            break;
        if (n < PARTY)
            break;
    }
    met = atomic_load(&a.met);
    check(met <= PARTY);
    if (!breaks && weft_check() == 0)
        check(met == PARTY && atomic_load(&a.runs) >= 2 &&
              weft_once_done(&a.once));
}

/* ---- hand on ------------------------------------------------------------ */

static void drain_queue(weft_queue *q)
{
    void *item;

    while (weft_queue_tryget(q, &item) == 0)
        item_in(item);
}

static void queue(struct player *p)
{
    struct item *i;
    void *got;
    int rc;

    weft_with_timeout(moment(p, 1000)) {
        if (one_in(p, 2)) {
            rc = one_in(p, 3) ? weft_queue_tryget(&all.queue, &got)
                              : weft_queue_get(&all.queue, &got);
            if (rc != -EAGAIN && went(rc))
                item_in(got);
        } else if ((i = item_out(p, 0))) {
            rc = one_in(p, 3) ? weft_queue_tryput(&all.queue, i)
                              : weft_queue_put(&all.queue, i);
            if (rc == -EAGAIN || !went(rc))
                item_in(i);
        }
    }
}

static void chan(struct player *p)
{
    struct item *i;
    int rc;

    weft_with_timeout(moment(p, 1000)) {
        if (one_in(p, 2)) {
            rc = one_in(p, 3) ? weft_chan_tryrecv(&all.chan, &i)
                              : weft_chan_recv(&all.chan, &i);
            if (rc != -EAGAIN && went(rc))
                item_in(i);
        } else if ((i = item_out(p, 0))) {
            rc = one_in(p, 3) ? weft_chan_trysend(&all.chan, &i)
                              : weft_chan_send(&all.chan, &i);
            if (rc == -EAGAIN || !went(rc))
                item_in(i);
        }
    }
}

struct line {
    weft_queue q;
    enum weft_queue_kind kind;
    unsigned producers;
    atomic_long put, got;
};

struct producer {
    struct player p;
    struct line *line;
};

static int by_rank(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    return (x->rank > y->rank) - (x->rank < y->rank);
}

static long produces(void *arg)
{
    struct producer *a = arg;
    struct line *l = a->line;

    for (long n = 1; n <= 20; n++) {
        struct item *i = item_out(&a->p, n);

        if (!i)
            break;
        if (!went(weft_queue_put(&l->q, i))) {
            item_in(i);
            return weft_check();
        }
        atomic_fetch_add(&l->put, 1);
    }
    return 0;
}

static long consumes(void *arg)
{
    struct line *l = arg;
    long before = 0;
    void *item;
    int rc;

    while ((rc = weft_queue_get(&l->q, &item)) == 0) {
        long rank = ((struct item *)item)->rank;

        if (l->kind == WEFT_FIFO && l->producers == 1)
            check(rank > before);
        before = rank;
        item_in(item);
        atomic_fetch_add(&l->got, 1);
        check(weft_queue_done(&l->q) == 0);
    }
    return rc == -ESHUTDOWN || !went(rc) ? 0 : rc;
}

static void lines(struct player *p)
{
    struct line l = {.kind = dice(p, 3), .producers = 1 + dice(p, 3)};
    size_t cap = one_in(p, 3) ? 0 : 1 + dice(p, 8);
    void *slots[WEFT_PRIORITY_SLOTS(9)];
    struct producer a[3];
    weft_group g, h;

    check(weft_queue_init(&l.q, cap ? slots : NULL, cap, l.kind) == 0);
    if (l.kind == WEFT_PRIORITY)
        check(weft_queue_order(&l.q, by_rank) == 0);
    weft_with_group(&g) {
        for (unsigned i = 0, n = 1 + dice(p, 3); i < n; i++)
            (void)!weft_spawn(&g, consumes, &l);
        weft_with_group(&h)
            for (unsigned i = 0; i < l.producers; i++) {
                a[i] = (struct producer){young(p), &l};
                (void)!weft_spawn(&h, produces, &a[i]);
            }
        if (weft_check() == 0 && one_in(p, 2))
            went(weft_queue_join(&l.q));
        weft_queue_shutdown(&l.q, 0);
    }
    if (weft_check() == 0)
        check(atomic_load(&l.put) == atomic_load(&l.got));
    weft_queue_shutdown(&l.q, 0);
    drain_queue(&l.q);
}

/* ---- select ------------------------------------------------------------- */

struct feed {
    struct player p;
    weft_chan chan;
    weft_queue queue;
    weft_event event;
    weft_future future;
    int fd;
    atomic_int fed;
};

static long feeds(void *arg)
{
    struct feed *f = arg;

    for (int n = 0; n < 10 && weft_check() == 0; n++) {
        struct item *i = item_out(&f->p, n);
        int rc;

        if (!i)
            break;
        rc =
            n % 2 ? weft_queue_put(&f->queue, i) : weft_chan_send(&f->chan, &i);
        if (went(rc))
            atomic_fetch_add(&f->fed, 1);
        else
            item_in(i);
        if (n == 3)
            weft_event_set(&f->event);
        if (n == 6)
            check(write(f->fd, &(uint64_t){1}, 8) == 8);
    }
    weft_future_set(&f->future, 5);
    return 0;
}

/* Switches off what has told all that it has to tell. */
static void take(struct weft_case *c, struct item **received, void **got,
                 int *n)
{
    if (c->op == WEFT_RECV && check_rc(c->ret == 0, c->ret))
        item_in(*received), ++*n;
    else if (c->op == WEFT_GET && check_rc(c->ret == 0, c->ret))
        item_in(*got), ++*n;
    else if (c->op == WEFT_SET)
        check_rc(c->ret == 5, c->ret);
    if (c->op != WEFT_RECV && c->op != WEFT_GET)
        c->op = WEFT_NONE;
}

static void selects(struct player *p)
{
    struct feed f = {.p = young(p),
                     .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    struct item *received, *buffer[2];
    size_t cap = one_in(p, 2) ? 0 : LEN(buffer);
    void *got, *slots[2];
    weft_group g;
    int n = 0;
    long at;

    check(f.fd >= 0);
    check(weft_chan_init(&f.chan, cap ? buffer : NULL, sizeof *buffer, cap) ==
          0);
    check(weft_queue_init(&f.queue, slots, 2, WEFT_FIFO) == 0);
    weft_with_group(&g) {
        struct weft_case cases[] = {
            WEFT_CASE_RECV(&f.chan, &received),
            WEFT_CASE_GET(&f.queue, &got),
            WEFT_CASE_EVENT(&f.event),
            WEFT_CASE_FUTURE(&f.future),
            WEFT_CASE_TIME(weft_now() + moment(p, 500)),
            WEFT_CASE_FD(f.fd, WEFT_READ),
        };

        if (weft_spawn(&g, feeds, &f) != 0)
            break;
        while (n < 10 && went(at = weft_select(cases, LEN(cases))))
            if (check(at < (long)LEN(cases)))
                take(&cases[at], &received, &got, &n);
            else
                break;
    }
    drain_queue(&f.queue);
    while (weft_chan_tryrecv(&f.chan, &received) == 0)
        item_in(received), n++;
    weft_fd_forget(f.fd);
    close(f.fd);
    if (weft_check() == 0)
        check(atomic_load(&f.fed) == 10 && n == 10);
}

/* ---- the part ----------------------------------------------------------- */

static void open_all(weft_group *services)
{
    (void)services;
    memset(&all, 0, sizeof all); /* one round is as another */
    check(weft_sem_init(&all.sem, PERMITS_IN_ALL, PERMITS_IN_ALL) == 0);
    check(weft_queue_init(&all.queue, all.slots, LEN(all.slots), WEFT_FIFO) ==
          0);
    check(weft_chan_init(&all.chan, all.buffer, sizeof *all.buffer,
                         LEN(all.buffer)) == 0);
}

static void close_all(void)
{
    struct item *i;

    drain_queue(&all.queue);
    while (weft_chan_tryrecv(&all.chan, &i) == 0)
        item_in(i);
    check(weft_sem_value(&all.sem) == PERMITS_IN_ALL);
    check(!weft_mutex_locked(&all.mutex));
    if (check(weft_rwlock_trywrlock(&all.rw) == 0))
        check(weft_rwlock_unlock(&all.rw) == 0);
}

static struct scenario scenarios[] = {
    {"sync.mutex", 12, mutex, 0, 0},      {"sync.reads", 10, reads, 0, 0},
    {"sync.writes", 6, writes, 0, 0},     {"sync.permits", 10, permits, 0, 0},
    {"sync.tokens", 10, tokens, 0, 0},    {"sync.events", 10, events, 0, 0},
    {"sync.parties", 8, parties, 0, 0},   {"queues.queue", 12, queue, 0, 0},
    {"queues.chan", 12, chan, 0, 0},      {"queues.lines", 6, lines, 0, 0},
    {"queues.selects", 6, selects, 0, 0},
};

struct part part_sync = {scenarios, LEN(scenarios), open_all, close_all};
