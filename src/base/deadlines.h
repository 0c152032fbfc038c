/* SPDX-License-Identifier: MIT */
/* Intrusive priority queue by time, for deadlines that mostly come in order.
 *
 * Time-outs of one length are set in the order in which they end. Such ones
 * queue up in a lane, a sorted list: adding, removing and taking the first
 * touch a node and its neighbours, however many there are. What fits into no
 * lane goes to a pairing heap, whose least is dear to remove when the others
 * came in order: each of them is its child.
 *
 * A lane is for a stream: what comes much later than the last in it begins
 * another, and a lane of one is given up for that if none is free. */
#ifndef WEFT_BASE_DEADLINES_H
#define WEFT_BASE_DEADLINES_H

#include "base/heap.h"

#define LANES 4u
#define LANE_GAP ((int64_t)100000000) /* ns after the last of a lane */

struct lane {
    struct heap_node ends; /* next: the first, prev: the last of a ring; its
                            * nodes have this one as their child */
    int64_t due;   /* of the first; INT64_MAX: none */
    int64_t until; /* of the last */
} __attribute__((aligned(64)));

struct deadlines {
    struct lane lanes[LANES];
    struct heap heap;
    int64_t heap_due; /* INT64_MAX: none */
    struct lane *recent; /* was added to last */
};

static inline void deadlines_init(struct deadlines *d)
{
    d->heap = (struct heap){0};
    d->heap_due = INT64_MAX;
    d->recent = d->lanes;
    for (struct lane *l = d->lanes; l < d->lanes + LANES; l++) {
        l->ends.next = l->ends.prev = &l->ends;
        l->ends.key = l->due = l->until = INT64_MAX;
    }
}

/* The least, or INT64_MAX. */
static inline int64_t deadlines_next(const struct deadlines *d)
{
    int64_t least = d->heap_due;

    for (const struct lane *l = d->lanes; l < d->lanes + LANES; l++)
        least = l->due < least ? l->due : least;
    return least;
}

/* The node with the least, the one that was added first of several; NULL: none
 * is due at `now`. */
static inline struct heap_node *deadlines_first(const struct deadlines *d,
                                                int64_t now)
{
    int64_t least = deadlines_next(d);
    struct heap_node *first = NULL;

    if (least > now || least == INT64_MAX)
        return NULL;
    if (d->heap_due == least)
        first = d->heap.root;
    for (const struct lane *l = d->lanes; l < d->lanes + LANES; l++)
        if (l->due == least && (!first || heap_before(l->ends.next, first)))
            first = l->ends.next;
    return first;
}

static inline void lane_append(struct lane *l, struct heap_node *n)
{
    n->child = n->next = &l->ends;
    n->prev = l->ends.prev;
    n->prev->next = l->ends.prev = n;
    l->until = n->key;
    if (l->due == INT64_MAX)
        l->due = n->key;
}

static inline void lane_remove(struct lane *l, struct heap_node *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    if (n->prev == &l->ends)
        l->due = n->next->key;
    if (n->next == &l->ends)
        l->until = n->prev->key;
    n->child = n->next = n->prev = NULL;
}

/* n has its key and its number. */
static inline void deadlines_to_heap(struct deadlines *d, struct heap_node *n)
{
    heap_put(&d->heap, n);
    d->heap_due = d->heap.root->key;
}

static inline bool lane_takes(const struct lane *l, int64_t key)
{
    return l->due == INT64_MAX ||
           (uint64_t)(key - l->until) <= (uint64_t)LANE_GAP;
}

/* A lane to which key can be added, one that has some if possible; NULL: there
 * is none. */
struct lane *w_deadlines_lane(struct deadlines *d, int64_t key);

static inline void deadlines_add(struct deadlines *d, struct heap_node *n,
                                 int64_t key)
{
    struct lane *l = d->recent;

    if (key == INT64_MAX) /* would stand for none */
        key--;
    n->key = key;
    n->seq = d->heap.seq++;
    if (unlikely(!lane_takes(l, key)))
        l = w_deadlines_lane(d, key);
    if (likely(l))
        lane_append(l, n);
    else
        deadlines_to_heap(d, n);
}

static inline void deadlines_remove(struct deadlines *d, struct heap_node *n)
{
    struct lane *l = (struct lane *)(void *)n->child;

    if (likely(l >= d->lanes && l < d->lanes + LANES)) {
        lane_remove(l, n);
        return;
    }
    heap_remove(&d->heap, n);
    d->heap_due = d->heap.root ? d->heap.root->key : INT64_MAX;
}

#endif
