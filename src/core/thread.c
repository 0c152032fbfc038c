/* SPDX-License-Identifier: MIT */
#include "core/thread.h"

static _Thread_local struct thread *self;

W_OPAQUE struct thread *w_thread(void)
{
    struct thread *t = self;

    __asm__ volatile("" : "+r"(t));
    return t;
}

void w_thread_set(struct thread *t)
{
    self = t;
}
