# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by the scripts of this project: the tree's root, missing Debian
# packages, progress.

# Read, not printed, by who sources this.
# shellcheck disable=SC2034
weft_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What is needed to build and to check: a Debian package and the file or
# command whose presence shows that it is there (dpkg may not know of a
# compiler that was installed otherwise).
weft_build_packages='
gcc:gcc
libc6-dev:/usr/include/stdio.h
cmake:cmake
ninja-build:ninja
pkg-config:pkg-config
libck-dev:/usr/include/ck_pr.h
libhwloc-dev:/usr/include/hwloc.h
libcmocka-dev:/usr/include/cmocka.h
zlib1g-dev:/usr/include/zlib.h
'
weft_check_packages='
g++:g++
clang:clang
binutils:nm
python3:python3
curl:curl
wrk:wrk
apache2-utils:ab
netcat-openbsd:nc
procps:ps
'
weft_ci_packages='
clang-19:clang-19
libclang-rt-19-dev:/usr/lib/llvm-19/lib/clang/19/lib/linux/libclang_rt.tsan-x86_64.a
libclang-rt-dev:/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux/libclang_rt.asan-x86_64.a
llvm-14:llvm-symbolizer-14
spin:spin
'

weft_started=$SECONDS

say() {
    printf '[%3d s] %s\n' $((SECONDS - weft_started)) "$*"
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

weft_jobs() {
    nproc 2>/dev/null || echo 2
}

# As root, or through sudo without a question.
weft_root_run() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -n "$@"
    else
        die "to install packages, run this as root or install sudo"
    fi
}

# weft_missing LIST: the packages of LIST that are not there.
weft_missing() {
    local entry package mark
    for entry in $1; do
        package=${entry%%:*}
        mark=${entry#*:}
        case $mark in
        /*) [ -e "$mark" ] && continue ;;
        *) command -v "$mark" >/dev/null && continue ;;
        esac
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null |
            grep -qx installed || echo "$package"
    done
}

# weft_apt ARGUMENTS: apt-get that asks nothing and waits for its lock.
weft_apt() {
    weft_root_run env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
        -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# weft_install LIST: brings what is missing; the index is fetched only then.
weft_install() {
    local missing log
    missing=$(weft_missing "$1" | tr '\n' ' ')
    [ -n "${missing// /}" ] || return 0
    command -v apt-get >/dev/null || die "missing, and no apt-get here: $missing"
    say "installing $missing"
    log=$(mktemp)
    # shellcheck disable=SC2086
    if ! { weft_apt update &&
        weft_apt install --no-install-recommends $missing; } >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        die "could not install $missing"
    fi
    rm -f "$log"
}

# weft_build DIR CMAKE-ARGUMENTS: configure and build, quiet unless it fails.
weft_build() {
    local dir=$1 log
    shift
    mkdir -p "$dir"
    log=$dir/build.log
    say "building ${dir#"$weft_root"/}"
    if ! cmake -S "$weft_root" -B "$dir" -G Ninja "$@" >"$log" 2>&1 ||
        ! cmake --build "$dir" -j "$(weft_jobs)" >>"$log" 2>&1; then
        tail -n 60 "$log" >&2
        die "the build failed; all of it is in $log"
    fi
}

# weft_ctest DIR CTEST-ARGUMENTS: a line a test, the output of those that fail.
weft_ctest() {
    local dir=$1
    shift
    say "testing ${dir#"$weft_root"/}"
    ctest --test-dir "$dir" --output-on-failure --no-tests=error \
        -j "$(weft_jobs)" "$@"
}
