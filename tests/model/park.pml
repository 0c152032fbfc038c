/* SPDX-License-Identifier: MIT */
/* Parking, waking, cancelling, and sleeping workers, for spin: the protocols of
 * src/core/park.c, idle.h and search.c, sequentially consistent. A second
 * opinion: written from the comments, not from the code. tools/modelcheck runs
 * it.
 *
 * One task waits ROUNDS times, each time for a waker of that round; with CANCEL
 * a canceller may end any one of the waits. Two workers run it. At the end, if
 * nobody can go on, the task has ended, no worker counts as searching, and each
 * wait was ended by exactly one. */
#define WORKERS 2
#ifndef ROUNDS
#define ROUNDS 2
#endif

mtype = { IDLE, PARKING, PARKED, CLAIMED, HELD, HELD_READY, HELD_PARKED };

/* the wait word, changed in one step */
mtype state = IDLE;
byte epoch = 0;
bool cancel_bit = false;

bool attention = false;     /* the cancelling flags */
bool off_stack = false;     /* nobody stands on the task's stack */
byte enrolled = 0;          /* the object's waiter: an epoch, or 0; locked */
bool is_set[ROUNDS + 1];    /* the object's own state; locked */
bit lock = 0;
byte ended = 0;             /* claims won for the present epoch */
bool done = false;

byte q[WORKERS];            /* entries in each worker's ring */
byte shared = 0;            /* in the injection queue */
byte searching = 0;
bool asleep[WORKERS];       /* the bitmap */
bool event[WORKERS];        /* eventfds */

inline take_lock() { atomic { lock == 0; lock = 1 } }
inline drop_lock() { lock = 0 }

/* idle_wake_one; each line is a step. Who counted itself as searching and then
 * found nobody to wake looks again: another may have relied on it. */
inline notify(v) {
    do
    :: searching != 0 -> break
    :: else ->
        if
        :: !(asleep[0] || asleep[1]) -> break
        :: else
        fi;
        atomic {
            if
            :: searching == 0 -> searching = 1; v = 1
            :: else -> v = 0
            fi
        };
        if
        :: v == 0 -> break
        :: else
        fi;
        atomic {
            if
            :: asleep[0] -> asleep[0] = false; v = 0
            :: asleep[1] -> asleep[1] = false; v = 1
            :: else -> v = 2
            fi
        };
        if
        :: v == 2 -> atomic { searching-- }
        :: else -> event[v] = true; break
        fi
    od
}

/* From a thread that is no worker. */
inline submit(v) {
    assert(off_stack);
    atomic { shared++; assert(shared + q[0] + q[1] == 1) };
    notify(v)
}

proctype waker(byte round) {
    byte v;
    bool won = false, queue = false;

    take_lock();
    if
    :: enrolled == round ->
        enrolled = 0;
        atomic {
            if
            :: epoch == round && state == PARKED -> state = CLAIMED; won = true
            :: epoch == round && state == PARKING -> state = HELD; won = true
            :: else
            fi;
            if
            :: won -> ended++; assert(ended == 1)
            :: else
            fi
        };
        if
        :: !won -> is_set[round] = true
        :: else
        fi
    :: else -> is_set[round] = true
    fi;
    drop_lock();
    if
    :: won ->
        atomic { /* let_go */
            if
            :: state == HELD -> state = HELD_READY
            :: else ->
                assert(state == CLAIMED || state == HELD_PARKED);
                queue = true
            fi
        };
        if
        :: queue -> submit(v)
        :: else
        fi
    :: else
    fi
}

proctype canceller() {
    byte v;
    bool queue = false;

    attention = true; /* and the fence */
    atomic {
        if
        :: state == PARKED ->
            state = CLAIMED; cancel_bit = true; queue = true;
            ended++; assert(ended == 1)
        :: state == PARKING ->
            state = HELD_READY; cancel_bit = true;
            ended++; assert(ended == 1)
        :: else
        fi
    };
    if
    :: queue -> submit(v)
    :: else
    fi
}

proctype worker(byte me) {
    byte v;
    bool mine = false, got = false, woken = false;

    if
    :: me == 0 -> goto begin /* runs the task first */
    :: else
    fi;
loop:
    got = false;
    atomic {
        if
        :: q[me] > 0 -> q[me]--; got = true
        :: else
        fi
    };
    if
    :: got -> goto found
    :: else
    fi;
    if
    :: mine -> skip
    :: !mine && 2 * searching < WORKERS -> atomic { searching++; mine = true }
    :: else -> goto park
    fi;
    atomic { /* steal */
        if
        :: q[1 - me] > 0 -> q[1 - me]--; got = true
        :: else
        fi
    };
    if
    :: got -> goto found
    :: else
    fi;
    atomic {
        if
        :: shared > 0 -> shared--; got = true
        :: else
        fi
    };
    if
    :: got -> goto found
    :: else
    fi;
park:
    if
    :: mine -> atomic { searching--; mine = false }
    :: else
    fi;
    asleep[me] = true;
    if /* the second look */
    :: shared > 0 -> goto up
    :: else
    fi;
    if
    :: q[0] > 0 || q[1] > 0 -> goto up
    :: else
    fi;
end:
    atomic { event[me]; event[me] = false };
up:
    atomic {
        if
        :: asleep[me] -> asleep[me] = false
        :: else -> mine = true
        fi
    };
    goto loop;
found:
    if
    :: mine ->
        atomic { searching--; v = searching; mine = false };
        if
        :: v == 0 && (shared > 0 || q[0] > 0 || q[1] > 0) -> notify(v)
        :: else
        fi
    :: else
    fi;
    /* the task goes on where it waited */
    assert(off_stack);
    off_stack = false;
resumed:
    assert(ended == 1);
    woken = !cancel_bit;
    atomic { state = IDLE; cancel_bit = false };
    if
    :: !woken -> take_lock(); enrolled = 0; drop_lock()
    :: else
    fi;
begin:
    if
    :: epoch == ROUNDS -> done = true; goto loop
    :: else
    fi;
    atomic { epoch++; state = PARKING; cancel_bit = false; ended = 0 };
    if
    :: attention -> /* refused: the canceller may have claimed meanwhile */
        atomic {
            assert(state == PARKING || state == HELD_READY);
            state = IDLE; cancel_bit = false
        };
        goto begin
    :: else
    fi;
    take_lock();
    if
    :: is_set[epoch] ->
        drop_lock();
        atomic {
            assert(state == PARKING || state == HELD_READY);
            state = IDLE; cancel_bit = false
        };
        goto begin
    :: else -> enrolled = epoch; drop_lock()
    fi;
    if
    :: state == HELD_READY -> goto resumed
    :: else
    fi;
    off_stack = true; /* the switch is complete */
    atomic {
        if
        :: state == PARKING -> state = PARKED; goto loop
        :: state == HELD -> state = HELD_PARKED; goto loop
        :: else -> assert(state == HELD_READY)
        fi
    };
    atomic { q[me]++; assert(shared + q[0] + q[1] == 1) };
    notify(v);
    goto loop
}

proctype judge() {
    timeout;
    assert(done);
    assert(searching == 0);
    assert(lock == 0)
}

init {
    atomic {
        run worker(0);
        run worker(1);
        run waker(1);
#if ROUNDS > 1
        run waker(2);
#endif
#ifdef CANCEL
        run canceller();
#endif
        run judge()
    }
}
