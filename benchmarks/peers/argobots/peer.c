/* SPDX-License-Identifier: MIT */
/* The rows by Argobots: an execution stream a thread, each with a pool of its
 * own of the kind RANDWS and the scheduler that steals from the others, as
 * its documents recommend; a child is a ULT, pushed to the pool of the stream
 * that forks, and its argument lies in the parent's frame. Pieces of loops
 * never wait: tasklets. It has mutexes and conditions, so a queue is made of
 * these; it has neither sleep nor time-outs, so no such rows. */
#include "../sequential/peer.h"

#include <abt.h>

static int streams;
static ABT_pool *pools;

static ABT_pool own_pool(void)
{
    int rank;

    ABT_self_get_xstream_rank(&rank);
    return pools[rank];
}

static ABT_thread go(void (*f)(void *), void *arg)
{
    ABT_thread thread;

    ABT_thread_create(own_pool(), f, arg, ABT_THREAD_ATTR_NULL, &thread);
    return thread;
}

/* Runs it at once; the caller may be stolen. */
static ABT_thread go_first(void (*f)(void *), void *arg)
{
    ABT_thread thread;

    ABT_thread_create_to(own_pool(), f, arg, ABT_THREAD_ATTR_NULL, &thread);
    return thread;
}

static void join(ABT_thread thread)
{
    ABT_thread_free(&thread);
}

/* ---- fork-join ----------------------------------------------------------- */

struct fib {
    uint64_t n, result;
};

static void fib(void *arg)
{
    struct fib *f = arg;

    if (f->n < 2) {
        f->result = f->n;
        return;
    }

    struct fib a = {.n = f->n - 1}, b = {.n = f->n - 2};
    ABT_thread child = go(fib, &a);

    fib(&b);
    join(child);
    f->result = a.result + b.result;
}

static uint64_t fib_row(uint64_t n)
{
    struct fib f = {.n = n};

    fib(&f);
    return f.result;
}

struct skynet {
    uint64_t number, leaves, result;
};

static void skynet(void *arg)
{
    struct skynet *s = arg;

    if (s->leaves == 1) {
        s->result = s->number;
        return;
    }

    uint64_t leaves = s->leaves / 10, sum = 0;
    struct skynet part[10];
    ABT_thread child[9];

    for (uint64_t i = 0; i < 10; i++)
        part[i] = (struct skynet){.number = s->number + i * leaves,
                                  .leaves = leaves};
    for (int i = 0; i < 9; i++)
        child[i] = go(skynet, &part[i]);
    skynet(&part[9]);
    for (int i = 9; i--;)
        join(child[i]);
    for (int i = 0; i < 10; i++)
        sum += part[i].result;
    s->result = sum;
}

static uint64_t skynet_row(uint64_t n)
{
    struct skynet s = {.leaves = n};

    skynet(&s);
    return s.result;
}

struct queens {
    char board[24]; /* copied from the parent's */
    int row, n;
    uint64_t result;
};

static void queens(void *arg)
{
    struct queens *q = arg, part[24];
    ABT_thread child[24];
    int forked = 0;

    if (q->row == q->n) {
        q->result = 1;
        return;
    }
    for (int c = 0; c < q->n; c++)
        if (queen_safe(q->board, q->row, c)) {
            struct queens *next = &part[forked];

            memcpy(next->board, q->board, (size_t)q->row);
            next->board[q->row] = (char)c;
            next->row = q->row + 1;
            next->n = q->n;
            child[forked++] = go(queens, next);
        }
    q->result = 0;
    while (forked--) {
        join(child[forked]);
        q->result += part[forked].result;
    }
}

static uint64_t queens_row(uint64_t n)
{
    struct queens q = {.n = (int)n};

    if (n > 24)
        return 0;
    queens(&q);
    return q.result;
}

struct integrate {
    double x1, y1, x2, y2, area, result;
};

static void integrate(void *arg)
{
    struct integrate *s = arg;
    double half = (s->x2 - s->x1) / 2, x0 = s->x1 + half, y0 = integrand(x0);
    double a1 = (s->y1 + y0) / 2 * half, a2 = (y0 + s->y2) / 2 * half;

    if (fabs(a1 + a2 - s->area) < INTEGRATE_EPSILON) {
        s->result = a1 + a2;
        return;
    }

    struct integrate left = {s->x1, s->y1, x0, y0, a1, 0};
    struct integrate right = {x0, y0, s->x2, s->y2, a2, 0};
    ABT_thread child = go(integrate, &left);

    integrate(&right);
    join(child);
    s->result = left.result + right.result;
}

static uint64_t integrate_row(uint64_t n)
{
    double x = (double)n, y1 = integrand(0), y2 = integrand(x);
    struct integrate s = {0, y1, x, y2, (y1 + y2) / 2 * x, 0};

    integrate(&s);
    return (uint64_t)floor(s.result * 10);
}

struct uts {
    uint64_t state, result;
};

static void uts(void *arg);

/* `part` and `thread` have room for the children. */
static uint64_t uts_fork(uint64_t state, int children, struct uts *part,
                         ABT_thread *child)
{
    uint64_t sum = 1;
    int last = children - 1;

    for (int i = 0; i < children; i++)
        part[i].state = uts_child(state, i);
    for (int i = 0; i < last; i++)
        child[i] = go(uts, &part[i]);
    uts(&part[last]);
    for (int i = last; i--;)
        join(child[i]);
    for (int i = 0; i < children; i++)
        sum += part[i].result;
    return sum;
}

static void uts(void *arg)
{
    struct uts *s = arg, part[8];
    ABT_thread child[8];
    int children = uts_children(s->state);

    s->result = children ? uts_fork(s->state, children, part, child) : 1;
}

static uint64_t uts_row(uint64_t n)
{
    static struct uts part[UTS_ROOT_CHILDREN];
    static ABT_thread child[UTS_ROOT_CHILDREN];

    return uts_fork(mix(n), UTS_ROOT_CHILDREN, part, child);
}

struct merge {
    const uint32_t *a, *b;
    size_t n, m;
    uint32_t *out;
};

static void merge(void *arg)
{
    struct merge s = *(struct merge *)arg;

    if (s.n + s.m < SORT_GRAIN) {
        merge_small(s.a, s.n, s.b, s.m, s.out);
        return;
    }
    if (s.n < s.m)
        s = (struct merge){s.b, s.a, s.m, s.n, s.out};

    size_t i = s.n / 2, j = lower_bound(s.b, s.m, s.a[i]);
    struct merge low = {s.a, s.b, i, j, s.out};
    struct merge high = {s.a + i, s.b + j, s.n - i, s.m - j, s.out + i + j};
    ABT_thread child = go(merge, &low);

    merge(&high);
    join(child);
}

/* Sorts a, into b if `flip`; the other array is scratch. */
struct sort {
    uint32_t *a, *b;
    size_t n;
    int flip;
};

static void cilksort(void *arg)
{
    struct sort *s = arg;
    size_t half = s->n / 2;
    uint32_t *from = s->flip ? s->a : s->b, *to = s->flip ? s->b : s->a;

    if (s->n < SORT_GRAIN) {
        sort_small(s->a, s->n);
        if (s->flip)
            memcpy(s->b, s->a, s->n * sizeof *s->a);
        return;
    }

    struct sort low = {s->a, s->b, half, !s->flip};
    struct sort high = {s->a + half, s->b + half, s->n - half, !s->flip};
    struct merge both = {from, from + half, half, s->n - half, to};
    ABT_thread child = go(cilksort, &low);

    cilksort(&high);
    join(child);
    merge(&both);
}

static uint64_t cilksort_row(uint64_t n)
{
    struct sort s = {peer_keys, peer_scratch, n, 0};

    cilksort(&s);
    return 0;
}

struct matmul {
    const double *a, *b;
    double *c;
    size_t side, n;
};

static void matmul(void *arg)
{
    struct matmul s = *(struct matmul *)arg;
    size_t n = s.n, h = s.side / 2;

    if (s.side == MATMUL_GRAIN) {
        matmul_block(s.a, s.b, s.c, n);
        return;
    }
    for (int k = 0; k < 2; k++, s.a += h, s.b += h * n) {
        struct matmul part[4] = {
            {s.a, s.b, s.c, h, n},
            {s.a, s.b + h, s.c + h, h, n},
            {s.a + h * n, s.b, s.c + h * n, h, n},
            {s.a + h * n, s.b + h, s.c + h * n + h, h, n},
        };
        ABT_thread child[3];

        for (int i = 0; i < 3; i++)
            child[i] = go(matmul, &part[i]);
        matmul(&part[3]);
        for (int i = 3; i--;)
            join(child[i]);
    }
}

static uint64_t matmul_row(uint64_t n)
{
    struct matmul s = {peer_grid[0], peer_grid[1], peer_grid[2], n, n};

    matmul(&s);
    return 0;
}

/* ---- loops: pieces dealt out to the pools -------------------------------- */

#define PIECES 16 /* a stream */

struct piece {
    uint64_t low, high, n, result;
    const double *u;
    double *v;
    ABT_thread task;
};

/* Does [low, high) in pieces; what else they want is in `like`. */
static struct piece *loop(void (*f)(void *), uint64_t low, uint64_t high,
                          int pieces, struct piece like)
{
    static struct piece *piece;
    uint64_t all = high - low, count = (uint64_t)pieces;

    if (!piece)
        piece = peer_alloc((uint64_t)streams * PIECES, sizeof *piece);
    for (uint64_t i = 0; i < count; i++) {
        piece[i] = like;
        piece[i].low = low + all * i / count;
        piece[i].high = low + all * (i + 1) / count;
        ABT_task_create(pools[i % (uint64_t)streams], f, &piece[i],
                        &piece[i].task);
    }
    for (uint64_t i = 0; i < count; i++)
        ABT_task_free(&piece[i].task);
    return piece;
}

static void heat_piece(void *arg)
{
    struct piece *p = arg;

    for (uint64_t i = p->low; i < p->high; i++)
        heat_row(p->u, p->v, p->n, i);
}

static uint64_t heat_steps(uint64_t n)
{
    for (uint64_t step = 0; step < n / 4; step++)
        loop(heat_piece, 1, n - 1, 4 * streams,
             (struct piece){.n = n, .u = peer_grid[step % 2],
                            .v = peer_grid[(step + 1) % 2]});
    return 0;
}

#define LOOP(name, op, item)                                                   \
    static void name##_piece(void *arg)                                        \
    {                                                                          \
        struct piece *p = arg;                                                 \
        uint64_t x = 0, n = p->n;                                              \
                                                                               \
        (void)n;                                                               \
        for (uint64_t i = p->low; i < p->high; i++)                            \
            x op item;                                                         \
        p->result = x;                                                         \
    }                                                                          \
                                                                               \
    static uint64_t name##_sum(uint64_t n)                                     \
    {                                                                          \
        int pieces = streams * PIECES;                                         \
        struct piece *p =                                                      \
            loop(name##_piece, 0, n, pieces, (struct piece){.n = n});          \
        uint64_t x = 0;                                                        \
                                                                               \
        for (int i = 0; i < pieces; i++)                                       \
            x op p[i].result;                                                  \
        return x;                                                              \
    }

LOOP(for_even, ^=, loop_even(i))
LOOP(for_skewed, ^=, loop_skewed(i, n))
LOOP(for_fine, ^=, loop_fine(i))
LOOP(reduce, +=, mix(i) >> 8)

static uint64_t for_even(uint64_t n)
{
    return for_even_sum(n) >> 1;
}

static uint64_t for_skewed(uint64_t n)
{
    return for_skewed_sum(n) >> 1;
}

static uint64_t for_fine(uint64_t n)
{
    return for_fine_sum(n) >> 1;
}

static uint64_t reduce(uint64_t n)
{
    return reduce_sum(n) << 1 >> 1;
}
/* ---- tasks --------------------------------------------------------------- */

#define BATCH 10000

struct slot {
    uint64_t index, result;
};

static void fill(void *arg)
{
    struct slot *s = arg;

    s->result = s->index;
}

static uint64_t spawn(uint64_t n)
{
    static struct slot slot[BATCH];
    static ABT_thread thread[BATCH];
    uint64_t sum = 0;

    for (uint64_t done = 0; done < n; done += BATCH) {
        uint64_t m = n - done < BATCH ? n - done : BATCH;

        for (uint64_t i = 0; i < m; i++) {
            slot[i].index = done + i;
            thread[i] = go(fill, &slot[i]);
        }
        for (uint64_t i = 0; i < m; i++) {
            join(thread[i]);
            sum += slot[i].result;
        }
    }
    return sum;
}

static uint64_t spawn_one(uint64_t n)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < n; i++) {
        struct slot s = {.index = i};

        join(go_first(fill, &s));
        sum += s.result;
    }
    return sum;
}

/* A queue of `size` numbers at most. */
struct queue {
    ABT_mutex lock;
    ABT_cond some, room;
    unsigned size, first, count;
    int closed;
    uint64_t item[128];
};

static void queue_init(struct queue *q, unsigned size)
{
    memset(q, 0, sizeof *q);
    q->size = size;
    ABT_mutex_create(&q->lock);
    ABT_cond_create(&q->some);
    ABT_cond_create(&q->room);
}

static void queue_free(struct queue *q)
{
    ABT_cond_free(&q->room);
    ABT_cond_free(&q->some);
    ABT_mutex_free(&q->lock);
}

static void put(struct queue *q, uint64_t x)
{
    ABT_mutex_lock(q->lock);
    while (q->count == q->size)
        ABT_cond_wait(q->room, q->lock);
    q->item[(q->first + q->count++) % q->size] = x;
    ABT_mutex_unlock(q->lock);
    ABT_cond_signal(q->some);
}

static int get(struct queue *q, uint64_t *x)
{
    ABT_mutex_lock(q->lock);
    while (!q->count && !q->closed)
        ABT_cond_wait(q->some, q->lock);
    if (!q->count) {
        ABT_mutex_unlock(q->lock);
        return 0;
    }
    *x = q->item[q->first];
    q->first = (q->first + 1) % q->size;
    q->count--;
    ABT_mutex_unlock(q->lock);
    ABT_cond_signal(q->room);
    return 1;
}

static void queue_close(struct queue *q)
{
    ABT_mutex_lock(q->lock);
    q->closed = 1;
    ABT_mutex_unlock(q->lock);
    ABT_cond_broadcast(q->some);
}

struct pair {
    struct queue there, back;
    uint64_t rounds, counter;
};

static void ping(void *arg)
{
    struct pair *p = arg;

    for (uint64_t i = 0; i < p->rounds; i++) {
        put(&p->there, p->counter);
        get(&p->back, &p->counter);
    }
    queue_close(&p->there);
}

static void pong(void *arg)
{
    struct pair *p = arg;
    uint64_t x;

    while (get(&p->there, &x))
        put(&p->back, x + 1);
}

static uint64_t pingpong(uint64_t n)
{
    struct pair p = {.rounds = n};
    ABT_thread a, b;

    queue_init(&p.there, 1);
    queue_init(&p.back, 1);
    a = go(pong, &p);
    b = go(ping, &p);
    join(b);
    join(a);
    queue_free(&p.there);
    queue_free(&p.back);
    return p.counter;
}

#define RING 503

static struct queue ring_queue[RING];
static uint64_t ring_last;

static void ring_member(void *arg)
{
    unsigned i = (unsigned)((struct queue *)arg - ring_queue);
    uint64_t left;

    while (get(&ring_queue[i], &left)) {
        if (left) {
            put(&ring_queue[(i + 1) % RING], left - 1);
            continue;
        }
        ring_last = i + 1;
        for (int k = 0; k < RING; k++)
            queue_close(&ring_queue[k]);
    }
}

static uint64_t ring(uint64_t n)
{
    ABT_thread thread[RING];

    for (int i = 0; i < RING; i++)
        queue_init(&ring_queue[i], 1);
    for (int i = 0; i < RING; i++)
        thread[i] = go(ring_member, &ring_queue[i]);
    put(&ring_queue[0], n);
    for (int i = 0; i < RING; i++)
        join(thread[i]);
    for (int i = 0; i < RING; i++)
        queue_free(&ring_queue[i]);
    return ring_last;
}

static void yields(void *arg)
{
    struct slot *s = arg;
    uint64_t k = 0;

    for (; k < s->index; k++)
        ABT_self_yield();
    s->result = k;
}

static uint64_t yield(uint64_t n)
{
    int tasks = 2 * streams;
    struct slot slot[tasks];
    ABT_thread thread[tasks];
    uint64_t sum = 0;

    for (int i = 0; i < tasks; i++) {
        slot[i].index = n;
        ABT_thread_create(pools[i % streams], yields, &slot[i],
                          ABT_THREAD_ATTR_NULL, &thread[i]);
    }
    for (int i = 0; i < tasks; i++) {
        join(thread[i]);
        sum += slot[i].result;
    }
    return sum;
}

struct worker {
    struct queue *queue;
    ABT_mutex lock;
    uint64_t first, n, *counter, sum;
};

static void produce(void *arg)
{
    struct worker *w = arg;

    for (uint64_t i = w->first; i < w->n; i += 4)
        put(w->queue, i);
}

static void consume(void *arg)
{
    struct worker *w = arg;
    uint64_t x, sum = 0;

    while (get(w->queue, &x))
        sum += x;
    w->sum = sum;
}

static uint64_t mpmc(uint64_t n)
{
    struct queue queue;
    struct worker worker[4];
    ABT_thread producer[4], consumer[4];
    uint64_t sum = 0;

    queue_init(&queue, 128);
    for (uint64_t i = 0; i < 4; i++) {
        worker[i] = (struct worker){.queue = &queue, .first = i, .n = n};
        consumer[i] = go(consume, &worker[i]);
        producer[i] = go(produce, &worker[i]);
    }
    for (int i = 0; i < 4; i++)
        join(producer[i]);
    queue_close(&queue);
    for (int i = 0; i < 4; i++) {
        join(consumer[i]);
        sum += worker[i].sum;
    }
    queue_free(&queue);
    return sum;
}

static void increment(void *arg)
{
    struct worker *w = arg;

    for (uint64_t i = w->first; i < w->n; i += 8) {
        ABT_mutex_lock(w->lock);
        ++*w->counter;
        ABT_mutex_unlock(w->lock);
    }
}

static uint64_t mutex(uint64_t n)
{
    struct worker worker[8];
    ABT_thread thread[8];
    ABT_mutex lock;
    uint64_t counter = 0;

    ABT_mutex_create(&lock);
    for (uint64_t i = 0; i < 8; i++) {
        worker[i] = (struct worker){
            .lock = lock, .first = i, .n = n, .counter = &counter};
        thread[i] = go(increment, &worker[i]);
    }
    for (int i = 0; i < 8; i++)
        join(thread[i]);
    ABT_mutex_free(&lock);
    return counter;
}

static const struct peer_row rows[] = {
    {"fib", fib_row},           {"skynet", skynet_row},
    {"nqueens", queens_row},    {"integrate", integrate_row},
    {"uts", uts_row},           {"cilksort", cilksort_row},
    {"matmul", matmul_row},     {"heat", heat_steps},
    {"for_even", for_even},     {"for_skewed", for_skewed},
    {"for_fine", for_fine},     {"reduce", reduce},
    {"spawn", spawn},           {"spawn_one", spawn_one},
    {"skynet_tasks", skynet_row}, {"pingpong", pingpong},
    {"ring", ring},             {"yield", yield},
    {"mpmc", mpmc},             {"mutex", mutex},
    {NULL, NULL},
};

/* A stream's scheduler has its own pool first and may steal from all others. */
static void start(ABT_xstream *stream)
{
    ABT_pool mine[streams];
    ABT_sched sched;

    for (int i = 0; i < streams; i++)
        ABT_pool_create_basic(ABT_POOL_RANDWS, ABT_POOL_ACCESS_MPMC, ABT_TRUE,
                              &pools[i]);
    for (int i = 0; i < streams; i++) {
        for (int k = 0; k < streams; k++)
            mine[k] = pools[(i + k) % streams];
        ABT_sched_create_basic(ABT_SCHED_RANDWS, streams, mine,
                               ABT_SCHED_CONFIG_NULL, &sched);
        if (i) {
            ABT_xstream_create(sched, &stream[i]);
        } else {
            ABT_xstream_self(&stream[0]);
            ABT_xstream_set_main_sched(stream[0], sched);
        }
    }
}

int main(int argc, char **argv)
{
    int status;
    const struct peer_row *row = peer_arguments(
        argc, argv, rows,
        "Argobots " ARGOBOTS_VERSION ", gcc " __VERSION__ ", -O3 native off",
        &status);

    if (!row)
        return status;
    streams = atoi(argv[2]);

    ABT_pool pool[streams];
    ABT_xstream stream[streams];

    pools = pool;
    /* The kernels want more than the 16 KiB that a ULT has. */
    if (!strcmp(row->name, "cilksort") || !strcmp(row->name, "matmul"))
        setenv("ABT_THREAD_STACKSIZE", "65536", 0);
    if (ABT_init(argc, argv) != ABT_SUCCESS)
        return 1;
    start(stream);
    status = peer_run(row, strtoull(argv[3], NULL, 10), atoi(argv[4]));
    for (int i = 1; i < streams; i++) {
        ABT_xstream_join(stream[i]);
        ABT_xstream_free(&stream[i]);
    }
    ABT_finalize();
    return status;
}
