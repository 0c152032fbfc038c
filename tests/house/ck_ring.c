/* SPDX-License-Identifier: MIT */
/* ck under ThreadSanitizer.
 *
 * Two threads hand plain memory over through ck_ring, once per flavour (one
 * producer and one consumer; many and many). Correct, so the sanitizer must
 * say nothing. With the argument "race" the producer writes each message once
 * more after it has handed it over, and the sanitizer must say so.
 */
#include <ck_ring.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SLOTS 16
#define MESSAGES 20000L

struct message {
    long value;
    long copy;
};

static ck_ring_t ring;
static ck_ring_buffer_t slots[SLOTS];
static struct message messages[MESSAGES];
static bool many, race;

static bool put(void *p)
{
    return many ? ck_ring_enqueue_mpmc(&ring, slots, p)
                : ck_ring_enqueue_spsc(&ring, slots, p);
}

static bool get(void *p)
{
    return many ? ck_ring_dequeue_mpmc(&ring, slots, p)
                : ck_ring_dequeue_spsc(&ring, slots, p);
}

static void *produce(void *arg)
{
    for (long i = 0; i < MESSAGES; i++) {
        messages[i].value = i;
        messages[i].copy = ~i;
        while (!put(&messages[i]))
            sched_yield();
        if (race)
            messages[i].copy = ~i;
    }
    return arg;
}

/* The sum of what came through, or -1 if a message was torn. */
static long consume(void)
{
    long sum = 0;

    for (long n = 0; n < MESSAGES; n++) {
        struct message *m;

        while (!get(&m))
            sched_yield();
        if (m->copy != ~m->value)
            return -1;
        sum += m->value;
    }
    return sum;
}

int main(int argc, char **argv)
{
    race = argc > 1 && !strcmp(argv[1], "race");
    for (int flavour = 0; flavour < 2; flavour++) {
        pthread_t producer;
        long sum;

        many = flavour;
        memset(messages, 0, sizeof messages);
        ck_ring_init(&ring, SLOTS);
        if (pthread_create(&producer, NULL, produce, NULL))
            return 1;
        sum = consume();
        pthread_join(producer, NULL);
        if (sum != MESSAGES * (MESSAGES - 1) / 2) {
            printf("flavour %d: sum %ld\n", flavour, sum);
            return 1;
        }
    }
    return 0;
}
