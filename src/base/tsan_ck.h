/* SPDX-License-Identifier: MIT */
/* ck for ThreadSanitizer, included before every file of such a build.
 *
 * Debian's ck knows that x86-64 keeps loads and stores in order, so most of its
 * fences are empty there. Under the sanitizer each must be seen: it is the
 * place at which a load that ck did before becomes an acquire (tsan_volatile.c
 * says why the load itself cannot be). So ck is told that the machine keeps no
 * order, and its fence, the compiler's builtin, is replaced by ours.
 */
#ifndef WEFT_BASE_TSAN_CK_H
#define WEFT_BASE_TSAN_CK_H

#include <ck_md.h>

#undef CK_MD_TSO
#undef CK_MD_PSO
#ifndef CK_MD_RMO
#define CK_MD_RMO
#endif

#ifdef __cplusplus
extern "C"
#endif
void w_tsan_fence(void);

#define __sync_synchronize() w_tsan_fence()

#endif
