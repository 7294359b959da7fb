// Virtual time: where a program would wait for input, the clocks jump over the wait. A week passes in seconds.
#pragma once

#include <poll.h>
#include <sys/time.h>
#include <time.h>

// note_path: file that is told the seconds skipped so far, every virtual hour. NULL: real time.
void virtual_time_init(const char *note_path);

// What MicroPython's select and time modules call in place of the functions without `virtual_`.
int virtual_poll(struct pollfd *fds, nfds_t n, int timeout);
int virtual_clock_gettime(clockid_t clock, struct timespec *out);
int virtual_gettimeofday(struct timeval *out, void *zone);
