#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# weft-soak for 10 s: everything at random, each thing once, nothing kept.
set -euo pipefail

[[ -z ${WEFT_SANITIZE-} ]] || exit 77

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! "$WEFT_BUILD/tests/weft-soak" --seconds 10 >"$log" 2>&1; then
    cat "$log"
    exit 1
fi
tail -n 1 "$log"
