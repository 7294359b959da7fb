// The few of Linux's system calls that the board is made of. Results are Linux's: negative error numbers.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Descriptors and poll events have Linux's values.
#define SYSTEM_IN 0x01
#define SYSTEM_OUT 0x04
#define SYSTEM_HANG_UP 0x10

enum { SYSTEM_READ_ONLY = 0, SYSTEM_READ_WRITE = 2, SYSTEM_CREATE = 0100 };

int system_open(const char *path, int flags);
void system_close(int fd);
int system_read(int fd, void *data, size_t len);
int system_write(int fd, const void *data, size_t len);
// Both return 0, or -1 unless all was transferred.
int system_read_at(int fd, uint32_t offset, void *data, size_t len);
int system_write_at(int fd, uint32_t offset, const void *data, size_t len);
// Length of the file, or negative.
int32_t system_size(int fd);
// Wait for events on fd (negative: on none) for up to timeout milliseconds (negative: for ever); those that came.
int system_poll(int fd, int events, int timeout);
uint64_t system_nanoseconds(int since_1970);
// Jump over waits from now on: the clocks move on by what is not waited. path: file that is told the seconds jumped
// over, every hour. NULL: real time.
void system_virtual_time(const char *path);
int system_jumps(void);
void system_random(void *data, size_t len);
// Have this process die with the one that started it, `parent`.
void system_die_with(int parent);
void system_die(void) __attribute__((noreturn));
void system_exit(int status) __attribute__((noreturn));
