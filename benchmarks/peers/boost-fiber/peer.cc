// SPDX-License-Identifier: MIT
// The task rows by Boost.Fiber: work_stealing on THREADS threads, as its guide
// sets it up; with one thread the default round_robin, for there is nobody to
// steal from. Fibers are launched by dispatch (the new one runs at once), as in
// its authors' skynet; the two pages of stack they have there are too few for
// the dynamic linker's lazy binding, so eight. It has no time-out around a block
// of code, so no such row.
#include "../sequential/peer.h"

#include <boost/fiber/all.hpp>
#include <boost/version.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

namespace {

using boost::fibers::fiber;
using stack = boost::fibers::fixedsize_stack;

// It wants a power of two and at least 2, and holds one less: of 2, one.
using channel = boost::fibers::buffered_channel<uint64_t>;
constexpr std::size_t one_item = 2, bounded = 128;

unsigned threads;

template <class F> fiber go(F f)
{
    return fiber(boost::fibers::launch::dispatch, std::allocator_arg,
                 stack(8 * stack::traits_type::page_size()), f);
}

uint64_t spawn(uint64_t n)
{
    constexpr uint64_t batch = 10000;
    static std::array<uint64_t, batch> slot;
    static std::array<fiber, batch> task;
    uint64_t sum = 0;

    for (uint64_t done = 0; done < n; done += batch) {
        uint64_t m = n - done < batch ? n - done : batch;

        for (uint64_t i = 0; i < m; i++)
            task[i] = go([done, i] { slot[i] = done + i; });
        for (uint64_t i = 0; i < m; i++) {
            task[i].join();
            sum += slot[i];
        }
    }
    return sum;
}

uint64_t spawn_one(uint64_t n)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < n; i++) {
        uint64_t result;

        go([&result, i] { result = i; }).join();
        sum += result;
    }
    return sum;
}

uint64_t skynet(uint64_t number, uint64_t leaves)
{
    if (leaves == 1)
        return number;
    leaves /= 10;

    std::array<fiber, 10> child;
    uint64_t part[10], sum = 0;

    for (uint64_t i = 0; i < 10; i++)
        child[i] = go([out = &part[i], first = number + i * leaves, leaves] {
            *out = skynet(first, leaves);
        });
    for (int i = 0; i < 10; i++) {
        child[i].join();
        sum += part[i];
    }
    return sum;
}

uint64_t skynet_row(uint64_t n)
{
    uint64_t result;

    go([&] { result = skynet(0, n); }).join();
    return result;
}

uint64_t pingpong(uint64_t n)
{
    channel there(one_item), back(one_item);
    uint64_t counter = 0;
    fiber pong = go([&] {
        uint64_t x;

        while (there.pop(x) == boost::fibers::channel_op_status::success)
            back.push(x + 1);
    });
    fiber ping = go([&] {
        for (uint64_t i = 0; i < n; i++) {
            there.push(counter);
            back.pop(counter);
        }
        there.close();
    });

    ping.join();
    pong.join();
    return counter;
}

uint64_t ring(uint64_t n)
{
    constexpr unsigned size = 503;
    std::vector<std::unique_ptr<channel>> in;
    std::vector<fiber> task;
    uint64_t last = 0;

    for (unsigned i = 0; i < size; i++)
        in.push_back(std::make_unique<channel>(one_item));
    for (unsigned i = 0; i < size; i++)
        task.push_back(go([&, i] {
            uint64_t left;

            while (in[i]->pop(left) ==
                   boost::fibers::channel_op_status::success) {
                if (left) {
                    in[(i + 1) % size]->push(left - 1);
                    continue;
                }
                last = i + 1;
                for (auto &c : in)
                    c->close();
            }
        }));
    in[0]->push(n);
    for (auto &t : task)
        t.join();
    return last;
}

uint64_t yield(uint64_t n)
{
    std::vector<fiber> task;
    std::vector<uint64_t> yields(2 * threads);
    uint64_t sum = 0;

    for (uint64_t &mine : yields)
        task.push_back(go([&mine, n] {
            uint64_t k = 0;

            for (; k < n; k++)
                boost::this_fiber::yield();
            mine = k;
        }));
    for (auto &t : task)
        t.join();
    for (uint64_t k : yields)
        sum += k;
    return sum;
}

uint64_t mpmc(uint64_t n)
{
    channel queue(bounded);
    std::vector<fiber> producer, consumer;
    std::array<uint64_t, 4> part{};

    for (uint64_t &mine : part)
        consumer.push_back(go([&queue, &mine] {
            uint64_t x, sum = 0;

            while (queue.pop(x) == boost::fibers::channel_op_status::success)
                sum += x;
            mine = sum;
        }));
    for (uint64_t p = 0; p < 4; p++)
        producer.push_back(go([&queue, p, n] {
            for (uint64_t i = p; i < n; i += 4)
                queue.push(i);
        }));
    for (auto &t : producer)
        t.join();
    queue.close();
    for (auto &t : consumer)
        t.join();
    return part[0] + part[1] + part[2] + part[3];
}

uint64_t mutex(uint64_t n)
{
    boost::fibers::mutex lock;
    std::vector<fiber> task;
    uint64_t counter = 0;

    for (uint64_t t = 0; t < 8; t++)
        task.push_back(go([&, t] {
            for (uint64_t i = t; i < n; i += 8) {
                std::lock_guard<boost::fibers::mutex> hold(lock);

                counter++;
            }
        }));
    for (auto &t : task)
        t.join();
    return counter;
}

// The memory at first, for malloc keeps what an earlier run gave back.
uint64_t sleepers(uint64_t n)
{
    static long before = peer_resident();
    std::vector<fiber> task(n);
    std::atomic<uint64_t> woken{0};

    for (auto &t : task)
        t = go([&] {
            boost::this_fiber::sleep_for(std::chrono::seconds(1));
            woken.fetch_add(1, std::memory_order_relaxed);
        });
    peer_bytes = (peer_resident() - before) / static_cast<long>(n);
    for (auto &t : task)
        t.join();
    return woken;
}

const peer_row rows[] = {
    {"spawn", spawn},         {"spawn_one", spawn_one},
    {"skynet_tasks", skynet_row}, {"pingpong", pingpong},
    {"ring", ring},           {"yield", yield},
    {"mpmc", mpmc},           {"mutex", mutex},
    {"sleepers", sleepers},   {nullptr, nullptr},
};

// The threads' schedulers all stand before one may look for fibers to steal,
// and stay until the main fiber says so.
struct crew {
    pthread_barrier_t ready;
    boost::fibers::mutex lock;
    boost::fibers::condition_variable_any over;
    bool done = false;
    std::vector<std::thread> thread;

    void join_in()
    {
        boost::fibers::use_scheduling_algorithm<
            boost::fibers::algo::work_stealing>(threads);
        pthread_barrier_wait(&ready);
    }

    crew()
    {
        if (threads == 1)
            return;
        pthread_barrier_init(&ready, nullptr, threads);
        for (unsigned i = 1; i < threads; i++)
            thread.emplace_back([this] {
                join_in();
                std::unique_lock<boost::fibers::mutex> hold(lock);
                over.wait(hold, [this] { return done; });
            });
        join_in();
    }

    ~crew()
    {
        {
            std::lock_guard<boost::fibers::mutex> hold(lock);
            done = true;
        }
        over.notify_all();
        for (auto &t : thread)
            t.join();
    }
};

} // namespace

int main(int argc, char **argv)
{
    int status;
    const peer_row *row = peer_arguments(
        argc, argv, rows,
        "Boost.Fiber " BOOST_LIB_VERSION ", g++ " __VERSION__
        ", -O3 native off",
        &status);

    if (!row)
        return status;
    threads = static_cast<unsigned>(atoi(argv[2]));
    // Stacks come from malloc, which by default gives them back to the system
    // after each batch: spawn took five times as long.
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    mallopt(M_TOP_PAD, 64 << 20);

    crew workers;

    return peer_run(row, strtoull(argv[3], nullptr, 10), atoi(argv[4]));
}
