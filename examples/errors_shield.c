/* SPDX-License-Identifier: MIT */
/* errors_shield.c - errors, time-outs, and cleanup that must not be cut short.
 *
 *     try: ...
 *     except* OSError as e: ...                 weft_group_wait, _error
 *     finally: await asyncio.shield(save())     weft_with_shield() { }
 *     loop.set_exception_handler(handler)       options.on_unhandled
 */
#include <stdatomic.h>
#include <stdio.h>
#include <weft.h>

/* raise OSError(...), with a message: the caller gets both. */
static long reads_config(void *arg)
{
    int rc = weft_sleep(20 * WEFT_MS);

    (void)arg;
    return rc < 0 ? rc : weft_fail(-ENOENT, "no file %s", "app.conf");
}

struct worker {
    atomic_int saved;
    int first, second, shielded; /* what three waits returned */
};

/* try: serve()  finally: save() */
static long serves(void *arg)
{
    struct worker *w = arg;

    /* Cancelled here, by its sibling's failure ... */
    w->first = weft_sleep(WEFT_MIN);
    /* ... and at every wait from then on: a cancellation cannot be lost by
     * code that ignores one result. */
    w->second = weft_sleep(WEFT_MIN);
    weft_with_shield() {
        w->shielded = weft_sleep(50 * WEFT_MS); /* save */
        atomic_fetch_add(&w->saved, 1);
    }
    return w->first;
}

/* except*: the first failure cancels the others, which are awaited. */
static long group_of_two(void)
{
    struct worker w = {0};
    const struct weft_error *e;
    weft_group g;
    long rc;

    weft_with_group(&g) {
        if ((rc = weft_spawn(&g, serves, &w)) < 0 ||
            (rc = weft_spawn(&g, reads_config, NULL)) < 0)
            return rc;
    }
    rc = weft_group_wait(&g);
    e = weft_group_error(&g);
    printf("group: %s\n", weft_strerror(rc));
    if (e)
        printf("  from %s: %s\n", e->task, e->message);
    printf("  sibling: %s, again %s, shielded %d, saved %d\n",
           weft_strerror(w.first), weft_strerror(w.second), w.shielded,
           atomic_load(&w.saved));
    /* Handled: this task itself was not cancelled. */
    printf("  after it: %d\n", weft_sleep(0));
    return 0;
}

/* except TimeoutError: the block's own deadline. */
static long timed_out(void)
{
    weft_scope s;
    int rc = 0;

    weft_timeout_enter(&s, 30 * WEFT_MS); /* named, to be asked below */
    rc = weft_sleep(WEFT_MIN);
    weft_scope_leave(&s);
    printf("time-out: %s, expired %d, after it: %d\n", weft_strerror(rc),
           weft_scope_expired(&s), weft_sleep(0));
    return 0;
}

/* An error that is handled where it happens stays there. */
static long flaky(void *arg)
{
    return ++*(int *)arg < 3 ? -EAGAIN : *(int *)arg;
}

static long retried(void)
{
    struct weft_retry_options opts = {.attempts = 5, .delay = 5 * WEFT_MS};
    int calls = 0;

    printf("retry: %ld\n", weft_retry(flaky, &calls, &opts));
    return 0;
}

/* Nobody awaits a detached task: its error goes to the handler. */
static void unhandled(const struct weft_error *e, void *arg)
{
    printf("unhandled, %s: %s\n", e->task, e->message);
    weft_event_set(arg);
}

static long errors(void *arg)
{
    weft_event *told = arg;
    long rc;

    if ((rc = group_of_two()) < 0 || (rc = timed_out()) < 0 ||
        (rc = retried()) < 0 ||
        (rc = weft_spawn_detached(reads_config, NULL)) < 0)
        return rc;
    return weft_event_wait(told);
}

int main(void)
{
    static weft_event told;
    struct weft_options opts = {.on_unhandled = unhandled,
                                .unhandled_arg = &told};
    long rc = weft_run_with(&opts, errors, &told);

    if (rc < 0)
        fprintf(stderr, "errors_shield: %s\n", weft_strerror(rc));
    return rc < 0;
}
