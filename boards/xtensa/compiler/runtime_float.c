// Floats: the compiler leaves them to these functions (../README.md says why), and these to the processor. Compiled for
// a processor with floats; no function may choose between two constants of type float.

#include <stdint.h>

#define FUNCTION(type, name, ...)                                                                                      \
    type name(__VA_ARGS__);                                                                                            \
    type name(__VA_ARGS__)

FUNCTION(float, __addsf3, float a, float b) {
    return a + b;
}

FUNCTION(float, __subsf3, float a, float b) {
    return a - b;
}

FUNCTION(float, __mulsf3, float a, float b) {
    return a * b;
}

// Comparisons: the result's relation to 0 is that of a to b; where one is not a number, the relation asked for is
// false.
FUNCTION(int, __eqsf2, float a, float b) {
    return a == b ? 0 : 1;
}

FUNCTION(int, __nesf2, float a, float b) {
    return a == b ? 0 : 1;
}

FUNCTION(int, __ltsf2, float a, float b) {
    return a < b ? -1 : 1;
}

FUNCTION(int, __lesf2, float a, float b) {
    return a <= b ? -1 : 1;
}

FUNCTION(int, __gtsf2, float a, float b) {
    return a > b ? 1 : -1;
}

FUNCTION(int, __gesf2, float a, float b) {
    return a >= b ? 1 : -1;
}

FUNCTION(int, __unordsf2, float a, float b) {
    return a != a || b != b;
}

FUNCTION(int32_t, __fixsfsi, float a) {
    return (int32_t)a;
}

FUNCTION(uint32_t, __fixunssfsi, float a) {
    return (uint32_t)a;
}

FUNCTION(float, __floatsisf, int32_t a) {
    return (float)a;
}

FUNCTION(float, __floatunsisf, uint32_t a) {
    return (float)a;
}

typedef union {
    float value;
    uint32_t bits;
} float_bits_t;

// The significand with its leading bit at 23, and through `exponent` where a number of exponent 0 would be subnormal.
static uint32_t normal(uint32_t magnitude_bits, int *exponent) {
    uint32_t significand = magnitude_bits & 0x7fffffu;
    *exponent = (int)(magnitude_bits >> 23);
    if (*exponent != 0) {
        return significand | 0x800000u;
    }
    *exponent = 1;
    while (significand < 0x800000u) {
        significand <<= 1;
        --*exponent;
    }
    return significand;
}

// a / b, rounded to nearest, ties to even.
FUNCTION(float, __divsf3, float a, float b) {
    float_bits_t x = {.value = a}, y = {.value = b}, result;
    uint32_t sign = (x.bits ^ y.bits) & 0x80000000u;
    uint32_t top = x.bits & 0x7fffffffu, bottom = y.bits & 0x7fffffffu;
    const uint32_t infinity = 0x7f800000u;
    if (top > infinity || bottom > infinity || (top == infinity && bottom == infinity) || (top == 0 && bottom == 0)) {
        result.bits = 0x7fc00000u;
        return result.value;
    }
    if (top == 0 || bottom == infinity) {
        result.bits = sign;
        return result.value;
    }
    if (top == infinity || bottom == 0) {
        result.bits = sign | infinity;
        return result.value;
    }
    int top_exponent, bottom_exponent;
    uint32_t rest = normal(top, &top_exponent), divisor = normal(bottom, &bottom_exponent);
    int exponent = top_exponent - bottom_exponent + 127;
    if (rest < divisor) {
        rest <<= 1; // < 2^25
        exponent--;
    }
    // 1 <= rest / divisor < 2: one bit before the point, 23 behind it and one to round by
    uint32_t quotient = 0;
    for (unsigned i = 0; i < 25; i++) {
        quotient <<= 1;
        if (rest >= divisor) {
            rest -= divisor;
            quotient |= 1;
        }
        rest <<= 1; // rest < divisor < 2^24 before
    }
    quotient = quotient << 1 | (rest != 0); // 24 bits, the rounding bit, whether anything is left
    if (exponent <= 0) {
        unsigned shift = (unsigned)(1 - exponent);
        uint32_t lost = shift > 26 ? quotient : quotient & ((1u << shift) - 1);
        quotient = (shift > 26 ? 0 : quotient >> shift) | (lost != 0);
        exponent = 0;
    }
    uint32_t significand = quotient >> 2, half = quotient & 3;
    if (half > 2 || (half == 2 && (significand & 1) != 0)) {
        significand++; // may carry into the exponent, rightly
    }
    if (exponent > 0) {
        significand += (uint32_t)(exponent - 1) << 23; // exponent <= 254 + 127
        if (exponent >= 255 || significand >= infinity) {
            significand = infinity;
        }
    }
    result.bits = sign | significand;
    return result.value;
}

typedef union {
    double value;
    uint64_t bits;
} double_bits_t;

FUNCTION(double, __extendsfdf2, float a) {
    float_bits_t x = {.value = a};
    double_bits_t result;
    uint64_t sign = (uint64_t)(x.bits >> 31) << 63;
    uint32_t magnitude_bits = x.bits & 0x7fffffffu;
    if (magnitude_bits >= 0x7f800000u) {
        result.bits = sign | (uint64_t)0x7ff << 52 | (uint64_t)(magnitude_bits & 0x7fffffu) << 29;
    } else if (magnitude_bits == 0) {
        result.bits = sign;
    } else {
        int exponent;
        uint32_t significand = normal(magnitude_bits, &exponent);
        // exponent >= -22: from a bias of 127 to one of 1023
        result.bits = sign | (uint64_t)(exponent + 896) << 52 | (uint64_t)(significand & 0x7fffffu) << 29;
    }
    return result.value;
}

// Rounded to nearest, ties to even.
FUNCTION(float, __truncdfsf2, double a) {
    double_bits_t x = {.value = a};
    float_bits_t result;
    uint32_t sign = (uint32_t)(x.bits >> 63) << 31;
    int exponent = (int)(x.bits >> 52 & 0x7ff) - 896;
    uint64_t significand = x.bits & (((uint64_t)1 << 52) - 1);
    const uint32_t infinity = 0x7f800000u;
    if (exponent == 0x7ff - 896) {
        result.bits = sign | infinity | (significand != 0 ? 0x400000u : 0);
        return result.value;
    }
    if (exponent >= 255) {
        result.bits = sign | infinity;
        return result.value;
    }
    if (exponent <= -24) {
        // less than half of the least float
        result.bits = sign;
        return result.value;
    }
    significand |= (uint64_t)1 << 52;
    unsigned shift = exponent > 0 ? 29 : (unsigned)(30 - exponent); // <= 53
    uint64_t rest = significand & (((uint64_t)1 << shift) - 1), half = (uint64_t)1 << (shift - 1);
    uint32_t rounded = (uint32_t)(significand >> shift);
    if (rest > half || (rest == half && (rounded & 1) != 0)) {
        rounded++; // may carry into the exponent, rightly
    }
    result.bits = sign | (rounded + (exponent > 0 ? (uint32_t)(exponent - 1) << 23 : 0));
    return result.value;
}

FUNCTION(double, __floatsidf, int32_t a) {
    double_bits_t result = {.bits = 0};
    if (a != 0) {
        uint32_t magnitude_bits = a < 0 ? 0 - (uint32_t)a : (uint32_t)a;
        unsigned exponent = 31;
        while (magnitude_bits >> 31 == 0) {
            magnitude_bits <<= 1;
            exponent--;
        }
        result.bits = (uint64_t)(a < 0) << 63 | (uint64_t)(exponent + 1023) << 52 |
                      (uint64_t)(magnitude_bits & 0x7fffffffu) << 21;
    }
    return result.value;
}
