/* features.c: imu45, the 45 features of a window of six-axis motion (SPEC 8). Two passes over the window, in which only
 * running sums and the last three samples are kept. */
#include "picofed.h"
#include "port.h"

#define PF_IMU_WINDOW_MIN 16u
#define PF_IMU_WINDOW_MAX 128u
#define PF_IMU_PAIRS 15u
#define PF_IMU_LAG 2u

typedef struct {
    int32_t mean[PF_IMU_AXES];
    int32_t mirror[PF_IMU_AXES]; /* g_i: 1 or -1 */
    int32_t lowest[3];
    int32_t highest[3];
    int32_t energy[PF_IMU_AXES];
    int32_t covariance[PF_IMU_PAIRS];
    int32_t sweep[PF_IMU_PAIRS];
    int32_t z[PF_IMU_LAG + 1u][PF_IMU_AXES]; /* the newest samples, z_t in place t modulo 3 */
} pf_imu;

static int8_t pf_imu_limit(int32_t value) {
    value = value > 127 ? 127 : value;
    return (int8_t)(value < -127 ? -127 : value);
}

/* Q4 logarithm of SPEC 8.3, 0..16 * 30 + 15 */
static int32_t pf_imu_log(int32_t value) {
    uint32_t v = value < 1 ? 1u : (uint32_t)value;
    int32_t b = 0;
    /* brings the leading one to bit 4, and what follows it below */
    while (v >= 32u) {
        v >>= 1;
        b++;
    }
    b += 4;
    while (v < 16u) {
        v <<= 1;
        b--;
    }
    return 16 * b + (int32_t)v - 16;
}

/* Shifts of covariance and sweep for the pair (j, i), j < i: accelerations, mixed, angular rates. */
static uint32_t pf_imu_covariance_shift(uint32_t j, uint32_t i) {
    return i < 3u ? 15u : j >= 3u ? 14u : 13u;
}

static uint32_t pf_imu_sweep_shift(uint32_t j, uint32_t i) {
    return i < 3u || j >= 3u ? 10u : 12u;
}

static void pf_imu_centre(pf_imu *imu, int8_t *out, const int16_t *samples, uint32_t n) {
    int32_t sum[PF_IMU_AXES];
    for (uint32_t i = 0; i < PF_IMU_AXES; i++) {
        int32_t s = 0;
        for (uint32_t t = 0; t < n; t++) {
            s += samples[PF_IMU_AXES * t + i]; /* |s| <= 128 * 2^15 = 2^22 */
        }
        sum[i] = s;
        imu->mean[i] = (int32_t)pf_divide((uint32_t)(s + 32768 * (int32_t)n), n) - 32768;
    }
    for (uint32_t i = 0; i < PF_IMU_AXES; i++) {
        imu->mirror[i] = sum[0] < 0 && (i == 0 || i >= 4u) ? -1 : 1;
    }
    for (uint32_t i = 0; i < 3u; i++) {
        out[i] = pf_imu_limit((imu->mirror[i] * sum[i]) >> 12);
    }
}

/* One sample: z, extremes, energies, covariances; sweeps once there is a sample LAG before it. */
static void pf_imu_add(pf_imu *imu, const int16_t *sample, int32_t *z, const int32_t *old, uint32_t lagging) {
    uint32_t pair = 0;
    for (uint32_t i = 0; i < PF_IMU_AXES; i++) {
        int32_t value = (imu->mirror[i] * (sample[i] - imu->mean[i])) >> 4; /* |x - m| < 2^16: |value| <= 2^12 */
        z[i] = value;
        imu->energy[i] += value * value; /* terms <= 2^24, the sum <= 2^29 + 2^7 */
        if (i < 3u) {
            imu->lowest[i] = value < imu->lowest[i] ? value : imu->lowest[i];
            imu->highest[i] = value > imu->highest[i] ? value : imu->highest[i];
        }
        for (uint32_t j = 0; j < i; j++) {
            imu->covariance[pair] += z[j] * value; /* Cauchy-Schwarz: within the larger energy */
            if (lagging) {
                imu->sweep[pair] += z[j] * old[i] - old[j] * value; /* likewise, twice: < 2^30 + 2^8 */
            }
            pair++;
        }
    }
}

pf_status pf_features_imu(int8_t out[PF_IMU_FEATURES], const int16_t *samples, size_t n) {
    if (n < PF_IMU_WINDOW_MIN || n > PF_IMU_WINDOW_MAX) {
        return PF_E_ARGUMENT;
    }
    pf_imu imu;
    pf_zero(&imu, sizeof imu);
    for (uint32_t i = 0; i < 3u; i++) {
        imu.lowest[i] = 4096;
        imu.highest[i] = -4096;
    }
    pf_imu_centre(&imu, out, samples, (uint32_t)n);
    uint32_t place = 0;
    for (uint32_t t = 0; t < n; t++) {
        uint32_t next = place == PF_IMU_LAG ? 0 : place + 1u; /* of three places: two samples ago */
        pf_imu_add(&imu, samples + PF_IMU_AXES * t, imu.z[place], imu.z[next], t >= PF_IMU_LAG);
        place = next;
    }
    for (uint32_t i = 0; i < PF_IMU_AXES; i++) {
        out[3u + i] = pf_imu_limit(pf_imu_log(imu.energy[i]) - 304);
    }
    for (uint32_t i = 0; i < 3u; i++) {
        out[9u + i] = pf_imu_limit((imu.energy[i] >> 14) - 64);
        out[12u + i] = pf_imu_limit((imu.highest[i] + imu.lowest[i]) >> 1);
    }
    uint32_t pair = 0;
    for (uint32_t i = 0; i < PF_IMU_AXES; i++) {
        for (uint32_t j = 0; j < i; j++) {
            out[15u + pair] = pf_imu_limit(imu.covariance[pair] >> pf_imu_covariance_shift(j, i));
            out[30u + pair] = pf_imu_limit(imu.sweep[pair] >> pf_imu_sweep_shift(j, i));
            pair++;
        }
    }
    return PF_OK;
}
