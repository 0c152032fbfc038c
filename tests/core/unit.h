/* SPDX-License-Identifier: MIT */
/* cmocka wants its headers in this order. */
#ifndef TESTS_CORE_UNIT_H
#define TESTS_CORE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After the three above. */
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/base.h"

#if defined(W_TSAN) || defined(W_ASAN)
#define ROUNDS(n) ((n) / 10)
#else
#define ROUNDS(n) (n)
#endif

#endif
