/* SPDX-License-Identifier: MIT */
/* Parallel loops, reductions, scans and sorts on fork and join.
 *
 * A part of a loop runs in strides and looks up between them: when somebody is
 * hungry it forks the upper half of what is left and goes on with the lower
 * one. Where nobody asks, nothing is split. Strides grow until they last long
 * enough for the look not to matter, and stay short enough for a thief not to
 * wait for it. */
#include "base/sys.h"
#include "core/runtime.h"
#include "exec/fork.h"

#define STRIDE_NS 5000 /* longer: halved; less than half: doubled */

/* Runs fn(arg) where fork and join are possible: here, or on the executor. */
static long enter(weft_fn *fn, void *arg)
{
    return w_forker() ? fn(arg) : weft_compute(fn, arg);
}

/* ---- for ---------------------------------------------------------------- */

/* What the parts of a loop share. */
struct loop {
    size_t n;
    size_t grain;         /* I: 0: by the clock */
    weft_range_fn *body;  /* I */
    void *arg;            /* I */
    weft_fold_fn *fold;   /* I: instead of body */
    weft_merge_fn *merge; /* I */
    const void *neutral;  /* I */
    size_t size;          /* I: of an accumulator */
    void *acc;
    _Atomic long error; /* the first one */
};

struct part {
    struct loop *loop;
    size_t begin, end;
    size_t stride;
    void *acc;
};

struct forked_part {
    alignas(16) struct weft_forked_ forked;
    struct part part;
};

static void run_part(struct forker *f, struct part *p);

static void fail(struct loop *l, long code)
{
    long none = 0;

    if (w_is_error(code))
        (void)cas_relaxed(&l->error, &none, code);
}

static bool stopped(struct forker *f, struct loop *l)
{
    int rc = forker_cancelled(f);

    if (unlikely(rc))
        fail(l, rc);
    return load_relaxed(&l->error) != 0;
}

static void part_taken(struct weft_here_ *here, struct weft_forked_ *r)
{
    run_part(container_of(here, struct forker, here),
             &container_of(r, struct forked_part, forked)->part);
}

static const struct weft_kind_ part_kind = {part_taken,
                                            sizeof(struct forked_part)};

/* The accumulator of a part that somebody else may run. */
#define ACC_INLINE 128

static void *new_acc(struct loop *l, void *inline_acc)
{
    void *acc = l->size <= ACC_INLINE ? inline_acc : sys_malloc(l->size);

    if (acc)
        memcpy(acc, l->neutral, l->size);
    else
        fail(l, -ENOMEM);
    return acc;
}

/* Forks the upper half of what p has left, runs the lower one, joins. */
static W_NOINLINE void split(struct forker *f, struct part *p)
{
    alignas(max_align_t) char inline_acc[ACC_INLINE];
    struct loop *l = p->loop;
    size_t half = (p->end - p->begin) / 2;
    struct forked_part *r = (struct forked_part *)(void *)f->here.top;
    struct part lower = *p, upper = *p;

    if (l->grain)
        half = (half + l->grain - 1) / l->grain * l->grain;
    upper.begin = lower.end = p->begin + half;
    if (l->fold) {
        upper.acc = new_acc(l, inline_acc);
        if (!upper.acc)
            return;
    }
    r->part = upper;
    weft_fork_(&f->here, &r->forked, &part_kind, sizeof *r);
    run_part(f, &lower);
    if (weft_unfork_(&f->here, &r->forked, sizeof *r))
        run_part(f, &upper);
    if (!l->fold)
        return;
    if (!load_relaxed(&l->error))
        l->merge(p->acc, upper.acc, l->arg);
    if (upper.acc != inline_acc)
        sys_free(upper.acc);
}

/* Items begin to begin + n - 1 in one go. */
static void run_stride(struct part *p, size_t n)
{
    struct loop *l = p->loop;
    size_t end = p->begin + n;

    fail(l, l->fold ? l->fold(p->begin, end, p->acc, l->arg)
                    : l->body(p->begin, end, l->arg));
    p->begin = end;
}

static void run_part(struct forker *f, struct part *p)
{
    struct loop *l = p->loop;
    int64_t before = l->grain ? 0 : sys_now(), now;

    while (p->begin < p->end && !stopped(f, l)) {
        size_t left = p->end - p->begin;

        if (forker_is_hungry(f) && left > (l->grain ? l->grain : 1)) {
            split(f, p);
            return;
        }
        run_stride(p, left < p->stride ? left : p->stride);
        if (l->grain)
            continue;
        now = sys_now();
        if (now - before > STRIDE_NS)
            p->stride = (p->stride + 1) / 2;
        else if (now - before < STRIDE_NS / 2)
            p->stride *= 2;
        before = now;
    }
}

static long run_loop(void *arg)
{
    struct forker *f = w_forker();
    struct loop *l = arg;
    struct part p = {.loop = l, .end = l->n, .acc = l->acc};

    p.stride = l->grain ? l->grain : 1;
    /* Before the first items, which may be long ones. */
    w_fork_offer(f);
    run_part(f, &p);
    return load_relaxed(&l->error);
}

long weft_for_grain(size_t n, size_t grain, weft_range_fn *body, void *arg)
{
    struct loop l = {.n = n, .grain = grain, .body = body, .arg = arg};

    return enter(run_loop, &l);
}

long weft_for(size_t n, weft_range_fn *body, void *arg)
{
    return weft_for_grain(n, 0, body, arg);
}

/* ---- reduce ------------------------------------------------------------- */

long weft_reduce(size_t n, weft_fold_fn *fold, weft_merge_fn *merge, void *arg,
                 void *acc, size_t size)
{
    alignas(max_align_t) char inline_neutral[ACC_INLINE];
    struct loop l = {.n = n,
                     .arg = arg,
                     .fold = fold,
                     .merge = merge,
                     .neutral = acc,
                     .size = size,
                     .acc = acc};
    void *neutral = new_acc(&l, inline_neutral);
    long rc;

    if (!neutral)
        return -ENOMEM;
    l.neutral = neutral;
    rc = enter(run_loop, &l);
    if (neutral != inline_neutral)
        sys_free(neutral);
    return rc;
}

/* ---- scan --------------------------------------------------------------- */

/* Blocks of items: each is summed up by itself, then each but the first gets
 * what stands before it. */
#define SCAN_BLOCKS 64

struct scan {
    char *base;
    size_t n, size;
    weft_merge_fn *merge;
    void *arg;
    char *sums; /* of the blocks: in front of each; one more to work with */
};

static size_t scan_begin(const struct scan *s, size_t block)
{
    return (size_t)((unsigned __int128)s->n * block / SCAN_BLOCKS);
}

/* Items begin to end - 1 become sums that start with *acc, which follows. */
static void scan_items(struct scan *s, size_t begin, size_t end, void *acc)
{
    for (size_t i = begin; i < end; i++) {
        s->merge(acc, s->base + i * s->size, s->arg);
        memcpy(s->base + i * s->size, acc, s->size);
    }
}

static long scan_block(size_t begin, size_t end, void *arg)
{
    struct scan *s = arg;

    for (size_t b = begin; b < end; b++) {
        size_t i = scan_begin(s, b), last = scan_begin(s, b + 1);
        char *acc = s->sums + b * s->size;

        memcpy(acc, s->base + i * s->size, s->size);
        scan_items(s, i + 1, last, acc);
    }
    return 0;
}

static long shift_block(size_t begin, size_t end, void *arg)
{
    alignas(max_align_t) char inline_acc[ACC_INLINE];
    struct scan *s = arg;
    char *acc = s->size <= ACC_INLINE ? inline_acc : sys_malloc(s->size);

    if (!acc)
        return -ENOMEM;
    for (size_t b = begin; b < end; b++)
        for (size_t i = scan_begin(s, b + 1); i < scan_begin(s, b + 2); i++) {
            memcpy(acc, s->sums + b * s->size, s->size);
            s->merge(acc, s->base + i * s->size, s->arg);
            memcpy(s->base + i * s->size, acc, s->size);
        }
    if (acc != inline_acc)
        sys_free(acc);
    return 0;
}

static long run_scan(void *arg)
{
    struct scan *s = arg;
    long rc;

    rc = weft_for_grain(SCAN_BLOCKS, 1, scan_block, s);
    if (rc < 0)
        return rc;
    /* sums[b]: of everything up to block b's end */
    for (size_t b = 1; b < SCAN_BLOCKS; b++) {
        char *before = s->sums + (b - 1) * s->size;
        char *own = s->sums + b * s->size;
        char *sum = s->sums + SCAN_BLOCKS * s->size;

        memcpy(sum, before, s->size);
        s->merge(sum, own, s->arg);
        memcpy(own, sum, s->size);
    }
    return weft_for_grain(SCAN_BLOCKS - 1, 1, shift_block, s);
}

static long scan_in_order(void *arg)
{
    struct scan *s = arg;

    memcpy(s->sums, s->base, s->size);
    scan_items(s, 1, s->n, s->sums);
    return 0;
}

long weft_scan(void *base, size_t n, size_t size, weft_merge_fn *merge,
               void *arg)
{
    struct scan s = {base, n, size, merge, arg, NULL};
    bool few = n / 4 < SCAN_BLOCKS;
    long rc;

    if (n == 0 || size == 0)
        return 0;
    s.sums = sys_malloc((few ? 1 : SCAN_BLOCKS + 1) * size);
    if (!s.sums)
        return -ENOMEM;
    rc = enter(few ? scan_in_order : run_scan, &s);
    sys_free(s.sums);
    return rc;
}

/* ---- sort --------------------------------------------------------------- */

#define SORT_LEAF 16      /* items: by insertion */
#define SORT_TOGETHER 512 /* by one thread */
#define MERGE_TOGETHER 4096

struct sort {
    char *base, *spare;
    size_t n, size;
    int (*compare)(const void *, const void *);
};

static inline void copy_item(char *to, const char *from, size_t size)
{
    switch (size) {
    case 4:
        memcpy(to, from, 4);
        break;
    case 8:
        memcpy(to, from, 8);
        break;
    case 16:
        memcpy(to, from, 16);
        break;
    default:
        memcpy(to, from, size);
    }
}

/* tmp: room for an item. */
static void insertion_sort(const struct sort *s, char *a, size_t n, char *tmp)
{
    size_t size = s->size;

    for (size_t i = 1; i < n; i++) {
        char *at = a + i * size;

        if (s->compare(at - size, at) <= 0)
            continue;
        copy_item(tmp, at, size);
        do {
            copy_item(at, at - size, size);
            at -= size;
        } while (at > a && s->compare(at - size, tmp) > 0);
        copy_item(at, tmp, size);
    }
}

static void merge_runs(const struct sort *s, const char *a, size_t na,
                       const char *b, size_t nb, char *to)
{
    size_t size = s->size;

    while (na && nb) {
        if (s->compare(a, b) <= 0) {
            copy_item(to, a, size);
            a += size;
            na--;
        } else {
            copy_item(to, b, size);
            b += size;
            nb--;
        }
        to += size;
    }
    memcpy(to, a, na * size);
    memcpy(to + na * size, b, nb * size);
}

/* How many items of a[0..n) come before *key: equal ones too if `equal`. */
static size_t count_before(const struct sort *s, const char *a, size_t n,
                           const char *key, bool equal)
{
    size_t low = 0;

    while (low < n) {
        size_t mid = low + (n - low) / 2;
        int c = s->compare(a + mid * s->size, key);

        if (c < 0 || (equal && c == 0))
            low = mid + 1;
        else
            n = mid;
    }
    return low;
}

WEFT_TASK_VOID(merge_task, const struct sort *, s, const char *, a, size_t, na,
               const char *, b, size_t, nb, char *, to)
{
    WEFT_CHILD(merge_task) upper;
    size_t ca, cb;

    if (WEFT_CANCELLED()) {
        memcpy(to, a, na * s->size);
        memcpy(to + na * s->size, b, nb * s->size);
        return;
    }
    if (na + nb <= MERGE_TOGETHER) {
        merge_runs(s, a, na, b, nb, to);
        return;
    }
    if (na >= nb) {
        ca = na / 2;
        cb = count_before(s, b, nb, a + ca * s->size, false);
    } else {
        cb = nb / 2;
        ca = count_before(s, a, na, b + cb * s->size, true);
    }
    WEFT_FORK(merge_task, &upper, s, a + ca * s->size, na - ca,
              b + cb * s->size, nb - cb, to + (ca + cb) * s->size);
    WEFT_CALL(merge_task, s, a, ca, b, cb, to);
    WEFT_JOIN(merge_task, &upper);
}

WEFT_TASK_VOID(copy_task, char *, to, const char *, from, size_t, n)
{
    WEFT_CHILD(copy_task) upper;
    size_t half = n / 2;

    if (n <= (size_t)1 << 16) {
        memcpy(to, from, n);
        return;
    }
    WEFT_FORK(copy_task, &upper, to + half, from + half, n - half);
    WEFT_CALL(copy_task, to, from, half);
    WEFT_JOIN(copy_task, &upper);
}

/* Sorts n items at a. The result stands in a, or in spare if `away`. Whatever
 * happens a (spare) holds all of them. */
WEFT_TASK_VOID(sort_task, const struct sort *, s, char *, a, char *, spare,
               size_t, n, int, away)
{
    WEFT_CHILD(sort_task) upper;
    size_t half = n / 2, size = s->size;
    char *b = a + half * size, *bs = spare + half * size;

    if (n <= SORT_LEAF || WEFT_CANCELLED()) {
        if (n > 1 && !WEFT_CANCELLED())
            insertion_sort(s, a, n, spare);
        if (away)
            WEFT_CALL(copy_task, spare, a, n * size);
        return;
    }
    if (n > SORT_TOGETHER) {
        WEFT_FORK(sort_task, &upper, s, b, bs, n - half, !away);
        WEFT_CALL(sort_task, s, a, spare, half, !away);
        WEFT_JOIN(sort_task, &upper);
    } else {
        WEFT_CALL(sort_task, s, a, spare, half, !away);
        WEFT_CALL(sort_task, s, b, bs, n - half, !away);
    }
    if (away)
        WEFT_CALL(merge_task, s, a, half, b, n - half, spare);
    else
        WEFT_CALL(merge_task, s, spare, half, bs, n - half, a);
}

static long run_sort(void *arg)
{
    struct sort *s = arg;
    long rc = WEFT_RUN(sort_task, s, s->base, s->spare, s->n, 0);

    return rc < 0 ? rc : weft_check();
}

long weft_sort(void *base, size_t n, size_t size,
               int (*compare)(const void *, const void *))
{
    struct sort s = {base, NULL, n, size, compare};
    long rc;

    if (n < 2 || size == 0)
        return 0;
    if (n > SIZE_MAX / size)
        return -EINVAL;
    s.spare = sys_malloc(n * size);
    if (!s.spare)
        return -ENOMEM;
    rc = enter(run_sort, &s);
    sys_free(s.spare);
    return rc;
}
