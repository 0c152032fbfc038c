/* SPDX-License-Identifier: MIT */
/* game_tick.c - a game server's loop: 60 ticks a second, and how late they are.
 *
 *     while True:
 *         while not inputs.empty(): apply(inputs.get_nowait())
 *         step(world)
 *         next_tick += 1/60; await asyncio.sleep(next_tick - loop.time())
 *
 * weft_ticker does the last line: it counts from its start, so the rate does
 * not drift whatever a step took, and it says how many ticks were missed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

#define HZ 60
#define SECONDS 2
#define TICKS (HZ * SECONDS)
#define PLAYERS 8
#define INPUTS 256

struct world {
    weft_queue inputs;
    void *slots[INPUTS];
    int x[PLAYERS]; /* touched by the tick alone: needs no lock */
    long applied;
};

struct player {
    struct world *in;
    int number;
    long sent;
};

/* A player's connection: moves now and then, until the game ends. The item is
 * a number, not a pointer: a queue does not look into what it carries. */
static long plays(void *arg)
{
    struct player *p = arg;
    unsigned seed = (unsigned)p->number + 1;
    int rc;

    while ((rc = weft_sleep((5 + rand_r(&seed) % 25) * WEFT_MS)) == 0) {
        intptr_t move = p->number * 2 + rand_r(&seed) % 2;

        rc = weft_queue_tryput(&p->in->inputs, (void *)move);
        if (rc == 0)
            p->sent++;
        else if (rc != -EAGAIN) /* full: a lost move, as on UDP */
            return rc;
    }
    return rc;
}

static void step(struct world *w)
{
    void *item = NULL;

    while (weft_queue_tryget(&w->inputs, &item) == 0) {
        intptr_t move = (intptr_t)item;

        w->x[move / 2] += move % 2 ? 1 : -1;
        w->applied++;
    }
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Runs the ticks; returns how many were run. late[] has how late each was. */
static long game(struct world *w, int64_t *late, long *missed)
{
    weft_ticker k;
    long n = 0, rc = weft_ticker_start(&k, WEFT_SEC / HZ);

    while (rc >= 0 && n + *missed < TICKS) {
        if ((rc = weft_ticker_wait(&k)) < 0)
            return rc;
        *missed += rc;
        late[n++] = weft_now() - weft_ticker_time(&k);
        step(w);
    }
    return rc < 0 ? rc : n;
}

static long game_tick(void *arg)
{
    struct world *w = arg;
    struct player players[PLAYERS];
    int64_t late[TICKS] = {0}, sum = 0, start = weft_now(), end = 0;
    long ticks = 0, missed = 0, sent = 0;
    weft_group g;
    int rc = weft_queue_init(&w->inputs, w->slots, INPUTS, WEFT_FIFO);

    if (rc < 0)
        return rc;
    weft_with_group(&g) {
        for (int i = 0; i < PLAYERS; i++) {
            players[i] = (struct player){w, i, 0};
            if ((rc = weft_spawn(&g, plays, &players[i])) < 0)
                return rc;
        }
        if ((ticks = game(w, late, &missed)) < 0)
            return ticks;
        end = weft_now();
        weft_group_cancel(&g); /* the game is over */
    }
    step(w); /* what came in since the last tick */
    for (int i = 0; i < PLAYERS; i++)
        sent += players[i].sent;
    for (long i = 0; i < ticks; i++)
        sum += late[i];
    qsort(late, (size_t)ticks, sizeof *late, by_size);
    printf("%ld ticks, %ld missed in %.2f s\n", ticks, missed,
           (double)(end - start) / 1e9);
    printf("late: mean %.3f ms, p99 %.3f ms, max %.3f ms\n",
           (double)sum / (double)ticks / 1e6,
           (double)late[ticks * 99 / 100] / 1e6, (double)late[ticks - 1] / 1e6);
    printf("moves: %ld sent, %ld applied\n", sent, w->applied);
    return 0;
}

int main(void)
{
    static struct world w;
    long rc = weft_run(game_tick, &w);

    if (rc < 0)
        fprintf(stderr, "game_tick: %s\n", weft_strerror(rc));
    return rc < 0;
}
