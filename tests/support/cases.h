/* SPDX-License-Identifier: MIT */
/* What the behaviour cases share.
 *
 * cmocka leaves a failed assertion by longjmp, which must never happen on a
 * task's stack or a foreign thread. Tasks therefore use t_check, which notes
 * the failure and goes on; t_run and t_verdict, on the test's own thread, turn
 * the first note into a failed test.
 */
#ifndef TESTS_SUPPORT_CASES_H
#define TESTS_SUPPORT_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After the four above. */
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <weft.h>

#if defined(__SANITIZE_THREAD__)
#define T_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define T_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define T_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define T_ASAN 1
#endif
#endif
#if defined(T_TSAN) || defined(T_ASAN) || defined(W_STRESS) || \
    defined(W_VALGRIND)
#define T_SANITIZED 1
#else
#define T_SANITIZED 0
#endif

#define T_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* A test in three entries: with 1, 2 and 4 workers. The test asks t_workers. */
#define T_WITH_(fn, n, text)                                                   \
    {                                                                          \
#fn " with " text, fn, NULL, NULL, (void *)(uintptr_t)(n)              \
    }
#define T_EACH(fn)                                                             \
    T_WITH_(fn, 1, "1 worker"), T_WITH_(fn, 2, "2 workers"),                   \
        T_WITH_(fn, 4, "4 workers")

/* A test that a simulation cannot run: it needs descriptors, the clock or a CPU
 * of the real world. The fixture is the mark. */
#define T_REAL(fn)                                                             \
    {                                                                          \
#fn, fn, t_real, NULL, NULL                                            \
    }
#define T_REAL_WITH_(fn, n, text)                                              \
    {                                                                          \
#fn " with " text, fn, t_real, NULL, (void *)(uintptr_t)(n)            \
    }
#define T_REAL_EACH(fn)                                                        \
    T_REAL_WITH_(fn, 1, "1 worker"), T_REAL_WITH_(fn, 2, "2 workers"),         \
        T_REAL_WITH_(fn, 4, "4 workers")
int t_real(void **state);

static inline unsigned t_workers(void **state)
{
    return (unsigned)(uintptr_t)*state;
}

/* ---- checks of tasks --------------------------------------------------- */

#define t_check(cond)                                                          \
    t_check_at((cond) != 0, #cond, __FILE__ ":" WEFT_STRING(__LINE__))
#define t_equal(a, b)                                                          \
    t_equal_at((long)(a), (long)(b), #a " == " #b,                             \
               __FILE__ ":" WEFT_STRING(__LINE__))

/* Any thread. True if it holds; the first that does not is kept. */
bool t_check_at(bool ok, const char *what, const char *where);
bool t_equal_at(long a, long b, const char *what, const char *where);

/* The test's thread: fails the test if a check failed since the last call. */
void t_verdict(void);

/* ---- running ----------------------------------------------------------- */

/* fn(arg) as the main task of a runtime with n workers; then the verdict. */
long t_run(unsigned n, weft_fn *fn, void *arg);
long t_run_with(struct weft_options opts, weft_fn *fn, void *arg);
/* Options of a quiet runtime: slow tasks are not reported. */
struct weft_options t_options(unsigned n);
weft_runtime *t_open(unsigned n);

/* n rounds, fewer under a sanitizer, in a simulation, and as WEFT_TEST_SCALE (a
 * factor) says. */
long t_scale(long n);

/* Waits until *flag >= n or 10 s have passed. Task. */
bool t_wait_for(atomic_int *flag, int n);
/* Tasks suspended in waits of that name (weft_tasks_dump's last column), and
 * until there are n of them, 10 s at most. Task. */
int t_waiting(const char *what);
bool t_wait_waiting(const char *what, int n);
/* Keeps the CPU busy for ns on the clock. Any thread. */
void t_spin(int64_t ns);

/* ---- the surroundings in a simulation ----------------------------------- */

/* Threads and pauses of a test's are the simulation's there. A thread that is
 * to outlive one cannot be: t_thread_create then skips the test, and so does
 * t_fork. */
int t_thread_create(pthread_t *t, const pthread_attr_t *a,
                    void *(*fn)(void *arg), void *arg);
int t_thread_join(pthread_t t, void **result);
int t_usleep(useconds_t us);
int t_nanosleep(const struct timespec *ts, struct timespec *left);
int t_sched_yield(void);
#define pthread_create t_thread_create
#define pthread_join t_thread_join
#define usleep t_usleep
#define nanosleep t_nanosleep
#define sched_yield t_sched_yield

/* ---- the process ------------------------------------------------------- */

int t_fds(void);
int t_threads(void);
int t_mappings(void);
long t_rss_kb(void);
int64_t t_cpu_ns(void);

/* ---- unhandled errors --------------------------------------------------- */

struct t_error {
    long code;
    char task[32];
    char site[128];
    char message[128];
};

struct t_errors {
    atomic_int lock;
    atomic_int n;
    struct t_error first[8];
};

/* A weft_unhandled_fn; arg is a zeroed struct t_errors. */
void t_collect(const struct weft_error *e, void *arg);

/* ---- a child process ---------------------------------------------------- */

struct t_child {
    int status;        /* as waitpid tells; -1: it had to be killed */
    char output[8192]; /* its standard error */
};

/* Runs fn(arg) in a forked process and exits with its result, 30 s at most.
 * No runtime may be open. */
void t_fork(struct t_child *c, int (*fn)(void *arg), void *arg);

/* ---- main --------------------------------------------------------------- */

/* The tests, narrowed by WEFT_TEST_FILTER, a pattern of names.
 * WEFT_TEST_SIM="FROM COUNT": in simulations, all of them once for each of so
 * many seeds, up to the first with which one fails; WEFT_SIM_TRACE=1 shows
 * them at work. */
int t_main(const char *name, const struct CMUnitTest *tests, size_t n);
#define T_MAIN(tests)                                                          \
    int main(void)                                                             \
    {                                                                          \
        return t_main(__FILE__, tests, T_LEN(tests));                          \
    }
void t_setup(void);

#endif
