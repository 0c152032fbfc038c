/* SPDX-License-Identifier: MIT */
/* Access log in the Common Log Format. */
#ifndef HTTPD_LOG_H
#define HTTPD_LOG_H

#include "httpd.h"

/* Opens the log on a path, "-" being standard output. 0 or -errno. */
int hd_log_open(struct log **out, const char *path);

/* Adds a line. Never waits: if the writer lags by two buffers, the line is
 * dropped and counted, and the log says so. */
void hd_log_line(struct log *log, const char *peer, struct text request,
                 int status, uint64_t bytes);

/* The writer, a task that runs until it is cancelled and then writes what is
 * left. arg: the log. */
long hd_log_task(void *arg);

void hd_log_close(struct log *log);

#endif
