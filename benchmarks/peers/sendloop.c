/* A plain loop of send(), for benchmarks/sending.py: what a send costs below Python. */
#include <stddef.h>
#include <sys/socket.h>

/* Returns how many sockets did not take all of it. */
int send_to_all(const int *sockets, int count, const void *frame, size_t length)
{
    int short_of = 0;
    for (int at = 0; at < count; at++)
        if (send(sockets[at], frame, length, MSG_NOSIGNAL) != (ssize_t)length)
            short_of++;
    return short_of;
}
