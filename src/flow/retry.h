/* SPDX-License-Identifier: MIT */
/* The delays of weft_retry, apart from the waiting. */
#ifndef WEFT_FLOW_RETRY_H
#define WEFT_FLOW_RETRY_H

#include <weft/flow.h>

struct backoff {
    double next; /* ns, before jitter */
    double max;
    double factor;
    double jitter;
    uint64_t random;
};

void w_backoff_init(struct backoff *b, const struct weft_retry_options *opts,
                    uint64_t seed);

/* The next delay in ns, 0 <= d <= max. */
int64_t w_backoff_next(struct backoff *b);

#endif
