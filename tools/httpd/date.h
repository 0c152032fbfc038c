/* SPDX-License-Identifier: MIT */
/* HTTP dates: "Sun, 06 Nov 1994 08:49:37 GMT", always this long. */
#ifndef HTTPD_DATE_H
#define HTTPD_DATE_H

#include "httpd.h"

enum { HD_DATE = 29 };

/* Writes HD_DATE bytes and no NUL. */
void hd_date_format(char *out, int64_t seconds);

/* Reads any of the three forms that HTTP allows. False: none of them. */
bool hd_date_parse(struct text date, int64_t *seconds);

/* The present, formatted once a second for the whole process. */
void hd_date_now(char *out);

/* The wall clock in seconds, a few milliseconds late at most. */
int64_t hd_time(void);

#endif
