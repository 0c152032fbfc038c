/* SPDX-License-Identifier: MIT */
/* scraper.c - many pages, few at a time.
 *
 *     sem = asyncio.Semaphore(4)
 *
 *     async def scrape(url):
 *         async with sem, asyncio.timeout(0.2):
 *             return await get(url)
 *
 * Some pages fail and some are too slow; that is no reason to stop the others.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <weft.h>

#define PAGES 24
#define AT_ONCE 4

struct scraper {
    weft_sem slots;
    atomic_int now, most; /* fetches under way */
};

struct page {
    struct scraper *by;
    int number;
};

/* Pretends to fetch; returns the page's size. Every eighth page is missing,
 * one hangs. */
static long get(const struct page *p)
{
    int64_t time = (20 + p->number % 5 * 5) * WEFT_MS;
    int rc = weft_sleep(p->number == 13 ? WEFT_MIN : time);

    if (rc < 0)
        return rc;
    if (p->number % 8 == 7)
        return weft_fail(-ENOENT, "page %d: 404", p->number);
    return 1000 + p->number;
}

static long scrape(void *arg)
{
    struct page *p = arg;
    struct scraper *s = p->by;
    long rc = 0;

    weft_with_sem(&s->slots) {
        int now = atomic_fetch_add(&s->now, 1) + 1;
        int most = atomic_load(&s->most);

        while (now > most &&
               !atomic_compare_exchange_weak(&s->most, &most, now))
            ;
        weft_with_timeout(200 * WEFT_MS)
            rc = get(p);
        atomic_fetch_sub(&s->now, 1);
        return rc; /* gives the permit back on the way */
    }
    return weft_check(); /* skipped: it was cancelled as it waited */
}

static long scraper(void *arg)
{
    struct scraper s = {.slots = WEFT_SEM(AT_ONCE, AT_ONCE)};
    struct page pages[PAGES];
    struct weft_call calls[PAGES];
    long bytes = 0, missing = 0, slow = 0, failed;

    (void)arg;
    for (int i = 0; i < PAGES; i++) {
        pages[i] = (struct page){&s, i};
        calls[i] = (struct weft_call){.fn = scrape, .arg = &pages[i]};
    }
    /* gather(return_exceptions=True) */
    failed = weft_gather_collect(calls, PAGES);
    if (failed < 0)
        return failed;
    for (int i = 0; i < PAGES; i++) {
        if (calls[i].ret >= 0)
            bytes += calls[i].ret;
        missing += calls[i].ret == -ENOENT;
        slow += calls[i].ret == -ETIMEDOUT;
    }
    printf("%d pages, %ld bytes, %ld missing, %ld too slow\n", PAGES, bytes,
           missing, slow);
    printf("failed: %ld\n", failed);
    printf("at most %d of %d at once\n", atomic_load(&s.most), AT_ONCE);
    printf("free slots at the end: %u\n", weft_sem_value(&s.slots));
    return 0;
}

int main(void)
{
    long rc = weft_run(scraper, NULL);

    if (rc < 0)
        fprintf(stderr, "scraper: %s\n", weft_strerror(rc));
    return rc < 0;
}
