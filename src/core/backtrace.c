/* SPDX-License-Identifier: MIT */
/* Backtraces of tasks: the running one's, and of those that wait. */
#include "core/backtrace.h"

#include "core/runtime.h"

int w_backtrace_walk(const struct stack *s, uintptr_t pc, uintptr_t fp,
                     void **pcs, int n)
{
    int i = 0;

    if (i < n)
        pcs[i++] = (void *)pc;
    while (i < n && s && fp >= (uintptr_t)s->limit &&
           fp + 2 * sizeof fp <= (uintptr_t)s->top && fp % sizeof fp == 0) {
        uintptr_t *frame = (uintptr_t *)fp;

        if (!frame[1])
            break;
        pcs[i++] = (void *)frame[1];
        if (frame[0] <= fp)
            break;
        fp = frame[0];
    }
    return i;
}

/* Where context_switch saved them. */
static int walk_saved(const struct weft_task *t, void **pcs, int n)
{
    const uintptr_t *sp = t->sp;

#if defined(__x86_64__)
    return w_backtrace_walk(t->stack, sp[2], sp[1], pcs, n);
#elif defined(__aarch64__)
    return w_backtrace_walk(t->stack, sp[1], sp[0], pcs, n);
#endif
}

W_NOINLINE int weft_task_backtrace(weft_task *t, void **pcs, int n)
{
    struct worker *w = w_worker();
    uint32_t state = load_acquire(&t->state);
    int got;

    if (n <= 0)
        return -EINVAL;
    if (w && t == w->current)
        return w_backtrace_walk(w->stack,
                                (uintptr_t)__builtin_return_address(0),
                                *(uintptr_t *)__builtin_frame_address(0), pcs,
                                n);
    if (state & (TASK_NEW | TASK_DONE))
        return -ESRCH;
    if (!w_inspect_begin(t))
        return -EAGAIN;
    got = walk_saved(t, pcs, n);
    w_inspect_end(t);
    return got;
}
