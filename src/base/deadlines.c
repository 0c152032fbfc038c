/* SPDX-License-Identifier: MIT */
#include "base/deadlines.h"

static void give_up(struct deadlines *d, struct lane *l)
{
    struct heap_node *n = l->ends.next;

    lane_remove(l, n);
    deadlines_to_heap(d, n);
}

struct lane *w_deadlines_lane(struct deadlines *d, int64_t key)
{
    struct lane *empty = NULL, *one = NULL;

    for (struct lane *l = d->lanes; l < d->lanes + LANES; l++) {
        if (l->due == INT64_MAX)
            empty = l;
        else if (lane_takes(l, key))
            return d->recent = l;
        else if (l->ends.next == l->ends.prev)
            one = l;
    }
    if (!empty && one) {
        give_up(d, one);
        empty = one;
    }
    if (empty)
        d->recent = empty;
    return empty;
}
