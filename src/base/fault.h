/* SPDX-License-Identifier: MIT */
/* Faults on demand, for a build that is configured with WEFT_FAULTS: the n-th
 * system call or allocation of the library from now on fails as its kind may
 * fail. Without it all of this is nothing. The process's one plan is a test's:
 * tests/fault. */
#ifndef WEFT_BASE_FAULT_H
#define WEFT_BASE_FAULT_H

#include "base/base.h"

#ifdef W_FAULTS

struct w_fault_plan {
    long nth;         /* 1: the next */
    unsigned variant; /* of several errors that a call may give, the ... */
    bool lasting;     /* and all after it */
};

struct w_fault_told {
    long calls;       /* that could have failed since the plan was made */
    long failed;
    const char *what; /* the first that failed: the name of the sys_ function */
    int error;
};

/* From now on. NULL: none. */
void w_fault_plan(const struct w_fault_plan *p);
struct w_fault_told w_fault_told(void);

/* Allocations and mappings that the library holds. */
long w_fault_held(void);
void w_fault_count(long n);

/* 0: go on; else one of the n errors. Any thread. */
int w_fault(const char *what, const int *errors, unsigned n);

/* At the top of a sys_ function: returns minus one of these, if it is its
 * turn. */
#define SYS_MAY_FAIL(...)                                                      \
    do {                                                                       \
        static const int errors_[] = {__VA_ARGS__};                            \
        int error_ = w_fault(__func__, errors_,                                \
                             sizeof errors_ / sizeof errors_[0]);              \
        if (unlikely(error_))                                                  \
            return -error_;                                                    \
    } while (0)

/* The same for what returns memory. */
#define SYS_MAY_LACK()                                                         \
    do {                                                                       \
        static const int errors_[] = {12};                                     \
        if (unlikely(w_fault(__func__, errors_, 1)))                           \
            return NULL;                                                       \
    } while (0)

/* n, or 1 where more was asked for. */
size_t w_fault_short(const char *what, size_t n);
#define SYS_MAY_BE_SHORT(n) ((n) = w_fault_short(__func__, n))

#define SYS_HELD(p) ((p) ? (w_fault_count(1), (p)) : NULL)
#define SYS_FREED(p) ((p) ? w_fault_count(-1) : (void)0)

#else

#define SYS_MAY_FAIL(...) ((void)0)
#define SYS_MAY_LACK() ((void)0)
#define SYS_MAY_BE_SHORT(n) ((void)0)
#define SYS_HELD(p) (p)
#define SYS_FREED(p) ((void)0)

#endif

#endif
