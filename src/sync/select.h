/* SPDX-License-Identifier: MIT */
/* What select asks of each kind of object, beside core/join.h and core/poll.h.
 *
 * enroll: true if the object is ready and x was not enrolled; else x waits in
 * it. withdraw: takes x out if it is still in. Both take the object's lock.
 * What is found ready is then done by the object's own call that tries. */
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

/* The same for one operation of a queue or channel. True here: it can be done
 * now, or it seems so; a try will tell. Else x->value is the item that is put
 * or becomes the one that was got; it points at the element that is sent or at
 * where it is received. x->status is the operation's result. */
bool w_queue_enroll_get(weft_queue *q, struct waiter *x);
bool w_queue_enroll_put(weft_queue *q, struct waiter *x);
void w_queue_withdraw(weft_queue *q, struct waiter *x);

bool w_chan_enroll_send(weft_chan *c, struct waiter *x);
bool w_chan_enroll_recv(weft_chan *c, struct waiter *x);
void w_chan_withdraw(weft_chan *c, struct waiter *x);

#endif
