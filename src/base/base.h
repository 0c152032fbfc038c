/* SPDX-License-Identifier: MIT */
/* The ground every file stands on: macros without state. */
#ifndef WEFT_BASE_BASE_H
#define WEFT_BASE_BASE_H

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define container_of(ptr, type, member)                                        \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define array_len(a) (sizeof(a) / sizeof((a)[0]))

/* Two lines: adjacent-line prefetch pairs them on x86-64. */
#define W_CACHE_LINE 64
#define W_ISOLATED 128

#define W_NOINLINE __attribute__((noinline))
#define W_MUST_CHECK __attribute__((warn_unused_result))
#define W_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define W_COLD __attribute__((cold, noinline))
#define W_EXPORT __attribute__((visibility("default")))

/* gcc can look through a noinline function unless told not to. */
#if defined(__GNUC__) && !defined(__clang__)
#define W_OPAQUE __attribute__((noinline, noipa))
#else
#define W_OPAQUE __attribute__((noinline))
#endif

#if defined(__SANITIZE_ADDRESS__)
#define W_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define W_TSAN 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define W_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define W_TSAN 1
#endif
#endif

#define W_ERRNO_MAX 4095

static inline bool w_is_error(long v)
{
    return v < 0 && v >= -W_ERRNO_MAX;
}

static inline size_t w_align_up(size_t n, size_t to)
{
    return (n + to - 1) & ~(to - 1);
}

/* The caller broke the contract; going on would corrupt memory. */
_Noreturn W_COLD void w_bug(const char *fmt, ...) W_PRINTF(1, 2);

/* Called by w_bug before it aborts; the runtime hangs its task dump here. */
extern void (*w_bug_hook)(void);

/* A line on standard error, in one write. */
W_COLD void w_warn(const char *fmt, ...) W_PRINTF(1, 2);

/* For reads of what its owner may be changing, where a stale or mixed answer is
 * as good as another: dumps. */
#if defined(W_TSAN)
#define W_RACY __attribute__((no_sanitize("thread"), noinline))
#else
#define W_RACY __attribute__((noinline))
#endif

#endif
