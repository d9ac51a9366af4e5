/* What the backend, the load generator and the path share. */

#ifndef COMMON_H
#define COMMON_H

#include <stddef.h>
#include <stdint.h>

/* The first byte of a connection tells the backend what to do with it. */
enum {
    SOURCE = 'D', /* send zeroes until the peer closes */
    SINK = 'U',   /* throw away, and tell of each ACKNOWLEDGED bytes by one byte */
    KEPT = 'K',   /* answer each request of REQUEST bytes with ANSWER bytes */
    CLOSED = 'C', /* the same once, and then close */
    ECHO = 'E',   /* send back everything, this byte too */
};

enum { REQUEST = 64, ANSWER = 1024, ACKNOWLEDGED = 4 << 20, BLOCK = 256 << 10 };

/* Says what failed, with errno, and ends the program. */
void die(const char *what) __attribute__((noreturn));

/* Seconds of the monotonic clock. */
double now(void);

/* A number that was given as an argument; ends the program where it is none. */
double number(const char *text);

/* Raises the limit of open files to the hard one. */
void raise_descriptors(void);

void set_nonblocking(int fd);
void set_nodelay(int fd);

#endif
