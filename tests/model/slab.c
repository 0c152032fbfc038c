/* SPDX-License-Identifier: MIT */
/* src/core/slab.c: records that others free come back to their slab, each
 * once, and whoever gets one again is ordered after who freed it.
 *
 * With: core/slab.c */
#include "core/runtime.h"

#define N 5

static struct slab slab;
static struct weft_task rec[N];
static int had[N];

static void setup(void)
{
    memset(&slab, 0, sizeof slab);
    memset(rec, 0, sizeof rec);
    memset(had, 0, sizeof had);
    m_name(&slab, sizeof slab, "slab");
    m_name(&slab.remote, sizeof slab.remote, "remote");
    m_name(rec, sizeof rec, "rec");
    /* A fresh one to fall back on, so that no memory is mapped. */
    slab.fresh = &rec[N - 1];
    slab.n_fresh = 1;
}

static void free_some(unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++) {
        rec[i].site = "used"; /* its last user */
        store_relaxed(&rec[i].state, TASK_FREE);
        rec[i].fn = (weft_fn *)(void *)(i + 1 < first + n ? &rec[i + 1] : NULL);
    }
    w_slab_free_remote(&slab, &rec[first], &rec[first + n - 1], n);
}

static void frees_two(void) { free_some(0, 2); }
static void frees_third(void) { free_some(2, 1); }
static void frees_fourth(void) { free_some(3, 1); }

static void frees_both(void)
{
    free_some(0, 2);
    free_some(2, 1);
}

static void take(void)
{
    struct weft_task *t = slab_alloc(&slab);

    m_check(t >= rec && t < rec + N);
    had[t - rec]++;
    t->site = "mine"; /* a race if its freer is not done */
    t->arg = NULL;
    t->family = NULL;
}

/* Once the fresh one is gone it allocates only what is there. */
static void owner(void)
{
    slab.n_fresh = 0;
    for (int i = 0; i < 3; i++)
        if (slab.free || load_relaxed(&slab.remote))
            take();
}

static void trimmer(void)
{
    slab.n_fresh = 0;
    w_slab_trim(&slab);
    if (slab.free)
        take();
    w_slab_trim(&slab);
}

static void each_once(int n)
{
    size_t left = 0;

    slab.n_fresh = 0;
    w_slab_trim(&slab); /* gathers */
    left = slab.n_free;
    for (size_t i = 0; i < left; i++)
        take();
    m_check(!slab.free);
    for (int i = 0; i < n; i++)
        m_check(had[i] == 1);
    m_check(had[N - 1] == 0);
}

static void three_once(void) { each_once(3); }
static void four_once(void) { each_once(4); }

/* Trimming reads a chunk's header; these records have none to give back. */
const struct m_scenario m_scenarios[] = {
    {.name = "slab", .setup = setup, .check = three_once,
     .thread = {owner, frees_two, frees_third}, .preemptions = 3, .stale = 2},
    {.name = "slab_lots", .setup = setup, .check = four_once,
     .thread = {owner, frees_both, frees_fourth}, .preemptions = 2,
     .stale = 2},
    {.name = "slab_trim", .setup = setup, .check = four_once,
     .thread = {trimmer, frees_both, frees_fourth}, .preemptions = 3,
     .stale = 2},
    {.name = NULL},
};
