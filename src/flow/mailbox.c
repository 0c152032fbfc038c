/* SPDX-License-Identifier: MIT */
#include "flow/mailbox.h"

#include "base/sys.h"
#include "flow/start.h"

#define FIRST_CAP 16

struct ask w_hole;

/* One who waits for room. */
struct sender {
    struct waiter x;
    struct letter letter;
};

int w_mailbox_open(struct mailbox *m, size_t cap)
{
    memset(m, 0, sizeof *m);
    m->unbounded = cap == 0;
    m->cap = cap ? cap : FIRST_CAP;
    list_init(&m->senders);
    m->ring = sys_malloc(m->cap * sizeof *m->ring);
    return m->ring ? 0 : -ENOMEM;
}

void w_mailbox_close(struct mailbox *m)
{
    sys_free(m->ring);
}

/* ---- the ring, under the lock -------------------------------------------- */

static struct letter *at(struct mailbox *m, size_t i)
{
    size_t k = m->head + i;

    return &m->ring[k < m->cap ? k : k - m->cap];
}

static struct weft_task *claim_reader(struct mailbox *m)
{
    struct waiter *x = m->reader;

    m->reader = NULL;
    return x && w_claim_waiter(x) ? x->task : NULL;
}

static void append(struct mailbox *m, struct letter l)
{
    size_t n = load_relaxed(&m->len);

    if (l.ask)
        l.ask->number = m->first + n;
    *at(m, n) = l;
    store_relaxed(&m->len, n + 1);
}

/* Lets go of the lock meanwhile. */
static int grow(struct mailbox *m)
{
    size_t cap = m->cap, n;
    struct letter *ring;

    spin_unlock(&m->lock);
    ring = sys_malloc(2 * cap * sizeof *ring);
    spin_lock(&m->lock);
    if (!ring)
        return -ENOMEM;
    if (m->cap == cap) {
        struct letter *old = m->ring;

        n = load_relaxed(&m->len);
        for (size_t i = 0; i < n; i++)
            ring[i] = *at(m, i);
        m->ring = ring;
        m->cap = 2 * cap;
        m->head = 0;
        ring = old;
    }
    sys_free(ring); /* the old one, or somebody else was quicker */
    return 0;
}

/* 0 and whom to wake; -EAGAIN: full. May let go of the lock. */
static int put_now(struct mailbox *m, struct letter l, struct weft_task **wake)
{
    int rc;

    while (!m->shut && m->unbounded && load_relaxed(&m->len) == m->cap) {
        rc = grow(m);
        if (rc)
            return rc;
    }
    if (m->shut)
        return -ESHUTDOWN;
    if (load_relaxed(&m->len) == m->cap)
        return -EAGAIN;
    append(m, l);
    *wake = claim_reader(m);
    return 0;
}

/* Takes the oldest out; the first sender gets the room and is added to
 * `woken`. False: empty. */
static bool get_now(struct mailbox *m, struct letter *l, struct list *woken)
{
    size_t n = load_relaxed(&m->len);
    struct list *first;

    if (n == 0)
        return false;
    *l = *at(m, 0);
    m->head = m->head + 1 < m->cap ? m->head + 1 : 0;
    m->first++;
    store_relaxed(&m->len, n - 1);
    while ((first = list_pop_front(&m->senders))) {
        struct waiter *x = container_of(first, struct waiter, node);
        struct letter theirs = container_of(x, struct sender, x)->letter;

        x->status = 0;
        if (w_claim_waiter(x)) {
            append(m, theirs);
            list_push_back(woken, first);
            break;
        }
    }
    if (l->ask && l->ask != &w_hole)
        l->ask->state = ASK_TAKEN;
    return true;
}

/* ---- put ----------------------------------------------------------------- */

static void wake_all(struct list *claimed)
{
    struct list *n;

    while ((n = list_pop_front(claimed)))
        w_ready(container_of(n, struct waiter, node)->task);
}

int w_mailbox_tryput(struct mailbox *m, struct letter l)
{
    struct weft_task *wake = NULL;
    int rc;

    spin_lock(&m->lock);
    rc = put_now(m, l, &wake);
    spin_unlock(&m->lock);
    if (wake)
        w_ready(wake);
    return rc;
}

int w_mailbox_put(struct mailbox *m, struct letter l)
{
    struct worker *w = w_worker();
    struct sender s = {.x.task = w ? w->current : NULL, .letter = l};
    struct weft_task *wake = NULL;
    int rc;

    if (!s.x.task)
        return -EPERM;
    w_budget(w);
    rc = w_cancel_error(s.x.task);
    if (rc)
        return rc;
    spin_lock(&m->lock);
    rc = put_now(m, l, &wake);
    if (rc == -EAGAIN) {
        rc = w_wait_begin(s.x.task, &s.x.epoch);
        if (rc == 0) {
            list_push_back(&m->senders, &s.x.node);
            spin_unlock(&m->lock);
            rc = waitq_wait(&s.x, &m->lock, "actor send");
            return rc ? rc : s.x.status;
        }
    }
    spin_unlock(&m->lock);
    if (wake)
        w_ready(wake);
    return rc;
}

/* ---- get ----------------------------------------------------------------- */

/* Under the lock, which it gives back. */
static int wait_get(struct mailbox *m, struct weft_task *t)
{
    struct waiter x = {.task = t};
    int rc = w_wait_begin(t, &x.epoch);

    if (rc == 0)
        m->reader = &x;
    spin_unlock(&m->lock);
    if (rc || w_wait(t, "mailbox"))
        return rc;
    spin_lock(&m->lock);
    if (m->reader == &x)
        m->reader = NULL;
    spin_unlock(&m->lock);
    return w_cancel_error(t);
}

/* Under the lock: passes over holes. */
static bool get_real(struct mailbox *m, struct letter *l, struct list *woken)
{
    do {
        if (!get_now(m, l, woken))
            return false;
    } while (l->ask == &w_hole);
    return true;
}

int w_mailbox_get(struct mailbox *m, struct letter *l)
{
    struct worker *w = w_worker();
    struct weft_task *t = w->current;
    struct list woken;
    int rc;

    w_budget(w);
    rc = w_cancel_error(t);
    list_init(&woken);
    while (rc == 0) {
        spin_lock(&m->lock);
        if (get_real(m, l, &woken)) {
            spin_unlock(&m->lock);
            break;
        }
        if (!m->shut && list_empty(&woken)) {
            rc = wait_get(m, t);
            continue;
        }
        rc = m->shut ? -ESHUTDOWN : 0;
        spin_unlock(&m->lock);
        wake_all(&woken);
    }
    wake_all(&woken);
    return rc;
}

bool w_mailbox_tryget(struct mailbox *m, struct letter *l)
{
    struct list woken;
    bool got;

    list_init(&woken);
    spin_lock(&m->lock);
    got = get_real(m, l, &woken);
    spin_unlock(&m->lock);
    wake_all(&woken);
    return got;
}

void w_mailbox_shut(struct mailbox *m)
{
    struct weft_task *reader;
    struct list refused, *n;

    list_init(&refused);
    spin_lock(&m->lock);
    m->shut = true;
    while ((n = list_pop_front(&m->senders))) {
        struct waiter *x = container_of(n, struct waiter, node);

        x->status = -ESHUTDOWN;
        if (w_claim_waiter(x))
            list_push_back(&refused, n);
    }
    reader = claim_reader(m);
    spin_unlock(&m->lock);
    if (reader)
        w_ready(reader);
    wake_all(&refused);
}

/* ---- answers ------------------------------------------------------------- */

void w_mailbox_answer(struct mailbox *m, struct ask *a, long answer)
{
    struct weft_task *t = NULL;

    spin_lock(&m->lock);
    a->state = ASK_DONE;
    a->answer = answer;
    if (a->waiting && w_claim_waiter(&a->x))
        t = a->x.task;
    spin_unlock(&m->lock);
    if (t)
        w_ready(t);
}

/* Under the lock, which it gives back: the asker was cancelled. */
static long withdraw(struct mailbox *m, struct ask *a, int error)
{
    a->waiting = false;
    if (a->state == ASK_SENT) {
        at(m, (size_t)(a->number - m->first))->ask = &w_hole;
        spin_unlock(&m->lock);
        return error;
    }
    if (a->state == ASK_TAKEN) {
        a->x.epoch = w_wait_begin_shielded(a->x.task);
        a->waiting = true;
        spin_unlock(&m->lock);
        wait_shielded(a->x.task, "answer");
        return a->answer;
    }
    spin_unlock(&m->lock);
    return a->answer;
}

long w_mailbox_await(struct mailbox *m, struct ask *a)
{
    int rc;

    a->x.task = w_current();
    spin_lock(&m->lock);
    if (a->state == ASK_DONE) {
        spin_unlock(&m->lock);
        return a->answer;
    }
    rc = w_wait_begin(a->x.task, &a->x.epoch);
    if (rc)
        return withdraw(m, a, rc);
    a->waiting = true;
    spin_unlock(&m->lock);
    if (w_wait(a->x.task, "ask"))
        return a->answer;
    spin_lock(&m->lock);
    return withdraw(m, a, w_cancel_error(a->x.task));
}
