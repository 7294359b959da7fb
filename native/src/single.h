/* single.h: trainers with an image of their frozen weights (SPEC 12), which take one example at a time. */
#ifndef PF_SINGLE_H
#define PF_SINGLE_H

#include "fixed.h"
#include "trainer.h"

/* The last layer's deltas from trainer->z to trainer->delta, for one example's target. */
PF_ALWAYS_INLINE void pf_example_loss(pf_trainer *trainer, const uint8_t *target) {
    uint32_t last = trainer->model.layers - 1u;
    uint32_t outputs = trainer->model.layer[last].outputs;
    uint32_t bits = pf_fraction_bits(last == 0);
    if (trainer->model.loss == PF_LOSS_SOFTMAX) {
        pf_softmax_delta(trainer->delta, trainer->z, outputs, bits, target[0]);
    } else {
        pf_squared_delta(trainer->delta, trainer->z, outputs, bits, target);
    }
    for (uint32_t j = outputs; j < pf_forward_outputs(outputs); j++) {
        trainer->delta[j] = 0;
    }
}

/* Adds a matrix's part of the sums on the way back to wide, PF_BACKWARD_ROWS rows at a time, by way of s. */
void pf_wide_sums(
    int64_t *wide, int32_t *s, const int16_t *matrix, uint32_t rows, uint32_t columns, const int32_t *delta);

/* Checked examples. */
void pf_single_examples(pf_trainer *trainer, const int8_t *features, const uint8_t *targets, uint32_t count);
/* Noise that is being drawn goes on afterwards. */
void pf_single_logits(pf_trainer *trainer, const int8_t *features, int32_t *logits);

#endif
