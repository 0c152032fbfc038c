/* SPDX-License-Identifier: MIT */
/* hello.c - the first page of asyncio's documentation.
 *
 *     async def say(text, delay):
 *         await asyncio.sleep(delay)
 *         print(text)
 *
 *     async def main():
 *         async with asyncio.TaskGroup() as g:
 *             g.create_task(say("hello", 0.1))
 *             g.create_task(say("world", 0.2))
 *
 *     asyncio.run(main())
 */
#include <inttypes.h>
#include <stdio.h>
#include <weft.h>

struct line {
    const char *text;
    int64_t delay;
};

/* A task is a C function: it takes a pointer and returns a long. A result of
 * -4095 .. -1 is an error, a negated errno. There is no await keyword: a call
 * that waits just returns later, and -ECANCELED if the task was cancelled. */
static long say(void *arg)
{
    const struct line *l = arg;
    int rc = weft_sleep(l->delay);

    if (rc < 0)
        return rc;
    printf("%s\n", l->text);
    return 0;
}

static long hello(void *arg)
{
    /* What a task is given must live until it ends: here until the group's
     * block has ended, since that joins it. */
    struct line lines[] = {
        {"world", 200 * WEFT_MS},
        {"hello", 100 * WEFT_MS},
    };
    int64_t start = weft_now();
    weft_group g;
    long rc;

    (void)arg;
    weft_with_group(&g) {
        for (int i = 0; i < 2; i++)
            if ((rc = weft_spawn(&g, say, &lines[i])) < 0)
                return rc; /* cancels and joins what was spawned */
    }
    rc = weft_group_wait(&g); /* what `async with` would raise */
    printf("both after %" PRId64 " ms\n", (weft_now() - start) / WEFT_MS);
    return rc;
}

int main(void)
{
    long rc = weft_run(hello, NULL); /* asyncio.run */

    if (rc < 0)
        fprintf(stderr, "hello: %s\n", weft_strerror(rc));
    return rc < 0;
}
