/* SPDX-License-Identifier: MIT */
/* weft/net.h - file descriptors, listeners and streams. */
#ifndef WEFT_NET_H
#define WEFT_NET_H

#include <sys/uio.h>
#include <weft/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- raw descriptors --------------------------------------------------- */

enum {
    WEFT_READ = 1,
    WEFT_WRITE = 2,
};

/* Waits until fd (one that epoll takes: socket, pipe, eventfd, ...) is ready
 * for one of `events`, level-triggered; returns those that are, errors and
 * hang-ups included as readiness. Task. -ECANCELED, -ETIMEDOUT, -EINVAL,
 * -EBADF, -EBUSY (another task waits for the same direction), -ENOMEM,
 * -ENOSPC. loop.add_reader, add_writer */
WEFT_API WEFT_MUST_CHECK int weft_fd_wait(int fd, int events);

/* Tells the runtime that fd is about to be closed by you. Needed only if a
 * task might still wait on it: it then gets -EBADF. Task. */
WEFT_API void weft_fd_forget(int fd);

/* Arms w, which is yours: when fd is ready for `events`, or at `deadline`
 * (weft_now's clock, WEFT_NEVER for none), fn(arg) becomes a detached task,
 * once. Until then nothing but w and a small record is held: no stack. In fn
 * weft_watch_result(w) tells what happened; w may be armed again or freed from
 * then on. Task or a callback. 0, -EPERM, -EBUSY, -EBADF, -ENOMEM, -ENOSPC.
 * loop.add_reader */
WEFT_API WEFT_MUST_CHECK int weft_fd_watch(weft_watch *w, int fd, int events,
                                           int64_t deadline, weft_fn *fn,
                                           void *arg);

/* Disarms w. 1: it will not fire. 0: it was not armed or fn(arg) is a task
 * already. Any thread of the runtime. remove_reader */
WEFT_API int weft_fd_unwatch(weft_watch *w);

/* Why w fired: ready events (> 0), -ETIMEDOUT, or -ECANCELED when the runtime
 * stops. */
WEFT_API int weft_watch_result(const weft_watch *w);

/* ---- listeners --------------------------------------------------------- */

/* Listens on "host:port", ":port", "[v6]:port" or "unix:/path" (port 0: any,
 * see weft_listener_port). A host name is resolved, which waits. *l is yours
 * until weft_listener_close. Task. -EINVAL, -EADDRINUSE, -EACCES, ...,
 * -ENOENT (no such host). start_server */
WEFT_API WEFT_MUST_CHECK int weft_listen(weft_listener **l,
                                         const char *address);

/* The bound TCP port, 0 for a unix socket. Any thread. */
WEFT_API int weft_listener_port(const weft_listener *l);

/* Waits for a connection. *s is yours until weft_close. Task. -ECANCELED,
 * -ETIMEDOUT, -EBADF (closed), -EMFILE, -ENFILE, -ENOMEM, -EBUSY (another
 * task accepts). sock_accept */
WEFT_API WEFT_MUST_CHECK int weft_accept(weft_listener *l, weft_stream **s);

/* What weft_serve runs, one task a connection. */
typedef long weft_handler(weft_stream *s, void *arg);

/* Accepts until it is cancelled or l is closed, and runs handler(s, arg) as a
 * task for each connection, which is closed when handler returns. Out of fds
 * or memory it pauses accepting and goes on when it can. A handler's error
 * goes to the handler of unhandled errors, connection resets excepted. At the
 * end the handlers are cancelled and awaited. Task. -ECANCELED, -ETIMEDOUT, 0
 * when l was closed. serve_forever */
WEFT_API long weft_serve(weft_listener *l, weft_handler *handler, void *arg);

/* Stops listening and frees l; an accept or weft_serve that waits on it ends,
 * no new one may start. Task. */
WEFT_API void weft_listener_close(weft_listener *l);

/* ---- streams ----------------------------------------------------------- */

/* A stream may have one task that reads and one that writes at a time; a
 * second gets -EBUSY. Errors of all calls beside those named: -ECANCELED,
 * -ETIMEDOUT, -ECONNRESET, -EPIPE, -EBADF (closed meanwhile), -ENOMEM. */

/* Connects to "host:port" or "unix:/path". *s is yours until weft_close.
 * Task. -EINVAL, -ENOENT (no such host), -ECONNREFUSED, ... open_connection */
WEFT_API WEFT_MUST_CHECK int weft_connect(weft_stream **s, const char *address);

/* Makes a stream of fd (socket or pipe), which belongs to it from then on and
 * is set non-blocking. Task. 0, -ENOMEM, -EBADF. connect_accepted_socket */
WEFT_API WEFT_MUST_CHECK int weft_stream_attach(weft_stream **s, int fd);

/* Waits for at least one byte, takes at most n. 0: end of stream. read */
WEFT_API WEFT_MUST_CHECK ssize_t weft_read(weft_stream *s, void *buf, size_t n);

/* Waits for n bytes; fewer only at the end of the stream. readexactly */
WEFT_API WEFT_MUST_CHECK ssize_t weft_readn(weft_stream *s, void *buf,
                                            size_t n);

/* Waits for a line, copies it with its '\n' and a NUL; returns its length.
 * 0: end of stream; a last line may lack the '\n'. -EMSGSIZE: longer than
 * n - 1; nothing was taken. readline */
WEFT_API WEFT_MUST_CHECK ssize_t weft_readline(weft_stream *s, char *buf,
                                               size_t n);

/* Gives all n bytes to the kernel, waiting as it must; returns n. On an error
 * an unknown part was sent. Between cork and flush it may gather instead.
 * write + drain */
WEFT_API WEFT_MUST_CHECK ssize_t weft_write(weft_stream *s, const void *buf,
                                            size_t n);

/* The same for several pieces. writelines */
WEFT_API WEFT_MUST_CHECK ssize_t weft_writev(weft_stream *s,
                                             const struct iovec *v, int n);

/* Writes gather in a buffer (16 KiB, then they are sent) until weft_flush. */
WEFT_API void weft_stream_cork(weft_stream *s);

/* Sends what was gathered and ends the cork. 0. drain */
WEFT_API int weft_flush(weft_stream *s);

/* Sends n bytes of file `fd` from offset off, without copying where the kernel
 * can. Returns what was sent: n, less only if the file ended. sendfile */
WEFT_API WEFT_MUST_CHECK ssize_t weft_sendfile(weft_stream *s, int fd,
                                               off_t off, size_t n);

/* Flushes and sends the end of stream; reading goes on. 0. write_eof */
WEFT_API int weft_shutdown(weft_stream *s);

/* Closes and frees s at once; gathered bytes that the kernel does not take
 * immediately are lost (weft_flush first). A task that waits on s gets -EBADF;
 * no new call on s may start. While a watch on s is armed only its fn may close
 * s, since it may be about to fire. NULL is fine. Task. close */
WEFT_API void weft_close(weft_stream *s);

/* The descriptor of s, for getsockopt and the like. Any thread. */
WEFT_API int weft_stream_fd(const weft_stream *s);

/* Writes the peer's address as "1.2.3.4:5", "[v6]:5" or "unix:path". 0,
 * -ENOTCONN. get_extra_info('peername') */
WEFT_API int weft_stream_peer(const weft_stream *s, char *buf, size_t n);

/* Bytes that were read from the kernel and not yet taken. */
WEFT_API size_t weft_stream_buffered(const weft_stream *s);

/* Like weft_fd_watch for the next bytes of s: buffers are given back, and
 * fn(arg) becomes a task when there is something to read (at once if there is
 * already), at the deadline, or when the runtime stops. An idle connection
 * holds no stack and no buffer so. 0, -EBUSY, -EPERM, -ENOMEM. */
WEFT_API WEFT_MUST_CHECK int weft_stream_watch(weft_stream *s, int64_t deadline,
                                               weft_fn *fn, void *arg);

/* Why fn was called: WEFT_READ, -ETIMEDOUT or -ECANCELED. */
WEFT_API int weft_stream_watch_result(const weft_stream *s);

/* ---- signals ------------------------------------------------------------ */

/* While a signal is waited for or watched its default action is off; the former
 * action comes back with the last watcher's end. Each watcher is told of each
 * signal; like the kernel's, one that comes again before it was taken counts
 * once. The workers' threads block signals: send them to the process (kill),
 * not to a task's thread (raise). Not SIGKILL, SIGSTOP, nor those of faults. */

/* Waits for one of the n signals; returns its number. Task. -EINVAL,
 * -ECANCELED, -ETIMEDOUT, -EMFILE (also: 1024 watchers). add_signal_handler */
WEFT_API WEFT_MUST_CHECK int weft_signal_wait(const int *signals, size_t n);

/* Watches n signals: none is missed between two calls of weft_signals_next. *s
 * is yours until weft_signals_close. Task. -EINVAL, -ENOMEM, -EMFILE. */
WEFT_API WEFT_MUST_CHECK int weft_signals_open(weft_signals **s,
                                               const int *signals, size_t n);

/* Waits for the next one; returns its number. One task at a time (-EBUSY).
 * -ECANCELED, -ETIMEDOUT. */
WEFT_API WEFT_MUST_CHECK int weft_signals_next(weft_signals *s);
WEFT_API void weft_signals_close(weft_signals *s);

#ifdef __cplusplus
}
#endif

#endif
