#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every function and every macro that the public headers declare is used by a
# test or an example. What stands behind macros is looked for in the tests'
# objects. Using is not testing: it is where that begins.
# shellcheck source=tests/house/common.sh
. "$(dirname "$0")/common.sh"

command -v gcc >/dev/null || { echo "no gcc here"; exit 77; }
command -v nm >/dev/null || { echo "no nm here"; exit 77; }
build=${WEFT_BUILD:?the build directory}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

echo '#include <weft.h>' >"$dir/all.c"
gcc -std=gnu11 -Iinclude -fsyntax-only -aux-info "$dir/list" "$dir/all.c"
sed -nE 's/^\/\* include\/weft[^ ]*:[0-9]+:N[CF] \*\/ [^(]*[ *](weft_[a-z0-9_]+) \(.*/\1/p' \
    "$dir/list" | sort -u >"$dir/functions"
(($(wc -l <"$dir/functions") > 100)) ||
    complain "$(wc -l <"$dir/functions") functions in the headers?"

# Words of C and C++ code, comments and strings left out where that is easy.
words() {
    sed -E 's|"([^"\\]\|\\.)*"||g; s|//.*||; s|^ *\*.*||; s|/\*.*\*/||g' "$@" |
        grep -oE '\b(weft|WEFT)_[A-Za-z0-9_]+' | sort -u
}

mapfile -t users < <(find tests examples -name '*.[ch]' -o -name '*.cc' \
    -o -name '*.cpp' | sort)
words "${users[@]}" >"$dir/said"
find "$build/tests" -name '*.o' -exec nm -u {} + 2>/dev/null |
    sed -nE 's/^ +U (weft_[a-z0-9_]+)$/\1/p' | sort -u >"$dir/linked"
sort -u "$dir/said" "$dir/linked" >"$dir/used"
complain_all < <(comm -23 "$dir/functions" "$dir/used" |
    sed 's/$/: no test calls it/')

# A macro that another one of the headers uses is used when that is.
gcc -std=gnu11 -Iinclude -E -dD "$dir/all.c" |
    awk '/^# [0-9]+ "/ { ours = $3 ~ /include\/weft/ }
         ours && /^#define / { sub(/\(.*/, "", $2); print $2 }' |
    grep -vE '(_|_H)$' | sort -u >"$dir/macros"
mapfile -t headers < <(find include -name '*.h' | sort)
while IFS= read -r macro; do
    grep -qx "$macro" "$dir/used" ||
        (($(sed -E 's|^ *\*.*||; s|/\*.*\*/||g' "${headers[@]}" |
            grep -cE "\b$macro\b") > 1)) ||
        complain "$macro: no test uses it"
done <"$dir/macros"
exit $bad
