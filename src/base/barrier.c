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
    int rc = 0;

    fence_seq_cst();
    if (unlikely(!w_barrier_uneven))
        return;
    /* A forked child may have to register anew; else only memory can be short,
     * and then for a moment. */
    while ((rc = sys_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) < 0)
        if (rc == -EPERM)
            (void)sys_membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
        else
            sys_yield();
}
