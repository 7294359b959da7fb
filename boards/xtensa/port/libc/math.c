// What MicroPython's own lib/libm leaves to the C library.

#include <math.h>
#include <stdint.h>

typedef union {
    float value;
    uint32_t bits;
} float_bits_t;

#define SIGN 0x80000000u
#define INFINITE 0x7f800000u

static uint32_t magnitude(float x) {
    return ((float_bits_t){.value = x}).bits & ~SIGN;
}

int __isnanf(float x) {
    return magnitude(x) > INFINITE;
}

int __isinff(float x) {
    return magnitude(x) == INFINITE;
}

int __finitef(float x) {
    return magnitude(x) < INFINITE;
}

float fabsf(float x) {
    return ((float_bits_t){.bits = magnitude(x)}).value;
}

float copysignf(float x, float sign) {
    return ((float_bits_t){.bits = magnitude(x) | (((float_bits_t){.value = sign}).bits & SIGN)}).value;
}

float nanf(const char *payload) {
    (void)payload;
    return ((float_bits_t){.bits = INFINITE | 0x400000u}).value;
}
