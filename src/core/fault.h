/* SPDX-License-Identifier: MIT */
/* What a crash in a task prints. */
#ifndef WEFT_CORE_FAULT_H
#define WEFT_CORE_FAULT_H

#include <signal.h>

/* In a signal handler: if the calling thread is ours, says on standard error
 * which signal hit whom, and where; once for all threads until the next
 * w_fault_report_open. Async-signal-safe. */
void w_fault_report(int sig, const siginfo_t *info, const void *context);
void w_fault_report_open(void);

#endif
