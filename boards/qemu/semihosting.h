// Files of the host, reached through the emulator. Paths are relative to the board's folder on the host.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { HOST_READ = 1, HOST_UPDATE = 3, HOST_CREATE = 5 } host_mode; // rb, r+b, wb

int host_open(const char *path, host_mode mode); // a handle, or -1
void host_close(int file);
int32_t host_size(int file); // or -1
bool host_read_at(int file, uint32_t offset, void *to, size_t n);
bool host_write_at(int file, uint32_t offset, const void *from, size_t n);
size_t host_read(int file, void *to, size_t n); // from where the file is; how many bytes came

// Into the emulator's log.
void host_complain(const char *text);

// End the emulator with this exit status.
__attribute__((noreturn)) void host_exit(uint32_t status);
