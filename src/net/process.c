/* SPDX-License-Identifier: MIT */
/* Child processes.
 *
 * The child is started by posix_spawn, on a thread of the blocking pool: the
 * caller of that stands still until the child has found its program on the
 * disk. Its end is an edge of a pidfd. Where there is none (old kernels, no
 * descriptor left) it is asked for now and then: a blocking waitid could not be
 * cancelled and would hold a thread for each child.
 *
 * A pid names our child until it is reaped. So reaping and killing are under
 * one lock, and a signal never meets a stranger. */
#include <weft/exec.h>
#include <weft/scope.h>
#include <weft/sync.h>
#include <weft/task.h>

#include "base/sys.h"
#include "net/stream.h"

#define PAUSE_MIN WEFT_MS
#define PAUSE_MAX (50 * WEFT_MS)

#ifdef __GLIBC_PREREQ
#define CLOSES_FROM __GLIBC_PREREQ(2, 34)
#else
#define CLOSES_FROM 0
#endif

enum { INHERITED = -1, AS_STDOUT = -2 };

struct weft_process {
    pid_t pid;              /* I */
    bool group;             /* I: pid is a group's too */
    int pidfd;              /* I */
    struct cell *cell;      /* I: the pidfd's; NULL: there is none */
    weft_stream *stream[3]; /* I: our ends of its pipes, or NULL */
    weft_mutex turn;        /* of those who wait for the end */
    struct spin lock;
    bool gone;  /* L: reaped; pid is not ours any more */
    int status; /* L: then, what weft_process_wait returns */
};

/* ---- starting ---------------------------------------------------------- */

struct launch {
    char *const *argv;
    const struct weft_process_options *opts;
    int fd[3]; /* what becomes 0, 1, 2: > 2, INHERITED or AS_STDOUT */
    pid_t pid;
};

/* Out of the way of the numbers that are about to be given. */
static int lift(int fd)
{
    int high;

    if (fd < 0 || fd > 2)
        return fd;
    high = sys_fcntl(fd, F_DUPFD_CLOEXEC, 3);
    (void)sys_close(fd);
    return high;
}

/* The child's end, ours becomes a stream. */
static int open_pipe(struct weft_process *p, int i)
{
    int fd[2], theirs, rc = sys_pipe2(fd, O_CLOEXEC);
    weft_stream *s;

    if (rc < 0)
        return rc;
    rc = weft_stream_attach(&s, fd[i == 0]);
    if (rc < 0) {
        (void)sys_close(fd[i == 0]);
        theirs = rc;
        (void)sys_close(fd[i != 0]);
    } else {
        s->one_way = i == 0;
        p->stream[i] = s;
        theirs = lift(fd[i != 0]);
    }
    return theirs;
}

static int open_end(struct weft_process *p, struct launch *l, int i, int what)
{
    switch (what) {
    case WEFT_INHERIT:
        return 0;
    case WEFT_PIPE:
        l->fd[i] = open_pipe(p, i);
        break;
    case WEFT_NULL:
        l->fd[i] = lift(sys_open("/dev/null", O_RDWR | O_CLOEXEC, 0));
        break;
    case WEFT_STDOUT:
        if (i != 2)
            return -EINVAL;
        l->fd[i] = AS_STDOUT;
        return 0;
    default:
        if (what < 0)
            return -EINVAL;
        l->fd[i] = sys_fcntl(what, F_DUPFD_CLOEXEC, 3);
        break;
    }
    if (l->fd[i] >= 0)
        return 0;
    what = l->fd[i];
    l->fd[i] = INHERITED;
    return what;
}

/* What the child does before it executes; a positive errno. */
static int fill_actions(const struct launch *l, posix_spawn_file_actions_t *a)
{
    int rc = 0;

    for (int i = 0; i < 3 && rc == 0; i++) {
        if (l->fd[i] >= 0)
            rc = posix_spawn_file_actions_adddup2(a, l->fd[i], i);
        else if (l->fd[i] == AS_STDOUT)
            rc = posix_spawn_file_actions_adddup2(a, 1, 2);
    }
    if (rc == 0 && l->opts->cwd)
        rc = posix_spawn_file_actions_addchdir_np(a, l->opts->cwd);
#if CLOSES_FROM
    if (rc == 0 && !l->opts->keep_fds)
        rc = posix_spawn_file_actions_addclosefrom_np(a, 3);
#endif
    return rc;
}

/* What a worker's thread has blocked, or this program ignores, is no affair of
 * the child's. */
static int fill_attr(const struct launch *l, posix_spawnattr_t *a)
{
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    sigset_t none, all;

    sigemptyset(&none);
    sigfillset(&all);
    (void)posix_spawnattr_setsigmask(a, &none);
    (void)posix_spawnattr_setsigdefault(a, &all);
    if (l->opts->group)
        flags |= POSIX_SPAWN_SETPGROUP; /* 0: its own */
    return posix_spawnattr_setflags(a, flags);
}

/* Blocks until the child executes its program, or could not. */
static long launch(void *arg)
{
    struct launch *l = arg;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int rc = posix_spawn_file_actions_init(&actions);

    if (rc)
        return -rc;
    rc = posix_spawnattr_init(&attr);
    if (rc == 0) {
        rc = fill_actions(l, &actions);
        if (rc == 0)
            rc = fill_attr(l, &attr);
        rc = rc ? -rc
                : sys_spawn(&l->pid, l->argv[0], &actions, &attr, l->argv,
                            l->opts->env ? l->opts->env : environ);
        (void)posix_spawnattr_destroy(&attr);
    } else {
        rc = -rc;
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static void watch_exit(struct weft_process *p)
{
    p->pidfd = sys_pidfd_open(p->pid);
    if (p->pidfd < 0)
        return;
    if (w_cell_open(weft_runtime_self(), p->pidfd, &p->cell) == 0)
        return;
    (void)sys_close(p->pidfd);
    p->cell = NULL;
}

static void close_streams(struct weft_process *p)
{
    for (int i = 0; i < 3; i++) {
        weft_close(p->stream[i]);
        p->stream[i] = NULL;
    }
}

static int start(struct weft_process *p, struct launch *l)
{
    const int what[3] = {l->opts->in, l->opts->out, l->opts->err};
    int rc = 0;

    for (int i = 0; i < 3 && rc == 0; i++)
        rc = open_end(p, l, i, what[i]);
    if (rc == 0)
        rc = (int)weft_blocking(launch, l);
    for (int i = 0; i < 3; i++)
        if (l->fd[i] >= 0)
            (void)sys_close(l->fd[i]);
    if (rc < 0) {
        close_streams(p);
        return rc;
    }
    p->pid = l->pid;
    p->group = l->opts->group;
    watch_exit(p);
    return 0;
}

int weft_process_start(weft_process **out, char *const *argv,
                       const struct weft_process_options *opts)
{
    static const struct weft_process_options none;
    struct launch l = {.argv = argv,
                       .opts = opts ? opts : &none,
                       .fd = {INHERITED, INHERITED, INHERITED}};
    weft_process *p;
    int rc = door_check();

    if (rc)
        return rc;
    if (!argv || !argv[0])
        return -EINVAL;
    p = sys_calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    rc = start(p, &l);
    if (rc < 0)
        sys_free(p);
    else
        *out = p;
    return rc;
}

static int look(struct weft_process *p, siginfo_t *info, int more)
{
    int rc;

    do
        rc = sys_waitid(P_PID, (id_t)p->pid, info, WEXITED | WNOHANG | more);
    while (rc == -EINTR);
    return rc;
}

/* ---- its end ----------------------------------------------------------- */

/* What weft_process_wait returns, or -EAGAIN: it runs. */
static int reap(struct weft_process *p)
{
    siginfo_t info;
    int rc;

    spin_lock(&p->lock);
    if (!p->gone) {
        info.si_pid = 0;
        rc = look(p, &info, 0);
        if (rc < 0) {
            /* Somebody else has, or SIGCHLD is ignored. */
            p->gone = true;
            p->status = rc;
        } else if (info.si_pid) {
            p->gone = true;
            p->status = info.si_code == CLD_EXITED ? info.si_status
                                                   : 256 + info.si_status;
        }
    }
    rc = p->gone ? p->status : -EAGAIN;
    spin_unlock(&p->lock);
    return rc;
}

static int wait_edge(struct cell *c, uint32_t seen)
{
    struct weft_task *t = w_current();
    struct waiter x = {.task = t};
    int rc = w_wait_begin(t, &x.epoch);

    if (rc)
        return rc;
    rc = w_cell_enroll(c, 1u << DIR_READ, (uint32_t[2]){seen, seen}, &x);
    if (rc) {
        w_wait_abort(t);
        return rc == 1 ? 0 : rc;
    }
    if (w_wait(t, "process"))
        return x.status;
    w_cell_withdraw(c, &x);
    return w_cancel_error(t);
}

static int await_end(struct weft_process *p)
{
    int64_t pause = PAUSE_MIN;

    for (;;) {
        uint32_t seen = p->cell ? cell_tick(p->cell, DIR_READ) : 0;
        int rc = reap(p);

        if (rc != -EAGAIN)
            return rc;
        rc = p->cell ? wait_edge(p->cell, seen) : -ENOSYS;
        if (rc == 0)
            continue;
        /* No edge to be had, unless it is a cancellation. */
        rc = weft_sleep(pause);
        if (rc < 0)
            return rc;
        pause = 2 * pause < PAUSE_MAX ? 2 * pause : PAUSE_MAX;
    }
}

int weft_process_wait(weft_process *p)
{
    int rc = door_check();

    if (rc == 0)
        rc = weft_mutex_lock(&p->turn);
    if (rc)
        return rc;
    rc = await_end(p);
    (void)weft_mutex_unlock(&p->turn);
    return rc;
}

int weft_process_trywait(weft_process *p)
{
    return reap(p);
}

int weft_process_kill(weft_process *p, int sig)
{
    siginfo_t info;
    int rc = -ESRCH;

    spin_lock(&p->lock);
    if (!p->gone) {
        /* Nobody should have reaped it but us; look all the same. */
        p->status = look(p, &info, WNOWAIT);
        p->gone = p->status < 0;
    }
    if (!p->gone)
        rc = sys_kill(p->group ? -p->pid : p->pid, sig);
    spin_unlock(&p->lock);
    return rc;
}

void weft_process_close(weft_process *p)
{
    if (!p)
        return;
    (void)weft_process_kill(p, SIGKILL);
    weft_with_shield()
        (void)await_end(p);
    close_streams(p);
    if (p->cell) {
        w_cell_close(p->cell);
        (void)sys_close(p->pidfd);
    }
    sys_free(p);
}

/* ---- its parts --------------------------------------------------------- */

pid_t weft_process_pid(const weft_process *p)
{
    return p->pid;
}

weft_stream *weft_process_stdin(const weft_process *p)
{
    return p->stream[0];
}

weft_stream *weft_process_stdout(const weft_process *p)
{
    return p->stream[1];
}

weft_stream *weft_process_stderr(const weft_process *p)
{
    return p->stream[2];
}
