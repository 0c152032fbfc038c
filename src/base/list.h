/* SPDX-License-Identifier: MIT */
/* Intrusive containers: a ring list and a singly linked FIFO. */
#ifndef WEFT_BASE_LIST_H
#define WEFT_BASE_LIST_H

#include "base/base.h"

/* A member or a head. A zeroed node is in no list; a zeroed head must be
 * initialised on first use (list_lazy_init), so that zeroed objects work. */
struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline void list_lazy_init(struct list *l)
{
    if (!l->next)
        list_init(l);
}

static inline bool list_empty(const struct list *l)
{
    return !l->next || l->next == l;
}

static inline bool list_linked(const struct list *l)
{
    return l->next != NULL;
}

static inline void list_insert(struct list *after, struct list *node)
{
    assert(!node->next && !node->prev);
    node->prev = after;
    node->next = after->next;
    /* The analyzer takes a node that moves between lists for its own neighbour.
     * NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    after->next->prev = node;
    after->next = node;
}

static inline void list_push_back(struct list *head, struct list *node)
{
    list_insert(head->prev, node);
}

static inline void list_push_front(struct list *head, struct list *node)
{
    list_insert(head, node);
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = NULL;
}

static inline struct list *list_pop_front(struct list *head)
{
    struct list *n;

    if (list_empty(head))
        return NULL;
    n = head->next;
    /* list_remove, told of the head, so that an analyzer sees it change. */
    head->next = n->next;
    n->next->prev = head;
    n->next = n->prev = NULL;
    return n;
}

#define list_each(pos, head)                                                   \
    for (struct list *pos = (head)->next, *pos##_next;                         \
         pos && pos != (head) && ((pos##_next = pos->next), 1);                \
         pos = pos##_next)

#endif
