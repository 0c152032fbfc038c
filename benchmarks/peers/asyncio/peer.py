# SPDX-License-Identifier: MIT
"""The rows of tasks on asyncio, with asyncio's loop or uvloop's.

peer.py [--uvloop] list | version | ROW THREADS SIZE RUNS. The loop has one
thread whatever THREADS says; the yield row takes its number of tasks from it.
"""
import asyncio
import platform
import resource
import sys
import time

BATCH = 10000
now = time.perf_counter_ns


def resident():
    with open("/proc/self/statm", "rb") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


async def run_spawn(n, threads):
    total = 0

    async def add(i):
        nonlocal total
        total += i

    create = asyncio.get_running_loop().create_task
    for first in range(0, n, BATCH):
        tasks = [create(add(i)) for i in range(first, min(n, first + BATCH))]
        for t in tasks:
            await t
    return total


async def run_spawn_one(n, threads):
    async def one(i):
        return i

    create = asyncio.get_running_loop().create_task
    total = 0
    for i in range(n):
        total += await create(one(i))
    return total


async def run_skynet_tasks(leaves, threads):
    create = asyncio.get_running_loop().create_task

    async def node(first, size):
        if size == 1:
            return first
        size //= 10
        tasks = [create(node(first + i * size, size)) for i in range(10)]
        return sum([await t for t in tasks])

    return await node(0, leaves)


async def run_pingpong(n, threads):
    there, back = asyncio.Queue(1), asyncio.Queue(1)

    async def ping():
        i = 0
        while i < n:
            await there.put(i)
            i = await back.get()
        return i

    async def pong():
        for _ in range(n):
            await back.put(await there.get() + 1)

    return (await asyncio.gather(ping(), pong()))[0]


async def run_ring(n, threads):
    size = 503
    queues = [asyncio.Queue(1) for _ in range(size)]
    done = asyncio.get_running_loop().create_future()

    async def member(i):
        mine, following = queues[i], queues[(i + 1) % size]
        while True:
            token = await mine.get()
            if token == 0:
                done.set_result(i + 1)
                return
            await following.put(token - 1)

    tasks = [asyncio.create_task(member(i)) for i in range(size)]
    await queues[0].put(n)
    answer = await done
    for t in tasks:
        t.cancel()
    await asyncio.wait(tasks)
    return answer


async def run_yield(n, threads):
    async def yields():
        sleep = asyncio.sleep
        for _ in range(n):
            await sleep(0)
        return n

    return sum(await asyncio.gather(*[yields() for _ in range(2 * threads)]))


async def run_mpmc(n, threads):
    queue = asyncio.Queue(128)

    async def produce(k):
        for i in range(k, n, 4):
            await queue.put(i)

    async def consume(k):
        total = 0
        for _ in range(k, n, 4):
            total += await queue.get()
        return total

    results = await asyncio.gather(*[f(k) for k in range(4)
                                     for f in (consume, produce)])
    return sum(results[::2])


async def run_mutex(n, threads):
    lock = asyncio.Lock()
    count = 0

    async def work(k):
        nonlocal count
        for _ in range(k, n, 8):
            async with lock:
                count += 1

    await asyncio.gather(*[work(k) for k in range(8)])
    return count


async def run_timeouts(n, threads):
    sleep, timeout = asyncio.sleep, asyncio.timeout
    done = 0
    for _ in range(n):
        async with timeout(10):
            await sleep(0)
            done += 1
    return done


async def run_sleepers(n, threads):
    global grown
    ended = 0

    async def sleeper():
        nonlocal ended
        await asyncio.sleep(1)
        ended += 1

    create = asyncio.get_running_loop().create_task
    tasks = [create(sleeper()) for _ in range(n)]
    # The loop runs all the first steps before it looks at a timer.
    await asyncio.sleep(0)
    grown = resident() - at_first
    for t in tasks:
        await t
    return ended


grown = 0
at_first = resident()
ROWS = {name[4:]: f for name, f in list(globals().items())
        if name.startswith("run_")}


async def once(row, threads, size):
    begin = now()
    answer = await ROWS[row](size, threads)
    return now() - begin, answer


def main():
    global at_first
    args = sys.argv[1:]
    name = "asyncio"
    if args[0] == "--uvloop":
        import uvloop
        uvloop.install()
        name = "uvloop " + uvloop.__version__
        args.pop(0)
    if args == ["list"]:
        print("\n".join(ROWS))
        return
    if args == ["version"]:
        print("%s, Python %s, one thread" % (name, platform.python_version()))
        return
    row, threads, size, runs = args[0], *map(int, args[1:4])
    at_first = resident()
    for i in range(runs + 1):
        ns, answer = asyncio.run(once(row, threads, size))
        if i:
            print(ns, answer, *([grown // size] if row == "sleepers" else []),
                  flush=True)


main()
