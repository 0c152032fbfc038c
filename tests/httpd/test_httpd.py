#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weft-httpd, driven from outside over raw sockets.

WEFT_HTTPD names the binary. Under sanitizers (WEFT_SANITIZE not empty) counts
are smaller and bounds on memory are not checked. Without arguments all tests
run; arguments are names of tests. The standard library is all it needs.
"""

import shutil
import sys
import time
import traceback

sys.dont_write_bytecode = True

import cases_content  # noqa: E402, F401: they register themselves
import cases_life  # noqa: E402, F401
import cases_limits  # noqa: E402, F401
import cases_protocol  # noqa: E402, F401
import harness  # noqa: E402


def main():
    names = sys.argv[1:]
    if not shutil.which(harness.BINARY):
        print(f"skipped: there is no {harness.BINARY}")
        return 77
    harness.TREE = harness.Tree()
    bad = 0
    try:
        for fn in harness.TESTS:
            if names and fn.__name__ not in names:
                continue
            start = time.monotonic()
            try:
                fn()
                result = "ok"
            except harness.Skip as why:
                result = f"skipped: {why}"
            except Exception:
                traceback.print_exc()
                result = "FAILED"
                bad += 1
            took = time.monotonic() - start
            print(f"{fn.__name__}: {result} ({took:.1f} s)", flush=True)
    finally:
        harness.TREE.remove()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
