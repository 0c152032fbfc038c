/* SPDX-License-Identifier: MIT */
/* What a user's first program needs of the installed library: to run a task,
 * to wait in it, to spawn another and to read an error's text. */
#include <weft.h>

#include <stdio.h>
#include <string.h>

static long twice(void *arg)
{
    return 2 * *(long *)arg;
}

static long root(void *arg)
{
    weft_group g = {{0}};
    weft_task *t = NULL;
    long rc = weft_sleep(WEFT_MS), result = -1;

    if (rc < 0)
        return rc;
    weft_with_group(&g) {
        rc = weft_spawn_task(&g, twice, arg, &t);
        if (rc < 0)
            break;
        result = weft_await(t);
    }
    return rc < 0 ? rc : result;
}

int main(void)
{
    long n = 21, rc = weft_run(root, &n);

    printf("weft %s: %ld\n", weft_version(), rc);
    if (rc != 42 || !strlen(weft_strerror(-ETIMEDOUT)))
        return 1;
    return 0;
}
