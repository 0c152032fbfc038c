# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by the scripts of this folder: where the tree is, and how to complain.
set -euo pipefail
export LC_ALL=C

root=${WEFT_SOURCE:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
cd "$root"
# The exit status of the script that sources this.
# shellcheck disable=SC2034
bad=0

complain() {
    # shellcheck disable=SC2034
    bad=1
    printf '%s\n' "$*"
}

# Reads complaints, one a line.
complain_all() {
    local line
    while IFS= read -r line; do
        complain "$line"
    done
}

# Every text file of the project, build directories left out.
tree() {
    find . \( -name .git -o -path './build' -o -path './build-*' -o \
        -name __pycache__ -o -name .cache \) -prune -o -type f -print |
        sed 's|^\./||' | sort
}

sources() {
    find include src tests benchmarks tools examples -name '*.[chS]' | sort
}

# The first block comment of a file, without the licence line.
first_comment() {
    awk 'FNR == 1 && /SPDX/ { next }
         /^\/\*/ { inside = 1 }
         inside { print }
         inside && /\*\// { exit }' "$1"
}
