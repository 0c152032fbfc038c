// SPDX-License-Identifier: MIT
// The fork-join rows by oneTBB. Two to four known children are a
// parallel_invoke, whose tasks live on the stack; more are a task_group. All
// share one context per run, so that no node makes and binds its own. Nothing
// here calls malloc while it is timed: tasks come from TBB's own pools, and
// tbbmalloc_proxy would change nothing.
#include "../sequential/peer.h"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/parallel_invoke.h>
#include <oneapi/tbb/parallel_reduce.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include <array>
#include <functional>
#include <vector>

namespace {

using context = tbb::task_group_context;
using range = tbb::blocked_range<uint64_t>;

uint64_t fib(context &ctx, uint64_t n)
{
    uint64_t a, b;

    if (n < 2)
        return n;
    tbb::parallel_invoke([&] { a = fib(ctx, n - 1); },
                         [&] { b = fib(ctx, n - 2); }, ctx);
    return a + b;
}

uint64_t fib_row(uint64_t n)
{
    context ctx;

    return fib(ctx, n);
}

uint64_t skynet(context &ctx, uint64_t number, uint64_t leaves)
{
    if (leaves == 1)
        return number;
    leaves /= 10;

    uint64_t part[10], sum = 0;
    tbb::task_group group(ctx);

    for (uint64_t i = 0; i < 9; i++)
        group.run([&ctx, out = &part[i], first = number + i * leaves, leaves] {
            *out = skynet(ctx, first, leaves);
        });
    part[9] = skynet(ctx, number + 9 * leaves, leaves);
    group.wait();
    for (uint64_t x : part)
        sum += x;
    return sum;
}

uint64_t skynet_row(uint64_t n)
{
    context ctx;

    return skynet(ctx, 0, n);
}

using board = std::array<char, 24>; // copied into the task that goes on from it

uint64_t queens(context &ctx, const board &placed, int row, int n)
{
    if (row == n)
        return 1;

    uint64_t part[24], sum = 0;
    int forked = 0;
    tbb::task_group group(ctx);

    for (int c = 0; c < n; c++)
        if (queen_safe(placed.data(), row, c)) {
            board next = placed;

            next[row] = static_cast<char>(c);
            group.run([&ctx, out = &part[forked++], next, row, n] {
                *out = queens(ctx, next, row + 1, n);
            });
        }
    group.wait();
    for (int i = 0; i < forked; i++)
        sum += part[i];
    return sum;
}

uint64_t queens_row(uint64_t n)
{
    context ctx;

    return n > 24 ? 0 : queens(ctx, board{}, 0, static_cast<int>(n));
}

double integrate(context &ctx, double x1, double y1, double x2, double y2,
                 double area)
{
    double half = (x2 - x1) / 2, x0 = x1 + half, y0 = integrand(x0);
    double a1 = (y1 + y0) / 2 * half, a2 = (y0 + y2) / 2 * half, left, right;

    if (fabs(a1 + a2 - area) < INTEGRATE_EPSILON)
        return a1 + a2;
    tbb::parallel_invoke([&] { left = integrate(ctx, x1, y1, x0, y0, a1); },
                         [&] { right = integrate(ctx, x0, y0, x2, y2, a2); },
                         ctx);
    return left + right;
}

uint64_t integrate_row(uint64_t n)
{
    context ctx;
    double x = static_cast<double>(n), y1 = integrand(0), y2 = integrand(x);

    return static_cast<uint64_t>(
        floor(integrate(ctx, 0, y1, x, y2, (y1 + y2) / 2 * x) * 10));
}

uint64_t uts(context &ctx, uint64_t state, int children);

// `part` has room for what each child says.
uint64_t uts_fork(context &ctx, uint64_t state, int children, uint64_t *part)
{
    uint64_t sum = 1, last = uts_child(state, children - 1);
    tbb::task_group group(ctx);

    for (int i = 0; i < children - 1; i++)
        group.run([&ctx, out = &part[i], child = uts_child(state, i)] {
            *out = uts(ctx, child, uts_children(child));
        });
    sum += uts(ctx, last, uts_children(last));
    group.wait();
    for (int i = 0; i < children - 1; i++)
        sum += part[i];
    return sum;
}

uint64_t uts(context &ctx, uint64_t state, int children)
{
    uint64_t part[8];

    return children ? uts_fork(ctx, state, children, part) : 1;
}

uint64_t uts_row(uint64_t n)
{
    context ctx;
    std::vector<uint64_t> part(UTS_ROOT_CHILDREN);

    return uts_fork(ctx, mix(n), UTS_ROOT_CHILDREN, part.data());
}

void merge(context &ctx, const uint32_t *a, size_t n, const uint32_t *b,
           size_t m, uint32_t *out)
{
    if (n + m < SORT_GRAIN) {
        merge_small(a, n, b, m, out);
        return;
    }
    if (n < m) {
        merge(ctx, b, m, a, n, out);
        return;
    }

    size_t i = n / 2, j = lower_bound(b, m, a[i]);

    tbb::parallel_invoke(
        [&] { merge(ctx, a, i, b, j, out); },
        [&] { merge(ctx, a + i, n - i, b + j, m - j, out + i + j); }, ctx);
}

// Sorts a, into b if `flip`; the other array is scratch.
void cilksort(context &ctx, uint32_t *a, uint32_t *b, size_t n, bool flip)
{
    size_t half = n / 2;
    uint32_t *from = flip ? a : b, *to = flip ? b : a;

    if (n < SORT_GRAIN) {
        sort_small(a, n);
        if (flip)
            memcpy(b, a, n * sizeof *a);
        return;
    }
    tbb::parallel_invoke(
        [&] { cilksort(ctx, a, b, half, !flip); },
        [&] { cilksort(ctx, a + half, b + half, n - half, !flip); }, ctx);
    merge(ctx, from, half, from + half, n - half, to);
}

uint64_t cilksort_row(uint64_t n)
{
    context ctx;

    cilksort(ctx, peer_keys, peer_scratch, n, false);
    return 0;
}

void matmul(context &ctx, const double *a, const double *b, double *c,
            size_t side, size_t n)
{
    size_t h = side / 2;

    if (side == MATMUL_GRAIN) {
        matmul_block(a, b, c, n);
        return;
    }
    for (int k = 0; k < 2; k++, a += h, b += h * n)
        tbb::parallel_invoke(
            [&] { matmul(ctx, a, b, c, h, n); },
            [&] { matmul(ctx, a, b + h, c + h, h, n); },
            [&] { matmul(ctx, a + h * n, b, c + h * n, h, n); },
            [&] { matmul(ctx, a + h * n, b + h, c + h * n + h, h, n); }, ctx);
}

uint64_t matmul_row(uint64_t n)
{
    context ctx;

    matmul(ctx, peer_grid[0], peer_grid[1], peer_grid[2], n, n);
    return 0;
}

// The partitioner that remembers which thread had which rows is TBB's advice
// for a loop that comes back to the same data.
uint64_t heat_steps(uint64_t n)
{
    tbb::affinity_partitioner partitioner;

    for (uint64_t step = 0; step < n / 4; step++) {
        const double *u = peer_grid[step % 2];
        double *v = peer_grid[(step + 1) % 2];

        tbb::parallel_for(
            range(1, n - 1),
            [=](const range &r) {
                for (uint64_t i = r.begin(); i != r.end(); i++)
                    heat_row(u, v, n, i);
            },
            partitioner);
    }
    return 0;
}

// item(i) of all i < n, put together by op.
template <class Item, class Op> uint64_t loop(uint64_t n, Item item, Op op)
{
    return tbb::parallel_reduce(
        range(0, n), uint64_t{0},
        [=](const range &r, uint64_t x) {
            for (uint64_t i = r.begin(); i != r.end(); i++)
                x = op(x, item(i));
            return x;
        },
        op);
}

#include "../loops.hh"

const peer_row rows[] = PEER_ROWS;

} // namespace

int main(int argc, char **argv)
{
    int status;
    const peer_row *row = peer_arguments(
        argc, argv, rows,
        "oneTBB " TBB_PACKAGE ", g++ " __VERSION__ ", -O3 native off", &status);

    if (!row)
        return status;

    int threads = atoi(argv[2]);
    tbb::global_control count(tbb::global_control::max_allowed_parallelism,
                              static_cast<size_t>(threads));
    tbb::global_control stack(tbb::global_control::thread_stack_size,
                              size_t{64} << 20); // uts goes deep
    tbb::task_arena arena(threads);

    return arena.execute([&] {
        return peer_run(row, strtoull(argv[3], nullptr, 10), atoi(argv[4]));
    });
}
