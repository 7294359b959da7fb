/* model.h: the model descriptor (SPEC 7.1 to 7.3) and walks over its parameters. */
#ifndef PF_MODEL_H
#define PF_MODEL_H

#include "picofed.h"
#include "port.h"

typedef struct {
    uint32_t inputs;
    uint32_t outputs;
    uint32_t row_begin; /* the trained rectangle; all zero in a frozen layer */
    uint32_t row_end;
    uint32_t column_begin;
    uint32_t column_end;
    uint32_t bias;      /* the biases of the trained rows are trained too */
    uint32_t trainable; /* where the layer begins in the trainable vector */
} pf_layer;

typedef struct {
    uint32_t loss;
    uint32_t layers;
    uint32_t first_trained;
    uint32_t parameters; /* <= 8 * 1024 * 1023 < 2^23 */
    uint32_t trainable;
    pf_layer layer[PF_LAYERS_MAX];
} pf_model;

/* PF_E_ARGUMENT: malformed. PF_E_RANGE: squared norms of 2^64 or more are possible (SPEC 2.6). */
pf_status pf_model_parse(pf_model *model, const uint8_t *descriptor, size_t len);

PF_INLINE uint32_t pf_layer_rows(const pf_layer *layer) {
    return layer->row_end - layer->row_begin;
}

PF_INLINE uint32_t pf_layer_columns(const pf_layer *layer) {
    return layer->column_end - layer->column_begin;
}

/* Whether an element of the layer is trained; column = inputs: a bias. */
PF_INLINE uint32_t pf_layer_trains(const pf_layer *layer, uint32_t row, uint32_t column) {
    if (row < layer->row_begin || row >= layer->row_end) {
        return 0;
    }
    return column == layer->inputs ? layer->bias : column >= layer->column_begin && column < layer->column_end;
}

/* Weight k of a run of little-endian int16. */
PF_ALWAYS_INLINE int32_t pf_weight_read(const uint8_t *data, size_t k) {
    return (int32_t)(pf_get_u16(data + 2u * k) ^ 0x8000u) - 0x8000;
}

/* A place in the parameter vector (SPEC 7.2) or, if subset is set, in the trainable vector (SPEC 7.3). In a bias,
 * column = the layer's number of inputs. */
typedef struct {
    uint32_t layer;
    uint32_t row;
    uint32_t column;
    uint32_t subset;
} pf_place;

/* offset must be below the vector's length. */
void pf_place_seek(pf_place *place, const pf_model *model, uint32_t subset, uint32_t offset);
/* To the following element; past the last one, layer = model->layers and the place may only be thrown away. */
void pf_place_next(pf_place *place, const pf_model *model);
/* Elements from this one to the end of its row, or of the layer's biases, itself included. */
uint32_t pf_place_run(const pf_place *place, const pf_model *model);
/* n elements on, where the run is no shorter; n > 0. */
void pf_place_skip(pf_place *place, const pf_model *model, uint32_t n);

#endif
