/* SPDX-License-Identifier: MIT */
/* pool_defer.c - a connection pool, and transactions that always end.
 *
 *     async with pool.acquire() as c, asyncio.timeout(0.2):
 *         async with AsyncExitStack() as stack:
 *             await c.begin()
 *             stack.push_async_callback(c.end)   # commit or roll back
 *             await c.execute(...)
 *
 * weft_depot is the pool: it opens connections as they are needed, lends each
 * to one task at a time and closes what is broken. weft_defer is the stack.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

#define JOBS 12

struct connection {
    int broken, committing;
};

struct database { /* a pretended one */
    weft_depot *pool;
    atomic_int open, opened, committed, rolled_back;
};

/* The pool's three functions run in the task that takes or gives, and may
 * wait. */
static int connect_to(void **out, void *arg)
{
    struct database *db = arg;
    struct connection *c;
    int rc = weft_sleep(20 * WEFT_MS); /* a handshake */

    if (rc < 0)
        return rc;
    if (!(c = calloc(1, sizeof *c)))
        return -ENOMEM;
    atomic_fetch_add(&db->open, 1);
    atomic_fetch_add(&db->opened, 1);
    *out = c;
    return 0;
}

static int is_broken(void *connection, void *arg)
{
    (void)arg;
    return ((struct connection *)connection)->broken;
}

static void disconnect(void *connection, void *arg)
{
    atomic_fetch_sub(&((struct database *)arg)->open, 1);
    free(connection);
}

struct job {
    struct database *db;
    struct connection *c;
    int number;
};

/* A defer: runs when the time-out's block is left, however that happens, and
 * under a shield, so it can wait even where the block timed out. */
static long end_transaction(void *arg)
{
    struct job *j = arg;
    int rc = weft_sleep(WEFT_MS); /* a round trip: COMMIT or ROLLBACK */

    atomic_fetch_add(j->c->committing ? &j->db->committed : &j->db->rolled_back,
                     1);
    return rc;
}

/* Job 3 hangs, job 6 finds its connection broken. */
static long transaction(struct job *j)
{
    int rc = weft_defer(end_transaction, j);

    if (rc < 0)
        return rc;
    if ((rc = weft_sleep(j->number == 3 ? WEFT_MIN : 10 * WEFT_MS)) < 0)
        return rc;
    if (j->number == 6) {
        j->c->broken = 1;
        return -ECONNRESET;
    }
    j->c->committing = 1;
    return 0;
}

static long job(void *arg)
{
    struct job *j = arg;
    long rc = 0;

    /* The innermost scope is the time-out: the defers run before the connection
     * is given back. */
    weft_with_depot(j->db->pool, struct connection, c) {
        j->c = c;
        c->committing = 0;
        weft_with_timeout(200 * WEFT_MS)
            rc = transaction(j);
        return rc;
    }
    return -EAGAIN; /* no connection; weft_depot_take would say why */
}

static long close_pool(void *pool)
{
    weft_depot_close(pool);
    return 0;
}

static long work(struct database *db)
{
    struct job jobs[JOBS];
    struct weft_call calls[JOBS];
    long failed;

    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){.db = db, .number = i};
        calls[i] = (struct weft_call){.fn = job, .arg = &jobs[i]};
    }
    if ((failed = weft_gather_collect(calls, JOBS)) < 0)
        return failed;
    printf("job 3: %s\njob 6: %s\n", weft_strerror(calls[3].ret),
           weft_strerror(calls[6].ret));
    printf("%d jobs, %ld failed: %d committed, %d rolled back\n", JOBS, failed,
           atomic_load(&db->committed), atomic_load(&db->rolled_back));
    printf("%d connections opened, %d open now\n", atomic_load(&db->opened),
           atomic_load(&db->open));
    return 0;
}

static long pool_defer(void *arg)
{
    struct database *db = arg;
    struct weft_depot_options opts = {.open = connect_to,
                                      .close = disconnect,
                                      .check = is_broken,
                                      .arg = db,
                                      .max = 3};
    int rc = weft_depot_open(&db->pool, &opts);

    if (rc < 0)
        return rc;
    if ((rc = weft_defer(close_pool, db->pool)) < 0) {
        weft_depot_close(db->pool);
        return rc;
    }
    return work(db); /* the pool is closed as this task ends */
}

int main(void)
{
    struct database db = {0};
    long rc = weft_run(pool_defer, &db);

    if (rc < 0)
        fprintf(stderr, "pool_defer: %s\n", weft_strerror(rc));
    printf("open at the end: %d\n", atomic_load(&db.open));
    return rc < 0;
}
