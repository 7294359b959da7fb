/* Descriptors: every field out of range, every length, sizes, and the states a trainer refuses calls in. */
#include "picofed.h"
#include "check.h"
#include "../src/model.h"
#include "../src/trainer.h"

static uint64_t memory[65536];
static const uint8_t key[32] = {9};
/* 5 inputs - 4 hidden - 3 outputs, softmax; layer 0: rows 1..3, columns 2..5, with biases; layer 1: all, no biases */
static const uint8_t good[] = {
    1, 0, 2, 0, 5, 0, 4, 0, 3, 0, 1, 0, 3, 0, 2, 0, 5, 0, 1, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0};

static pf_trainer *trainer(void) {
    return (pf_trainer *)(void *)memory;
}

static int accepted(const uint8_t *descriptor, size_t len) {
    size_t size = pf_trainer_size(descriptor, len, PF_MODE_GRADIENT);
    memory[0] = 0x1122334455667788u;
    pf_status status = pf_trainer_init(memory, sizeof memory, descriptor, len, PF_MODE_GRADIENT);
    CHECK((status == PF_OK) == (size != 0));
    if (status != PF_OK) {
        CHECK(status == PF_E_ARGUMENT || status == PF_E_RANGE);
        CHECK(memory[0] == 0x1122334455667788u);
    }
    return status == PF_OK;
}

static int changed(size_t offset, uint32_t value, size_t bytes) {
    uint8_t descriptor[sizeof good];
    memcpy(descriptor, good, sizeof good);
    for (size_t i = 0; i < bytes; i++) {
        descriptor[offset + i] = (uint8_t)(value >> (8 * i) & 255u);
    }
    return accepted(descriptor, sizeof good);
}

static void test_good(void) {
    CHECK(accepted(good, sizeof good));
    CHECK_EQ(pf_trainer_parameters(trainer()), 4 * 6 + 3 * 5);
    CHECK_EQ(pf_trainer_trainable(trainer()), 2 * 3 + 2 + 3 * 4);
    CHECK_EQ(pf_trainer_inputs(trainer()), 5);
    CHECK_EQ(pf_trainer_outputs(trainer()), 3);
}

static void test_fields(void) {
    for (uint32_t v = 0; v < 256; v++) {
        CHECK_EQ(changed(0, v, 1), v == 1); /* version */
        CHECK_EQ(changed(1, v, 1), v <= 1); /* loss */
        CHECK_EQ(changed(2, v, 1), v == 2); /* layers (the length tells) */
        CHECK_EQ(changed(3, v, 1), v == 0);
        CHECK_EQ(changed(18, v, 1), v <= 1); /* bias */
        CHECK_EQ(changed(19, v, 1), v == 0);
        CHECK_EQ(changed(29, v, 1), v == 0);
    }
    for (uint32_t v = 0; v < 65536; v++) {
        CHECK_EQ(changed(4, v, 2), v >= 5 && v <= 1023); /* inputs: column_end is 5 */
        CHECK_EQ(changed(6, v, 2), v >= 4 && v <= 1023); /* hidden: next column_end is 4 */
        CHECK_EQ(changed(8, v, 2), v >= 3 && v <= 255);  /* outputs */
        CHECK_EQ(changed(10, v, 2), v < 3);              /* row_begin */
        CHECK_EQ(changed(12, v, 2), v > 1 && v <= 4);    /* row_end */
        CHECK_EQ(changed(14, v, 2), v < 5);              /* column_begin */
        CHECK_EQ(changed(16, v, 2), v > 2 && v <= 5);    /* column_end */
    }
}

static void test_lengths(void) {
    uint8_t descriptor[256] = {0};
    memcpy(descriptor, good, sizeof good);
    for (size_t len = 0; len < 200; len++) {
        uint8_t *exact = malloc(len == 0 ? 1 : len); /* a read beyond len is caught by the sanitizer */
        CHECK(exact != NULL);
        memcpy(exact, descriptor, len);
        CHECK_EQ(accepted(exact, len), len == sizeof good);
        free(exact);
    }
    CHECK_EQ(pf_trainer_size(NULL, 0, 0), 0);
    CHECK_EQ(pf_trainer_size(good, sizeof good, 2), 0);
    CHECK_EQ(pf_trainer_init(memory, sizeof memory, good, sizeof good, 2), PF_E_ARGUMENT);
    CHECK_EQ(pf_trainer_size(good, SIZE_MAX, 0), 0);
}

static void test_trained_parts(void) {
    uint8_t d[sizeof good];
    memcpy(d, good, sizeof good);
    memset(d + 10, 0, 20);
    CHECK(!accepted(d, sizeof d)); /* nothing trained */
    d[10 + 2] = 2;                 /* rows 0..2 of layer 0, no columns */
    CHECK(!accepted(d, sizeof d));
    d[10 + 8] = 1; /* their biases alone */
    CHECK(accepted(d, sizeof d));
    CHECK_EQ(pf_trainer_trainable(trainer()), 2);
    d[10 + 4] = d[10 + 6] = 1; /* written with an empty range elsewhere */
    CHECK(!accepted(d, sizeof d));
    memset(d + 10, 0, 10);
    d[10 + 8] = 1; /* a frozen layer is all zeros */
    CHECK(!accepted(d, sizeof d));
}

static void test_softmax_outputs(void) {
    uint8_t d[sizeof good];
    memcpy(d, good, sizeof good);
    d[8] = 1;
    d[22] = 1;
    CHECK(!accepted(d, sizeof d)); /* one class */
    d[1] = PF_LOSS_SQUARED;
    CHECK(accepted(d, sizeof d));
    d[8] = 0;
    d[9] = 1; /* 256 */
    CHECK(accepted(d, sizeof d));
    d[1] = PF_LOSS_SOFTMAX;
    CHECK(!accepted(d, sizeof d));
}

/* The widest model: eight layers of 1023; its norms do not fit, half of it does; no size wraps around. */
static void test_widest(void) {
    uint8_t d[4 + 18 + 80] = {1, 1, 8, 0};
    for (int l = 0; l <= 8; l++) {
        d[4 + 2 * l] = 0xff;
        d[5 + 2 * l] = 3;
    }
    for (int l = 0; l < 8; l++) {
        uint8_t *r = d + 22 + 10 * l;
        r[2] = r[6] = 0xff;
        r[3] = r[7] = 3;
        r[8] = 1;
    }
    pf_model model;
    unsigned __int128 worst = 0;
    for (int l = 0; l < 8; l++) {
        worst += (unsigned __int128)1023 * 16383 * 16383 * (1023 * 127 * 127 + (l ? 1024 : 16384));
    }
    CHECK_EQ(pf_model_parse(&model, d, sizeof d), worst >> 64 != 0 ? PF_E_RANGE : PF_OK);
    for (int frozen = 0; frozen < 8; frozen++) {
        memset(d + 22 + 10 * frozen, 0, 10);
        worst -= (unsigned __int128)1023 * 16383 * 16383 * (1023 * 127 * 127 + (frozen ? 1024 : 16384));
        size_t wanted = worst >> 64 != 0 || frozen == 7 ? 0 : (size_t)1023 * 1024 * (7 - (size_t)frozen) * 4;
        size_t size = pf_trainer_size(d, sizeof d, PF_MODE_GRADIENT);
        CHECK(wanted == 0 ? size == 0 : size > wanted && size < ((size_t)1 << 27));
    }
}

static void test_memory(void) {
    size_t size = pf_trainer_size(good, sizeof good, PF_MODE_LOCAL);
    CHECK_EQ(pf_trainer_init(memory, size - 1, good, sizeof good, PF_MODE_LOCAL), PF_E_MEMORY);
    CHECK_EQ(pf_trainer_init(memory, 0, good, sizeof good, PF_MODE_LOCAL), PF_E_MEMORY);
    CHECK_EQ(pf_trainer_init(NULL, size, good, sizeof good, PF_MODE_LOCAL), PF_E_MEMORY);
    for (size_t offset = 1; offset < 8; offset++) {
        CHECK_EQ(pf_trainer_init((uint8_t *)memory + offset, size, good, sizeof good, PF_MODE_LOCAL), PF_E_MEMORY);
    }
    memset(memory, 0x5a, sizeof memory);
    CHECK_EQ(pf_trainer_init(memory, size, good, sizeof good, PF_MODE_LOCAL), PF_OK);
    for (size_t i = size; i < sizeof memory; i++) {
        CHECK_EQ(((const uint8_t *)memory)[i], 0x5a);
    }
    CHECK(size > pf_trainer_size(good, sizeof good, PF_MODE_GRADIENT));
}

static void test_states(void) {
    int8_t features[40] = {0};
    uint8_t targets[8] = {0};
    int32_t logits[3] = {1, 2, 3};
    CHECK_EQ(pf_trainer_init(memory, sizeof memory, good, sizeof good, PF_MODE_GRADIENT), PF_OK);
    CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 1), PF_E_STATE);
    CHECK_EQ(pf_trainer_fill(trainer(), 1), PF_E_STATE);
    CHECK(pf_trainer_release(trainer()) == NULL);
    CHECK_EQ(pf_trainer_begin(trainer(), key, 0, 1), PF_E_ARGUMENT);
    CHECK_EQ(pf_trainer_begin(trainer(), key, 5, 1), PF_E_ARGUMENT);
    CHECK_EQ(pf_trainer_begin(trainer(), key, 26, 1), PF_E_ARGUMENT);
    CHECK_EQ(pf_trainer_begin(trainer(), key, 6, 0), PF_E_ARGUMENT);
    CHECK_EQ(pf_trainer_begin(trainer(), key, 6, PF_CLIP_NORM_MAX + 1), PF_E_ARGUMENT);
    CHECK_EQ(pf_trainer_begin(trainer(), NULL, 6, 1), PF_E_ARGUMENT);
    CHECK_EQ(pf_trainer_fill(trainer(), 1), PF_E_STATE);
    CHECK_EQ(pf_trainer_begin(trainer(), key, 6, PF_CLIP_NORM_MAX), PF_OK);
    CHECK(pf_trainer_release(trainer()) == NULL);
    CHECK_EQ(pf_trainer_fill(trainer(), 19), 1);
    CHECK_EQ(pf_trainer_fill(trainer(), 0), 1);
    CHECK(pf_trainer_release(trainer()) == NULL);
    CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 1), PF_E_STATE);
    CHECK_EQ(pf_trainer_fill(trainer(), 1), 0);
    CHECK_EQ(pf_trainer_step(trainer(), 1, 1), PF_E_STATE); /* gradient mode has no steps */

    uint32_t before[20];
    memcpy(before, trainer()->accumulators, sizeof before);
    targets[7] = 3; /* no such class, in the last record: nothing is accumulated */
    CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 8), PF_E_ARGUMENT);
    targets[7] = 2;
    for (int i = 0; i < 40; i++) { /* -128 is not an activation, wherever it stands */
        features[i] = -128;
        CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 8), PF_E_ARGUMENT);
        CHECK_EQ(pf_trainer_logits(trainer(), features + i / 5 * 5, logits), PF_E_ARGUMENT);
        features[i] = (int8_t)(i % 2 ? -127 : 127);
    }
    CHECK(logits[0] == 1 && logits[2] == 3);
    uint8_t weights[2 * 39];
    for (int i = 0; i < 78; i++) {
        weights[i] = (uint8_t)(i % 2 ? 4 : i); /* 4 * 256 + i */
    }
    CHECK_EQ(pf_trainer_set_weights(trainer(), 0, weights, 39), PF_OK);
    CHECK_BYTES(trainer()->accumulators, before, sizeof before);
    CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 8), PF_OK);
    CHECK(memcmp(pf_trainer_release(trainer()), before, sizeof before) != 0);
    CHECK_EQ(pf_trainer_begin(trainer(), key, 6, 1), PF_OK); /* a new round: the old accumulators are out of reach */
    CHECK(pf_trainer_release(trainer()) == NULL);
}

int main(void) {
    RUN(test_good);
    RUN(test_fields);
    RUN(test_lengths);
    RUN(test_trained_parts);
    RUN(test_softmax_outputs);
    RUN(test_widest);
    RUN(test_memory);
    RUN(test_states);
    return 0;
}
