# SPDX-License-Identifier: MIT
"""The rows: what is measured, at which size, in which unit, and what weft's
developers want of it. The programs' contract is in ../peers; the answers here
are known from elsewhere: formulas, or a plain sequential program."""
import dataclasses
import typing

FORK = "fork-join"
TASKS = "tasks"

# Shown for orientation; no scheduler, so no rival and in no goal.
REFERENCE = "sequential"
SUBJECT = "weft"


@dataclasses.dataclass(frozen=True)
class Goal:
    """weft's time is at most `ratio` of the best of `peers` (all if empty);
    a peer's name stands for its variants, too: openmp for openmp-gcc."""
    ratio: float
    peers: tuple = ()
    strict: bool = False

    def text(self):
        of = " or ".join(self.peers) if self.peers else "the best"
        return "%s %g x %s" % ("<" if self.strict else "\u2264", self.ratio, of)


@dataclasses.dataclass(frozen=True)
class Row:
    """`units(size)` is what a program's ns are divided by. A peer for which
    the full size would take too long runs at `small`, where a row has one:
    only rows whose work per unit is the same at both have one."""
    key: str
    title: str
    group: str
    unit: str
    units: typing.Callable
    size: int
    quick: int
    small: typing.Optional[int] = None
    program: str = ""
    goals: tuple = ()
    answer: typing.Optional[typing.Callable] = None
    runs: int = 1           # timed runs a process; their median is its value
    asleep: int = 0         # ns of it that are sleep, taken off
    column: str = "ns"      # or "bytes"
    source: str = ""        # the row whose runs this one reads

    @property
    def name(self):
        return self.program or self.key

    def label(self, quick):
        return self.title.format(human(self.full(quick)))

    def full(self, quick):
        return self.quick if quick else self.size

    def value(self, number, size):
        """A number that a program printed, in the row's unit."""
        if self.column == "bytes":
            return float(number)
        return max(number - self.asleep, 0) / self.units(size)

    def known(self, size):
        """The right answer, None where nobody told."""
        return self.answer(size) if self.answer else None


def fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def fib_calls(n):
    return 2 * fibonacci(n + 1) - 1


def listed(**known):
    """A function of the sizes that are known: s10=724 is size 10."""
    table = {int(size[1:]): answer for size, answer in known.items()}
    return table.get


def ms(_size):
    return 1e6


def us(_size):
    return 1e3


def each(size):
    return float(size)


def each_of_two(size):
    """Two tasks a thread: of a thread's time, not of the clock's."""
    return 2.0 * size


def human(size):
    """10000000 as 10 M; four digits stand as they are."""
    if size >= 10**6 and size % 10**6 == 0:
        return "%d M" % (size // 10**6)
    if size >= 10**4:
        return "{:,}".format(size).replace(",", " ")
    return str(size)


def triangle(n):
    return n * (n - 1) // 2


uts_nodes = listed(s19=2923065, s29=73937)
integrate_calls = listed(s100=779923, s1000=15016391, s2000=38322307)
even = listed(s1000=1704153911042382411, s10000=8175432772053601121,
              s100000=8728780135573253412)

BEST = (Goal(1.1),)
TASK = (Goal(1.0, strict=True),)

ROWS = (
    Row("fib", "fib({})", FORK, "ns/call", fib_calls, 36, 30, small=24,
        goals=(Goal(1.0, ("lace",)), Goal(0.25, ("rayon",)),
               Goal(0.15, ("libfork",))), answer=fibonacci),
    Row("skynet", "skynet, {} leaves", FORK, "ns/leaf", each,
        10**8, 10**7, small=10**6,
        goals=(Goal(0.5, ("libfork", "citor", "toomanycooks")),),
        answer=triangle),
    Row("nqueens", "nqueens({})", FORK, "ms", ms, 14, 11,
        goals=(Goal(1.0, ("libfork", "citor", "toomanycooks", "lace")),),
        answer=listed(s10=724, s11=2680, s12=14200, s13=73712, s14=365596)),
    Row("integrate", "integrate, to {}", FORK, "ns/call", integrate_calls,
        2000, 1000, small=100, goals=BEST,
        answer=listed(s100=250050000, s1000=2500005000000,
                      s2000=40000020000000)),
    Row("uts", "unbalanced tree", FORK, "ns/node", uts_nodes,
        19, 19, small=29, goals=BEST, answer=uts_nodes, runs=3),
    Row("cilksort", "cilksort, {}", FORK, "ms", ms, 10**7, 10**6, goals=BEST,
        answer=listed(s1000000=2147485726211841, s10000000=21474846412863369)),
    Row("matmul", "matmul, {}\u00b2", FORK, "ms", ms, 1024, 512,
        goals=(Goal(1.05),), answer=listed(s512=45145, s1024=140982)),
    Row("heat", "heat, {}\u00b2", FORK, "ms", ms, 1024, 512, goals=BEST,
        answer=listed(s512=1666876, s1024=6710994)),
    Row("for_tiny", "for, {} even items of 1 us", FORK, "us", us, 1000, 1000,
        program="for_even", goals=(Goal(1.0, ("tbb", "openmp")),), answer=even,
        runs=20),
    Row("for_even", "for, {} even items of 1 us", FORK, "ms", ms,
        10**5, 10**4, answer=even, runs=2),
    Row("for_skewed", "for, {} skewed items", FORK, "ms", ms,
        10**5, 10**4, runs=2,
        answer=listed(s10000=7663418296218604266,
                      s100000=7344967714921014039)),
    Row("for_fine", "for, {} items of 2 ns", FORK, "ns/item", each,
        10**7, 10**6, runs=5,
        answer=listed(s1000000=7518401411614581038,
                      s10000000=1720402465737150577)),
    Row("reduce", "reduce, {}", FORK, "ns/item", each, 10**8, 10**7,
        runs=2, answer=listed(s10000000=215603489714839495,
                              s100000000=7684085585688235528)),

    Row("spawn", "spawn and join, batches of 10 000", TASKS, "ns/task", each,
        10**6, 10**5, small=10**5, goals=TASK, answer=triangle, runs=2),
    Row("spawn_one", "spawn and join, one at a time", TASKS, "ns/task", each,
        10**6, 10**5, small=10**5, goals=TASK, answer=triangle, runs=2),
    Row("skynet_tasks", "skynet of tasks, {} leaves", TASKS, "ns/leaf", each,
        10**6, 10**5, small=10**5, goals=TASK, answer=triangle, runs=2),
    Row("pingpong", "ping-pong over two queues", TASKS, "ns/round", each,
        10**6, 10**5, small=10**5, goals=TASK, answer=int, runs=2),
    Row("ring", "token around 503 tasks", TASKS, "ns/pass", each,
        5 * 10**6, 10**5, small=10**5, goals=TASK,
        answer=lambda n: n % 503 + 1),
    Row("yield", "yield", TASKS, "ns/yield", each_of_two, 10**6, 10**5,
        small=10**5, goals=TASK, runs=2),
    Row("mpmc", "queue of 128, 4 to 4 tasks", TASKS, "ns/item", each,
        10**6, 10**5, small=10**5, goals=TASK, answer=triangle, runs=2),
    Row("mutex", "mutex, 8 tasks", TASKS, "ns/lock", each, 10**6, 10**5,
        small=10**5, goals=TASK, answer=int, runs=2),
    Row("timeouts", "time-out around a yield", TASKS, "ns/time-out", each,
        10**6, 10**5, small=10**5, goals=TASK, answer=int, runs=2),
    Row("sleepers", "{} sleepers, less their second", TASKS, "ns/task", each,
        10**6, 10**5, small=10**5, goals=TASK, answer=int, asleep=10**9),
    Row("sleeper_bytes", "memory of a sleeper", TASKS, "bytes", each,
        10**6, 10**5, small=10**5, program="sleepers", goals=TASK, answer=int,
        column="bytes", source="sleepers"),
)

# The yields of all tasks count; each of two tasks a thread does SIZE of them.
YIELDERS = 2


def answer_of(row, size, threads):
    if row.key == "yield":
        return YIELDERS * threads * size
    return row.known(size)


def chosen(names):
    """The rows whose key, or whose program's row, is among the names."""
    if not names:
        return list(ROWS)
    unknown = set(names) - {row.key for row in ROWS} \
        - {row.name for row in ROWS}
    if unknown:
        raise ValueError("no such row: " + ", ".join(sorted(unknown)))
    picked = {row.key for row in ROWS if {row.key, row.name} & set(names)}
    picked |= {row.source for row in ROWS if row.key in picked and row.source}
    return [row for row in ROWS if row.key in picked]


ABOUT = {
    "fib": "Every node forks one call, calls the other and joins; no cut-off: "
           "the price of a fork.",
    "skynet": "A tree with ten children a node, each forked; the leaves' "
              "numbers are added.",
    "nqueens": "All solutions counted; every safe placement is a child with "
               "a board of its own.",
    "integrate": "Adaptive integration by halves until the area no longer "
                 "changes.",
    "uts": "The nodes of a tree whose shape only its hashes tell: deep, thin "
           "branches, found by stealing.",
    "cilksort": "Merge sort with parallel merges, sequential below 2048.",
    "matmul": "Recursive quadrants down to blocks of 64\u00b2, all by the same "
              "kernel.",
    "heat": "Jacobi steps, each a parallel loop over the rows of the grid.",
    "for_tiny": "A loop so short that waking a second thread hardly pays.",
    "for_even": "A loop of equal items.",
    "for_skewed": "A loop whose first eighth is forty times dearer.",
    "for_fine": "A loop whose items cost next to nothing: the price of the "
                "loop itself.",
    "reduce": "A parallel sum of hashes.",
    "spawn": "All tasks of a batch are spawned, then joined.",
    "spawn_one": "Each task is awaited before the next is spawned.",
    "skynet_tasks": "skynet with tasks that could wait, results by join or "
                    "channel.",
    "pingpong": "A counter there and back between two tasks.",
    "ring": "One token, one task awake at a time.",
    "yield": "Two tasks a thread do nothing but yield; a thread's time by a "
             "yield.",
    "mpmc": "Four producers and four consumers at one bounded queue.",
    "mutex": "Lock, add one, unlock.",
    "timeouts": "A time-out of ten seconds is entered and left; none comes.",
    "sleepers": "All tasks sleep the same second; what the whole took beyond "
                "it.",
    "sleeper_bytes": "Growth of resident memory by task while all sleep.",
}
