# SPDX-License-Identifier: MIT
"""benchmarks/compare: builds all, measures all, says all."""
import argparse
import json
import os
import random
import signal
import sys
import time

from . import (charts, machine, markdown, measuring, network, numbers, page,
               peers, rows, verdicts)

# Seconds of the whole without the installing of packages, and of these for
# the network's rows; at least `measuring` go to the others, however long the
# building took.
TIME = {False: {"all": 2300, "network": 480, "measuring": 600},
        True: {"all": 275, "network": 70, "measuring": 110}}
NETWORK = "network"     # all its rows, to --rows
ROUNDS = {False: 7, True: 3}


def say(text=""):
    print(text, flush=True)


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="benchmarks/compare",
        description="weft and its peers on the same work in one run.")
    many = lambda text: [each for each in text.split(",") if each]
    parser.add_argument("--quick", action="store_true",
                        help="smaller sizes, under five minutes: enough to "
                        "see that all works, not to quote")
    parser.add_argument("--rows", type=many, default=[], metavar="NAME,..",
                        help="see --list; network: all rows of the network")
    parser.add_argument("--peers", type=many, default=[], metavar="NAME,..",
                        help="these beside weft; default: all")
    parser.add_argument("--threads", type=many, default=[], metavar="1,2,..",
                        help="default: 1 and the number of cores")
    parser.add_argument("--runs", type=int, default=0, metavar="R",
                        help="rounds at most; default 7, with --quick 3")
    parser.add_argument("--minutes", type=float, default=0, metavar="M",
                        help="time for all; default 38, with --quick 4.6")
    parser.add_argument("--out", default="", metavar="DIR",
                        help="default build/compare/report")
    parser.add_argument("--no-install", action="store_true",
                        help="do not ask apt-get for the peers' packages")
    parser.add_argument("--no-network", action="store_true")
    parser.add_argument("--results", action="store_true",
                        help="put the tables into benchmarks/RESULTS.md")
    parser.add_argument("--from", dest="source", default="", metavar="FILE",
                        help="measure nothing: report again from compare.json")
    parser.add_argument("--list", action="store_true",
                        help="name the rows and the peers, and end")
    options = parser.parse_args(argv)
    cores = len(os.sched_getaffinity(0))
    try:
        options.threads = sorted({int(each) for each in options.threads}
                                 or {1, cores})
    except ValueError:
        parser.error("--threads wants numbers")
    if options.threads[0] < 1 or options.runs < 0:
        parser.error("numbers of threads and runs are 1 or more")
    if options.rows and NETWORK not in options.rows:
        options.no_network = True
    try:
        names = [name for name in options.rows if name != NETWORK]
        options.rows = rows.chosen(names) if names or not options.rows else []
    except ValueError as error:
        parser.error(str(error))
    options.runs = options.runs or ROUNDS[options.quick]
    return options


def chosen_peers(folder, out, names):
    found = peers.find(folder, out)
    unknown = set(names) - {peer.name for peer in found} - {
        peer.name for peer in peers.find(folder, out, "build-server")}
    if unknown:
        raise SystemExit("benchmarks/compare: no such peer: "
                         + ", ".join(sorted(unknown)))
    return [peer for peer in found
            if not names or peer.name in names or peer.name == rows.SUBJECT]


def list_all(options, those):
    for row in options.rows:
        goal = "; goal: " + ", ".join(each.text() for each in row.goals) \
            if row.goals else ""
        say("%-14s %-10s %s, %s%s" % (row.key, row.group,
                                      row.label(options.quick), row.unit, goal))
    say()
    for peer in those:
        say("%-14s %s" % (peer.name, " ".join(peer.packages())))


# --- building ----------------------------------------------------------------


def install(those, notes):
    """Asks apt-get for what the peers' `packages` name and is not there."""
    wanted = sorted({name for peer in those for name in peer.packages()})
    absent = peers.missing(wanted)
    if not absent:
        return
    say("installing %s" % " ".join(absent))
    why = peers.install(absent)
    if not why:
        return
    # One name that is not there fails them all: ask for each peer's alone.
    for peer in those:
        absent = peers.missing(peer.packages())
        why = peers.install(absent) if absent else None
        if why:
            notes.append("packages of %s: %s" % (peer.name, why))
            say(notes[-1])


def build_peers(those):
    for peer in those:
        peers.build(peer)
        what = peer.version or "no version" if peer.state == "ready" \
            else peer.state + ": " + peer.why
        say("peer %-14s %s (%.0f s)" % (peer.name, what, peer.seconds))
        for line in peer.log:
            say("    " + line)


# --- measuring ---------------------------------------------------------------


def cells_of(options):
    """Fork-join rows at every number of threads, then the tasks; in a quick
    run the tasks at the last number only."""
    found = []
    for group in (rows.FORK, rows.TASKS):
        threads = options.threads
        if group == rows.TASKS and options.quick:
            threads = threads[-1:]
        found += [measuring.Cell(row, n) for n in threads
                  for row in options.rows
                  if row.group == group and not row.source]
    return found


def recorded(cell, row, entries, quick):
    results = {}
    for name, entry in entries.items():
        results[name] = {
            "state": entry.state, "why": entry.why, "size": entry.size,
            "full": row.full(quick), "cores": entry.cores,
            "values": entry.values, "runs": entry.runs}
    return verdicts.finish({
        "row": row.key, "title": row.label(quick), "unit": row.unit,
        "group": row.group, "threads": cell.threads,
        "derived": bool(row.source), "higher_is_better": False,
        "rounds": max((len(e.values) for e in entries.values()), default=0),
        "results": results}, row.goals)


def progress(record_cell, number, total, seconds):
    figures = []
    for name in verdicts.columns([record_cell]):
        result = record_cell["results"][name]
        figures.append("%s %s" % (name, numbers.show(
            result["stats"]["median"]) if result["stats"]
            else result["state"] if result["why"] else "-"))
    where = record_cell["row"]
    if record_cell["threads"]:
        where += ", %d thr" % record_cell["threads"]
    say("[%*d/%d] %s: %s %s (%d rounds, %.0f s)" % (
        len(str(total)), number, total, where, ", ".join(figures),
        record_cell["unit"], record_cell["rounds"], seconds))


def measure(options, those, record, deadline):
    plan = cells_of(options)
    meter = measuring.Meter(options.quick, options.runs, deadline,
                            record["seed"])
    for number, cell in enumerate(plan):
        racing = [peer for peer in those if peer.state == "ready"
                  and cell.row.name in peer.rows]
        if not racing:
            continue
        started = time.monotonic()
        if started >= deadline:
            record["notes"].append("out of time: not measured: " + ", ".join(
                each.name for each in plan[number:]))
            return
        share = (deadline - started) / (len(plan) - number)
        interrupt = None
        try:
            entries = meter.measure(cell, racing, share)
        except KeyboardInterrupt as caught:
            interrupt, entries = caught, getattr(caught, "entries", {})
        for row in [cell.row] + [row for row in options.rows
                                 if row.source == cell.row.key]:
            read = measuring.derived(row, entries) if row.source else entries
            if not read:
                continue
            record["cells"].append(recorded(cell, row, read, options.quick))
            progress(record["cells"][-1], number + 1, len(plan),
                     time.monotonic() - started)
        if interrupt:
            raise interrupt


class Servers:
    """The network rows, by benchmarks/network, where that is wanted."""

    def __init__(self, options, root, build):
        self.options = options
        self.program = os.path.join(root, "benchmarks", "network")
        self.build_in = os.path.join(build, "servers")
        self.wanted = not options.no_network \
            and os.access(self.program, os.X_OK)
        self.more = []
        if options.peers:
            there = [peer.name for peer in peers.find(
                os.path.join(root, "benchmarks", "peers"), "", "build-server")
                if peer.name in options.peers + [rows.SUBJECT]]
            self.more = ["--peers", ",".join(there)]
            self.wanted = self.wanted and len(there) > 0

    def build(self):
        if self.wanted:
            os.makedirs(self.build_in, exist_ok=True)
            say("building the servers of the network rows")
            install = not self.options.no_install and os.geteuid() == 0
            network.run([self.program, "--build", self.build_in,
                         "--build-only"] + ["--install"] * install
                        + self.more, peers.BUILD_SECONDS)

    def measure(self, record, seconds):
        if not self.wanted:
            return
        say("network rows, %.0f s" % seconds)
        found, why = network.measure(self.program, self.build_in,
                                     self.options.out, self.options.quick,
                                     seconds, self.more)
        if why:
            record["notes"].append(why)
            say(why)
        for number, cell in enumerate(found):
            record["cells"].append(verdicts.finish(cell))
            progress(cell, number + 1, len(found), 0)


# --- reporting ---------------------------------------------------------------


def write(record, out):
    """Every file of the report."""
    texts = {"compare.json": json.dumps(record, indent=1) + "\n",
             "compare.md": markdown.report(record),
             "index.html": page.report(record)}
    texts.update(charts.files(record))
    os.makedirs(out, exist_ok=True)
    for name, text in texts.items():
        temporary = os.path.join(out, name + ".new")
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, os.path.join(out, name))


def into_results(root, record):
    path = os.path.join(root, "benchmarks", "RESULTS.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    text = markdown.replace(text, markdown.report(record))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def report(options, root, record):
    write(record, options.out)
    say()
    say(markdown.report(record))
    say("written: %s/index.html, compare.md, compare.json and charts"
        % options.out)
    if not options.results:
        return 0
    try:
        into_results(root, record)
        say("written: benchmarks/RESULTS.md")
        return 0
    except (OSError, ValueError) as error:
        say("benchmarks/RESULTS.md: %s" % error)
        return 1


def stamp():
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())


def new_record(options):
    return {"format": 1, "started": stamp(), "finished": None,
            "interrupted": False, "seed": random.SystemRandom().getrandbits(32),
            "options": {"quick": options.quick, "runs": options.runs,
                        "threads": options.threads,
                        "rows": [row.key for row in options.rows]},
            "flags": "-O3 -ffp-contract=off for C and C++, nothing native",
            "machine": machine.describe(), "load_start": machine.load(),
            "load_end": None, "others": None,
            "peers": {}, "cells": [], "notes": []}


def run_all(options, root, build, those, record):
    if not options.no_install and os.geteuid() == 0:
        install(those if options.no_network or options.peers else peers.find(
            os.path.join(root, "benchmarks", "peers"), "", "packages"),
            record["notes"])
    budget = TIME[options.quick]
    total = options.minutes * 60 or budget["all"]
    end = time.monotonic() + total
    servers = Servers(options, root, build)
    build_peers(those)
    servers.build()
    for peer in those:
        record["peers"][peer.name] = {
            "state": peer.state, "why": peer.why, "version": peer.version,
            "rows": list(peer.rows), "build_seconds": round(peer.seconds, 1),
            "log": list(peer.log)}
    reserve = min(budget["network"], total / 4) if servers.wanted else 0
    now = time.monotonic()
    least = min(budget["measuring"], total / 2)
    others = machine.Others()
    try:
        measure(options, those, record, max(end - reserve, now + least))
    finally:
        record["others"] = others.told()
    servers.measure(record, max(end - time.monotonic(), reserve))


def interrupted(_number, _frame):
    raise KeyboardInterrupt


def main(argv, root):
    options = arguments(argv)
    build = os.path.join(root, "build", "compare")
    options.out = os.path.abspath(options.out
                                  or os.path.join(build, "report"))
    if options.source:
        with open(options.source, encoding="utf-8") as file:
            return report(options, root, json.load(file))
    those = chosen_peers(os.path.join(root, "benchmarks", "peers"),
                         os.path.join(build, "peers"), options.peers)
    if options.list:
        list_all(options, those)
        return 0
    os.makedirs(options.out, exist_ok=True)
    signal.signal(signal.SIGTERM, interrupted)
    record = new_record(options)
    try:
        run_all(options, root, build, those, record)
    except KeyboardInterrupt:
        record["interrupted"] = True
        say("\ninterrupted: what there is follows")
    record["finished"] = stamp()
    record["load_end"] = machine.load()
    status = report(options, root, record)
    if record["interrupted"]:
        return 130
    return 1 if verdicts.bad(record) else status


if __name__ == "__main__":
    sys.exit("run benchmarks/compare")
