/* SPDX-License-Identifier: MIT */
#include "base/fault.h"

#ifdef W_FAULTS

#include <errno.h>

#define W_STRESS_RAW
#include "base/atomic.h"

/* Written while nobody else is in the library. */
static struct w_fault_plan plan;
static _Atomic long calls, failed, held;
static _Atomic(const char *) first;
static _Atomic int first_error;

void w_fault_plan(const struct w_fault_plan *p)
{
    plan = p ? *p : (struct w_fault_plan){0};
    store_seq_cst(&calls, 0);
    store_seq_cst(&failed, 0);
    store_seq_cst(&first, NULL);
    store_seq_cst(&first_error, 0);
}

struct w_fault_told w_fault_told(void)
{
    struct w_fault_told r = {load_seq_cst(&calls), load_seq_cst(&failed),
                               load_seq_cst(&first),
                               load_seq_cst(&first_error)};

    return r;
}

long w_fault_held(void)
{
    return load_seq_cst(&held);
}

void w_fault_count(long n)
{
    (void)add_seq_cst(&held, n);
}

static bool is_due(const char *what, int error)
{
    long n = add_seq_cst(&calls, 1) + 1;

    /* What is transient by nature does not last. */
    if (plan.nth == 0 || n < plan.nth ||
        (n > plan.nth && !(plan.lasting && error && error != EINTR)))
        return false;
    if (add_seq_cst(&failed, 1) == 0) {
        store_seq_cst(&first, what);
        store_seq_cst(&first_error, error);
    }
    return true;
}

int w_fault(const char *what, const int *errors, unsigned n)
{
    int error = errors[plan.variant % n];

    return is_due(what, error) ? error : 0;
}

/* An eventfd's eight bytes are never torn. */
size_t w_fault_short(const char *what, size_t n)
{
    return n > 8 && is_due(what, 0) ? 1 : n;
}

#endif
