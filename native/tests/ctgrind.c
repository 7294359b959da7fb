/* Which branches and addresses of the core depend on secrets: run under valgrind's memcheck, with secrets marked as
 * undefined. Every "conditional jump depends on uninitialised value" is one. tests/native/test_timing.py reads them.
 *
 *   ctgrind PART      PART: noise, training, clip, crypto, features, ratchet; "branch" has one on purpose */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <valgrind/memcheck.h>

#include "picofed.h"
#include "nor.h"

#define SECRET(place, size) ((void)VALGRIND_MAKE_MEM_UNDEFINED(place, size))
#define PUBLIC(place, size) ((void)VALGRIND_MAKE_MEM_DEFINED(place, size))

static uint8_t key[64];
static uint8_t bytes[4096];

static uint8_t next(void) {
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return (uint8_t)(state >> 24);
}

static void expect(int right, const char *what) {
    if (!right) {
        fprintf(stderr, "ctgrind: %s failed\n", what);
        exit(1);
    }
}

static void run_noise(void) {
    static int32_t out[200000];
    for (uint32_t log2_sigma = 6; log2_sigma <= 25; log2_sigma += 19) {
        pf_noise noise;
        SECRET(key, 32);
        expect(pf_noise_init(&noise, key, log2_sigma) == PF_OK, "noise");
        pf_noise_fill(&noise, out, sizeof out / sizeof out[0]);
    }
}

/* An image of the frozen weights in `bytes`, and a trainer that reads it. */
static void split(uint64_t *memory, size_t size, const uint8_t *descriptor, size_t len, uint32_t n) {
    static uint64_t words[256];
    uint8_t *image = (uint8_t *)words;
    size_t image_len = pf_frozen_size(descriptor, len);
    expect(image_len <= sizeof words, "image size");
    expect(pf_frozen_clear(image, 0, image_len, descriptor, len) == PF_OK, "image");
    expect(pf_frozen_put(image, 0, image_len, descriptor, len, 0, bytes, n) == PF_OK, "frozen weights");
    expect(pf_trainer_frozen_init(memory, size, descriptor, len, PF_MODE_GRADIENT, image, image_len) == PF_OK, "split");
}

/* layers 0: softmax 12-3; else MLP 12-9-4, softmax or squared error; image: of what is frozen, a part of the first
 * layer then. Clipping works and does not in turn. */
static void train(uint32_t layers, uint32_t squared, uint32_t image, uint32_t clip_norm) {
    static uint64_t memory[4096];
    const uint8_t one[] = {1, 0, 1, 0, 12, 0, 3, 0, 0, 0, 3, 0, 0, 0, 12, 0, 1, 0};
    const uint8_t two[] = {1, (uint8_t)squared, 2, 0, 12, 0, 9, 0, 4, 0, image ? 2 : 0, 0, image ? 7 : 9, 0,
        image ? 1 : 0, 0, image ? 10 : 12, 0, 1, 0, image ? 1 : 0, 0, 4, 0, 0, 0, 9, 0, 1, 0};
    const uint8_t *descriptor = layers ? two : one;
    size_t len = layers ? sizeof two : sizeof one;
    expect(pf_trainer_size(descriptor, len, PF_MODE_GRADIENT) <= sizeof memory, "size");
    expect(pf_trainer_init(memory, sizeof memory, descriptor, len, PF_MODE_GRADIENT) == PF_OK, "trainer");
    pf_trainer *trainer = (pf_trainer *)memory;
    uint32_t n = pf_trainer_parameters(trainer);
    for (uint32_t i = 0; i < n; i++) {
        bytes[2 * i] = next();
        bytes[2 * i + 1] = (uint8_t)(next() & 7u); /* weights up to 1: logits that differ */
    }
    if (image) {
        split(memory, sizeof memory, descriptor, len, n);
    }
    expect(pf_trainer_set_weights(trainer, 0, bytes, n) == PF_OK, "weights");
    expect(pf_trainer_begin(trainer, key, 20, clip_norm) == PF_OK, "begin");
    while (pf_trainer_fill(trainer, 32) > 0) {
    }
    static int8_t features[12 * 7];
    static uint8_t targets[8 * 7];
    for (uint32_t i = 0; i < sizeof features; i++) {
        features[i] = (int8_t)(next() % 255 - 127);
    }
    for (uint32_t i = 0; i < sizeof targets; i++) {
        targets[i] = (uint8_t)(squared ? next() : next() % 3);
    }
    SECRET(features, sizeof features);
    SECRET(targets, sizeof targets);
    expect(pf_trainer_examples(trainer, features, targets, 7) == PF_OK, "examples");
    expect(pf_trainer_release(trainer) != NULL, "release");
    PUBLIC(memory, sizeof memory); /* what is released is not a secret, and its memory is used again */
}

static void run_training(void) {
    for (uint32_t kind = 0; kind < 3; kind++) {
        for (uint32_t image = 0; image < 2; image++) {
            train(kind > 0, kind == 2, image, 5000);
            train(kind > 0, kind == 2, image, PF_CLIP_NORM_MAX);
        }
    }
}

static void run_clip(void) {
    static int16_t delta[100];
    for (uint32_t norm = 1; norm < PF_CLIP_NORM_MAX; norm = 37 * norm + 1) {
        int16_t *deltas[2] = {delta, delta + 60};
        uint16_t counts[2] = {60, 40};
        uint32_t squares[2] = {123456, 7890};
        uint64_t before;
        uint64_t after;
        for (uint32_t i = 0; i < 100; i++) {
            delta[i] = (int16_t)((next() << 5 | next()) % 8192 - 4096);
        }
        SECRET(delta, sizeof delta);
        SECRET(squares, sizeof squares);
        expect(pf_clip(deltas, counts, squares, 2, norm, &before, &after) == PF_OK, "clip");
    }
}

static void run_crypto(void) {
    uint8_t out[64];
    uint8_t other[32] = {9};
    uint8_t nonce[12] = {0};
    SECRET(key, sizeof key);
    SECRET(bytes, sizeof bytes);
    for (size_t len = 0; len <= 300; len += 37) {
        pf_blake2b(out, 32, key, 32, bytes, len);
        (void)pf_chacha20(bytes + 1000, bytes, len, key, nonce, 1);
    }
    pf_x25519_public(out, key);
    pf_x25519(out, key, other);
    expect(pf_shamir_share(out, key, bytes, 17, 24) == PF_OK, "share");
    expect(pf_mask_add(bytes, 100, 40, 20, key, 1) == PF_OK, "mask");
    static uint32_t values[40];
    for (uint32_t bits = PF_MASK_BITS_MIN; bits <= 32; bits += 8) {
        SECRET(values, sizeof values);
        expect(pf_mask_encode(bytes, sizeof bytes, values, 40, 32 - bits, bits, key) > 0, "mask");
    }
    int differ = pf_differ(key, bytes, 32);
    PUBLIC(&differ, sizeof differ);
    expect(differ == 0 || differ == 1, "differ");
    pf_wipe(key, sizeof key);
}

static void run_features(void) {
    static int16_t window[100 * PF_IMU_AXES];
    int8_t out[PF_IMU_FEATURES];
    for (size_t i = 0; i < sizeof window / sizeof window[0]; i++) {
        window[i] = (int16_t)(next() << 8 | next());
    }
    SECRET(window, sizeof window);
    expect(pf_features_imu(out, window, 100) == PF_OK, "features");
}

static void run_convolution(void) {
    static int8_t points[20 * PF_IMU_AXES];
    static int8_t found[6 * 7];
    static uint8_t layer[5 + 7 * (3 * PF_IMU_AXES + 1)] = {3, 1, 7, 3, 6}; /* filters are public */
    for (size_t i = 5; i < sizeof layer; i++) {
        layer[i] = next();
    }
    for (size_t i = 0; i < sizeof points; i++) {
        points[i] = (int8_t)next();
    }
    SECRET(points, sizeof points);
    expect(pf_convolution(found, sizeof found, points, 20, PF_IMU_AXES, layer, sizeof layer) == 6 * 7, "convolution");
}

static void run_ratchet(void) {
    static nor chip;
    pf_flash flash;
    pf_ratchet ratchet;
    uint8_t out[32];
    nor_start(&chip, &flash, 256, 1);
    expect(pf_ratchet_provision(&flash, key) == PF_OK, "provision");
    SECRET(bytes, 32); /* the entropy; what is on flash is compared, slot by slot, and is not marked */
    expect(pf_ratchet_boot(&ratchet, &flash, bytes, bytes + 32, 16) == PF_OK, "boot");
    SECRET(ratchet.chain, 32);
    expect(pf_ratchet_next(&ratchet, 0, out) == PF_OK, "next");
}

/* What must be found, or nothing is. */
static void run_branch(void) {
    volatile int sink = 0;
    SECRET(key, 1);
    if (key[0] & 1u) {
        sink = 1;
    }
    (void)sink;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {{"noise", run_noise}, {"training", run_training}, {"clip", run_clip}, {"crypto", run_crypto},
        {"features", run_features}, {"convolution", run_convolution}, {"ratchet", run_ratchet}, {"branch", run_branch}};
    if (!RUNNING_ON_VALGRIND) {
        fprintf(stderr, "ctgrind: to be run under valgrind\n");
        return 1;
    }
    for (size_t i = 0; argc == 2 && i < sizeof parts / sizeof parts[0]; i++) {
        if (strcmp(argv[1], parts[i].name) == 0) {
            parts[i].run();
            return 0;
        }
    }
    return 1;
}
