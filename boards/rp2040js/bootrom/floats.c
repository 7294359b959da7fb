// The boot ROM's floating point, with libgcc's arithmetic. Its conversions to integers limit what does not fit, and the
// signed ones round towards minus infinity (RP2040 data sheet, 2.8.3.2). picofed uses none of this; MicroPython does.
#include <stdint.h>

#define ARITHMETIC(type)                                                                                               \
    type type##_add(type a, type b);                                                                                   \
    type type##_subtract(type a, type b);                                                                              \
    type type##_multiply(type a, type b);                                                                              \
    type type##_divide(type a, type b);                                                                                \
    type type##_add(type a, type b) {                                                                                  \
        return a + b;                                                                                                  \
    }                                                                                                                  \
    type type##_subtract(type a, type b) {                                                                             \
        return a - b;                                                                                                  \
    }                                                                                                                  \
    type type##_multiply(type a, type b) {                                                                             \
        return a * b;                                                                                                  \
    }                                                                                                                  \
    type type##_divide(type a, type b) {                                                                               \
        return a / b;                                                                                                  \
    }

// limit: 2 to the number of value bits; every power of two is exact in both types.
#define SIGNED(type, name, integer, limit, low, high)                                                                  \
    integer type##_to_##name(type a);                                                                                  \
    type type##_from_##name(integer a);                                                                                \
    integer type##_to_##name(type a) {                                                                                 \
        if (a >= (type)(limit)) {                                                                                      \
            return high;                                                                                               \
        }                                                                                                              \
        if (a < -(type)(limit)) {                                                                                      \
            return low;                                                                                                \
        }                                                                                                              \
        integer whole = (integer)a;                                                                                    \
        return (type)whole > a ? whole - 1 : whole;                                                                    \
    }                                                                                                                  \
    type type##_from_##name(integer a) {                                                                               \
        return (type)a;                                                                                                \
    }

#define UNSIGNED(type, name, integer, limit, high)                                                                     \
    integer type##_to_##name(type a);                                                                                  \
    type type##_from_##name(integer a);                                                                                \
    integer type##_to_##name(type a) {                                                                                 \
        if (a >= (type)(limit)) {                                                                                      \
            return high;                                                                                               \
        }                                                                                                              \
        return a > 0 ? (integer)a : 0;                                                                                 \
    }                                                                                                                  \
    type type##_from_##name(integer a) {                                                                               \
        return (type)a;                                                                                                \
    }

#define ALL(type)                                                                                                      \
    ARITHMETIC(type)                                                                                                   \
    SIGNED(type, int, int32_t, 2147483648.0, INT32_MIN, INT32_MAX)                                                     \
    SIGNED(type, int64, int64_t, 9223372036854775808.0, INT64_MIN, INT64_MAX)                                          \
    UNSIGNED(type, uint, uint32_t, 4294967296.0, UINT32_MAX)                                                           \
    UNSIGNED(type, uint64, uint64_t, 18446744073709551616.0, UINT64_MAX)

ALL(float)
ALL(double)

double float_to_double(float a);
float double_to_float(double a);
int32_t float_to_fixed(float a, int32_t places);
uint32_t float_to_ufixed(float a, int32_t places);

double float_to_double(float a) {
    return (double)a;
}

float double_to_float(double a) {
    return (float)a;
}

// a times 2^places: more than 300 places either way give 0 or infinity, whatever a is.
static float scaled(float a, int32_t places) {
    float factor = places < 0 ? 0.5f : 2.0f;
    uint32_t count = (uint32_t)(places < 0 ? -places : places);
    for (uint32_t i = 0; i < count && i < 300; i++) {
        a *= factor;
    }
    return a;
}

int32_t float_to_fixed(float a, int32_t places) {
    return float_to_int(scaled(a, places));
}

uint32_t float_to_ufixed(float a, int32_t places) {
    return float_to_uint(scaled(a, places));
}
