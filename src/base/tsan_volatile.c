/* SPDX-License-Identifier: MIT */
/* What ThreadSanitizer is to think of ck.
 *
 * Compiled in ThreadSanitizer builds only. ck publishes with plain volatile
 * loads and stores beside fences; the sanitizer models neither, so each correct
 * use of ck would be reported. With tsan-distinguish-volatile the compiler
 * calls a function before each volatile access, and tsan_ck.h makes ck's fences
 * call w_tsan_fence:
 *
 *   write   releases the writer's clock at the word, then the store follows.
 *   read    acquires the clock at the word and remembers the word; then the
 *           load follows.
 *   fence   acquires once more at the words read since the fence before it.
 *
 * The fence is what makes this exact. Between a read's acquire and its load
 * another thread can do both its release and its store; the load then sees a
 * value whose clock was not acquired, and a correct program is reported (with
 * reads and writes alone: several times in 20 000 messages through a ck_ring).
 * At the fence the load is done, so what it saw was released before.
 *
 * Plain accesses are checked as ever: a race on the data that ck hands over is
 * still found. The price: code that abuses volatile as its synchronisation
 * passes too; weft's own protocols use base/atomic.h and do not come this way.
 */
#include <stddef.h>

#include "base/tsan_ck.h"

void __tsan_acquire(void *p);
void __tsan_release(void *p);

#define QUIET __attribute__((no_sanitize("thread")))

/* No operation of ck reads more words between two fences. The annotation does
 * not touch the word, so a stale address does no harm. */
#define WORDS 8

static _Thread_local void *words[WORDS];
static _Thread_local unsigned next;

QUIET static void read_at(void *p)
{
    words[next++ % WORDS] = p;
    __tsan_acquire(p);
}

QUIET static void write_at(void *p)
{
    __tsan_release(p);
}

QUIET void w_tsan_fence(void)
{
#if defined(__x86_64__)
    __asm__ volatile("mfence" ::: "memory");
#else
    __asm__ volatile("dmb ish" ::: "memory");
#endif
    for (unsigned i = 0; i < WORDS; i++) {
        if (words[i])
            __tsan_acquire(words[i]);
        words[i] = NULL;
    }
}

#define VOLATILE_ACCESS(bytes)                                                 \
    void __tsan_volatile_read##bytes(void *p);                                 \
    void __tsan_volatile_write##bytes(void *p);                                \
    void __tsan_unaligned_volatile_read##bytes(void *p);                       \
    void __tsan_unaligned_volatile_write##bytes(void *p);                      \
    QUIET void __tsan_volatile_read##bytes(void *p)                            \
    {                                                                          \
        read_at(p);                                                            \
    }                                                                          \
    QUIET void __tsan_volatile_write##bytes(void *p)                           \
    {                                                                          \
        write_at(p);                                                           \
    }                                                                          \
    QUIET void __tsan_unaligned_volatile_read##bytes(void *p)                  \
    {                                                                          \
        read_at(p);                                                            \
    }                                                                          \
    QUIET void __tsan_unaligned_volatile_write##bytes(void *p)                 \
    {                                                                          \
        write_at(p);                                                           \
    }

VOLATILE_ACCESS(1)
VOLATILE_ACCESS(2)
VOLATILE_ACCESS(4)
VOLATILE_ACCESS(8)
VOLATILE_ACCESS(16)
