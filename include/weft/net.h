/* SPDX-License-Identifier: MIT */
/* weft/net.h - file descriptors, addresses, listeners, streams, datagrams,
 * processes and signals. */
#ifndef WEFT_NET_H
#define WEFT_NET_H

#include <sys/uio.h>
#include <weft/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* <sys/socket.h> would take names like `send` and `listen` from you. */
struct sockaddr;

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

/* The system calls of these names on a fd that is non-blocking: where the
 * kernel says EAGAIN they wait. Plain files just work; reading one may hold up
 * the worker as long as the disk does. Task. Errors: the kernel's, beside those
 * of weft_fd_wait. */

/* At least one byte, at most n; 0: the end. sock_recv */
WEFT_API WEFT_MUST_CHECK ssize_t weft_fd_read(int fd, void *buf, size_t n);

/* All n bytes; returns n. On an error an unknown part was written. No SIGPIPE.
 * sock_sendall */
WEFT_API WEFT_MUST_CHECK ssize_t weft_fd_write(int fd, const void *buf,
                                               size_t n);

/* The next connection's fd, non-blocking and close-on-exec, yours to close.
 * addr and len as accept's (unsigned is socklen_t), or NULL. sock_accept */
WEFT_API WEFT_MUST_CHECK int weft_fd_accept(int fd, struct sockaddr *addr,
                                            unsigned *len);

/* 0: fd is connected. After -ECANCELED or -ETIMEDOUT it still tries: close it,
 * or call again. sock_connect */
WEFT_API WEFT_MUST_CHECK int
weft_fd_connect(int fd, const struct sockaddr *addr, unsigned len);

/* ---- addresses --------------------------------------------------------- */

/* An address is text: "host:port", ":port", "[v6]:port" or "unix:/path"; a
 * weft_address is one that was looked up. */

/* Puts the addresses that `address` stands for into out, n at most (16 will
 * always do), the best one first; returns how many. An empty host is loopback.
 * Waits only for names, as long as the system's resolver takes: it cannot be
 * interrupted. Task. -EINVAL, -ENOENT (no such host), -EAGAIN (the resolver
 * failed), -ECANCELED, -ETIMEDOUT, -ENOMEM. getaddrinfo */
WEFT_API WEFT_MUST_CHECK int weft_resolve(const char *address,
                                          weft_address *out, size_t n);

/* Writes a as "1.2.3.4:5", "[v6]:5" or "unix:path". Any thread. 0, -EINVAL.
 * getnameinfo */
WEFT_API int weft_address_format(const weft_address *a, char *buf, size_t n);

/* a as the system calls want it, and its length; it lives as long as a. Any
 * thread. */
WEFT_API const struct sockaddr *weft_address_sockaddr(const weft_address *a,
                                                      unsigned *len);

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

/* The same with dn >= 1 bytes of your own for the end of a piece. -EINVAL: n
 * has no room for it. readuntil */
WEFT_API WEFT_MUST_CHECK ssize_t weft_readuntil(weft_stream *s, char *buf,
                                                size_t n, const void *delimiter,
                                                size_t dn);

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

/* ---- datagrams --------------------------------------------------------- */

/* A UDP socket. One task may receive and one send at a time; a second gets
 * -EBUSY. Errors of all calls beside those named: -ECANCELED, -ETIMEDOUT,
 * -EBADF (closed meanwhile), -ENOMEM; with a peer also -ECONNREFUSED (nobody
 * listened there for one that was sent before). */

/* Opens a socket that is bound to `local` (port 0 or NULL: any; NULL: of the
 * peer's family, else IPv4) and takes datagrams from `peer` alone, or from all
 * (NULL). *u is yours until weft_udp_close. Task. -EINVAL, -ENOENT (no such
 * host), -EADDRINUSE, -EACCES, ... create_datagram_endpoint */
WEFT_API WEFT_MUST_CHECK int weft_udp_open(weft_udp **u, const char *local,
                                           const char *peer);

/* Sends one datagram to `to`, or to the peer (NULL); returns n. -EDESTADDRREQ
 * (no peer), -EMSGSIZE (longer than a datagram can be), -ENETUNREACH, ...
 * sendto */
WEFT_API WEFT_MUST_CHECK ssize_t weft_udp_send(weft_udp *u, const void *buf,
                                               size_t n,
                                               const weft_address *to);

/* Waits for a datagram; returns its length, which may be 0, and who sent it in
 * *from unless that is NULL. -EMSGSIZE: it was longer than n; what did not fit
 * is lost. datagram_received */
WEFT_API WEFT_MUST_CHECK ssize_t weft_udp_recv(weft_udp *u, void *buf, size_t n,
                                               weft_address *from);

/* Closes and frees u at once; a task that waits on u gets -EBADF, and no new
 * call on u may start. NULL is fine. Task. transport.close */
WEFT_API void weft_udp_close(weft_udp *u);

/* The bound port; the descriptor, for setsockopt and the like. Any thread. */
WEFT_API int weft_udp_port(const weft_udp *u);
WEFT_API int weft_udp_fd(const weft_udp *u);

/* ---- processes --------------------------------------------------------- */

/* What a child's stdin, stdout and stderr are, if not an open descriptor of
 * yours (> 0), which stays yours. */
enum {
    WEFT_INHERIT = 0,
    WEFT_PIPE = -1,   /* a pipe; weft_process_stdin and so on are our end */
    WEFT_NULL = -2,   /* /dev/null */
    WEFT_STDOUT = -3, /* stderr only: where its stdout goes */
};

struct weft_process_options {
    int in, out, err; /* WEFT_INHERIT, WEFT_PIPE, ..., or a descriptor */
    const char *cwd;  /* NULL: ours */
    char *const *env; /* "NAME=value", ..., NULL; NULL: ours */
    int group;        /* 1: leads a process group of its own, to which the
                         signals sent to it go */
    int keep_fds;     /* 1: descriptors > 2 without close-on-exec stay open in
                         it (always, with a libc older than glibc 2.34) */
};

/* Starts the program argv[0], found by PATH if it has no slash, with the
 * arguments argv, which ends with NULL. It begins with no signal blocked or
 * ignored. opts may be NULL. *p is yours until weft_process_close. Task. 0,
 * -ENOENT (no such program or directory), -EACCES, -EINVAL, -EBADF, -EMFILE,
 * -EAGAIN, -ENOMEM, -ECANCELED, -ETIMEDOUT (not started).
 * create_subprocess_exec */
WEFT_API WEFT_MUST_CHECK int
weft_process_start(weft_process **p, char *const *argv,
                   const struct weft_process_options *opts);

/* Our ends of its pipes, NULL where there is none: to write to its stdin, to
 * read the others. They belong to p: do not close them. weft_shutdown ends its
 * stdin. Read stdout and stderr at the same time if both are pipes, and while
 * you write: a full pipe stops it. Process.stdin, stdout, stderr */
WEFT_API weft_stream *weft_process_stdin(const weft_process *p);
WEFT_API weft_stream *weft_process_stdout(const weft_process *p);
WEFT_API weft_stream *weft_process_stderr(const weft_process *p);

/* Waits for its end; returns the exit code (0 to 255), or 256 + the signal that
 * ended it. Any number of tasks, any number of times. If the wait is cancelled
 * the process goes on. Task. -ECANCELED, -ETIMEDOUT, -ECHILD (somebody else
 * took the result, or SIGCHLD is ignored). Process.wait */
WEFT_API WEFT_MUST_CHECK int weft_process_wait(weft_process *p);

/* The same without waiting. Any thread. -EAGAIN: it runs. returncode */
WEFT_API WEFT_MUST_CHECK int weft_process_trywait(weft_process *p);

/* Sends a signal to it, or to its group (see options). Any thread. 0, -ESRCH
 * (its end was waited for already, or see -ECHILD above), -EINVAL, -EPERM.
 * send_signal, kill, terminate */
WEFT_API int weft_process_kill(weft_process *p, int sig);

/* Its number, which is another's some time after it was waited for. Process.pid
 */
WEFT_API pid_t weft_process_pid(const weft_process *p);

/* Kills it (its group) if its end was not waited for, waits until it is gone,
 * cancelled or not, closes the pipes and frees p. No other task may be inside a
 * call on p or its streams. NULL is fine. Task. */
WEFT_API void weft_process_close(weft_process *p);

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
