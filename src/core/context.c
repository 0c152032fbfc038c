/* SPDX-License-Identifier: MIT */
/* The first frame of a stack. Its return address is declared undefined, so
 * that debuggers and unwinders stop here. */
#include "core/context.h"

#if defined(__x86_64__)
__asm__(".text\n"
        ".p2align 4\n"
        ".globl w_context_boot\n"
        ".hidden w_context_boot\n"
        ".type w_context_boot, @function\n"
        "w_context_boot:\n"
        "    .cfi_startproc\n"
        "    .cfi_undefined rip\n"
        "    endbr64\n"
        "    xorl %ebp, %ebp\n"
        "    call *%rbx\n"
        "    ud2\n"
        "    .cfi_endproc\n"
        ".size w_context_boot, . - w_context_boot\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".p2align 4\n"
        ".globl w_context_boot\n"
        ".hidden w_context_boot\n"
        ".type w_context_boot, %function\n"
        "w_context_boot:\n"
        "    .cfi_startproc\n"
        "    .cfi_undefined x30\n"
        "    hint #36\n"
        "    mov x29, #0\n"
        "    mov x30, #0\n"
        "    blr x19\n"
        "    brk #1\n"
        "    .cfi_endproc\n"
        ".size w_context_boot, . - w_context_boot\n");
#endif
