// SPDX-License-Identifier: MIT
// The fork-join rows by libfork, on its lazy pool, which its authors advise.
// Everything asynchronous is a coroutine; results lie in the parent's frame or,
// where their number is not known, in what co_new takes off the fibre's stack.
// fork(&x, f) is fork[&x, f] as a compiler without C++23's subscripts knows it.
#include "../sequential/peer.h"

#include <libfork.hpp>

#include <array>
#include <functional>
#include <optional>
#include <ranges>
#include <utility>

namespace {

std::optional<lf::lazy_pool> pool;
uint64_t workers;

constexpr auto fib = [](auto self, uint64_t n) LF_STATIC_CALL
    -> lf::task<uint64_t> {
    uint64_t a, b;

    if (n < 2)
        co_return n;
    co_await lf::fork(&a, self)(n - 1);
    co_await lf::call(&b, self)(n - 2);
    co_await lf::join;
    co_return a + b;
};

uint64_t fib_row(uint64_t n)
{
    return lf::sync_wait(*pool, fib, n);
}

constexpr auto skynet = [](auto self, uint64_t number, uint64_t leaves)
    LF_STATIC_CALL -> lf::task<uint64_t> {
    if (leaves == 1)
        co_return number;
    leaves /= 10;

    uint64_t part[10], sum = 0;

    for (uint64_t i = 0; i < 9; i++)
        co_await lf::fork(&part[i], self)(number + i * leaves, leaves);
    co_await lf::call(&part[9], self)(number + 9 * leaves, leaves);
    co_await lf::join;
    for (uint64_t x : part)
        sum += x;
    co_return sum;
};

uint64_t skynet_row(uint64_t n)
{
    return lf::sync_wait(*pool, skynet, uint64_t{0}, n);
}

using board = std::array<char, 24>; // copied into the child's frame

constexpr auto queens = [](auto self, board placed, int row, int n)
    LF_STATIC_CALL -> lf::task<uint64_t> {
    if (row == n)
        co_return 1;

    auto [part] = co_await lf::co_new<uint64_t>(n);
    uint64_t sum = 0;
    int forked = 0;

    for (int c = 0; c < n; c++)
        if (queen_safe(placed.data(), row, c)) {
            board next = placed;

            next[row] = static_cast<char>(c);
            co_await lf::fork(&part[forked++], self)(next, row + 1, n);
        }
    co_await lf::join;
    for (int i = 0; i < forked; i++)
        sum += part[i];
    co_return sum;
};

uint64_t queens_row(uint64_t n)
{
    return n > 24 ? 0
                  : lf::sync_wait(*pool, queens, board{}, 0,
                                  static_cast<int>(n));
}

constexpr auto integrate = [](auto self, double x1, double y1, double x2,
                              double y2, double area) LF_STATIC_CALL
    -> lf::task<double> {
    double half = (x2 - x1) / 2, x0 = x1 + half, y0 = integrand(x0);
    double a1 = (y1 + y0) / 2 * half, a2 = (y0 + y2) / 2 * half, left, right;

    if (fabs(a1 + a2 - area) < INTEGRATE_EPSILON)
        co_return a1 + a2;
    co_await lf::fork(&left, self)(x1, y1, x0, y0, a1);
    co_await lf::call(&right, self)(x0, y0, x2, y2, a2);
    co_await lf::join;
    co_return left + right;
};

uint64_t integrate_row(uint64_t n)
{
    double x = static_cast<double>(n), y1 = integrand(0), y2 = integrand(x);

    return static_cast<uint64_t>(
        floor(lf::sync_wait(*pool, integrate, 0.0, y1, x, y2,
                            (y1 + y2) / 2 * x) *
              10));
}

constexpr auto uts = [](auto self, uint64_t state, int children) LF_STATIC_CALL
    -> lf::task<uint64_t> {
    if (!children)
        co_return 1;

    auto [part] = co_await lf::co_new<uint64_t>(children);
    uint64_t sum = 1;

    for (int i = 0; i < children; i++) {
        uint64_t child = uts_child(state, i);

        if (i + 1 < children)
            co_await lf::fork(&part[i], self)(child, uts_children(child));
        else
            co_await lf::call(&part[i], self)(child, uts_children(child));
    }
    co_await lf::join;
    for (uint64_t x : part)
        sum += x;
    co_return sum;
};

uint64_t uts_row(uint64_t n)
{
    return lf::sync_wait(*pool, uts, mix(n), UTS_ROOT_CHILDREN);
}

constexpr auto merge = [](auto self, const uint32_t *a, size_t n,
                          const uint32_t *b, size_t m, uint32_t *out)
    LF_STATIC_CALL -> lf::task<> {
    if (n + m < SORT_GRAIN) {
        merge_small(a, n, b, m, out);
        co_return;
    }
    if (n < m) {
        std::swap(a, b);
        std::swap(n, m);
    }

    size_t i = n / 2, j = lower_bound(b, m, a[i]);

    co_await lf::fork(self)(a, i, b, j, out);
    co_await lf::call(self)(a + i, n - i, b + j, m - j, out + i + j);
    co_await lf::join;
};

// Sorts a, into b if `flip`; the other array is scratch.
constexpr auto cilksort = [](auto self, uint32_t *a, uint32_t *b, size_t n,
                             bool flip) LF_STATIC_CALL -> lf::task<> {
    size_t half = n / 2;
    uint32_t *from = flip ? a : b, *to = flip ? b : a;

    if (n < SORT_GRAIN) {
        sort_small(a, n);
        if (flip)
            memcpy(b, a, n * sizeof *a);
        co_return;
    }
    co_await lf::fork(self)(a, b, half, !flip);
    co_await lf::call(self)(a + half, b + half, n - half, !flip);
    co_await lf::join;
    co_await lf::call(merge)(from, half, from + half, n - half, to);
    co_await lf::join;
};

uint64_t cilksort_row(uint64_t n)
{
    lf::sync_wait(*pool, cilksort, peer_keys, peer_scratch, n, false);
    return 0;
}

constexpr auto matmul = [](auto self, const double *a, const double *b,
                           double *c, size_t side, size_t n) LF_STATIC_CALL
    -> lf::task<> {
    size_t h = side / 2;

    if (side == MATMUL_GRAIN) {
        matmul_block(a, b, c, n);
        co_return;
    }
    for (int k = 0; k < 2; k++, a += h, b += h * n) {
        co_await lf::fork(self)(a, b, c, h, n);
        co_await lf::fork(self)(a, b + h, c + h, h, n);
        co_await lf::fork(self)(a + h * n, b, c + h * n, h, n);
        co_await lf::call(self)(a + h * n, b + h, c + h * n + h, h, n);
        co_await lf::join;
    }
};

uint64_t matmul_row(uint64_t n)
{
    lf::sync_wait(*pool, matmul, peer_grid[0], peer_grid[1], peer_grid[2],
                  size_t{n}, size_t{n});
    return 0;
}

// ---- loops: libfork's own, whose chunk leaves every worker 64 pieces --------

using index = uint32_t; // iota of a 64-bit type counts in __int128

std::ptrdiff_t chunk(uint64_t n)
{
    uint64_t c = n / (64 * workers);

    return static_cast<std::ptrdiff_t>(c ? c : 1);
}

constexpr auto heat = [](auto, uint64_t n) LF_STATIC_CALL -> lf::task<> {
    for (uint64_t step = 0; step < n / 4; step++) {
        const double *u = peer_grid[step % 2];
        double *v = peer_grid[(step + 1) % 2];

        co_await lf::call(lf::for_each)(
            std::views::iota(index{1}, static_cast<index>(n - 1)), chunk(n),
            [=](index i) { heat_row(u, v, n, i); });
        co_await lf::join;
    }
};

uint64_t heat_steps(uint64_t n)
{
    lf::sync_wait(*pool, heat, n);
    return 0;
}

// item(i) of all i < n, put together by op.
template <class Item, class Op> uint64_t loop(uint64_t n, Item item, Op op)
{
    return *lf::sync_wait(*pool, lf::fold,
                          std::views::iota(index{0}, static_cast<index>(n)),
                          chunk(n), op, item);
}

#include "../loops.hh"

const peer_row rows[] = PEER_ROWS;

} // namespace

int main(int argc, char **argv)
{
    int status;
    const peer_row *row = peer_arguments(
        argc, argv, rows,
        "libfork " LIBFORK_PACKAGE ", " PEER_COMPILER ", -O3 native off",
        &status);

    if (!row)
        return status;
    workers = static_cast<uint64_t>(atoi(argv[2]));
    pool.emplace(workers);
    status = peer_run(row, strtoull(argv[3], nullptr, 10), atoi(argv[4]));
    pool.reset();
    return status;
}
