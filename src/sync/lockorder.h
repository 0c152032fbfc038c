/* SPDX-License-Identifier: MIT */
/* Debug mode: in which order tasks take locks. */
#ifndef WEFT_SYNC_LOCKORDER_H
#define WEFT_SYNC_LOCKORDER_H

#include "core/debugmode.h"

/* t is about to take `lock` and may have to wait; told if another order was
 * seen before. From now on it counts as held. */
void w_lock_order_take(struct weft_task *t, const void *lock);

/* t has it without having waited for it, which cannot close a circle. */
void w_lock_order_got(struct weft_task *t, const void *lock);

/* t has given it back, or did not get it. */
void w_lock_order_drop(struct weft_task *t, const void *lock);

#endif
