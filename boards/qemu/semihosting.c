#include "semihosting.h"

#include <string.h>

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_SEEK = 0x0a,
    SYS_FLEN = 0x0c,
    SYS_EXIT_EXTENDED = 0x20,
};
#define APPLICATION_EXIT 0x20026

#if defined(__arm__)
static int32_t call(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}
#else
// The three instructions must be uncompressed and within one page.
__attribute__((noinline)) static int32_t call(uint32_t operation, const void *argument) {
    register uint32_t a0 __asm("a0") = operation;
    register const void *a1 __asm("a1") = argument;
    __asm volatile(".option push\n .option norvc\n .balign 16\n"
                   "slli zero, zero, 0x1f\n ebreak\n srai zero, zero, 7\n"
                   ".option pop"
        : "+r"(a0)
        : "r"(a1)
        : "memory");
    return (int32_t)a0;
}
#endif

static uint32_t word(const void *pointer) {
    return (uint32_t)(uintptr_t)pointer;
}

int host_open(const char *path, host_mode mode) {
    uint32_t block[] = {word(path), mode, strlen(path)};
    return call(SYS_OPEN, block);
}

void host_close(int file) {
    uint32_t block[] = {(uint32_t)file};
    call(SYS_CLOSE, block);
}

int32_t host_size(int file) {
    uint32_t block[] = {(uint32_t)file};
    return call(SYS_FLEN, block);
}

static bool seek(int file, uint32_t offset) {
    uint32_t block[] = {(uint32_t)file, offset};
    return call(SYS_SEEK, block) == 0;
}

size_t host_read(int file, void *to, size_t n) {
    uint32_t block[] = {(uint32_t)file, word(to), n};
    int32_t missing = call(SYS_READ, block);
    return missing >= 0 && (size_t)missing <= n ? n - (size_t)missing : 0;
}

bool host_read_at(int file, uint32_t offset, void *to, size_t n) {
    return seek(file, offset) && host_read(file, to, n) == n;
}

bool host_write_at(int file, uint32_t offset, const void *from, size_t n) {
    uint32_t block[] = {(uint32_t)file, word(from), n};
    return seek(file, offset) && call(SYS_WRITE, block) == 0;
}

void host_complain(const char *text) {
    call(SYS_WRITE0, text);
}

void host_exit(uint32_t status) {
    uint32_t block[] = {APPLICATION_EXIT, status};
    call(SYS_EXIT_EXTENDED, block);
    for (;;) {
    }
}
