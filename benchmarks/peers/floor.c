/* Peer: what the kernel alone charges for a connection, the floor under every server.
 *
 * Accepts, answers a handshake with constant bytes and a frame with a constant reply and
 * snapshot. It checks nothing, and counts on small requests arriving whole, as they do over
 * loopback. It knows the accept value of load.c's key alone.
 *
 * What is published on a pub/sub name of Valkey it sends to every subscriber of that channel, by a
 * plain loop of send(); where a socket's buffer is full, that subscriber goes without.
 *
 *     floor PORT VALKEY_SOCKET tapecast:{CHANNEL}
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char welcome[] = "{\"type\":\"welcome\",\"session\":\"peer\",\"heartbeat_ms\":5000,\"version\":\"0\"}";
static const char reply[] =
    "{\"id\":1,\"result\":{\"channel\":\"portfolio\",\"epoch\":\"kT9a\",\"seq\":1,\"tag\":\"9fa3c01b\","
    "\"recovered\":false}}";
static const char snapshot[] =
    "{\"channel\":\"portfolio\",\"type\":\"snapshot\",\"epoch\":\"kT9a\",\"seq\":1,\"tag\":\"9fa3c01b\","
    "\"ts\":1750000000000000,\"data\":{\"balance\":\"100000.00\",\"equity\":\"100250.50\","
    "\"available\":\"90000.00\",\"exposure\":\"10000.00\",\"currency\":\"USD\"}}";
static const char handshake[] =
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    "Sec-WebSocket-Protocol: tapecast.v1\r\n\r\n";

/* Bytes to send at once: built at the start, the same for every connection. */
struct answer {
    char bytes[1024];
    size_t length;
};
static struct answer to_handshake, to_frame;

static int *subscribers, subscribed;
static char wanted[300]; /* `"CHANNEL"`, as a subscribe has it */

static void add(struct answer *answer, const char *bytes, size_t length)
{
    memcpy(answer->bytes + answer->length, bytes, length);
    answer->length += length;
}

static void add_frame(struct answer *answer, const char *text)
{
    size_t length = strlen(text);
    const char header[4] = {(char)0x81, 126, (char)(length >> 8), (char)length};
    const char short_header[2] = {(char)0x81, (char)length};
    if (length < 126)
        add(answer, short_header, sizeof short_header);
    else
        add(answer, header, sizeof header);
    add(answer, text, length);
}

static void check(bool fine, const char *what)
{
    if (!fine) {
        perror(what);
        exit(1);
    }
}

static void accept_all(int listener, int epoll)
{
    const int on = 1;
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
    }
}

static void end(int fd)
{
    for (int at = 0; at < subscribed; at++) {
        if (subscribers[at] == fd) {
            subscribers[at] = subscribers[--subscribed];
            break;
        }
    }
    close(fd);
}

/* Whether a text frame names the channel that is published to; unmasks it in place. */
static bool subscribes(char *frame, size_t count)
{
    size_t header = count > 2 && (frame[1] & 0x7F) == 126 ? 4 : 2;
    if ((uint8_t)frame[0] != 0x81 || count < header + 4)
        return false;
    char *mask = frame + header, *payload = mask + 4;
    size_t length = count - header - 4;
    for (size_t at = 0; at < length; at++)
        payload[at] ^= mask[at % 4];
    return memmem(payload, length, wanted, strlen(wanted)) != NULL;
}

static void answer(int fd)
{
    char request[16384];
    ssize_t count = recv(fd, request, sizeof request, 0);
    bool shakes_hands = count > 0 && *request == 'G';
    const struct answer *answer = shakes_hands ? &to_handshake : &to_frame;
    if (count <= 0 || send(fd, answer->bytes, answer->length, MSG_NOSIGNAL) < 0)
        end(fd);
    else if (!shakes_hands && subscribes(request, (size_t)count))
        subscribers[subscribed++] = fd;
}

/* ---- what is published ---- */

static void fan_out(const char *payload, size_t length)
{
    static char frame[65536];
    size_t header = 2;
    frame[0] = (char)0x81;
    if (length < 126) {
        frame[1] = (char)length;
    } else {
        frame[1] = 126;
        frame[2] = (char)(length >> 8);
        frame[3] = (char)length;
        header = 4;
    }
    memcpy(frame + header, payload, length);
    for (int at = 0; at < subscribed; at++)
        send(subscribers[at], frame, header + length, MSG_NOSIGNAL);
}

/* Reads `*N` or `$N` and its line end; NULL where it has not arrived whole. */
static const char *take_number(const char *at, const char *end, char kind, size_t *number)
{
    const char *line_end = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    if (!line_end)
        return NULL;
    check(*at == kind, "what Valkey sent");
    *number = strtoul(at + 1, NULL, 10);
    return line_end + 1;
}

/* One push of three words, `message NAME PAYLOAD` (RESP2); returns its end, or NULL for not yet.
 * The answer to SUBSCRIBE has a number for its third word. */
static const char *take_message(const char *at, const char *end)
{
    size_t words, length = 0;
    at = take_number(at, end, '*', &words);
    for (size_t word = 0; at && word < words; word++) {
        if (at < end && *at == ':') {
            at = take_number(at, end, ':', &length);
            continue;
        }
        at = take_number(at, end, '$', &length);
        if (!at || (size_t)(end - at) < length + 2)
            return NULL;
        if (word == 2)
            fan_out(at, length);
        at += length + 2;
    }
    return at;
}

static int follow(const char *path, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect to Valkey");
    check(dprintf(fd, "SUBSCRIBE %s\r\n", name) > 0, "SUBSCRIBE");
    return fd;
}

static void hear(int valkey)
{
    static char buffer[1 << 20];
    static size_t kept;
    ssize_t count = recv(valkey, buffer + kept, sizeof buffer - kept, 0);
    check(count > 0, "Valkey's link");
    const char *at = buffer, *end = buffer + kept + count, *next;
    while ((next = take_message(at, end)))
        at = next;
    kept = (size_t)(end - at);
    memmove(buffer, at, kept);
}

int main(int argc, char **argv)
{
    check(argc == 4 && strchr(argv[3], '{'), "usage: floor PORT VALKEY_SOCKET tapecast:{CHANNEL}");
    const char *channel = strchr(argv[3], '{') + 1;
    snprintf(wanted, sizeof wanted, "\"%.*s\"", (int)strcspn(channel, "}"), channel);
    add(&to_handshake, handshake, strlen(handshake));
    add_frame(&to_handshake, welcome);
    add_frame(&to_frame, reply);
    add_frame(&to_frame, snapshot);

    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    subscribers = calloc(files.rlim_max, sizeof *subscribers);
    check(subscribers != NULL, "memory");

    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    check(bind(listener, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    check(listen(listener, 4096) == 0, "listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0, "epoll_ctl");
    int valkey = follow(argv[2], argv[3]);
    event.data.fd = valkey;
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, valkey, &event) == 0, "epoll_ctl");

    for (;;) {
        struct epoll_event events[256];
        int count = epoll_wait(epoll, events, 256, -1);
        for (int at = 0; at < count; at++) {
            if (events[at].data.fd == listener)
                accept_all(listener, epoll);
            else if (events[at].data.fd == valkey)
                hear(valkey);
            else
                answer(events[at].data.fd);
        }
    }
}
