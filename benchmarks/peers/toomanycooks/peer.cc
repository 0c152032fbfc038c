// SPDX-License-Identifier: MIT
// The rows by TooManyCooks: a hot task beside the caller where there are two
// children, spawn_tuple and spawn_many where there are more, as its author has
// them in runtime-benchmarks. It has no parallel loop: spawn_many of pieces.
// Bounded queues are its own, but for several consumers: there it has a channel
// without bound, which a semaphore bounds. A fair yield is its reschedule().
// Timers are those of its Asio executor, which is one thread more.
#include "../sequential/peer.h"

#include <tmc/all_headers.hpp>

#if __has_include(<asio.hpp>)
#include <asio/steady_timer.hpp>
#include <tmc/asio/aw_asio.hpp>
#include <tmc/asio/ex_asio.hpp>
#define HAVE_ASIO 1
#endif

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <ranges>
#include <utility>
#include <vector>

#include <unistd.h>

namespace {

using tmc::task;

uint64_t workers;

template <class T> T root(task<T> &&work)
{
    return tmc::post_waitable(tmc::cpu_executor(), std::move(work)).get();
}

// What f makes of 0, 1, 2 and so on, when it is asked for: an iterator's work.
template <class F> auto each(F f)
{
    return std::views::iota(uint64_t{0}) | std::views::transform(f);
}

task<uint64_t> fib(uint64_t n)
{
    if (n < 2)
        co_return n;

    auto hot = tmc::spawn(fib(n - 1)).fork();
    uint64_t b = co_await fib(n - 2);
    uint64_t a = co_await std::move(hot);

    co_return a + b;
}

uint64_t fib_row(uint64_t n)
{
    return root(fib(n));
}

task<uint64_t> skynet(uint64_t number, uint64_t leaves)
{
    if (leaves == 1)
        co_return number;
    leaves /= 10;

    std::array<uint64_t, 10> part =
        co_await tmc::spawn_many<10>(each([=](uint64_t i) {
                                         return skynet(number + i * leaves,
                                                       leaves);
                                     }).begin());
    uint64_t sum = 0;

    for (uint64_t x : part)
        sum += x;
    co_return sum;
}

uint64_t skynet_row(uint64_t n)
{
    return root(skynet(0, n));
}

using board = std::array<char, 24>; // copied into the child's frame

task<uint64_t> queens(board placed, int row, int n)
{
    if (row == n)
        co_return 1;

    size_t forked = 0;
    auto safe = std::views::iota(0, n) | std::views::filter([&](int c) {
                    return queen_safe(placed.data(), row, c);
                }) |
                std::views::transform([&](int c) {
                    placed[row] = static_cast<char>(c);
                    forked++;
                    return queens(placed, row + 1, n);
                });
    std::array<uint64_t, 24> part =
        co_await tmc::spawn_many<24>(safe.begin(), safe.end());
    uint64_t sum = 0;

    for (size_t i = 0; i < forked; i++)
        sum += part[i];
    co_return sum;
}

uint64_t queens_row(uint64_t n)
{
    return n > 24 ? 0 : root(queens(board{}, 0, static_cast<int>(n)));
}

task<double> integrate(double x1, double y1, double x2, double y2, double area)
{
    double half = (x2 - x1) / 2, x0 = x1 + half, y0 = integrand(x0);
    double a1 = (y1 + y0) / 2 * half, a2 = (y0 + y2) / 2 * half;

    if (fabs(a1 + a2 - area) < INTEGRATE_EPSILON)
        co_return a1 + a2;

    auto hot = tmc::spawn(integrate(x1, y1, x0, y0, a1)).fork();
    double right = co_await integrate(x0, y0, x2, y2, a2);
    double left = co_await std::move(hot);

    co_return left + right;
}

uint64_t integrate_row(uint64_t n)
{
    double x = static_cast<double>(n), y1 = integrand(0), y2 = integrand(x);

    return static_cast<uint64_t>(
        floor(root(integrate(0, y1, x, y2, (y1 + y2) / 2 * x)) * 10));
}

task<uint64_t> uts(uint64_t state, int children)
{
    if (!children)
        co_return 1;

    std::array<uint64_t, 8> part =
        co_await tmc::spawn_many<8>(each([=](uint64_t i) {
                                        uint64_t child = uts_child(
                                            state, static_cast<int>(i));

                                        return uts(child, uts_children(child));
                                    }).begin());
    uint64_t sum = 1;

    for (uint64_t x : part)
        sum += x;
    co_return sum;
}

task<uint64_t> uts_root(uint64_t state)
{
    std::vector<uint64_t> part =
        co_await tmc::spawn_many(each([=](uint64_t i) {
                                     uint64_t child = uts_child(
                                         state, static_cast<int>(i));

                                     return uts(child, uts_children(child));
                                 }).begin(),
                                 UTS_ROOT_CHILDREN);
    uint64_t sum = 1;

    for (uint64_t x : part)
        sum += x;
    co_return sum;
}

uint64_t uts_row(uint64_t n)
{
    return root(uts_root(mix(n)));
}

task<void> merge(const uint32_t *a, size_t n, const uint32_t *b, size_t m,
                 uint32_t *out)
{
    if (n + m < SORT_GRAIN) {
        merge_small(a, n, b, m, out);
        co_return;
    }
    if (n < m) {
        std::swap(a, b);
        std::swap(n, m);
    }

    size_t i = n / 2, j = lower_bound(b, m, a[i]);

    co_await tmc::spawn_tuple(merge(a, i, b, j, out),
                              merge(a + i, n - i, b + j, m - j, out + i + j));
}

// Sorts a, into b if `flip`; the other array is scratch.
task<void> cilksort(uint32_t *a, uint32_t *b, size_t n, bool flip)
{
    size_t half = n / 2;
    uint32_t *from = flip ? a : b, *to = flip ? b : a;

    if (n < SORT_GRAIN) {
        sort_small(a, n);
        if (flip)
            memcpy(b, a, n * sizeof *a);
        co_return;
    }
    co_await tmc::spawn_tuple(cilksort(a, b, half, !flip),
                              cilksort(a + half, b + half, n - half, !flip));
    co_await merge(from, half, from + half, n - half, to);
}

uint64_t cilksort_row(uint64_t n)
{
    root(cilksort(peer_keys, peer_scratch, n, false));
    return 0;
}

task<void> matmul(const double *a, const double *b, double *c, size_t side,
                  size_t n)
{
    size_t h = side / 2;

    if (side == MATMUL_GRAIN) {
        matmul_block(a, b, c, n);
        co_return;
    }
    for (int k = 0; k < 2; k++, a += h, b += h * n)
        co_await tmc::spawn_tuple(
            matmul(a, b, c, h, n), matmul(a, b + h, c + h, h, n),
            matmul(a + h * n, b, c + h * n, h, n),
            matmul(a + h * n, b + h, c + h * n + h, h, n));
}

uint64_t matmul_row(uint64_t n)
{
    root(matmul(peer_grid[0], peer_grid[1], peer_grid[2], n, n));
    return 0;
}

// ---- loops ------------------------------------------------------------------

// [low, high) in pieces, so many a worker at most; `piece(low, high)` is a
// function whose tasks spawn_func_many() makes.
template <class F>
auto pieces(uint64_t low, uint64_t high, uint64_t each_worker, F piece)
{
    uint64_t n = high - low, most = each_worker * workers;
    uint64_t size = n > most ? (n + most - 1) / most : 1;

    return std::pair(each([=](uint64_t i) {
                         uint64_t at = low + i * size;

                         return [=] {
                             return piece(at, std::min(at + size, high));
                         };
                     }),
                     (n + size - 1) / size);
}

task<void> heat(uint64_t n)
{
    for (uint64_t step = 0; step < n / 4; step++) {
        const double *u = peer_grid[step % 2];
        double *v = peer_grid[(step + 1) % 2];
        auto [first, count] = pieces(1, n - 1, 4, [=](uint64_t i, uint64_t to) {
            for (; i < to; i++)
                heat_row(u, v, n, i);
        });

        co_await tmc::spawn_func_many(first.begin(), count);
    }
}

uint64_t heat_steps(uint64_t n)
{
    root(heat(n));
    return 0;
}

// item(i) of all i < n, put together by op, whose neutral element is 0.
template <class Item, class Op>
task<uint64_t> loop(uint64_t n, Item item, Op op)
{
    auto [first, count] = pieces(0, n, 64, [=](uint64_t i, uint64_t to) {
        uint64_t x = 0;

        for (; i < to; i++)
            x = op(x, item(i));
        return x;
    });
    std::vector<uint64_t> part =
        co_await tmc::spawn_func_many(first.begin(), count);
    uint64_t sum = 0;

    for (uint64_t x : part)
        sum = op(sum, x);
    co_return sum;
}

uint64_t for_even(uint64_t n)
{
    auto item = [](uint64_t i) { return loop_even(i); };

    return root(loop(n, item, std::bit_xor<uint64_t>())) >> 1;
}

uint64_t for_skewed(uint64_t n)
{
    auto item = [n](uint64_t i) { return loop_skewed(i, n); };

    return root(loop(n, item, std::bit_xor<uint64_t>())) >> 1;
}

uint64_t for_fine(uint64_t n)
{
    auto item = [](uint64_t i) { return loop_fine(i); };

    return root(loop(n, item, std::bit_xor<uint64_t>())) >> 1;
}

uint64_t reduce(uint64_t n)
{
    auto item = [](uint64_t i) { return mix(i) >> 8; };

    return root(loop(n, item, std::plus<uint64_t>())) << 1 >> 1;
}

// ---- tasks ------------------------------------------------------------------

constexpr uint64_t batch = 10000;

task<void> fill(uint64_t *slot, uint64_t i)
{
    *slot = i;
    co_return;
}

task<uint64_t> spawn(uint64_t n)
{
    std::vector<uint64_t> slot(batch);
    uint64_t sum = 0;

    for (uint64_t done = 0; done < n; done += batch) {
        uint64_t m = std::min(n - done, batch);

        co_await tmc::spawn_many(
            each([&](uint64_t i) { return fill(&slot[i], done + i); }).begin(),
            m);
        for (uint64_t i = 0; i < m; i++)
            sum += slot[i];
    }
    co_return sum;
}

uint64_t spawn_row(uint64_t n)
{
    return root(spawn(n));
}

task<uint64_t> same(uint64_t i)
{
    co_return i;
}

task<uint64_t> spawn_one(uint64_t n)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < n; i++) {
        auto hot = tmc::spawn(same(i)).fork();

        sum += co_await std::move(hot);
    }
    co_return sum;
}

uint64_t spawn_one_row(uint64_t n)
{
    return root(spawn_one(n));
}

using queue = tmc::qu_spsc_bounded<uint64_t>;

task<void> ping(queue &there, queue &back, uint64_t n, uint64_t &counter)
{
    for (uint64_t i = 0; i < n; i++) {
        co_await there.push(counter);
        if (auto x = co_await back.pull())
            counter = x.value();
    }
    there.close();
}

task<void> pong(queue &there, queue &back)
{
    while (auto x = co_await there.pull()) {
        uint64_t next = x.value() + 1;

        co_await back.push(next);
    }
}

uint64_t pingpong(uint64_t n)
{
    return root([](uint64_t rounds) -> task<uint64_t> {
        queue there(1), back(1);
        uint64_t counter = 0;

        co_await tmc::spawn_tuple(pong(there, back),
                                  ping(there, back, rounds, counter));
        co_return counter;
    }(n));
}

constexpr unsigned ring_size = 503;
using ring_queues = std::vector<std::unique_ptr<queue>>;
constexpr uint64_t over = UINT64_MAX; // the token that ends the ring's tasks

task<void> ring_member(ring_queues &in, unsigned i, uint64_t &last)
{
    queue &mine = *in[i], &next = *in[(i + 1) % ring_size];

    for (;;) {
        uint64_t left;

        {
            auto x = co_await mine.pull();

            left = x.value();
        }
        if (left == over) {
            if (i + 1 != last) // all others pass it on
                co_await next.push(over);
            co_return;
        }
        if (!left)
            last = i + 1;
        co_await next.push(left ? left - 1 : over);
    }
}

task<uint64_t> ring(uint64_t n)
{
    ring_queues in(ring_size);
    uint64_t last = 0;

    for (auto &q : in)
        q = std::make_unique<queue>(1);
    co_await in[0]->push(n);
    co_await tmc::spawn_many(each([&](uint64_t i) {
                                 return ring_member(
                                     in, static_cast<unsigned>(i), last);
                             }).begin(),
                             ring_size);
    co_return last;
}

uint64_t ring_row(uint64_t n)
{
    return root(ring(n));
}

task<uint64_t> yields(uint64_t n)
{
    uint64_t k = 0;

    for (; k < n; k++)
        co_await tmc::reschedule();
    co_return k;
}

task<uint64_t> yield(uint64_t n)
{
    std::vector<uint64_t> part = co_await tmc::spawn_many(
        each([=](uint64_t) { return yields(n); }).begin(), 2 * workers);
    uint64_t sum = 0;

    for (uint64_t k : part)
        sum += k;
    co_return sum;
}

uint64_t yield_row(uint64_t n)
{
    return root(yield(n));
}

using channel = tmc::chan_tok<uint64_t>;

task<void> produce(channel chan, tmc::semaphore &room, uint64_t first,
                   uint64_t n)
{
    for (uint64_t i = first; i < n; i += 4) {
        co_await room;
        chan.post(i);
    }
}

task<uint64_t> consume(channel chan, tmc::semaphore &room)
{
    uint64_t sum = 0;

    while (auto x = co_await chan.pull()) {
        room.release();
        sum += *x;
    }
    co_return sum;
}

task<uint64_t> mpmc(uint64_t n)
{
    channel chan = tmc::make_channel<uint64_t>();
    tmc::semaphore room(128);
    uint64_t sum = 0;

    chan.set_consumer_spins(10); // as in its author's benchmark of it

    auto consumers = each([&](uint64_t) { return consume(chan, room); });
    auto hot = tmc::spawn_many<4>(consumers.begin()).fork();

    co_await tmc::spawn_many<4>(
        each([&](uint64_t p) { return produce(chan, room, p, n); }).begin());
    chan.close();

    std::array<uint64_t, 4> part = co_await std::move(hot);

    for (uint64_t x : part)
        sum += x;
    co_return sum;
}

uint64_t mpmc_row(uint64_t n)
{
    return root(mpmc(n));
}

task<void> increment(tmc::mutex &lock, uint64_t &counter, uint64_t first,
                     uint64_t n)
{
    for (uint64_t i = first; i < n; i += 8) {
        co_await lock;
        counter++;
        co_await lock.co_unlock();
    }
}

uint64_t mutex(uint64_t n)
{
    return root([](uint64_t all) -> task<uint64_t> {
        tmc::mutex lock;
        uint64_t counter = 0;

        co_await tmc::spawn_many<8>(each([&](uint64_t t) {
                                        return increment(lock, counter, t, all);
                                    }).begin());
        co_return counter;
    }(n));
}

#ifdef HAVE_ASIO

task<void> one_yield()
{
    co_await tmc::reschedule();
}

task<uint64_t> timeouts(uint64_t n)
{
    uint64_t in_time = 0;

    for (uint64_t i = 0; i < n; i++) {
        asio::steady_timer timer(tmc::asio_executor(),
                                 std::chrono::seconds(10));
        auto first = co_await tmc::select(
            tmc::cancellable(one_yield(), [] {}),
            tmc::cancellable(timer.async_wait(tmc::aw_asio), timer));

        in_time += first.index() == 0;
    }
    co_return in_time;
}

uint64_t timeouts_row(uint64_t n)
{
    return tmc::post_waitable(tmc::asio_executor(), timeouts(n)).get();
}

task<void> sleeper(tmc::latch &asleep, std::atomic<uint64_t> &woken)
{
    asio::steady_timer timer(tmc::asio_executor(), std::chrono::seconds(1));

    asleep.count_down();
    co_await timer.async_wait(tmc::aw_asio);
    woken.fetch_add(1, std::memory_order_relaxed);
}

task<uint64_t> sleepers(uint64_t n)
{
    // The memory at first, for malloc keeps what an earlier run gave back.
    static long before = peer_resident();
    std::atomic<uint64_t> woken{0};
    tmc::latch asleep(n);
    auto group = tmc::fork_group();

    for (uint64_t i = 0; i < n; i++)
        group.fork(sleeper(asleep, woken));
    co_await asleep;
    peer_bytes = (peer_resident() - before) / static_cast<long>(n);
    co_await std::move(group);
    co_return woken.load();
}

uint64_t sleepers_row(uint64_t n)
{
    return root(sleepers(n));
}

#endif

const peer_row rows[] = {
    {"fib", fib_row},
    {"skynet", skynet_row},
    {"nqueens", queens_row},
    {"integrate", integrate_row},
    {"uts", uts_row},
    {"cilksort", cilksort_row},
    {"matmul", matmul_row},
    {"heat", heat_steps},
    {"for_even", for_even},
    {"for_skewed", for_skewed},
    {"for_fine", for_fine},
    {"reduce", reduce},
    {"spawn", spawn_row},
    {"spawn_one", spawn_one_row},
    {"skynet_tasks", skynet_row},
    {"pingpong", pingpong},
    {"ring", ring_row},
    {"yield", yield_row},
    {"mpmc", mpmc_row},
    {"mutex", mutex},
#ifdef HAVE_ASIO
    {"timeouts", timeouts_row},
    {"sleepers", sleepers_row},
#endif
    {nullptr, nullptr},
};

} // namespace

int main(int argc, char **argv)
{
    int status;
    char version[200];

    snprintf(version, sizeof version,
             "TooManyCooks %d.%d.%d, " PEER_COMPILER
             ", -O3 native off, " PEER_MALLOC,
             TMC_VERSION_MAJOR, TMC_VERSION_MINOR, TMC_VERSION_PATCH);

    const peer_row *row = peer_arguments(argc, argv, rows, version, &status);

    if (!row)
        return status;
    workers = static_cast<uint64_t>(atoi(argv[2]));
    tmc::cpu_executor().set_thread_count(workers).set_thread_pinning_level(
        tmc::topology::thread_pinning_level::CORE);
    // Its author's choice for a deep tree of many children.
    if (!strncmp(row->name, "skynet", 6))
        tmc::cpu_executor().set_work_stealing_strategy(
            tmc::work_stealing_strategy::LATTICE_MATRIX);
    tmc::cpu_executor().init();
#ifdef HAVE_ASIO
    if (!strcmp(row->name, "timeouts") || !strcmp(row->name, "sleepers"))
        tmc::asio_executor().init();
#endif
    return peer_run(row, strtoull(argv[3], nullptr, 10), atoi(argv[4]));
}
