#include "system.h"

void say(const char *text, size_t len);
void answers(void);
void c_main(long *stack);
void *memcpy(void *to, const void *from, size_t len);

// Compilers call it for copies of structs.
void *memcpy(void *to, const void *from, size_t len) {
    char *out = to;
    const char *in = from;
    while (len-- > 0) {
        *out++ = *in++;
    }
    return to;
}

void say(const char *text, size_t len) {
    system_write(1, text, len);
}

void c_main(long *stack) {
    (void)stack;
    answers();
    system_exit(0);
}
