#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""benchmarks/compare: its arithmetic, the lines it replaces in RESULTS.md, and
whole runs over peers that work, lie, crash, hang, print rubbish or are not
there. The peers are shell scripts, in a tree of their own."""
import contextlib
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import xml.dom.minidom

sys.dont_write_bytecode = True
SOURCE = pathlib.Path(os.environ.get("WEFT_SOURCE")
                      or pathlib.Path(__file__).resolve().parents[2])
sys.path.insert(0, str(SOURCE / "benchmarks"))

from comparison import (  # noqa: E402
    command, markdown, measuring, network, numbers, peers, rows, verdicts)

# What a peer is: $2 threads, $3 size, $4 runs; NS is the time it claims.
PEER = """#!/bin/sh
case $1 in
list) echo fib; echo mutex; echo sleepers; exit ;;
version) echo "%(name)s 1.2"; exit ;;
esac
case $1 in
fib) case $3 in 30) a=832040 ;; 24) a=46368 ;; *) a=0 ;; esac ;;
*) a=$3 ;;
esac
ns=%(ns)s
%(body)s
for i in $(seq $4); do
    if [ $1 = sleepers ]; then echo $((ns + 1000000000)) $a 4000
    else echo $ns $a; fi
done
"""


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Tree:
    """A source tree with nothing but peers."""

    def __init__(self, at):
        self.root = pathlib.Path(at)
        self.out = self.root / "out"
        (self.root / "benchmarks").mkdir()

    def peer(self, name, ns=1000000, body="", build=None):
        text = PEER % {"name": name, "ns": ns, "body": body}
        self.build(name, build or "cat >$1/peer <<'END'\n%s\nEND\n"
                   "chmod +x $1/peer" % text)

    def build(self, name, text):
        script(self.root / "benchmarks" / "peers" / name / "build",
               "#!/bin/sh\n%s\n" % text)

    def run(self, *more):
        """(status, output, record)"""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            status = command.main(
                ["--quick", "--no-install", "--out", str(self.out),
                 "--runs", "3", *more], str(self.root))
        record = json.loads((self.out / "compare.json").read_text())
        return status, said.getvalue(), record


class Runs(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.tree = Tree(place.name)
        limits = dict(measuring.LIMIT)
        self.addCleanup(measuring.LIMIT.update, limits)
        measuring.LIMIT.update({True: 1.5})

    def cell(self, record, row, threads):
        return next(cell for cell in record["cells"]
                    if (cell["row"], cell["threads"]) == (row, threads))

    def well_formed(self):
        charts = sorted(self.tree.out.glob("*.svg"))
        for chart in charts:
            xml.dom.minidom.parse(str(chart))
        text = (self.tree.out / "index.html").read_text()
        self.assertNotIn("src=", text)
        self.assertNotIn("href=", text)
        self.assertNotIn("url(", text)
        for tag in ("div", "table", "tr", "th", "td", "svg", "ul", "p"):
            self.assertEqual(text.count("<%s>" % tag)
                             + text.count("<%s " % tag),
                             text.count("</%s>" % tag), tag)
        return [chart.name for chart in charts]

    def test_weft_alone(self):
        self.tree.peer("weft")
        status, said, record = self.tree.run("--rows", "fib",
                                             "--threads", "1,2")
        self.assertEqual(status, 0, said)
        self.assertIn("no one to compare with", said)
        self.assertIn("scaling.svg", self.well_formed())

    def test_ratios_goals_and_files(self):
        self.tree.peer("weft", 2000000)
        self.tree.peer("lace", 1000000)         # weft misses its goal
        self.tree.peer("rayon", 9000000)        # and meets this one
        self.tree.peer("sequential", 1000)
        status, said, record = self.tree.run("--threads", "1")
        self.assertEqual(status, 0, said)
        fib = self.cell(record, "fib", 1)
        self.assertEqual(fib["best"], "lace")
        self.assertAlmostEqual(fib["results"]["lace"]["ratio"], 0.5)
        self.assertAlmostEqual(fib["results"]["rayon"]["ratio"], 4.5)
        self.assertEqual([goal["met"] for goal in fib["goals"]],
                         [False, True, None])
        self.assertEqual(len(fib["results"]["lace"]["values"]), 3)
        self.assertAlmostEqual(fib["results"]["weft"]["values"][0],
                               2e6 / 2692537)
        size = self.cell(record, "sleeper_bytes", 1)
        self.assertEqual(size["results"]["weft"]["values"], [4000.0] * 3)
        asleep = self.cell(record, "sleepers", 1)
        self.assertAlmostEqual(asleep["results"]["lace"]["values"][0], 10.0)
        self.assertIn("lace takes 0.50 of weft's time", said)
        self.assertEqual(self.well_formed(), ["fork-join-1-thread.svg",
                                              "tasks-1-thread.svg"])

    def test_peers_that_go_wrong(self):
        self.tree.peer("weft")
        self.tree.peer("good", 3000000)
        self.tree.peer("liar", body="a=7")
        self.tree.peer("crasher", body="kill -SEGV $$")
        self.tree.peer("hanger", body="sleep 60 & sleep 60")
        self.tree.peer("rubbish", body="echo hello")
        self.tree.peer("nothing", body="exit 0")
        self.tree.build("absent", "echo 'no such thing (libno-dev)'; exit 77")
        self.tree.build("broken", "echo 'undefined reference' >&2; exit 2")
        started = time.monotonic()
        status, said, record = self.tree.run("--rows", "fib",
                                             "--threads", "1,2")
        self.assertLess(time.monotonic() - started, 8)
        self.assertEqual(status, 1)
        states = {name: result["state"] for name, result
                  in self.cell(record, "fib", 1)["results"].items()}
        self.assertEqual(states, {
            "weft": "ok", "good": "ok", "liar": "wrong", "crasher": "failed",
            "hanger": "slow", "rubbish": "failed", "nothing": "failed"})
        for line in ("answers 7, not 46368", "killed by SIGSEGV",
                     "over 1.5 s with fewer threads, 1 thread", "printed 'hello'",
                     "printed 0 lines", "absent: not measured: no such thing "
                     "(libno-dev)", "undefined reference"):
            self.assertIn(line, said)
        self.assertEqual(self.cell(record, "fib", 1)["best"], "weft")
        self.well_formed()

    def test_a_slow_peer_runs_the_small_size(self):
        self.tree.peer("weft")
        self.tree.peer("snail", 900000000)      # it only says so
        status, said, record = self.tree.run("--rows", "mutex,fib",
                                             "--threads", "1")
        fib = self.cell(record, "fib", 1)["results"]
        self.assertEqual((fib["weft"]["size"], fib["snail"]["size"]), (30, 24))
        self.assertAlmostEqual(fib["snail"]["values"][0], 9e8 / 150049)
        self.assertEqual(status, 0, said)

    def test_an_interrupt_keeps_what_there_is(self):
        self.tree.peer("weft")
        self.tree.peer("waits", body='[ $1 = fib ] || '
                       '{ touch "%s/waiting"; sleep 60; }' % self.tree.root)
        program = SOURCE / "benchmarks" / "compare"
        child = subprocess.Popen(
            [sys.executable, "-c",
             "import sys; sys.dont_write_bytecode = True\n"
             "sys.path.insert(0, sys.argv[1])\n"
             "from comparison import command, measuring\n"
             "measuring.LIMIT[True] = 60\n"
             "sys.exit(command.main(sys.argv[3:], sys.argv[2]))",
             str(program.parent), str(self.tree.root), "--quick",
             "--no-install", "--rows", "fib,mutex", "--threads", "1", "--out",
             str(self.tree.out)], stdout=subprocess.PIPE)
        try:
            for _ in range(600):
                if (self.tree.root / "waiting").exists():
                    break
                time.sleep(0.01)
            child.send_signal(signal.SIGINT)
            said = child.communicate(timeout=8)[0].decode()
        finally:
            child.kill()
        self.assertEqual(child.returncode, 130, said)
        record = json.loads((self.tree.out / "compare.json").read_text())
        self.assertTrue(record["interrupted"])
        self.assertTrue(self.cell(record, "fib", 1)["results"]["weft"]["values"])

    def test_network_rows_and_results(self):
        self.tree.peer("weft")
        script(self.tree.root / "benchmarks" / "network",
               "#!/bin/sh\n[ $1 = --json ] || exit 0\ncat >$2 <<'END'\n"
               '[{"row": "plain", "title": "12 bytes", "unit": "req/s",'
               ' "higher_is_better": true, "results": {"weft": {"values":'
               ' [200, 220, 210]}, "nginx": {"values": [100, 110, 105]},'
               ' "gone": {"values": []}}}]\nEND\n')
        results = self.tree.root / "benchmarks" / "RESULTS.md"
        results.write_text("# Above\n\n%s\nold\n%s\n\nBelow\n"
                           % (markdown.BEGIN, markdown.END))
        status, said, record = self.tree.run("--rows", "fib,network",
                                             "--threads", "1", "--results")
        self.assertEqual(status, 0, said)
        cell = self.cell(record, "plain", None)
        self.assertAlmostEqual(cell["results"]["nginx"]["ratio"], 2.0)
        self.assertEqual(cell["best"], "weft")
        text = results.read_text()
        self.assertNotIn("\nold\n", text)
        self.assertIn("### Network", text)
        self.assertTrue(text.startswith("# Above") and text.endswith("Below\n"))
        again, said, _ = self.tree.run(
            "--from", str(self.tree.out / "compare.json"), "--results")
        self.assertEqual((again, results.read_text()), (0, text))


class Arithmetic(unittest.TestCase):
    def test_stats(self):
        self.assertEqual(numbers.median([3, 1, 2]), 2)
        self.assertEqual(numbers.median([4, 1, 2, 3]), 2.5)
        found = numbers.stats([10, 8, 12])
        self.assertEqual((found["min"], found["max"]), (8, 12))
        self.assertAlmostEqual(found["spread"], 0.4)
        self.assertIsNone(numbers.stats([]))
        self.assertIsNone(numbers.stats([5])["spread"])
        self.assertAlmostEqual(numbers.geometric_mean([0.5, 2, 8]), 2)

    def test_ratio_above_one_means_that_weft_is_faster(self):
        self.assertEqual(numbers.ratio(30, 10), 3)
        self.assertEqual(numbers.ratio(30, 60, higher_is_better=True), 2)
        self.assertIsNone(numbers.ratio(0, 10))

    def test_majority(self):
        self.assertEqual(numbers.majority({"a": 1, "b": 2, "c": 1}), 1)
        self.assertIsNone(numbers.majority({"a": 1, "b": 2}))
        self.assertEqual(numbers.majority({"a": 1}), 1)
        self.assertIsNone(numbers.majority({}))

    def test_rounds_go_to_the_cheap_first(self):
        costs = {"fast": 1, "slow": 10}
        self.assertEqual(numbers.rounds_for(costs, 100, 5),
                         {"fast": 5, "slow": 5})
        self.assertEqual(numbers.rounds_for(costs, 8, 5),
                         {"fast": 3, "slow": 1})
        self.assertEqual(numbers.rounds_for(costs, 0, 5),
                         {"fast": 1, "slow": 1})
        self.assertEqual(numbers.rounds_for({}, 5, 5), {})

    def test_units_and_answers(self):
        self.assertEqual(rows.fib_calls(30), 2692537)
        self.assertEqual(rows.fibonacci(36), 14930352)
        self.assertEqual(set(rows.ABOUT), {row.key for row in rows.ROWS})
        for row in rows.ROWS:
            for size in filter(None, (row.size, row.quick, row.small)):
                self.assertGreater(row.units(size), 0, row.key)
                self.assertIsNotNone(rows.answer_of(row, size, 2), row.key)
            if row.small:
                self.assertLessEqual(row.units(row.small),
                                     row.units(row.quick), row.key)
        ring = next(row for row in rows.ROWS if row.key == "ring")
        self.assertEqual(rows.answer_of(ring, 1000, 1), 498)

    def test_a_goal_names_variants(self):
        self.assertTrue(verdicts.is_variant("openmp-gcc", "openmp"))
        self.assertFalse(verdicts.is_variant("openmpi", "openmp"))

    def test_lines_of_a_program(self):
        self.assertEqual(peers.parse("12 -3\n5 6 7.5\n", 2),
                         [(12, -3, None), (5, 6, 7)])
        for text in ("", "12", "x 3", "1 2 3 4", "1 2\n1 2\n"):
            with self.assertRaises(peers.Failure):
                peers.parse(text, 1)

    def test_network_list_that_is_none(self):
        for rubbish in ({}, [1], [{"row": "x"}], "no"):
            with self.assertRaises(ValueError):
                network.cells(rubbish)

    def test_replace(self):
        text = "a\n%s\nb\n%s\nc\n" % (markdown.BEGIN, markdown.END)
        once = markdown.replace(text, "new\n")
        self.assertEqual(once, "a\n%s\n\nnew\n\n%s\nc\n"
                         % (markdown.BEGIN, markdown.END))
        self.assertEqual(markdown.replace(once, "new\n"), once)
        for bad in ("", text + text, "%s\n%s\n" % (markdown.END,
                                                   markdown.BEGIN)):
            with self.assertRaises(ValueError):
                markdown.replace(bad, "new")


if __name__ == "__main__":
    unittest.main()
