/* SPDX-License-Identifier: MIT */
/* The one seam to the kernel and the allocator.
 *
 * Every system call and allocation of the library goes through a sys_
 * function. They return what the kernel returns: a value, or a negative errno
 * (errno is thread state and a task is not a thread). Memory functions return
 * NULL. What may fail says so in front: a build with WEFT_FAULTS makes it. What
 * a simulation answers itself says so next.
 */
#ifndef WEFT_BASE_SYS_H
#define WEFT_BASE_SYS_H

#ifndef _GNU_SOURCE
#error "the library is compiled with -D_GNU_SOURCE"
#endif

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/sim.h"
#ifdef W_TSAN
#include "base/tsan_futex.h"
#endif

#define SYS_RET(call)                                                          \
    __extension__({                                                            \
        __typeof__(call) r_ = (call);                                          \
        r_ < 0 ? (__typeof__(call)) - errno : r_;                              \
    })

/* Of a thread in a simulation; of a descriptor that is simulated. */
#define SYS_SIM(call)                                                          \
    do {                                                                       \
        if (sim_here())                                                        \
            return w_sim_ops->call;                                            \
    } while (0)
#define SYS_SIM_FD(fd, answer)                                                 \
    do {                                                                       \
        if (sim_here() && (fd) >= SIM_FD)                                      \
            return answer;                                                     \
    } while (0)

static inline void *sys_malloc(size_t n)
{
    void *p;

    SYS_MAY_LACK();
    p = malloc(n);
    return SYS_HELD(p);
}

static inline void *sys_calloc(size_t n, size_t size)
{
    void *p;

    SYS_MAY_LACK();
    p = calloc(n, size);
    return SYS_HELD(p);
}

static inline void *sys_realloc(void *p, size_t n)
{
    void *q;

    SYS_MAY_LACK();
    q = realloc(p, n);
    return p ? q : SYS_HELD(q);
}

static inline void *sys_memalign(size_t align, size_t n)
{
    void *p;

    SYS_MAY_LACK();
    if (posix_memalign(&p, align, n))
        return NULL;
    return SYS_HELD(p);
}

static inline void sys_free(void *p)
{
    SYS_FREED(p);
    free(p);
}

/* NULL on failure. */
static inline void *sys_mmap(size_t n, int prot, int flags)
{
    void *p;

    SYS_MAY_LACK();
    p = mmap(NULL, n, prot, flags, -1, 0);
    return p == MAP_FAILED ? NULL : SYS_HELD(p);
}

static inline void sys_munmap(void *p, size_t n)
{
    SYS_FREED(p);
    (void)munmap(p, n);
}

static inline int sys_madvise(void *p, size_t n, int advice)
{
    SYS_MAY_FAIL(EINVAL);
    return SYS_RET(madvise(p, n, advice));
}

/* Is the page at p (of n bytes) in memory? */
static inline bool sys_resident(void *p, size_t n)
{
    unsigned char in = 0;

    return mincore(p, n, &in) == 0 && (in & 1);
}

static inline int sys_mprotect(void *p, size_t n, int prot)
{
    SYS_MAY_FAIL(ENOMEM);
    return SYS_RET(mprotect(p, n, prot));
}

static inline int sys_open(const char *path, int flags, mode_t mode)
{
    SYS_MAY_FAIL(EMFILE, ENFILE, ENOENT);
    return SYS_RET(open(path, flags, mode));
}

static inline int sys_openat(int dir, const char *path, int flags, mode_t mode)
{
    SYS_MAY_FAIL(EMFILE, ENFILE, ENOENT);
    return SYS_RET(openat(dir, path, flags, mode));
}

static inline int sys_close(int fd)
{
    SYS_SIM_FD(fd, w_sim_ops->close(fd));
    return SYS_RET(close(fd));
}

static inline int sys_fstat(int fd, struct stat *st)
{
    SYS_SIM_FD(fd, w_sim_ops->fstat(fd, st));
    return SYS_RET(fstat(fd, st));
}

static inline ssize_t sys_read(int fd, void *buf, size_t n)
{
    SYS_MAY_FAIL(EINTR);
    SYS_MAY_BE_SHORT(n);
    SYS_SIM_FD(fd, w_sim_receive(fd, buf, n, 0, NULL, NULL));
    return SYS_RET(read(fd, buf, n));
}

static inline ssize_t sys_write(int fd, const void *buf, size_t n)
{
    SYS_MAY_FAIL(EINTR);
    SYS_MAY_BE_SHORT(n);
    SYS_SIM_FD(fd, w_sim_send(fd, buf, n, NULL, 0));
    return SYS_RET(write(fd, buf, n));
}

static inline ssize_t sys_pread(int fd, void *buf, size_t n, off_t off)
{
    SYS_MAY_FAIL(EINTR, EIO);
    return SYS_RET(pread(fd, buf, n, off));
}

static inline int sys_unlink(const char *path)
{
    return SYS_RET(unlink(path));
}

static inline ssize_t sys_readv(int fd, const struct iovec *v, int n)
{
    SYS_MAY_FAIL(EINTR, ECONNRESET);
    return SYS_RET(readv(fd, v, n));
}

static inline ssize_t sys_writev(int fd, const struct iovec *v, int n)
{
    SYS_MAY_FAIL(EINTR, EPIPE, ENOBUFS);
    return SYS_RET(writev(fd, v, n));
}

static inline ssize_t sys_recv(int fd, void *buf, size_t n, int flags)
{
    SYS_MAY_FAIL(EINTR, ECONNRESET);
    SYS_MAY_BE_SHORT(n);
    SYS_SIM_FD(fd, w_sim_receive(fd, buf, n, flags, NULL, NULL));
    return SYS_RET(recv(fd, buf, n, flags));
}

static inline ssize_t sys_send(int fd, const void *buf, size_t n, int flags)
{
    SYS_MAY_FAIL(EINTR, EPIPE, ENOBUFS);
    SYS_MAY_BE_SHORT(n);
    SYS_SIM_FD(fd, w_sim_send(fd, buf, n, NULL, 0));
    return SYS_RET(send(fd, buf, n, flags));
}

static inline ssize_t sys_sendmsg(int fd, const struct msghdr *m, int flags)
{
    SYS_MAY_FAIL(EINTR, EPIPE, ENOBUFS);
    SYS_SIM_FD(fd, w_sim_ops->send(fd, m));
    return SYS_RET(sendmsg(fd, m, flags));
}

static inline ssize_t sys_sendto(int fd, const void *buf, size_t n, int flags,
                                 const struct sockaddr *a, socklen_t len)
{
    SYS_MAY_FAIL(EINTR, ENOBUFS);
    SYS_SIM_FD(fd, w_sim_send(fd, buf, n, a, len));
    return SYS_RET(sendto(fd, buf, n, flags, a, len));
}

static inline ssize_t sys_recvfrom(int fd, void *buf, size_t n, int flags,
                                   struct sockaddr *a, socklen_t *len)
{
    SYS_MAY_FAIL(EINTR, ECONNREFUSED);
    SYS_SIM_FD(fd, w_sim_receive(fd, buf, n, flags, a, len));
    return SYS_RET(recvfrom(fd, buf, n, flags, a, len));
}

static inline ssize_t sys_sendfile(int out, int in, off_t *off, size_t n)
{
    SYS_MAY_FAIL(EINTR, EPIPE, EIO);
    SYS_MAY_BE_SHORT(n);
    SYS_SIM_FD(out, w_sim_sendfile(out, in, off, n));
    return SYS_RET(sendfile(out, in, off, n));
}

static inline int sys_fcntl(int fd, int cmd, long arg)
{
    SYS_MAY_FAIL(EMFILE);
    SYS_SIM_FD(fd, cmd == F_GETFL ? O_RDWR | O_NONBLOCK : 0);
    return SYS_RET(fcntl(fd, cmd, arg));
}

static inline int sys_dup3(int from, int to, int flags)
{
    SYS_MAY_FAIL(EMFILE);
    return SYS_RET(dup3(from, to, flags));
}

static inline int sys_pipe2(int fd[2], int flags)
{
    SYS_MAY_FAIL(EMFILE, ENFILE);
    return SYS_RET(pipe2(fd, flags));
}

static inline int sys_socket(int domain, int type, int proto)
{
    SYS_MAY_FAIL(EMFILE, ENFILE, ENOBUFS);
    SYS_SIM(socket(domain, type));
    return SYS_RET(socket(domain, type, proto));
}

static inline int sys_bind(int fd, const struct sockaddr *a, socklen_t n)
{
    SYS_MAY_FAIL(EADDRINUSE);
    SYS_SIM_FD(fd, w_sim_ops->bind(fd, a, n));
    return SYS_RET(bind(fd, a, n));
}

static inline int sys_listen(int fd, int backlog)
{
    SYS_MAY_FAIL(EADDRINUSE);
    SYS_SIM_FD(fd, w_sim_ops->listen(fd, backlog));
    return SYS_RET(listen(fd, backlog));
}

static inline int sys_accept4(int fd, struct sockaddr *a, socklen_t *n,
                              int flags)
{
    SYS_MAY_FAIL(EMFILE, ENFILE, ECONNABORTED, ENOBUFS);
    SYS_SIM_FD(fd, w_sim_ops->accept(fd, a, n));
    return SYS_RET(accept4(fd, a, n, flags));
}

static inline int sys_connect(int fd, const struct sockaddr *a, socklen_t n)
{
    SYS_MAY_FAIL(EADDRNOTAVAIL, ECONNREFUSED);
    SYS_SIM_FD(fd, w_sim_ops->connect(fd, a, n));
    return SYS_RET(connect(fd, a, n));
}

static inline int sys_shutdown(int fd, int how)
{
    SYS_SIM_FD(fd, w_sim_ops->shutdown(fd, how));
    return SYS_RET(shutdown(fd, how));
}

static inline int sys_setsockopt(int fd, int level, int name, const void *v,
                                 socklen_t n)
{
    SYS_MAY_FAIL(ENOBUFS);
    SYS_SIM_FD(fd, w_sim_ops->setsockopt(fd, level, name, v));
    return SYS_RET(setsockopt(fd, level, name, v, n));
}

static inline int sys_getsockopt(int fd, int level, int name, void *v,
                                 socklen_t *n)
{
    SYS_MAY_FAIL(ENOBUFS);
    SYS_SIM_FD(fd, w_sim_ops->getsockopt(fd, level, name, v, n));
    return SYS_RET(getsockopt(fd, level, name, v, n));
}

static inline int sys_getsockname(int fd, struct sockaddr *a, socklen_t *n)
{
    SYS_MAY_FAIL(ENOBUFS);
    SYS_SIM_FD(fd, w_sim_ops->getsockname(fd, false, a, n));
    return SYS_RET(getsockname(fd, a, n));
}

static inline int sys_getpeername(int fd, struct sockaddr *a, socklen_t *n)
{
    SYS_MAY_FAIL(ENOTCONN);
    SYS_SIM_FD(fd, w_sim_ops->getsockname(fd, true, a, n));
    return SYS_RET(getpeername(fd, a, n));
}

/* poll(2)'s answer for one descriptor, at once: its events, 0 or an error. */
static inline int sys_poll(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    int rc;

    SYS_SIM_FD(fd, w_sim_ops->poll(fd, events));
    rc = SYS_RET(poll(&p, 1, 0));
    return rc > 0 ? p.revents : rc;
}

static inline int sys_epoll_create(void)
{
    SYS_MAY_FAIL(EMFILE, ENOMEM);
    SYS_SIM(epoll_create());
    return SYS_RET(epoll_create1(EPOLL_CLOEXEC));
}

static inline int sys_epoll_ctl(int ep, int op, int fd, struct epoll_event *e)
{
    if (op != EPOLL_CTL_DEL)
        SYS_MAY_FAIL(ENOMEM, ENOSPC);
    SYS_SIM(epoll_ctl(ep, op, fd, e));
    return SYS_RET(epoll_ctl(ep, op, fd, e));
}

/* timeout in ns; negative waits for ever. */
static inline int sys_epoll_wait(int ep, struct epoll_event *e, int n,
                                 int64_t timeout)
{
    SYS_MAY_FAIL(EINTR);
    SYS_SIM(epoll_wait(ep, e, n, timeout));
#ifdef SYS_epoll_pwait2
    if (timeout > 0) {
        struct timespec ts = {timeout / 1000000000, timeout % 1000000000};
        long r = syscall(SYS_epoll_pwait2, ep, e, n, &ts, NULL, 0);

        if (r >= 0 || errno != ENOSYS)
            return r < 0 ? -errno : (int)r;
    }
#endif
    /* Rounded up: a timer must never fire early. */
    int64_t ms = timeout <= 0 ? timeout : (timeout + 999999) / 1000000;
    return SYS_RET(epoll_wait(ep, e, n, ms > INT32_MAX ? INT32_MAX : (int)ms));
}

static inline int sys_eventfd(void)
{
    SYS_MAY_FAIL(EMFILE, ENFILE);
    SYS_SIM(eventfd());
    return SYS_RET(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

static inline int sys_membarrier(int cmd)
{
    if (sim_here())
        return 0;
    return (int)SYS_RET(syscall(SYS_membarrier, cmd, 0, 0));
}

static inline void sys_yield(void)
{
    SYS_SIM(yield());
    (void)sched_yield();
}

/* CLOCK_MONOTONIC in ns. */
static inline int64_t sys_now(void)
{
    struct timespec ts;

    SYS_SIM(now());
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline void sys_sleep(int64_t ns)
{
    struct timespec ts = {ns / 1000000000, ns % 1000000000};

    SYS_SIM(sleep(ns));
    (void)nanosleep(&ts, NULL);
}

/* 0, -EAGAIN (the word changed), -EINTR or -ETIMEDOUT; ns < 0: no limit. */
static inline int sys_futex_wait(void *word, uint32_t seen, int64_t ns)
{
    struct timespec ts = {ns / 1000000000, ns % 1000000000};

    SYS_MAY_FAIL(EINTR);
    SYS_SIM(futex_wait(word, seen, ns));
#ifdef W_TSAN
    return tsan_futex_wait(word, seen, ns < 0 ? NULL : &ts);
#else
    long r = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen,
                     ns < 0 ? NULL : &ts, NULL, 0);

    return r < 0 ? -errno : 0;
#endif
}

static inline void sys_futex_wake(void *word, int n)
{
    SYS_SIM(futex_wake(word, n));
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

/* A positive errno from pthreads becomes a negative one. */
static inline int sys_thread_create(pthread_t *t, const pthread_attr_t *a,
                                    void *(*fn)(void *), void *arg)
{
    SYS_MAY_FAIL(EAGAIN);
    SYS_SIM(thread_create(t, a, fn, arg));
    return -pthread_create(t, a, fn, arg);
}

static inline void sys_thread_join(pthread_t t)
{
    SYS_SIM(thread_join(t));
    (void)pthread_join(t, NULL);
}

/* Of the calling thread: the name that tools show. */
static inline void sys_thread_name(const char *name)
{
    SYS_SIM(thread_name(name));
    (void)pthread_setname_np(pthread_self(), name);
}

/* Where the calling thread's stack lies. */
static inline bool sys_thread_stack(void **limit, size_t *bytes)
{
    pthread_attr_t attr;
    bool known;

    SYS_SIM(thread_stack(limit, bytes));
    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return false;
    known = pthread_attr_getstack(&attr, limit, bytes) == 0;
    (void)pthread_attr_destroy(&attr);
    return known;
}

/* A number that nobody can guess, but a simulation's seed decides. */
static inline uint64_t sys_seed(void)
{
    int here;

    SYS_SIM(random());
    return (uint64_t)sys_now() ^ (uintptr_t)&here;
}

static inline int sys_setpriority(pid_t tid, int nice)
{
    SYS_MAY_FAIL(EACCES);
    if (sim_here())
        return 0;
    return SYS_RET(setpriority(PRIO_PROCESS, (id_t)tid, nice));
}

/* posix_spawnp: file is searched for in PATH. */
static inline int sys_spawn(pid_t *pid, const char *file,
                            const posix_spawn_file_actions_t *actions,
                            const posix_spawnattr_t *attr, char *const *argv,
                            char *const *env)
{
    SYS_MAY_FAIL(EAGAIN, ENOMEM);
    if (sim_here())
        return -ENOTSUP;
    return -posix_spawnp(pid, file, actions, attr, argv, env);
}

static inline int sys_waitid(idtype_t type, id_t id, siginfo_t *info,
                             int options)
{
    SYS_MAY_FAIL(EINTR);
    return SYS_RET(waitid(type, id, info, options));
}

static inline int sys_kill(pid_t pid, int sig)
{
    return SYS_RET(kill(pid, sig));
}

/* Close-on-exec. -ENOSYS where the kernel is older than 5.3. */
static inline int sys_pidfd_open(pid_t pid)
{
    SYS_MAY_FAIL(ENOSYS, EMFILE);
#ifdef SYS_pidfd_open
    return (int)SYS_RET(syscall(SYS_pidfd_open, pid, 0));
#else
    (void)pid;
    return -ENOSYS;
#endif
}

static inline pid_t sys_gettid(void)
{
    return (pid_t)syscall(SYS_gettid);
}

#endif
