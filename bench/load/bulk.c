#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static char block[BLOCK];

/* Moves what it can on one connection. Gives the bytes that are known to have arrived. */
static uint64_t move(int fd, char direction, uint32_t events)
{
    if (direction == SOURCE) {
        /* Counted, not copied (tcp(7), MSG_TRUNC): the programs are measured, not this one. */
        ssize_t got = recv(fd, NULL, 4 << 20, MSG_TRUNC);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            die("a bulk connection ended");
        return got > 0 ? (uint64_t)got : 0;
    }
    uint64_t arrived = 0;
    if (events & EPOLLIN) {
        char told[64];
        ssize_t got = recv(fd, told, sizeof told, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            die("a bulk connection ended");
        arrived = got > 0 ? (uint64_t)got * ACKNOWLEDGED : 0;
    }
    if (events & EPOLLOUT && send(fd, block, BLOCK, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
        die("send");
    return arrived;
}

void bulk(char direction, int connections, double seconds)
{
    int queue = epoll_create1(0);
    uint64_t total = 0, before = 0;
    double begun = now(), warm = 0, time;
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = direction;
    for (int i = 0; i < connections; i++) {
        int fd = make_connection();
        uint32_t events = direction == SOURCE ? EPOLLIN : EPOLLIN | EPOLLOUT;
        struct epoll_event event = {.events = events, .data.fd = fd};
        if (send(fd, block, 1, MSG_NOSIGNAL) != 1)
            die("send");
        set_nonblocking(fd);
        epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event);
    }
    for (;;) {
        struct epoll_event events[64];
        int ready = epoll_wait(queue, events, 64, 1000);
        for (int i = 0; i < ready; i++)
            total += move(events[i].data.fd, direction, events[i].events);
        time = now();
        if (!warm && time >= begun + WARM) {
            warm = time;
            before = total;
        }
        if (warm && time >= warm + seconds)
            break;
    }
    printf("{\"rate\":%.3f,\"bytes\":%llu}\n", (double)(total - before) / (time - warm) / 1e6,
           (unsigned long long)total);
}
