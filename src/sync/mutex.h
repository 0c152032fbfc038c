/* SPDX-License-Identifier: MIT */
/* What the floors above and the condition ask of a mutex. */
#ifndef WEFT_SYNC_MUTEX_H
#define WEFT_SYNC_MUTEX_H

#include <weft/sync.h>

#include "core/task.h"

/* Does the running task t hold m? */
bool w_mutex_is_held_by(const weft_mutex *m, const struct weft_task *t);

/* Takes m, which the running task t does not hold, whatever is cancelled. */
void w_mutex_lock_shielded(weft_mutex *m, struct weft_task *t);

/* Unlocks m, which the caller holds; the first waiter has it at once. Nobody
 * gets in between if all who hold m let go of it so. */
void w_mutex_unlock_in_order(weft_mutex *m);

#endif
