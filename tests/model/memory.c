/* SPDX-License-Identifier: MIT */
/* The checker's memory: what the C11 model (with C++20's corrections) lets a
 * load see, and which plain accesses race.
 *
 * Each atomic word has its stores in modification order, which is the order in
 * which they were executed. What a thread knows (struct know) tells for each
 * word the oldest store it may still read: its own, those it has read, those it
 * learned of. A store carries what its writer knew, if it released (or at its
 * last release fence); an acquiring load adds that to the reader's, a relaxed
 * one puts it aside for an acquire fence. A read-modify-write reads the newest
 * and passes on what its predecessor carried (release sequence).
 *
 * seq_cst: `total` holds for each word the oldest store that may be read after
 * the last fence in the total order, which is the order of execution. A fence
 * joins the thread's view with it, both ways; an access to a word looks at and
 * raises that word alone. membarrier is a fence in every thread at once.
 *
 * Not found this way: executions in which a load sees a store that is executed
 * later (load buffering), or modification order contradicts every order of
 * execution (two words written by two threads in opposite order, and each
 * ending with the first store). Hardware does not do the former with what
 * compilers emit here as long as a dependency or an acquire stands between.
 *
 * Plain accesses: a list of the last ones of each 8 bytes; two of different
 * threads, one a write, must be ordered by what the clocks know. */
#include "engine.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define STORES 6000
#define PER_LOC 300
#define GRANULES 8192 /* a power of two */
#define ACCESSES 20

struct stored {
    uint64_t value;
    struct know carries;
};

struct loc {
    uintptr_t p;
    uint8_t size;
    bool anew;   /* was written by a plain store: older ones are gone */
    uint16_t lo; /* oldest that can be read by anybody */
    uint16_t n;
    uint16_t at[PER_LOC]; /* in stores[] */
};

struct access {
    void *pc;
    uint16_t when;
    uint8_t mask, thread, kind;
};

enum { WRITE = 1, ATOMIC = 2 };

struct granule {
    uintptr_t key;
    uint8_t n;
    struct access a[ACCESSES];
};

static struct stored stores[STORES];
static unsigned n_used;
static struct loc locs[LOCS];
static unsigned n_locs;
static struct know total;
static struct granule granules[GRANULES / 2]; /* those of one execution */
static unsigned n_granules;
static uint32_t run_number;
static struct {
    char *p;
    size_t n;
} gone[16];
static unsigned n_gone;

/* The index of a loc by address, for one execution. */
static struct {
    uintptr_t p;
    uint32_t run;
    uint16_t loc;
} loc_hash[1024];

/* The same of a granule. */
static struct {
    uintptr_t key;
    uint32_t run;
    uint16_t granule;
} granule_hash[GRANULES];

/* Which threads ever came to a word, for all executions of a walk. */
static struct {
    uintptr_t p;
    uint8_t threads;
} comers[4096];

/* A volatile access that the compiler has announced and not yet made. */
static struct {
    void *p;
    uint8_t size;
    bool write, read;
    uint64_t newest;
} announced;

static struct mthread *self(void)
{
    return &threads[cur];
}

static size_t hash(uintptr_t p)
{
    return (size_t)((p * UINT64_C(0x9e3779b97f4a7c15)) >> 40);
}

static inline uint16_t later(uint16_t a, uint16_t b)
{
    return a > b ? a : b;
}

/* In a form that compilers make vectors of: it is most of the work. */
void know_join(struct know *to, const struct know *from)
{
    for (unsigned i = 0; i <= THREADS; i++)
        to->clock[i] = later(to->clock[i], from->clock[i]);
    for (unsigned i = 0; i < n_locs; i += 8) /* zero where there is no word */
        for (unsigned k = i; k < i + 8; k++)
            to->at[k] = later(to->at[k], from->at[k]);
}

/* ---- words -------------------------------------------------------------- */

static uint64_t fetch(uintptr_t p, unsigned size)
{
    uint64_t v = 0;

    memcpy(&v, (void *)p, size);
    return v;
}

static uint64_t cut(uint64_t v, unsigned size)
{
    return size == 8 ? v : v & ((UINT64_C(1) << 8 * size) - 1);
}

static struct stored *append(struct loc *l, uint64_t v)
{
    struct stored *s;

    if (l->n == PER_LOC || n_used == STORES)
        m_fail("too many stores: a loop that does not end?");
    s = &stores[n_used];
    l->at[l->n++] = (uint16_t)n_used++;
    s->value = v;
    memset(&s->carries, 0, sizeof s->carries);
    return s;
}

static struct stored *nth(struct loc *l, unsigned i)
{
    return &stores[l->at[i]];
}

static struct stored *newest(struct loc *l)
{
    return nth(l, l->n - 1);
}

static struct loc *find(void *p, unsigned size, bool make)
{
    struct loc *l;
    size_t h;

    for (h = hash((uintptr_t)p) % 1024; loc_hash[h].run == run_number;
         h = (h + 1) % 1024)
        if (loc_hash[h].p == (uintptr_t)p)
            return &locs[loc_hash[h].loc];
    if (!make)
        return NULL;
    if (n_locs == LOCS)
        m_fail("too many atomic words");
    loc_hash[h].p = (uintptr_t)p;
    loc_hash[h].run = run_number;
    loc_hash[h].loc = (uint16_t)n_locs;
    l = &locs[n_locs++];
    l->p = (uintptr_t)p;
    l->size = (uint8_t)size;
    l->anew = false;
    l->lo = 0;
    l->n = 0;
    append(l, fetch(l->p, size));
    return l;
}

static unsigned index_of(const struct loc *l)
{
    return (unsigned)(l - locs);
}

/* True: only this thread comes here. */
static bool own_word(void *p)
{
    size_t h = hash((uintptr_t)p) % 4096;
    uint8_t bit = (uint8_t)(1u << cur);

    while (comers[h].p && comers[h].p != (uintptr_t)p)
        h = (h + 1) % 4096;
    comers[h].p = (uintptr_t)p;
    if (!(comers[h].threads & bit)) {
        if (comers[h].threads && !(comers[h].threads & (comers[h].threads - 1)))
            learned_shared();
        comers[h].threads |= bit;
    }
    return !(comers[h].threads & (comers[h].threads - 1));
}

/* Before an atomic operation: perhaps others first; then the word, with what
 * plain stores have done to it. */
static struct loc *come_to(void *p, unsigned size)
{
    struct loc *l;

    memory_settle();
    if (!quiet_main) {
        bool own = own_word(p);

        if (own && !all_shared)
            sched_skip();
        else
            sched_point();
    }
    l = find(p, size, true);
    if (l->size != size)
        m_fail("%s is accessed with %u and %u bytes", name_of(p), l->size,
               size);
    if (l->anew || newest(l)->value != fetch(l->p, size)) {
        append(l, fetch(l->p, size));
        l->lo = (uint16_t)(l->n - 1);
        l->anew = false;
    }
    return l;
}

/* ---- races -------------------------------------------------------------- */

static struct granule *granule_of(uintptr_t key)
{
    size_t h = hash(key) % GRANULES;
    struct granule *g;

    for (; granule_hash[h].run == run_number; h = (h + 1) % GRANULES)
        if (granule_hash[h].key == key)
            return &granules[granule_hash[h].granule];
    if (n_granules == GRANULES / 2)
        m_fail("too much memory is touched");
    granule_hash[h].key = key;
    granule_hash[h].run = run_number;
    granule_hash[h].granule = (uint16_t)n_granules;
    g = &granules[n_granules++];
    g->key = key;
    g->n = 0;
    return g;
}

static bool ordered(const struct access *a)
{
    return a->thread == cur || self()->cur.clock[a->thread] >= a->when;
}

static const char *kind_name(unsigned kind)
{
    static const char *const is[] = {"read", "write", "atomic read",
                                     "atomic write"};

    return is[kind];
}

static void race(const struct access *a, unsigned kind, uintptr_t p, void *pc)
{
    trace(a->pc, "race: T%d's %s of %s was here", a->thread - 1,
          kind_name(a->kind), name_of((void *)p));
    trace(pc, "race: T%d's %s here", (int)cur - 1, kind_name(kind));
    m_fail("race on %s: %s by thread %d, then %s by thread %d",
           name_of((void *)p), kind_name(a->kind), a->thread - 1,
           kind_name(kind), (int)cur - 1);
}

static void note(struct granule *g, uint8_t mask, unsigned kind, void *pc)
{
    struct access *mine = NULL;
    unsigned n = 0;

    for (unsigned i = 0; i < g->n; i++) {
        struct access *a = &g->a[i];

        if ((a->mask & mask) && !ordered(a) && ((a->kind | kind) & WRITE) &&
            !((a->kind & kind) & ATOMIC))
            race(a, kind,
                 g->key * 8 + (unsigned)__builtin_ctz(a->mask & mask), pc);
        if (kind == WRITE && !(a->mask & ~mask) && ordered(a))
            continue; /* whoever is ordered after us is so after this */
        g->a[n] = *a;
        if (a->thread == cur && a->kind == kind && a->mask == mask)
            mine = &g->a[n];
        n++;
    }
    g->n = (uint8_t)n;
    if (!mine) {
        if (n == ACCESSES)
            m_fail("too many accesses to one word");
        mine = &g->a[g->n++];
    }
    *mine = (struct access){pc, self()->cur.clock[cur], mask, (uint8_t)cur,
                            (uint8_t)kind};
}

static void touch(void *at, size_t n, unsigned kind, void *pc)
{
    uintptr_t p = (uintptr_t)at, end = p + n;

    for (unsigned i = 0; i < n_gone; i++)
        if ((char *)at < gone[i].p + gone[i].n && (char *)at + n > gone[i].p) {
            trace(pc, "%s of what is gone: %s", kind_name(kind), name_of(at));
            m_fail("%s of %s, which is gone", kind_name(kind), name_of(at));
        }
    if (cur == 0)
        return; /* before all threads, or after */
    while (p < end) {
        unsigned first = p & 7;
        unsigned last = end - (p - first) >= 8 ? 8 : (unsigned)(end & 7);
        uint8_t mask = (uint8_t)((0xffu << first) & (0xffu >> (8 - last)));

        note(granule_of(p / 8), mask, kind, pc);
        p += last - first;
    }
}

void memory_plain(void *at, size_t n, bool write, void *pc)
{
    memory_settle();
    touch(at, n, write ? WRITE : 0, pc);
    if (!write)
        return;
    if (n_locs == 0)
        return;
    if (n <= 8) {
        struct loc *l = find(at, 0, false);

        if (l)
            l->anew = true;
        if (n == 8 && (l = find((char *)at + 4, 0, false)))
            l->anew = true;
        return;
    }
    for (unsigned i = 0; i < n_locs; i++)
        if (locs[i].p - (uintptr_t)at < n)
            locs[i].anew = true;
}

void m_gone(void *p, size_t n)
{
    memory_plain(p, n, true, __builtin_return_address(0));
    trace(__builtin_return_address(0), "%s is gone", name_of(p));
    if (n_gone == 16)
        m_fail("too much is gone");
    gone[n_gone].p = p;
    gone[n_gone++].n = n;
}

static alignas(256) char arena[1 << 17];
static size_t arena_used;

/* The same addresses in each execution; zeroed. */
void *m_alloc(size_t align, size_t n)
{
    size_t at = (arena_used + 16 + align - 1) & ~(align - 1);

    if (at + n > sizeof arena)
        m_fail("out of the model's memory");
    memcpy(arena + at - sizeof n, &n, sizeof n);
    memset(arena + at, 0, n);
    arena_used = at + n;
    return arena + at;
}

void m_free(void *p)
{
    size_t n;

    if (!p)
        return;
    memcpy(&n, (char *)p - sizeof n, sizeof n);
    m_gone(p, n);
}

/* ---- orders ------------------------------------------------------------- */

static bool acquires(int mo)
{
    return mo == ACQUIRE || mo == CONSUME || mo == ACQ_REL || mo == SEQ_CST;
}

static bool releases(int mo)
{
    return mo == RELEASE || mo == ACQ_REL || mo == SEQ_CST;
}

static const char *order_name(int mo)
{
    static const char *const is[] = {"relaxed", "consume", "acquire",
                                     "release", "acq_rel", "seq_cst"};

    return is[mo];
}

static unsigned oldest(struct loc *l, int mo)
{
    unsigned i = index_of(l), k = self()->cur.at[i];

    if (l->lo > k)
        k = l->lo;
    if (self()->floor[i] > k)
        k = self()->floor[i];
    if (mo == SEQ_CST && total.at[i] > k)
        k = total.at[i];
    return k;
}

static void has_read(struct loc *l, unsigned k, int mo)
{
    struct mthread *t = self();
    unsigned i = index_of(l);

    know_join(acquires(mo) ? &t->cur : &t->acq, &nth(l, k)->carries);
    if (k > t->cur.at[i])
        t->cur.at[i] = (uint16_t)k;
    if (mo == SEQ_CST && k > total.at[i])
        total.at[i] = (uint16_t)k;
    t->looked[i / 64] |= UINT64_C(1) << (i % 64);
    t->loaded = true;
}

/* The newest store of l is ours: before is what it displaced, for a
 * read-modify-write. */
static void has_stored(struct loc *l, const struct stored *before, int mo)
{
    struct mthread *t = self();
    struct stored *s = newest(l);
    unsigned i = index_of(l);

    t->cur.at[i] = (uint16_t)(l->n - 1);
    s->carries = releases(mo) ? t->cur : t->rel;
    if (before)
        know_join(&s->carries, &before->carries);
    if (releases(mo))
        t->cur.clock[cur]++;
    if (mo == SEQ_CST)
        total.at[i] = (uint16_t)(l->n - 1);
    n_stores++;
}

static void put(struct loc *l, uint64_t v)
{
    v = cut(v, l->size);
    append(l, v);
    memcpy((void *)l->p, &v, l->size);
}

/* Which store a load sees; with `not`, no older one of that value. */
static unsigned pick(struct loc *l, int mo, const uint64_t *not)
{
    unsigned can[PER_LOC], n = 0, low = oldest(l, mo), k;

    can[n++] = l->n - 1u;
    if (stale_left && !quiet_main)
        for (k = l->n - 1u; k-- > low;)
            if (!not || nth(l, k)->value != *not)
                can[n++] = k;
    k = choose(n);
    if (k)
        stale_left--;
    return can[k];
}

uint64_t memory_load(void *p, unsigned size, int mo, void *pc)
{
    struct loc *l = come_to(p, size);
    unsigned k;

    touch(p, size, ATOMIC, pc);
    k = pick(l, mo, NULL);
    has_read(l, k, mo);
    trace(pc, "load %s %s = %#llx%s", order_name(mo), name_of(p),
          (unsigned long long)nth(l, k)->value, k == l->n - 1u ? "" : " STALE");
    return nth(l, k)->value;
}

void memory_store(void *p, unsigned size, uint64_t v, int mo, void *pc)
{
    struct loc *l = come_to(p, size);

    touch(p, size, ATOMIC | WRITE, pc);
    put(l, v);
    has_stored(l, NULL, mo);
    trace(pc, "store %s %s = %#llx", order_name(mo), name_of(p),
          (unsigned long long)newest(l)->value);
}

static uint64_t apply(enum op op, uint64_t a, uint64_t b)
{
    switch (op) {
    case SWAP: return b;
    case ADD: return a + b;
    case SUB: return a - b;
    case AND: return a & b;
    case OR: return a | b;
    default: return a ^ b;
    }
}

uint64_t memory_rmw(void *p, unsigned size, enum op op, uint64_t v, int mo,
                       void *pc)
{
    static const char *const is[] = {"swap", "add", "sub", "and", "or", "xor"};
    struct loc *l = come_to(p, size);
    struct stored *old = newest(l);

    touch(p, size, ATOMIC | WRITE, pc);
    has_read(l, l->n - 1u, mo);
    put(l, apply(op, old->value, v));
    has_stored(l, old, mo);
    trace(pc, "%s %s %s %#llx -> %#llx", is[op], order_name(mo), name_of(p),
          (unsigned long long)old->value,
          (unsigned long long)newest(l)->value);
    return old->value;
}

bool memory_cas(void *p, unsigned size, uint64_t *expected, uint64_t v,
                   int mo, int fail_mo, void *pc)
{
    struct loc *l = come_to(p, size);
    uint64_t want = cut(*expected, size);
    unsigned k = pick(l, fail_mo, &want);
    struct stored *old = nth(l, k);

    if (old->value != want) {
        touch(p, size, ATOMIC, pc);
        has_read(l, k, fail_mo);
        trace(pc, "cas %s %s: %#llx, not %#llx%s", order_name(mo), name_of(p),
              (unsigned long long)old->value, (unsigned long long)want,
              k == l->n - 1u ? "" : " STALE");
        *expected = old->value;
        return false;
    }
    touch(p, size, ATOMIC | WRITE, pc);
    has_read(l, k, mo);
    put(l, v);
    has_stored(l, old, mo);
    trace(pc, "cas %s %s %#llx -> %#llx", order_name(mo), name_of(p),
          (unsigned long long)want, (unsigned long long)newest(l)->value);
    return true;
}

static void fence_of(struct mthread *t, int mo)
{
    if (acquires(mo))
        know_join(&t->cur, &t->acq);
    if (mo == SEQ_CST)
        for (unsigned i = 0; i < n_locs; i++) {
            if (total.at[i] > t->cur.at[i])
                t->cur.at[i] = total.at[i];
            total.at[i] = t->cur.at[i];
        }
    if (releases(mo))
        t->rel = t->cur;
}

void memory_fence(int mo, void *pc)
{
    memory_settle();
    if (mo == SEQ_CST)
        sched_point();
    fence_of(self(), mo);
    if (releases(mo))
        self()->cur.clock[cur]++;
    trace(pc, "fence %s", order_name(mo));
}

int m_membarrier(int cmd)
{
    if (cmd == 0) /* what there is: private expedited, and to register it */
        return 1 << 3 | 1 << 4;
    if (cmd != 1 << 3)
        return 0;
    memory_settle();
    sched_point();
    for (int twice = 0; twice < 2; twice++)
        for (unsigned t = 1; t <= n_threads; t++) {
            fence_of(&threads[t], SEQ_CST);
            threads[t].cur.clock[t]++;
        }
    trace(__builtin_return_address(0), "membarrier");
    return 0;
}

/* ---- of the engine ------------------------------------------------------ */

void memory_settle(void)
{
    struct loc *l;

    if (!announced.p)
        return;
    if (announced.read)
        memcpy(announced.p, &announced.newest, announced.size);
    if (announced.write) {
        l = find(announced.p, announced.size, true);
        append(l, fetch(l->p, l->size));
        has_stored(l, NULL, RELAXED);
    }
    memset(&announced, 0, sizeof announced);
}

void memory_announce(void *p, unsigned size, bool write, void *pc)
{
    if (write) {
        (void)come_to(p, size);
        touch(p, size, ATOMIC | WRITE, pc);
        trace(pc, "store volatile %s", name_of(p));
    } else {
        uint64_t v = memory_load(p, size, RELAXED, pc);

        announced.newest = fetch((uintptr_t)p, size);
        memcpy(p, &v, size);
    }
    announced.p = p;
    announced.size = (uint8_t)size;
    announced.write = write;
    announced.read = !write;
}

void memory_pause(struct mthread *t, bool *news)
{
    *news = false;
    for (unsigned i = 0; i < n_locs; i++)
        if (t->looked[i / 64] >> (i % 64) & 1) {
            unsigned last = locs[i].n - 1u;

            if (last > t->floor[i] && last > t->cur.at[i])
                *news = true;
            t->floor[i] = (uint16_t)last;
        }
    memset(t->looked, 0, sizeof t->looked);
}

uint32_t memory_newest32(void *p)
{
    return (uint32_t)fetch((uintptr_t)p, 4);
}

void memory_reset(void)
{
    if (++run_number == 0) {
        memset(granule_hash, 0, sizeof granule_hash);
        memset(loc_hash, 0, sizeof loc_hash);
        run_number = 1;
    }
    n_used = n_locs = n_gone = n_granules = 0;
    arena_used = 0;
    memset(&total, 0, sizeof total);
    memset(&announced, 0, sizeof announced);
    memset(&threads[0].cur, 0, sizeof threads[0].cur);
    memset(&threads[0].acq, 0, sizeof threads[0].acq);
    memset(&threads[0].rel, 0, sizeof threads[0].rel);
    memset(threads[0].floor, 0, sizeof threads[0].floor);
    threads[0].cur.clock[0] = 1;
}

void memory_forget(void)
{
    memset(comers, 0, sizeof comers);
}

void memory_start_thread(unsigned t)
{
    threads[t].cur = threads[0].cur;
    memset(&threads[t].acq, 0, sizeof threads[t].acq);
    memset(&threads[t].rel, 0, sizeof threads[t].rel);
    memset(threads[t].floor, 0, sizeof threads[t].floor);
    memset(threads[t].looked, 0, sizeof threads[t].looked);
    threads[t].cur.clock[t] = 1;
}

void memory_join_all(void)
{
    for (unsigned t = 1; t <= n_threads; t++)
        know_join(&threads[0].cur, &threads[t].cur);
}

void *m_memset(void *p, int c, size_t n)
{
    memory_plain(p, n, true, __builtin_return_address(0));
    return memset(p, c, n);
}

void *m_memcpy(void *to, const void *from, size_t n)
{
    memory_plain((void *)from, n, false, __builtin_return_address(0));
    memory_plain(to, n, true, __builtin_return_address(0));
    return memcpy(to, from, n);
}

/* As relaxed atomics. */
void *m_memcpy_word(void *to, const void *from, size_t n)
{
    void *pc = __builtin_return_address(0);

    if (n != 8)
        m_fail("a copy of %zu bytes is no word's", n);
    memory_store(to, 8, memory_load((void *)from, 8, RELAXED, pc), RELAXED, pc);
    return to;
}
