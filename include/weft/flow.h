/* SPDX-License-Identifier: MIT */
/* weft/flow.h - how work flows through a program: lent resources, rates,
 * retries, actors, pipelines. */
#ifndef WEFT_FLOW_H
#define WEFT_FLOW_H

#include <weft/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- depot: resources lent to tasks -------------------------------------- */

/* Connections, handles, descriptors: dear to open, used by one task at a time.
 * open, check and close run in the calling task and may wait. */
struct weft_depot_options {
    /* Required: opens a resource into *out. 0 or an error, which the taker
     * gets. */
    int (*open)(void **out, void *arg);
    /* Required: closes one. */
    void (*close)(void *resource, void *arg);
    /* May be NULL: called when one is given back; non-zero: it is broken and
     * will be closed. */
    int (*check)(void *resource, void *arg);
    void *arg;
    unsigned max;      /* open at a time; 16 */
    unsigned max_idle; /* kept open while nobody has them; max */
    int64_t idle_time; /* ns after which an idle one is closed when next looked
                        * at; never */
};

/* *d is yours until weft_depot_close; opts is copied. Any thread. 0, -EINVAL,
 * -ENOMEM. */
WEFT_API WEFT_MUST_CHECK int
weft_depot_open(weft_depot **d, const struct weft_depot_options *opts);

/* Lends a resource: the idle one used last, else a new one, else waits until
 * one is given back; in order of arrival. Task. 0, what open returned,
 * -ESHUTDOWN (d is being closed), -ECANCELED, -ETIMEDOUT. */
WEFT_API WEFT_MUST_CHECK int weft_depot_take(weft_depot *d, void **resource);

/* Gives it back; weft_depot_drop instead if it is known to be broken. Task.
 * Uncancellable. */
WEFT_API void weft_depot_give(weft_depot *d, void *resource);
WEFT_API void weft_depot_drop(weft_depot *d, void *resource);

/* The block runs with v, a T *, lent from d, and is skipped if none can be had.
 * Task. */
#define weft_with_depot(d, T, v)                                               \
    for (struct weft_lease WEFT_GLUE(weft_l_, __LINE__)                        \
             WEFT_CLEANUP(weft_lease_leave_) = weft_lease_enter_(d);           \
         WEFT_GLUE(weft_l_, __LINE__).once;                                    \
         WEFT_GLUE(weft_l_, __LINE__).once = 0)                                \
        for (T *v = (T *)WEFT_GLUE(weft_l_, __LINE__).resource; v; v = NULL)
struct weft_lease {
    weft_depot *depot;
    void *resource;
    int once;
};
WEFT_API struct weft_lease weft_lease_enter_(weft_depot *d);
WEFT_API void weft_lease_leave_(struct weft_lease *l);

/* Refuses new takers, waits until all are given back, closes them, frees d.
 * Uncancellable. Task. */
WEFT_API void weft_depot_close(weft_depot *d);

/* ---- rate limiter --------------------------------------------------------- */

/* A token bucket: `rate` tokens a second (may be a fraction), at most `burst`
 * saved up; it starts full. Nobody may use l yet. 0, -EINVAL. */
WEFT_API int weft_limiter_init(weft_limiter *l, double rate, double burst);

/* Takes n tokens (<= burst), waiting for them; in order of arrival. Task. 0,
 * -EINVAL, -ECANCELED, -ETIMEDOUT: none were taken. */
WEFT_API WEFT_MUST_CHECK int weft_limiter_take(weft_limiter *l, double n);

/* Without waiting: -EAGAIN. Any thread. */
WEFT_API WEFT_MUST_CHECK int weft_limiter_trytake(weft_limiter *l, double n);

/* ---- retry ----------------------------------------------------------------- */

/* Zero in a field means its default. */
struct weft_retry_options {
    unsigned attempts; /* in all; 5 */
    int64_t delay;     /* ns before the second; 100 ms */
    int64_t max_delay; /* ns; 10 s */
    double factor;     /* of each delay to the one before; 2 */
    double jitter;     /* part of a delay that is random, 0 .. 1; 0.5.
                        * negative: none */
    int (*again)(long error, void *arg); /* zero: give up; all errors but
                                          * -ECANCELED */
};

/* Calls fn(arg) until it does not fail, waiting longer each time. Returns its
 * last result. opts may be NULL. Task. -ECANCELED, -ETIMEDOUT. */
WEFT_API long weft_retry(weft_fn *fn, void *arg,
                         const struct weft_retry_options *opts);

#ifdef __cplusplus
}
#endif

#endif
