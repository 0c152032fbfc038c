#!/bin/sh
# SPDX-License-Identifier: MIT
# The collector for throughput, on no more threads than the row has; a young
# generation that need not grow first; stacks for deep trees.
here=$(dirname "$0")
gc="-XX:+UseParallelGC -Xms1g -Xmn768m -Xss16m"
[ $# -ne 4 ] || gc="$gc -XX:ParallelGCThreads=$2"
# shellcheck disable=SC2086 # words
exec java $gc -cp "$here/classes" Peer "$@"
