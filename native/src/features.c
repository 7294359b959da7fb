/* features.c: imu45, the 45 features of a window of six-axis motion (SPEC 8). Two passes over the window, the second in
 * blocks of samples, so that the sums of a pair of axes stay in registers for a whole block. What is done does not
 * depend on the samples' values. */
#include "picofed.h"
#include "armv6m.h"
#include "fixed.h"
#include "mean.h"
#include "port.h"

#ifdef PF_KERNELS_THUMB
#include "features_thumb.h"
#endif

#define PF_IMU_PAIRS 15u
#define PF_IMU_LAG 2u
#define PF_IMU_BLOCK 20u /* divides the usual 100 samples; features_thumb.h knows it */

typedef struct {
    int32_t mean[PF_IMU_AXES];
    int32_t mirror[PF_IMU_AXES]; /* g_i: 1 or -1; right behind the means */
    int32_t lowest[3];
    int32_t highest[3];
    int32_t energy[PF_IMU_AXES];
    int32_t covariance[PF_IMU_PAIRS];
    int32_t sweep[PF_IMU_PAIRS];
    int32_t z[PF_IMU_AXES][PF_IMU_LAG + PF_IMU_BLOCK]; /* a block, behind the LAG samples before it */
} pf_imu;

static int8_t pf_imu_limit(int32_t value) {
    return (int8_t)pf_limit(value, -127, 127); /* |value| <= 2^20, see its uses */
}

/* Q4 logarithm of SPEC 8.3, 0..16 * 30 + 15 */
static int32_t pf_imu_log(int32_t value) {
    uint32_t v = (uint32_t)value | ((uint32_t)value - 1u) >> 31; /* energies are not negative: 1 for 0 */
    uint32_t b = 0; /* the leading one's place: <= 29, as value <= 2^29 + 2^7 */
    for (uint32_t step = 16; step != 0; step >>= 1) {
        uint32_t rest = v >> (b + step); /* b + step <= 31; the rest < 2^31, so that its negative has the top bit */
        b += step & (uint32_t)((int32_t)(0u - rest) >> 31);
    }
    int32_t right = (int32_t)b - 4;
    int32_t sign = right >> 31;
    /* brings the leading one to bit 4, and what follows it below */
    v = v >> (right & ~sign) << (-right & sign);
    return 16 * (int32_t)b + (int32_t)v - 16;
}

/* Shifts of covariance and sweep for the pair (j, i), j < i: accelerations, mixed, angular rates. */
static uint32_t pf_imu_covariance_shift(uint32_t j, uint32_t i) {
    return i < 3u ? 15u : j >= 3u ? 14u : 13u;
}

static uint32_t pf_imu_sweep_shift(uint32_t j, uint32_t i) {
    return i < 3u || j >= 3u ? 10u : 12u;
}

static PF_NOINLINE void pf_imu_centre(pf_imu *imu, int8_t *out, const int16_t *samples, uint32_t n) {
    int32_t sum[PF_IMU_AXES];
    uint32_t inverse = pf_mean_inverse(n);
    pf_axis_sums(sum, samples, n);
    for (uint32_t i = 0; i < PF_IMU_AXES; i++) {
        imu->mean[i] = pf_mean(sum[i], n, inverse);
    }
    int32_t sign = sum[0] >> 31 | 1;
    for (uint32_t i = 0; i < PF_IMU_AXES; i++) {
        imu->mirror[i] = i == 0 || i >= 4u ? sign : 1;
    }
    for (uint32_t i = 0; i < 3u; i++) {
        out[i] = pf_imu_limit((imu->mirror[i] * sum[i]) >> 12);
    }
}

/* Samples of one axis, centred, from z to end; returns their energy. */
#ifndef PF_KERNELS_THUMB
static PF_NOINLINE int32_t pf_imu_samples(
    int32_t *z, const int16_t *samples, const int32_t *end, const int32_t *centre) {
    int32_t mean = centre[0];
    int32_t mirror = centre[PF_IMU_AXES];
    int32_t energy = 0;
    do {
        int32_t value = (mirror * (*samples - mean)) >> 4; /* |x - m| < 2^16: |value| <= 2^12 */
        energy += value * value;                           /* terms <= 2^24, a window's sum <= 2^29 + 2^7 */
        *z++ = value;
        samples += PF_IMU_AXES;
    } while (z != end);
    return energy;
}
#endif

/* One axis of a block: its n samples centred and its energy. Samples beyond the window's end count as zeros. */
static PF_NOINLINE int32_t pf_imu_axis(int32_t *z, const int16_t *samples, uint32_t n, const int32_t *centre) {
    z[0] = z[PF_IMU_BLOCK];
    z[1] = z[PF_IMU_BLOCK + 1u];
    z += PF_IMU_LAG;
    int32_t *whole = z + PF_IMU_BLOCK;
    int32_t energy = pf_imu_samples(z, samples, z + n, centre);
    z += n;
    while (z != whole) {
        *z++ = 0;
        PF_OPAQUE(z);
    }
    return energy;
}

/* The extremes of an axis go on over the block's n samples. */
static PF_NOINLINE void pf_imu_extremes(const int32_t *z, uint32_t n, int32_t *lowest, int32_t *highest) {
    const int32_t *end = z + n;
    int32_t low = *lowest;
    int32_t high = *highest;
    do {
        int32_t value = *z++;
        int32_t below = value - low;
        int32_t above = value - high;
        low += below & (below >> 31);
        high += above & ~(above >> 31);
    } while (z != end);
    *lowest = low;
    *highest = high;
}

/* The block's terms of a covariance, a b, and of a sweep, a b' - a' b with a', b' LAG samples earlier. The block's even
 * and odd samples have nothing to do with each other in a sweep. Sums of products: by Cauchy-Schwarz within the larger
 * energy, < 2^29 + 2^8. */
#ifndef PF_KERNELS_THUMB
static PF_NOINLINE void pf_imu_pair(const int32_t *a, const int32_t *b, int32_t *covariance, int32_t *sweep) {
    int32_t products = *covariance;
    int32_t forward = *sweep; /* within twice the larger energy, like the whole: < 2^30 + 2^8 */
    int32_t backward = 0;
    for (uint32_t parity = 0; parity < PF_IMU_LAG; parity++) {
        int32_t a_before = *a++;
        int32_t b_before = *b++;
        for (uint32_t k = 1; k < PF_IMU_LAG + PF_IMU_BLOCK - 1u; k += PF_IMU_LAG) {
            int32_t a_now = a[k];
            int32_t b_now = b[k];
            products += a_now * b_now;
            forward += a_now * b_before;
            backward += a_before * b_now;
            a_before = a_now;
            b_before = b_now;
        }
    }
    *covariance = products;
    *sweep = forward - backward;
}
#endif

/* The products of all pairs of axes over the block. */
static void pf_imu_pairs(pf_imu *imu) {
    uint32_t pair = 0;
    for (uint32_t i = 0; i < PF_IMU_AXES; i++) {
        for (uint32_t j = 0; j < i; j++) {
            pf_imu_pair(imu->z[j], imu->z[i], &imu->covariance[pair], &imu->sweep[pair]);
            pair++;
        }
    }
}

pf_status pf_features_imu(int8_t out[PF_IMU_FEATURES], const int16_t *samples, size_t n) {
    if (n < PF_WINDOW_MIN || n > PF_WINDOW_MAX) {
        return PF_E_ARGUMENT;
    }
    pf_imu imu; /* the samples before the first are zeros: they add nothing to a sweep */
    for (int32_t *word = (int32_t *)(void *)&imu; word != (int32_t *)(void *)(&imu + 1); word++) {
        *word = 0;
        PF_OPAQUE(word);
    }
    for (uint32_t i = 0; i < 3u; i++) {
        imu.lowest[i] = 4096;
        imu.highest[i] = -4096;
    }
    pf_imu_centre(&imu, out, samples, (uint32_t)n);
    for (uint32_t t = 0; t < n; t += PF_IMU_BLOCK) {
        uint32_t left = (uint32_t)n - t;
        uint32_t count = left < PF_IMU_BLOCK ? left : PF_IMU_BLOCK;
        for (uint32_t i = 0; i < PF_IMU_AXES; i++) {
            imu.energy[i] += pf_imu_axis(imu.z[i], samples + PF_IMU_AXES * t + i, count, &imu.mean[i]);
        }
        for (uint32_t i = 0; i < 3u; i++) {
            pf_imu_extremes(imu.z[i] + PF_IMU_LAG, count, &imu.lowest[i], &imu.highest[i]);
        }
        pf_imu_pairs(&imu);
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
