#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A short coverage-guided run over the request parser; WEFT_FUZZ_SECONDS makes
# it a long one.
set -euo pipefail

[[ -z ${WEFT_SANITIZE:-} ]] || { echo "brings its own sanitizers"; exit 77; }
command -v clang >/dev/null || { echo "no clang"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "${WEFT_SOURCE:?}"

echo 'int LLVMFuzzerTestOneInput(const char *p, long n);
int LLVMFuzzerTestOneInput(const char *p, long n) { return p && n < 0; }' \
    >"$dir/probe.c"
clang -fsanitize=fuzzer,address,undefined "$dir/probe.c" -o "$dir/probe" \
    2>/dev/null || { echo "no libFuzzer here"; exit 77; }

sources=()
for file in tools/httpd/*.c; do
    [[ $file == */main.c ]] || sources+=("$file")
done
# shellcheck disable=SC2046
clang -g -O1 -std=gnu11 -D_GNU_SOURCE= -I src -I include -I tools/httpd \
    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
    tests/httpd/fuzz_head.c "${sources[@]}" "${WEFT_BUILD:?}/libweft.a" \
    -o "$dir/fuzz" $(pkg-config --libs ck hwloc) -lz -lpthread

mkdir "$dir/corpus"
printf 'GET /a/../b%%20c?q HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1,-2,3-\r\n\r\n' \
    >"$dir/corpus/range"
printf 'HEAD / HTTP/1.0\r\nConnection: keep-alive\r\nIf-None-Match: W/"a", "b"\r\n\r\n' \
    >"$dir/corpus/match"
printf 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nAccept-Encoding: gzip;q=0.5, *;q=0\r\n\r\n' \
    >"$dir/corpus/chunked"
"$dir/fuzz" -max_len=4096 -max_total_time="${WEFT_FUZZ_SECONDS:-5}" \
    -print_final_stats=1 -artifact_prefix="$dir/" "$dir/corpus" 2>&1 | tail -n 12
