/* SPDX-License-Identifier: MIT */
/* Locals: a small table that tasks share until one of them writes. */
#include "base/sys.h"
#include "core/runtime.h"

struct locals {
    _Atomic uint32_t refs;
    uint32_t n;
    struct {
        const weft_local *key;
        void *value;
    } slot[];
};

static void unref(struct locals *l)
{
    if (l && sub_acq_rel(&l->refs, 1) == 1)
        sys_free(l);
}

void w_locals_inherit(struct weft_task *t, const struct weft_task *from)
{
    add_relaxed(&from->locals->refs, 1);
    t->locals = from->locals;
    t->flags |= TASK_LOCALS | TASK_NOTED | TASK_USED;
}

void w_locals_drop(struct weft_task *t)
{
    unref(t->locals);
    t->locals = NULL;
    t->flags &= ~(uint32_t)TASK_LOCALS;
}

static uint32_t find(const struct locals *l, const weft_local *key)
{
    uint32_t i = 0;

    while (l && i < l->n && l->slot[i].key != key)
        i++;
    return i;
}

void *weft_local_get(const weft_local *key)
{
    struct weft_task *t = w_current();
    struct locals *l = t ? t->locals : NULL;
    uint32_t i = find(l, key);

    return l && i < l->n ? l->slot[i].value : NULL;
}

/* A table of our own with room for slot i. */
static struct locals *own(const struct locals *old, uint32_t i)
{
    uint32_t had = old ? old->n : 0, n = i < had ? had : had + 1;
    struct locals *l = sys_malloc(sizeof *l + n * sizeof l->slot[0]);

    if (!l)
        return NULL;
    store_relaxed(&l->refs, 1);
    l->n = n;
    if (had)
        memcpy(l->slot, old->slot, had * sizeof l->slot[0]);
    return l;
}

int weft_local_set(weft_local *key, void *value)
{
    struct weft_task *t = w_current();
    struct locals *l;
    uint32_t i;

    if (!t)
        return -EPERM;
    l = t->locals;
    i = find(l, key);
    if (!l || i == l->n || load_acquire(&l->refs) != 1) {
        l = own(t->locals, i);
        if (!l)
            return -ENOMEM;
        unref(t->locals);
        t->locals = l;
        t->flags |= TASK_LOCALS | TASK_NOTED | TASK_USED;
    }
    l->slot[i].key = key;
    l->slot[i].value = value;
    return 0;
}
