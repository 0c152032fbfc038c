# SPDX-License-Identifier: MIT
"""Sourced by gdb for test_gdb.py: a backtrace at every instruction of a number
of switches. Prints what is wrong with them, and how many there were."""
import gdb

HITS, STEPS = 24, 18
# Where a worker's, a thread's and the process's first stack begin.
OUTERMOST = ("w_context_boot", "clone", "clone3", "__clone3", "_start")


def wrong(backtrace):
    last = backtrace.strip().splitlines()[-1]
    return "stopped" in backtrace or " ?? " in backtrace or \
        not any(name in last for name in OUTERMOST)


gdb.execute("break context_switch")
gdb.execute("run", to_string=True)
gdb.execute("set scheduler-locking step")
count, bad = 0, {}
for _ in range(HITS):
    for _ in range(STEPS):
        instruction = gdb.execute("x/i $pc", to_string=True).split(":", 1)[1]
        try:
            seen = gdb.execute("backtrace", to_string=True)
        except gdb.error as e:
            seen = str(e)
        count += 1
        if wrong(seen):
            bad.setdefault(instruction.strip(), seen)
        gdb.execute("stepi", to_string=True)
    gdb.execute("continue", to_string=True)
    if not gdb.selected_thread():
        break
for instruction, seen in bad.items():
    print("at %s:\n%s" % (instruction, seen))
print("backtraces: %d" % count)
