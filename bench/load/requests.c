#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 256 };

struct request {
    int fd;
    int sent;
    int got;
    double begun; /* 0 while it pauses */
    double due;   /* the end of its pause */
};

static int queue;
static char text[REQUEST];
static struct times times;
static uint64_t failed;
static uint64_t answered; /* before the measured time as well */

static void watch(struct request *request, uint32_t events, int operation)
{
    struct epoll_event event = {.events = events, .data.ptr = request};
    if (epoll_ctl(queue, operation, request->fd, &event))
        die("epoll_ctl");
}

/* Prints what was done in the measured time. */
static void report(double seconds, uint64_t stuck)
{
    printf("{\"rate\":%.3f,\"count\":%zu,\"answered\":%llu,\"failed\":%llu,\"stuck\":%llu",
           (double)times.count / seconds, times.count, (unsigned long long)answered,
           (unsigned long long)failed, (unsigned long long)stuck);
    print_times(&times);
    puts("}");
}

static void begin(struct request *request)
{
    request->begun = now();
    request->sent = request->got = 0;
    request->fd = begin_connection();
    watch(request, EPOLLOUT, EPOLL_CTL_ADD);
}

/* Goes on with a connection; tells whether it is over. */
static int advance(struct request *request, double warm)
{
    static char answer[ANSWER + 1];
    if (!request->sent) {
        if (send(request->fd, text, REQUEST, MSG_NOSIGNAL) == REQUEST) {
            request->sent = 1;
            watch(request, EPOLLIN, EPOLL_CTL_MOD);
            return 0;
        }
        if (errno == EAGAIN)
            return 0;
        failed++;
        return 1;
    }
    ssize_t got = recv(request->fd, answer, sizeof answer, 0);
    if (got > 0) {
        request->got += (int)got;
        return 0;
    }
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got < 0 || request->got != ANSWER) {
        failed++;
        return 1;
    }
    answered++;
    if (request->begun >= warm)
        add_time(&times, now() - request->begun);
    return 1;
}

void churn(int connections, double seconds)
{
    struct request *requests = calloc((size_t)connections, sizeof *requests);
    double warm = now() + WARM, end = warm + seconds;
    int open = connections;
    queue = epoll_create1(0);
    memset(text, CLOSED, sizeof text);
    for (int i = 0; i < connections; i++)
        begin(&requests[i]);
    while (open && now() < end + PATIENCE) {
        struct epoll_event events[BATCH];
        int ready = epoll_wait(queue, events, BATCH, 200);
        for (int i = 0; i < ready; i++) {
            struct request *request = events[i].data.ptr;
            if (!advance(request, warm))
                continue;
            close(request->fd);
            if (now() < end)
                begin(request);
            else
                open--;
        }
    }
    report(seconds, (uint64_t)open);
}

/* Sends one request of a kept connection; sockets have room for it. */
static void ask(struct request *request)
{
    request->begun = now();
    request->got = 0;
    if (send(request->fd, text, REQUEST, MSG_NOSIGNAL) != REQUEST)
        die("send");
}

static void hear(struct request *request, double warm, double end, double pause)
{
    static char answer[ANSWER];
    ssize_t got = recv(request->fd, answer, sizeof answer, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        die("a kept connection ended");
    if (got > 0)
        request->got += (int)got;
    if (request->got < ANSWER)
        return;
    double time = now();
    if (request->begun >= warm)
        add_time(&times, time - request->begun);
    request->begun = 0;
    request->due = request->due + pause > time ? request->due + pause : time;
    if (time < end && pause == 0)
        ask(request);
}

/* A connection that has had its first answer: how long its making takes is another figure. */
static int make_kept(void)
{
    char answer[ANSWER];
    int fd = make_connection();
    if (send(fd, text, REQUEST, MSG_NOSIGNAL) != REQUEST)
        die("send");
    if (recv(fd, answer, sizeof answer, MSG_WAITALL) != ANSWER)
        die("no first answer on a kept connection");
    return fd;
}

void kept(int connections, double seconds, double pause)
{
    struct request *requests = calloc((size_t)connections, sizeof *requests);
    uint64_t stuck = 0;
    queue = epoll_create1(0);
    memset(text, KEPT, sizeof text);
    double latest = now() + PATIENCE;
    for (int i = 0; i < connections; i++) {
        if (now() > latest) {
            fprintf(stderr, "only %d of %d kept connections were made in %g s\n", i, connections, PATIENCE);
            exit(1);
        }
        requests[i].fd = make_kept();
    }
    double warm = now() + WARM, end = warm + seconds;
    for (int i = 0; i < connections; i++) {
        /* Spread over the pause, so that they do not come all at once. */
        requests[i].due = now() + pause * i / connections;
        watch(&requests[i], EPOLLIN, EPOLL_CTL_ADD);
    }
    for (int i = 0; i < connections && pause == 0; i++)
        ask(&requests[i]);
    while (now() < end) {
        struct epoll_event events[BATCH];
        int ready = epoll_wait(queue, events, BATCH, pause > 0 ? 1 : 200);
        for (int i = 0; i < ready; i++)
            hear(events[i].data.ptr, warm, end, pause);
        for (int i = 0; i < connections && pause > 0; i++)
            if (!requests[i].begun && requests[i].due <= now())
                ask(&requests[i]);
    }
    for (int i = 0; i < connections; i++)
        stuck += requests[i].begun && end - requests[i].begun > 1;
    report(seconds, stuck);
}

static void round_trip(int fd)
{
    char byte = ECHO;
    if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
        die("send");
    if (recv(fd, &byte, 1, 0) != 1)
        die("recv");
}

void ping(double seconds)
{
    int fd = make_connection();
    double warm = now() + WARM, begun;
    while ((begun = now()) < warm + seconds) {
        round_trip(fd);
        if (begun >= warm)
            add_time(&times, now() - begun);
    }
    report(seconds, 0);
}

void first_byte(int rounds)
{
    double begun = now();
    for (int i = 0; i < rounds; i++) {
        double start = now();
        int fd = make_connection();
        round_trip(fd);
        add_time(&times, now() - start);
        close(fd);
    }
    report(now() - begun, 0);
}
