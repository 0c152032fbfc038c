#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/gdb/weft.py on a live process and on a core file, gdb's own backtraces
of tasks, and the frames that a crash report names."""
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ.get("WEFT_SOURCE")
                      or pathlib.Path(__file__).resolve().parents[2])
BUILD = pathlib.Path(os.environ.get("WEFT_BUILD") or SOURCE / "build")
HERE = SOURCE / "tests" / "gdb"
COMMANDS = SOURCE / "tools" / "gdb" / "weft.py"
CC = os.environ.get("WEFT_CC", "cc")
GDB = shutil.which("gdb")


def skip(why):
    print(why)
    sys.exit(77)


def library():
    for path in [BUILD / "libweft.a", *sorted(BUILD.rglob("libweft*.a"))]:
        if path.exists():
            return path
    return skip("no libweft.a")


def compile_subject(directory, name, *flags):
    out = pathlib.Path(directory) / name
    libs = subprocess.run(["pkg-config", "--libs", "ck", "hwloc"], check=True,
                          capture_output=True, text=True).stdout.split()
    subprocess.run([CC, "-std=gnu11", "-g", "-Wall", "-Wextra", "-Werror",
                    *flags, "-I", str(SOURCE / "include"),
                    str(HERE / "subject.c"), "-o", str(out), str(library()),
                    *libs, "-lpthread"], check=True)
    return out


def gdb(commands, *arguments):
    """What gdb printed, by the names of `section` marks."""
    script = ["set pagination off", "set confirm off", "set width 0",
              "set style enabled off", "set debuginfod enabled off",
              "source %s" % COMMANDS]
    with tempfile.NamedTemporaryFile("w", suffix=".gdb") as f:
        f.write("\n".join(script + commands) + "\n")
        f.flush()
        run = subprocess.run([GDB, "-nx", "-batch", "-x", f.name,
                              *map(str, arguments)], text=True, timeout=50,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    # What gdb has to say about the form of a core file.
    out = re.sub(r"(?m)^warning: Section .*\n", "", run.stdout)
    parts = re.split(r"^=== (.*)\n", out, flags=re.M)
    return {"all": out, **dict(zip(parts[1::2], parts[2::2]))}


def section(name, *commands):
    return ["echo === %s\\n" % name, *commands]


def functions(backtrace):
    """The functions of the frames, innermost first."""
    return re.findall(r"^#\d+ +(?:0x[0-9a-f]+ in )?(\S+)", backtrace, re.M)


LOOK = [
    *section("backtrace", "backtrace"),
    *section("registers", "info registers"),
    *section("runtimes", "weft runtimes"),
    *section("workers", "weft workers"),
    *section("tasks", "weft tasks"),
    *section("locker", "weft stack the_locker"),
    *section("full", "weft stack the_locker full"),
    *section("three", "weft stack the_locker 3"),
    *section("sleeper", "weft stack sleeper"),
    *section("spinner", "weft stack the_spinner"),
    *section("backtrace after", "backtrace"),
    *section("registers after", "info registers"),
    *section("end"),
]


class Looks:
    """What must be seen at the place where the subject stopped."""

    def test_no_command_failed(self):
        self.assertIn("end", self.seen, self.seen["all"])
        for word in ("Python Exception", "Error in sourced", "corrupt stack",
                     "previous frame", "Backtrace stopped"):
            self.assertNotIn(word, self.seen["all"])

    def test_the_runtime_is_found(self):
        rows = self.seen["runtimes"].splitlines()
        self.assertEqual(len(rows), 2, rows)
        self.assertRegex(rows[1], r"^0 +0x[0-9a-f]+ +open +2 +5 +\d+$")

    def test_workers_have_threads(self):
        rows = self.seen["workers"].splitlines()
        self.assertEqual(len(rows), 3, rows)
        self.assertEqual(sum("the_spinner" in r for r in rows), 1)
        for i, row in enumerate(rows[1:]):
            self.assertRegex(row, r"^0 +%d +\d+ \(LWP \d+\) +" % i)

    def test_tasks_are_listed_with_state_and_site(self):
        text = self.seen["tasks"]
        self.assertEqual(len(text.splitlines()), 6, text)
        for name, state, waits, site in (
                ("main", "waiting", "event", "runtime.c:"),
                ("sleeper", "waiting", "sleep", "subject.c:"),
                ("awaits", "waiting", "task +sleeper 0x[0-9a-f]+",
                 "subject.c:"),
                ("the_locker", "waiting", "mutex", "subject.c:"),
                ("the_spinner", r"running +\d", "-", "subject.c:")):
            self.assertRegex(text, r"(?m)^0 +0x[0-9a-f]+ +%s +%s .*%s.*%s\d+$" %
                             (name, state, waits, re.escape(site)))

    def test_a_suspended_task_has_its_stack(self):
        got = functions(self.seen["locker"])
        self.assertEqual([f for f in got if f.startswith("lock")
                          and f not in ("lock", "lock_slow")],
                         ["lock_inner", "lock_outer", "locker"], got)
        self.assertEqual(got[-1], "w_context_boot")
        self.assertEqual(got[0], "context_switch")
        self.assertIn("waiting in mutex", self.seen["locker"])
        self.assertIn("sleeper", functions(self.seen["sleeper"]))

    def test_locals_and_numbers_can_be_asked_for(self):
        self.assertRegex(self.seen["full"], r"own = 24\b")
        self.assertEqual(len(functions(self.seen["three"])), 3)
        self.assertEqual(functions(self.seen["three"]),
                         functions(self.seen["locker"])[:3])

    def test_a_running_task_is_on_a_thread(self):
        text = self.seen["spinner"]
        self.assertRegex(text, r"On worker \d, thread \d+ \(LWP \d+\):")
        self.assertEqual(functions(text), functions(self.seen["backtrace"]))

    def test_backtraces_end_where_the_stack_begins(self):
        got = functions(self.seen["backtrace"])
        i = got.index("spinner")
        self.assertEqual(got[i - 2:i], ["spin_inner", "spin_outer"])
        self.assertEqual(got[-2:], ["w_worker_loop", "w_context_boot"], got)

    def test_nothing_is_changed(self):
        self.assertEqual(self.seen["backtrace"], self.seen["backtrace after"])
        self.assertEqual(self.seen["registers"], self.seen["registers after"])


class Live(Looks, unittest.TestCase):
    flags = ("-O2",)

    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as d:
            subject = compile_subject(d, "subject", *cls.flags)
            cls.seen = gdb(["break checkpoint", "run", *LOOK,
                            *section("wrong", "weft stack nobody"),
                            ], subject)
            cls.on = gdb(["break checkpoint", "run", "weft stack the_locker",
                          "weft tasks", "delete", *section("on", "continue"),
                          ], subject)

    def test_no_command_failed(self):
        self.seen = dict(self.seen)
        self.assertIn("There is no task nobody", self.seen["wrong"])
        self.seen["all"] = self.seen["all"].split("=== wrong")[0]
        super().test_no_command_failed()

    def test_the_process_goes_on(self):
        self.assertIn("done\n", self.on["on"])
        self.assertIn("exited normally", self.on["on"])


class Unoptimized(Live):
    flags = ("-O0", "-fomit-frame-pointer")


class Carried(unittest.TestCase):
    def test_a_task_beneath_another_is_found_there(self):
        with tempfile.TemporaryDirectory() as d:
            subject = compile_subject(d, "subject", "-O2")
            seen = gdb(["break checkpoint", "run 3",
                        *section("tasks", "weft tasks"),
                        *section("stack", "weft stack the_spinner"),
                        *section("top", "weft stack rider")], subject)
        self.assertRegex(seen["tasks"],
                         r"the_spinner +joining +- +- +group 0x[0-9a-f]+ ")
        self.assertRegex(seen["tasks"], r"rider +running +\d +- +- +0\.\d+ s ")
        self.assertIn("It stands beneath task rider 0x", seen["stack"])
        got = functions(seen["stack"])
        for name in ("spin_inner", "rider", "carry", "spinner"):
            self.assertIn(name, got)
        self.assertEqual(functions(seen["top"]), got)
        self.assertEqual(got[-1], "w_context_boot")


class Switches(unittest.TestCase):
    def test_every_instruction_has_a_whole_backtrace(self):
        with tempfile.TemporaryDirectory() as d:
            subject = compile_subject(d, "subject", "-O2")
            seen = gdb([*section("steps", "source %s" %
                                 (HERE / "every_step.py"))], subject)
        self.assertRegex(seen["steps"], r"(?m)^backtraces: \d{3}$")
        self.assertNotRegex(seen["steps"], r"(?m)^at ", seen["steps"])


def allow_core():
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def crash(subject, how, directory):
    """The process that died, and its core file or None."""
    run = subprocess.run([str(subject), str(how)], cwd=directory, text=True,
                         stderr=subprocess.PIPE, preexec_fn=allow_core,
                         timeout=30)
    cores = list(pathlib.Path(directory).glob("core*"))
    return run, cores[0] if cores else None


class Core(Looks, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as d:
            subject = compile_subject(d, "subject", "-O2")
            run, core = crash(subject, 2, d)
            if run.returncode != -signal.SIGABRT:
                raise AssertionError("%s %s" % (run.returncode, run.stderr))
            if core is None:
                raise unittest.SkipTest("this system writes no core file here")
            cls.seen = gdb(LOOK, subject, core)

    def test_the_signal_came_from_the_task(self):
        got = functions(self.seen["backtrace"])
        self.assertIn("fall", got)
        self.assertNotIn("on_fault", got)


class Report(unittest.TestCase):
    """A program without frame pointers: the report still names its frames."""

    def test_frames_without_frame_pointers(self):
        with tempfile.TemporaryDirectory() as d:
            subject = compile_subject(d, "subject", "-O2",
                                      "-fomit-frame-pointer")
            for how, sig in ((1, signal.SIGSEGV), (2, signal.SIGABRT)):
                run, _ = crash(subject, how, d)
                self.assertEqual(run.returncode, -sig, run.stderr)
                self.check(subject, run.stderr, sig)

    def check(self, subject, text, sig):
        self.assertRegex(text, r"weft: %s.* in task the_spinner \(spawned at "
                         r".*subject\.c:\d+\), worker \d\n" % sig.name)
        offsets = re.findall(r"^weft:   [#?].*subject\(\+(0x[0-9a-f]+)\)", text,
                             re.M)
        names = subprocess.run(
            ["addr2line", "-fe", str(subject)]
            + [hex(int(o, 16) - 1) for o in offsets],
            capture_output=True, text=True, check=True).stdout.split("\n")[::2]
        at = -1
        for name in ("fall", "spin_inner", "spin_outer", "spinner",
                     "w_context_boot"):
            self.assertTrue(any(n.split(".")[0] == name
                                for n in names[at + 1:]), (name, names, text))
            at = next(i for i in range(at + 1, len(names))
                      if names[i].split(".")[0] == name)


class Nothing(unittest.TestCase):
    def test_without_a_process_it_says_so(self):
        self.assertIn("There is no process and no core file.",
                      gdb(["weft tasks"])["all"])


if __name__ == "__main__":
    if GDB is None:
        skip("no gdb")
    if os.environ.get("WEFT_SANITIZE"):
        skip("plain builds only")
    if subprocess.run([GDB, "-nx", "-batch", "-ex", "python print(7)"],
                      capture_output=True, text=True).stdout != "7\n":
        skip("this gdb has no Python")
    unittest.main()
