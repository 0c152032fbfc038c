/* SPDX-License-Identifier: MIT */
/* A wait on a futex as ThreadSanitizer must see it.
 *
 * Included in ThreadSanitizer builds only. The sanitizer stands in front of
 * every signal handler: it calls the real one at once if the thread sits in a
 * blocking function that it intercepts, else when the thread next calls any
 * that it intercepts. A raw system call is neither. The thread that sits in
 * weft_run is where the kernel delivers the process's signals; it would note
 * one, go back into its futex, and never get to a handler. So the sanitizer is
 * told of the wait.
 *
 * A runtime library that has no hook for that (gcc 12) sees a sleep of no
 * length, which it intercepts, now and then in a wait without a limit. */
#ifndef WEFT_BASE_TSAN_FUTEX_H
#define WEFT_BASE_TSAN_FUTEX_H

#include <errno.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void __sanitizer_syscall_pre_impl_futex(long word, long op, long val,
                                        long limit, long word2, long val3)
    __attribute__((weak));
void __sanitizer_syscall_post_impl_futex(long rc, long word, long op, long val,
                                         long limit, long word2, long val3)
    __attribute__((weak));

/* As the system call; -errno. NULL: no limit. */
static inline int tsan_futex_wait(void *word, uint32_t seen,
                                  const struct timespec *limit)
{
    const struct timespec none = {0, 0}, slice = {0, 50000000};
    long at = (long)(uintptr_t)word, op = FUTEX_WAIT_PRIVATE, r;
    int rc;

    if (!__sanitizer_syscall_pre_impl_futex && !limit) {
        r = syscall(SYS_futex, word, op, seen, &slice, NULL, 0);
        rc = r == 0 ? 0 : errno == EAGAIN ? -EAGAIN : -EINTR;
        (void)nanosleep(&none, NULL);
        return rc;
    }
    if (__sanitizer_syscall_pre_impl_futex)
        __sanitizer_syscall_pre_impl_futex(at, op, seen, 0, 0, 0);
    r = syscall(SYS_futex, word, op, seen, limit, NULL, 0);
    rc = r < 0 ? -errno : 0;
    if (__sanitizer_syscall_post_impl_futex)
        __sanitizer_syscall_post_impl_futex(r, at, op, seen, 0, 0, 0);
    return rc;
}

#endif
