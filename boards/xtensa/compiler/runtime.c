// 64-bit integers: what code of this compiler calls where the processor has no instruction.

#include <stdint.h>

uint64_t __muldi3(uint64_t a, uint64_t b);
uint64_t __udivdi3(uint64_t a, uint64_t b);
uint64_t __umoddi3(uint64_t a, uint64_t b);
int64_t __divdi3(int64_t a, int64_t b);
int64_t __moddi3(int64_t a, int64_t b);

uint64_t __muldi3(uint64_t a, uint64_t b) {
    uint32_t a_low = (uint32_t)a, b_low = (uint32_t)b;
    uint32_t a0 = a_low & 0xffffu, a1 = a_low >> 16;
    uint32_t b0 = b_low & 0xffffu, b1 = b_low >> 16;
    // each product <= (2^16 - 1)^2 < 2^32
    uint32_t low = a0 * b0, cross_a = a1 * b0, cross_b = a0 * b1;
    uint32_t middle = (low >> 16) + (cross_a & 0xffffu) + (cross_b & 0xffffu); // < 3 * 2^16
    uint32_t high = a1 * b1 + (cross_a >> 16) + (cross_b >> 16) + (middle >> 16);
    // modulo 2^64, the high words only meet the other's low one
    high += (uint32_t)(a >> 32) * b_low + a_low * (uint32_t)(b >> 32);
    return (uint64_t)high << 32 | (middle << 16 | (low & 0xffffu));
}

static uint64_t divide(uint64_t a, uint64_t b, uint64_t *remainder) {
    uint64_t quotient = 0, rest = 0;
    for (unsigned i = 0; i < 64; i++) {
        // invariant: rest < b, so 2 rest + 1 may pass 2^64 by one bit, kept in `carry`
        unsigned carry = (unsigned)(rest >> 63);
        rest = rest << 1 | a >> 63;
        a <<= 1;
        quotient <<= 1;
        if (carry != 0 || rest >= b) {
            rest -= b;
            quotient |= 1;
        }
    }
    *remainder = rest;
    return quotient;
}

uint64_t __udivdi3(uint64_t a, uint64_t b) {
    uint64_t remainder;
    return divide(a, b, &remainder);
}

uint64_t __umoddi3(uint64_t a, uint64_t b) {
    uint64_t remainder;
    divide(a, b, &remainder);
    return remainder;
}

static uint64_t magnitude(int64_t a) {
    return a < 0 ? 0 - (uint64_t)a : (uint64_t)a;
}

int64_t __divdi3(int64_t a, int64_t b) {
    uint64_t remainder;
    uint64_t quotient = divide(magnitude(a), magnitude(b), &remainder);
    return (int64_t)((a < 0) != (b < 0) ? 0 - quotient : quotient);
}

int64_t __moddi3(int64_t a, int64_t b) {
    uint64_t remainder;
    divide(magnitude(a), magnitude(b), &remainder);
    return (int64_t)(a < 0 ? 0 - remainder : remainder);
}
