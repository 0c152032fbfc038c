/* SPDX-License-Identifier: MIT */
/* Atomics under short names, one spelling an order, so that a reader can grep
 * for each and a model checker can replace this file alone. All of the
 * library's atomics go through here.
 *
 * Orders live on accesses. The stand-alone fence exists for store-load
 * (Dekker) pairs only: ThreadSanitizer does not model it, and must not need to.
 */
#ifndef WEFT_BASE_ATOMIC_H
#define WEFT_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/stress.h"

/* A stress build may be held up before each access that orders another. */
#if defined(W_STRESS) && !defined(W_STRESS_RAW)
#define W_HOOKED(x) (w_stress_atomic(), x)
#else
#define W_HOOKED(x) x
#endif

#define load_relaxed(p) atomic_load_explicit(p, memory_order_relaxed)
#define load_acquire(p) W_HOOKED(atomic_load_explicit(p, memory_order_acquire))
#define load_seq_cst(p) W_HOOKED(atomic_load_explicit(p, memory_order_seq_cst))

#define store_relaxed(p, v) atomic_store_explicit(p, v, memory_order_relaxed)
#define store_release(p, v)                                                    \
    W_HOOKED(atomic_store_explicit(p, v, memory_order_release))
#define store_seq_cst(p, v)                                                    \
    W_HOOKED(atomic_store_explicit(p, v, memory_order_seq_cst))

#define swap_acquire(p, v)                                                     \
    W_HOOKED(atomic_exchange_explicit(p, v, memory_order_acquire))
#define swap_acq_rel(p, v)                                                     \
    W_HOOKED(atomic_exchange_explicit(p, v, memory_order_acq_rel))
#define swap_seq_cst(p, v)                                                     \
    W_HOOKED(atomic_exchange_explicit(p, v, memory_order_seq_cst))

#define add_relaxed(p, v)                                                      \
    W_HOOKED(atomic_fetch_add_explicit(p, v, memory_order_relaxed))
#define add_acq_rel(p, v)                                                      \
    W_HOOKED(atomic_fetch_add_explicit(p, v, memory_order_acq_rel))
#define add_seq_cst(p, v)                                                      \
    W_HOOKED(atomic_fetch_add_explicit(p, v, memory_order_seq_cst))
#define sub_relaxed(p, v)                                                      \
    W_HOOKED(atomic_fetch_sub_explicit(p, v, memory_order_relaxed))
#define sub_acq_rel(p, v)                                                      \
    W_HOOKED(atomic_fetch_sub_explicit(p, v, memory_order_acq_rel))
#define sub_seq_cst(p, v)                                                      \
    W_HOOKED(atomic_fetch_sub_explicit(p, v, memory_order_seq_cst))
#define or_relaxed(p, v)                                                       \
    W_HOOKED(atomic_fetch_or_explicit(p, v, memory_order_relaxed))
#define or_acq_rel(p, v)                                                       \
    W_HOOKED(atomic_fetch_or_explicit(p, v, memory_order_acq_rel))
#define or_seq_cst(p, v)                                                       \
    W_HOOKED(atomic_fetch_or_explicit(p, v, memory_order_seq_cst))
#define and_acq_rel(p, v)                                                      \
    W_HOOKED(atomic_fetch_and_explicit(p, v, memory_order_acq_rel))
#define and_seq_cst(p, v)                                                      \
    W_HOOKED(atomic_fetch_and_explicit(p, v, memory_order_seq_cst))

/* On failure *expected holds what was read, with acquire order. */
#define cas_relaxed(p, expected, v)                                            \
    W_HOOKED(atomic_compare_exchange_strong_explicit(                          \
        p, expected, v, memory_order_relaxed, memory_order_relaxed))
#define cas_acquire(p, expected, v)                                            \
    W_HOOKED(atomic_compare_exchange_strong_explicit(                          \
        p, expected, v, memory_order_acquire, memory_order_acquire))
#define cas_release(p, expected, v)                                            \
    W_HOOKED(atomic_compare_exchange_strong_explicit(                          \
        p, expected, v, memory_order_release, memory_order_acquire))
#define cas_acq_rel(p, expected, v)                                            \
    W_HOOKED(atomic_compare_exchange_strong_explicit(                          \
        p, expected, v, memory_order_acq_rel, memory_order_acquire))
#define cas_seq_cst(p, expected, v)                                            \
    W_HOOKED(atomic_compare_exchange_strong_explicit(                          \
        p, expected, v, memory_order_seq_cst, memory_order_acquire))

static inline void fence_seq_cst(void)
{
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
    /* gcc's -Wtsan: the fence carries no data here, only store-load order. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
    atomic_thread_fence(memory_order_seq_cst);
#pragma GCC diagnostic pop
#elif defined(__x86_64__)
    /* A locked add is a full barrier and half the price of mfence. */
    __asm__ volatile("lock; addl $0, -8(%%rsp)" ::: "memory", "cc");
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

static inline void cpu_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

#endif
