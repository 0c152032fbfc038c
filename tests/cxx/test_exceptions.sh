#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A C++ program on the static library: exceptions across waits.
set -euo pipefail

[[ -z ${WEFT_SANITIZE:-} ]] || { echo "plain builds only"; exit 77; }
command -v g++ >/dev/null || { echo "no g++"; exit 77; }
lib=${WEFT_BUILD:?}/libweft.a
[[ -e $lib ]] || lib=$(find "$WEFT_BUILD" -name 'libweft*.a' | head -n 1)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# shellcheck disable=SC2046
g++ -std=c++17 -O2 -Wall -Wextra -I "${WEFT_SOURCE:?}/include" \
    "$WEFT_SOURCE/tests/cxx/exceptions.cc" "$lib" -o "$dir/exceptions" \
    $(pkg-config --libs ck hwloc) -lpthread
timeout 50 "$dir/exceptions"
