/* SPDX-License-Identifier: MIT */
/* weft.h - asyncio's vocabulary on a work-stealing engine. */
#ifndef WEFT_H
#define WEFT_H

#include <weft/debug.h>
#include <weft/exec.h>
#include <weft/flow.h>
#include <weft/fork.h>
#include <weft/gather.h>
#include <weft/net.h>
#include <weft/queue.h>
#include <weft/scope.h>
#include <weft/sim.h>
#include <weft/sync.h>
#include <weft/task.h>
#include <weft/types.h>

#endif
