// SPDX-License-Identifier: MIT
// The task rows by Photon: one vCPU a thread, threads of 16 KiB from the pool
// of stacks that its documents advise. Threads stay on their vCPU, which is
// its way and what its channels want; yield's are dealt out to all. (Work-
// stealing among vCPUs is new in it; with that some rows hung or crashed.) A
// new thread is yielded to and so runs before its creator goes on: all threads
// of a tree would stand at once otherwise. Time-outs are arguments of each
// wait, and not around a block of code: no such row.
#include "../sequential/peer.h"

#include <photon/photon.h>
#include <photon/thread/go.h>
#include <photon/thread/stack-allocator.h>
#include <photon/thread/thread.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <unistd.h>

namespace {

using channel = photon::channel<uint64_t>;
using handle = photon::join_handle *;

constexpr uint64_t stack_size = 16 << 10;

std::vector<photon::vcpu_base *> vcpus;

// f stays where it is until the thread was joined.
template <class F> photon::thread *create(F &f)
{
    photon::thread *th = photon::thread_create(
        [](void *arg) -> void * {
            (*static_cast<F *>(arg))();
            return nullptr;
        },
        &f, stack_size, 0, photon::THREAD_JOINABLE);

    if (!th)
        abort();
    return th;
}

handle joinable(photon::thread *th)
{
    return reinterpret_cast<handle>(th);
}

template <class F> handle go(F &f)
{
    photon::thread *th = create(f);

    photon::thread_yield_to(th);
    return joinable(th);
}

struct fill {
    uint64_t index, result;

    void operator()()
    {
        result = index;
    }
};

// Threads that nobody joins are gone at once, their stacks free for the next;
// all of a batch are waited for by a semaphore.
uint64_t spawn(uint64_t n)
{
    constexpr uint64_t batch = 10000;
    static std::array<uint64_t, batch> slot;
    photon::semaphore ended;
    uint64_t sum = 0;

    for (uint64_t done = 0; done < n; done += batch) {
        uint64_t m = n - done < batch ? n - done : batch;

        for (uint64_t i = 0; i < m; i++) {
            auto task = [&ended, done, i] {
                slot[i] = done + i;
                ended.signal(1);
            };

            photon::thread_yield_to(photon::go(stack_size, task));
        }
        ended.wait(m);
        for (uint64_t i = 0; i < m; i++)
            sum += slot[i];
    }
    return sum;
}

uint64_t spawn_one(uint64_t n)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < n; i++) {
        fill task{i, 0};

        photon::thread_join(go(task));
        sum += task.result;
    }
    return sum;
}

struct skynet {
    uint64_t number, leaves, result;

    void operator()()
    {
        if (leaves == 1) {
            result = number;
            return;
        }

        skynet part[10];
        handle child[10];
        uint64_t each = leaves / 10;

        for (uint64_t i = 0; i < 10; i++) {
            part[i] = {number + i * each, each, 0};
            child[i] = go(part[i]);
        }
        result = 0;
        for (int i = 0; i < 10; i++) {
            photon::thread_join(child[i]);
            result += part[i].result;
        }
    }
};

uint64_t skynet_row(uint64_t n)
{
    skynet all{0, n, 0};

    photon::thread_join(go(all));
    return all.result;
}

uint64_t pingpong(uint64_t n)
{
    channel there(1), back(1);
    uint64_t counter = 0;
    auto pong = [&] {
        uint64_t x;

        while (there.recv(x))
            back.send(x + 1);
    };
    auto ping = [&] {
        for (uint64_t i = 0; i < n; i++) {
            there.send(counter);
            back.recv(counter);
        }
        there.close();
    };
    handle a = go(pong), b = go(ping);

    photon::thread_join(b);
    photon::thread_join(a);
    return counter;
}

constexpr unsigned ring_size = 503;

struct member {
    std::vector<member> *ring;
    unsigned index;
    uint64_t *last;
    std::unique_ptr<channel> in;

    void operator()()
    {
        channel &next = *(*ring)[(index + 1) % ring_size].in;
        uint64_t left;

        while (in->recv(left)) {
            if (left) {
                next.send(left - 1);
                continue;
            }
            *last = index + 1;
            for (member &m : *ring)
                m.in->close();
        }
    }
};

uint64_t ring(uint64_t n)
{
    std::vector<member> all(ring_size);
    std::vector<handle> thread;
    uint64_t last = 0;

    for (unsigned i = 0; i < ring_size; i++)
        all[i] = {&all, i, &last, std::make_unique<channel>(1)};
    for (member &m : all)
        thread.push_back(go(m));
    all[0].in->send(n);
    for (handle h : thread)
        photon::thread_join(h);
    return last;
}

struct yielder {
    uint64_t yields, done;

    void operator()()
    {
        for (done = 0; done < yields; done++)
            photon::thread_yield();
    }
};

uint64_t yield(uint64_t n)
{
    std::vector<yielder> task(2 * vcpus.size(), yielder{n, 0});
    std::vector<handle> thread;
    uint64_t sum = 0;

    for (size_t i = 0; i < task.size(); i++) {
        photon::thread *th = create(task[i]);

        thread.push_back(joinable(th));
        if (i % vcpus.size())
            photon::thread_migrate(th, vcpus[i % vcpus.size()]);
    }
    for (size_t i = 0; i < task.size(); i++) {
        photon::thread_join(thread[i]);
        sum += task[i].done;
    }
    return sum;
}

uint64_t mpmc(uint64_t n)
{
    struct producer {
        channel &queue;
        uint64_t first, n;

        void operator()()
        {
            for (uint64_t i = first; i < n; i += 4)
                queue.send(i);
        }
    };
    struct consumer {
        channel &queue;
        uint64_t sum;

        void operator()()
        {
            uint64_t x;

            while (queue.recv(x))
                sum += x;
        }
    };
    channel queue(128);
    std::vector<producer> from;
    std::vector<consumer> to(4, consumer{queue, 0});
    std::vector<handle> in, out;
    uint64_t sum = 0;

    for (uint64_t p = 0; p < 4; p++)
        from.push_back({queue, p, n});
    for (consumer &c : to)
        out.push_back(go(c));
    for (producer &p : from)
        in.push_back(go(p));
    for (handle h : in)
        photon::thread_join(h);
    queue.close();
    for (size_t i = 0; i < 4; i++) {
        photon::thread_join(out[i]);
        sum += to[i].sum;
    }
    return sum;
}

uint64_t mutex(uint64_t n)
{
    struct adder {
        photon::mutex *lock;
        uint64_t *counter, first, n;

        void operator()()
        {
            for (uint64_t i = first; i < n; i += 8) {
                SCOPED_LOCK(lock);
                ++*counter;
            }
        }
    };
    photon::mutex lock;
    std::vector<adder> task;
    std::vector<handle> thread;
    uint64_t counter = 0;

    for (uint64_t t = 0; t < 8; t++)
        task.push_back({&lock, &counter, t, n});
    for (adder &a : task)
        thread.push_back(go(a));
    for (handle h : thread)
        photon::thread_join(h);
    return counter;
}

// The memory at first, for the pool keeps the stacks of an earlier run.
uint64_t sleepers(uint64_t n)
{
    static long before = peer_resident();
    std::vector<handle> thread(n);
    uint64_t woken = 0;
    auto sleeper = [&] {
        photon::thread_sleep(1);
        woken++;
    };

    for (handle &h : thread)
        h = go(sleeper);
    peer_bytes = (peer_resident() - before) / static_cast<long>(n);
    for (handle h : thread)
        photon::thread_join(h);
    return woken;
}

const peer_row rows[] = {
    {"spawn", spawn},       {"spawn_one", spawn_one},
    {"skynet_tasks", skynet_row}, {"pingpong", pingpong},
    {"ring", ring},         {"yield", yield},
    {"mpmc", mpmc},         {"mutex", mutex},
    {"sleepers", sleepers}, {nullptr, nullptr},
};

// The other vCPUs; their first threads look now and then whether all is over.
struct crew {
    std::atomic<size_t> ready{1};
    std::atomic<bool> over{false};
    std::vector<std::thread> thread;

    explicit crew(size_t threads)
    {
        vcpus.assign(threads, photon::get_vcpu());
        for (size_t i = 1; i < threads; i++)
            thread.emplace_back([this, i] {
                if (photon::vcpu_init() < 0)
                    abort();
                vcpus[i] = photon::get_vcpu();
                ready++;
                while (!over)
                    photon::thread_usleep(1000);
                photon::vcpu_fini();
            });
        while (ready < threads)
            photon::thread_usleep(100);
    }

    ~crew()
    {
        over = true;
        for (std::thread &t : thread)
            t.join();
    }
};

} // namespace

int main(int argc, char **argv)
{
    int status;
    const peer_row *row = peer_arguments(
        argc, argv, rows, "Photon, g++ " __VERSION__ ", -O3 native off",
        &status);

    if (!row)
        return status;
    photon::use_pooled_stack_allocator();
    photon::pooled_stack_trim_threshold(-1ULL);
    if (photon::vcpu_init() < 0)
        return 1;
    {
        crew others(static_cast<size_t>(atoi(argv[2])));

        status = peer_run(row, strtoull(argv[3], nullptr, 10), atoi(argv[4]));
    }
    photon::vcpu_fini();
    return status;
}
