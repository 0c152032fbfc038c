/* SPDX-License-Identifier: MIT */
/* What a scenario of the model checker is made of.
 *
 * A scenario is a few threads, each a function, over static memory that setup()
 * fills anew for each execution. It and the library's own files are compiled
 * with -fsanitize=thread but linked to this checker instead of the sanitizer's
 * runtime: the compiler reports each atomic operation (which the checker then
 * performs by the rules of memory.c) and each plain access (which it checks for
 * races). So nothing in src/ knows of the checker, and what is checked is what
 * is shipped, base/atomic.h included. */
#ifndef TESTS_MODEL_MODEL_H
#define TESTS_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define M_THREADS 6
#define M_NONE 255u /* a bound of 0 */

struct m_scenario {
    const char *name;
    void (*setup)(void);
    void (*thread[M_THREADS])(void); /* up to the first NULL */
    void (*check)(void);             /* after all have ended; or NULL */
    unsigned preemptions;            /* bound; 0: 2 */
    unsigned stale;                  /* loads that may be stale; 0: 2 */
    const char *outcomes; /* all that m_outcome may and must have told */
    const char *fails;    /* a violation is expected whose text has this */
    bool time_outs;       /* timed sleeps may end at any moment; else never */
};

/* Up to one without a name. Each scenario file defines it. */
extern const struct m_scenario m_scenarios[];

/* Ends the execution: it is a violation. */
_Noreturn void m_fail(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
#define m_check(x) ((x) ? (void)0 : m_fail("%s:%d: %s", __FILE__, __LINE__, #x))

/* In check(): what happened, as four small numbers. */
void m_outcome(int a, int b, int c, int d);

/* The memory ends here (a frame is left): no thread may touch it again. */
void m_gone(void *p, size_t n);

/* The name of some memory in traces. */
void m_name(void *p, size_t n, const char *name);

/* The running thread, counted from 0. */
unsigned m_self(void);

/* One of n, all of which are tried. */
unsigned m_choose(unsigned n);

/* In a loop that waits: the thread goes on when another has stored something,
 * and sees what was stored before to the words it looped on. */
void m_pause(void);

/* A latch, as an eventfd is: a signal stays until somebody waits. */
struct m_event {
    int state;
    void *know;
};
void m_event_signal(struct m_event *e);
void m_event_wait(struct m_event *e);
bool m_event_try(struct m_event *e);

/* A thread that may be left asleep when all others have ended. */
void m_daemon(void);

/* The seams to the kernel, see prefix.h. */
int m_futex_wait(void *word, uint32_t seen, int64_t ns);
void m_futex_wake(void *word, int n);
int m_membarrier(int cmd);
int64_t m_now(void);
void m_sleep(int64_t ns);
void *m_alloc(size_t align, size_t n); /* until the execution ends */
void m_free(void *p);                  /* may not be touched again */
void *m_memset(void *p, int c, size_t n);
void *m_memcpy(void *to, const void *from, size_t n);
void *m_memcpy_word(void *to, const void *from, size_t n);

#endif
