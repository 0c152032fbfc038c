/* SPDX-License-Identifier: MIT */
/* Feeding, stealing, joining; the protocol is argued in exec/forkq.h.
 *
 * The records' stacks are address space of a fixed size: no fork has to ask
 * whether there is room, a guard at the end does.
 *
 * A thread whose child was stolen steals back, from the thief or from whom
 * that one waits for in turn: all it finds there are descendants of what it
 * waits for, so its stack holds one path down the tree, as in a sequential
 * run. (It may read the thief's name a moment too late and get something else;
 * that is no harm but the delay.) */
#include "exec/fork.h"

#include "base/sys.h"
#include "core/runtime.h"

#define DONE ((uintptr_t)1)
#define WAITING ((uintptr_t)2)

/* Records are smaller than the frames that fork them, as a rule: a thread's
 * stack ends before its room for them. But one frame may fork a million. */
#define RECORDS ((size_t)16) /* times a thread's stack, ... */
#define STACK ((size_t)8 << 20) /* ... which is this if nobody chose */
#define BATCH 4            /* children that one request gets, at most */
#define SEARCH_NS 50000    /* an idle thread looks around before it sleeps */
#define SPIN_NS 50000      /* a join does */
#define NAP_NS 200000      /* then it looks after each such time: doubled ... */
#define NAP_MAX_NS 3200000 /* ... up to this */

static const int never;

static _Atomic uintptr_t *word(struct weft_forked_ *r)
{
    return (_Atomic uintptr_t *)&r->word;
}

static _Atomic uintptr_t *bound(struct forker *f)
{
    return (_Atomic uintptr_t *)&f->here.bound;
}

static void ask(struct forker *f)
{
    if (!forker_is_hungry(f))
        store_relaxed(bound(f), UINTPTR_MAX);
}

/* n parts of *size bytes, each with a guard at its end; NULL: no memory. */
static char *map_parts(unsigned n, size_t records, size_t *size)
{
    size_t part = records + THREAD_GUARD;
    char *at = sys_mmap(n * part, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);

    for (unsigned i = 1; at && i <= n; i++)
        if (sys_mprotect(at + i * part - THREAD_GUARD, THREAD_GUARD,
                         PROT_NONE) < 0) {
            sys_munmap(at, n * part);
            at = NULL;
        }
    *size = part;
    return at;
}

/* Where address space is limited, less will do. */
static char *map_records(unsigned n, size_t stack, size_t *size)
{
    char *at = NULL;

    stack = (stack ? stack : STACK) / THREAD_GUARD * THREAD_GUARD;
    if (stack > SIZE_MAX / n / (2 * RECORDS))
        return NULL;
    for (size_t times = RECORDS; !at && times; times /= 4)
        at = map_parts(n, times * stack, size);
    return at;
}

void w_forker_init(struct forker *f, struct fork_group *g, unsigned index,
                   char *records)
{
    f->here.top = f->split = f->records = records;
    f->here.cancelled = &never;
    f->group = g;
    f->random = index * 2654435769u + 1;
    store_relaxed(bound(f), (uintptr_t)records);
}

static int open_forker(struct forker *f)
{
    size_t size;
    char *at = map_records(1, w_thread()->bytes, &size);

    if (!at)
        return -ENOMEM;
    f->room = size;
    f->here.top = f->split = f->records = at;
    w_thread()->forks_end = at + size - THREAD_GUARD;
    store_relaxed(bound(f), (uintptr_t)at);
    return 0;
}

void w_forker_close(struct forker *f)
{
    if (f->room)
        sys_munmap(f->records, f->room);
}

int w_fork_group_open(struct fork_group *g, unsigned n, size_t stack)
{
    g->forkers = sys_memalign(alignof(struct forker), n * sizeof *g->forkers);
    if (!g->forkers)
        return -ENOMEM;
    g->records = map_records(n, stack, &g->room);
    if (!g->records) {
        sys_free(g->forkers);
        return -ENOMEM;
    }
    memset(g->forkers, 0, n * sizeof *g->forkers);
    g->n = n;
    for (unsigned i = 0; i < n; i++)
        w_forker_init(&g->forkers[i], g, i, g->records + i * g->room);
    return 0;
}

void w_fork_group_close(struct fork_group *g)
{
    if (g->records)
        sys_munmap(g->records, g->n * g->room);
    sys_free(g->forkers);
}

/* ---- life of a job ------------------------------------------------------ */

static bool is_shared(struct forker *f)
{
    return f->group && f->group->n > 1;
}

static bool is_at_work(struct forker *f)
{
    return load_relaxed(&f->state) == FORKER_WORKS;
}

/* The first fork is handed out in any case: a thread that is on its way to
 * idleness could not ask in time if a long leaf follows. */
static void begin_work(struct forker *f)
{
    if (!is_shared(f))
        return;
    store_relaxed(&f->state, FORKER_WORKS);
    ask(f);
}

static void end_work(struct forker *f)
{
    store_relaxed(&f->state, FORKER_LOOKS);
}

/* Of what was forked since top stood there. */
static void check_joined(struct forker *f, const char *top)
{
    if (unlikely(f->here.top != top || f->split != top))
        w_bug("fork: a function returned before it joined its children");
}

void w_fork_begin(struct forker *f, const _Atomic int *cancelled)
{
    f->here.cancelled = (const int *)cancelled;
    begin_work(f);
}

void w_fork_end(struct forker *f)
{
    check_joined(f, f->records);
    end_work(f);
    f->here.cancelled = &never;
}

/* ---- owner -------------------------------------------------------------- */

/* The oldest private children, all but the `keep` newest: how many. They are
 * no longer private. */
static int take_oldest(struct forker *f, int keep, struct weft_forked_ **out)
{
    int n = 0;

    while (n < BATCH && f->split != f->here.top) {
        struct weft_forked_ *r = (struct weft_forked_ *)(void *)f->split;
        char *end = f->split + r->kind->size;

        if (keep && end == f->here.top)
            break;
        out[n++] = r;
        f->split = end;
    }
    return n;
}

static void publish(struct forker *f, struct weft_forked_ *r)
{
    store_relaxed(word(r), 0); /* I5 */
    r->cancelled = f->here.cancelled;
    forkq_push(&f->queue, r);
}

void weft_feed_(struct weft_here_ *here, int keep)
{
    struct forker *f = container_of(here, struct forker, here);
    struct fork_group *g = f->group;

    if (forkq_looks_empty(&f->queue)) {
        struct weft_forked_ *r[BATCH];
        int n = take_oldest(f, keep, r);

        if (n == 0)
            return; /* the request stays */
        store_relaxed(bound(f), (uintptr_t)f->split);
        for (int i = 0; i < n; i++)
            publish(f, r[i]);
        f->warm = true;
    } else {
        store_relaxed(bound(f), (uintptr_t)f->split);
    }
    fence_seq_cst(); /* D2 */
    if (load_relaxed(&g->asleep) && !load_relaxed(&g->searching))
        g->more(g->pool);
}

/* ---- thief -------------------------------------------------------------- */

/* victim waits, or will, for the end of r. */
static void run_taken(struct forker *f, struct weft_forked_ *r,
                      struct forker *victim)
{
    const int *outer = f->here.cancelled;
    char *top = f->here.top;
    uintptr_t old;

    f->here.cancelled = r->cancelled;
    store_release(word(r), (uintptr_t)f);
    r->kind->run(&f->here, r);
    check_joined(f, top);
    f->here.cancelled = outer;
    old = swap_acq_rel(word(r), DONE); /* O4 O5 */
    if (old & WAITING) {
        add_seq_cst(&victim->park, 1);
        sys_futex_wake(&victim->park, 1);
    }
}

static struct weft_forked_ *steal(struct forker *victim)
{
    struct weft_forked_ *r;
    enum forkq_steal rc;

    do
        rc = forkq_steal(&victim->queue, &r);
    while (rc == FORKQ_LOST);
    /* Also for the next thief, so that something is out as a rule. */
    if (forkq_looks_empty(&victim->queue) && is_at_work(victim))
        ask(victim);
    return rc == FORKQ_GOT ? r : NULL;
}

void w_fork_offer(struct forker *f)
{
    f->warm = true;
    if (is_shared(f) && f->split == f->here.top && forkq_looks_empty(&f->queue))
        ask(f);
}

static bool any_to_steal(struct fork_group *g)
{
    for (unsigned i = 0; i < g->n; i++)
        if (!forkq_looks_empty(&g->forkers[i].queue))
            return true;
    return false;
}

void w_fork_found(struct forker *f)
{
    struct fork_group *g = f->group;

    if (sub_seq_cst(&g->searching, 1) > 1 || !load_relaxed(&g->asleep))
        return;
    fence_seq_cst(); /* D2 */
    if (any_to_steal(g))
        g->more(g->pool);
}

/* 1: ran something. 0: somebody is at work. -1: nobody is. */
static int look_around(struct forker *f)
{
    struct fork_group *g = f->group;
    unsigned first;
    int rc = -1;

    f->random = f->random * 1664525u + 1013904223u;
    first = (f->random >> 16) % g->n;
    for (unsigned i = 0; i < g->n; i++) {
        struct forker *v = &g->forkers[(first + i) % g->n];
        struct weft_forked_ *r;

        if (v == f || !is_at_work(v))
            continue;
        rc = 0;
        r = steal(v);
        if (!r)
            continue;
        w_fork_found(f);
        begin_work(f);
        run_taken(f, r, v);
        end_work(f);
        add_seq_cst(&g->searching, 1);
        f->warm = true;
        return 1;
    }
    return rc;
}

/* One loop follows the other: it pays to be awake for a while then, also when
 * nobody is at work just now. After work without forks it does not. */
bool w_fork_search(struct forker *f, _Atomic uint32_t *queued)
{
    int64_t end = 0;

    for (unsigned round = 1;; round++) {
        int rc = load_acquire(queued) ? -1 : look_around(f);

        if (rc > 0)
            return true;
        if (rc < 0 && (!f->warm || load_acquire(queued)))
            return false;
        for (int i = 0; i < 8; i++)
            cpu_pause();
        if (round % 16 == 0) {
            int64_t now = sys_now();

            if (!end)
                end = now + SEARCH_NS;
            else if (now > end)
                break;
            sys_yield();
        }
    }
    f->warm = false;
    return false;
}

bool w_fork_last_look(struct forker *f)
{
    struct fork_group *g = f->group;

    fence_seq_cst(); /* D2 */
    for (unsigned i = 0; i < g->n; i++) {
        struct forker *v = &g->forkers[i];

        if (v == f || !is_at_work(v))
            continue;
        if (!forkq_looks_empty(&v->queue))
            return true;
        ask(v);
    }
    return false;
}

/* ---- join --------------------------------------------------------------- */

/* Runs something that its thief, or whom that one waits for, has to offer. */
static bool leap(struct forker *f, struct forker *thief)
{
    struct forker *v = thief;

    for (unsigned hops = 0; v && v != f && hops < f->group->n; hops++) {
        struct weft_forked_ *r = steal(v);

        if (r) {
            run_taken(f, r, v);
            return true;
        }
        v = load_acquire(&v->waits_for);
    }
    return false;
}

/* Until r is done, or for ns. */
static void nap(struct forker *f, struct weft_forked_ *r, int64_t ns)
{
    uint32_t seen = load_seq_cst(&f->park);
    uintptr_t s = load_acquire(word(r));

    while (!(s & WAITING)) {
        if (s == DONE)
            return;
        if (cas_acq_rel(word(r), &s, s | WAITING)) /* O5 */
            break;
    }
    (void)sys_futex_wait(&f->park, seen, ns);
}

static void wait_for_thief(struct forker *f, struct weft_forked_ *r)
{
    int64_t spin_end = 0, ns = NAP_NS;
    unsigned round = 0;

    for (;;) {
        uintptr_t s = load_acquire(word(r)); /* O4 */
        struct forker *thief = (struct forker *)(s & ~WAITING);

        if (s == DONE)
            break;
        store_release(&f->waits_for, thief);
        if (thief && leap(f, thief)) {
            spin_end = 0;
            round = 0;
            ns = NAP_NS;
            continue;
        }
        cpu_pause();
        if (++round % 64)
            continue;
        if (!spin_end) {
            spin_end = sys_now() + SPIN_NS;
        } else if (thief && sys_now() > spin_end) {
            nap(f, r, ns);
            if (ns < NAP_MAX_NS)
                ns *= 2;
            continue;
        }
        sys_yield();
    }
    store_relaxed(&f->waits_for, NULL);
}

/* A request that has come stays. */
static void move_split(struct forker *f, char *to)
{
    uintptr_t was = (uintptr_t)f->split;

    f->split = to;
    (void)cas_relaxed(bound(f), &was, (uintptr_t)to);
}

static _Noreturn void not_newest(void)
{
    w_bug("join: children are joined by who forked them, newest first");
}

int weft_unfork_slow_(struct weft_here_ *here, struct weft_forked_ *r)
{
    struct forker *f = container_of(here, struct forker, here);
    char *place = (char *)r;
    struct weft_forked_ *x;

    if (forker_is_hungry(f))
        weft_feed_(here, 1);
    if (unlikely(here->top != place + r->kind->size))
        not_newest();
    if (place >= f->split) {
        here->top = place;
        return 1;
    }
    x = forkq_pop(&f->queue);
    if (x != r) {
        if (unlikely(x)) /* I2 */
            not_newest();
        wait_for_thief(f, r);
    }
    here->top = place;
    move_split(f, place);
    return x == r;
}

/* ---- plain form --------------------------------------------------------- */

/* Behind weft_job. */
struct fork_job {
    weft_fn *fn;
    void *arg;
    long result;
    struct forker *forker;     /* NULL: forked where nobody can take it */
    struct job_record *record; /* NULL: likewise, on a pool's thread */
};
struct job_record {
    alignas(16) struct weft_forked_ forked;
    struct fork_job *job;
};
static_assert(sizeof(struct fork_job) <= sizeof(weft_job), "weft_job");

/* Threads that share no forked work get their room when they first need it. */
struct weft_here_ *weft_here_self_(void)
{
    struct forker *f = w_forker();

    if (unlikely(!f || (!f->records && open_forker(f) < 0)))
        return NULL;
    return &f->here;
}

static long run_job(struct weft_here_ *here, struct fork_job *j)
{
    int rc = load_relaxed((const _Atomic int *)here->cancelled);

    return unlikely(rc) ? rc : j->fn(j->arg);
}

static void job_taken(struct weft_here_ *here, struct weft_forked_ *r)
{
    struct fork_job *j = container_of(r, struct job_record, forked)->job;

    j->result = run_job(here, j);
}

static const struct weft_kind_ job_kind = {job_taken,
                                           sizeof(struct job_record)};

void weft_fork(weft_job *child, weft_fn *fn, void *arg)
{
    struct fork_job *j = (struct fork_job *)child;

    j->fn = fn;
    j->arg = arg;
    j->record = NULL;
    j->forker = w_forker();
    if (unlikely(!j->forker || !j->forker->records))
        return;
    j->record = (struct job_record *)(void *)j->forker->here.top;
    j->record->job = j;
    weft_fork_(&j->forker->here, &j->record->forked, &job_kind,
               sizeof *j->record);
}

long weft_join(weft_job *child)
{
    struct fork_job *j = (struct fork_job *)child;

    if (unlikely(!j->forker))
        return weft_compute(j->fn, j->arg);
    if (unlikely(!j->record) ||
        likely(weft_unfork_(&j->forker->here, &j->record->forked,
                            sizeof *j->record)))
        return run_job(&j->forker->here, j);
    return j->result;
}
