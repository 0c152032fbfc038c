#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs weft into a prefix of its own and builds a program against it in
# every way that README names, then moves the prefix: nothing may remember it.
set -euo pipefail

source=${WEFT_SOURCE:?} build=${WEFT_BUILD:?} cc=${WEFT_CC:-cc}
here=$source/tests/package
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset CFLAGS LDFLAGS LD_LIBRARY_PATH PKG_CONFIG_PATH

logged() {
    "$@" >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
}

# Programs print the answer; the check is that they ran, and against what.
run() {
    local name=$1 program=$2 linkage=$3
    shift 3
    if [[ $linkage == shared ]]; then
        readelf -d "$program" | grep -q 'NEEDED.*libweft\.so\.' ||
            { echo "$name: does not use the shared library"; exit 1; }
    elif readelf -d "$program" | grep -q 'NEEDED.*libweft'; then
        echo "$name: uses the shared library"
        exit 1
    fi
    printf '%-28s ' "$name"
    env "$@" timeout 20 "$program" || { echo "$name: failed"; exit 1; }
}

cmake --install "$build" --prefix "$dir/first" >/dev/null
mv "$dir/first" "$dir/prefix"
prefix=$dir/prefix
libdir=$(dirname "$(find "$prefix" -name libweft.a)")

app() {
    local name=$1 target=$2 linkage=$3
    shift 3
    logged cmake -S "$here/app" -B "$dir/$name" -G Ninja \
        -DCMAKE_C_COMPILER="$cc" -DCMAKE_PREFIX_PATH="$prefix" \
        -DWEFT_TARGET="$target" "$@"
    logged cmake --build "$dir/$name"
    run "$name" "$dir/$name/app" "$linkage" _=
}

app find_package_static weft::static static
app find_package_shared weft::shared shared
app find_package_default_static weft::weft static -DBUILD_SHARED_LIBS=OFF
app find_package_default_shared weft::weft shared -DBUILD_SHARED_LIBS=ON

export PKG_CONFIG_PATH=$libdir/pkgconfig
# shellcheck disable=SC2046
"$cc" -Wall -Werror "$here/app/main.c" -o "$dir/pc_shared" \
    $(pkg-config --cflags --libs weft)
run pkg-config_shared "$dir/pc_shared" shared LD_LIBRARY_PATH="$libdir"

# Where only the archive is installed, -lweft is the archive.
cp -r "$prefix" "$dir/archive"
find "$dir/archive" -name 'libweft.so*' -delete
export PKG_CONFIG_PATH=$dir/archive${libdir#"$prefix"}/pkgconfig
# shellcheck disable=SC2046
"$cc" -Wall -Werror "$here/app/main.c" -o "$dir/pc_static" \
    $(pkg-config --cflags --static --libs weft)
run pkg-config_static "$dir/pc_static" static _=
[[ $(pkg-config --modversion weft) == $(sed -nE \
    's/^set\(PACKAGE_VERSION "(.*)"\)/\1/p' "$build/weft-config-version.cmake") ]] ||
    { echo "weft.pc and the CMake package tell different versions"; exit 1; }

logged cmake -S "$here/subproject" -B "$dir/sub" -G Ninja \
    -DWEFT_SOURCE="$source" -DCMAKE_C_COMPILER="$cc" -DCMAKE_BUILD_TYPE=Release
logged cmake --build "$dir/sub"
run add_subdirectory "$dir/sub/app" static _=
if find "$dir/sub" -name 'weft-httpd' -o -name 'test_*' -type f | grep -q .; then
    echo "add_subdirectory: built more than the library"
    exit 1
fi
