/* SPDX-License-Identifier: MIT */
/* chat.c - a chat server on TCP, its room an actor, and three clients.
 *
 *     server = await asyncio.start_server(visit, "127.0.0.1", 0)
 *     async def room(inbox):
 *         while True:
 *             match await inbox.get(): ...
 *
 * An actor is a task that alone touches its state and handles one message at a
 * time: no lock, and all members see one order. Here the room is one, and each
 * connection has another that writes to it, so that a client who does not read
 * holds up nobody.
 */
#define _GNU_SOURCE /* asprintf */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define MEMBERS 8
#define CLIENTS 3
#define LINES 20 /* each says */
#define LINE 128

struct visitor {
    char name[16];
    weft_actor *writer;
};

struct room { /* the actor's own */
    struct visitor *members[MEMBERS];
    int n;
    long said, lost;
};

struct message {
    enum { JOIN, LEAVE, SAY } kind;
    struct visitor *from;
    const char *text;
};

static void tell_all(struct room *r, const char *name, const char *text)
{
    for (int i = 0; i < r->n; i++) {
        char *line = NULL;

        if (asprintf(&line, "%s %s\n", name, text) < 0)
            line = NULL;
        /* Does not wait: who is that far behind loses some. */
        if (!line || weft_actor_trysend(r->members[i]->writer, line) < 0) {
            free(line);
            r->lost++;
        }
    }
}

/* The room's handler. An error would end the actor: "full" is no error. */
static long in_room(void *state, void *message)
{
    struct room *r = state;
    struct message *m = message;

    switch (m->kind) {
    case JOIN:
        if (r->n == MEMBERS)
            return 0;
        r->members[r->n++] = m->from;
        tell_all(r, "+", m->from->name);
        return 1;
    case LEAVE:
        for (int i = 0; i < r->n; i++)
            if (r->members[i] == m->from)
                r->members[i--] = r->members[--r->n];
        return 1;
    case SAY:
        r->said++;
        tell_all(r, m->from->name, m->text);
        return 1;
    }
    return 0;
}

/* The handler of a connection's writer: its state is the stream. */
static long writes(void *stream, void *message)
{
    ssize_t n = weft_write(stream, message, strlen(message));

    free(message);
    return n;
}

static void drop_line(void *message, void *arg)
{
    (void)arg;
    free(message);
}

static long talk(weft_stream *s, weft_actor *room, struct visitor *v)
{
    char line[LINE];
    struct message m = {JOIN, v, line};
    /* ask waits for the answer, so the message may be on the stack. */
    long rc = weft_actor_ask(room, &m);

    m.kind = SAY;
    while (rc > 0 && (rc = weft_readline(s, line, sizeof line)) > 0) {
        line[strcspn(line, "\n")] = '\0';
        rc = weft_actor_ask(room, &m);
    }
    return rc;
}

/* One task a connection. The first line is the name. */
static long visit(weft_stream *s, void *room)
{
    struct visitor v = {.name = ""};
    struct weft_actor_options opts = {
        .mailbox = 100, .arg = s, .drop = drop_line};
    struct message leave = {LEAVE, &v, NULL};
    weft_group g;
    long rc = weft_readline(s, v.name, sizeof v.name), left = 0;

    if (rc <= 0)
        return rc;
    v.name[strcspn(v.name, "\n")] = '\0';
    weft_with_group(&g) {
        if ((rc = weft_actor_open(&v.writer, &g, writes, &opts)) < 0)
            return rc;
        rc = talk(s, room, &v);
        /* The room must forget v, which is on this stack. */
        weft_with_shield()
            left = weft_actor_ask(room, &leave);
        weft_actor_close(v.writer); /* ends when all is written */
    }
    if (rc >= 0 && left >= 0)
        rc = weft_group_wait(&g);
    return rc < 0 ? rc : left;
}

/* ---- the clients; one task plays them all -------------------------------- */

struct client {
    weft_stream *s;
    int heard;
    unsigned order; /* a sum that depends on the order of the lines */
};

static long say(struct client *c, const char *text)
{
    char line[LINE];
    int n = snprintf(line, sizeof line, "%s\n", text);

    return weft_write(c->s, line, (size_t)n);
}

/* Reads until `says` lines were said, or, if that is 0, until someone is in. */
static long hear(struct client *c, int says)
{
    char line[LINE];
    ssize_t n;

    while ((n = weft_readline(c->s, line, sizeof line)) > 0) {
        if (line[0] == '+') {
            if (!says)
                return 0;
            continue;
        }
        for (int i = 0; i < n; i++)
            c->order = c->order * 31 + (unsigned char)line[i];
        if (++c->heard == says)
            return 0;
    }
    return n < 0 ? n : -EPIPE;
}

static long converse(struct client *c, const char *address)
{
    static const char *const names[CLIENTS] = {"ann", "bob", "cy"};
    static const char *const words[] = {"hello", "who is", "there", "me", "ok"};
    long rc = 0;

    for (int i = 0; i < CLIENTS; i++)
        if ((rc = weft_connect(&c[i].s, address)) < 0 ||
            (rc = say(&c[i], names[i])) < 0 || (rc = hear(&c[i], 0)) < 0)
            return rc;
    for (int i = 0; i < CLIENTS * LINES; i++)
        if ((rc = say(&c[i % CLIENTS], words[i % 5])) < 0)
            return rc;
    for (int i = 0; i < CLIENTS; i++) {
        if ((rc = hear(&c[i], CLIENTS * LINES)) < 0)
            return rc;
        printf("%s heard %d lines\n", names[i], c[i].heard);
    }
    return 0;
}

static long clients(int port)
{
    struct client c[CLIENTS] = {{0}};
    char address[32];
    long rc = 0;

    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    weft_with_timeout(10 * WEFT_SEC)
        rc = converse(c, address);
    for (int i = 0; i < CLIENTS; i++)
        weft_close(c[i].s); /* NULL is fine */
    printf("all in the same order: %d\n",
           c[0].order == c[1].order && c[0].order == c[2].order);
    return rc;
}

struct server {
    weft_listener *l;
    weft_actor *room;
};

static long serves(void *arg)
{
    struct server *s = arg;

    return weft_serve(s->l, visit, s->room);
}

static long chat(void *arg)
{
    struct room room = {.n = 0};
    struct weft_actor_options opts = {.name = "room", .arg = &room};
    struct server s = {NULL, NULL};
    weft_group all, net;
    long rc = weft_listen(&s.l, "127.0.0.1:0");

    (void)arg;
    if (rc < 0)
        return rc;
    weft_with_group(&all) {
        rc = weft_actor_open(&s.room, &all, in_room, &opts);
        weft_with_group(&net) {
            if (rc == 0 && (rc = weft_spawn(&net, serves, &s)) == 0)
                rc = clients(weft_listener_port(s.l));
            weft_group_cancel(&net); /* ends the server and its visits */
        }
        weft_actor_close(s.room);
    }
    weft_listener_close(s.l);
    printf("%ld lines said, %ld lost, %d members left\n", room.said, room.lost,
           room.n);
    return rc;
}

int main(void)
{
    long rc = weft_run(chat, NULL);

    if (rc < 0)
        fprintf(stderr, "chat: %s\n", weft_strerror(rc));
    return rc < 0;
}
