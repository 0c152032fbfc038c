/* SPDX-License-Identifier: MIT */
#include "base/stress.h"

#ifdef W_STRESS

#include <stdlib.h>

/* Its own atomics are not disturbed. */
#define W_STRESS_RAW
#include "base/atomic.h"
#include "base/sys.h"

#define SLEEP_MAX 100000u /* ns */
#define PAUSES_MAX 64u

/* One time in how many. Powers of two, but for the sleep. */
struct rates {
    uint32_t pause, yield, sleep;
};

static const struct rates at_atomics[] = {
    {0, 0, 0}, {128, 2048, 20000}, {32, 512, 4000}, {8, 64, 1000}};
static const struct rates at_points[] = {
    {0, 0, 0}, {16, 256, 8000}, {8, 32, 2000}, {4, 8, 250}};

/* I: set before main. A point that comes earlier finds level 0. */
static unsigned level;
static uint64_t seed;

static _Atomic uint64_t threads;
static __thread uint64_t state; /* 0: the thread had no point yet */

static uint64_t mix(uint64_t x) /* splitmix64 */
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* A handler that comes in between makes the interrupted draw twice: harmless.
 */
static uint32_t draw(void)
{
    uint64_t x = state;

    if (unlikely(!x))
        x = mix(seed ^ mix(add_relaxed(&threads, 1))) | 1;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    state = x;
    return (uint32_t)(x >> 32);
}

static void disturb(const struct rates *r)
{
    uint32_t x = draw();
    int saved;

    if (likely(x % r->pause)) {
        if (unlikely(x / 256 % r->sleep == 0)) {
            saved = errno;
            sys_sleep(1000 + draw() % SLEEP_MAX);
            errno = saved;
        }
        return;
    }
    if (draw() % (r->yield / r->pause) == 0) {
        sys_yield();
        return;
    }
    for (uint32_t n = draw() % PAUSES_MAX; n; n--)
        cpu_pause();
}

/* Opaque, all three: a caller may continue on another thread, and must not have
 * kept the address of the first one's generator. */
W_OPAQUE void w_stress_atomic(void)
{
    if (level)
        disturb(&at_atomics[level]);
}

W_OPAQUE void w_stress_point(void)
{
    if (level)
        disturb(&at_points[level]);
}

W_OPAQUE bool w_stress_one_in(unsigned n)
{
    return level && draw() % n == 0;
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);

    return s && *s ? strtoull(s, NULL, 0) : otherwise;
}

__attribute__((constructor)) static void open_stress(void)
{
    uint64_t chance = mix((uint64_t)sys_now() ^ (uint64_t)getpid() << 40) >> 32;
    uint64_t n = number("WEFT_STRESS_LEVEL", 2);
    const char *given = getenv("WEFT_SEED");

    seed = number("WEFT_SEED", chance);
    if (n && !(given && *given))
        w_warn("stress: WEFT_SEED=%llu WEFT_STRESS_LEVEL=%u",
               (unsigned long long)seed, (unsigned)n);
    level = n > 3 ? 3 : (unsigned)n;
}

#endif
