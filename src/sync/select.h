/* SPDX-License-Identifier: MIT */
/* What select asks of each kind of object, beside core/join.h and core/poll.h.
 *
 * enroll: true if the object is ready and x was not enrolled; else x waits in
 * it. withdraw: takes x out if it is still in. Both take the object's lock.
 * For objects whose readiness lasts; queues and channels do the operation under
 * their lock and have calls of their own. */
#ifndef WEFT_SYNC_SELECT_H
#define WEFT_SYNC_SELECT_H

#include <weft/gather.h>
#include <weft/queue.h>
#include <weft/sync.h>

#include "core/park.h"

bool w_event_enroll(weft_event *e, struct waiter *x);
void w_event_withdraw(weft_event *e, struct waiter *x);

bool w_future_enroll(weft_future *f, struct waiter *x);
void w_future_withdraw(weft_future *f, struct waiter *x);

#endif
