/* SPDX-License-Identifier: MIT */
/* The switch by itself: values in registers and on the stack, integer and
 * floating, survive it on both sides. Exit status 0: they did. */
#include <stdio.h>

#include "core/context.h"

#define ROUNDS 100000

static void *main_sp, *task_sp;
static _Alignas(64) char stack[65536];
static long seen;
static double sum;

/* More live values than there are registers that a call preserves. */
static __attribute__((noinline)) long many(long x, void **from, void **to)
{
    long a = x * 3, b = x ^ 5, c = x + 7, d = x * x, e = ~x, f = x << 3;
    long g = x - 11, h = x * 13, i = x + 17, j = x ^ 19, k = x * 23;
    double p = (double)x * 0.5, q = (double)x + 0.25, r = -(double)x;

    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e));
    context_switch(from, *to);
    if (p != (double)x * 0.5 || q != (double)x + 0.25 || r != -(double)x)
        return -1;
    sum += p + q + r;
    return a + b + c + d + e + f + g + h + i + j + k;
}

static long expected(long x)
{
    return x * 3 + (x ^ 5) + (x + 7) + x * x + ~x + (x << 3) + (x - 11) +
           x * 13 + (x + 17) + (x ^ 19) + x * 23;
}

static void task(void)
{
    /* Calls made here need an aligned stack. */
    if ((uintptr_t)__builtin_frame_address(0) % 16)
        printf("frame at %p\n", __builtin_frame_address(0));
    for (long n = 0;; n++) {
        if (many(n, &task_sp, &main_sp) == expected(n))
            seen++;
    }
}

int main(void)
{
    long right = 0;
    char line[64];

    task_sp = context_make(stack + sizeof stack, task);
    for (long n = 0; n < ROUNDS; n++)
        right += many(n * 7, &main_sp, &task_sp) == expected(n * 7);
    snprintf(line, sizeof line, "%.1f", sum);
    if (right != ROUNDS || seen != ROUNDS - 1 || !line[0]) {
        printf("%ld and %ld of %d right\n", right, seen, ROUNDS);
        return 1;
    }
    return 0;
}
