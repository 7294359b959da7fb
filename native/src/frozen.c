/* frozen.c: how an image of frozen weights is made, window by window, and known again (SPEC 12). */
#include "frozen.h"
#include "fixed.h"
#include "kernels.h"

#define PF_FROZEN_MAGIC 0x31494650u /* "PFI1" */

/* No offset overflows 32 bits: a layer takes at most 1024^2 + 1024 elements of 2 bytes, and there are 8. */
void pf_frozen_layout(pf_frozen_parts *parts, const pf_layer *layer, uint32_t at) {
    uint32_t all_rows = pf_layer_rows(layer) == layer->outputs;
    parts->matrix = 0;
    parts->biases = 0;
    if (!all_rows || pf_layer_columns(layer) != layer->inputs) {
        parts->matrix = at;
        at += (2u * pf_matrix_elements(layer->outputs, layer->inputs) + 7u) & ~7u;
    }
    if (!all_rows || !layer->bias) {
        parts->biases = at;
        at += (2u * layer->outputs + 7u) & ~7u;
    }
    parts->end = at;
}

static uint32_t pf_frozen_end(const pf_model *model) {
    pf_frozen_parts parts;
    parts.end = PF_FROZEN_HEAD;
    for (uint32_t l = 0; l < model->layers; l++) {
        pf_frozen_layout(&parts, &model->layer[l], parts.end);
    }
    return parts.end;
}

static void pf_frozen_head(uint8_t head[PF_FROZEN_HEAD], const pf_model *model, const uint8_t *descriptor, size_t len) {
    pf_put_u32(head, PF_FROZEN_MAGIC);
    pf_put_u32(head + 4, PF_MATRIX_ORDER);
    pf_put_u32(head + 8, pf_frozen_end(model));
    pf_put_u32(head + 12, pf_crc32(0, descriptor, len));
}

size_t pf_frozen_size(const uint8_t *descriptor, size_t len) {
    pf_model model;
    return pf_model_parse(&model, descriptor, len) == PF_OK ? pf_frozen_end(&model) : 0;
}

pf_status pf_frozen_check(
    const pf_model *model, const uint8_t *descriptor, size_t len, const uint8_t *image, size_t image_len) {
    uint8_t head[PF_FROZEN_HEAD];
    if (image == NULL || ((uintptr_t)image & 3u) != 0 || image_len < PF_FROZEN_HEAD) {
        return PF_E_MEMORY;
    }
    pf_frozen_head(head, model, descriptor, len);
    if (!pf_equal(image, head, PF_FROZEN_HEAD)) {
        return PF_E_CORRUPT;
    }
    return image_len < pf_frozen_end(model) ? PF_E_MEMORY : PF_OK;
}

/* Writes a value into the window, if it belongs there. */
static void pf_frozen_write(uint8_t *out, uint32_t at, size_t n, uint32_t place, int32_t value) {
    if (place >= at && place - at < n) {
        pf_put_u16(out + (place - at), (uint32_t)value & 0xffffu);
    }
}

static pf_status pf_frozen_model(pf_model *model, uint32_t at, size_t n, const uint8_t *descriptor, size_t len) {
    pf_status status = pf_model_parse(model, descriptor, len);
    if (status != PF_OK) {
        return status;
    }
    uint32_t end = pf_frozen_end(model);
    return ((at | n) & 1u) != 0 || at > end || n > end - at ? PF_E_ARGUMENT : PF_OK;
}

pf_status pf_frozen_clear(uint8_t *out, uint32_t at, size_t n, const uint8_t *descriptor, size_t len) {
    pf_model model;
    pf_status status = pf_frozen_model(&model, at, n, descriptor, len);
    if (status != PF_OK) {
        return status;
    }
    uint8_t head[PF_FROZEN_HEAD];
    pf_frozen_head(head, &model, descriptor, len);
    pf_zero(out, n);
    for (uint32_t i = 0; i < PF_FROZEN_HEAD; i += 2u) {
        pf_frozen_write(out, at, n, i, (int32_t)pf_get_u16(head + i));
    }
    pf_frozen_parts parts;
    parts.end = PF_FROZEN_HEAD;
    for (uint32_t l = 0; l < model.layers; l++) {
        const pf_layer *layer = &model.layer[l];
        pf_frozen_layout(&parts, layer, parts.end);
        uint32_t elements = parts.matrix == 0 ? 0 : pf_matrix_elements(layer->outputs, layer->inputs);
        for (uint32_t i = 0; i < elements; i++) {
            pf_frozen_write(out, at, n, parts.matrix + 2u * i, pf_matrix_code(i, 0));
        }
    }
    return PF_OK;
}

pf_status pf_frozen_put(uint8_t *out, uint32_t at, size_t n, const uint8_t *descriptor, size_t len, uint32_t offset,
    const uint8_t *weights, size_t count) {
    pf_model model;
    pf_status status = pf_frozen_model(&model, at, n, descriptor, len);
    if (status != PF_OK) {
        return status;
    }
    if (offset > model.parameters || count > model.parameters - offset) {
        return PF_E_ARGUMENT;
    }
    for (size_t k = 0; k < count; k++) {
        int32_t weight = pf_weight_read(weights, k);
        if (weight < PF_WEIGHT_MIN || weight > PF_WEIGHT_MAX) {
            return PF_E_RANGE;
        }
    }
    if (count == 0) {
        return PF_OK;
    }
    pf_place place;
    pf_place_seek(&place, &model, 0, offset);
    pf_frozen_parts parts;
    uint32_t l = 0;
    pf_frozen_layout(&parts, &model.layer[0], PF_FROZEN_HEAD);
    for (size_t k = 0; k < count; k++) {
        while (l < place.layer) {
            l++;
            pf_frozen_layout(&parts, &model.layer[l], parts.end);
        }
        const pf_layer *layer = &model.layer[l];
        int32_t weight = pf_weight_read(weights, k);
        if (!pf_layer_trains(layer, place.row, place.column)) {
            if (place.column == layer->inputs) {
                pf_frozen_write(out, at, n, parts.biases + 2u * place.row, weight);
            } else {
                uint32_t index = pf_matrix_index(layer->outputs, layer->inputs, place.row, place.column);
                pf_frozen_write(out, at, n, parts.matrix + 2u * index, pf_matrix_code(place.column, weight));
            }
        }
        pf_place_next(&place, &model);
    }
    return PF_OK;
}
