/* SPDX-License-Identifier: MIT */
/* weft/flow.h - how work flows through a program: lent resources, rates,
 * retries, actors, pipelines. */
#ifndef WEFT_FLOW_H
#define WEFT_FLOW_H

#include <weft/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- depot: resources lent to tasks ------------------------------------- */

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
 * one is given back; in order of arrival. If open fails, whoever waits next may
 * try. Task. 0, what open returned, -ESHUTDOWN (d is being closed),
 * -ECANCELED, -ETIMEDOUT. */
WEFT_API WEFT_MUST_CHECK int weft_depot_take(weft_depot *d, void **resource);

/* Gives it back; weft_depot_drop instead if it is known to be broken. Task.
 * Uncancellable. */
WEFT_API void weft_depot_give(weft_depot *d, void *resource);
WEFT_API void weft_depot_drop(weft_depot *d, void *resource);

/* The block runs with v, a T *, lent from d, and is skipped if none can be had
 * (weft_depot_take says why) or it is NULL. It is no scope: what the block
 * defers runs after v was given back. Task. */
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

/* ---- rate limiter ------------------------------------------------------- */

/* A token bucket: `rate` tokens a second (may be a fraction), at most `burst`
 * saved up; it starts full. Nobody may use l yet. 0, -EINVAL. */
WEFT_API int weft_limiter_init(weft_limiter *l, double rate, double burst);

/* Takes n tokens (<= burst), waiting for them; in order of arrival. Task. 0,
 * -EINVAL, -ECANCELED, -ETIMEDOUT: none were taken. */
WEFT_API WEFT_MUST_CHECK int weft_limiter_take(weft_limiter *l, double n);

/* Without waiting: -EAGAIN. Any thread. */
WEFT_API WEFT_MUST_CHECK int weft_limiter_trytake(weft_limiter *l, double n);

/* ---- retry -------------------------------------------------------------- */

/* Zero in a field means its default. */
struct weft_retry_options {
    unsigned attempts; /* in all; 5 */
    int64_t delay;     /* ns before the second; 100 ms */
    int64_t max_delay; /* ns; 10 s */
    double factor;     /* of each delay to the one before; 2 */
    double jitter;     /* part of a delay that is random, 0 .. 1: a delay d
                        * becomes d * (1 - jitter) .. d; 0.5. negative: none */
    int (*again)(long error, void *arg); /* arg is fn's. zero: give up; all
                                          * errors but -ECANCELED */
};

/* Calls fn(arg) until it does not fail, waiting longer each time. Returns its
 * last result. opts may be NULL. Task. -ECANCELED, -ETIMEDOUT (between two
 * calls). */
WEFT_API long weft_retry(weft_fn *fn, void *arg,
                         const struct weft_retry_options *opts);

/* ---- actors ------------------------------------------------------------- */

/* An actor is a task with a mailbox and a state that nobody else touches. Its
 * handler is called for one message at a time, in the order in which they were
 * sent; it may wait, and owns the message from then on. What it returns is the
 * reply to weft_actor_ask; if that is an error the actor has failed: the
 * message is lost, those in the mailbox are not. So a refusal ("the room is
 * full") is no error: it is a value, or stands in the message. */
typedef long weft_actor_fn(void *state, void *message);

/* Zero in a field means its default. */
struct weft_actor_options {
    const char *name; /* of its task; the handler's */
    size_t mailbox;   /* messages that may wait; any number */
    /* Builds the state, in the actor's task, at its start and after each
     * failure that a supervisor mends. 0 or an error, which is a failure.
     * NULL: the state is arg. */
    int (*on_start)(void **state, void *arg);
    /* Tears it down, also after a failure. It may wait: a cancellation does not
     * reach it. */
    void (*on_stop)(void *state, void *arg);
    /* Is given each message that was sent and will not be handled, because the
     * actor was cancelled or failed for good. */
    void (*drop)(void *message, void *arg);
    void *arg;
};

/* Starts an actor as a task of g, which waits for its end: stop it before the
 * block of g ends. Unsupervised, its failure is its task's, and cancels g. *a
 * is yours until weft_actor_close, and is set before on_start runs. opts may be
 * NULL and is copied. Callers as of weft_spawn. 0, -ENOMEM, -ECANCELED. */
#define weft_actor_open(a, g, fn, opts)                                        \
    weft_actor_open_at(a, g, fn, opts, WEFT_SITE(#fn))
WEFT_API WEFT_MUST_CHECK int
weft_actor_open_at(weft_actor **a, weft_group *g, weft_actor_fn *fn,
                   const struct weft_actor_options *opts, const char *site);

/* Puts a message into the mailbox; waits while it is full. Task. 0, -ESHUTDOWN
 * (a was stopped or has ended), -ENOMEM, -EDEADLK (a's own handler, and it is
 * full), -ECANCELED, -ETIMEDOUT: nothing was sent. */
WEFT_API WEFT_MUST_CHECK int weft_actor_send(weft_actor *a, void *message);

/* The same without waiting: -EAGAIN. Any thread. */
WEFT_API WEFT_MUST_CHECK int weft_actor_trysend(weft_actor *a, void *message);

/* Sends a message and waits until it was handled; returns what the handler
 * returned. The message may live on the caller's stack and carry more of a
 * reply: if the caller is cancelled, a message that still lies in the mailbox
 * is taken out again and the result is -ECANCELED (-ETIMEDOUT); one that is
 * being handled is waited for. It never goes to `drop`. Task. As
 * weft_actor_send; -ESHUTDOWN also if a ended before its turn came. */
WEFT_API WEFT_MUST_CHECK long weft_actor_ask(weft_actor *a, void *message);

/* Messages in the mailbox. Any thread. */
WEFT_API size_t weft_actor_pending(const weft_actor *a);

/* Refuses new messages; a ends when those in its mailbox were handled. Never
 * waits. Any thread. */
WEFT_API void weft_actor_stop(weft_actor *a);

/* Stops a and gives the handle up; its group still waits for its end. NULL: no
 * effect. Never waits. Any thread. */
WEFT_API void weft_actor_close(weft_actor *a);

/* ---- supervisors -------------------------------------------------------- */

enum weft_restart {
    WEFT_RESTART_ONE = 0, /* the actor that failed */
    WEFT_RESTART_ALL,     /* all; the handlers of the others are cancelled, and
                           * what they were handling is lost too */
};

/* Zero in a field means its default. */
struct weft_supervisor_options {
    const char *name; /* of its task; "supervisor" */
    enum weft_restart restart;
    unsigned max;   /* restarts within `within`, then it gives up; 3 */
    int64_t within; /* ns; 5 s */
    /* Is told of each failure before the restart, in the supervisor's task. */
    void (*on_failure)(weft_actor *a, long error, void *arg);
    void *arg;
};

/* Starts a task of g that restarts its actors with fresh state and the mailbox
 * that they had. When one fails too often it cancels them all and ends with the
 * error, which cancels g. *s is yours until weft_supervisor_close. opts may be
 * NULL and is copied. Callers as of weft_spawn. 0, -ENOMEM, -ECANCELED. */
#define weft_supervisor_open(s, g, opts)                                       \
    weft_supervisor_open_at(s, g, opts, WEFT_SITE("supervisor"))
WEFT_API WEFT_MUST_CHECK int
weft_supervisor_open_at(weft_supervisor **s, weft_group *g,
                        const struct weft_supervisor_options *opts,
                        const char *site);

/* As weft_actor_open, under s. An actor that was stopped and has drained its
 * mailbox leaves it. Any thread. 0, -ENOMEM, -ESHUTDOWN (s was stopped or has
 * ended). */
#define weft_supervisor_add(s, fn, opts, a)                                    \
    weft_supervisor_add_at(s, fn, opts, a, WEFT_SITE(#fn))
WEFT_API WEFT_MUST_CHECK int
weft_supervisor_add_at(weft_supervisor *s, weft_actor_fn *fn,
                       const struct weft_actor_options *opts, weft_actor **a,
                       const char *site);

/* Stops all actors; s ends when they have. Never waits. Any thread. */
WEFT_API void weft_supervisor_stop(weft_supervisor *s);

/* Stops s and gives the handle up, as weft_actor_close. */
WEFT_API void weft_supervisor_close(weft_supervisor *s);

/* ---- pipelines ---------------------------------------------------------- */

/* What a stage does with an item. 0 and *out (NULL, as it comes: nothing goes
 * on, the item was filtered out), or an error, which ends the pipeline; then
 * `in` counts as not consumed. */
typedef int weft_stage_fn(void *in, void **out, void *arg);

enum weft_stage_kind {
    WEFT_STAGE_TASK = 0, /* in a task: it may wait */
    WEFT_STAGE_COMPUTE,  /* burns CPU: by weft_compute */
    WEFT_STAGE_BLOCKING, /* may block its thread: by weft_blocking */
};

/* Zero in a field means its default. */
struct weft_stage {
    weft_stage_fn *fn; /* required */
    void *arg;
    enum weft_stage_kind kind;
    const char *name;   /* of its tasks; "stage" */
    unsigned parallel;  /* calls of fn at a time; 1 */
    unsigned unordered; /* non-zero: results go on as they come, else in the
                         * order of the items */
    unsigned window;    /* results that may wait for a slower one before them;
                         * as parallel */
    size_t queue;       /* items that may wait before the stage; as parallel */
    size_t batch;       /* not 0: `in` is a struct weft_batch * of up to so many
                         * items, which lives for the call */
    int64_t batch_time; /* ns after the first item of a batch when it goes, full
                         * or not; waits for a full one */
};
struct weft_batch {
    size_t n; /* >= 1 */
    void **items;
};

/* Zero in a field means its default. */
struct weft_pipeline_options {
    const struct weft_stage *stages; /* required; copied */
    size_t n;                        /* of stages */
    size_t output; /* results of the last stage that may wait for
                    * weft_pipeline_get; 0: what it hands out is dropped */
    /* Gives the next item in *item, NULL at the end; 0 or an error, which ends
     * the pipeline. Runs in a task of its own. NULL: weft_pipeline_put. */
    int (*source)(void **item, void *arg);
    /* Is given what did not get through: an item that was on its way into the
     * stage of that number, n being the output. Tasks of the pipeline or its
     * closer; it should not wait. */
    void (*drop)(void *item, size_t stage, void *arg);
    void *arg;
};

/* Starts a pipeline as a task of g. The items inside are at most the sum over
 * the stages of queue + parallel (x batch) + window, and output. *p is yours
 * until weft_pipeline_close. opts is copied. Callers as of weft_spawn. 0,
 * -EINVAL, -ENOMEM, -ECANCELED. */
#define weft_pipeline_open(p, g, opts)                                         \
    weft_pipeline_open_at(p, g, opts, WEFT_SITE("pipeline"))
WEFT_API WEFT_MUST_CHECK int
weft_pipeline_open_at(weft_pipeline **p, weft_group *g,
                      const struct weft_pipeline_options *opts,
                      const char *site);

/* Puts an item (not NULL) in; waits while the first stage's queue is full.
 * Task. 0, -EINVAL, -ESHUTDOWN (after weft_pipeline_finish), -EPIPE (p has
 * failed: weft_pipeline_close says why), -ECANCELED, -ETIMEDOUT: nothing was
 * put. */
WEFT_API WEFT_MUST_CHECK int weft_pipeline_put(weft_pipeline *p, void *item);

/* Gets a result; waits for one. Task. 0, -EINVAL (no output), -ESHUTDOWN (all
 * is through), -EPIPE (p has failed), -ECANCELED, -ETIMEDOUT. */
WEFT_API WEFT_MUST_CHECK int weft_pipeline_get(weft_pipeline *p, void **item);

/* No more input, also from a source; what is inside goes through. Never waits.
 * Any thread. */
WEFT_API void weft_pipeline_finish(weft_pipeline *p);

/* Ends p with -ECANCELED; what is inside is dropped. Never waits. Any
 * thread. */
WEFT_API void weft_pipeline_cancel(weft_pipeline *p);

/* Finishes p (but a source is let come to its end), waits until all is through
 * (results that nobody got are dropped), frees p. Nobody may use it any more.
 * Returns 0 or p's first error: what was in flight then was dropped. If the
 * caller is cancelled so is p, and its end is still waited for. Task. */
WEFT_API WEFT_MUST_CHECK long weft_pipeline_close(weft_pipeline *p);

#ifdef __cplusplus
}
#endif

#endif
