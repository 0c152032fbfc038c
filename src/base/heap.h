/* SPDX-License-Identifier: MIT */
/* Intrusive pairing heap on (key, order of insertion).
 *
 * Chosen over a binary heap because the common life of a time-out is insert
 * and cancel: both touch the root and one node. Removal of the least is
 * O(log n) amortised; the pairing is iterative, so a million siblings need no
 * stack.
 */
#ifndef WEFT_BASE_HEAP_H
#define WEFT_BASE_HEAP_H

#include "base/base.h"

struct heap_node {
    struct heap_node *child, *next; /* first child; next sibling */
    struct heap_node *prev;         /* previous sibling, or the parent */
    int64_t key;
    uint64_t seq; /* ties leave in order of insertion */
};

struct heap {
    struct heap_node *root;
    uint64_t seq;
};

static inline bool heap_before(const struct heap_node *a,
                               const struct heap_node *b)
{
    return a->key < b->key || (a->key == b->key && a->seq < b->seq);
}

/* Both are roots; the later becomes the first child of the earlier. */
static inline struct heap_node *heap_meld(struct heap_node *a,
                                          struct heap_node *b)
{
    if (heap_before(b, a)) {
        struct heap_node *t = a;
        a = b;
        b = t;
    }
    b->next = a->child;
    if (b->next)
        b->next->prev = b;
    b->prev = a;
    a->child = b;
    return a;
}

/* n has its key and its number. */
static inline void heap_put(struct heap *h, struct heap_node *n)
{
    n->child = n->next = n->prev = NULL;
    h->root = h->root ? heap_meld(h->root, n) : n;
}

static inline void heap_insert(struct heap *h, struct heap_node *n, int64_t key)
{
    n->key = key;
    n->seq = h->seq++;
    heap_put(h, n);
}

/* Two passes: pair left to right, then meld right to left. */
static inline struct heap_node *heap_pair(struct heap_node *first)
{
    struct heap_node *pairs = NULL, *root = NULL;

    while (first) {
        struct heap_node *a = first, *b = a->next;

        first = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b) {
            b->next = b->prev = NULL;
            a = heap_meld(a, b);
        }
        a->next = pairs;
        pairs = a;
    }
    while (pairs) {
        struct heap_node *a = pairs;

        pairs = a->next;
        a->next = a->prev = NULL;
        root = root ? heap_meld(root, a) : a;
    }
    return root;
}

static inline void heap_remove(struct heap *h, struct heap_node *n)
{
    struct heap_node *rest = heap_pair(n->child);

    if (h->root == n) {
        h->root = rest;
    } else {
        if (n->prev->child == n)
            n->prev->child = n->next;
        else
            n->prev->next = n->next;
        if (n->next)
            n->next->prev = n->prev;
        if (rest)
            h->root = heap_meld(h->root, rest);
    }
    n->child = n->next = n->prev = NULL;
}

#endif
