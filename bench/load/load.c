#include "load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct sockaddr_in target = {.sin_family = AF_INET};

void add_time(struct times *times, double seconds)
{
    if (times->count == times->room) {
        times->room = times->room ? 2 * times->room : 4096;
        times->values = realloc(times->values, times->room * sizeof *times->values);
        if (!times->values)
            die("realloc");
    }
    times->values[times->count++] = (float)seconds;
}

static int compare(const void *one, const void *other)
{
    float a = *(const float *)one, b = *(const float *)other;
    return (a > b) - (a < b);
}

void print_times(struct times *times)
{
    if (!times->count)
        return;
    qsort(times->values, times->count, sizeof *times->values, compare);
    printf(",\"p50\":%.6f,\"p99\":%.6f,\"longest\":%.6f", times->values[times->count / 2] * 1e3,
           times->values[times->count * 99 / 100] * 1e3, times->values[times->count - 1] * 1e3);
}

int begin_connection(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0)
        die("socket");
    set_nodelay(fd);
    if (connect(fd, (struct sockaddr *)&target, sizeof target) && errno != EINPROGRESS)
        die("connect");
    return fd;
}

int make_connection(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {.tv_sec = (time_t)PATIENCE};
    if (fd < 0)
        die("socket");
    set_nodelay(fd);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&target, sizeof target))
        die("connect");
    return fd;
}

static void usage(void)
{
    fprintf(stderr, "usage: load ADDRESS PORT bulk down|up CONNECTIONS SECONDS\n"
                    "                         churn CONNECTIONS SECONDS\n"
                    "                         kept CONNECTIONS SECONDS PAUSE\n"
                    "                         ping SECONDS\n"
                    "                         first ROUNDS\n"
                    "                         hold idle|slow CONNECTIONS\n");
    exit(2);
}

int main(int count, char **arguments)
{
    if (count < 5 || !inet_aton(arguments[1], &target.sin_addr))
        usage();
    target.sin_port = htons((uint16_t)number(arguments[2]));
    signal(SIGPIPE, SIG_IGN);
    raise_descriptors();
    const char *what = arguments[3];
    char **rest = arguments + 4;
    int given = count - 4;
    if (!strcmp(what, "bulk") && given == 3)
        bulk(!strcmp(rest[0], "down") ? SOURCE : SINK, (int)number(rest[1]), number(rest[2]));
    else if (!strcmp(what, "churn") && given == 2)
        churn((int)number(rest[0]), number(rest[1]));
    else if (!strcmp(what, "kept") && given == 3)
        kept((int)number(rest[0]), number(rest[1]), number(rest[2]));
    else if (!strcmp(what, "ping") && given == 1)
        ping(number(rest[0]));
    else if (!strcmp(what, "first") && given == 1)
        first_byte((int)number(rest[0]));
    else if (!strcmp(what, "hold") && given == 2)
        hold(!strcmp(rest[0], "idle") ? ECHO : SOURCE, (int)number(rest[1]));
    else
        usage();
    return 0;
}
