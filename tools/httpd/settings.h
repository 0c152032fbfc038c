/* SPDX-License-Identifier: MIT */
/* The command line. */
#ifndef HTTPD_SETTINGS_H
#define HTTPD_SETTINGS_H

#include "httpd.h"

/* Reads the command line. Exits after --help, or with a message if something
 * is wrong with it. */
void hd_settings(struct settings *set, int argc, char **argv);

#endif
