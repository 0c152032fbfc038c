#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/from-asyncio.md and docs/simulation.md: each C fragment compiles, each
name of weft in it is declared; the former's table of examples is the folder's
content."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

root = pathlib.Path(os.environ.get("WEFT_SOURCE")
                    or pathlib.Path(__file__).parents[2])
page = root / "docs" / "from-asyncio.md"
simulation = root / "docs" / "simulation.md"
compiler = os.environ.get("WEFT_CC", "cc")

# What a reader takes for granted in a fragment.
PRELUDE = """
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weft.h>
weft_group g; weft_task *t; weft_stream *s; weft_mutex m; weft_cond c;
weft_queue q; weft_runtime *rt;
long rc, page, balance, stock; int fd, ends[2]; char line[4096];
void *a, *b, *url, *item, *data;
struct job { void *data; };
weft_fn fetch, serve, work, sha256;
weft_predicate has_items;
long prepare(void);
void poll_sensors(void), save(void), handle(void *), use(long, long);
"""


def fragments(text):
    """(line number, code) of each ```c fence."""
    for match in re.finditer(r"^```c\n(.*?)^```$", text, re.M | re.S):
        yield text.count("\n", 0, match.start()) + 2, match.group(1)


def compiles(line, code, folder, page=page):
    """The compiler's complaint, or None."""
    program = code.startswith("#include")
    whole = program or re.match(r"(static (?!const)|int main)", code)
    parts = [] if program else [PRELUDE]
    if not whole:
        parts.append("long fragment(void *arg)\n{\n(void)arg;\n{")
    parts.append(f'#line {line} "{page.name}"\n{code}')
    if not whole:
        parts.append("}\nreturn 0;\n}\n")
    file = folder / "fragment.c"
    file.write_text("\n".join(parts))
    done = subprocess.run(
        [compiler, "-std=gnu11", "-fsyntax-only", "-Wall", "-Wextra",
         "-Werror", "-Wno-unused-function", "-Wno-unused-variable",
         "-Wno-unused-but-set-variable", "-Wno-missing-prototypes",
         "-I", root / "include", file],
        capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stderr


def check_simulation(declared):
    """What is wrong with that page."""
    text = simulation.read_text()
    found = list(fragments(text))
    used = set(re.findall(r"\b(?:weft|WEFT)_\w+", text))
    bad = [f"{simulation.name}: {name} is not in include/weft"
           for name in sorted(used - declared)]

    if len(found) < 2:
        bad.append(f"only {len(found)} fragments in {simulation.name}")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for line, code in found:
            complaint = compiles(line, code, folder, simulation)
            if complaint:
                bad.append(complaint)
    return bad


def main():
    text = page.read_text()
    bad = []

    found = list(fragments(text))
    if len(found) < 18:
        bad.append(f"only {len(found)} fragments found")
    with tempfile.TemporaryDirectory() as folder:
        for line, code in found:
            complaint = compiles(line, code, pathlib.Path(folder))
            if complaint:
                bad.append(complaint)
        if not compiles(1, "weft_no_such_call(1);", pathlib.Path(folder)):
            bad.append("a wrong fragment compiles too")

    headers = "\n".join(p.read_text()
                        for p in (root / "include").rglob("*.h"))
    declared = set(re.findall(r"\b(?:weft|WEFT)_\w+", headers))
    # Read from the environment, not declared.
    declared.add("WEFT_DEBUG")
    bad += check_simulation(declared | {"WEFT_SIM_SEEDS", "WEFT_SIM_TRACE",
                                        "WEFT_TEST_SIM", "WEFT_FAULTS"})
    used = set(re.findall(r"\b(?:weft|WEFT)_\w+", text))
    if len(used) < 150:
        bad.append(f"only {len(used)} names found")
    bad += [f"{name} is not in include/weft" for name in sorted(used - declared)]
    # Both ways, for what a program calls: all but the internals of macros.
    calls = set(re.findall(r"WEFT_API[^;]*?\b(weft_\w*[a-z])\(", headers))
    missing = sorted(name for name in calls - used
                     if not name.endswith(("_at", "_")))
    print(len(found), "fragments,", len(used), "names; not on the page:",
          *missing)

    listed = set(re.findall(r"^\| `(\w+\.c)` \|", text, re.M))
    there = {p.name for p in (root / "examples").glob("*.c")}
    bad += [f"examples/{name}: listed, not there" for name in listed - there]
    bad += [f"examples/{name}: there, not listed" for name in there - listed]

    for complaint in bad:
        print(complaint, file=sys.stderr)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
