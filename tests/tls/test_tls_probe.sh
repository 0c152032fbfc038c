#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The accessor of the running thread is called anew after a switch, whatever
# the compiler, with position-independent code and without: a task moved
# between two threads sees it (probe.c), and the machine code shows the calls.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=${WEFT_SOURCE:-$(cd "$here/../.." && pwd)}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
tried=0
bad=0

common=(-std=gnu11 -D_GNU_SOURCE -I "$root/src" -I "$root/include" -pthread)
[[ $(uname -m) != x86_64 ]] || common+=(-mno-red-zone)

# one_turn stands twice in task(): each copy calls before and after the switch.
count_calls() {
    objdump -d --no-show-raw-insn "$1" |
        awk '/^[0-9a-f]+ <task>:/ { on = 1; next } /^$/ { on = 0 }
             on && /(call|bl).*<w_thread/ { n++ } END { print n + 0 }'
}

try() {
    local cc=$1 what
    shift
    what="$cc $*"
    if ! "$cc" "${common[@]}" "$@" -o "$dir/probe" "$here/probe.c" \
        "$root/src/core/thread.c" "$root/src/core/context.c" \
        2>"$dir/errors"; then
        echo "$what: does not compile"
        cat "$dir/errors"
        bad=1
        return
    fi
    tried=$((tried + 1))
    if ! timeout 20 "$dir/probe"; then
        echo "$what: the answer goes stale"
        bad=1
    fi
    if command -v objdump >/dev/null &&
        (($(count_calls "$dir/probe") != 4)); then
        echo "$what: $(count_calls "$dir/probe") calls of w_thread, not 4"
        bad=1
    fi
}

for cc in "${WEFT_CC:-cc}" gcc gcc-12 gcc-13 gcc-14 clang clang-14 clang-16 \
    clang-19; do
    command -v "$cc" >/dev/null || continue
    for level in -O1 -O2 -O3; do
        try "$cc" "$level" -fPIC
        try "$cc" "$level" -fPIC -ftls-model=initial-exec
        try "$cc" "$level" -fPIC -ftls-model=global-dynamic
        try "$cc" "$level" -fno-pic -no-pie
    done
done

((tried > 0)) || exit 77
echo "$tried builds tried"
exit $bad
