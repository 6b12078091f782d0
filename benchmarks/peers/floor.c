/* Peer: what the kernel alone charges for a connection, the floor under every server.
 *
 * Accepts, answers a handshake with constant bytes and a frame with a constant reply and
 * snapshot. It checks nothing, remembers nothing of a connection, and counts on small requests
 * arriving whole, as they do over loopback. It knows the accept value of load.c's key alone.
 *
 *     floor PORT
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

static void answer(int fd)
{
    char request[16384];
    ssize_t count = recv(fd, request, sizeof request, 0);
    const struct answer *answer = count > 0 && *request == 'G' ? &to_handshake : &to_frame;
    if (count <= 0 || send(fd, answer->bytes, answer->length, MSG_NOSIGNAL) < 0)
        close(fd);
}

int main(int argc, char **argv)
{
    check(argc == 2, "usage: floor PORT");
    add(&to_handshake, handshake, strlen(handshake));
    add_frame(&to_handshake, welcome);
    add_frame(&to_frame, reply);
    add_frame(&to_frame, snapshot);

    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

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

    for (;;) {
        struct epoll_event events[256];
        int count = epoll_wait(epoll, events, 256, -1);
        for (int at = 0; at < count; at++) {
            if (events[at].data.fd == listener)
                accept_all(listener, epoll);
            else
                answer(events[at].data.fd);
        }
    }
}
