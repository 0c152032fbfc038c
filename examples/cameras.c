/* SPDX-License-Identifier: MIT */
/* cameras.c - an image pipeline: five cameras, a conversion that burns CPU, a
 * disk that blocks.
 *
 *     async def convert(): async for f in raw:    await run_in_executor(...)
 *     async def store():   async for f in small:  await to_thread(write, f)
 *     async with TaskGroup() as g: ... a Queue(maxsize) between two stages ...
 *
 * weft_pipeline is the queues and the tasks of the stages. Stages say what they
 * do to a thread; a slow one holds up those before it, so memory is bounded.
 */
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

#define CAMERAS 5
#define FRAMES 20 /* a camera */
#define WIDTH 320
#define HEIGHT 240

struct frame {
    int camera, number;
    unsigned char rgb[HEIGHT][WIDTH][3];
    unsigned char gray[HEIGHT / 2][WIDTH / 2];
};

struct camera {
    int number;
    weft_pipeline *to;
};

/* 100 frames a second; the lens cap of camera 4 is on now and then. */
static struct frame *expose(int camera, int number)
{
    struct frame *f = calloc(1, sizeof *f);
    unsigned char *p = f ? &f->rgb[0][0][0] : NULL;

    if (!f)
        return NULL;
    f->camera = camera;
    f->number = number;
    if (camera != 4 || number % 5)
        for (size_t i = 0; i < sizeof f->rgb; i++)
            p[i] = (unsigned char)(i * 7 + (size_t)(camera * 31 + number));
    return f;
}

static long films(void *arg)
{
    struct camera *c = arg;
    weft_ticker k;
    long rc = weft_ticker_start(&k, 10 * WEFT_MS);

    for (int i = 0; i < FRAMES && rc >= 0; i++) {
        struct frame *f = expose(c->number, i);

        if (!f)
            return -ENOMEM;
        /* Waits while the pipeline is full: back-pressure. */
        if ((rc = weft_pipeline_put(c->to, f)) < 0)
            free(f);
        else
            rc = weft_ticker_wait(&k);
    }
    return rc < 0 ? rc : 0;
}

/* A stage on the executor: half the size, gray. A frame that is all dark goes
 * no further: *out stays NULL. */
static int convert(void *in, void **out, void *arg)
{
    struct frame *f = in;
    unsigned brightest = 0;

    (void)arg;
    for (int y = 0; y < HEIGHT / 2; y++)
        for (int x = 0; x < WIDTH / 2; x++) {
            const unsigned char *p = f->rgb[2 * y][2 * x];
            unsigned v = (2u * p[0] + 5u * p[1] + p[2]) / 8;

            f->gray[y][x] = (unsigned char)v;
            brightest = v > brightest ? v : brightest;
        }
    if (brightest == 0)
        free(f);
    else
        *out = f;
    return 0;
}

struct store {
    FILE *file;
    long stored, out_of_order;
    int last[CAMERAS];
};

/* A stage that blocks, one call at a time: what it counts needs no lock. */
static int store(void *in, void **out, void *arg)
{
    struct frame *f = in;
    struct store *s = arg;

    (void)out;
    if (fwrite(f->gray, sizeof f->gray, 1, s->file) != 1)
        return -EIO; /* not consumed: f goes to drop() */
    s->stored++;
    s->out_of_order += f->number < s->last[f->camera];
    s->last[f->camera] = f->number;
    free(f);
    return 0;
}

static void drop(void *item, size_t stage, void *arg)
{
    (void)stage, (void)arg;
    free(item);
}

static long film_all(weft_pipeline *p)
{
    struct camera c[CAMERAS];
    weft_group g;
    long rc;

    weft_with_group(&g)
        for (int i = 0; i < CAMERAS; i++) {
            c[i] = (struct camera){i, p};
            if ((rc = weft_spawn(&g, films, &c[i])) < 0)
                return rc;
        }
    return weft_group_wait(&g);
}

static long cameras(void *arg)
{
    struct store *s = arg;
    /* Two conversions at a time; their results stay in order all the same. */
    const struct weft_stage stages[] = {
        {.fn = convert, .kind = WEFT_STAGE_COMPUTE, .parallel = 2, .queue = 8},
        {.fn = store, .kind = WEFT_STAGE_BLOCKING, .arg = s, .queue = 4},
    };
    struct weft_pipeline_options opts = {
        .stages = stages, .n = 2, .drop = drop};
    weft_pipeline *p;
    weft_group g;
    long rc = 0, end;

    weft_with_group(&g) {
        if ((rc = weft_pipeline_open(&p, &g, &opts)) < 0)
            return rc;
        rc = film_all(p);
        end = weft_pipeline_close(p); /* when all is through */
        rc = end < 0 ? end : rc;
    }
    printf("%d frames from %d cameras, %ld stored, %ld out of order\n",
           CAMERAS * FRAMES, CAMERAS, s->stored, s->out_of_order);
    printf("%ld bytes written\n", ftell(s->file));
    return rc;
}

int main(void)
{
    struct store s = {.file = tmpfile()};
    long rc = s.file ? weft_run(cameras, &s) : -EIO;

    if (s.file && fclose(s.file) != 0 && rc >= 0)
        rc = -EIO;
    if (rc < 0)
        fprintf(stderr, "cameras: %s\n", weft_strerror(rc));
    return rc < 0;
}
