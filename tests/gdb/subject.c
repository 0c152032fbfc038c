/* SPDX-License-Identifier: MIT */
/* The program that test_gdb.py looks at: at checkpoint() there is a task in
 * each state. Argument 1 or 2: it crashes after that; 3: a task runs on top of
 * the one that waits for it. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

#define NOINLINE __attribute__((noinline))

#define CARRIES 3

void checkpoint(void);

static weft_mutex mutex;
static weft_event over;
static atomic_int waiting;
static volatile long sink; /* so that calls are not made jumps */

NOINLINE void checkpoint(void)
{
    __asm__ volatile("" ::: "memory");
}

static NOINLINE long lock_inner(int depth)
{
    int own = depth * 3;

    atomic_fetch_add(&waiting, 1);
    (void)!weft_mutex_lock(&mutex);
    (void)!weft_mutex_unlock(&mutex);
    return own;
}

static NOINLINE long lock_outer(int depth)
{
    return lock_inner(depth + 1) + 1;
}

static long locker(void *arg)
{
    (void)!weft_task_set_name("the_locker");
    return lock_outer((int)(long)arg) + 1;
}

static long sleeper(void *arg)
{
    (void)arg;
    atomic_fetch_add(&waiting, 1);
    return weft_sleep(1000 * WEFT_SEC);
}

static long awaits(void *arg)
{
    atomic_fetch_add(&waiting, 1);
    return weft_await(arg);
}

static NOINLINE long fall(long how)
{
    char *volatile nowhere = (char *)64;

    if (how == 1)
        *nowhere = 1; /* NOLINT: on purpose */
    if (how == 2)
        abort();
    return how;
}

static NOINLINE long spin_inner(long how)
{
    checkpoint();
    return fall(how) + 1;
}

static NOINLINE long spin_outer(long how)
{
    return spin_inner(how) + 1;
}

static long rider(void *arg)
{
    int64_t end = weft_now() + 100 * WEFT_MS; /* the monitor takes note */

    while (weft_now() < end)
        ;
    sink = spin_outer((long)arg);
    return 0;
}

/* Its joiner runs the child on top of itself. */
static NOINLINE long carry(long how)
{
    weft_group g;

    weft_with_group(&g)
        (void)!weft_spawn(&g, rider, (void *)how);
    return weft_group_wait(&g);
}

static long spinner(void *arg)
{
    (void)!weft_task_set_name("the_spinner");
    while (atomic_load(&waiting) < 3)
        (void)!weft_sleep(WEFT_MS);
    (void)!weft_sleep(50 * WEFT_MS); /* they are parked, the other worker too */
    sink = (long)arg == CARRIES ? carry(0) : spin_outer((long)arg);
    weft_event_set(&over);
    return 0;
}

static long run(void *arg)
{
    weft_task *slept, *held;
    weft_group g;

    weft_with_group(&g) {
        (void)!weft_spawn_task(&g, sleeper, NULL, &slept);
        (void)!weft_spawn_task(&g, awaits, slept, &held);
        (void)!weft_mutex_lock(&mutex);
        (void)!weft_spawn(&g, locker, (void *)7);
        (void)!weft_spawn(&g, spinner, arg);
        (void)!weft_event_wait(&over);
        (void)!weft_mutex_unlock(&mutex);
        weft_task_cancel(slept);
    }
    return 0;
}

int main(int argc, char **argv)
{
    long how = argc > 1 ? atol(argv[1]) : 0;
    struct weft_options o = {.workers = 2, .slow_task = -1};

    if (how == CARRIES)
        o.workers = 1; /* or another might be quicker */
    (void)weft_run_with(&o, run, (void *)how);
    puts("done");
    return 0;
}
