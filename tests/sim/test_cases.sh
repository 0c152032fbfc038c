#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The programs of tests/cases, exec, flow and net, and the mix of tests/soak, in
# simulations: from seed WEFT_SIM_FROM (0) on, WEFT_SIM_CASES seeds (2) for each
# test, less for the slow ones, and WEFT_SIM_MIX (500) for the mix. Each failure
# is told with what replays it.
set -euo pipefail

[[ -z ${WEFT_SANITIZE-} ]] || exit 77

from=${WEFT_SIM_FROM-0}
cases=${WEFT_SIM_CASES-2}
mix=${WEFT_SIM_MIX-500}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
runs=0 ms=0
failures=()

# A program's last word: simulation: 5 runs, 17 ms, 0 failed
add() {
    local line
    line=$(grep -a '^simulation: [0-9]* ' "$log" | tail -n 1)
    [[ $line =~ ^simulation:\ ([0-9]+)\ .*\ ([0-9]+)\ ms, ]] || return 1
    runs=$((runs + BASH_REMATCH[1]))
    ms=$((ms + BASH_REMATCH[2]))
}

failed() {
    failures+=("$1")
    printf 'FAILED %s, exit %s\n' "$1" "$2"
    grep -aE 'ERROR|FAILED|^weft:|^simulation:' "$log" | head -n 40 |
        sed 's/^/    /'
}

for source in "$WEFT_SOURCE"/tests/{cases,exec,flow,net}/test_*.c; do
    grep -q '^T_MAIN' "$source" || continue
    name=${source#"$WEFT_SOURCE"/tests/}
    name=${name%.c}
    program=$WEFT_BUILD/tests/test_${name/\/test_/_}
    count=$cases
    case $name in
    exec/*) count=$(((cases + 39) / 40)) ;;
    */test_fairness | */test_depot | */test_resolve | */test_stream)
        count=$(((cases + 3) / 4))
        ;;
    esac
    rc=0
    WEFT_TEST_SIM="$from $count" timeout 120 "$program" >"$log" 2>&1 || rc=$?
    if ((rc)) || ! add; then
        seed=$(sed -n 's/^simulation: failed with //p' "$log")
        failed "WEFT_SIM_TRACE=1 ${seed:-WEFT_TEST_SIM=\"$from $count\"} $program" \
            "$rc"
    fi
done
printf 'tests: %d simulations, %d virtual s\n' "$runs" $((ms / 1000))

rc=0
timeout 600 "$WEFT_BUILD/tests/weft-soak" --sim "$from" "$mix" >"$log" 2>&1 ||
    rc=$?
before=$runs
if ((rc)) || ! add; then
    failed "$WEFT_BUILD/tests/weft-soak --sim $from $mix" "$rc"
fi
printf 'mix: %d simulations\n' $((runs - before))
printf 'simulations: %d, %d virtual s, %d programs failed\n' "$runs" \
    $((ms / 1000)) ${#failures[@]}
((${#failures[@]} == 0))
