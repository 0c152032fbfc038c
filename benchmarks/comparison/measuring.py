# SPDX-License-Identifier: MIT
"""The rounds: one row at one number of threads (a cell), all peers in turns in
an order that changes with each round, within the time that the cell has."""
import dataclasses
import random
import time

from . import numbers, peers, rows, verdicts

# A process that takes longer is dropped from the row.
LIMIT = {False: 20.0, True: 5.0}
# A peer whose full size would take longer runs at the row's small size.
LONG = {False: 2.5, True: 0.2}


@dataclasses.dataclass
class Cell:
    row: rows.Row
    threads: int

    @property
    def name(self):
        return self.row.key + verdicts.at(self.threads)


@dataclasses.dataclass
class Entry:
    """What one peer did in one cell."""
    size: int
    state: str = "ok"       # ok, wrong, failed, slow, skipped
    why: str = ""
    runs: list = dataclasses.field(default_factory=list)
    values: list = dataclasses.field(default_factory=list)
    cost: float = 0.0       # seconds of the dearest process
    cores: float = 0.0      # processor seconds a second, the last process


class Meter:
    """Measures cells; keeps nothing but what was found slow."""

    def __init__(self, quick, wanted, deadline, seed=None, say=print):
        self.quick = quick
        self.wanted = wanted
        self.deadline = deadline
        self.random = random.Random(seed)
        self.say = say
        self.slow = {}          # (peer, row): threads at which it was
        self.sizes = {}         # (peer, row): size, where that is clear

    def limit(self, row, runs):
        """Seconds for a process: what it must sleep comes on top."""
        return LIMIT[self.quick] + (1 + runs) * row.asleep / 1e9

    def once(self, peer, cell, entry, size, runs, number):
        """A process of peer; false, and its state set, if it went wrong."""
        row = cell.row
        try:
            run = peers.run(peer, row.name, cell.threads, size, runs,
                            self.limit(row, runs))
        except peers.Failure as failure:
            entry.why = failure.why
            if failure.kind == "slow" and entry.values:
                entry.why = "round %d took %s" % (number, failure.why)
                return False        # once too late: what it has stands
            entry.state = failure.kind
            if failure.kind == "slow":
                self.slow[peer.name, row.key] = cell.threads
            return False
        for ns, answer, size_each in run.lines:
            entry.runs.append({"round": number, "size": size, "ns": ns,
                               "answer": answer, "bytes": size_each})
        if number:
            entry.cost = max(entry.cost, run.seconds)
            entry.cores = round(run.cpu / run.seconds, 2)
            entry.values.append(row.value(
                numbers.median([ns for ns, _, _ in run.lines]), size))
        return True

    def probe(self, peer, cell, entry):
        """The small size first: it tells whether the full one would last."""
        row, full = cell.row, cell.row.full(self.quick)
        if not row.small or row.units(row.small) >= row.units(full):
            return True
        key = (peer.name, row.key)
        if key in self.sizes:
            entry.size = self.sizes[key]
            return True
        if not self.once(peer, cell, entry, row.small, 1, 0):
            return False
        ns = max(entry.runs[-1]["ns"] - row.asleep, 0)
        ns = row.asleep + ns * row.units(full) / row.units(row.small)
        ns = (ns - row.asleep) / 1e9 / LONG[self.quick]
        if ns > 1:
            entry.size = row.small
        if ns > 1 or ns < 0.1:      # more threads will not change that
            self.sizes[key] = entry.size
        return True

    def smaller(self, cell, entry):
        """Was the full size too much for it after all?"""
        row = cell.row
        if entry.state != "slow" or not row.small or entry.size == row.small:
            return False
        entry.state, entry.why, entry.size = "ok", "", row.small
        return True

    def measure(self, cell, those, share):
        """{name: Entry} of the peers that have the row. On an interrupt what
        was measured is in the exception's `entries`."""
        entries = {}
        try:
            self.rounds(cell, those, share, entries)
        except KeyboardInterrupt as interrupt:
            interrupt.entries = self.judged(cell, entries)
            raise
        return self.judged(cell, entries)

    def rounds(self, cell, those, share, entries):
        started = time.monotonic()
        row = cell.row
        racing = []
        for peer in those:
            entry = entries[peer.name] = Entry(row.full(self.quick))
            before = self.slow.get((peer.name, row.key))
            if before:
                entry.state = "slow"
                entry.why = "over %g s with fewer threads%s" % (
                    LIMIT[self.quick], verdicts.at(before))
            else:
                racing.append(peer)
        self.random.shuffle(racing)
        racing = [peer for peer in racing
                  if self.probe(peer, cell, entries[peer.name])]

        plan = {peer.name: 1 for peer in racing}
        for number in range(1, self.wanted + 1):
            turn = [peer for peer in racing if plan[peer.name] >= number
                    and entries[peer.name].state == "ok"
                    and not entries[peer.name].why]
            if not turn or (number > 1 and time.monotonic() > self.deadline):
                break
            self.random.shuffle(turn)
            for peer in turn:
                entry = entries[peer.name]
                if not self.once(peer, cell, entry, entry.size, row.runs,
                                 number) and self.smaller(cell, entry):
                    self.sizes[peer.name, row.key] = entry.size
                    del self.slow[peer.name, row.key]
                    self.once(peer, cell, entry, entry.size, row.runs, number)
            if number == 1:
                spent = time.monotonic() - started
                costs = {name: entry.cost for name, entry in entries.items()
                         if entry.state == "ok"}
                plan = numbers.rounds_for(
                    costs, max(share - spent + sum(costs.values()), 0),
                    self.wanted)
                plan = {peer.name: plan.get(peer.name, 0) for peer in racing}

    def judged(self, cell, entries):
        """Marks wrong whose answers are not the known ones; where none is
        known, those that differ from the majority."""
        sizes = {run["size"] for entry in entries.values()
                 for run in entry.runs}
        for size in sorted(sizes):
            given = {name: {run["answer"] for run in entry.runs
                            if run["size"] == size}
                     for name, entry in entries.items()}
            right = rows.answer_of(cell.row, size, cell.threads)
            if right is None:
                right = numbers.majority(
                    {name: min(answers) for name, answers in given.items()
                     if len(answers) == 1})
            for name, answers in given.items():
                if not answers or answers == {right} \
                        or entries[name].state == "wrong":
                    continue
                entries[name].state = "wrong"
                if right is None:
                    entries[name].why = "the peers disagree and none is in " \
                        "the majority: %s" % min(answers)
                else:
                    entries[name].why = "answers %s, not %d, at size %d" % (
                        " and ".join(map(str, sorted(answers)[:3])), right,
                        size)
        return entries


def derived(row, entries):
    """The entries of a row that reads another column of the same runs."""
    read = {}
    for name, entry in entries.items():
        found = dataclasses.replace(entry, runs=[], values=[])
        if entry.state == "ok":
            byround = {}
            for run in entry.runs:
                if run["round"] and run["bytes"] is not None:
                    byround.setdefault(run["round"], []).append(run["bytes"])
            found.values = [row.value(numbers.median(each), entry.size)
                            for each in byround.values()]
            if not found.values:
                continue
        read[name] = found
    return read
