/* SPDX-License-Identifier: MIT */
#include "base/barrier.h"

#include <linux/membarrier.h>

#include "base/sys.h"

bool w_barrier_uneven;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void open_once(void)
{
    int can = sys_membarrier(MEMBARRIER_CMD_QUERY);

    w_barrier_uneven =
        can > 0 && (can & MEMBARRIER_CMD_PRIVATE_EXPEDITED) &&
        sys_membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

void w_barrier_open(void)
{
    (void)pthread_once(&once, open_once);
}

void w_barrier_heavy(void)
{
    fence_seq_cst();
    /* A registered process cannot be refused but for memory, and then only
     * for a moment. */
    if (likely(w_barrier_uneven))
        while (sys_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) < 0)
            sys_yield();
}
