/* What a server's text frames mean, and what they are answered with, by its dialect.
 *
 *   tapecast   a subscribe is sent at once; a reply and a snapshot make the connection ready
 *   socketio   Engine.IO 4 in one WebSocket: `0{..}` is answered with `40`, `40{..}` with an event
 *              `subscribe` that asks for an acknowledgement, `2` (a ping) with `3`. The
 *              acknowledgement and an event `snapshot` make it ready; events `update` count
 *   listen     nothing is sent: who connects has subscribed, and the first frame makes it ready
 *
 * Nothing here does I/O. Frames are matched as these servers write them, without white space
 * between JSON tokens.
 */
#ifndef DIALECTS_H
#define DIALECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum meaning { OTHER, ASKS, OPENED, REPLY, REFUSAL, SNAPSHOT, UPDATE };

struct dialect {
    const char *name;
    const char *subprotocol; /* header line, or nothing */
    /* ASKS: to be answered with `answer`. OPENED: with the subscribe. */
    enum meaning (*read)(const char *text, size_t length, const char **answer);
    const char *subscribe;       /* %s is the channel's name; NULL: nothing is sent */
    bool subscribes_at_once;     /* when the handshake is over, without OPENED */
};

static inline bool starts_with(const char *text, size_t length, const char *prefix)
{
    size_t prefix_length = strlen(prefix);
    return length >= prefix_length && memcmp(text, prefix, prefix_length) == 0;
}

/* `{"channel":"...","type":"...",...}`, and answers to the command 1. */
static enum meaning read_tapecast(const char *text, size_t length, const char **answer)
{
    static const char opening[] = "{\"channel\":\"", type_is[] = "\",\"type\":\"";
    (void)answer;
    if (starts_with(text, length, "{\"id\":1,"))
        return starts_with(text, length, "{\"id\":1,\"error\"") ? REFUSAL : REPLY;
    if (!starts_with(text, length, opening))
        return OTHER;
    const char *name = text + sizeof opening - 1, *end = text + length;
    const char *quote = memchr(name, '"', (size_t)(end - name));
    if (!quote || !starts_with(quote, (size_t)(end - quote), type_is))
        return OTHER;
    const char *type = quote + sizeof type_is - 1;
    if (starts_with(type, (size_t)(end - type), "snapshot\""))
        return SNAPSHOT;
    return starts_with(type, (size_t)(end - type), "update\"") ? UPDATE : OTHER;
}

static enum meaning read_socketio(const char *text, size_t length, const char **answer)
{
    static const struct {
        const char *prefix, *answer;
        enum meaning meaning;
    } known[] = {
        {"42[\"update\",", NULL, UPDATE}, {"42[\"snapshot\",", NULL, SNAPSHOT},
        {"430[", NULL, REPLY},            {"44", NULL, REFUSAL},
        {"40", NULL, OPENED},             {"0{", "40", ASKS},
        {"2", "3", ASKS},
    };
    for (size_t at = 0; at < sizeof known / sizeof *known; at++) {
        if (starts_with(text, length, known[at].prefix)) {
            *answer = known[at].answer;
            return known[at].meaning;
        }
    }
    return OTHER;
}

static const struct dialect dialects[] = {
    {
        .name = "tapecast",
        .subprotocol = "Sec-WebSocket-Protocol: tapecast.v1\r\n",
        .read = read_tapecast,
        .subscribe = "{\"id\":1,\"method\":\"subscribe\",\"params\":{\"channel\":\"%s\"}}",
        .subscribes_at_once = true,
    },
    {
        .name = "socketio",
        .subprotocol = "",
        .read = read_socketio,
        .subscribe = "420[\"subscribe\",{\"channel\":\"%s\"}]",
    },
    {.name = "listen", .subprotocol = "", .read = read_tapecast},
};

static inline const struct dialect *find_dialect(const char *name)
{
    for (size_t at = 0; at < sizeof dialects / sizeof *dialects; at++) {
        if (strcmp(dialects[at].name, name) == 0)
            return &dialects[at];
    }
    return NULL;
}

#endif
