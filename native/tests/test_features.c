/* imu45 against SPEC 8 in wide integers and obvious loops, and against vectors of an independent program. */
#include "picofed.h"
#include "check.h"

static int64_t z[128][6];

static int64_t floor_divide(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

static int64_t limit(int64_t v) {
    return v < -127 ? -127 : v > 127 ? 127 : v;
}

static int64_t logarithm(int64_t v) {
    int b = 0;
    v = v < 1 ? 1 : v;
    while (v >> (b + 1) != 0) {
        b++;
    }
    return 16 * b + (b >= 4 ? v >> (b - 4) : v << (4 - b)) - 16;
}

static void check_window(const int16_t *x, int n) {
    int8_t out[PF_IMU_FEATURES];
    int64_t sum[6], energy[6], wanted[PF_IMU_FEATURES];
    CHECK_EQ(pf_features_imu(out, x, (size_t)n), PF_OK);
    for (int i = 0; i < 6; i++) {
        sum[i] = 0;
        energy[i] = 0;
        for (int t = 0; t < n; t++) {
            sum[i] += x[6 * t + i];
        }
        int64_t g = (i == 0 || i >= 4) && sum[0] < 0 ? -1 : 1;
        int64_t low = 1 << 20, high = -(1 << 20);
        for (int t = 0; t < n; t++) {
            z[t][i] = floor_divide(g * (x[6 * t + i] - floor_divide(sum[i], n)), 16);
            energy[i] += z[t][i] * z[t][i];
            low = z[t][i] < low ? z[t][i] : low;
            high = z[t][i] > high ? z[t][i] : high;
        }
        CHECK(energy[i] <= ((int64_t)1 << 29) + 128);
        wanted[3 + i] = logarithm(energy[i]) - 304;
        if (i < 3) {
            wanted[i] = floor_divide(g * sum[i], 4096);
            wanted[9 + i] = floor_divide(energy[i], 16384) - 64;
            wanted[12 + i] = floor_divide(high + low, 2);
        }
    }
    int pair = 0;
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < i; j++, pair++) {
            int64_t covariance = 0, sweep = 0;
            for (int t = 0; t < n; t++) {
                covariance += z[t][j] * z[t][i];
                if (t + 2 < n) {
                    sweep += z[t + 2][j] * z[t][i] - z[t][j] * z[t + 2][i];
                }
                CHECK(covariance >= INT32_MIN && covariance <= INT32_MAX && sweep >= INT32_MIN && sweep <= INT32_MAX);
            }
            wanted[15 + pair] = floor_divide(covariance, 1 << (i < 3 ? 15 : j < 3 ? 13 : 14));
            wanted[30 + pair] = floor_divide(sweep, 1 << (i < 3 ? 10 : j < 3 ? 12 : 10));
        }
    }
    for (int k = 0; k < (int)PF_IMU_FEATURES; k++) {
        CHECK_EQ(out[k], limit(wanted[k]));
    }
}

static void test_random(void) {
    uint64_t state = check_seed();
    int16_t x[128 * 6];
    for (int i = 0; i < 3000; i++) {
        int n = 16 + (int)check_below(&state, 113);
        uint32_t range = (uint32_t)1 << check_below(&state, 17);
        int32_t offset = (int32_t)check_below(&state, 65536 - (range > 65535 ? 65535 : range)) - 32768;
        for (int k = 0; k < n * 6; k++) {
            int32_t v = offset + (int32_t)check_below(&state, range);
            x[k] = (int16_t)(v > 32767 ? 32767 : v);
            if (i % 5 == 0) {
                x[k] = check_below(&state, 2) ? 32767 : -32768;
            }
        }
        check_window(x, n);
    }
}

/* Square waves of every phase: the largest energies, covariances and sweeps there are. */
static void test_extremes(void) {
    int16_t x[128 * 6];
    for (int period = 1; period <= 64; period *= 2) {
        for (int n = 16; n <= 128; n += 28) {
            for (int t = 0; t < n; t++) {
                for (int i = 0; i < 6; i++) {
                    x[6 * t + i] = ((t + i * period / 4) / period) & 1 ? 32767 : -32768;
                }
            }
            check_window(x, n);
            for (int i = 0; i < 6 * n; i++) {
                x[i] = (int16_t)(period == 1 ? -32768 : period == 2 ? 32767 : 0);
            }
            check_window(x, n);
        }
    }
}

/* Expected values computed by the feature study's own program, not by this project's code. */
static void test_vector(void) {
    static const int8_t wanted[PF_IMU_FEATURES] = {50, -24, 4, -31, 0, 17, 29, 41, 49, -56, -32, 6, -4, -1, -9, 0, -2,
        0, 4, -6, 9, 19, 3, -24, 0, -3, 13, 66, -10, 5, 5, -62, 38, 2, 40, -38, -17, 27, 103, 99, 29, 1, 33, 127, -127};
    int16_t x[600];
    int8_t out[PF_IMU_FEATURES];
    for (int t = 0; t < 100; t++) {
        for (int i = 0; i < 6; i++) {
            x[6 * t + i] = (int16_t)((t * t * (i * 37 + 11) + t * 1009 + i * 7001) % 4096 * (i + 1) / 2 - 3000);
        }
    }
    CHECK_EQ(pf_features_imu(out, x, 100), PF_OK);
    CHECK_BYTES(out, wanted, sizeof wanted);
}

static void test_refusals(void) {
    int16_t x[129 * 6] = {0};
    int8_t out[PF_IMU_FEATURES] = {77};
    CHECK_EQ(pf_features_imu(out, x, 15), PF_E_ARGUMENT);
    CHECK_EQ(pf_features_imu(out, x, 129), PF_E_ARGUMENT);
    CHECK_EQ(pf_features_imu(out, x, 0), PF_E_ARGUMENT);
    CHECK_EQ(pf_features_imu(out, x, SIZE_MAX), PF_E_ARGUMENT);
    CHECK_EQ(out[0], 77);
}

int main(void) {
    RUN(test_random);
    RUN(test_extremes);
    RUN(test_vector);
    RUN(test_refusals);
    return 0;
}
