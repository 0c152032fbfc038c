/* SPDX-License-Identifier: MIT */
/* lock.c - asyncio.Lock around a critical section that waits.
 *
 *     async with lock:
 *         old = balance
 *         await asyncio.sleep(0)
 *         balance = old + 1
 *
 * In asyncio code without an await in it needs no lock. Here tasks run on
 * several threads at once, so every access to shared data needs one (or an
 * atomic), with or without a wait inside.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <weft.h>

#define TASKS 50
#define ROUNDS 20

struct account {
    weft_mutex lock; /* zeroed is unlocked */
    long balance;    /* under lock */
    atomic_int inside, most_inside;
};

static long deposits(void *arg)
{
    struct account *a = arg;

    for (int i = 0; i < ROUNDS; i++) {
        /* The block is skipped if the task is cancelled while it waits for
         * the lock; then weft_check below says so. Leaving the block by
         * return or break unlocks, as `async with` does. */
        weft_with_mutex(&a->lock) {
            long old = a->balance;
            int now = atomic_fetch_add(&a->inside, 1) + 1;
            int rc = weft_yield(); /* sleep(0), with the lock held */

            if (now > atomic_load(&a->most_inside))
                atomic_store(&a->most_inside, now);
            atomic_fetch_sub(&a->inside, 1);
            if (rc < 0)
                return rc;
            a->balance = old + 1;
        }
        if (weft_check() < 0)
            return weft_check();
    }
    return 0;
}

static long lock(void *arg)
{
    struct account a = {0};
    weft_group g;
    long rc;

    (void)arg;
    weft_with_group(&g) {
        for (int i = 0; i < TASKS; i++)
            if ((rc = weft_spawn(&g, deposits, &a)) < 0)
                return rc;
    }
    if ((rc = weft_group_wait(&g)) < 0)
        return rc;
    printf("balance %ld of %d\n", a.balance, TASKS * ROUNDS);
    printf("at most %d inside\n", atomic_load(&a.most_inside));
    printf("locked at the end: %d\n", weft_mutex_locked(&a.lock));
    return a.balance == (long)TASKS * ROUNDS ? 0 : -EIO;
}

int main(void)
{
    long rc = weft_run(lock, NULL);

    if (rc < 0)
        fprintf(stderr, "lock: %s\n", weft_strerror(rc));
    return rc < 0;
}
