/* SPDX-License-Identifier: MIT */
#include "flow/retry.h"

#include <weft/scope.h>

#include "base/base.h"
#include "base/sys.h"

#define ATTEMPTS 5
#define DELAY (100 * WEFT_MS)
#define MAX_DELAY (10 * WEFT_SEC)
#define FACTOR 2.0
#define JITTER 0.5

void w_backoff_init(struct backoff *b, const struct weft_retry_options *o,
                    uint64_t seed)
{
    b->next = (double)(o->delay ? o->delay : DELAY);
    b->max = (double)(o->max_delay ? o->max_delay : MAX_DELAY);
    b->factor = o->factor > 0 ? o->factor : FACTOR;
    b->jitter = o->jitter > 1 ? 1 : o->jitter < 0 ? 0 : o->jitter;
    if (o->jitter == 0)
        b->jitter = JITTER;
    if (!(b->next > 0))
        b->next = 0;
    b->random = seed;
}

/* splitmix64: good enough to keep a crowd from knocking all at once. */
static double part(struct backoff *b)
{
    uint64_t z = b->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-53;
}

int64_t w_backoff_next(struct backoff *b)
{
    double d = b->next < b->max ? b->next : b->max;

    b->next = d * b->factor;
    d -= d * b->jitter * part(b);
    return d < (double)INT64_MAX / 2 ? (int64_t)d : INT64_MAX / 2;
}

static bool shall_again(const struct weft_retry_options *o, long error,
                        void *arg)
{
    return o->again ? o->again(error, arg) != 0 : error != -ECANCELED;
}

long weft_retry(weft_fn *fn, void *arg, const struct weft_retry_options *opts)
{
    static const struct weft_retry_options defaults;
    const struct weft_retry_options *o = opts ? opts : &defaults;
    unsigned left = o->attempts ? o->attempts : ATTEMPTS;
    struct backoff b;
    long result;
    int rc;

    w_backoff_init(&b, o, sys_seed());
    for (;;) {
        result = fn(arg);
        if (!w_is_error(result) || --left == 0 || !shall_again(o, result, arg))
            return result;
        rc = weft_sleep(w_backoff_next(&b));
        if (rc)
            return rc;
    }
}
