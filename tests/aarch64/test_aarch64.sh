#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The context switch and the thread accessor, compiled for aarch64 and run
# under qemu's user mode, where a cross compiler and qemu are at hand.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=${WEFT_SOURCE:-$(cd "$here/../.." && pwd)}
cc=aarch64-linux-gnu-gcc
qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static || true)

command -v $cc >/dev/null && [[ -n $qemu ]] || exit 77

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
flags=(-std=gnu11 -D_GNU_SOURCE -Wall -Wextra -I "$root/src"
    -I "$root/include" -static -pthread)

for level in -O0 -O1 -O2 -O3; do
    for more in "" -mbranch-protection=standard -fomit-frame-pointer; do
        # shellcheck disable=SC2086
        $cc "${flags[@]}" $level $more -o "$dir/switch" "$here/switch.c" \
            "$root/src/core/context.c"
        timeout 60 "$qemu" "$dir/switch"
    done
    $cc "${flags[@]}" $level -o "$dir/probe" "$root/tests/tls/probe.c" \
        "$root/src/core/thread.c" "$root/src/core/context.c"
    timeout 60 "$qemu" "$dir/probe"
done
