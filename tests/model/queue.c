/* SPDX-License-Identifier: MIT */
/* src/sync/queue.c, its short ways and those beside: each item is had once, in
 * order, by one who sees what its putter wrote; who waits for an item or a
 * place gets one, whatever is cancelled.
 *
 * With: core/park.c core/scope.c core/join.c base/barrier.c */
#include "sync.h"

#include "sync/queue.c"

#define ITEMS 3

static weft_queue memory;
static struct queue *const q = (struct queue *)(void *)&memory;
static void *slots[2];
static struct item {
    int put, got;
} items[ITEMS];
static int result[ENV_TASKS];
static struct m_event go;

/* Without callbacks. */
void w_waiters_ready(struct list *claimed)
{
    struct list *n;

    while ((n = list_pop_front(claimed)))
        w_ready(container_of(n, struct waiter, node)->task);
}

static void setup_cap(size_t cap)
{
    sync_setup();
    m_check(weft_queue_init(&memory, slots, cap, WEFT_FIFO) == 0);
    memset(items, 0, sizeof items);
    memset(result, 0, sizeof result);
    memset(&go, 0, sizeof go);
    m_name(&memory, sizeof memory, "queue");
    m_name(&q->lock, 4, "queue.lock");
    m_name(&q->special, 1, "special");
    m_name(&q->len, 8, "len");
    m_name(&q->waited, 8, "waited");
    m_name(slots, sizeof slots, "slots");
    m_name(items, sizeof items, "items");
}

static void one_place(void)
{
    setup_cap(1);
}

static void two_places(void)
{
    setup_cap(2);
}

static int put(int k)
{
    items[k].put = 1;
    return weft_queue_put(&memory, &items[k]);
}

/* The number of the item, or the error. */
static int get(void)
{
    void *p;
    int rc = weft_queue_get(&memory, &p);
    struct item *i = p;

    if (rc)
        return rc;
    m_check(i->put == 1 && i->got == 0);
    i->got = 1;
    return (int)(i - items);
}

static void puts_two(void)
{
    (void)env_become(0);
    m_check(put(0) == 0);
    m_check(put(1) == 0);
}

static void gets_two(void)
{
    (void)env_become(1);
    m_check(get() == 0);
    m_check(get() == 1);
}

static void gets_1(void)
{
    (void)env_become(1);
    result[1] = get();
    tell(1);
}

static void gets_2(void)
{
    (void)env_become(2);
    result[2] = get();
    tell(2);
}

static void puts_1(void)
{
    (void)env_become(1);
    result[1] = put(1);
    tell(1);
}

static void puts_2(void)
{
    (void)env_become(2);
    result[2] = put(2);
    tell(2);
}

static void all_got(int k)
{
    all_idle();
    for (int i = 0; i < k; i++)
        m_check(items[i].got == 1);
    m_check(load_relaxed(&q->len) == 0);
    m_check(list_empty(&q->getters) && list_empty(&q->putters));
}

static void two_got(void) { all_got(2); }

/* ---- two wait, of whom one may be cancelled ------------------------------ */

static void getters_wait(void)
{
    two_places();
    tells[1] = tells[2] = true;
}

static void behind_1_gets(void)
{
    m_event_wait(&queued[1]);
    gets_2();
}

static void then_puts_two(void)
{
    m_event_wait(&queued[2]);
    m_event_signal(&go);
    puts_two();
}

static void then_cancels(void)
{
    m_event_wait(&go);
    cancels();
}

/* It is full, and two wait for its place. */
static void putters_wait(void)
{
    one_place();
    tells[1] = tells[2] = true;
    items[0].put = 1;
    m_check(weft_queue_tryput(&memory, &items[0]) == 0);
}

static void behind_1_puts(void)
{
    m_event_wait(&queued[1]);
    puts_2();
}

static void then_gets_all(void)
{
    (void)env_become(0);
    m_event_wait(&queued[2]);
    m_event_signal(&go);
    m_check(get() == 0);
    result[3] = get();
    if (result[3] == 1)
        m_check(get() == 2);
    else
        m_check(result[3] == 2);
}

static void each_got_one(void)
{
    all_got(2);
    m_check(result[1] == 0 && result[2] == 1);
}

static void one_may_have_nothing(void)
{
    all_idle();
    m_check(list_empty(&q->getters));
    if (result[1] == 0) {
        m_check(result[2] == 1 && load_relaxed(&q->len) == 0);
    } else {
        m_check(result[1] == -ECANCELED);
        m_check(result[2] == 0 && load_relaxed(&q->len) == 1);
    }
}

static void one_may_not_have_put(void)
{
    all_idle();
    m_check(load_relaxed(&q->len) == 0 && list_empty(&q->putters));
    m_check(result[2] == 0);
    m_check(result[1] == (result[3] == 1 ? 0 : -ECANCELED));
}

static void first_putter_first(void)
{
    all_got(3);
    m_check(result[3] == 1);
}

/* ---- its end ------------------------------------------------------------- */

static void then_shuts(void)
{
    (void)env_become(0);
    m_check(put(0) == 0);
    weft_queue_shutdown(&memory, 0);
    m_check(weft_queue_tryput(&memory, &items[1]) == -ESHUTDOWN);
}

static void shut_for_one(void)
{
    all_idle();
    m_check(items[0].got == 1 && load_relaxed(&q->len) == 0);
    m_check(result[1] + result[2] == -ESHUTDOWN);
}

/* 0 waits until 1 is done with what 2 has put. */
static void joins(void)
{
    (void)env_become(0);
    m_check(weft_queue_join(&memory) == 0);
    m_check(items[0].got == 1);
}

static void gets_and_is_done(void)
{
    gets_1();
    m_check(weft_queue_done(&memory) == 0);
}

static void one_in(void)
{
    two_places();
    items[0].put = 1;
    m_check(weft_queue_tryput(&memory, &items[0]) == 0);
}

static void one_got(void) { all_got(1); }

const struct m_scenario m_scenarios[] = {
    {.name = "queue_one_place", .setup = one_place, .check = two_got,
     .thread = {puts_two, gets_two}, .preemptions = 2, .stale = 2},
    {.name = "queue_getters", .setup = getters_wait, .check = each_got_one,
     .thread = {then_puts_two, gets_1, behind_1_gets}, .preemptions = 2,
     .stale = 1},
    {.name = "queue_putters", .setup = putters_wait,
     .check = first_putter_first,
     .thread = {then_gets_all, puts_1, behind_1_puts}, .preemptions = 1,
     .stale = 1},
    {.name = "queue_cancel_get", .setup = getters_wait,
     .check = one_may_have_nothing,
     .thread = {then_puts_two, gets_1, behind_1_gets, then_cancels},
     .preemptions = 1, .stale = M_NONE},
    {.name = "queue_cancel_put", .setup = putters_wait,
     .check = one_may_not_have_put,
     .thread = {then_gets_all, puts_1, behind_1_puts, then_cancels},
     .preemptions = 1, .stale = M_NONE},
    {.name = "queue_shut", .setup = two_places, .check = shut_for_one,
     .thread = {then_shuts, gets_1, gets_2}, .preemptions = 1, .stale = 1},
    {.name = "queue_join", .setup = one_in, .check = one_got,
     .thread = {joins, gets_and_is_done}, .preemptions = 3, .stale = 2},
    {.name = NULL},
};
