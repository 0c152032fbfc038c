/* SPDX-License-Identifier: MIT */
/* What the sanitizers and valgrind must be told about stacks and switches.
 * Nothing in a plain build. */
#ifndef WEFT_CORE_FIBER_H
#define WEFT_CORE_FIBER_H

#include "base/base.h"

#ifdef W_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef W_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#ifdef W_VALGRIND
#include <valgrind/valgrind.h>
#endif

/* One for each stack, and one for a thread's own. */
struct fiber {
#ifdef W_ASAN
    void *fake;
    const void *bottom;
    size_t size;
#endif
#ifdef W_TSAN
    void *tsan;
#endif
#ifdef W_VALGRIND
    unsigned valgrind;
#endif
    char unused; /* a struct must not be empty */
};

static inline void fiber_open(struct fiber *f, void *bottom, size_t size)
{
#ifdef W_ASAN
    f->fake = NULL;
    f->bottom = bottom;
    f->size = size;
#endif
#ifdef W_TSAN
    f->tsan = __tsan_create_fiber(0);
#endif
#ifdef W_VALGRIND
    f->valgrind = VALGRIND_STACK_REGISTER(bottom, (char *)bottom + size);
#endif
    (void)f, (void)bottom, (void)size;
}

static inline void fiber_close(struct fiber *f)
{
#ifdef W_TSAN
    __tsan_destroy_fiber(f->tsan);
#endif
#ifdef W_VALGRIND
    VALGRIND_STACK_DEREGISTER(f->valgrind);
#endif
    (void)f;
}

/* The calling thread's own stack. */
static inline void fiber_native(struct fiber *f)
{
#ifdef W_ASAN
    f->fake = NULL;
    f->bottom = NULL; /* learnt at the first switch away */
    f->size = 0;
#endif
#ifdef W_TSAN
    f->tsan = __tsan_get_current_fiber();
#endif
    (void)f;
}

/* Frames that are abandoned by a jump leave their poison behind. */
static inline void fiber_clean(struct fiber *f, void *bottom, size_t size)
{
#ifdef W_ASAN
    f->fake = NULL;
    ASAN_UNPOISON_MEMORY_REGION(bottom, size);
#endif
    (void)f, (void)bottom, (void)size;
}

static inline __attribute__((always_inline)) void fiber_leave(struct fiber *from,
                                                              struct fiber *to)
{
#ifdef W_ASAN
    __sanitizer_start_switch_fiber(&from->fake, to->bottom, to->size);
#endif
#ifdef W_TSAN
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
    (void)from, (void)to;
}

/* First thing after a switch, on the stack of `self`. On a fresh stack `from` is
 * the thread's native fiber: if its bounds are not known, this is the first
 * switch of the thread and came from there. */
static inline __attribute__((always_inline)) void fiber_enter(struct fiber *self,
                                                              struct fiber *from)
{
#ifdef W_ASAN
    const void *bottom;
    size_t size;

    __sanitizer_finish_switch_fiber(self->fake, &bottom, &size);
    if (from && !from->bottom) {
        from->bottom = bottom;
        from->size = size;
    }
#endif
    (void)self, (void)from;
}

#endif
