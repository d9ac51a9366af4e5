/* A path with a delay, between two network namespaces that exist: for machines whose kernel has no netem.
 *
 *     path NAMESPACE ADDRESS NAMESPACE ADDRESS MILLISECONDS LOSS
 *
 * Each namespace gets a tunnel device with its address (a /30's); what comes out of one goes into the other
 * MILLISECONDS later, but for LOSS of it (0 to 1; the same packets each time). Prints "ready". */

#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 1 << 14, PACKET = 1500 };

struct packet {
    double due;
    size_t size;
    char data[PACKET];
};

/* What travels in one direction, the oldest first; with MOST under way more is lost, as on any path. */
struct way {
    int from, to;
    struct packet *packets;
    uint64_t first, after;
};

static void control(int fd, unsigned long request, void *argument, const char *what)
{
    if (ioctl(fd, request, argument))
        die(what);
}

static int open_end(const char *namespace, const char *address)
{
    char name[128];
    snprintf(name, sizeof name, "/run/netns/%s", namespace);
    int space = open(name, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET))
        die(name);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    struct ifreq request = {.ifr_name = "path", .ifr_flags = IFF_TUN | IFF_NO_PI};
    if (fd < 0)
        die("/dev/net/tun");
    control(fd, TUNSETIFF, &request, "TUNSETIFF");
    int any = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in *value = (struct sockaddr_in *)&request.ifr_addr;
    value->sin_family = AF_INET;
    inet_aton(address, &value->sin_addr);
    control(any, SIOCSIFADDR, &request, "SIOCSIFADDR");
    inet_aton("255.255.255.252", &value->sin_addr);
    control(any, SIOCSIFNETMASK, &request, "SIOCSIFNETMASK");
    request.ifr_flags = IFF_UP;
    control(any, SIOCSIFFLAGS, &request, "SIOCSIFFLAGS");
    close(any);
    close(space);
    return fd;
}

static void take(struct way *way, double delay, double loss)
{
    static struct packet lost;
    for (;;) {
        int full = way->after - way->first == MOST;
        struct packet *packet = full ? &lost : &way->packets[way->after % MOST];
        ssize_t got = read(way->from, packet->data, PACKET);
        if (got <= 0)
            return;
        packet->size = (size_t)got;
        packet->due = now() + delay;
        if (!full && drand48() >= loss)
            way->after++;
    }
}

/* Hands over what is due; gives the seconds until the next is, or a second. */
static double give(struct way *way)
{
    while (way->first < way->after) {
        struct packet *packet = &way->packets[way->first % MOST];
        double left = packet->due - now();
        if (left > 0)
            return left;
        if (write(way->to, packet->data, packet->size) < 0 && errno == EAGAIN)
            return 0.001;
        way->first++;
    }
    return 1;
}

int main(int count, char **arguments)
{
    if (count != 7) {
        fprintf(stderr, "usage: path NAMESPACE ADDRESS NAMESPACE ADDRESS MILLISECONDS LOSS\n");
        return 2;
    }
    int near = open_end(arguments[1], arguments[2]), far = open_end(arguments[3], arguments[4]);
    double delay = number(arguments[5]) / 1e3, loss = number(arguments[6]);
    struct way ways[2] = {{.from = near, .to = far}, {.from = far, .to = near}};
    struct pollfd polls[2] = {{.fd = near, .events = POLLIN}, {.fd = far, .events = POLLIN}};
    srand48(1);
    for (int i = 0; i < 2; i++) {
        ways[i].packets = calloc(MOST, sizeof *ways[i].packets);
        if (!ways[i].packets)
            die("calloc");
    }
    puts("ready");
    fflush(stdout);
    for (double wait = 1;;) {
        struct timespec time = {.tv_sec = (time_t)wait, .tv_nsec = (long)((wait - (time_t)wait) * 1e9)};
        ppoll(polls, 2, &time, NULL);
        wait = 1;
        for (int i = 0; i < 2; i++) {
            take(&ways[i], delay, loss);
            double left = give(&ways[i]);
            wait = left < wait ? left : wait;
        }
    }
}
