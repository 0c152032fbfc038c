# SPDX-License-Identifier: MIT
"""gdb commands for programs that use weft: `source tools/gdb/weft.py`.

    weft runtimes           the runtimes of the process
    weft workers            their workers: thread, task, counters
    weft tasks              all tasks: state, what they wait for, spawn site
    weft stack TASK [N] [full]
                            the backtrace of a task, by address or name

They read memory and call nothing in the program, so that they work on a core
file too. The library must have been built with -g.
"""
import re
import struct
import time

import gdb
import gdb.unwinder

# As in src/core/task.h, park.h and slab.c.
TASK_NEW, TASK_DONE, TASK_FREE, TASK_LIVE = 1, 4, 32, 64
WAITS_FOR_GROUP = 1
(WAIT_IDLE, WAIT_PARKING, WAIT_PARKED, WAIT_CLAIMED, WAIT_HELD, WAIT_HELD_READY,
 WAIT_HELD_PARKED, WAIT_JOINING, WAIT_JOIN_BUSY, WAIT_INSPECTED) = range(10)
SLAB_CHUNK = 512 * 1024
CACHE_LINE = 64
SIGNAL_STACK = 65536
PAGE = 4096
FRAMES_MAX = 64


def text(pointer, otherwise="?"):
    """The C string at pointer."""
    try:
        return pointer.string(errors="replace") if int(pointer) else otherwise
    except gdb.error:
        return otherwise


def read(address, size):
    """Bytes; pages that a core file lacks are zero."""
    inferior = gdb.selected_inferior()
    try:
        return bytes(inferior.read_memory(address, size))
    except gdb.MemoryError:
        pass
    out = bytearray()
    while len(out) < size:
        at = address + len(out)
        n = min(size - len(out), PAGE - at % PAGE)
        try:
            out += bytes(inferior.read_memory(at, n))
        except gdb.MemoryError:
            out += bytes(n)
    return bytes(out)


MASK = (1 << 64) - 1


def register(frame, name):
    return int(frame.read_register(name)) & MASK


class Kept:
    """The user's thread and frame are selected again at the end."""

    def __enter__(self):
        self.thread = gdb.selected_thread()
        self.level = 0
        try:
            self.level = gdb.selected_frame().level()
        except gdb.error:
            pass
        return self

    def __exit__(self, *unused):
        if self.thread is None or not self.thread.is_valid():
            return
        self.thread.switch()
        try:
            frame = gdb.newest_frame()
            for _ in range(self.level):
                frame = frame.older() or frame
            frame.select()
        except gdb.error:
            pass


# ---- what there is ----------------------------------------------------------


class Task:
    def __init__(self, world, runtime, value):
        self.world, self.runtime, self.value = world, runtime, value
        self.address = int(value.address)
        self.state_word = int(value["state"])
        self.wait = int(value["wait"]) & 15
        site = value["site"]
        self.name = text(site)
        self.site = "?"
        if int(site):
            self.site = text(site + len(self.name.encode()) + 1)
        self.name = text(value["name"], self.name)
        self.why = text(value["why"], "") or None
        self.worker = world.running.get(self.address)

    @property
    def state(self):
        if self.worker is not None:
            return "running"
        if self.state_word & TASK_NEW:
            return "new"
        if self.wait in (WAIT_JOINING, WAIT_JOIN_BUSY):
            return "joining"
        if self.wait in (WAIT_IDLE, WAIT_CLAIMED, WAIT_HELD_READY,
                         WAIT_HELD_PARKED):
            return "ready"
        return "waiting"

    def awaited(self):
        """The address of the task or group that it waits for, and which."""
        word = int(self.value["waits_for"])
        if self.state not in ("waiting", "joining") or not word:
            return 0, False
        return word & ~WAITS_FOR_GROUP, bool(word & WAITS_FOR_GROUP)

    def awaited_text(self):
        word, is_group = self.awaited()
        if not word:
            return "-"
        if is_group:
            return "group %#x" % word
        other = self.world.find_task(word)
        return "%s %#x" % (other.name if other else "task", word)

    def since(self):
        """How long it has run, as far as the monitor or the budget noted it."""
        if self.worker is None:
            return "-"
        w = self.worker
        began = int(w.value["run_start"])
        watched = self.runtime.value["watched"]
        if int(watched):
            seen = watched[w.index]
            if int(seen["tick"]) == int(w.value["tick"]) and int(seen["since"]):
                old = int(seen["since"])
                began = min(began, old) if began else old
        now = self.world.now
        return "%.3f s" % ((now - began) / 1e9) if 0 < began <= now else "-"

    def top_task(self):
        """A task that joins may run the one it waits for on top of itself."""
        seen, task = set(), self
        while task is not None and task.worker is None:
            if task.address in seen:
                return None
            seen.add(task.address)
            word, is_group = task.awaited()
            if is_group:
                task = self.world.running_child(word)
            else:
                task = self.world.find_task(word)
        return task


class Worker:
    def __init__(self, world, runtime, value):
        self.runtime, self.value = runtime, value
        self.index = int(value["index"])
        self.current = int(value["current"])
        self.thread = world.thread_of(value)

    def is_asleep(self):
        words = self.runtime.value["idle"]["sleepers"]
        return int(words[self.index // 64]) >> self.index % 64 & 1

    def thread_text(self):
        if self.thread is None:
            return "?"
        return "%d (LWP %d)" % (self.thread.num, self.thread.ptid[1])


class Runtime:
    def __init__(self, world, pointer, number):
        self.value = pointer.dereference()
        self.address = int(pointer)
        self.number = number
        n = int(self.value["n_workers"])
        first = self.value["workers"]
        self.workers = [Worker(world, self, first[i]) for i in range(n)]

    def state(self):
        if int(self.value["exiting"]):
            return "closing"
        return "stopping" if int(self.value["stopping"]) else "open"

    def records(self):
        """The records that are live tasks, as values."""
        yield from self.slab_records(self.value["foreign"])
        for w in self.workers:
            yield from self.slab_records(w.value["slab"])

    def slab_records(self, slab):
        chunk = slab["chunks"]
        task_type = slab["free"].type.strip_typedefs().target()
        where = {f.name: f.bitpos // 8 for f in task_type.fields() if f.name}
        size = task_type.sizeof
        header = -(-chunk.type.target().sizeof // CACHE_LINE) * CACHE_LINE
        while int(chunk):
            if int(chunk["home"]) != int(slab.address):
                raise gdb.GdbError("the chunk at %#x is not what this script "
                                   "expects" % int(chunk))
            first = int(chunk) + header
            n = (SLAB_CHUNK - header) // size
            data = read(first, n * size)
            for i in range(n):
                state, = struct.unpack_from("<I", data, i * size +
                                            where["state"])
                if state & TASK_LIVE and not state & (TASK_DONE | TASK_FREE):
                    at = gdb.Value(first + i * size)
                    yield at.cast(task_type.pointer()).dereference()
            chunk = chunk["next"]


class World:
    """All that is known of the process while it stands still."""

    def __init__(self):
        inferior = gdb.selected_inferior()
        if not inferior.threads():
            raise gdb.GdbError("There is no process and no core file.")
        self.threads = []
        pointers = {}
        with Kept():
            for thread in inferior.threads():
                if not thread.is_valid() or thread.is_running():
                    continue
                thread.switch()
                frame = gdb.newest_frame()
                self.threads.append((thread, register(frame, "sp"),
                                     self.thread_pointer(frame)))
                self.find_runtime(frame, pointers)
        self.find_listed(pointers)
        self.runtimes = [Runtime(self, p, i)
                         for i, (_, p) in enumerate(sorted(pointers.items()))]
        self.running = {w.current: w for rt in self.runtimes
                        for w in rt.workers if w.current}
        self.now = self.clock(inferior)
        self.known = None

    @staticmethod
    def thread_pointer(frame):
        try:
            return register(frame, "fs_base")
        except (ValueError, gdb.error):
            return 0

    @staticmethod
    def find_runtime(frame, pointers):
        """Each runtime has a thread that runs monitor(rt)."""
        for _ in range(FRAMES_MAX):
            if frame is None:
                return
            symtab = frame.find_sal().symtab
            if frame.name() == "monitor" and symtab is not None and \
                    symtab.filename.endswith("core/monitor.c"):
                try:
                    rt = frame.read_var("rt")
                    if not rt.is_optimized_out and int(rt):
                        pointers[int(rt)] = rt
                        return
                except (ValueError, gdb.error):
                    pass
            try:
                frame = frame.older()
            except gdb.error:
                return

    @staticmethod
    def find_listed(pointers):
        """A list of all runtimes, where the library keeps one."""
        symbol = gdb.lookup_static_symbol("w_runtimes") or \
            gdb.lookup_global_symbol("w_runtimes")
        if symbol is None:
            return
        rt = symbol.value()
        while int(rt) and len(pointers) < 1000:
            pointers[int(rt)] = rt
            rt = rt["next_runtime"]

    def clock(self, inferior):
        """CLOCK_MONOTONIC; of a core, the latest time that it holds."""
        kind = getattr(getattr(inferior, "connection", None), "type", "native")
        if kind == "native":
            return time.monotonic_ns()
        times = [0]
        for rt in self.runtimes:
            for w in rt.workers:
                times += [int(w.value[f]) for f in ("last_poll", "look_at")]
        return max(times)

    def thread_of(self, worker):
        """Who stands on the worker's stack, or on its stack for signals."""
        stack = worker["stack"]
        ranges = []
        if int(stack):
            ranges.append((int(stack["limit"]) - 4 * PAGE, int(stack["top"])))
        alternate = int(worker["thread"]["signal_stack"])
        if alternate:
            ranges.append((alternate, alternate + SIGNAL_STACK))
        for thread, sp, _ in self.threads:
            if any(low <= sp < high for low, high in ranges):
                return thread
        for thread, _, pointer in self.threads:
            if pointer and pointer == int(worker["pthread"]):
                return thread
        return None

    def tasks(self):
        if self.known is None:
            self.known = {}
            for rt in self.runtimes:
                for value in rt.records():
                    task = Task(self, rt, value)
                    self.known[task.address] = task
        return self.known.values()

    def find_task(self, address):
        self.tasks()
        return self.known.get(address)

    def running_child(self, group):
        for address in self.running:
            task = self.find_task(address)
            if task is not None and int(task.value["family"]["group"]) == group:
                return task
        return None

    def named(self, argument):
        """The task of that name or address."""
        found = [t for t in self.tasks() if t.name == argument]
        if len(found) > 1:
            raise gdb.GdbError("%d tasks are called %s: %s" % (
                len(found), argument,
                " ".join("%#x" % t.address for t in found[:20])))
        if found:
            return found[0]
        try:
            address = int(gdb.parse_and_eval(argument))
        except gdb.error as e:
            raise gdb.GdbError("There is no task %s (%s)." % (argument, e))
        task = self.find_task(address)
        if task is None:
            raise gdb.GdbError("There is no task at %#x." % address)
        return task


# ---- stacks -----------------------------------------------------------------


class Switched(gdb.unwinder.Unwinder):
    """While `saved` is set: what called the newest frame is not what did, but
    the context of a suspended task. Nothing is written to a register."""

    class Id:
        def __init__(self, sp, pc):
            self.sp, self.pc = sp, pc

    def __init__(self):
        super().__init__("weft")
        self.saved = None

    def __call__(self, pending):
        if self.saved is None:
            return None
        sp, pc, inner, registers = self.saved
        if int(pending.read_register("sp")) & MASK != sp or \
                int(pending.read_register("pc")) & MASK != pc:
            return None
        below = gdb.Value(inner - 64).cast(
            gdb.lookup_type("char").pointer())
        here = pending.read_register("pc")
        info = pending.create_unwind_info(Switched.Id(below, here))
        for name, value in registers.items():
            like = pending.read_register(name).type
            info.add_saved_register(name, gdb.Value(value).cast(like))
        return info


unwinder = Switched()
gdb.unwinder.register_unwinder(None, unwinder, replace=True)


def saved_context(task):
    """pc, sp and registers, as context_switch left them on the stack."""
    sp = int(task.value["sp"])
    stack = task.value["stack"]
    if not int(stack) or not int(stack["limit"]) <= sp < int(stack["top"]):
        raise gdb.GdbError("The task's stack is being switched just now.")
    arch = gdb.newest_frame().architecture().name()
    words = struct.unpack("<4Q", read(sp, 32))
    if not any(words):
        raise gdb.GdbError("The core file has no memory of the task's stack: "
                           "see docs/debugging.md.")
    if "x86-64" in arch:
        return words[2], sp + 24, {"rbx": words[0], "rbp": words[1],
                                   "rip": words[2], "rsp": sp + 24}
    if "aarch64" in arch:
        return words[1], sp + 32, {"x29": words[0], "x19": words[2],
                                   "pc": words[1], "sp": sp + 32}
    raise gdb.GdbError("No context switch is known for %s." % arch)


def depth_of(pc):
    """How many frames are in front of the task's own."""
    frame, n = gdb.newest_frame(), 0
    while frame is not None and n < FRAMES_MAX:
        if frame.pc() == pc:
            return n
        frame, n = frame.older(), n + 1
    raise gdb.GdbError("The task's frames could not be reached.")


def suspended_backtrace(world, task, count, words):
    """gdb's own backtrace, from the task's context on."""
    with Kept():
        for rt in world.runtimes:  # not main's thread: gdb stops at main
            for w in rt.workers:
                if w.thread is not None:
                    w.thread.switch()
        pc, sp, context = saved_context(task)
        real = gdb.newest_frame()
        try:
            saved = register(real, "sp"), register(real, "pc"), sp, context
            gdb.invalidate_cached_frames()
            unwinder.saved = saved
            skip = depth_of(pc)
            limit = [] if count is None else [str(count + skip)]
            out = gdb.execute(" ".join(["backtrace"] + words + limit),
                              to_string=True)
        finally:
            unwinder.saved = None
            gdb.invalidate_cached_frames()
    return renumbered(out, skip)


def renumbered(out, skip):
    """Without the first `skip` frames."""
    lines, number = [], -1
    for line in out.splitlines():
        match = re.match(r"#(\d+) +", line)
        if match:
            number = int(match.group(1)) - skip
            line = "#%-3d" % number + line[match.end():]
        if number >= 0:
            lines.append(line)
    return "\n".join(lines) + "\n"


# ---- commands ---------------------------------------------------------------


def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(c.ljust(w) for c, w in zip(row, widths))
        gdb.write(line.rstrip() + "\n")


def need_runtimes(world):
    if not world.runtimes:
        raise gdb.GdbError("No runtime is open, or the library has no debug "
                           "information (-g).")


class Weft(gdb.Command):
    """Tasks, workers and runtimes of weft."""

    def __init__(self):
        super().__init__("weft", gdb.COMMAND_DATA, prefix=True)


class Runtimes(gdb.Command):
    """weft runtimes: the runtimes of the process."""

    def __init__(self):
        super().__init__("weft runtimes", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        world = World()
        need_runtimes(world)
        rows = [("RT", "ADDRESS", "STATE", "WORKERS", "TASKS", "STACKS")]
        for rt in world.runtimes:
            tasks = sum(t.runtime is rt for t in world.tasks())
            rows.append((str(rt.number), "%#x" % rt.address, rt.state(),
                         str(len(rt.workers)), str(tasks),
                         str(int(rt.value["stacks"]["mapped"]))))
        table(rows)


class Workers(gdb.Command):
    """weft workers: thread, task and counters of each worker."""

    def __init__(self):
        super().__init__("weft workers", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        world = World()
        need_runtimes(world)
        rows = [("RT", "WORKER", "THREAD", "STATE", "TASK", "NAME", "STARTED",
                 "SWITCHES", "STEALS")]
        for rt in world.runtimes:
            for w in rt.workers:
                task = world.find_task(w.current) if w.current else None
                state = "runs" if w.current else \
                    "asleep" if w.is_asleep() else "looks"
                rows.append((
                    str(rt.number), str(w.index), w.thread_text(), state,
                    "%#x" % w.current if w.current else "-",
                    task.name if task else "-",
                    str(int(w.value["tick"])), str(int(w.value["switches"])),
                    str(int(w.value["steals"]))))
        table(rows)


class Tasks(gdb.Command):
    """weft tasks: every task that has not ended."""

    def __init__(self):
        super().__init__("weft tasks", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        world = World()
        need_runtimes(world)
        rows = [("RT", "TASK", "NAME", "STATE", "WORKER", "WAITS IN",
                 "WAITS FOR", "SINCE", "SPAWNED AT")]
        for t in world.tasks():
            rows.append((
                str(t.runtime.number), "%#x" % t.address, t.name, t.state,
                str(t.worker.index) if t.worker else "-",
                t.why or "-" if t.state != "running" else "-",
                t.awaited_text(), t.since(), t.site))
        table(rows)


class Stack(gdb.Command):
    """weft stack TASK [N] [full]: the backtrace of a task, by name or address.

N: that many frames. full: with local variables."""

    def __init__(self):
        super().__init__("weft stack", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        argv = gdb.string_to_argv(argument)
        if not argv:
            raise gdb.GdbError("Which task? `weft tasks` lists them.")
        world = World()
        need_runtimes(world)
        task = world.named(argv[0])
        count, words = None, []
        for word in argv[1:]:
            if word.lstrip("-").isdigit():
                count = int(word)
            else:
                words.append(word)
        gdb.write("task %s %#x (spawned at %s): %s%s\n" % (
            task.name, task.address, task.site, task.state,
            " in " + task.why if task.state == "waiting" and task.why else ""))
        self.show(world, task, count, words)

    def show(self, world, task, count, words):
        if task.state == "new":
            gdb.write("It has not started: it has no stack.\n")
            return
        if task.state in ("waiting", "ready"):
            gdb.write(suspended_backtrace(world, task, count, words))
            return
        top = task.top_task()
        if top is None:
            gdb.write("It stands beneath a task that it runs itself.\n")
            return
        if top is not task:
            gdb.write("It stands beneath task %s %#x, which it runs itself.\n"
                      % (top.name, top.address))
        if top.worker is None or top.worker.thread is None:
            if top.state in ("waiting", "ready"):
                gdb.write(suspended_backtrace(world, top, count, words))
            return
        gdb.write("On worker %d, thread %s:\n" % (top.worker.index,
                                                 top.worker.thread_text()))
        limit = [] if count is None else [str(count)]
        with Kept():
            top.worker.thread.switch()
            gdb.execute(" ".join(["backtrace"] + words + limit))


Weft()
Runtimes()
Workers()
Tasks()
Stack()
