/* SPDX-License-Identifier: MIT */
/* A task that is continued by two threads in turn asks after every switch who
 * runs it. Where a compiler keeps the address of the thread-local variable
 * across the switch, the answer is stale. Exit status 0: never. */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

#include "core/context.h"
#include "core/thread.h"

#define TURNS 1000

static struct thread ids[2];
static sem_t turn[2];
static void *task_sp, *loop_sp[2];
static int current; /* handed over with the turn */
static int stale, turns;
static _Alignas(64) char stack[65536];

/* Inlined, so that both calls of w_thread meet in one function. */
static inline __attribute__((always_inline)) void one_turn(void)
{
    struct thread *before = w_thread(), *after;

    stale += before != &ids[current];
    context_switch(&task_sp, loop_sp[current]);
    after = w_thread();
    stale += after != &ids[current];
    stale += after == before;
    turns++;
}

static void task(void)
{
    for (;;) {
        one_turn();
        one_turn();
    }
}

static void *loop(void *arg)
{
    int me = arg != NULL;

    w_thread_set(&ids[me]);
    for (int i = 0; i < TURNS; i++) {
        while (sem_wait(&turn[me]) < 0)
            ;
        current = me;
        context_switch(&loop_sp[me], task_sp);
        sem_post(&turn[!me]);
    }
    return NULL;
}

int main(void)
{
    pthread_t thread[2];

    task_sp = context_make(stack + sizeof stack, task);
    sem_init(&turn[0], 0, 1);
    sem_init(&turn[1], 0, 0);
    for (int i = 0; i < 2; i++)
        if (pthread_create(&thread[i], NULL, loop, i ? &ids[1] : NULL) != 0)
            return 2;
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    if (stale || turns < 2 * TURNS - 2)
        printf("%d stale answers in %d turns\n", stale, turns);
    return stale || turns < 2 * TURNS - 2;
}
