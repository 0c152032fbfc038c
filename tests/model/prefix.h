/* SPDX-License-Identifier: MIT */
/* Included before every file that the model checker instruments: time, sleep
 * and the spinning loops' pause become the checker's. The real headers come
 * first, so their guards keep them from coming again. */
#ifndef TESTS_MODEL_PREFIX_H
#define TESTS_MODEL_PREFIX_H

#include <string.h>

#define W_NO_SIM
#include "base/sys.h"
#include "model.h"

#ifdef M_CK /* a file that uses ck, whose slots are read while they change */
#include "base/tsan_ck.h"
#define memcpy m_memcpy_word
#include <ck_ring.h>
#undef memcpy
#endif
#ifdef M_WEAK /* what the file does on machines that keep no order */
#undef __x86_64__
#endif

#define cpu_pause cpu_pause_unused
#include "base/atomic.h"
#undef cpu_pause
#define cpu_pause m_pause

#define sys_yield m_pause
#define sys_sleep m_sleep
#define sys_now m_now
#define sys_futex_wait m_futex_wait
#define sys_futex_wake m_futex_wake
#define sys_membarrier m_membarrier
#define sys_malloc(n) m_alloc(16, n)
#define sys_calloc(n, size) m_alloc(16, (n) * (size))
#define sys_memalign m_alloc
#define sys_free m_free
/* Mapped is the room for the records of two threads' children, and nothing. */
static char m_room[2 * 65536] __attribute__((aligned(16), unused));
#define sys_mmap(n, prot, flags) ((n) > sizeof m_room ? NULL : m_room)
#define sys_mprotect(p, n, prot) ((void)(p), (void)(n), 0)
#define sys_munmap(p, n) ((void)(p), (void)(n))
#define memset m_memset
#define memcpy m_memcpy

#endif
