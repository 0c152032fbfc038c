/* SPDX-License-Identifier: MIT */
/* What the compiler calls where it would call the sanitizer's runtime, and the
 * fence of base/tsan_ck.h. */
#include "engine.h"

#define PC __builtin_return_address(0)

void __tsan_init(void);
void __tsan_func_entry(void *pc);
void __tsan_func_exit(void);
void __tsan_read_range(void *p, size_t n);
void __tsan_write_range(void *p, size_t n);
void __tsan_atomic_thread_fence(int mo);
void __tsan_atomic_signal_fence(int mo);
void w_tsan_fence(void);

void __tsan_init(void) {}
void __tsan_func_entry(void *pc) { (void)pc; }
void __tsan_func_exit(void) {}
void __tsan_read_range(void *p, size_t n) { memory_plain(p, n, false, PC); }
void __tsan_write_range(void *p, size_t n) { memory_plain(p, n, true, PC); }
void __tsan_atomic_thread_fence(int mo) { memory_fence(mo, PC); }
void __tsan_atomic_signal_fence(int mo) { (void)mo; }
void w_tsan_fence(void) { memory_fence(SEQ_CST, PC); }

#define PLAIN(n)                                                               \
    void __tsan_read##n(void *p);                                              \
    void __tsan_read##n(void *p) { memory_plain(p, n, false, PC); }            \
    void __tsan_write##n(void *p);                                             \
    void __tsan_write##n(void *p) { memory_plain(p, n, true, PC); }            \
    void __tsan_unaligned_read##n(void *p);                                    \
    void __tsan_unaligned_read##n(void *p) { memory_plain(p, n, false, PC); }  \
    void __tsan_unaligned_write##n(void *p);                                   \
    void __tsan_unaligned_write##n(void *p) { memory_plain(p, n, true, PC); }  \
    void __tsan_volatile_read##n(void *p);                                     \
    void __tsan_volatile_read##n(void *p)                                      \
    {                                                                          \
        memory_announce(p, n, false, PC);                                      \
    }                                                                          \
    void __tsan_volatile_write##n(void *p);                                    \
    void __tsan_volatile_write##n(void *p)                                     \
    {                                                                          \
        memory_announce(p, n, true, PC);                                       \
    }
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

#define RMW(bits, T, name, op)                                                 \
    T __tsan_atomic##bits##_##name(T *p, T v, int mo);                         \
    T __tsan_atomic##bits##_##name(T *p, T v, int mo)                          \
    {                                                                          \
        return (T)memory_rmw(p, bits / 8, op, v, mo, PC);                      \
    }
#define ATOMIC_OPS(bits, T)                                                    \
    T __tsan_atomic##bits##_load(T *p, int mo);                                \
    T __tsan_atomic##bits##_load(T *p, int mo)                                 \
    {                                                                          \
        return (T)memory_load(p, bits / 8, mo, PC);                            \
    }                                                                          \
    void __tsan_atomic##bits##_store(T *p, T v, int mo);                       \
    void __tsan_atomic##bits##_store(T *p, T v, int mo)                        \
    {                                                                          \
        memory_store(p, bits / 8, v, mo, PC);                                  \
    }                                                                          \
    T __tsan_atomic##bits##_compare_exchange_val(T *p, T c, T v, int mo,       \
                                                 int fmo);                     \
    T __tsan_atomic##bits##_compare_exchange_val(T *p, T c, T v, int mo,       \
                                                 int fmo)                      \
    {                                                                          \
        uint64_t e = c;                                                        \
                                                                               \
        (void)memory_cas(p, bits / 8, &e, v, mo, fmo, PC);                     \
        return (T)e;                                                           \
    }                                                                          \
    int __tsan_atomic##bits##_compare_exchange_strong(T *p, T *c, T v, int mo, \
                                                      int fmo);                \
    int __tsan_atomic##bits##_compare_exchange_strong(T *p, T *c, T v, int mo, \
                                                      int fmo)                 \
    {                                                                          \
        uint64_t e = *c;                                                       \
        int ok = memory_cas(p, bits / 8, &e, v, mo, fmo, PC);                  \
                                                                               \
        *c = (T)e;                                                             \
        return ok;                                                             \
    }                                                                          \
    RMW(bits, T, exchange, SWAP)                                               \
    RMW(bits, T, fetch_add, ADD)                                               \
    RMW(bits, T, fetch_sub, SUB)                                               \
    RMW(bits, T, fetch_and, AND)                                               \
    RMW(bits, T, fetch_or, OR)                                                 \
    RMW(bits, T, fetch_xor, XOR)
ATOMIC_OPS(8, uint8_t)
ATOMIC_OPS(16, uint16_t)
ATOMIC_OPS(32, uint32_t)
ATOMIC_OPS(64, uint64_t)
