#!/bin/sh
# SPDX-License-Identifier: MIT
# kernels.sh OUT: makes OUT/kernels.o, for every program that a peer's build
# links it into: by the same compiler with the same flags.
exec gcc -std=gnu11 -O3 -ffp-contract=off -Wall -Wextra -Wshadow \
    -c "$(dirname "$0")/kernels.c" -o "$1/kernels.o"
