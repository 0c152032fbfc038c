/* SPDX-License-Identifier: MIT */
/* What ThreadSanitizer is to think of a volatile access.
 *
 * Compiled in ThreadSanitizer builds only. ck publishes with plain volatile
 * loads and stores beside fences, and the sanitizer models neither, so every
 * correct use of ck would be reported. With tsan-distinguish-volatile the
 * compiler calls these functions before each volatile access; they do to the
 * same word what gives the access the order that ck relies on:
 *
 *   read    an acquire load: joins the clocks released there.
 *   write   a release addition of zero: releases the writer's clock without
 *           changing the value, which the store that follows does.
 *
 * The addition writes back what it read, in one atomic step, so a concurrent
 * store is never lost. Plain accesses are checked as ever: a race on the data
 * that ck hands over is still found. The price: code that abuses volatile as
 * its synchronisation passes too; weft's own protocols use base/atomic.h, which
 * does not come this way.
 */
#include <stdint.h>

/* The sanitizer's own numbering of orders, which is C11's. */
enum { ORDER_ACQUIRE = 2, ORDER_RELEASE = 3 };

#define QUIET __attribute__((no_sanitize("thread")))

#define VOLATILE_ACCESS(bytes, bits)                                           \
    uint##bits##_t __tsan_atomic##bits##_load(                                 \
        const volatile uint##bits##_t *p, int order);                          \
    uint##bits##_t __tsan_atomic##bits##_fetch_add(                            \
        volatile uint##bits##_t *p, uint##bits##_t v, int order);              \
    void __tsan_volatile_read##bytes(void *p);                                 \
    void __tsan_volatile_write##bytes(void *p);                                \
    void __tsan_unaligned_volatile_read##bytes(void *p);                       \
    void __tsan_unaligned_volatile_write##bytes(void *p);                      \
    QUIET void __tsan_volatile_read##bytes(void *p)                            \
    {                                                                          \
        (void)__tsan_atomic##bits##_load(p, ORDER_ACQUIRE);                    \
    }                                                                          \
    QUIET void __tsan_volatile_write##bytes(void *p)                           \
    {                                                                          \
        (void)__tsan_atomic##bits##_fetch_add(p, 0, ORDER_RELEASE);            \
    }                                                                          \
    QUIET void __tsan_unaligned_volatile_read##bytes(void *p)                  \
    {                                                                          \
        (void)p;                                                               \
    }                                                                          \
    QUIET void __tsan_unaligned_volatile_write##bytes(void *p)                 \
    {                                                                          \
        (void)p;                                                               \
    }

VOLATILE_ACCESS(1, 8)
VOLATILE_ACCESS(2, 16)
VOLATILE_ACCESS(4, 32)
VOLATILE_ACCESS(8, 64)

/* 16 bytes: no lock-free counterpart in the runtime; nothing in ck's plain
 * accesses is that wide. */
void __tsan_volatile_read16(void *p);
void __tsan_volatile_write16(void *p);

QUIET void __tsan_volatile_read16(void *p)
{
    __tsan_volatile_read8(p);
    __tsan_volatile_read8((char *)p + 8);
}

QUIET void __tsan_volatile_write16(void *p)
{
    __tsan_volatile_write8(p);
    __tsan_volatile_write8((char *)p + 8);
}
