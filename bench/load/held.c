#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* At most as many at once as the shortest backlog of a rival takes (spiped: 10). */
enum { AT_ONCE = 8, SMALL = 64 << 10 };

/* Seconds for all: what is not held by then is not waited for. */
#define LONGEST 60.0

/* A slow reader's own buffer is small, so that what it does not take waits in the programs. */
static int begin_held(char kind)
{
    int fd = begin_connection(), size = SMALL;
    if (kind == SOURCE)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    return fd;
}

static int greet(int fd, char kind, double end)
{
    char byte = kind;
    /* The connection is made by the kernel meanwhile; there is nothing else to do here. */
    while (send(fd, &byte, 1, MSG_NOSIGNAL) != 1) {
        if ((errno != EAGAIN && errno != ENOTCONN) || now() > end)
            return 0;
        usleep(200);
    }
    return 1;
}

static int answered(int fd, double end)
{
    char byte;
    ssize_t got;
    while ((got = recv(fd, &byte, 1, 0)) != 1) {
        if (got == 0 || errno != EAGAIN || now() > end)
            return 0;
        usleep(200);
    }
    return 1;
}

void hold(char kind, int connections)
{
    int held = 0;
    double end = now() + LONGEST;
    for (int begun = 0; begun < connections && held == begun && now() < end; begun += AT_ONCE) {
        int some[AT_ONCE], count = connections - begun < AT_ONCE ? connections - begun : AT_ONCE;
        double latest = now() + PATIENCE; /* for all of them together */
        for (int i = 0; i < count; i++)
            some[i] = begin_held(kind);
        for (int i = 0; i < count; i++)
            if (!greet(some[i], kind, latest)) {
                close(some[i]);
                some[i] = -1;
            }
        for (int i = 0; i < count; i++)
            held += some[i] >= 0 && answered(some[i], latest);
    }
    printf("{\"held\":%d}\n", held);
    fflush(stdout);
    while (getchar() != EOF)
        ;
}
