// SPDX-License-Identifier: MIT
// The fork-join rows by citor: forkJoin and forkJoinAll, the steps of heat by
// runPlex, loops by parallelFor and the sum by parallelReduce, all as its
// documents say; threads are placed as in its author's part of runtime-
// benchmarks. It allocates nothing while a row runs, but for the two thousand
// children of uts's root: no need of another malloc.
#define CITOR_WORKER_STACK_KIB 262144 // uts goes deep
#include "../sequential/peer.h"

#include <citor/hints.h>
#include <citor/thread_pool.h>
#include <citor/version.h>

#include <array>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include <pthread.h>

namespace {

using hints = citor::HintsDefaults;
using pool = citor::ThreadPool;

pool *threads;

uint64_t fib(pool &p, uint64_t n)
{
    uint64_t a, b;

    if (n < 2)
        return n;
    p.forkJoin<hints>([&] { a = fib(p, n - 1); }, [&] { b = fib(p, n - 2); });
    return a + b;
}

uint64_t fib_row(uint64_t n)
{
    return fib(*threads, n);
}

uint64_t skynet(pool &p, uint64_t number, uint64_t leaves)
{
    if (leaves == 1)
        return number;
    leaves /= 10;

    uint64_t part[10], sum = 0;

    p.forkJoinAll<hints>(10, [&](size_t i) {
        part[i] = skynet(p, number + i * leaves, leaves);
    });
    for (uint64_t x : part)
        sum += x;
    return sum;
}

uint64_t skynet_row(uint64_t n)
{
    return skynet(*threads, 0, n);
}

using board = std::array<char, 24>;

uint64_t queens(pool &p, const board &placed, int row, int n)
{
    if (row == n)
        return 1;

    char column[24];
    uint64_t part[24], sum = 0;
    size_t safe = 0;

    for (int c = 0; c < n; c++)
        if (queen_safe(placed.data(), row, c))
            column[safe++] = static_cast<char>(c);
    p.forkJoinAll<hints>(safe, [&](size_t i) {
        board next = placed;

        next[row] = column[i];
        part[i] = queens(p, next, row + 1, n);
    });
    for (size_t i = 0; i < safe; i++)
        sum += part[i];
    return sum;
}

uint64_t queens_row(uint64_t n)
{
    return n > 24 ? 0 : queens(*threads, board{}, 0, static_cast<int>(n));
}

double integrate(pool &p, double x1, double y1, double x2, double y2,
                 double area)
{
    double half = (x2 - x1) / 2, x0 = x1 + half, y0 = integrand(x0);
    double a1 = (y1 + y0) / 2 * half, a2 = (y0 + y2) / 2 * half, left, right;

    if (fabs(a1 + a2 - area) < INTEGRATE_EPSILON)
        return a1 + a2;
    p.forkJoin<hints>([&] { left = integrate(p, x1, y1, x0, y0, a1); },
                      [&] { right = integrate(p, x0, y0, x2, y2, a2); });
    return left + right;
}

uint64_t integrate_row(uint64_t n)
{
    double x = static_cast<double>(n), y1 = integrand(0), y2 = integrand(x);

    return static_cast<uint64_t>(
        floor(integrate(*threads, 0, y1, x, y2, (y1 + y2) / 2 * x) * 10));
}

uint64_t uts(pool &p, uint64_t state, int children);

// `part` has room for what each child says.
uint64_t uts_fork(pool &p, uint64_t state, int children, uint64_t *part)
{
    uint64_t sum = 1;

    p.forkJoinAll<hints>(static_cast<size_t>(children), [&](size_t i) {
        uint64_t child = uts_child(state, static_cast<int>(i));

        part[i] = uts(p, child, uts_children(child));
    });
    for (int i = 0; i < children; i++)
        sum += part[i];
    return sum;
}

uint64_t uts(pool &p, uint64_t state, int children)
{
    uint64_t part[8];

    return children ? uts_fork(p, state, children, part) : 1;
}

uint64_t uts_row(uint64_t n)
{
    std::vector<uint64_t> part(UTS_ROOT_CHILDREN);

    return uts_fork(*threads, mix(n), UTS_ROOT_CHILDREN, part.data());
}

void merge(pool &p, const uint32_t *a, size_t n, const uint32_t *b, size_t m,
           uint32_t *out)
{
    if (n + m < SORT_GRAIN) {
        merge_small(a, n, b, m, out);
        return;
    }
    if (n < m) {
        merge(p, b, m, a, n, out);
        return;
    }

    size_t i = n / 2, j = lower_bound(b, m, a[i]);

    p.forkJoin<hints>(
        [&] { merge(p, a, i, b, j, out); },
        [&] { merge(p, a + i, n - i, b + j, m - j, out + i + j); });
}

// Sorts a, into b if `flip`; the other array is scratch.
void cilksort(pool &p, uint32_t *a, uint32_t *b, size_t n, bool flip)
{
    size_t half = n / 2;
    uint32_t *from = flip ? a : b, *to = flip ? b : a;

    if (n < SORT_GRAIN) {
        sort_small(a, n);
        if (flip)
            memcpy(b, a, n * sizeof *a);
        return;
    }
    p.forkJoin<hints>(
        [&] { cilksort(p, a, b, half, !flip); },
        [&] { cilksort(p, a + half, b + half, n - half, !flip); });
    merge(p, from, half, from + half, n - half, to);
}

uint64_t cilksort_row(uint64_t n)
{
    cilksort(*threads, peer_keys, peer_scratch, n, false);
    return 0;
}

void matmul(pool &p, const double *a, const double *b, double *c, size_t side,
            size_t n)
{
    size_t h = side / 2;

    if (side == MATMUL_GRAIN) {
        matmul_block(a, b, c, n);
        return;
    }
    for (int k = 0; k < 2; k++, a += h, b += h * n)
        p.forkJoin<hints>(
            [&] { matmul(p, a, b, c, h, n); },
            [&] { matmul(p, a, b + h, c + h, h, n); },
            [&] { matmul(p, a + h * n, b, c + h * n, h, n); },
            [&] { matmul(p, a + h * n, b + h, c + h * n + h, h, n); });
}

uint64_t matmul_row(uint64_t n)
{
    matmul(*threads, peer_grid[0], peer_grid[1], peer_grid[2], n, n);
    return 0;
}

// ---- loops ------------------------------------------------------------------

// Its own way for stencils: the threads stay awake from step to step.
uint64_t heat_steps(uint64_t n)
{
    threads->runPlex<hints>(
        n / 4, n - 2, [n](size_t step, size_t, size_t low, size_t high) {
            const double *u = peer_grid[step % 2];
            double *v = peer_grid[(step + 1) % 2];

            for (size_t i = low; i < high; i++)
                heat_row(u, v, n, i + 1);
        });
    return 0;
}

// The dear items stand together: smaller pieces than two a thread.
struct skewed : hints {
    static constexpr size_t chunk = 64;
};

template <class Hints, class Item> uint64_t loop(uint64_t n, Item item)
{
    std::atomic<uint64_t> all{0};

    threads->parallelFor<Hints>(0, n, [&](size_t low, size_t high) {
        uint64_t x = 0;

        for (size_t i = low; i < high; i++)
            x ^= item(i);
        all.fetch_xor(x, std::memory_order_relaxed);
    });
    return all >> 1;
}

uint64_t for_even(uint64_t n)
{
    return loop<hints>(n, [](uint64_t i) { return loop_even(i); });
}

uint64_t for_skewed(uint64_t n)
{
    return loop<skewed>(n, [n](uint64_t i) { return loop_skewed(i, n); });
}

uint64_t for_fine(uint64_t n)
{
    return loop<hints>(n, [](uint64_t i) { return loop_fine(i); });
}

uint64_t reduce(uint64_t n)
{
    uint64_t sum = threads->parallelReduce<hints>(
        0, n, uint64_t{0},
        [](size_t low, size_t high) {
            uint64_t x = 0;

            for (size_t i = low; i < high; i++)
                x += mix(i) >> 8;
            return x;
        },
        std::plus<uint64_t>());

    return sum << 1 >> 1;
}

const peer_row rows[] = PEER_ROWS;

// The thread that calls is one of the pool's, so it is one with such a stack.
template <class F> void on_large_stack(F f)
{
    pthread_t thread;
    pthread_attr_t large;

    pthread_attr_init(&large);
    pthread_attr_setstacksize(&large, size_t{CITOR_WORKER_STACK_KIB} << 10);
    if (pthread_create(
            &thread, &large,
            [](void *arg) -> void * { return (*static_cast<F *>(arg))(), arg; },
            &f))
        abort();
    pthread_join(thread, nullptr);
}

} // namespace

int main(int argc, char **argv)
{
    int status;
    const peer_row *row = peer_arguments(
        argc, argv, rows,
        "citor " CITOR_VERSION_STRING ", " PEER_COMPILER ", -O3 native off",
        &status);

    if (!row)
        return status;
    on_large_stack([&] {
        size_t wanted = static_cast<size_t>(atoi(argv[2]));
        // PerCpu takes one thread a core at most.
        pool all(wanted, wanted == std::thread::hardware_concurrency()
                             ? citor::Affinity::PerCpuSmtPair
                             : citor::Affinity::PerCpu);

        if (all.participants() != wanted) {
            printf("citor takes %zu threads here\n", all.participants());
            status = 77;
            return;
        }
        threads = &all;
        status = peer_run(row, strtoull(argv[3], nullptr, 10), atoi(argv[4]));
    });
    return status;
}
