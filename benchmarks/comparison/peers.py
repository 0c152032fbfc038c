# SPDX-License-Identifier: MIT
"""The peers: their packages, their builds, and one run of a program of theirs.
Whatever a program does, a run ends in time and in a Run or a Failure."""
import dataclasses
import os
import re
import resource
import shutil
import signal
import subprocess
import time

SKIP = 77
BUILD_SECONDS = 900


class Failure(Exception):
    """A program that crashed, hung or printed rubbish. `kind` is failed,
    slow (its time was over) or skipped (it said that it cannot)."""

    def __init__(self, kind, why):
        super().__init__(why)
        self.kind = kind
        self.why = why


@dataclasses.dataclass
class Run:
    lines: list             # (ns, answer, bytes or None)
    seconds: float          # of the process, start and warm-up included
    cpu: float              # seconds of processor, user and system


@dataclasses.dataclass
class Peer:
    name: str
    folder: str
    out: str
    state: str = "new"      # ready, skipped, failed
    why: str = ""
    version: str = ""
    rows: tuple = ()
    log: tuple = ()         # the last lines of a build that failed
    seconds: float = 0.0

    @property
    def program(self):
        return os.path.join(self.out, "peer")

    def packages(self):
        try:
            with open(os.path.join(self.folder, "packages")) as file:
                return file.read().split()
        except OSError:
            return []


def find(folder, out, having="build"):
    """Every folder with a build script, or another file; weft first."""
    names = []
    if os.path.isdir(folder):
        names = [name for name in sorted(os.listdir(folder))
                 if os.path.exists(os.path.join(folder, name, having))]
    names.sort(key=lambda name: name != "weft")
    return [Peer(name, os.path.join(folder, name), os.path.join(out, name))
            for name in names]


def end_group(child, grace=0):
    """Ends the child and all of its group; by SIGTERM first, if it still runs
    and has `grace` seconds."""
    try:
        if grace and child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait(timeout=grace)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    child.wait()


def run_command(command, seconds, **more):
    """(status, stdout, stderr) of a process that is gone, and all that it
    started in its own group with it, when this returns or raises."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             start_new_session=True, **more)
    try:
        out, err = child.communicate(timeout=seconds)
    finally:
        end_group(child)
        child.stdout.close()
        child.stderr.close()
    return (child.returncode, out.decode("utf-8", "replace"),
            err.decode("utf-8", "replace"))


def missing(packages):
    if not packages or not shutil.which("dpkg-query"):
        return []
    status, out, _ = run_command(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n",
         *packages], 60)
    there = {line.split()[0].split(":")[0] for line in out.splitlines()
             if line.split()[1:2] == ["ii"]}
    return [name for name in packages if name not in there]


def install(packages):
    """None, or why apt-get could not."""
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    command = ["apt-get", "install", "-y", "--no-install-recommends"]
    status, err = 1, ""
    try:
        for attempt in range(2):
            status, _, err = run_command([*command, *packages], 900,
                                         env=environment)
            if status == 0:
                return None
            if attempt == 0:
                run_command(["apt-get", "update"], 300, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return last_line(err) or "apt-get: exit status %d" % status


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def newest(folder):
    """When the youngest source under folder was written; peers share some."""
    times = [0.0]
    for at, _, names in os.walk(folder):
        times += [os.stat(os.path.join(at, name)).st_mtime for name in names]
    return max(times)


def is_fresh(peer):
    """Built after all sources of all peers? weft has more: never."""
    try:
        return peer.name != "weft" and os.stat(peer.program).st_mtime \
            > newest(os.path.dirname(peer.folder))
    except OSError:
        return False


def build(peer, seconds=BUILD_SECONDS):
    """Builds it and asks for its version and rows: sets its state."""
    started = time.monotonic()
    if is_fresh(peer):
        introduce(peer)
        if peer.state == "ready":
            return
    os.makedirs(peer.out, exist_ok=True)
    try:
        status, out, err = run_command(
            [os.path.join(peer.folder, "build"), peer.out], seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        status, out, err = 1, "", str(error)
    peer.seconds = time.monotonic() - started
    with open(os.path.join(peer.out, "build.log"), "w") as log:
        log.write(out + err)
    if status == SKIP:
        peer.state = "skipped"
        peer.why = last_line(out) or "its build script says so"
    elif status:
        peer.state = "failed"
        peer.why = "its build failed (exit status %d)" % status
        peer.log = tuple((out + err).strip().splitlines()[-8:])
    else:
        introduce(peer)


def introduce(peer):
    """Asks a built program for its version and its rows."""
    try:
        status, out, err = run_command([peer.program, "list"], 30)
        if status:
            raise OSError("list: exit status %d: %s"
                          % (status, last_line(err)))
        peer.rows = tuple(out.split())
        status, out, _ = run_command([peer.program, "version"], 30)
        peer.version = last_line(out) if status == 0 else ""
        peer.state = "ready"
    except (OSError, subprocess.TimeoutExpired) as error:
        peer.state, peer.why = "failed", str(error)


LINE = re.compile(r"^(\d+) (-?\d+)(?: (-?\d+)(?:\.\d+)?)?$")


def parse(text, runs):
    """The lines "NS ANSWER [BYTES]" as numbers, or a Failure."""
    lines = []
    for line in text.splitlines():
        found = LINE.match(line.strip())
        if not found:
            raise Failure("failed", "printed %r" % line[:60])
        ns, answer, size = found.groups()
        lines.append((int(ns), int(answer), int(size) if size else None))
    if len(lines) != runs:
        raise Failure("failed", "printed %d lines for %d runs"
                      % (len(lines), runs))
    return lines


def run(peer, row, threads, size, runs, seconds):
    """One process: a Run, or a Failure raised."""
    command = [peer.program, row, str(threads), str(size), str(runs)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    try:
        status, out, err = run_command(command, seconds)
    except subprocess.TimeoutExpired:
        raise Failure("slow", "over %g s, warm-up included"
                      % seconds) from None
    except OSError as error:
        raise Failure("failed", str(error)) from None
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if status == SKIP:
        raise Failure("skipped", last_line(out) or last_line(err))
    if status:
        how = "exit status %d" % status
        if status < 0:
            how = "killed by %s" % signal.Signals(-status).name
        tail = last_line(err)[:100]
        raise Failure("failed", how + (": " + tail if tail else ""))
    cpu = (after.ru_utime + after.ru_stime
           - before.ru_utime - before.ru_stime)
    return Run(parse(out, runs), wall, cpu)
