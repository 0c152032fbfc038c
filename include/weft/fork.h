/* SPDX-License-Identifier: MIT */
/* weft/fork.h - CPU-bound work on all cores: fork, join, and parallel loops.
 *
 * All of it runs on the executor of weft_compute. A loop, a sort or WEFT_RUN
 * that is called in a task suspends that task and hops there; on a thread of
 * the executor, that is within such work, it just goes on, so they nest.
 *
 * A fork offers work, it does not hand it over: as long as no core is idle the
 * child is a plain call at its join. Rules:
 *   - the child (weft_job, WEFT_CHILD) stands in the frame that forks it, and
 *     is joined there, before the frame is left, the newest first. Leaving by
 *     longjmp or a C++ exception is leaving too.
 *   - work may not call what waits (such calls fail with -EPERM), except
 *     weft_compute and what is declared here.
 *   - how deep it may recurse is a matter of stack, as in any C program:
 *     options.executor_stack a thread. A join runs only descendants of what it
 *     waits for, so no thread needs much more than a sequential run would.
 *   - a thread's children that are forked and not yet joined may have 16 times
 *     that: 32 bytes each, and their arguments.
 *   Past either end the process dies of SIGSEGV, and says which it was. */
#ifndef WEFT_FORK_H
#define WEFT_FORK_H

#include <weft/exec.h>
#include <weft/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- plain form --------------------------------------------------------- */

/* Value object; need not be zeroed. */
typedef struct weft_job {
    uint64_t opaque[8];
} weft_job;

/* Offers fn(arg) to idle cores. Executor: never fails, never waits.
 * executor.submit */
WEFT_API void weft_fork(weft_job *child, weft_fn *fn, void *arg);

/* Runs the child here if nobody has taken it, else helps with its own children
 * until it is done; returns fn's result. If the task behind this work was
 * cancelled, children that have not started never run: -ECANCELED (-ETIMEDOUT).
 * Executor. A child that was forked elsewhere runs now: in a task as
 * weft_compute(fn, arg), so in parallel with nothing; on a thread of the
 * blocking pool or of a pool of your own as a call; on a thread that is not
 * weft's it does not: -EPERM. future.result */
WEFT_API long weft_join(weft_job *child);

/* ---- loops -------------------------------------------------------------- */

/* A part of a loop: items begin to end - 1. A result in [-4095, -1] is an
 * error: parts that have not started are dropped, and the loop returns it. */
typedef long weft_range_fn(size_t begin, size_t end, void *arg);

/* Runs body over items 0 to n - 1, in parts of any length, on as many cores as
 * are idle; no grain to choose: a part is split when somebody asks for work,
 * and lasts some microseconds otherwise. 0 or the first error; -ECANCELED or
 * -ETIMEDOUT as weft_join. Task, executor. -ENOMEM, -EAGAIN (no thread). */
WEFT_API long weft_for(size_t n, weft_range_fn *body, void *arg);

/* The same in parts of `grain` items (the last of a run may have fewer). */
WEFT_API long weft_for_grain(size_t n, size_t grain, weft_range_fn *body,
                             void *arg);

/* Adds items begin to end - 1 to *acc; an error as in weft_range_fn. */
typedef long weft_fold_fn(size_t begin, size_t end, void *acc, void *arg);
/* *left = *left + *right, for an associative "+". */
typedef void weft_merge_fn(void *left, const void *right, void *arg);

/* Folds items 0 to n - 1 into *acc, of `size` bytes. It holds the neutral
 * element before: parts start with a copy of it; they are merged in order, so
 * "+" need not be commutative. After an error *acc is undefined. As weft_for.
 * functools.reduce */
WEFT_API long weft_reduce(size_t n, weft_fold_fn *fold, weft_merge_fn *merge,
                          void *arg, void *acc, size_t size);

/* Prefix sums: item[i] becomes item[0] + ... + item[i]. "+" is applied up to
 * twice as often as in a plain loop. After an error the items are undefined.
 * As weft_for. itertools.accumulate */
WEFT_API long weft_scan(void *base, size_t n, size_t size, weft_merge_fn *merge,
                        void *arg);

/* qsort, stable, with up to n * size bytes of heap. An array whose sort was
 * cancelled holds its items in any order. As weft_for. sorted */
WEFT_API long weft_sort(void *base, size_t n, size_t size,
                        int (*compare)(const void *, const void *));

/* ---- typed form --------------------------------------------------------- */

/* Functions that are forked with their own types, and at the price of a few
 * instructions, since the compiler sees the call at the join:
 *
 *     WEFT_TASK(long, fib, long, n)
 *     {
 *         WEFT_CHILD(fib) a;
 *         long b;
 *
 *         if (n < 2)
 *             return n;
 *         WEFT_FORK(fib, &a, n - 1);
 *         b = WEFT_CALL(fib, n - 2);
 *         return WEFT_JOIN(fib, &a) + b;
 *     }
 *     ...
 *     long result, rc = WEFT_RUN(fib, &result, 36);
 *
 * WEFT_TASK(result type, name, type, argument, ...) starts the definition of a
 * static function with 1 to 6 arguments of assignable types, which want no
 * alignment above 16;
 * WEFT_TASK_VOID(name, type, argument, ...) one without a result. For functions
 * that fork each other, WEFT_TASK_DECLARE before and WEFT_TASK_DEFINE, with the
 * same words, for the body (WEFT_TASK is both); so with _VOID.
 *
 * Test for the leaf first, before anything is computed, and with
 * __builtin_expect where most calls are leaves: the compiler then makes the
 * leaf a part of its own, without the frame of the rest.
 *
 * In the body of such functions alone:
 *   WEFT_CHILD(name) a, b[8];     children, to be forked and joined
 *   WEFT_FORK(name, &a, args...)  offers name(args...)
 *   WEFT_JOIN(name, &a)           its result
 *   WEFT_CALL(name, args...)      a plain call of another such function
 *   WEFT_CANCELLED()              weft_check(), cheaper. A join of
 *                                 this form runs its child also then.
 * Anywhere else:
 *   WEFT_RUN(name, &result, args...)  from a task or the executor; without
 *                                 &result if it is void. 0, and then *result
 *                                 is set; or as weft_compute. */
#define WEFT_TASK(R, ...)                                                      \
    WEFT_TASK_DECLARE(R, __VA_ARGS__)                                          \
    WEFT_TASK_DEFINE(R, __VA_ARGS__)
#define WEFT_TASK_VOID(...)                                                    \
    WEFT_TASK_VOID_DECLARE(__VA_ARGS__)                                        \
    WEFT_TASK_VOID_DEFINE(__VA_ARGS__)

#define WEFT_CHILD(name) struct name##_child_
#define WEFT_FORK(name, child, ...) name##_fork_(weft_here_, child, __VA_ARGS__)
#define WEFT_JOIN(name, child) name##_join_(weft_here_, child)
#define WEFT_CALL(name, ...) name(weft_here_, __VA_ARGS__)
#define WEFT_RUN(name, ...) name##_run_(weft_compute, __VA_ARGS__)
#define WEFT_CANCELLED()                                                       \
    __atomic_load_n(weft_here_->cancelled, __ATOMIC_RELAXED)

/* ---- what the macros stand on ------------------------------------------- */

struct weft_here_;
struct weft_forked_;

/* What is known of a forked child when it is compiled. */
struct weft_kind_ {
    void (*run)(struct weft_here_ *here, struct weft_forked_ *f);
    size_t size; /* of its record */
};

/* The record of a forked child. It stands on its thread's stack of such, not in
 * the frame that forks: a frame whose address nobody has costs less, and its
 * last call can become a jump. What only others need is set once they may take
 * the child. */
struct weft_forked_ {
    const struct weft_kind_ *kind;
    const int *cancelled;
    uintptr_t word;
};

/* A thread's side of it: a hidden argument. Records from `bound` to top are
 * private; others write UINTPTR_MAX there to ask for work, hence its line. */
struct weft_here_ {
    uintptr_t bound __attribute__((aligned(128)));
    char *top __attribute__((aligned(128)));
    const int *cancelled;
};

#define WEFT_LIKELY_(x) __builtin_expect(!!(x), 1)

/* Hands out the oldest children, all but the `keep` newest. */
WEFT_API void weft_feed_(struct weft_here_ *here, int keep);
/* 1: the child, not taken, is the caller's to run. 0: it has run. */
WEFT_API int weft_unfork_slow_(struct weft_here_ *here, struct weft_forked_ *f);
/* NULL where there is no pool's thread, or no memory for its records. */
WEFT_API struct weft_here_ *weft_here_self_(void);

/* The record stands at here->top, filled in. */
static inline void weft_fork_(struct weft_here_ *here, struct weft_forked_ *f,
                              const struct weft_kind_ *kind, size_t size)
{
    f->kind = kind;
    here->top = (char *)f + size;
    if (!WEFT_LIKELY_((uintptr_t)f >=
                      __atomic_load_n(&here->bound, __ATOMIC_RELAXED)))
        weft_feed_(here, 0);
}

/* 1: the record's place is free, what is in it is there until the next fork. */
static inline int weft_unfork_(struct weft_here_ *here, struct weft_forked_ *f,
                               size_t size)
{
    if (!WEFT_LIKELY_((uintptr_t)f >=
                          __atomic_load_n(&here->bound, __ATOMIC_RELAXED) &&
                      here->top == (char *)f + size))
        return weft_unfork_slow_(here, f);
    here->top = (char *)f;
    return 1;
}

#define WEFT_UNUSED_ __attribute__((unused))

/* The arguments, pair by pair: parameters, members, stores, loads, names. */
#define WEFT_13TH_(a, b, c, d, e, f, g, h, i, j, k, l, n, ...) n
#define WEFT_PAIRS_(...)                                                       \
    WEFT_13TH_(__VA_ARGS__, 6, x, 5, x, 4, x, 3, x, 2, x, 1, x)
#define WEFT_EACH_(m, ...)                                                     \
    WEFT_EACH_N_(WEFT_PAIRS_(__VA_ARGS__), m, __VA_ARGS__)
#define WEFT_EACH_N_(n, m, ...)                                                \
    WEFT_GLUE(WEFT_EACH_, WEFT_GLUE(n, _))(m, __VA_ARGS__)
#define WEFT_EACH_1_(m, T, a) m(T, a)
#define WEFT_EACH_2_(m, T, a, ...) m(T, a) WEFT_EACH_1_(m, __VA_ARGS__)
#define WEFT_EACH_3_(m, T, a, ...) m(T, a) WEFT_EACH_2_(m, __VA_ARGS__)
#define WEFT_EACH_4_(m, T, a, ...) m(T, a) WEFT_EACH_3_(m, __VA_ARGS__)
#define WEFT_EACH_5_(m, T, a, ...) m(T, a) WEFT_EACH_4_(m, __VA_ARGS__)
#define WEFT_EACH_6_(m, T, a, ...) m(T, a) WEFT_EACH_5_(m, __VA_ARGS__)
#define WEFT_PARAM_(T, a) , T a
#define WEFT_MEMBER_(T, a) T a;
#define WEFT_STORE_(T, a) weft_record_->in.a = a;
#define WEFT_LOAD_(T, a) , weft_record_->in.a

/* Where there is a result, BACK is `return`, SET and GET store and give it. */
#define WEFT_TASK_DECLARE(R, name, ...)                                        \
    struct name##_record_ {                                                    \
        struct weft_forked_ forked;                                            \
        R result;                                                              \
        struct {                                                               \
            WEFT_EACH_(WEFT_MEMBER_, __VA_ARGS__)                              \
        } in;                                                                  \
    } __attribute__((aligned(16)));                                            \
    WEFT_TASK_PARTS_(R, return, weft_record_->result =, weft_record_->result,  \
                     name, __VA_ARGS__)                                        \
    static inline WEFT_UNUSED_ long name##_run_(                               \
        long (*weft_go_)(weft_fn *, void *),                                   \
        R *weft_result_ WEFT_EACH_(WEFT_PARAM_, __VA_ARGS__))                  \
    {                                                                          \
        struct name##_record_ weft_frame_, *weft_record_ = &weft_frame_;       \
        long weft_rc_;                                                         \
                                                                               \
        WEFT_EACH_(WEFT_STORE_, __VA_ARGS__)                                   \
        weft_rc_ = weft_go_(name##_root_, weft_record_);                       \
        if (weft_rc_ == 0)                                                     \
            *weft_result_ = weft_record_->result;                              \
        return weft_rc_;                                                       \
    }

#define WEFT_TASK_VOID_DECLARE(name, ...)                                      \
    struct name##_record_ {                                                    \
        struct weft_forked_ forked;                                            \
        struct {                                                               \
            WEFT_EACH_(WEFT_MEMBER_, __VA_ARGS__)                              \
        } in;                                                                  \
    } __attribute__((aligned(16)));                                            \
    WEFT_TASK_PARTS_(void, , , , name, __VA_ARGS__)                            \
    static inline WEFT_UNUSED_ long name##_run_(long (*weft_go_)(              \
        weft_fn *, void *) WEFT_EACH_(WEFT_PARAM_, __VA_ARGS__))               \
    {                                                                          \
        struct name##_record_ weft_frame_, *weft_record_ = &weft_frame_;       \
                                                                               \
        WEFT_EACH_(WEFT_STORE_, __VA_ARGS__)                                   \
        return weft_go_(name##_root_, weft_record_);                           \
    }

#define WEFT_TASK_PARTS_(R, BACK, SET, GET, name, ...)                         \
    struct name##_child_ {                                                     \
        struct name##_record_ *record;                                         \
    };                                                                         \
    static R name(                                                             \
        struct weft_here_ *weft_here_ WEFT_EACH_(WEFT_PARAM_, __VA_ARGS__));   \
    static WEFT_UNUSED_ void name##_taken_(struct weft_here_ *weft_here_,      \
                                           struct weft_forked_ *weft_forked_)  \
    {                                                                          \
        struct name##_record_ *weft_record_ =                                  \
            (struct name##_record_ *)(void *)weft_forked_;                     \
                                                                               \
        SET name(weft_here_ WEFT_EACH_(WEFT_LOAD_, __VA_ARGS__));              \
    }                                                                          \
    static WEFT_UNUSED_ const struct weft_kind_ name##_kind_ = {               \
        name##_taken_, sizeof(struct name##_record_)};                         \
    static WEFT_UNUSED_ long name##_root_(void *weft_arg_)                     \
    {                                                                          \
        struct weft_here_ *weft_here_ = weft_here_self_();                     \
                                                                               \
        if (!weft_here_)                                                       \
            return -ENOMEM;                                                    \
        name##_taken_(weft_here_, (struct weft_forked_ *)weft_arg_);           \
        return 0;                                                              \
    }                                                                          \
    static inline WEFT_UNUSED_ void name##_fork_(                              \
        struct weft_here_ *weft_here_,                                         \
        struct name##_child_ *weft_child_ WEFT_EACH_(WEFT_PARAM_,              \
                                                     __VA_ARGS__))             \
    {                                                                          \
        struct name##_record_ *weft_record_ =                                  \
            (struct name##_record_ *)(void *)weft_here_->top;                  \
                                                                               \
        weft_child_->record = weft_record_;                                    \
        WEFT_EACH_(WEFT_STORE_, __VA_ARGS__)                                   \
        weft_fork_(weft_here_, &weft_record_->forked, &name##_kind_,           \
                   sizeof *weft_record_);                                      \
    }                                                                          \
    static inline WEFT_UNUSED_ R name##_join_(                                 \
        struct weft_here_ *weft_here_, struct name##_child_ *weft_child_)      \
    {                                                                          \
        struct name##_record_ *weft_record_ = weft_child_->record;             \
                                                                               \
        if (WEFT_LIKELY_(weft_unfork_(weft_here_, &weft_record_->forked,       \
                                      sizeof *weft_record_)))                  \
            BACK name(weft_here_ WEFT_EACH_(WEFT_LOAD_, __VA_ARGS__));         \
        return GET;                                                            \
    }

#define WEFT_TASK_DEFINE(R, name, ...)                                         \
    static R name(WEFT_UNUSED_ struct weft_here_ *weft_here_ WEFT_EACH_(       \
        WEFT_PARAM_, __VA_ARGS__))
#define WEFT_TASK_VOID_DEFINE(...) WEFT_TASK_DEFINE(void, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif
