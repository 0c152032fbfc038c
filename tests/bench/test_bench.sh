#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Each row of weft-bench runs, verifies itself and prints the JSON promised.
set -euo pipefail

[[ -n ${WEFT_BENCH:-} ]] || { echo "WEFT_BENCH is not set"; exit 77; }
[[ -z ${WEFT_SANITIZE:-} ]] || { echo "no figures under a sanitizer"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

"$WEFT_BENCH" --list >"$dir/list"
timeout 50 "$WEFT_BENCH" --quick --repeat 1 --workers 2 --json >"$dir/json"

python3 - "$dir/list" "$dir/json" <<'END'
import json
import sys

names = [line.split()[0] for line in open(sys.argv[1])]
rows = [json.loads(line) for line in open(sys.argv[2])]
assert len(names) >= 16, names
assert [r["name"] for r in rows] == names, (names, rows)
own_workers = {"wake": 1, "idle": 4}
for r in rows:
    assert r["workers"] == own_workers.get(r["name"], 2), r
    assert r["unit"] in ("ns", "us", "ms"), r
    assert 0 < r["min"] <= r["median"] or r["name"] == "idle", r
    if r["name"] in ("sleepers", "timers"):
        # Neither nothing nor a whole default stack.
        assert 64 <= r["bytes_per_item"] < 65536, r
    if r["name"] == "wake":
        assert r["bare"] > 0, r
print(len(rows), "rows")
END

if "$WEFT_BENCH" no_such_row >"$dir/out" 2>&1; then
    echo "an unknown name was accepted"
    exit 1
fi
