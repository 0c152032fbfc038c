/* SPDX-License-Identifier: MIT */
/* An actor's mailbox: a ring of letters, one reader.
 *
 * A letter that somebody waits for (an ask) points to the asker's frame. Until
 * the reader takes it out the asker may withdraw it, which leaves a hole; once
 * it is out the asker waits for the answer, cancelled or not. So the message
 * may lie in the asker's frame. */
#ifndef WEFT_FLOW_MAILBOX_H
#define WEFT_FLOW_MAILBOX_H

#include "sync/waitq.h"

struct letter {
    void *message;
    struct ask *ask; /* NULL: nobody waits; &w_hole: withdrawn */
};

enum ask_state { ASK_SENT, ASK_TAKEN, ASK_DONE };

struct ask {
    struct waiter x;      /* of the answer */
    bool waiting;         /* L: x may be claimed */
    enum ask_state state; /* L */
    uint64_t number;      /* L: of its letter, in order of sending */
    long answer;          /* L until DONE */
};

extern struct ask w_hole;

struct mailbox {
    struct spin lock;
    bool unbounded;        /* I */
    bool shut;             /* L: takes no more */
    struct letter *ring;   /* L */
    size_t cap;            /* L */
    size_t head;           /* L: the oldest */
    _Atomic size_t len;    /* L to write; holes count */
    uint64_t first;        /* L: number of the oldest */
    struct waiter *reader; /* L */
    struct list senders;   /* L: wait for room */
};

/* cap 0: unbounded. 0, -ENOMEM. */
W_MUST_CHECK int w_mailbox_open(struct mailbox *m, size_t cap);
void w_mailbox_close(struct mailbox *m);

/* Without waiting: -EAGAIN. Any thread. */
W_MUST_CHECK int w_mailbox_tryput(struct mailbox *m, struct letter l);
W_MUST_CHECK int w_mailbox_put(struct mailbox *m, struct letter l);

/* The reader. -ESHUTDOWN: shut and empty. */
W_MUST_CHECK int w_mailbox_get(struct mailbox *m, struct letter *l);
/* Any thread once there is no reader. */
bool w_mailbox_tryget(struct mailbox *m, struct letter *l);

/* Of a letter that was got. */
void w_mailbox_answer(struct mailbox *m, struct ask *a, long answer);

/* After the put of a's letter: waits for the answer. */
long w_mailbox_await(struct mailbox *m, struct ask *a);

/* Any thread. */
void w_mailbox_shut(struct mailbox *m);

#endif
