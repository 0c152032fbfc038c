/* SPDX-License-Identifier: MIT */
/* Deterministic simulation: a program under a seed.
 *
 * weft_sim_run runs a whole runtime on the calling thread. Its workers, its
 * monitor and its pools' threads are there, but one at a time, and the seed
 * decides who goes on at each call of the library; time is virtual and jumps
 * when all wait; sockets are objects in memory, behind the same stream calls,
 * with delays, segments, full buffers, and on demand resets and partitions. The
 * same seed, program and options give the same run, to the byte of its trace:
 * a failure that one seed in ten thousand shows is found once and replayed as
 * often as it takes. asyncio has no counterpart; FoundationDB and Rust's madsim
 * work so.
 *
 *     static long program(void *arg);    what weft_run would have been given
 *
 *     for (uint64_t seed = 0; seed < 10000; seed++)
 *         assert(weft_sim_run(program, NULL, seed, NULL) == 0);
 *
 * What the seed decides: which thread runs on, at each call of the library that
 * may matter to others; whether a task lets the others run there; how long
 * everything takes; how a stream is cut into segments, how much of a write
 * the socket takes; what weft_sim_random and retries draw.
 *
 * What the program must not do: start threads, use sockets, pipes or sleeps
 * other than the library's, depend on the real clock, on addresses of objects
 * or on random numbers of its own. Files, which the pools read and write, are
 * real. Subprocesses and signals are refused (-ENOTSUP). A descriptor of the
 * real world is always ready.
 */
#ifndef WEFT_SIM_H
#define WEFT_SIM_H

#include <weft/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A line of the trace, without its end. Lives as long as the call. Not to be
 * used for calls of the library. */
typedef void weft_sim_trace_fn(const char *line, void *arg);

/* What a run was like. */
struct weft_sim_result {
    uint64_t hash;  /* of the whole trace, whether it was asked for or not */
    uint64_t steps; /* points at which the seed decided */
    int64_t time;   /* virtual ns */
    int left_tasks; /* not ended at the runtime's close */
    int left_fds;   /* sockets that nobody closed */
};

/* Zero what is to have its default. */
struct weft_sim_options {
    /* Of the simulated runtime; NULL: its defaults. workers: 0 lets the seed
     * choose 1 to 4. */
    const struct weft_options *runtime;
    /* When a run is given up with -ETIMEDOUT: virtual ns (default: a day) and
     * steps (default: 100 million). */
    int64_t time_limit;
    uint64_t step_limit;
    /* One in so many points, a thread loses the CPU. 0: the seed chooses. */
    unsigned preempt;
    /* The network. Longest delay of a segment, ns; 0: the seed chooses, up to
     * 10 ms. */
    int64_t delay;
    /* One in so many sends ... 0: never. */
    unsigned resets;     /* ... breaks its connection */
    unsigned partitions; /* ... cuts its connection off, for up to 10 s */
    unsigned losses;     /* ... of datagrams is lost */
    /* One in so many connects is refused. 0: never. */
    unsigned refusals;
    weft_sim_trace_fn *trace; /* NULL: none */
    void *trace_arg;
    struct weft_sim_result *result; /* filled at the end; NULL: not wanted */
};

/* Runs fn(arg) as the main task of a simulated runtime, under a seed, and closes
 * that. Threads that are not the library's; several may run simulations at the
 * same time, each its own. Blocks the thread, in real time for as long as the
 * program computes.
 *
 * opts may be NULL. Returns fn's result; -EDEADLK if everything waited for
 * ever (the waits are told on standard error; the tasks were cancelled then);
 * -ETIMEDOUT beyond a limit; -EPERM in a task or in a simulation; what
 * weft_runtime_open returns if there is no memory. */
WEFT_API long weft_sim_run(weft_fn *fn, void *arg, uint64_t seed,
                           const struct weft_sim_options *opts);

/* Non-zero in a simulation. Any thread. */
WEFT_API int weft_sim_active(void);

/* A number that the seed decides; 0 outside a simulation. Any thread. */
WEFT_API uint64_t weft_sim_random(void);

/* Puts a line of the program's into the trace, printf's way. Nothing outside a
 * simulation. Any thread. */
WEFT_API void weft_sim_note(const char *format, ...) WEFT_PRINTF(1, 2);

/* A partition: for ns from now nothing is delivered to or from the host of the
 * address ("10.0.0.7", without a port), on no connection, new ones neither.
 * 0, -EPERM outside a simulation, -EINVAL if it is no numeric address. */
WEFT_API int weft_sim_cut(const char *host, int64_t ns);

#ifdef __cplusplus
}
#endif

#endif
