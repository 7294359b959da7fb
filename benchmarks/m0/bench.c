/* bench.c: what the cycle model runs. Buffers are global so that the host side can read and write them; there is no
 * main: m0_cycles.py calls these functions by name. */
#include "picofed.h"
#include "fixed.h"

/* Kept although the whole program is one unit (-fwhole-program, as the native module is built). */
#if defined(__clang__)
#define BENCH __attribute__((used))
#else
#define BENCH __attribute__((used, externally_visible))
#endif

#define BENCH_EXAMPLES 16u
#define BENCH_SAMPLES 2048u

BENCH uint64_t bench_memory[12288]; /* the trainer's 96 KiB */
BENCH uint64_t bench_image[4096];
BENCH uint8_t bench_descriptor[128];
BENCH uint8_t bench_weights[16384];
BENCH int8_t bench_features[BENCH_EXAMPLES * 64u];
BENCH uint8_t bench_targets[BENCH_EXAMPLES * 128u];
BENCH uint8_t bench_key[32];
BENCH int32_t bench_noise[BENCH_SAMPLES];
BENCH int16_t bench_window[128u * PF_IMU_AXES];
BENCH int32_t bench_logits[256];
BENCH uint64_t bench_norms[2];
BENCH int8_t bench_imu_features[PF_IMU_FEATURES];
BENCH uint8_t bench_layer[5u + 24u * 37u];
BENCH pf_noise bench_stream;

BENCH pf_trainer *bench_trainer(void);
BENCH pf_status bench_init(size_t descriptor_len, uint32_t mode);
BENCH pf_status bench_frozen_init(size_t descriptor_len, uint32_t mode, uint32_t n);
BENCH pf_status bench_begin(uint32_t log2_sigma, uint32_t clip_norm);
BENCH pf_status bench_examples(uint32_t count);
BENCH pf_status bench_step(uint32_t multiplier, uint32_t shift);
BENCH pf_status bench_set_weights(uint32_t n);
BENCH pf_status bench_forward(void);
BENCH const uint32_t *bench_release(void);
BENCH pf_status bench_noise_init(uint32_t log2_sigma);
BENCH void bench_noise_fill(uint32_t n);
BENCH pf_status bench_clip(uint32_t clip_norm);
BENCH uint32_t bench_quotient(uint32_t remainder, uint32_t divisor, uint32_t next);
BENCH pf_status bench_imu(uint32_t n);
BENCH pf_status bench_blocks(uint32_t n, uint32_t block);
BENCH pf_status bench_convolution(uint32_t steps, uint32_t channels, size_t len);
BENCH size_t bench_size(size_t descriptor_len, uint32_t mode);
BENCH size_t bench_frozen_size(size_t descriptor_len, uint32_t mode);

pf_trainer *bench_trainer(void) {
    return (pf_trainer *)(void *)bench_memory;
}

size_t bench_size(size_t descriptor_len, uint32_t mode) {
    return pf_trainer_size(bench_descriptor, descriptor_len, mode);
}

pf_status bench_init(size_t descriptor_len, uint32_t mode) {
    return pf_trainer_init(bench_memory, sizeof bench_memory, bench_descriptor, descriptor_len, mode);
}

size_t bench_frozen_size(size_t descriptor_len, uint32_t mode) {
    return pf_trainer_frozen_size(bench_descriptor, descriptor_len, mode);
}

/* With an image of the n weights in bench_weights. */
pf_status bench_frozen_init(size_t descriptor_len, uint32_t mode, uint32_t n) {
    uint8_t *image = (uint8_t *)bench_image;
    size_t size = pf_frozen_size(bench_descriptor, descriptor_len);
    pf_status status = size > sizeof bench_image ? PF_E_MEMORY : PF_OK;
    if (status == PF_OK) {
        status = pf_frozen_clear(image, 0, size, bench_descriptor, descriptor_len);
    }
    if (status == PF_OK) {
        status = pf_frozen_put(image, 0, size, bench_descriptor, descriptor_len, 0, bench_weights, n);
    }
    if (status == PF_OK) {
        status = pf_trainer_frozen_init(
            bench_memory, sizeof bench_memory, bench_descriptor, descriptor_len, mode, image, size);
    }
    return status;
}

pf_status bench_set_weights(uint32_t n) {
    return pf_trainer_set_weights(bench_trainer(), 0, bench_weights, n);
}

pf_status bench_begin(uint32_t log2_sigma, uint32_t clip_norm) {
    pf_status status = pf_trainer_begin(bench_trainer(), bench_key, log2_sigma, clip_norm);
    return status != PF_OK ? status : pf_trainer_fill(bench_trainer(), 0xffffffffu);
}

pf_status bench_examples(uint32_t count) {
    return pf_trainer_examples(bench_trainer(), bench_features, bench_targets, count);
}

pf_status bench_step(uint32_t multiplier, uint32_t shift) {
    return pf_trainer_step(bench_trainer(), multiplier, shift);
}

pf_status bench_forward(void) {
    return pf_trainer_logits(bench_trainer(), bench_features, bench_logits);
}

const uint32_t *bench_release(void) {
    return pf_trainer_release(bench_trainer());
}

pf_status bench_noise_init(uint32_t log2_sigma) {
    return pf_noise_init(&bench_stream, bench_key, log2_sigma);
}

void bench_noise_fill(uint32_t n) {
    pf_noise_fill(&bench_stream, bench_noise, n);
}

/* One layer of 42 deltas, taken from bench_window. */
pf_status bench_clip(uint32_t clip_norm) {
    int16_t *deltas = bench_window;
    uint16_t count = 42;
    uint32_t squares = 64u * 127u * 127u + 16384u;
    return pf_clip(&deltas, &count, &squares, 1, clip_norm, &bench_norms[0], &bench_norms[1]);
}

uint32_t bench_quotient(uint32_t remainder, uint32_t divisor, uint32_t next) {
    return pf_quotient(remainder, divisor, next);
}

pf_status bench_imu(uint32_t n) {
    return pf_features_imu(bench_imu_features, bench_window, n);
}

pf_status bench_blocks(uint32_t n, uint32_t block) {
    return pf_features_blocks(bench_features, bench_window, n, block, n);
}

/* A layer over bench_features; PF_OK for any number of outputs. */
pf_status bench_convolution(uint32_t steps, uint32_t channels, size_t len) {
    pf_status count =
        pf_convolution((int8_t *)bench_noise, sizeof bench_noise, bench_features, steps, channels, bench_layer, len);
    return count < 0 ? count : PF_OK;
}
