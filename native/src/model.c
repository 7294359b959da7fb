#include "model.h"
#include "clip.h"
#include "fixed.h"

#define PF_DESCRIPTOR_HEAD 4u
#define PF_DESCRIPTOR_LAYER 10u

/* One layer's record; the widths are already in place. PF_OK also for a frozen layer. */
static pf_status pf_model_layer(pf_layer *layer, const uint8_t *record) {
    layer->row_begin = pf_get_u16(record);
    layer->row_end = pf_get_u16(record + 2);
    layer->column_begin = pf_get_u16(record + 4);
    layer->column_end = pf_get_u16(record + 6);
    layer->bias = record[8];
    if (pf_filled_with(record, 0, PF_DESCRIPTOR_LAYER)) {
        return PF_OK;
    }
    if (layer->bias > 1u || record[9] != 0 || layer->row_begin >= layer->row_end || layer->row_end > layer->outputs ||
        layer->column_begin > layer->column_end || layer->column_end > layer->inputs) {
        return PF_E_ARGUMENT;
    }
    if (layer->column_begin == layer->column_end && (layer->bias == 0 || layer->column_end != 0)) {
        return PF_E_ARGUMENT; /* biases alone are written with columns 0 to 0 */
    }
    return PF_OK;
}

/* Adds the layer's largest possible D A (SPEC 2.6) to *worst; 1 if the sum leaves 64 bits. */
static uint32_t pf_model_overflows(const pf_layer *layer, uint32_t first, uint64_t *worst) {
    uint32_t overflow = 0;
    uint64_t d = pf_multiply(pf_layer_rows(layer), PF_DELTA_MAX * PF_DELTA_MAX); /* < 2^10 * 2^28 */
    uint32_t a = pf_layer_columns(layer) * (PF_INPUT_MAX * PF_INPUT_MAX);        /* < 2^10 * 2^14 */
    a += layer->bias << (2u * pf_bias_shift(first));                             /* 2^14 or 2^10 more */
    uint64_t product = pf_clip_product(d, a, &overflow);
    *worst += product;
    return overflow | (uint32_t)(*worst < product);
}

pf_status pf_model_parse(pf_model *model, const uint8_t *descriptor, size_t len) {
    if (descriptor == NULL || len < PF_DESCRIPTOR_HEAD || descriptor[0] != 1u || descriptor[3] != 0) {
        return PF_E_ARGUMENT;
    }
    model->loss = descriptor[1];
    model->layers = descriptor[2];
    if (model->loss > PF_LOSS_SQUARED || model->layers == 0 || model->layers > PF_LAYERS_MAX ||
        len != PF_DESCRIPTOR_HEAD + 2u + (2u + PF_DESCRIPTOR_LAYER) * (size_t)model->layers) {
        return PF_E_ARGUMENT;
    }
    const uint8_t *widths = descriptor + PF_DESCRIPTOR_HEAD;
    const uint8_t *records = widths + 2u * (model->layers + 1u);
    uint64_t worst = 0;
    model->first_trained = model->layers;
    model->parameters = 0;
    model->trainable = 0;
    for (uint32_t l = 0; l < model->layers; l++) {
        pf_layer *layer = &model->layer[l];
        layer->inputs = pf_get_u16(widths + 2u * l);
        layer->outputs = pf_get_u16(widths + 2u * l + 2u);
        if (layer->inputs == 0 || layer->inputs > PF_WIDTH_MAX || layer->outputs == 0 ||
            layer->outputs > PF_WIDTH_MAX || pf_model_layer(layer, records + PF_DESCRIPTOR_LAYER * l) != PF_OK) {
            return PF_E_ARGUMENT;
        }
        layer->trainable = model->trainable;
        model->parameters += layer->outputs * (layer->inputs + 1u); /* <= 1023 * 1024 a layer */
        model->trainable += pf_layer_rows(layer) * (pf_layer_columns(layer) + layer->bias);
        if (pf_layer_rows(layer) != 0 && model->first_trained == model->layers) {
            model->first_trained = l;
        }
        if (pf_model_overflows(layer, l == 0, &worst)) {
            return PF_E_RANGE;
        }
    }
    uint32_t outputs = model->layer[model->layers - 1u].outputs;
    if (model->trainable == 0 || (model->loss == PF_LOSS_SOFTMAX && (outputs < 2u || outputs > 255u))) {
        return PF_E_ARGUMENT;
    }
    return PF_OK;
}

/* The rectangle that a walk visits in a layer. */
typedef struct {
    uint32_t row_begin, row_end, column_begin, column_end, bias;
} pf_area;

static void pf_area_get(pf_area *area, const pf_layer *layer, uint32_t subset) {
    area->row_begin = subset ? layer->row_begin : 0u;
    area->row_end = subset ? layer->row_end : layer->outputs;
    area->column_begin = subset ? layer->column_begin : 0u;
    area->column_end = subset ? layer->column_end : layer->inputs;
    area->bias = subset ? layer->bias : 1u;
}

/* To the layer's first element, or to that of the next layer that has one. */
static void pf_place_enter(pf_place *place, const pf_model *model) {
    while (place->layer < model->layers) {
        pf_area area;
        const pf_layer *layer = &model->layer[place->layer];
        pf_area_get(&area, layer, place->subset);
        if (area.row_begin < area.row_end) {
            place->row = area.row_begin;
            place->column = area.column_begin < area.column_end ? area.column_begin : layer->inputs;
            return;
        }
        place->layer++;
    }
}

void pf_place_seek(pf_place *place, const pf_model *model, uint32_t subset, uint32_t offset) {
    place->subset = subset;
    place->layer = 0;
    pf_area area;
    pf_area_get(&area, &model->layer[0], subset);
    uint32_t rows = area.row_end - area.row_begin;
    uint32_t columns = area.column_end - area.column_begin;
    while (offset >= rows * (columns + area.bias)) { /* <= 1023 * 1024 */
        offset -= rows * (columns + area.bias);
        place->layer++;
        pf_area_get(&area, &model->layer[place->layer], subset);
        rows = area.row_end - area.row_begin;
        columns = area.column_end - area.column_begin;
    }
    if (offset >= rows * columns) {
        place->row = area.row_begin + offset - rows * columns;
        place->column = model->layer[place->layer].inputs;
    } else {
        uint32_t row = pf_divide(offset, columns);
        place->row = area.row_begin + row;
        place->column = area.column_begin + offset - row * columns;
    }
}

void pf_place_next(pf_place *place, const pf_model *model) {
    pf_area area;
    uint32_t inputs = model->layer[place->layer].inputs;
    pf_area_get(&area, &model->layer[place->layer], place->subset);
    if (place->column == inputs) { /* in the biases */
        if (++place->row < area.row_end) {
            return;
        }
    } else {
        if (++place->column < area.column_end) {
            return;
        }
        place->column = area.column_begin;
        if (++place->row < area.row_end) {
            return;
        }
        if (area.bias) {
            place->row = area.row_begin;
            place->column = inputs;
            return;
        }
    }
    place->layer++;
    pf_place_enter(place, model);
}

uint32_t pf_place_run(const pf_place *place, const pf_model *model) {
    pf_area area;
    const pf_layer *layer = &model->layer[place->layer];
    pf_area_get(&area, layer, place->subset);
    return place->column == layer->inputs ? area.row_end - place->row : area.column_end - place->column;
}

void pf_place_skip(pf_place *place, const pf_model *model, uint32_t n) {
    if (place->column == model->layer[place->layer].inputs) {
        place->row += n - 1u;
    } else {
        place->column += n - 1u;
    }
    pf_place_next(place, model);
}
