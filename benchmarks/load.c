/* load: opens many WebSocket connections to one server and counts what they receive.
 *
 * One thread, one epoll, no dependency: a connection costs this process a few system calls, so
 * that on a core of its own it is faster than any server it measures. Where it is not, its report
 * says `saturated`.
 *
 *   storm   open the connections, report, close them
 *   hold    the same, then keep them; each line on standard input ends a window, reports it and
 *           begins the next; the end of standard input (or of --seconds) ends the last one
 *
 * A connection is ready when its subscription was answered and the snapshot arrived:
 *
 *   CONNECTING --writable--> HANDSHAKING --101--> SUBSCRIBING --reply, snapshot--> READY
 *
 * and CLOSED after a failure, from any stage; it is counted and never tried again.
 * A report is one line of JSON on standard output. What the server says is read in one of the
 * dialects of dialects.h.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dialects.h"
#include "histogram.h"

enum {
    BUFFER_BYTES = 1 << 20,  /* a frame is read whole, so none may be larger */
    HEADER_BYTES = 16384,    /* the answer to a handshake, and the longest request */
    EVENTS = 512,            /* events taken from epoll at once */
    DETAIL_BYTES = 160,
};

/* The sample key of RFC 6455, section 1.3, with its accept value: no SHA-1 is needed here. */
#define HANDSHAKE_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define HANDSHAKE_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define DEFLATE_OFFER                                                                               \
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "                   \
    "client_no_context_takeover\r\n"

static const double SATURATED = 0.9; /* share of a core above which this process is suspected */

enum stage { CONNECTING, HANDSHAKING, SUBSCRIBING, READY, CLOSED };

enum failure { CONNECT, HANDSHAKE, SUBSCRIBE, PROTOCOL, LOST, TIMEOUT, FAILURES };

static const char *const failure_names[FAILURES] = {
    [CONNECT] = "connect",     /* no TCP connection */
    [HANDSHAKE] = "handshake", /* an answer that is not the expected 101 */
    [SUBSCRIBE] = "subscribe", /* the subscription was answered with an error */
    [PROTOCOL] = "protocol",   /* a frame that breaches RFC 6455 or that nobody asked for */
    [LOST] = "lost",           /* closed by the server, at any stage after connecting */
    [TIMEOUT] = "timeout",     /* not ready within --timeout */
};

struct connection {
    char *partial; /* the beginning of a frame whose rest has not arrived */
    uint64_t opened_us;
    uint32_t partial_bytes;
    int fd;
    uint8_t stage;
    bool replied, has_snapshot;
};

/* A masked text frame, ready to be sent. */
struct client_frame {
    char bytes[512];
    size_t length;
};

/* What is counted between two reports. */
struct window {
    uint64_t began_us, frames, updates, bytes, spun_us;
    uint64_t failed[FAILURES];
    struct rusage cpu;
    struct histogram delay_us; /* storm: from connect to ready; hold: from `ts` to receipt */
};

static struct {
    const char *host, *path, *channel, *token_file;
    const struct dialect *dialect;
    int port, connections, concurrency, channels, source_addresses;
    double timeout_seconds, hold_seconds;
    uint64_t spin_us;
    bool hold, latency, deflate;
} options = {
    .host = "127.0.0.1",
    .path = "/ws",
    .channel = "portfolio",
    .dialect = &dialects[0],
    .channels = 1,
    .connections = 1000,
    .concurrency = 256,
    .source_addresses = 1,
    .timeout_seconds = 60,
};

static struct {
    struct connection *connections;
    struct sockaddr_in server;
    char **tokens;
    size_t token_count;
    struct client_frame *subscribes; /* one a channel, NULL where the dialect has none */
    int epoll, opened, ready, in_flight;
    char first_failure[DETAIL_BYTES];
    struct window window;
} load;

/* ---- small things ---- */

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
    va_list args;
    fputs("load: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static uint64_t clock_us(clockid_t clock)
{
    struct timespec at;
    clock_gettime(clock, &at);
    return (uint64_t)at.tv_sec * 1000000 + (uint64_t)at.tv_nsec / 1000;
}

static uint64_t now_us(void) { return clock_us(CLOCK_MONOTONIC); }

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* ---- windows and reports ---- */

static void window_begin(void)
{
    memset(&load.window, 0, sizeof load.window);
    load.window.began_us = now_us();
    getrusage(RUSAGE_SELF, &load.window.cpu);
}

static void report(const char *phase)
{
    const struct window *window = &load.window;
    struct rusage cpu;
    getrusage(RUSAGE_SELF, &cpu);
    double seconds = (double)(now_us() - window->began_us) / 1e6;
    double used = seconds_of(cpu.ru_utime) - seconds_of(window->cpu.ru_utime) +
                  seconds_of(cpu.ru_stime) - seconds_of(window->cpu.ru_stime) -
                  (double)window->spun_us / 1e6;
    double busy = seconds > 0 ? used / seconds : 0;

    printf("{\"phase\":\"%s\",\"connections\":%d,\"ready\":%d,\"seconds\":%.6f", phase,
           options.connections, load.ready, seconds);
    printf(",\"cpu_seconds\":%.6f,\"busy\":%.3f,\"saturated\":%s", used, busy,
           busy > SATURATED ? "true" : "false");
    printf(",\"frames\":%llu,\"updates\":%llu,\"bytes\":%llu", (unsigned long long)window->frames,
           (unsigned long long)window->updates, (unsigned long long)window->bytes);
    if (window->delay_us.count)
        printf(",\"delay_us\":{\"count\":%llu,\"p50\":%llu,\"p99\":%llu,\"p999\":%llu,\"max\":%llu}",
               (unsigned long long)window->delay_us.count,
               (unsigned long long)histogram_at(&window->delay_us, 0.5),
               (unsigned long long)histogram_at(&window->delay_us, 0.99),
               (unsigned long long)histogram_at(&window->delay_us, 0.999),
               (unsigned long long)window->delay_us.max);
    else
        printf(",\"delay_us\":null");
    printf(",\"failures\":{");
    const char *comma = "";
    for (int kind = 0; kind < FAILURES; kind++) {
        if (window->failed[kind]) {
            printf("%s\"%s\":%llu", comma, failure_names[kind],
                   (unsigned long long)window->failed[kind]);
            comma = ",";
        }
    }
    printf("},\"first_failure\":\"%s\"}\n", load.first_failure);
    fflush(stdout);
}

/* ---- a connection ---- */

static void build_frame(struct client_frame *frame, const char *text)
{
    static const char mask[4] = {0x37, (char)0xFA, 0x21, 0x3D};
    size_t length = strlen(text);
    char *at = frame->bytes;
    *at++ = (char)0x81;
    if (length < 126) {
        *at++ = (char)(0x80 | length);
    } else {
        *at++ = (char)(0x80 | 126);
        *at++ = (char)(length >> 8);
        *at++ = (char)length;
    }
    memcpy(at, mask, sizeof mask);
    at += sizeof mask;
    for (size_t byte = 0; byte < length; byte++)
        *at++ = (char)(text[byte] ^ mask[byte % 4]);
    frame->length = (size_t)(at - frame->bytes);
}

/* Count the failure, keep the words of the first one (it explains the rest), free the socket. */
__attribute__((format(printf, 3, 4))) static void fail(struct connection *connection,
                                                       enum failure kind, const char *format, ...)
{
    load.window.failed[kind]++;
    if (!*load.first_failure) {
        va_list args;
        va_start(args, format);
        vsnprintf(load.first_failure, sizeof load.first_failure, format, args);
        va_end(args);
        for (char *at = load.first_failure; *at; at++) { /* it is printed inside a JSON string */
            if (*at == '"')
                *at = '\'';
            else if (*at < ' ' || *at > '~' || *at == '\\')
                *at = '?';
        }
    }
    if (connection->stage == READY)
        load.ready--;
    else
        load.in_flight--;
    connection->stage = CLOSED;
    if (connection->fd >= 0)
        close(connection->fd);
    free(connection->partial);
    connection->partial = NULL;
    connection->partial_bytes = 0;
}

static void open_next(void)
{
    int number = load.opened++;
    struct connection *connection = &load.connections[number];
    connection->stage = CONNECTING;
    connection->opened_us = now_us();
    load.in_flight++;

    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) {
        fail(connection, CONNECT, "socket: %s", strerror(errno));
        return;
    }
    const int on = 1;
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (options.source_addresses > 1) {
        uint32_t address = INADDR_LOOPBACK + (uint32_t)(number % options.source_addresses);
        struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
        /* Else the bind takes a port that no other destination could use again. */
        setsockopt(connection->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(connection->fd, (struct sockaddr *)&source, sizeof source) < 0) {
            fail(connection, CONNECT, "bind: %s", strerror(errno));
            return;
        }
    }
    if (connect(connection->fd, (struct sockaddr *)&load.server, sizeof load.server) < 0
        && errno != EINPROGRESS) {
        fail(connection, CONNECT, "connect: %s%s", strerror(errno),
             errno == EADDRNOTAVAIL ? ": out of ports, raise --source-addresses" : "");
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = connection};
    if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
        fail(connection, CONNECT, "epoll_ctl: %s", strerror(errno));
}

/* What is sent here is far below an empty socket's buffer: a short write is a failure. */
static bool send_all(struct connection *connection, const char *bytes, size_t count)
{
    ssize_t sent = send(connection->fd, bytes, count, MSG_NOSIGNAL);
    if (sent == (ssize_t)count)
        return true;
    fail(connection, LOST, "send: %s", sent < 0 ? strerror(errno) : "short write");
    return false;
}

static void begin_handshake(struct connection *connection)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        fail(connection, CONNECT, "connect: %s", strerror(error));
        return;
    }
    char request[HEADER_BYTES];
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\n"
                          "Host: %s:%d\r\n"
                          "Upgrade: websocket\r\n"
                          "Connection: Upgrade\r\n"
                          "Sec-WebSocket-Key: " HANDSHAKE_KEY "\r\n"
                          "Sec-WebSocket-Version: 13\r\n"
                          "%s%s",
                          options.path, options.host, options.port, options.dialect->subprotocol,
                          options.deflate ? DEFLATE_OFFER : "");
    if (load.token_count) {
        size_t number = (size_t)(connection - load.connections);
        length += snprintf(request + length, sizeof request - (size_t)length,
                           "Authorization: Bearer %s\r\n", load.tokens[number % load.token_count]);
    }
    length += snprintf(request + length, sizeof request - (size_t)length, "\r\n");
    if (send_all(connection, request, (size_t)length))
        connection->stage = HANDSHAKING;
}

static void subscribe(struct connection *connection)
{
    int number = (int)(connection - load.connections) % options.channels;
    const struct client_frame *frame = &load.subscribes[number];
    send_all(connection, frame->bytes, frame->length);
}

static void take_update(struct connection *connection, const char *text, size_t length)
{
    static const char ts_is[] = "\"ts\":"; /* it stands before the data */
    load.window.updates++;
    const char *ts = options.latency ? memmem(text, length < 512 ? length : 512, ts_is, 5) : NULL;
    if (ts && connection->stage == READY) {
        uint64_t published_us = strtoull(ts + sizeof ts_is - 1, NULL, 10);
        uint64_t received_us = clock_us(CLOCK_REALTIME);
        histogram_add(&load.window.delay_us,
                      received_us > published_us ? received_us - published_us : 0);
    }
}

static void take_reply(struct connection *connection, const char *text, size_t length)
{
    if (connection->stage != SUBSCRIBING || connection->replied)
        fail(connection, PROTOCOL, "unexpected reply %.*s", (int)length, text);
    else
        connection->replied = true;
}

static void take_text(struct connection *connection, enum meaning meaning, const char *text,
                      size_t length, const char *answer)
{
    load.window.frames++;
    load.window.bytes += length;
    switch (meaning) {
    case ASKS: {
        struct client_frame frame;
        build_frame(&frame, answer);
        send_all(connection, frame.bytes, frame.length);
        break;
    }
    case OPENED: subscribe(connection); break;
    case REPLY: take_reply(connection, text, length); break;
    case REFUSAL: fail(connection, SUBSCRIBE, "%.*s", (int)length, text); break;
    case SNAPSHOT: connection->has_snapshot = true; break;
    case UPDATE: take_update(connection, text, length); break;
    case OTHER: break;
    }
    if (!options.dialect->subscribe)
        connection->replied = connection->has_snapshot = true;
    if (connection->stage == SUBSCRIBING && connection->replied && connection->has_snapshot) {
        connection->stage = READY;
        load.ready++;
        load.in_flight--;
        histogram_add(&load.window.delay_us, now_us() - connection->opened_us);
    }
}

static void take_frame(struct connection *connection, int opcode, bool deflated,
                       const char *payload, size_t length)
{
    const char *answer = NULL;
    if (opcode == 0x1 && deflated) {
        /* It is not inflated: what it says follows from what came before it. */
        enum meaning meaning = connection->stage == READY ? UPDATE
                               : connection->replied      ? SNAPSHOT
                                                          : REPLY;
        take_text(connection, meaning, payload, length, NULL);
    } else if (opcode == 0x1) {
        enum meaning meaning = options.dialect->read(payload, length, &answer);
        take_text(connection, meaning, payload, length, answer);
    } else if (opcode == 0x8) {
        unsigned code = length < 2 ? 1005 : (unsigned)((uint8_t)payload[0] << 8 | (uint8_t)payload[1]);
        int reason = length < 2 ? 0 : (int)length - 2;
        fail(connection, LOST, "close %u %.*s", code, reason, payload + (reason ? 2 : 0));
    } else if (opcode == 0x9 && length <= 125) {
        /* A masking key of zero leaves the payload as it is. */
        char pong[6 + 125] = {(char)0x8A, (char)(0x80 | length)};
        memcpy(pong + 6, payload, length);
        send_all(connection, pong, 6 + length);
    } else if (opcode != 0xA) {
        fail(connection, PROTOCOL, "opcode %d of %zu bytes", opcode, length);
    }
}

/* Takes every whole frame; returns the bytes used. The connection may be CLOSED afterwards. */
static size_t take_frames(struct connection *connection, const char *bytes, size_t count)
{
    size_t used = 0;
    while (connection->stage != CLOSED && count - used >= 2) {
        const uint8_t *head = (const uint8_t *)bytes + used;
        size_t header = 2, length = head[1] & 0x7F;
        bool deflated = options.deflate && head[0] & 0x40;
        if ((head[0] & 0xF0) != (deflated ? 0xC0 : 0x80) || head[1] & 0x80) {
            fail(connection, PROTOCOL, "frame header %02x %02x", head[0], head[1]);
            break;
        }
        if (length >= 126) {
            size_t extended = length == 126 ? 2 : 8;
            header += extended;
            if (count - used < header)
                break;
            length = 0;
            for (size_t at = 0; at < extended; at++)
                length = length << 8 | head[2 + at];
        }
        if (length > BUFFER_BYTES - header) {
            fail(connection, PROTOCOL, "a frame of %zu bytes", length);
            break;
        }
        if (count - used < header + length)
            break;
        take_frame(connection, head[0] & 0x0F, deflated, bytes + used + header, length);
        used += header + length;
    }
    return used;
}

/* Takes the answer to the handshake once it is whole; returns the bytes used, 0 for not yet. */
static size_t take_answer(struct connection *connection, const char *bytes, size_t count)
{
    const char *end = memmem(bytes, count, "\r\n\r\n", 4);
    if (!end) {
        if (count > HEADER_BYTES)
            fail(connection, HANDSHAKE, "an answer without end, %zu bytes", count);
        return 0;
    }
    size_t length = (size_t)(end - bytes) + 4;
    if (!starts_with(bytes, length, "HTTP/1.1 101 ")) {
        const char *line = memchr(bytes, '\r', length);
        fail(connection, HANDSHAKE, "%.*s", (int)(line - bytes), bytes);
    } else if (!memmem(bytes, length, HANDSHAKE_ACCEPT, strlen(HANDSHAKE_ACCEPT))) {
        fail(connection, HANDSHAKE, "a wrong or no Sec-WebSocket-Accept");
    } else if (options.deflate && !memmem(bytes, length, "permessage-deflate", 18)) {
        fail(connection, HANDSHAKE, "permessage-deflate was offered and not taken");
    } else {
        connection->stage = SUBSCRIBING;
        if (options.dialect->subscribes_at_once)
            subscribe(connection);
    }
    return length;
}

static void receive(struct connection *connection, bool to_the_end)
{
    static char buffer[BUFFER_BYTES]; /* shared: between two events only `partial` is kept */
    for (;;) {
        size_t kept = connection->partial_bytes;
        ssize_t count = recv(connection->fd, buffer + kept, sizeof buffer - kept, 0);
        if (count < 0 && errno == EAGAIN)
            return;
        if (count <= 0) {
            fail(connection, LOST, "receive: %s", count ? strerror(errno) : "end of stream");
            return;
        }
        if (kept)
            memcpy(buffer, connection->partial, kept);
        size_t have = kept + (size_t)count, used = 0;
        if (connection->stage == HANDSHAKING)
            used = take_answer(connection, buffer, have);
        if (connection->stage == SUBSCRIBING || connection->stage == READY)
            used += take_frames(connection, buffer + used, have - used);
        if (connection->stage == CLOSED)
            return;

        size_t rest = have - used;
        if (rest > kept) {
            char *grown = realloc(connection->partial, rest);
            if (!grown)
                die("out of memory");
            connection->partial = grown;
        }
        if (rest)
            memcpy(connection->partial, buffer + used, rest);
        connection->partial_bytes = (uint32_t)rest;
        /* A short read has emptied the socket, and epoll will tell of more. Not so of an end of
         * stream that it has told already. */
        if (have < sizeof buffer && !to_the_end)
            return;
    }
}

/* ---- phases ---- */

/* What epoll has within --spin, without sleeping.
 *
 * A server pays for waking up the clients on its own machine, which it would not for others: where
 * they slept after each few frames, that would be charged to it, and the more the slower it sends. */
static int spin(struct epoll_event *events)
{
    uint64_t began_us = clock_us(CLOCK_THREAD_CPUTIME_ID), until_us = now_us() + options.spin_us;
    int count;
    do
        count = epoll_wait(load.epoll, events, EVENTS, 0);
    while (count == 0 && now_us() < until_us);
    load.window.spun_us += clock_us(CLOCK_THREAD_CPUTIME_ID) - began_us;
    return count;
}

/* Waits for events until the given time and handles them; true when standard input has some. */
static bool handle_events(uint64_t until_us)
{
    struct epoll_event events[EVENTS];
    uint64_t now = now_us();
    int wait_ms = until_us == UINT64_MAX ? -1
                  : until_us > now       ? (int)((until_us - now) / 1000 + 1)
                                         : 0;
    int count = options.spin_us && wait_ms ? spin(events) : 0;
    if (count == 0)
        count = epoll_wait(load.epoll, events, EVENTS, wait_ms);
    if (count < 0 && errno != EINTR)
        die("epoll_wait: %s", strerror(errno));
    bool input = false;
    for (int at = 0; at < count; at++) {
        struct connection *connection = events[at].data.ptr;
        if (!connection) {
            input = true;
            continue;
        }
        if (connection->stage == CONNECTING)
            begin_handshake(connection);
        if (connection->stage != CLOSED && events[at].events & ~(uint32_t)EPOLLOUT)
            receive(connection, events[at].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    }
    return input;
}

static void storm(void)
{
    static const char *const waits_for[] = {
        [CONNECTING] = "the TCP connection",
        [HANDSHAKING] = "the answer to the handshake",
    };
    window_begin();
    uint64_t deadline_us = load.window.began_us + (uint64_t)(options.timeout_seconds * 1e6);
    while (load.opened < options.connections || load.in_flight) {
        while (load.opened < options.connections && load.in_flight < options.concurrency)
            open_next();
        handle_events(deadline_us);
        if (now_us() < deadline_us)
            continue;
        for (int number = 0; number < load.opened; number++) {
            struct connection *connection = &load.connections[number];
            if (connection->stage < READY)
                fail(connection, TIMEOUT, "waited for %s",
                     connection->stage < SUBSCRIBING ? waits_for[connection->stage]
                     : connection->replied           ? "the snapshot"
                                                     : "the reply to the subscription");
        }
        load.window.failed[TIMEOUT] += (uint64_t)(options.connections - load.opened);
        break;
    }
    report("storm");
}

static void hold(void)
{
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
    bool timed = options.hold_seconds > 0, open = true;
    if (!timed && epoll_ctl(load.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) < 0)
        die("standard input is neither pipe nor terminal: give --seconds");
    window_begin();
    uint64_t until_us =
        timed ? load.window.began_us + (uint64_t)(options.hold_seconds * 1e6) : UINT64_MAX;
    while (open && now_us() < until_us) {
        if (!handle_events(until_us))
            continue;
        char line[256];
        ssize_t count = read(STDIN_FILENO, line, sizeof line);
        open = count > 0;
        if (open && memchr(line, '\n', (size_t)count)) {
            report("hold");
            window_begin();
        }
    }
    report("hold");
}

/* ---- start ---- */

static void read_tokens(void)
{
    FILE *file = fopen(options.token_file, "r");
    if (!file)
        die("%s: %s", options.token_file, strerror(errno));
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    while ((length = getline(&line, &size, file)) >= 0) {
        line[strcspn(line, "\r\n")] = '\0';
        if (!*line)
            continue;
        if (length > HEADER_BYTES / 2)
            die("%s: a token of %zd bytes", options.token_file, length);
        load.tokens = realloc(load.tokens, (load.token_count + 1) * sizeof *load.tokens);
        if (!load.tokens || !(load.tokens[load.token_count++] = strdup(line)))
            die("out of memory");
    }
    free(line);
    fclose(file);
    if (!load.token_count)
        die("%s: no token in it", options.token_file);
}

static void build_subscribes(void)
{
    load.subscribes = calloc((size_t)options.channels, sizeof *load.subscribes);
    if (!load.subscribes)
        die("out of memory");
    for (int number = 0; options.dialect->subscribe && number < options.channels; number++) {
        char name[300], text[400];
        int length = options.channels > 1
                         ? snprintf(name, sizeof name, "%s:%d", options.channel, number)
                         : snprintf(name, sizeof name, "%s", options.channel);
        if (length > 255)
            die("--channel is longer than 255 bytes");
        snprintf(text, sizeof text, options.dialect->subscribe, name);
        build_frame(&load.subscribes[number], text);
    }
}

static const char usage[] =
    "usage: load storm|hold --port PORT [option]...\n"
    "  --host ADDRESS          IPv4 address of the server (127.0.0.1)\n"
    "  --path PATH             of the WebSocket endpoint (/ws)\n"
    "  --connections N         to open (1000)\n"
    "  --concurrency N         at most so many not ready at a time (256)\n"
    "  --dialect NAME          that the server speaks: tapecast, socketio, listen (tapecast)\n"
    "  --channel NAME          what each connection subscribes to (portfolio)\n"
    "  --channels N            more than 1: NAME:0 to NAME:N-1 in turn (1)\n"
    "  --deflate               offer permessage-deflate, and fail where it is not taken\n"
    "  --tokens FILE           one token a line, taken in turn; none: no Authorization header\n"
    "  --source-addresses N    connect from 127.0.0.1 to 127.0.0.N in turn: each has its own ports (1)\n"
    "  --timeout SECONDS       for the whole storm (60)\n"
    "  --seconds SECONDS       hold: so long, without looking at standard input\n"
    "  --latency               hold: measure from an update's `ts` to its receipt\n"
    "  --spin MICROSECONDS     look for the next frame so long before sleeping (0)\n"
    "exit status: 0, or 3 where a connection failed, 1 without a report, 2 for wrong use\n";

__attribute__((noreturn)) static void misused(void)
{
    fputs(usage, stderr);
    exit(2);
}

static double number(const char *name, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most)) {
        fprintf(stderr, "load: --%s: expected a number from %g to %g, got %s\n", name, least, most, text);
        exit(2);
    }
    return value;
}

static void read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"host", required_argument, NULL, 'h'},
        {"port", required_argument, NULL, 'p'},
        {"path", required_argument, NULL, 'u'},
        {"connections", required_argument, NULL, 'n'},
        {"concurrency", required_argument, NULL, 'c'},
        {"dialect", required_argument, NULL, 'i'},
        {"channel", required_argument, NULL, 's'},
        {"channels", required_argument, NULL, 'm'},
        {"deflate", no_argument, NULL, 'z'},
        {"tokens", required_argument, NULL, 't'},
        {"source-addresses", required_argument, NULL, 'a'},
        {"timeout", required_argument, NULL, 'd'},
        {"seconds", required_argument, NULL, 'w'},
        {"latency", no_argument, NULL, 'l'},
        {"spin", required_argument, NULL, 'k'},
        {NULL, 0, NULL, 0},
    };
    int letter, which = 0;
    while ((letter = getopt_long(argc, argv, "", known, &which)) != -1) {
        const char *name = known[which].name;
        switch (letter) {
        case 'h': options.host = optarg; break;
        case 'p': options.port = (int)number(name, optarg, 1, 65535); break;
        case 'u': options.path = optarg; break;
        case 'n': options.connections = (int)number(name, optarg, 1, 1e7); break;
        case 'c': options.concurrency = (int)number(name, optarg, 1, 1e7); break;
        case 'i': options.dialect = find_dialect(optarg); break;
        case 's': options.channel = optarg; break;
        case 'm': options.channels = (int)number(name, optarg, 1, 1e6); break;
        case 'z': options.deflate = true; break;
        case 't': options.token_file = optarg; break;
        case 'a': options.source_addresses = (int)number(name, optarg, 1, 250); break;
        case 'd': options.timeout_seconds = number(name, optarg, 0.001, 1e6); break;
        case 'w': options.hold_seconds = number(name, optarg, 0.001, 1e6); break;
        case 'l': options.latency = true; break;
        case 'k': options.spin_us = (uint64_t)number(name, optarg, 0, 1e6); break;
        default: misused();
        }
    }
    if (optind + 1 != argc || !options.port || !options.dialect)
        misused();
    options.hold = strcmp(argv[optind], "hold") == 0;
    if (!options.hold && strcmp(argv[optind], "storm") != 0)
        misused();
    if (strlen(options.path) > HEADER_BYTES / 4)
        die("--path is longer than %d bytes", HEADER_BYTES / 4);
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    load.server.sin_family = AF_INET;
    load.server.sin_port = htons((uint16_t)options.port);
    if (inet_pton(AF_INET, options.host, &load.server.sin_addr) != 1)
        die("--host: expected an IPv4 address, got %s", options.host);
    if (options.token_file)
        read_tokens();
    build_subscribes();

    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < (rlim_t)options.connections + 16)
        die("%d connections need as many descriptors, and the hard limit is %llu (ulimit -Hn)",
            options.connections, (unsigned long long)files.rlim_max);
    load.connections = calloc((size_t)options.connections, sizeof *load.connections);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load.connections || load.epoll < 0)
        die("out of memory or descriptors");

    storm();
    if (options.hold)
        hold();
    return load.ready == options.connections ? 0 : 3;
}
