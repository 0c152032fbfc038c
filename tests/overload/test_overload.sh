#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# weft-overload's quick form: 503 and bounds instead of growth, foes are thrown
# out, shortage is survived, and all is well afterwards. Its demands on time are
# such that a busy machine fulfils them, if need be at the third try.
set -euo pipefail

[[ -z ${WEFT_SANITIZE-} ]] || exit 77

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! "$WEFT_BUILD/tests/weft-overload" --quick \
    ${WEFT_HTTPD:+--httpd "$WEFT_HTTPD"} >"$log" 2>&1; then
    cat "$log"
    exit 1
fi
tail -n 1 "$log"
