/* SPDX-License-Identifier: MIT */
/* A run stays in its place while handlers look at it, as a watcher does
 * (signal.h). */
#include "core/interrupt.h"

#include <string.h>

#include "base/sys.h"
#include "core/runtime.h"
#include "core/signal.h"

#define RUNS 64u

struct run {
    _Atomic(struct weft_runtime *) rt; /* A: NULL: free, or being closed */
    _Atomic uint32_t users;            /* A: handlers that look at it */
    _Atomic uint32_t hit;              /* A: a signal came */
    bool taken;                        /* L: w_signal_lock */
    bool told;                         /* L */
    struct weft_task *task;            /* L */
};
static struct run runs[RUNS];
static _Atomic uint32_t n_runs; /* L to write: those ever used */
static _Atomic uint32_t news;   /* A: hits that no monitor has looked at */

/* ---- in the handler ----------------------------------------------------- */

enum { NOBODY, FIRST, AGAIN };

static int hit_one(struct run *r)
{
    struct weft_runtime *rt;
    int what = NOBODY;

    if (!load_seq_cst(&r->rt))
        return NOBODY;
    add_seq_cst(&r->users, 1);
    rt = load_seq_cst(&r->rt);
    if (rt && swap_seq_cst(&r->hit, 1)) {
        what = AGAIN;
    } else if (rt) {
        what = FIRST;
        add_seq_cst(&news, 1);
        w_monitor_kick(rt);
    }
    sub_seq_cst(&r->users, 1);
    return what;
}

bool w_interrupt_signal(void)
{
    uint32_t n = load_acquire(&n_runs);
    int most = NOBODY;

    for (uint32_t i = 0; i < n; i++) {
        int what = hit_one(&runs[i]);

        most = what > most ? what : most;
    }
    if (most == AGAIN) {
        struct sigaction dfl = {.sa_handler = SIG_DFL};

        /* Blocked here, so it comes when the handler has returned. */
        (void)sigaction(SIGINT, &dfl, NULL);
        (void)raise(SIGINT);
    }
    return most != NOBODY;
}

void w_interrupt_forget(void)
{
    memset(runs, 0, sizeof runs);
    store_relaxed(&news, 0);
}

/* ---- the monitor -------------------------------------------------------- */

bool w_interrupt_news(void)
{
    return load_seq_cst(&news) != 0;
}

void w_interrupt_look(struct weft_runtime *rt)
{
    if (likely(!w_interrupt_news()))
        return;
    (void)pthread_mutex_lock(&w_signal_lock);
    for (uint32_t i = 0; i < load_relaxed(&n_runs); i++) {
        struct run *r = &runs[i];

        if (load_relaxed(&r->rt) != rt || !load_acquire(&r->hit) || r->told)
            continue;
        r->told = true;
        sub_seq_cst(&news, 1);
        (void)weft_task_cancel_with(r->task, "interrupted");
    }
    (void)pthread_mutex_unlock(&w_signal_lock);
}

/* ---- the main task ------------------------------------------------------ */

/* Under the lock. */
static struct run *take_run(void)
{
    uint32_t n = load_relaxed(&n_runs);

    for (uint32_t i = 0; i < RUNS; i++)
        if (!runs[i].taken) {
            if (i >= n)
                store_release(&n_runs, i + 1);
            return &runs[i];
        }
    return NULL;
}

/* Under the lock. */
static void close_run(struct run *r)
{
    store_seq_cst(&r->rt, NULL);
    while (load_seq_cst(&r->users))
        sys_yield();
    if (load_relaxed(&r->hit) && !r->told)
        sub_seq_cst(&news, 1);
    r->taken = false;
}

/* NULL: SIGINT is not ours to react to. */
static struct run *open_run(struct weft_task *t)
{
    struct run *r;

    w_signal_prepare();
    (void)pthread_mutex_lock(&w_signal_lock);
    r = take_run();
    if (r) {
        r->taken = true;
        r->told = false;
        r->task = t;
        store_relaxed(&r->hit, 0);
        store_seq_cst(&r->rt, task_rt(t));
        if (w_signal_hold(SIGINT, true) < 0) {
            close_run(r);
            r = NULL;
        }
    }
    (void)pthread_mutex_unlock(&w_signal_lock);
    return r;
}

long w_interrupt_run(void *arg)
{
    struct interrupt *it = arg;
    struct run *r = open_run(w_current());
    long result = it->fn(it->arg);

    if (r) {
        (void)pthread_mutex_lock(&w_signal_lock);
        w_signal_release(SIGINT);
        close_run(r);
        (void)pthread_mutex_unlock(&w_signal_lock);
    }
    return result;
}
