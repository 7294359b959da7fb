#include "trainer.h"
#include "clip.h"
#include "elements.h"
#include "fixed.h"
#include "single.h"

/* Ready a layer's inputs for its forward pass and, as example e of the batch, for accumulating. */
static void pf_example_inputs(pf_trainer *trainer, uint32_t l, const int8_t *a, uint32_t e) {
    const pf_layer *layer = &trainer->model.layer[l];
    pf_layer_memory *memory = &trainer->layer[l];
    uint32_t columns = pf_layer_columns(layer);
    uint32_t squares = 0; /* < 2^24 */
    if (columns == layer->inputs) {
        squares = pf_factors_spread(trainer->scratch, memory->blocks, e, a, columns);
    } else {
        pf_factors(trainer->scratch, a, layer->inputs);
        if (columns != 0) {
            squares = pf_spread(memory->blocks, e, a + layer->column_begin, columns);
        }
    }
    memory->squares = squares + (layer->bias << (2u * pf_bias_shift(l == 0)));
}

/* From the features to the last layer's pre-activations in trainer->z; hidden activations stay in the layers' memory.
 * e: the example's place in the batch, or PF_BATCH if it is not trained on. */
static void pf_example_forward(pf_trainer *trainer, const int8_t *features, uint32_t e) {
    const int8_t *a = features;
    int32_t *z = trainer->z;
    for (uint32_t l = 0;; l++) {
        const pf_layer *layer = &trainer->model.layer[l];
        const pf_layer_memory *memory = &trainer->layer[l];
        uint32_t bias_shift = pf_bias_shift(l == 0);
        if (e < PF_BATCH) {
            pf_example_inputs(trainer, l, a, e);
        } else {
            pf_factors(trainer->scratch, a, layer->inputs);
        }
        pf_forward(z, memory->matrix, layer->outputs, layer->inputs, a, trainer->scratch);
        if (l + 1u == trainer->model.layers) {
            pf_add_biases(z, memory->biases, layer->outputs, bias_shift);
            return;
        }
        int8_t *hidden = trainer->layer[l + 1u].inputs;
        pf_relu(hidden, z, memory->biases, layer->outputs, bias_shift);
        a = hidden;
    }
}

void pf_wide_sums(
    int64_t *wide, int32_t *s, const int16_t *matrix, uint32_t rows, uint32_t columns, const int32_t *delta) {
    for (uint32_t begin = 0; begin < rows; begin += PF_BACKWARD_ROWS) {
        uint32_t end = begin + PF_BACKWARD_ROWS < rows ? begin + PF_BACKWARD_ROWS : rows;
        pf_backward(s, matrix, rows, columns, delta, begin, end);
        for (uint32_t i = 0; i < columns; i++) {
            wide[i] += pf_sum_get(s, i); /* < 1023 * 2^28 + 2^10 < 2^39 over all rows */
        }
    }
}

/* From the deltas of layer l > 0 to those of layer l - 1. */
static void pf_example_backward(pf_trainer *trainer, uint32_t l, const int32_t *delta, int32_t *below) {
    const pf_layer *layer = &trainer->model.layer[l];
    const pf_layer_memory *memory = &trainer->layer[l];
    const int8_t *a = memory->inputs;
    uint32_t rows = layer->outputs;
    uint32_t inputs = layer->inputs;
    int32_t *s = trainer->sums;
    if (rows <= PF_BACKWARD_ROWS || (l + 1u == trainer->model.layers && trainer->model.loss == PF_LOSS_SOFTMAX)) {
        pf_backward(s, memory->matrix, rows, inputs, delta, 0, rows);
        pf_gate(below, s, a, inputs); /* |s| <= 6 * 2^14 * 16383 < 2^31 - 2^28 */
    } else {
        int64_t *wide = trainer->wide;
        for (uint32_t i = 0; i < inputs; i++) {
            wide[i] = 1 << 10;
        }
        pf_wide_sums(wide, s, memory->matrix, rows, inputs, delta);
        pf_gate_wide(below, wide, a, inputs);
    }
    for (uint32_t i = inputs; i < pf_forward_outputs(inputs); i++) {
        below[i] = 0;
    }
}

/* Example number e of the batch, up to its clipped deltas and spread activations. */
static void pf_example(pf_trainer *trainer, const int8_t *features, const uint8_t *target, uint32_t e) {
    const pf_model *model = &trainer->model;
    uint32_t last = model->layers - 1u;
    pf_example_forward(trainer, features, e);
    pf_example_loss(trainer, target);
    uint64_t square = 0; /* < 2^64: pf_model_parse */
    int32_t *delta = trainer->delta;
    for (uint32_t l = last;; l--) {
        const pf_layer *layer = &model->layer[l];
        if (pf_layer_rows(layer) != 0) {
            uint64_t squares = pf_squares(delta + layer->row_begin, pf_layer_rows(layer));
            square += pf_clip_layer(squares, trainer->layer[l].squares);
        }
        if (l == model->first_trained) {
            break;
        }
        int32_t *below = delta + pf_forward_outputs(layer->outputs);
        pf_example_backward(trainer, l, delta, below);
        delta = below;
    }
    uint32_t factor = pf_clip_factor(square, trainer->clip_norm);
    for (uint32_t l = model->first_trained;; l++) {
        const pf_layer *layer = &model->layer[l];
        if (pf_layer_rows(layer) != 0) {
            pf_scale(trainer->layer[l].deltas + e, delta + layer->row_begin, pf_layer_rows(layer), factor);
        }
        if (l == last) {
            break;
        }
        delta -= pf_forward_outputs(model->layer[l + 1u].outputs);
    }
}

static void pf_batch_accumulate(pf_trainer *trainer, uint32_t count) {
    for (uint32_t l = trainer->model.first_trained; l < trainer->model.layers; l++) {
        const pf_layer *layer = &trainer->model.layer[l];
        const pf_layer_memory *memory = &trainer->layer[l];
        uint32_t rows = pf_layer_rows(layer);
        uint32_t columns = pf_layer_columns(layer);
        if (rows == 0) {
            continue;
        }
        /* places of the batch that have no example hold older ones: their deltas become zero */
        for (uint32_t e = count; e < PF_BATCH; e++) {
            for (uint32_t j = 0; j < rows; j++) {
                memory->deltas[PF_BATCH * j + e] = 0;
            }
        }
        uint32_t *acc = trainer->accumulators + layer->trainable;
        if (columns != 0) {
            pf_outer(acc, rows, columns, memory->blocks, memory->deltas, count);
        }
        if (layer->bias) {
            pf_add_deltas(acc + rows * columns, memory->deltas, rows, pf_bias_shift(l == 0));
        }
    }
}

pf_status pf_trainer_examples(pf_trainer *trainer, const int8_t *features, const uint8_t *targets, uint32_t count) {
    const pf_model *model = &trainer->model;
    uint32_t inputs = pf_trainer_inputs(trainer);
    uint32_t outputs = pf_trainer_outputs(trainer);
    uint32_t target_size = model->loss == PF_LOSS_SOFTMAX ? 1u : 2u * outputs;
    if (trainer->state != PF_TRAINER_READY) {
        return PF_E_STATE;
    }
    if (pf_outside(features, (size_t)inputs * count)) {
        return PF_E_ARGUMENT;
    }
    if (model->loss == PF_LOSS_SOFTMAX) {
        for (uint32_t k = 0; k < count; k++) {
            if (targets[k] >= outputs) {
                return PF_E_ARGUMENT;
            }
        }
    }
    if (pf_trainer_split(trainer)) {
        pf_single_examples(trainer, features, targets, count);
        return PF_OK;
    }
    while (count > 0) {
        uint32_t batch = count < PF_BATCH ? count : PF_BATCH;
        for (uint32_t e = 0; e < batch; e++) {
            pf_example(trainer, features, targets, e);
            features += inputs;
            targets += target_size;
        }
        pf_batch_accumulate(trainer, batch);
        count -= batch;
    }
    return PF_OK;
}

pf_status pf_trainer_logits(pf_trainer *trainer, const int8_t *features, int32_t *logits) {
    if (pf_outside(features, pf_trainer_inputs(trainer))) {
        return PF_E_ARGUMENT;
    }
    if (pf_trainer_split(trainer)) {
        pf_single_logits(trainer, features, logits);
        return PF_OK;
    }
    pf_example_forward(trainer, features, PF_BATCH);
    pf_copy(logits, trainer->z, sizeof(int32_t) * pf_trainer_outputs(trainer));
    return PF_OK;
}
