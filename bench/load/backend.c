/* The backend of all programs: one process, one thread, one port of 127.0.0.1, level-triggered epoll.
 *
 *     backend PORT
 *
 * Prints "ready" once it listens; common.h tells what a connection's first byte means. */

#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DESCRIPTORS = 1 << 20, BATCH = 256, BACKLOG = 65535, ECHO_MOST = 4096 };

struct connection {
    char kind;       /* 0 until its first byte has come */
    char ends;       /* close when what is pending is sent */
    uint64_t taken;  /* bytes of this request, or of this acknowledgement */
    uint64_t pending; /* bytes still to send */
};

static struct connection *connections;
static char block[BLOCK];
static int queue;

static void watch(int fd, uint32_t events, int operation)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(queue, operation, fd, &event) && operation == EPOLL_CTL_ADD)
        die("epoll_ctl");
}

static void finish(int fd)
{
    memset(&connections[fd], 0, sizeof connections[fd]);
    close(fd);
}

/* Sends what is pending; watches for room where the kernel takes no more. */
static void send_pending(int fd, int was_watched)
{
    struct connection *one = &connections[fd];
    while (one->pending) {
        size_t size = one->pending < BLOCK ? one->pending : BLOCK;
        ssize_t sent = send(fd, block, size, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) {
                finish(fd);
            } else if (!was_watched) {
                watch(fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
            }
            return;
        }
        if (one->kind != SOURCE)
            one->pending -= (uint64_t)sent;
        else
            break; /* others have their turn; the event comes again */
    }
    if (one->kind == SOURCE) {
        if (!was_watched)
            watch(fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    } else if (one->ends) {
        finish(fd);
    } else if (was_watched) {
        watch(fd, EPOLLIN, EPOLL_CTL_MOD);
    }
}

static void take(int fd, const char *data, size_t size)
{
    struct connection *one = &connections[fd];
    if (!one->kind)
        one->kind = data[0];
    one->taken += size;
    switch (one->kind) {
    case SOURCE:
        one->pending = UINT64_MAX;
        break;
    case SINK:
        one->pending += one->taken / ACKNOWLEDGED;
        one->taken %= ACKNOWLEDGED;
        break;
    case KEPT:
    case CLOSED:
        one->pending += one->taken / REQUEST * ANSWER;
        one->ends = one->kind == CLOSED && one->taken >= REQUEST;
        one->taken %= REQUEST;
        break;
    case ECHO:
        one->pending += size;
        break;
    default:
        finish(fd);
        return;
    }
    if (one->pending)
        send_pending(fd, 0);
}

static void receive(int fd)
{
    static char request[ECHO_MOST];
    /* A sink's bytes are counted, not copied (tcp(7), MSG_TRUNC). */
    int is_sink = connections[fd].kind == SINK;
    ssize_t got = is_sink ? recv(fd, NULL, 4 << 20, MSG_TRUNC) : recv(fd, request, sizeof request, 0);
    if (got > 0)
        take(fd, request, (size_t)got);
    else if (got == 0 || errno != EAGAIN)
        finish(fd);
}

static void accept_all(int listening)
{
    for (;;) {
        int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0)
            return;
        set_nodelay(fd);
        watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    }
}

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, BACKLOG))
        die("listen");
    return fd;
}

int main(int count, char **arguments)
{
    if (count != 2) {
        fprintf(stderr, "usage: backend PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    raise_descriptors();
    connections = calloc(DESCRIPTORS, sizeof *connections);
    queue = epoll_create1(0);
    if (!connections || queue < 0)
        die("start");
    int listening = listen_on((int)number(arguments[1]));
    watch(listening, EPOLLIN, EPOLL_CTL_ADD);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[BATCH];
        int ready = epoll_wait(queue, events, BATCH, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listening)
                accept_all(listening);
            else if (events[i].events & EPOLLOUT && connections[fd].pending)
                send_pending(fd, 1);
            else
                receive(fd);
        }
    }
}
