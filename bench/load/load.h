/* The load generator: one thread; each figure connects, measures and prints one line of JSON. */

#ifndef LOAD_H
#define LOAD_H

#include "common.h"

#include <arpa/inet.h>

/* Where the connections go. */
extern struct sockaddr_in target;

/* Seconds before the measuring begins: windows grow, threads start. */
#define WARM 0.3

/* Seconds that a connection or an answer is waited for after the end, or at all. */
#define PATIENCE 10.0

/* Times in seconds, kept for percentiles. */
struct times {
    float *values;
    size_t count, room;
};

void add_time(struct times *times, double seconds);

/* Prints ,"p50":...,"p99":...,"longest":...: milliseconds. */
void print_times(struct times *times);

/* A connection: begun and non-blocking, or made and blocking. Ends the program where that fails. */
int begin_connection(void);
int make_connection(void);

/* bulk.c: bytes of `connections` at once in one direction. */
void bulk(char direction, int connections, double seconds);

/* requests.c: a new connection for each request; requests on kept ones, each after a pause or none. */
void churn(int connections, double seconds);
void kept(int connections, double seconds, double pause);
/* One byte there and back on one connection; and on a new connection each time. */
void ping(double seconds);
void first_byte(int rounds);

/* held.c: connections that say nothing, or read nothing of an endless answer, until standard input ends. */
void hold(char kind, int connections);

#endif
