// SPDX-License-Identifier: MIT
// The fork-join rows by Taskflow: task groups, whose last child the parent
// calls, and the algorithms over index ranges, whose callable gets a part of
// the range. All of a run is one task of the executor.
#include "../sequential/peer.h"

#include <taskflow/algorithm/for_each.hpp>
#include <taskflow/algorithm/reduce.hpp>
#include <taskflow/taskflow.hpp>

#include <array>
#include <functional>
#include <optional>
#include <vector>

#include <pthread.h>

namespace {

std::optional<tf::Executor> executor;

template <class F> auto inside(F f)
{
    return executor->async(f).get();
}

uint64_t fib(uint64_t n)
{
    uint64_t a, b;

    if (n < 2)
        return n;

    tf::TaskGroup group = executor->task_group();

    group.silent_async([&a, n] { a = fib(n - 1); });
    b = fib(n - 2);
    group.corun();
    return a + b;
}

uint64_t fib_row(uint64_t n)
{
    return inside([=] { return fib(n); });
}

uint64_t skynet(uint64_t number, uint64_t leaves)
{
    if (leaves == 1)
        return number;
    leaves /= 10;

    uint64_t part[10], sum = 0;
    tf::TaskGroup group = executor->task_group();

    for (uint64_t i = 0; i < 9; i++)
        group.silent_async([out = &part[i], first = number + i * leaves,
                            leaves] { *out = skynet(first, leaves); });
    part[9] = skynet(number + 9 * leaves, leaves);
    group.corun();
    for (uint64_t x : part)
        sum += x;
    return sum;
}

uint64_t skynet_row(uint64_t n)
{
    return inside([=] { return skynet(0, n); });
}

using board = std::array<char, 24>; // copied into the task that goes on from it

uint64_t queens(const board &placed, int row, int n)
{
    if (row == n)
        return 1;

    uint64_t part[24], sum = 0;
    int forked = 0;
    tf::TaskGroup group = executor->task_group();

    for (int c = 0; c < n; c++)
        if (queen_safe(placed.data(), row, c)) {
            board next = placed;

            next[row] = static_cast<char>(c);
            group.silent_async([out = &part[forked++], next, row, n] {
                *out = queens(next, row + 1, n);
            });
        }
    group.corun();
    for (int i = 0; i < forked; i++)
        sum += part[i];
    return sum;
}

uint64_t queens_row(uint64_t n)
{
    return n > 24 ? 0 : inside([=] {
        return queens(board{}, 0, static_cast<int>(n));
    });
}

double integrate(double x1, double y1, double x2, double y2, double area)
{
    double half = (x2 - x1) / 2, x0 = x1 + half, y0 = integrand(x0);
    double a1 = (y1 + y0) / 2 * half, a2 = (y0 + y2) / 2 * half, left, right;

    if (fabs(a1 + a2 - area) < INTEGRATE_EPSILON)
        return a1 + a2;

    tf::TaskGroup group = executor->task_group();

    group.silent_async([=, &left] { left = integrate(x1, y1, x0, y0, a1); });
    right = integrate(x0, y0, x2, y2, a2);
    group.corun();
    return left + right;
}

uint64_t integrate_row(uint64_t n)
{
    double x = static_cast<double>(n), y1 = integrand(0), y2 = integrand(x);
    double area = inside(
        [=] { return integrate(0, y1, x, y2, (y1 + y2) / 2 * x); });

    return static_cast<uint64_t>(floor(area * 10));
}

uint64_t uts(uint64_t state, int children);

// `part` has room for what each child says.
uint64_t uts_fork(uint64_t state, int children, uint64_t *part)
{
    uint64_t sum = 1, last = uts_child(state, children - 1);
    tf::TaskGroup group = executor->task_group();

    for (int i = 0; i < children - 1; i++)
        group.silent_async([out = &part[i], child = uts_child(state, i)] {
            *out = uts(child, uts_children(child));
        });
    sum += uts(last, uts_children(last));
    group.corun();
    for (int i = 0; i < children - 1; i++)
        sum += part[i];
    return sum;
}

uint64_t uts(uint64_t state, int children)
{
    uint64_t part[8];

    return children ? uts_fork(state, children, part) : 1;
}

uint64_t uts_row(uint64_t n)
{
    std::vector<uint64_t> part(UTS_ROOT_CHILDREN);

    return inside([&part, n] {
        return uts_fork(mix(n), UTS_ROOT_CHILDREN, part.data());
    });
}

void merge(const uint32_t *a, size_t n, const uint32_t *b, size_t m,
           uint32_t *out)
{
    if (n + m < SORT_GRAIN) {
        merge_small(a, n, b, m, out);
        return;
    }
    if (n < m) {
        merge(b, m, a, n, out);
        return;
    }

    size_t i = n / 2, j = lower_bound(b, m, a[i]);
    tf::TaskGroup group = executor->task_group();

    group.silent_async([=] { merge(a, i, b, j, out); });
    merge(a + i, n - i, b + j, m - j, out + i + j);
    group.corun();
}

// Sorts a, into b if `flip`; the other array is scratch.
void cilksort(uint32_t *a, uint32_t *b, size_t n, bool flip)
{
    size_t half = n / 2;
    uint32_t *from = flip ? a : b, *to = flip ? b : a;

    if (n < SORT_GRAIN) {
        sort_small(a, n);
        if (flip)
            memcpy(b, a, n * sizeof *a);
        return;
    }

    tf::TaskGroup group = executor->task_group();

    group.silent_async([=] { cilksort(a, b, half, !flip); });
    cilksort(a + half, b + half, n - half, !flip);
    group.corun();
    merge(from, half, from + half, n - half, to);
}

uint64_t cilksort_row(uint64_t n)
{
    inside([=] { cilksort(peer_keys, peer_scratch, n, false); });
    return 0;
}

void matmul(const double *a, const double *b, double *c, size_t side, size_t n)
{
    size_t h = side / 2;

    if (side == MATMUL_GRAIN) {
        matmul_block(a, b, c, n);
        return;
    }

    tf::TaskGroup group = executor->task_group();

    for (int k = 0; k < 2; k++, a += h, b += h * n) {
        group.silent_async([=] { matmul(a, b, c, h, n); });
        group.silent_async([=] { matmul(a, b + h, c + h, h, n); });
        group.silent_async([=] { matmul(a + h * n, b, c + h * n, h, n); });
        matmul(a + h * n, b + h, c + h * n + h, h, n);
        group.corun();
    }
}

uint64_t matmul_row(uint64_t n)
{
    inside([=] { matmul(peer_grid[0], peer_grid[1], peer_grid[2], n, n); });
    return 0;
}

// ---- loops ----------------------------------------------------------------

using range = tf::IndexRange<uint64_t>;

// Both directions of a step are built once and run in turns. Rows cost the same
// and come back, so each worker has its own part of them.
uint64_t heat_steps(uint64_t n)
{
    tf::Taskflow step[2];

    for (int k = 0; k < 2; k++) {
        const double *u = peer_grid[k];
        double *v = peer_grid[1 - k];

        step[k].for_each_by_index(
            range(1, n - 1, 1),
            [=](const range &r) {
                for (uint64_t i = r.begin(); i < r.end(); i++)
                    heat_row(u, v, n, i);
            },
            tf::StaticPartitioner());
    }
    inside([&step, n] {
        for (uint64_t i = 0; i < n / 4; i++)
            executor->corun(step[i % 2]);
    });
    return 0;
}

// item(i) of all i < n, put together by op, whose neutral element is 0.
template <class Item, class Op> uint64_t loop(uint64_t n, Item item, Op op)
{
    tf::Taskflow flow;
    uint64_t result = 0;

    flow.reduce_by_index(
        range(0, n, 1), result,
        [=](const range &r, std::optional<uint64_t> sum) {
            uint64_t x = sum ? *sum : 0;

            for (uint64_t i = r.begin(); i < r.end(); i++)
                x = op(x, item(i));
            return x;
        },
        op);
    executor->run(flow).wait();
    return result;
}

#include "../loops.hh"

const peer_row rows[] = PEER_ROWS;

// uts goes deep, and who waits takes other tasks on his stack.
void large_stacks()
{
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, size_t{256} << 20);
    pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
}

} // namespace

int main(int argc, char **argv)
{
    int status;
    static char version[200];

    snprintf(version, sizeof version,
             "Taskflow %s, " PEER_COMPILER ", -O3 native off, " PEER_MALLOC,
             tf::version());

    const peer_row *row = peer_arguments(argc, argv, rows, version, &status);

    if (!row)
        return status;
    large_stacks();
    executor.emplace(static_cast<size_t>(atoi(argv[2])));
    status = peer_run(row, strtoull(argv[3], nullptr, 10), atoi(argv[4]));
    executor.reset();
    return status;
}
