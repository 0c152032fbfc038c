/* SPDX-License-Identifier: MIT */
/* Between soak.c and checks.c. */
#ifndef SOAK_CHECKS_H
#define SOAK_CHECKS_H

#include "soak.h"

extern atomic_ulong rounds; /* that are over */

extern struct part *const parts[];
extern const size_t n_parts;
unsigned long scenarios_done(void);

/* Checks that failed. */
int failures(void);

/* True if all that was lent has been given back; else it may be told. */
bool even(bool tell);
void tell_accounts(void);
/* All is even again, and failures() is 0. */
void forget(void);

/* The mix in simulations, once for each of `count` seeds; false if any failed.
 * `command`: what runs one of them again, but for its number. */
bool sim_runs(uint64_t from, uint64_t count, const char *command);

/* What the process holds. */
enum measure { RSS, FDS, THREADS_NOW, MAPPINGS, MEASURES };
long entries(const char *folder);

/* Takes measures at a quiet point; early: it is what later ones are held
 * against. */
void measure(bool early);
long measured(enum measure m);

/* Tells, and says, whether the last measures exceed the early ones by no more
 * than 1 %, or 2 MB of RSS. Without judge_memory a grown RSS is told only, and
 * so are more mappings. */
bool flat(bool judge_memory);

#endif
