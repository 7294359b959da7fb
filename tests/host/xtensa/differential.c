/* A program whose answers do not depend on the machine: it runs here and under qemu-xtensa, compiled by two compilers.
 * What is in it is what compilers get wrong: 64-bit words, many arguments, variable arguments, structs, recursion. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

void say(const char *text, size_t len);
void answers(void);

#define APART __attribute__((noinline))

static uint64_t state = 88172645463325252u;
static uint32_t hash;

static uint64_t word(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state >> (state & 63);
}

static void mix(uint64_t value) {
    hash = (hash ^ (uint32_t)value) * 16777619u;
    hash = (hash ^ (uint32_t)(value >> 32)) * 16777619u;
}

static void tell(const char *name) {
    char line[32];
    size_t n = 0;
    while (name[n] != 0) {
        line[n] = name[n];
        n++;
    }
    line[n++] = ' ';
    for (int shift = 28; shift >= 0; shift -= 4) {
        line[n++] = "0123456789abcdef"[hash >> shift & 15];
    }
    line[n++] = '\n';
    say(line, n);
    hash = 2166136261u;
}

static APART uint64_t arithmetic(uint64_t a, uint64_t b) {
    uint64_t divisor = b | 1;
    int64_t x = (int64_t)a, y = (int64_t)(divisor >> 1 | 1);
    return a * b + a / divisor * 3 + a % divisor + (uint64_t)(x / y) * 5 + (uint64_t)(x % y) * 7;
}

static APART uint64_t shifts(uint64_t a, unsigned n) {
    return (a << (n & 63)) ^ (a >> (n & 63)) ^ (uint64_t)((int64_t)a >> (n & 63)) ^ ((uint32_t)a << (n & 31));
}

static APART int64_t many(int8_t a, int64_t b, int16_t c, uint8_t d, int64_t e, int f, uint16_t g, int64_t h, int i) {
    return a + b * 3 + c * 5 + d * 7 + e * 11 + f * 13ll + g * 17 + h * 19 + i * 23ll;
}

typedef struct {
    int32_t a;
    int64_t b;
    int16_t c[3];
} record_t;

static APART record_t make(int32_t a, int64_t b) {
    record_t r = {a, b, {(int16_t)a, (int16_t)b, 3}};
    return r;
}

static APART int64_t take(record_t r, int by) {
    return r.a + r.b * by + r.c[0] - r.c[1] * r.c[2];
}

static APART int64_t listed(const char *kinds, va_list list) {
    int64_t sum = 0;
    for (int i = 1; *kinds != 0; kinds++, i++) {
        sum += i * (*kinds == 'l' ? va_arg(list, int64_t) : va_arg(list, int));
    }
    return sum;
}

static APART int64_t variable(int a, const char *kinds, ...) {
    va_list list, again;
    va_start(list, kinds);
    va_copy(again, list);
    int64_t sum = listed(kinds, list) + 31 * listed(kinds, again) + a;
    va_end(list);
    va_end(again);
    return sum;
}

static APART int64_t variable_after_four(int a, int b, int c, const char *kinds, ...) {
    va_list list;
    va_start(list, kinds);
    int64_t sum = listed(kinds, list) + a + b + c;
    va_end(list);
    return sum;
}

static APART uint32_t deep(uint32_t n) {
    return n == 0 ? 1 : 3 * deep(n - 1) + (n & 3 ? n : deep(n / 2));
}

static APART int choose(int x) {
    switch (x & 15) {
    case 0:
        return 5;
    case 1:
        return -3;
    case 4:
        return 99999;
    case 5:
        return x * 3;
    case 9:
        return x >> 2;
    case 11:
        return 123456789;
    case 14:
        return x ^ 0x5555;
    default:
        return 0;
    }
}

static APART uint32_t bits(uint32_t x, uint32_t y) {
    uint32_t ends = x != 0 ? (uint32_t)(__builtin_clz(x) * 100 + __builtin_ctz(x)) : 3232;
    int32_t quotient = (int32_t)x / (int32_t)(y >> 1 | 1);
    return ends + (uint32_t)__builtin_popcount(y) + (uint32_t)quotient + x % (y | 1) + (uint32_t)(int8_t)(x * y) +
           (uint32_t)((int32_t)x < (int32_t)y ? -7 : (int16_t)x);
}

static APART int frames(int x) {
    volatile char big[9000];
    for (int i = 0; i < 9000; i += 13) {
        big[i] = (char)(i * x);
    }
    int sum = 0;
    for (int i = 0; i < 9000; i += 91) {
        sum += (signed char)big[i / 13 * 13] * i;
    }
    return sum;
}

typedef union {
    float value;
    uint32_t bits;
} real_t;

static APART uint32_t reals(uint32_t x, uint32_t y, int32_t z) {
    real_t a = {.bits = (x & 0x807fffffu) | (96 + (x >> 8) % 64) << 23}; /* 2^-31 to 2^33 */
    real_t b = {.bits = (y & 0x807fffffu) | (96 + (y >> 8) % 64) << 23};
    volatile float sum = a.value + b.value, difference = a.value - b.value, quotient = a.value / b.value;
    volatile float product = a.value * b.value, whole = (float)z;
    real_t all[5] = {{sum}, {difference}, {product}, {quotient}, {whole}};
    uint32_t h = (a.value < b.value) + 2u * (a.value <= b.value) + 4u * (a.value == b.value) + 8u * (a.value > b.value);
    h += 16u * (uint32_t)(a.value >= b.value ? 1.0f : 0.0f) + (uint32_t)(int32_t)(quotient / 17179869184.0f);
    for (int i = 0; i < 5; i++) {
        h = h * 31 + all[i].bits;
    }
    return h;
}

static const int32_t table[7] = {3, -1, 4, 100000, -5, 92653, 0x7fffffff};
static uint8_t scratch[64];

static APART uint32_t memory(uint32_t x) {
    for (uint32_t i = 0; i < sizeof(scratch); i++) {
        scratch[i] = (uint8_t)(scratch[(i + x) % sizeof(scratch)] * 5 + x);
    }
    return (uint32_t)table[x % 7] + scratch[x % 64] + (uint32_t)*(&table[3] + x % 3);
}

void answers(void) {
    hash = 2166136261u;
    for (int i = 0; i < 3000; i++) {
        uint64_t a = word(), b = word();
        mix(arithmetic(a, b));
    }
    tell("arithmetic");
    for (int i = 0; i < 3000; i++) {
        uint64_t a = word(), b = word();
        mix(shifts(a, (unsigned)b));
    }
    tell("shifts");
    for (int i = 0; i < 1000; i++) {
        uint64_t a = word(), b = word(), c = word();
        mix((uint64_t)many((int8_t)a, (int64_t)(b >> 20), (int16_t)c, (uint8_t)b, (int64_t)(c >> 20), (int)a,
            (uint16_t)c, (int64_t)(a >> 20), (int)b));
    }
    tell("many arguments");
    for (int i = 0; i < 1000; i++) {
        uint64_t a = word(), b = word();
        mix((uint64_t)take(make((int32_t)a, (int64_t)(b >> 12)), i));
    }
    tell("structs");
    for (int i = 0; i < 1000; i++) {
        int a = (int)(word() >> 33), b = (int)(word() >> 33);
        int64_t c = (int64_t)(word() >> 8), d = (int64_t)(word() >> 8);
        mix((uint64_t)variable(a, "iilil", b, a, c, b, d));
        mix((uint64_t)variable(a, "liiliiilll", c, a, b, d, a, b, a, d, c, d));
        mix((uint64_t)variable(a, "l", c));
        mix((uint64_t)variable_after_four(a, b, a, "iiilil", b, a, b, c, a, d));
        mix((uint64_t)variable_after_four(a, b, a, "ll", c, d));
    }
    tell("variable arguments");
    mix(deep(40));
    tell("recursion");
    for (int i = 0; i < 1000; i++) {
        mix((uint64_t)(choose((int)(word() & 0xffffff)) + frames(i)));
    }
    tell("switch and frames");
    for (int i = 0; i < 3000; i++) {
        uint64_t a = word(), b = word();
        mix(bits((uint32_t)a, (uint32_t)b));
    }
    tell("bits");
    for (int i = 0; i < 3000; i++) {
        uint64_t a = word(), b = word(), c = word();
        mix(reals((uint32_t)a, (uint32_t)b, (int32_t)c));
    }
    tell("floats");
    for (int i = 0; i < 1000; i++) {
        mix(memory((uint32_t)word()));
    }
    tell("memory");
}
