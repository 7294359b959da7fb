#include "system.h"

extern long sys_call(long number, long a, long b, long c, long d, long e);

enum {
    NR_OPEN = 8,
    NR_CLOSE = 9,
    NR_READ = 12,
    NR_WRITE = 13,
    NR_LSEEK = 15,
    NR_POLL = 16,
    NR_EXIT_GROUP = 119,
    NR_GETPID = 120,
    NR_KILL = 123,
    NR_PRCTL = 130,
    NR_GETPPID = 150,
    NR_CLOCK_GETTIME = 245,
    NR_GETRANDOM = 338,
};

#define SEEK_TO 0
#define SEEK_FROM_END 2
#define PARENT_DEATH_SIGNAL 1
#define SIGNAL_KILL 9

#define NOTE_MS 3600000u // how often the host is told of virtual time
#define DIGITS 12

// Lives through a soft reset.
static struct {
    const char *path; // NULL: real time
    uint64_t skipped_ms, noted_ms;
} jumps __attribute__((section(".kept")));

// One write of one length: who reads sees the old number or the new one.
static void note(void) {
    if (jumps.skipped_ms < jumps.noted_ms + NOTE_MS) {
        return;
    }
    jumps.noted_ms = jumps.skipped_ms;
    char text[DIGITS + 1];
    uint32_t seconds = (uint32_t)(jumps.skipped_ms / 1000u); // below 2^32 for 136 years
    for (int i = DIGITS; i-- > 0; seconds /= 10) {
        text[i] = (char)('0' + seconds % 10);
    }
    text[DIGITS] = '\n';
    int file = system_open(jumps.path, SYSTEM_READ_WRITE | SYSTEM_CREATE);
    if (file >= 0) {
        system_write(file, text, sizeof(text));
        system_close(file);
    }
}

void system_virtual_time(const char *path) {
    jumps.path = path;
    jumps.skipped_ms = jumps.noted_ms = 0;
}

int system_jumps(void) {
    return jumps.path != NULL;
}

int system_open(const char *path, int flags) {
    return (int)sys_call(NR_OPEN, (long)path, flags, 0644, 0, 0);
}

void system_close(int fd) {
    sys_call(NR_CLOSE, fd, 0, 0, 0, 0);
}

int system_read(int fd, void *data, size_t len) {
    return (int)sys_call(NR_READ, fd, (long)data, (long)len, 0, 0);
}

int system_write(int fd, const void *data, size_t len) {
    return (int)sys_call(NR_WRITE, fd, (long)data, (long)len, 0, 0);
}

int system_read_at(int fd, uint32_t offset, void *data, size_t len) {
    sys_call(NR_LSEEK, fd, (long)offset, SEEK_TO, 0, 0);
    return system_read(fd, data, len) == (int)len ? 0 : -1;
}

int system_write_at(int fd, uint32_t offset, const void *data, size_t len) {
    sys_call(NR_LSEEK, fd, (long)offset, SEEK_TO, 0, 0);
    return system_write(fd, data, len) == (int)len ? 0 : -1;
}

int32_t system_size(int fd) {
    return (int32_t)sys_call(NR_LSEEK, fd, 0, SEEK_FROM_END, 0, 0);
}

int system_poll(int fd, int events, int timeout) {
    struct {
        int fd;
        short events, revents;
    } wanted = {.fd = fd, .events = (short)events};
    int skip = system_jumps() && timeout > 0;
    int came = sys_call(NR_POLL, (long)&wanted, 1, skip ? 0 : timeout, 0, 0) > 0 ? wanted.revents : 0;
    if (skip && came == 0) {
        jumps.skipped_ms += (uint32_t)timeout;
        note();
    }
    return came;
}

uint64_t system_nanoseconds(int since_1970) {
    int32_t time[2] = {0, 0};
    // CLOCK_REALTIME is 0 and CLOCK_MONOTONIC 1
    sys_call(NR_CLOCK_GETTIME, since_1970 ? 0 : 1, (long)time, 0, 0, 0);
    return (uint64_t)(uint32_t)time[0] * 1000000000u + (uint32_t)time[1] + jumps.skipped_ms * 1000000u; // for 500 years
}

void system_random(void *data, size_t len) {
    uint8_t *out = data;
    while (len > 0) {
        long got = sys_call(NR_GETRANDOM, (long)out, (long)len, 0, 0, 0);
        if (got > 0) {
            out += got;
            len -= (size_t)got;
        }
    }
}

void system_die_with(int parent) {
    sys_call(NR_PRCTL, PARENT_DEATH_SIGNAL, SIGNAL_KILL, 0, 0, 0);
    if (parent != 0 && sys_call(NR_GETPPID, 0, 0, 0, 0, 0) != parent) {
        system_exit(1);
    }
}

void system_die(void) {
    sys_call(NR_KILL, sys_call(NR_GETPID, 0, 0, 0, 0, 0), SIGNAL_KILL, 0, 0, 0);
    system_exit(1);
}

void system_exit(int status) {
    for (;;) {
        sys_call(NR_EXIT_GROUP, status, 0, 0, 0, 0);
    }
}
