#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What docs/reliability.md says of the hardening, read from what was built: the
# dynamic sections, the notes, which code has canaries, and that the switch
# lands on the instruction that indirect branches may land on.
# shellcheck source=tests/house/common.sh
. "$(dirname "$0")/common.sh"

build=${WEFT_BUILD:?the build directory}
cc=${WEFT_CC:-cc}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

for tool in readelf objdump nm; do
    command -v $tool >/dev/null || { echo "no $tool here"; exit 77; }
done

cached() {
    sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"
}

hardened() {
    [[ $(cached WEFT_HARDENING) =~ ^(ON|1|TRUE|YES)$ && -z ${WEFT_SANITIZE-} ]]
}

# Words as "IBT, SHSTK"; nothing where there is no note.
properties() {
    readelf -nW "$1" 2>/dev/null | sed -n 's/.*x86 feature: //p'
}

# ---- in every build ------------------------------------------------------

objects=$build/CMakeFiles
count=0
for object in "$objects"/w_*.dir/src/*/*.o; do
    count=$((count + 1))
    name=${object#*.dir/}
    [[ $(properties "$object") != *SHSTK* ]] ||
        complain "$name: claims shadow stacks, which the switch does not keep"
    [[ $(readelf -SW "$object") == *.note.GNU-stack* ]] ||
        complain "$name: no .note.GNU-stack: its program's stacks can be executed"
done
((count > 20)) || complain "$count objects in $build: is that the library?"

# ---- what was linked -----------------------------------------------------

linked() {
    local file=$1 kind=$2 dynamic headers
    dynamic=$(readelf -dW "$file")
    headers=$(readelf -lhW "$file")
    [[ $(properties "$file") != *SHSTK* ]] || complain "$file: claims shadow stacks"
    grep -qE 'GNU_STACK .* RW +0x' <<<"$headers" ||
        complain "$file: its stacks can be executed"
    ! grep -q TEXTREL <<<"$dynamic" || complain "$file: has text relocations"
    hardened || return 0
    grep -q BIND_NOW <<<"$dynamic" || complain "$file: not bound at once"
    grep -q GNU_RELRO <<<"$headers" || complain "$file: no RELRO"
    if [[ $kind == program ]]; then
        grep -q 'Type: *DYN' <<<"$headers" || complain "$file: not a PIE"
    fi
}

for file in "$build/libweft.so" "${WEFT_HTTPD-}" "${WEFT_LOAD-}"; do
    [[ -n $file && -e $file ]] || continue
    case $file in
    *.so) linked "$file" library ;;
    *) linked "$file" program ;;
    esac
done

# ---- canaries and checked calls ------------------------------------------

has_canary() {
    [[ $(nm "$objects/w_${1%/*}.dir/src/$1.c.o") == *__stack_chk_* ]]
}

if hardened; then
    for name in net/stream net/addr net/udp net/process; do
        has_canary $name ||
            complain "$name.c reads bytes from outside, and has no canary"
    done
    for name in core/worker core/park core/ready core/search core/join \
        sync/mutex sync/queue sync/chan exec/fork; do
        ! has_canary $name ||
            complain "$name.c is where tasks wait, and pays for canaries"
    done
    if [[ $(cached CMAKE_BUILD_TYPE) == Rel* ]]; then
        [[ $(nm "$objects"/w_*.dir/src/*/*.o) =~ U\ __[a-z]+_chk ]] ||
            complain "no call is checked: _FORTIFY_SOURCE had no effect"
    fi
fi

# ---- branches ------------------------------------------------------------

# Each copy of the switch ends in a jump through the register that it popped;
# the landing pad of the copy is the next instruction but for padding.
pads() {
    objdump -d --no-show-raw-insn "$1" | awk '
        /^[0-9a-f]+ </ { wanted = 0; popped = 0 }
        !/^ +[0-9a-f]+:/ { next }
        { text = $0; sub(/^[^\t]*\t/, "", text) }
        wanted && text ~ /nop|xchg +%ax,%ax|^data16|^cs / { next }
        wanted { print (text ~ /^endbr64/ ? "good" : "bad " text); wanted = 0 }
        text ~ /^jmp +\*%rax/ && popped { wanted = 1 }
        { popped = text ~ /^pop +%rax/ }'
}

flags=(-std=gnu11 -D_GNU_SOURCE= -O2 -fPIC -fvisibility=hidden -mno-red-zone
    -ftls-model=initial-exec -fno-omit-frame-pointer -Isrc -Iinclude)
if [[ $(uname -m) == x86_64 ]] && ! [[ ${WEFT_SANITIZE-} ]]; then
    for name in worker context; do
        $cc "${flags[@]}" -fcf-protection=branch -c "src/core/$name.c" \
            -o "$dir/$name.o" || complain "$name.c: not compiled"
        [[ $(properties "$dir/$name.o") == IBT ]] ||
            complain "$name.c: properties '$(properties "$dir/$name.o")', not IBT"
    done
    for function in w_context_boot:context w_worker_loop:worker; do
        objdump -d --no-show-raw-insn "$dir/${function#*:}.o" |
            grep -A1 "<${function%:*}>:$" | grep endbr64 >/dev/null ||
            complain "${function%:*}: no endbr64 where it is entered"
    done
    pads "$dir/worker.o" >"$dir/pads"
    (($(grep -c good "$dir/pads") >= 5)) ||
        complain "worker.c: $(grep -c good "$dir/pads") switches found"
    complain_all < <(grep bad "$dir/pads" | sed 's/^/a switch lands on: /')
    if [[ -e $build/libweft.so ]]; then
        complain_all < <(pads "$build/libweft.so" | grep bad |
            sed 's/^/libweft.so: a switch lands on: /')
    fi

    # The linker's law that all this rests on: one object without the mark,
    # and the whole is without.
    echo 'int weft_test(void) { return 0; }' >"$dir/full.c"
    $cc -fPIC -fcf-protection=full -c "$dir/full.c" -o "$dir/full.o"
    $cc -shared -nostdlib "$dir/full.o" -o "$dir/full.so"
    $cc -shared -nostdlib "$dir/full.o" "$dir/context.o" -o "$dir/mixed.so"
    [[ $(properties "$dir/full.so") == *SHSTK* ]] ||
        complain "this linker marks nothing: the test shows nothing"
    [[ $(properties "$dir/mixed.so") == IBT ]] ||
        complain "linked with ours, a marked object keeps shadow stacks"
fi

cross=aarch64-linux-gnu-gcc
if command -v $cross >/dev/null &&
    [[ -e /usr/aarch64-linux-gnu/include/stdio.h ]]; then
    $cross "${flags[@]/-mno-red-zone/-Wall}" -mbranch-protection=standard \
        -c src/core/context.c -o "$dir/aarch64.o" ||
        complain "context.c: not compiled for aarch64"
    [[ $(readelf -nW "$dir/aarch64.o") == *'AArch64 feature: BTI'* ]] ||
        complain "context.c: no BTI mark on aarch64"
fi
exit $bad
