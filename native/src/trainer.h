/* trainer.h: the trainer's parts, shared by trainer.c (memory, rounds), weights.c (weights in and out, local step) and
 * example.c (forward, backward, clip, accumulate). */
#ifndef PF_TRAINER_H
#define PF_TRAINER_H

#include "frozen.h"
#include "kernels.h"
#include "model.h"

/* IDLE -> begin -> FILLING -> fill -> READY -> examples -> READY -> release -> RELEASED (gradient mode)
 *                                                              -> step -> IDLE -> release -> IDLE (local mode).
 * From RELEASED only `begin` leads on: two releases under one noise would show the difference of their records. */
enum { PF_TRAINER_IDLE = 0, PF_TRAINER_FILLING = 1, PF_TRAINER_READY = 2, PF_TRAINER_RELEASED = 3 };

/* One layer's memory; the pointers lie within the trainer's own, those to const in the image.
 *
 * Without an image `matrix` and `biases` are all of the layer's weights. With one they are its trained rectangle, and
 * `frozen` is the whole matrix with zeros in that place: the products of both are added. */
typedef struct {
    int16_t *matrix;
    int16_t *biases;
    const int16_t *frozen; /* NULL: `matrix` has all */
    const int16_t *frozen_biases;
    int8_t *inputs;   /* of the example under way; layer 0: NULL, the caller's */
    int32_t *blocks;  /* activations of the batch (pf_spread); NULL where nothing is trained, or with an image */
    int32_t *deltas;  /* [trained row][example of the batch]; with an image [trained row] */
    uint32_t squares; /* of the trained activations of the example under way, bias included */
} pf_layer_memory;

struct pf_trainer {
    const uint8_t *image; /* of the frozen weights; NULL: all weights are here */
    pf_noise *noise;      /* with an image it lies over what examples need: they wait until the noise is complete */
    uint32_t mode;
    uint32_t state;
    uint32_t filled;    /* accumulators that have their noise */
    uint32_t clip_norm; /* 0: no clipping */
    uint32_t stepped;   /* local mode: `change` holds at least one step */
    uint32_t *accumulators;
    int32_t *change; /* local mode: Q23 */
    int16_t *start;  /* local mode: the trainable weights that `change` counts from */
    int32_t *z;      /* pre-activations of one layer */
    int32_t *delta; /* of the example under way, from the last layer to the first trained; with an image of one layer */
    int32_t *sums;  /* backward, 32-bit partial sums */
    int64_t *wide;  /* backward, exact sums; NULL where 32 bits always do */
    int32_t *scratch;
    pf_layer_memory *layer;
    pf_model model; /* last: memory ends behind the layers that the model has */
};

/* Whether frozen weights are in an image. */
PF_INLINE uint32_t pf_trainer_split(const pf_trainer *trainer) {
#ifdef PF_WITHOUT_IMAGES
    (void)trainer;
    return 0; /* so that what images need is left out */
#else
    return trainer->image != NULL;
#endif
}

/* Whether the trainer itself holds a weight, and not the image. */
PF_INLINE uint32_t pf_trainer_holds(const pf_trainer *trainer, const pf_place *place) {
    return !pf_trainer_split(trainer) ||
           pf_layer_trains(&trainer->model.layer[place->layer], place->row, place->column);
}

/* The rectangle of `matrix`. */
typedef struct {
    uint32_t row;
    uint32_t rows;
    uint32_t column;
    uint32_t columns;
} pf_held;

PF_INLINE void pf_trainer_held(pf_held *held, const pf_trainer *trainer, const pf_layer *layer) {
    held->row = !pf_trainer_split(trainer) ? 0 : layer->row_begin;
    held->rows = !pf_trainer_split(trainer) ? layer->outputs : pf_layer_rows(layer);
    held->column = !pf_trainer_split(trainer) ? 0 : layer->column_begin;
    held->columns = !pf_trainer_split(trainer) ? layer->inputs : pf_layer_columns(layer);
}

PF_INLINE int32_t pf_trainer_weight(const pf_trainer *trainer, const pf_place *place) {
    const pf_layer *layer = &trainer->model.layer[place->layer];
    const pf_layer_memory *memory = &trainer->layer[place->layer];
    if (!pf_trainer_holds(trainer, place)) {
        return place->column == layer->inputs
                   ? memory->frozen_biases[place->row]
                   : pf_matrix_get(memory->frozen, layer->outputs, layer->inputs, place->row, place->column);
    }
    pf_held held;
    pf_trainer_held(&held, trainer, layer);
    if (place->column == layer->inputs) {
        return memory->biases[place->row - held.row];
    }
    return pf_matrix_get(memory->matrix, held.rows, held.columns, place->row - held.row, place->column - held.column);
}

/* Only for what pf_trainer_holds. */

PF_INLINE void pf_trainer_put_weight(pf_trainer *trainer, const pf_place *place, int32_t value) {
    const pf_layer *layer = &trainer->model.layer[place->layer];
    pf_layer_memory *memory = &trainer->layer[place->layer];
    pf_held held;
    pf_trainer_held(&held, trainer, layer);
    if (place->column == layer->inputs) {
        memory->biases[place->row - held.row] = (int16_t)value;
    } else {
        pf_matrix_put(
            memory->matrix, held.rows, held.columns, place->row - held.row, place->column - held.column, value);
    }
}

/* Local mode: what is released counts from the present weights. */
void pf_trainer_restart(pf_trainer *trainer);

#endif
