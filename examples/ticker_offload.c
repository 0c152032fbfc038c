/* SPDX-License-Identifier: MIT */
/* ticker_offload.c - CPU-bound work must not hold up the loop.
 *
 *     result = await loop.run_in_executor(process_pool, primes, limit)
 *
 * while a ticker beside it goes on ticking. weft_compute needs no second
 * process: there is no GIL, fn runs on the executor's threads. The runtime here
 * has one worker, as asyncio has one loop, so that a function that burned CPU
 * in a task would stop the ticker.
 */
#include <stdio.h>
#include <weft.h>

#define PERIOD (10 * WEFT_MS)

struct ticks {
    weft_event ready;
    long count;
    uint64_t missed;
    int64_t worst; /* ns that a tick was late */
};

/* A periodic task. Its error -ECANCELED is how it ends. */
static long ticks(void *arg)
{
    struct ticks *t = arg;
    weft_ticker k;
    long rc = weft_ticker_start(&k, PERIOD);

    weft_event_set(&t->ready);
    while (rc >= 0 && (rc = weft_ticker_wait(&k)) >= 0) {
        int64_t late = weft_now() - weft_ticker_time(&k);

        t->count++;
        t->missed += (uint64_t)rc;
        if (late > t->worst)
            t->worst = late;
    }
    return rc;
}

/* Plain C on a plain thread; it knows nothing of weft. Half a second and more
 * of counting primes by trial division. */
static long primes(void *arg)
{
    long limit = *(long *)arg, count = 0;

    for (long n = 2; n < limit; n++) {
        long d = 2;

        while (d * d <= n && n % d != 0)
            d++;
        count += d * d > n;
    }
    return count;
}

static long ticker_offload(void *arg)
{
    struct ticks t = {0};
    weft_task *ticker;
    weft_group g;
    long limit = 2500000, found = 0;
    int64_t start = 0, took = 0;
    int rc;

    (void)arg;
    weft_with_group(&g) {
        if ((rc = weft_spawn_task(&g, ticks, &t, &ticker)) < 0 ||
            (rc = weft_event_wait(&t.ready)) < 0)
            return rc;
        start = weft_now();
        found = weft_compute(primes, &limit); /* run_in_executor */
        took = weft_now() - start;
        weft_task_cancel(ticker); /* this task alone, not the group */
    }
    if (found < 0)
        return found;
    printf("%ld primes below %ld in %.2f s\n", found, limit,
           (double)took / 1e9);
    printf("%ld ticks, %lu missed, the worst %.1f ms late\n", t.count,
           (unsigned long)t.missed, (double)t.worst / 1e6);
    return 0;
}

int main(void)
{
    struct weft_options one = {.workers = 1};
    long rc = weft_run_with(&one, ticker_offload, NULL);

    if (rc < 0)
        fprintf(stderr, "ticker_offload: %s\n", weft_strerror(rc));
    return rc < 0;
}
