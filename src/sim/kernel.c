/* SPDX-License-Identifier: MIT */
/* Threads that take turns, and the clock. */
#include "sim/kernel.h"

#include <stdio.h>
#include <string.h>

#include "core/context.h"
#include "core/exceptions.h"

#define STACK_NONE ((size_t)262144) /* where only the library runs */

/* What things cost, in virtual ns, at most. */
#define COST_NOW 128
#define COST_POINT 512
#define COST_YIELD 2048

#define NOW_SWITCH 32

/* ---- chance (xoroshiro128+) ----------------------------------------------- */

static uint64_t rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

uint64_t w_sim_random(struct sim *s)
{
    uint64_t a = s->state[0], b = s->state[1], sum = a + b;

    b ^= a;
    s->state[0] = rotate(a, 24) ^ b ^ b << 16;
    s->state[1] = rotate(b, 37);
    return sum >> 3; /* the lowest bits are the weakest */
}

static uint64_t mix(uint64_t z) /* splitmix64 */
{
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* ---- trace ---------------------------------------------------------------- */

static void remember(struct sim *s, const char *text, int64_t a, int64_t b)
{
    uint64_t h = s->hash ^ (uint64_t)s->now;

    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    s->hash = mix(mix(h ^ (uint64_t)a) ^ (uint64_t)b ^ s->running->id);
}

static void tell(struct sim *s, const char *text)
{
    char line[512];

    snprintf(line, sizeof line, "%lld.%09lld %s-%u %s",
             (long long)(s->now / WEFT_SEC), (long long)(s->now % WEFT_SEC),
             s->running->name, s->running->id, text);
    s->opts.trace(line, s->opts.trace_arg);
}

void w_sim_trace(struct sim *s, const char *what, int64_t a, int64_t b)
{
    char text[96];

    remember(s, what, a, b);
    if (likely(!s->opts.trace))
        return;
    snprintf(text, sizeof text, "%s %lld = %lld", what, (long long)a,
             (long long)b);
    tell(s, text);
}

void w_sim_trace_text(struct sim *s, const char *text)
{
    remember(s, text, 0, 0);
    if (s->opts.trace)
        tell(s, text);
}

/* ---- events --------------------------------------------------------------- */

void w_sim_event_at(struct sim *s, struct sim_event *e, int64_t when,
                  void (*fire)(struct sim *s, struct sim_event *e))
{
    w_sim_event_cancel(s, e);
    e->fire = fire;
    e->armed = true;
    heap_insert(&s->events, &e->node, when);
}

void w_sim_event_cancel(struct sim *s, struct sim_event *e)
{
    if (e->armed)
        heap_remove(&s->events, &e->node);
    e->armed = false;
}

static void fire_due(struct sim *s)
{
    while (s->events.root && s->events.root->key <= s->now) {
        struct sim_event *e =
            container_of(s->events.root, struct sim_event, node);

        w_sim_event_cancel(s, e);
        e->fire(s, e);
    }
}

/* ---- who runs ------------------------------------------------------------- */

static void make_runnable(struct sim *s, struct sim_thread *t)
{
    t->waits = NULL;
    t->turn = s->n_runnable;
    s->runnable[s->n_runnable++] = t;
}

static void make_waiting(struct sim *s, struct sim_thread *t, const void *key)
{
    struct sim_thread *last = s->runnable[--s->n_runnable];

    s->runnable[t->turn] = last;
    last->turn = t->turn;
    t->waits = key;
}

/* The stack of one that has ended is free once nobody stands on it. */
static void bury(struct sim *s)
{
    struct sim_thread *t = s->left;

    if (!t || !t->ended || !t->map)
        return;
    fiber_close(&t->own);
    sys_munmap(t->map, t->bytes);
    t->map = NULL;
}

static void go_to(struct sim *s, struct sim_thread *next)
{
    struct sim_thread *self = s->running;
    struct cxa_globals exceptions;

    if (next == self)
        return;
    exceptions = exceptions_take();
    self->thread = w_thread();
    fiber_native(&self->fiber);
    s->left = self;
    s->running = next;
    w_thread_set(next->thread);
    w_sim_trace(s, "run", next->id, 0);
    fiber_leave(&self->fiber, &next->fiber);
    context_switch(&self->sp, next->sp);
    fiber_enter(&self->fiber, &s->left->fiber);
    bury(s);
    exceptions_give(exceptions);
}

static void stop_main(struct sim *s, int why)
{
    s->over = why;
    s->main_may_give_up = false;
    if (s->main.waits) {
        w_sim_event_cancel(s, &s->main.timeout);
        make_runnable(s, &s->main);
    }
}

static void check_limits(struct sim *s)
{
    if (s->now <= s->opts.time_limit && s->steps <= s->opts.step_limit)
        return;
    if (s->main_may_give_up) {
        s->opts.time_limit += 3600 * WEFT_SEC; /* for the close */
        s->opts.step_limit += s->opts.step_limit / 4 + 1000000;
        stop_main(s, -ETIMEDOUT);
    } else {
        w_bug("simulation, seed %llu: it does not end",
              (unsigned long long)s->id.seed);
    }
}

/* All wait: the clock jumps to what is next. */
static void jump(struct sim *s)
{
    if (s->events.root) {
        if (s->now < s->events.root->key)
            s->now = s->events.root->key;
        check_limits(s);
    } else if (s->main_may_give_up) {
        stop_main(s, -EDEADLK);
    } else {
        w_bug("simulation, seed %llu: all threads wait for ever",
              (unsigned long long)s->id.seed);
    }
}

static void reschedule(struct sim *s)
{
    check_limits(s);
    fire_due(s);
    while (!s->n_runnable) {
        jump(s);
        fire_due(s);
    }
    go_to(s, s->runnable[w_sim_random(s) % s->n_runnable]);
}

void w_sim_maybe_switch(struct sim *s)
{
    s->steps++;
    s->now += sim_up_to(s, COST_POINT);
    if (sim_one_in(s, s->opts.preempt))
        reschedule(s);
}

static void time_over(struct sim *s, struct sim_event *e)
{
    struct sim_thread *t = container_of(e, struct sim_thread, timeout);

    t->timed_out = true;
    make_runnable(s, t);
}

bool w_sim_wait(struct sim *s, const void *key, int64_t ns)
{
    struct sim_thread *t = s->running;

    s->steps++;
    t->timed_out = false;
    make_waiting(s, t, key);
    if (ns >= 0)
        w_sim_event_at(s, &t->timeout, s->now + ns, time_over);
    reschedule(s);
    return !t->timed_out;
}

void w_sim_wake(struct sim *s, const void *key, int n)
{
    unsigned waiting = 0;

    list_each(x, &s->threads)
        waiting += container_of(x, struct sim_thread, all)->waits == key;
    for (; n > 0 && waiting; n--, waiting--) {
        uint64_t nth = w_sim_random(s) % waiting;

        list_each(x, &s->threads) {
            struct sim_thread *t = container_of(x, struct sim_thread, all);

            if (t->waits != key || nth--)
                continue;
            w_sim_event_cancel(s, &t->timeout);
            make_runnable(s, t);
            break;
        }
    }
}

/* ---- life of a thread ----------------------------------------------------- */

static void thread_entry(void)
{
    struct sim *s = sim_self();
    struct sim_thread *t = s->running;

    fiber_enter(&t->own, &s->left->fiber);
    bury(s);
    (void)t->fn(t->arg);
    s = sim_self();
    t->ended = true;
    s->steps++;
    make_waiting(s, t, &t->ended); /* which nobody wakes */
    w_sim_wake(s, t, INT_MAX);
    reschedule(s);
    __builtin_unreachable();
}

static bool make_room(struct sim *s)
{
    unsigned room = s->room ? 2 * s->room : 16;
    struct sim_thread **more;

    if (s->n_threads < s->room)
        return true;
    more = sys_realloc(s->runnable, room * sizeof *more);
    if (!more)
        return false;
    s->runnable = more;
    s->room = room;
    return true;
}

static void add_thread(struct sim *s, struct sim_thread *t, const char *name)
{
    t->id = s->ids++;
    snprintf(t->name, sizeof t->name, "%s", name);
    list_push_back(&s->threads, &t->all);
    s->n_threads++;
    make_runnable(s, t);
}

int w_sim_op_thread_create(pthread_t *out, const pthread_attr_t *a,
                         void *(*fn)(void *), void *arg)
{
    struct sim *s = sim_self();
    struct sim_thread *t = make_room(s) ? sys_calloc(1, sizeof *t) : NULL;
    size_t bytes = STACK_NONE;

    if (!t)
        return -EAGAIN;
    t->fn = fn;
    t->arg = arg;
    if (a)
        (void)pthread_attr_getstacksize(a, &bytes);
    t->bytes = bytes + THREAD_GUARD;
    t->map = sys_mmap(t->bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    if (!t->map || sys_mprotect(t->map, THREAD_GUARD, PROT_NONE) < 0) {
        if (t->map)
            sys_munmap(t->map, t->bytes);
        sys_free(t);
        return -EAGAIN;
    }
    fiber_open(&t->own, t->map + THREAD_GUARD, t->bytes - THREAD_GUARD);
    t->fiber = t->own;
    t->sp = context_make(t->map + t->bytes, thread_entry);
    add_thread(s, t, "thread");
    w_sim_trace(s, "thread_create", t->id, 0);
    *out = (pthread_t)t;
    return 0;
}

void w_sim_op_thread_join(pthread_t id)
{
    struct sim *s = sim_self();
    struct sim_thread *t = (struct sim_thread *)id;

    while (!t->ended)
        (void)w_sim_wait(s, t, -1);
    list_remove(&t->all);
    s->n_threads--;
    sys_free(t);
}

void w_sim_op_thread_name(const char *name)
{
    struct sim *s = sim_self();

    snprintf(s->running->name, sizeof s->running->name, "%s", name);
}

bool w_sim_op_thread_stack(void **limit, size_t *bytes)
{
    const struct sim_thread *t = sim_self()->running;

    if (!t->map)
        return false;
    *limit = t->map + THREAD_GUARD;
    *bytes = t->bytes - THREAD_GUARD;
    return true;
}

/* ---- the rest of the seam that is not about files ------------------------- */

void w_sim_op_point(void)
{
    w_sim_maybe_switch(sim_self());
}

uint64_t w_sim_op_random(void)
{
    return w_sim_random(sim_self());
}

int64_t w_sim_op_now(void)
{
    struct sim *s = sim_self();

    s->steps++;
    s->now += 1 + sim_up_to(s, COST_NOW);
    if (sim_one_in(s, NOW_SWITCH)) /* it may wait for another so */
        reschedule(s);
    return s->now;
}

void w_sim_op_yield(void)
{
    struct sim *s = sim_self();

    s->steps++;
    s->now += 1 + sim_up_to(s, COST_YIELD);
    reschedule(s);
}

void w_sim_op_sleep(int64_t ns)
{
    struct sim *s = sim_self();

    (void)w_sim_wait(s, &s->running->timeout, ns < 0 ? 0 : ns);
}

int w_sim_op_futex_wait(void *word, uint32_t seen, int64_t ns)
{
    struct sim *s = sim_self();

    w_sim_maybe_switch(s);
    if (load_relaxed((_Atomic uint32_t *)word) != seen)
        return -EAGAIN;
    if (sim_one_in(s, 64))
        return -EINTR;
    return w_sim_wait(s, word, ns) ? 0 : -ETIMEDOUT;
}

void w_sim_op_futex_wake(void *word, int n)
{
    struct sim *s = sim_self();

    w_sim_wake(s, word, n);
    w_sim_maybe_switch(s);
}

/* ---- life of the machine -------------------------------------------------- */

bool w_sim_machine_open(struct sim *s)
{
    static const unsigned rates[] = {1, 2, 4, 16, 64};

    s->state[0] = mix(s->id.seed);
    s->state[1] = mix(s->state[0]);
    s->hash = mix(s->id.seed);
    s->now = WEFT_SEC; /* 0 means "none" in places */
    list_init(&s->threads);
    list_init(&s->sockets);
    list_init(&s->cuts);
    s->port = 32767;
    if (!s->opts.preempt)
        s->opts.preempt = rates[w_sim_random(s) % array_len(rates)];
    if (!s->opts.delay)
        s->opts.delay = (10 * WEFT_MS) >> w_sim_random(s) % 12;
    if (!s->opts.time_limit)
        s->opts.time_limit = 86400 * WEFT_SEC;
    if (!s->opts.step_limit)
        s->opts.step_limit = 100000000;
    if (!make_room(s))
        return false;
    s->running = &s->main;
    add_thread(s, &s->main, "main");
    return true;
}

void w_sim_machine_close(struct sim *s)
{
    sys_free(s->runnable);
}
