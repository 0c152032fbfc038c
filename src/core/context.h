/* SPDX-License-Identifier: MIT */
/* The switch: leave one stack, go on with another.
 *
 * Inline, with every register but the frame and base pointers declared as
 * clobbered, so that the compiler saves only what is live at the call: three
 * pushes and an indirect jump in all. A frame that waits looks like this, from
 * the saved stack pointer upward:
 *
 *     x86-64     rbx | rbp | resume address
 *     aarch64    x29 | resume address | x19 | (pad)
 *
 * The resume address is reached by a jump, not a return: a return would be
 * mispredicted each time. The pushes overwrite what a red zone would hold, so
 * x86-64 code that inlines the switch is built with -mno-red-zone.
 *
 * Both jumps land on what indirect branches may land on (endbr64, bti j), so
 * that this code may be marked for IBT and BTI. A shadow stack is not switched:
 * what returns after the switch would return by another's. No object with this
 * code may be marked for one; see cmake/WeftHardening.cmake. Canaries need
 * nothing: all threads of a process have the same.
 *
 * The floating-point control words are not switched: they belong to the
 * thread, and a task that changes them restores them before it waits.
 */
#ifndef WEFT_CORE_CONTEXT_H
#define WEFT_CORE_CONTEXT_H

#include "base/base.h"

/* Entered by the first switch to a new stack; calls the function that
 * context_make was given, which never returns. */
void w_context_boot(void);
#define W_CONTEXT_IN_BOOT 4 /* as a return address: past its first bytes */

/* Prepares [.., top) so that a switch to the result calls entry. The frame
 * record on top is for who unwinds between the switch's last instructions: it
 * leads into the boot frame, where unwinders stop. */
static inline void *context_make(void *top, void (*entry)(void))
{
    uintptr_t *sp = (uintptr_t *)((uintptr_t)top & ~(uintptr_t)15), record;

    *--sp = (uintptr_t)w_context_boot + W_CONTEXT_IN_BOOT;
    *--sp = 0;
    record = (uintptr_t)sp; /* 16-aligned, as the boot frame's call wants it */
#if defined(__x86_64__)
    *--sp = (uintptr_t)w_context_boot;
    *--sp = record;
    *--sp = (uintptr_t)entry;
#elif defined(__aarch64__)
    *--sp = 0;
    *--sp = (uintptr_t)entry;
    *--sp = (uintptr_t)w_context_boot;
    *--sp = record;
#else
#error "no context switch for this architecture"
#endif
    return sp;
}

/* Saves the running context in *save and continues at `to`. Returns when
 * somebody switches to *save, perhaps on another thread. */
static inline __attribute__((always_inline)) void context_switch(void **save,
                                                                 void *to)
{
#if defined(__x86_64__)
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "pushq %%rbp\n\t"
                     "pushq %%rbx\n\t"
                     "movq %%rsp, (%%rdi)\n\t"
                     "movq %%rsi, %%rsp\n\t"
                     "popq %%rbx\n\t"
                     "popq %%rbp\n\t"
                     "popq %%rax\n\t"
                     "jmpq *%%rax\n\t"
                     ".p2align 4\n"
                     "1:\n\t"
                     "endbr64\n\t"
                     : "+D"(save), "+S"(to)
                     :
                     : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12",
                       "r13", "r14", "r15", "memory", "cc", "xmm0", "xmm1",
                       "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                       "xmm15"
#ifdef __AVX512F__
                       ,
                       "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21",
                       "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27",
                       "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3",
                       "k4", "k5", "k6", "k7"
#endif
    );
#elif defined(__aarch64__)
    register void **x0 __asm__("x0") = save;
    register void *x1 __asm__("x1") = to;

    __asm__ volatile("adr x9, 1f\n\t"
                     "stp x29, x9, [sp, #-32]!\n\t"
                     "str x19, [sp, #16]\n\t"
                     "mov x9, sp\n\t"
                     "str x9, [x0]\n\t"
                     "mov sp, x1\n\t"
                     "ldr x19, [sp, #16]\n\t"
                     "ldp x29, x9, [sp], #32\n\t"
                     "br x9\n\t"
                     "1:\n\t"
                     "hint #36\n\t" /* bti j */
                     : "+r"(x0), "+r"(x1)
                     :
                     : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10",
                       "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x18",
                       "x20",
                       "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28",
                       "x30", "memory", "cc", "v0", "v1", "v2", "v3", "v4",
                       "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13",
                       "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21",
                       "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29",
                       "v30", "v31");
#endif
}

#endif
