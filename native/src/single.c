#include "single.h"
#include "clip.h"
#include "elements.h"
#include "fixed.h"
#include "noise_pause.h"

/* z: the products of a layer. There may be two sums, of the frozen weights and of the trained; the other's are zeros in
 * each, so that both are within the bounds of the whole one. */
static void pf_single_products(pf_trainer *trainer, uint32_t l, const int8_t *a) {
    const pf_layer *layer = &trainer->model.layer[l];
    const pf_layer_memory *memory = &trainer->layer[l];
    const int16_t *matrix = memory->frozen == NULL ? memory->matrix : memory->frozen;
    uint32_t rows = pf_layer_rows(layer);
    uint32_t columns = pf_layer_columns(layer);
    pf_factors(trainer->scratch, a, layer->inputs);
    pf_forward(trainer->z, matrix, layer->outputs, layer->inputs, a, trainer->scratch);
    if (memory->frozen != NULL && rows != 0 && columns != 0) {
        int32_t *part = trainer->delta; /* unused on the way forward */
        a += layer->column_begin;
        pf_factors(trainer->scratch, a, columns);
        pf_forward(part, memory->matrix, rows, columns, a, trainer->scratch);
        for (uint32_t j = 0; j < rows; j++) {
            trainer->z[layer->row_begin + j] += part[j];
        }
    }
}

static void pf_single_forward(pf_trainer *trainer, const int8_t *features) {
    const int8_t *a = features;
    for (uint32_t l = 0;; l++) {
        const pf_layer *layer = &trainer->model.layer[l];
        const pf_layer_memory *memory = &trainer->layer[l];
        const int16_t *biases = memory->biases;
        uint32_t bias_shift = pf_bias_shift(l == 0);
        pf_single_products(trainer, l, a);
        if (memory->frozen_biases != NULL) {
            if (layer->bias) { /* the image has zeros for them */
                pf_add_biases(trainer->z + layer->row_begin, biases, pf_layer_rows(layer), bias_shift);
            }
            biases = memory->frozen_biases;
        }
        if (l + 1u == trainer->model.layers) {
            pf_add_biases(trainer->z, biases, layer->outputs, bias_shift);
            return;
        }
        int8_t *hidden = trainer->layer[l + 1u].inputs;
        pf_relu(hidden, trainer->z, biases, layer->outputs, bias_shift);
        a = hidden;
    }
}

/* Those of the trained rectangle, where the rest of the layer is in the image; to wide, if there is one. */
static void pf_single_part_sums(pf_trainer *trainer, uint32_t l, int64_t *wide) {
    const pf_layer *layer = &trainer->model.layer[l];
    const int16_t *matrix = trainer->layer[l].matrix;
    uint32_t rows = pf_layer_rows(layer);
    uint32_t columns = pf_layer_columns(layer);
    if (rows == 0 || columns == 0) {
        return;
    }
    int32_t *delta = trainer->z; /* unused on the way back, as the scratch is */
    for (uint32_t j = 0; j < pf_forward_outputs(rows); j++) {
        delta[j] = j < rows ? trainer->delta[layer->row_begin + j] : 0;
    }
    if (wide == NULL) {
        pf_backward_add(trainer->sums, layer->column_begin, matrix, rows, columns, delta, trainer->scratch);
    } else {
        pf_wide_sums(wide + layer->column_begin, trainer->sums, matrix, rows, columns, delta);
    }
}

/* trainer->delta holds the deltas of layer l > 0 and receives those of layer l - 1. */
static void pf_single_backward(pf_trainer *trainer, uint32_t l) {
    const pf_layer *layer = &trainer->model.layer[l];
    const pf_layer_memory *memory = &trainer->layer[l];
    const int16_t *matrix = memory->frozen == NULL ? memory->matrix : memory->frozen;
    uint32_t inputs = layer->inputs;
    int32_t *delta = trainer->delta;
    int64_t *wide = trainer->wide;
    if (layer->outputs <= PF_BACKWARD_ROWS ||
        (l + 1u == trainer->model.layers && trainer->model.loss == PF_LOSS_SOFTMAX)) {
        wide = NULL;
        pf_backward(trainer->sums, matrix, layer->outputs, inputs, delta, 0, layer->outputs);
    } else {
        for (uint32_t i = 0; i < inputs; i++) {
            wide[i] = 1 << 10;
        }
        pf_wide_sums(wide, trainer->sums, matrix, layer->outputs, inputs, delta);
    }
    if (memory->frozen != NULL) {
        pf_single_part_sums(trainer, l, wide);
    }
    if (wide == NULL) {
        pf_gate(delta, trainer->sums, memory->inputs, inputs); /* |s| <= 6 * 2^14 * 16383 < 2^31 - 2^28 */
    } else {
        pf_gate_wide(delta, wide, memory->inputs, inputs);
    }
    for (uint32_t i = inputs; i < pf_forward_outputs(inputs); i++) {
        delta[i] = 0;
    }
}

/* Keeps the deltas of a layer's trained rows; returns the squared norm of its part of the gradient, < 2^64. */
static uint64_t pf_single_keep(pf_trainer *trainer, uint32_t l, const int8_t *a) {
    const pf_layer *layer = &trainer->model.layer[l];
    const int32_t *delta = trainer->delta + layer->row_begin;
    uint32_t squares = layer->bias << (2u * pf_bias_shift(l == 0));
    a += layer->column_begin;
    for (uint32_t i = 0; i < pf_layer_columns(layer); i++) {
        squares += (uint32_t)(a[i] * a[i]); /* <= 127^2, 1023 of them and a bias < 2^25 */
    }
    for (uint32_t j = 0; j < pf_layer_rows(layer); j++) {
        trainer->layer[l].deltas[j] = delta[j];
    }
    return pf_clip_layer(pf_squares(delta, pf_layer_rows(layer)), squares);
}

static void pf_single_accumulate(pf_trainer *trainer, uint32_t l, const int8_t *a, uint32_t factor) {
    const pf_layer *layer = &trainer->model.layer[l];
    uint32_t *acc = trainer->accumulators + layer->trainable;
    int32_t *deltas = trainer->layer[l].deltas;
    uint32_t rows = pf_layer_rows(layer);
    uint32_t columns = pf_layer_columns(layer);
    uint32_t *biases = acc + rows * columns; /* <= 1023^2 */
    for (uint32_t j = 0; j < rows; j++) {
        deltas[j] = pf_clip_scale(deltas[j], factor);
        if (layer->bias) {
            biases[j] += (uint32_t)deltas[j] << pf_bias_shift(l == 0);
        }
    }
    if (rows != 0 && columns != 0) {
        pf_outer_one(acc, rows, columns, a + layer->column_begin, deltas, trainer->scratch);
    }
}

PF_INLINE const int8_t *pf_single_inputs(const pf_trainer *trainer, uint32_t l, const int8_t *features) {
    return l == 0 ? features : trainer->layer[l].inputs;
}

static void pf_single_example(pf_trainer *trainer, const int8_t *features, const uint8_t *target) {
    uint32_t first = trainer->model.first_trained;
    uint64_t square = 0; /* < 2^64: pf_model_parse */
    pf_single_forward(trainer, features);
    pf_example_loss(trainer, target);
    for (uint32_t l = trainer->model.layers - 1u;; l--) {
        if (pf_layer_rows(&trainer->model.layer[l]) != 0) {
            square += pf_single_keep(trainer, l, pf_single_inputs(trainer, l, features));
        }
        if (l == first) {
            break;
        }
        pf_single_backward(trainer, l);
    }
    uint32_t factor = pf_clip_factor(square, trainer->clip_norm);
    for (uint32_t l = first; l < trainer->model.layers; l++) {
        pf_single_accumulate(trainer, l, pf_single_inputs(trainer, l, features), factor);
    }
}

void pf_single_examples(pf_trainer *trainer, const int8_t *features, const uint8_t *targets, uint32_t count) {
    uint32_t outputs = pf_trainer_outputs(trainer);
    uint32_t target_size = trainer->model.loss == PF_LOSS_SOFTMAX ? 1u : 2u * outputs;
    for (; count > 0; count--) {
        pf_single_example(trainer, features, targets);
        features += pf_trainer_inputs(trainer);
        targets += target_size;
    }
}

void pf_single_logits(pf_trainer *trainer, const int8_t *features, int32_t *logits) {
    pf_noise_pause pause;
    pf_noise_hold(&pause, trainer->noise); /* what follows is done in its memory */
    pf_single_forward(trainer, features);
    pf_copy(logits, trainer->z, sizeof(int32_t) * pf_trainer_outputs(trainer));
    if (trainer->state == PF_TRAINER_FILLING) {
        pf_noise_resume(trainer->noise, &pause);
    }
    pf_wipe(&pause, sizeof pause);
}
