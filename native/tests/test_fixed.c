/* Losses and fixed-point helpers: exact forms, extremes, and the distance of the softmax from the real one. */
#include "picofed.h"
#include "check.h"
#include "../src/fixed.h"

/* e^x for x <= 0, by a series near 0 and squaring: as good as long double, without the mathematics library */
static long double exponential(long double x) {
    int halvings = 0;
    while (x < -0.01L) {
        x /= 2;
        halvings++;
    }
    long double sum = 1, term = 1;
    for (int k = 1; k < 14; k++) {
        term *= x / k;
        sum += term;
    }
    while (halvings-- > 0) {
        sum *= sum;
    }
    return sum;
}

/* round(2^16 2^(-k/32)) */
static int64_t table_entry(int k) {
    return (int64_t)(65536.0L * exponential(-k * 0.693147180559945309417232L / 32) + 0.5L);
}

static void test_limit(void) {
    const int32_t edge = (int32_t)1 << 30;
    const int32_t values[] = {-edge, -16385, -16384, -16383, -1, 0, 1, 16382, 16383, 16384, edge};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        int32_t v = values[i];
        CHECK_EQ(pf_limit(v, -16384, 16383), v < -16384 ? -16384 : v > 16383 ? 16383 : v);
        CHECK_EQ(pf_limit(v, 0, 127), v < 0 ? 0 : v > 127 ? 127 : v);
    }
}

static uint32_t sqrt_ceil_wanted(uint64_t n) {
    uint64_t root = 0; /* the largest with root^2 <= n, bit by bit */
    for (uint64_t bit = (uint64_t)1 << 31; bit != 0; bit >>= 1) {
        if ((root | bit) * (root | bit) <= n) {
            root |= bit;
        }
    }
    root += root * root != n;
    return root > 0xffffffffu ? 0xffffffffu : (uint32_t)root;
}

static void check_sqrt(uint64_t n) {
    uint32_t wanted = sqrt_ceil_wanted(n);
    CHECK_EQ(pf_sqrt_ceil(n), wanted);
    CHECK_EQ(pf_sqrt_ceil64(n), wanted);
}

static void test_sqrt_ceil(void) {
    uint64_t state = check_seed();
    for (uint64_t n = 0; n < 2000; n++) {
        check_sqrt(n);
        check_sqrt(UINT64_MAX - n);
    }
    for (int i = 0; i < 100000; i++) {
        uint64_t root = (check_random(&state) << 32 | check_random(&state)) >> (32 + check_below(&state, 32));
        root &= 0xffffffffu;
        check_sqrt(root * root);
        check_sqrt(root * root + 1);
        check_sqrt(root * root - 1);
        check_sqrt((check_random(&state) << 40 ^ check_random(&state)) >> check_below(&state, 64));
    }
}

/* SPEC 2.3 word for word, in wide types */
static int64_t table[33];

static void softmax_plain(int64_t *delta, const int32_t *z, int n, int bits, int label) {
    int64_t e[255];
    int64_t sum = 0;
    int64_t largest = z[0];
    for (int j = 0; j < n; j++) {
        largest = z[j] > largest ? z[j] : largest;
    }
    for (int j = 0; j < n; j++) {
        int64_t t = (largest - z[j]) >> (bits - 10);
        e[j] = 0;
        if (t < 11264) {
            int64_t u = (t * 94548) >> 16;
            int k = (int)(u >> 5 & 31);
            int64_t l = u & 31;
            int64_t low = table[k];
            int64_t high = table[k + 1];
            e[j] = ((low * (32 - l) + high * l + 16) >> 5) >> (u >> 10);
        }
        sum += e[j];
    }
    int64_t r = 2147483647 / sum;
    for (int j = 0; j < n; j++) {
        delta[j] = ((e[j] * r + 262144) >> 19) - (j == label ? 4096 : 0);
    }
}

static double check_softmax(const int32_t *z, int n, int bits, int label) {
    int32_t delta[255];
    int64_t wanted[255];
    pf_softmax_delta(delta, z, (uint32_t)n, (uint32_t)bits, (uint32_t)label);
    softmax_plain(wanted, z, n, bits, label);
    long double largest = z[0], sum = 0;
    double worst = 0;
    int64_t absolute = 0;
    for (int j = 0; j < n; j++) {
        largest = z[j] > largest ? z[j] : largest;
    }
    for (int j = 0; j < n; j++) {
        sum += exponential((z[j] - largest) / (1 << bits));
    }
    for (int j = 0; j < n; j++) {
        CHECK_EQ(delta[j], wanted[j]);
        absolute += delta[j] < 0 ? -delta[j] : delta[j];
        long double p = 4096.0L * exponential((z[j] - largest) / (1 << bits)) / sum - (j == label ? 4096 : 0);
        double distance = (double)(p > delta[j] ? p - delta[j] : delta[j] - p);
        worst = distance > worst ? distance : worst;
    }
    CHECK(absolute <= 8192 + 128); /* the proof of the 32-bit backward pass */
    return worst;
}

static double larger(double a, double b) {
    return a > b ? a : b;
}

static void test_softmax(void) {
    uint64_t state = check_seed();
    double worst = 0;
    int32_t z[255];
    for (int k = 0; k <= 32; k++) {
        table[k] = table_entry(k);
    }
    for (int i = 0; i < 20000; i++) {
        int n = 2 + (int)check_below(&state, i % 4 ? 20 : 254);
        int bits = i & 1 ? 16 : 18;
        uint32_t range = (uint32_t)1 << check_below(&state, 31);
        for (int j = 0; j < n; j++) {
            z[j] = (int32_t)(check_below(&state, 2 * range) - range);
        }
        worst = larger(worst, check_softmax(z, n, bits, (int)check_below(&state, (uint32_t)n)));
    }
    for (int n = 2; n <= 255; n++) { /* all equal; one against all; the largest differences there are */
        for (int j = 0; j < n; j++) {
            z[j] = 0;
        }
        worst = larger(worst, check_softmax(z, n, 16, 0));
        z[n - 1] = INT32_MAX;
        worst = larger(worst, check_softmax(z, n, 18, 0));
        for (int j = 0; j < n; j++) {
            z[j] = j & 1 ? INT32_MAX : INT32_MIN;
        }
        worst = larger(worst, check_softmax(z, n, 18, n - 1));
    }
    printf("  softmax: worst distance from the real one %.3f / 4096\n", worst);
    CHECK(worst < 3.0);
}

static void test_squared(void) {
    uint64_t state = check_seed();
    const int32_t edges[] = {INT32_MIN, INT32_MIN + 1, -1, 0, 1, INT32_MAX};
    for (int i = 0; i < 100000; i++) {
        int bits = i & 1 ? 16 : 18;
        int32_t z = i % 3 ? (int32_t)((uint32_t)check_random(&state) & 0x0fffffffu) - 0x08000000 : edges[i / 3 % 6];
        int32_t target = i % 5 ? (int32_t)check_below(&state, 65536) - 32768 : (i & 2 ? 32767 : -32768);
        uint8_t bytes[2] = {(uint8_t)((uint32_t)target & 255u), (uint8_t)((uint32_t)target >> 8 & 255u)};
        int32_t delta;
        pf_squared_delta(&delta, &z, 1, (uint32_t)bits, bytes);
        int64_t wanted = ((int64_t)z >> (bits - 12)) - target;
        CHECK_EQ(delta, wanted < -16383 ? -16383 : wanted > 16383 ? 16383 : wanted);
    }
}

static void test_quotient(void) {
    uint64_t random = check_seed();
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t divisor = (uint32_t)check_random(&random) >> check_below(&random, 32);
        divisor = i < 32 ? 0xffffffffu - i : divisor | (uint32_t)(divisor == 0);
        uint32_t remainder = i % 4 == 0 ? divisor - 1 : (uint32_t)check_below(&random, divisor);
        uint32_t next = i & 1u;
        uint64_t dividend = ((uint64_t)remainder << 15) + (next ? 32767u : 0u);
        CHECK_EQ(pf_quotient(remainder, divisor, next), dividend / divisor);
    }
}

int main(void) {
    RUN(test_limit);
    RUN(test_quotient);
    RUN(test_sqrt_ceil);
    RUN(test_softmax);
    RUN(test_squared);
    return 0;
}
