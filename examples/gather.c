/* SPDX-License-Identifier: MIT */
/* gather.c - three fetches of a second each, done in about one second.
 *
 *     await asyncio.gather(fetch("a"), fetch("b"), fetch("c"))
 *     await asyncio.gather(..., return_exceptions=True)
 *     for t in asyncio.as_completed(...): await t
 */
#include <stdio.h>
#include <string.h>
#include <weft.h>

struct fetch {
    const char *url;
    int64_t delay; /* of the pretended server */
    long status;   /* what it will say, or an error */
};

static long fetch(void *arg)
{
    const struct fetch *f = arg;
    int rc = weft_sleep(f->delay);

    if (rc < 0)
        return rc;
    if (f->status < 0)
        return weft_fail(f->status, "%s did not answer", f->url);
    return f->status;
}

/* asyncio.gather: results in the order of the calls, first error wins. */
static long all_at_once(void)
{
    struct fetch f[] = {
        {"/a", WEFT_SEC, 200}, {"/b", WEFT_SEC, 204}, {"/c", WEFT_SEC, 404}};
    struct weft_call calls[] = {
        {.fn = fetch, .arg = &f[0]},
        {.fn = fetch, .arg = &f[1]},
        {.fn = fetch, .arg = &f[2]},
    };
    int64_t start = weft_now();
    long rc = weft_gather(calls, 3);

    if (rc < 0)
        return rc;
    printf("gather: %ld %ld %ld in %.2f s\n", calls[0].ret, calls[1].ret,
           calls[2].ret, (double)(weft_now() - start) / 1e9);
    return 0;
}

/* gather(return_exceptions=True): an error stays with its call. */
static long errors_are_results(void)
{
    struct fetch f[] = {{"/a", 10 * WEFT_MS, 200},
                        {"/down", 20 * WEFT_MS, -EHOSTUNREACH}};
    struct weft_call calls[] = {{.fn = fetch, .arg = &f[0]},
                                {.fn = fetch, .arg = &f[1]}};
    long failed = weft_gather_collect(calls, 2);

    if (failed < 0)
        return failed; /* the caller itself was cancelled */
    printf("collect: %ld failed: %ld, %s\n", failed, calls[0].ret,
           weft_strerror(calls[1].ret));
    return 0;
}

/* as_completed: the group hands its tasks out as they end. */
static long as_they_come(void)
{
    struct fetch f[] = {{"/slow", 150 * WEFT_MS, 1},
                        {"/quick", 50 * WEFT_MS, 2},
                        {"/middle", 100 * WEFT_MS, 3}};
    weft_task *t;
    weft_group g;
    int rc;

    weft_with_group(&g) {
        for (int i = 0; i < 3; i++)
            if ((rc = weft_spawn_task(&g, fetch, &f[i], &t)) < 0)
                return rc;
        printf("as completed:");
        while ((rc = weft_group_next(&g, &t)) > 0)
            printf(" %ld", weft_task_result(t));
        printf("\n");
        if (rc < 0)
            return rc;
    }
    return weft_group_wait(&g);
}

static long gather(void *arg)
{
    long rc = all_at_once();

    (void)arg;
    if (rc == 0)
        rc = errors_are_results();
    return rc < 0 ? rc : as_they_come();
}

int main(void)
{
    long rc = weft_run(gather, NULL);

    if (rc < 0)
        fprintf(stderr, "gather: %s\n", weft_strerror(rc));
    return rc < 0;
}
