/* Images of frozen weights (SPEC 12): bytes that are none, windows that are none, and images that are put together
 * window by window, with which a trainer must release what it does with all weights in RAM. */
#include "fuzz.h"

#define HEAD 16u
#define IMAGE_MAX (1u << 11) /* what follows takes its square */

typedef struct {
    const uint8_t *descriptor;
    size_t len;
    uint32_t mode;
    uint8_t *weights; /* all parameters, in range */
    uint32_t parameters;
    uint8_t *image; /* of exactly its size */
    size_t size;
} frozen;

static uint32_t u16(const uint8_t *data) {
    return data[0] | (uint32_t)data[1] << 8;
}

/* A window and a run of parameters as they come: written where they may be, refused where not. */
static void hostile_window(const frozen *model, const uint8_t *data, const uint8_t *rest, size_t left) {
    uint32_t at = u16(data);
    size_t n = data[2];
    uint32_t offset = data[3] * 3u;
    size_t count = left / 2 < 40 ? left / 2 : 40;
    uint8_t *out = malloc(n + 1);
    out[n] = 0x5a;
    uint32_t fits = (at & 1u) == 0 && (n & 1u) == 0 && at <= model->size && n <= model->size - at;
    pf_status status = pf_frozen_clear(out, at, n, model->descriptor, model->len);
    REQUIRE(status == (fits ? PF_OK : PF_E_ARGUMENT));
    uint32_t within = offset <= model->parameters && count <= model->parameters - offset;
    uint32_t good = 1;
    for (size_t k = 0; k < count; k++) {
        uint32_t above = (u16(rest + 2 * k) + 16384u) & 0xffffu;
        good &= above <= 32767u;
    }
    status = pf_frozen_put(out, at, n, model->descriptor, model->len, offset, rest, count);
    REQUIRE(status == (!fits || !within ? PF_E_ARGUMENT : good ? PF_OK : PF_E_RANGE));
    REQUIRE(out[n] == 0x5a);
    free(out);
}

/* The image in windows of `window` bytes, each from runs of `run` parameters. */
static void put_together(const frozen *model, size_t window, size_t run) {
    for (size_t at = 0; at < model->size; at += window) {
        size_t n = model->size - at < window ? model->size - at : window;
        uint8_t *out = malloc(n);
        REQUIRE(pf_frozen_clear(out, (uint32_t)at, n, model->descriptor, model->len) == PF_OK);
        for (size_t k = 0; k < model->parameters; k += run) {
            size_t count = model->parameters - k < run ? model->parameters - k : run;
            REQUIRE(pf_frozen_put(out, (uint32_t)at, n, model->descriptor, model->len, (uint32_t)k,
                        model->weights + 2 * k, count) == PF_OK);
        }
        memcpy(model->image + at, out, n);
        free(out);
    }
}

/* Bytes that are no image: refused, whatever they are, unless they begin as this model's image does. */
static void hostile_image(const frozen *model, void *memory, size_t bytes, const uint8_t *data, size_t size) {
    uint8_t *image = malloc(size + 1);
    memcpy(image, data, size);
    pf_status status = pf_trainer_frozen_init(memory, bytes, model->descriptor, model->len, model->mode, image, size);
    if (size < HEAD) {
        REQUIRE(status == PF_E_MEMORY);
    } else if (memcmp(image, model->image, HEAD) != 0) {
        REQUIRE(status == PF_E_CORRUPT);
    } else {
        REQUIRE(status == (size < model->size ? PF_E_MEMORY : PF_OK));
    }
    free(image);
}

static pf_trainer *with_image(const frozen *model, void *memory, size_t bytes) {
    const uint8_t *d = model->descriptor;
    size_t len = model->len;
    uint32_t mode = model->mode;
    REQUIRE(pf_trainer_frozen_init(memory, bytes, d, len, mode, model->image, model->size - 1) == PF_E_MEMORY);
    REQUIRE(pf_trainer_frozen_init(memory, bytes, d, len, mode, model->image + 2, model->size - 2) == PF_E_MEMORY);
    REQUIRE(pf_trainer_frozen_init(memory, bytes - 1, d, len, mode, model->image, model->size) == PF_E_MEMORY);
    REQUIRE(pf_trainer_frozen_init(memory, bytes, d, len, mode, NULL, model->size) == PF_E_MEMORY);
    REQUIRE(pf_trainer_frozen_init(memory, bytes, d, len, mode, model->image, model->size) == PF_OK);
    return memory;
}

/* One round on either: the same answers, the same release, the same weights afterwards. */
static void same_round(const frozen *model, pf_trainer *trainer, pf_trainer *other, const uint8_t *rest, size_t left) {
    uint32_t inputs = pf_trainer_inputs(trainer);
    uint32_t outputs = pf_trainer_outputs(trainer);
    size_t one = inputs + 2 * (size_t)outputs;
    REQUIRE(pf_trainer_begin(trainer, key, 6, 1u << 16) == PF_OK && pf_trainer_begin(other, key, 6, 1u << 16) == PF_OK);
    while (pf_trainer_fill(trainer, 50) > 0) {
    }
    REQUIRE(pf_trainer_fill(other, pf_trainer_trainable(other)) == 0);
    uint8_t *record = malloc(one);
    int32_t *logits = malloc(sizeof(int32_t) * outputs);
    int32_t *others = malloc(sizeof(int32_t) * outputs);
    for (size_t n = 0; n < 3; n++) {
        for (size_t i = 0; i < one; i++) {
            record[i] = left == 0 ? 0 : rest[(n * one + i) % left];
        }
        const int8_t *features = (const int8_t *)record;
        REQUIRE(pf_trainer_logits(trainer, features, logits) == pf_trainer_logits(other, features, others));
        REQUIRE(memcmp(logits, others, sizeof(int32_t) * outputs) == 0);
        REQUIRE(pf_trainer_examples(trainer, features, record + inputs, 1) ==
                pf_trainer_examples(other, features, record + inputs, 1));
    }
    if (model->mode == PF_MODE_LOCAL) {
        REQUIRE(pf_trainer_step(trainer, 9000, 30) == PF_OK && pf_trainer_step(other, 9000, 30) == PF_OK);
    }
    const uint32_t *released = pf_trainer_release(trainer);
    const uint32_t *expected = pf_trainer_release(other);
    REQUIRE(released != NULL && expected != NULL);
    REQUIRE(memcmp(released, expected, sizeof(uint32_t) * pf_trainer_trainable(trainer)) == 0);
    uint8_t *read = malloc(4 * (size_t)model->parameters);
    uint8_t *wanted = read + 2 * model->parameters;
    REQUIRE(pf_trainer_get_weights(trainer, 0, read, model->parameters) == PF_OK);
    REQUIRE(pf_trainer_get_weights(other, 0, wanted, model->parameters) == PF_OK);
    REQUIRE(memcmp(read, wanted, 2 * (size_t)model->parameters) == 0);
    free(read);
    free(others);
    free(logits);
    free(record);
}

static void train(const frozen *model, const uint8_t *data, size_t size) {
    size_t bytes = pf_trainer_frozen_size(model->descriptor, model->len, model->mode);
    size_t whole = pf_trainer_size(model->descriptor, model->len, model->mode);
    REQUIRE(bytes > 0 && whole > 0);
    void *memory = malloc(bytes);
    void *all = malloc(whole);
    hostile_image(model, memory, bytes, data, size);
    pf_trainer *trainer = with_image(model, memory, bytes);
    pf_trainer *other = all;
    REQUIRE(pf_trainer_init(all, whole, model->descriptor, model->len, model->mode) == PF_OK);
    REQUIRE(pf_trainer_set_weights(trainer, 0, model->weights, model->parameters) == PF_OK);
    REQUIRE(pf_trainer_set_weights(other, 0, model->weights, model->parameters) == PF_OK);
    for (uint32_t k = 0; k < model->parameters; k += 1u + model->parameters / 7u) {
        uint8_t changed[2] = {(uint8_t)(model->weights[2 * k] ^ 1u), model->weights[2 * k + 1]};
        pf_status status = pf_trainer_set_weights(trainer, k, changed, 1);
        REQUIRE(status == PF_OK || status == PF_E_STATE);
        if (status == PF_OK) { /* a trained one */
            REQUIRE(pf_trainer_set_weights(other, k, changed, 1) == PF_OK);
        }
    }
    same_round(model, trainer, other, data, size);
    free(all);
    free(memory);
}

/* Mode, length of the descriptor, window, run, four bytes of a hostile window; descriptor; weights and records. */
void fuzz_frozen(const uint8_t *data, size_t size) {
    if (size < 9) {
        return;
    }
    frozen model;
    model.mode = data[0] & 1u;
    model.len = data[1] < size - 8 ? data[1] : size - 8;
    model.descriptor = data + 8;
    const uint8_t *rest = data + 8 + model.len;
    size_t left = size - 8 - model.len;
    model.size = pf_frozen_size(model.descriptor, model.len);
    REQUIRE((model.size == 0) == (pf_trainer_size(model.descriptor, model.len, model.mode) == 0));
    if (model.size == 0) {
        REQUIRE(pf_frozen_clear(NULL, 0, 0, model.descriptor, model.len) < 0);
        return;
    }
    size_t whole = pf_trainer_size(model.descriptor, model.len, model.mode);
    if (model.size > IMAGE_MAX || whole > 16 * IMAGE_MAX) {
        return;
    }
    void *memory = malloc(whole);
    REQUIRE(pf_trainer_init(memory, whole, model.descriptor, model.len, model.mode) == PF_OK);
    model.parameters = pf_trainer_parameters(memory);
    free(memory);
    model.weights = malloc(2 * (size_t)model.parameters);
    for (uint32_t k = 0; k < model.parameters; k++) {
        uint32_t value = left < 2 ? k : u16(rest + (2u * k + k / 100u) % (left - 1));
        value = (value & 0x7fffu) - 16384u;
        model.weights[2 * k] = (uint8_t)value;
        model.weights[2 * k + 1] = (uint8_t)(value >> 8);
    }
    model.image = malloc(model.size);
    hostile_window(&model, data + 4, rest, left);
    put_together(&model, 64u + 16u * data[2], 1u + data[3]);
    train(&model, rest, left);
    free(model.image);
    free(model.weights);
}
