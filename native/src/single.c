#include "single.h"
#include "clip.h"
#include "fixed.h"

uint32_t pf_single_squares(const int8_t *a, uint32_t n) {
    uint32_t squares = 0;
    for (uint32_t i = 0; i < n; i++) {
        squares += (uint32_t)(a[i] * a[i]); /* <= 127^2 */
    }
    return squares;
}

uint64_t pf_single_keep(int32_t *out, const int32_t *delta, uint32_t n) {
    uint64_t sum = 0;
    for (uint32_t j = 0; j < n; j++) {
        int32_t d = delta[j];
        out[j] = d;
        sum += (uint32_t)(d * d); /* < 2^28 */
    }
    return sum;
}

/* acc_i += d a_i for n > 0 elements, modulo 2^32; |d a| <= 16383 * 127 < 2^21. */
PF_NOINLINE static void pf_single_row(uint32_t *acc, const int8_t *a, uint32_t n, int32_t d) {
    const uint32_t *end = acc + n;
    do {
        *acc++ += (uint32_t)(d * *a++);
    } while (acc != end);
}

void pf_single_accumulate(pf_trainer *trainer, const int8_t *features, uint32_t factor) {
    for (uint32_t l = trainer->model.first_trained; l < trainer->model.layers; l++) {
        const pf_layer *layer = &trainer->model.layer[l];
        const int8_t *a = l == 0 ? features : trainer->layer[l].inputs;
        uint32_t *acc = trainer->accumulators + layer->trainable;
        uint32_t rows = pf_layer_rows(layer);
        uint32_t columns = pf_layer_columns(layer);
        uint32_t *biases = acc + rows * columns; /* <= 1023^2 */
        for (uint32_t j = 0; j < rows; j++) {
            int32_t d = pf_clip_scale(trainer->layer[l].deltas[j], factor);
            if (columns != 0) {
                pf_single_row(acc, a + layer->column_begin, columns, d);
                acc += columns;
            }
            if (layer->bias) {
                biases[j] += (uint32_t)d << pf_bias_shift(l == 0);
            }
        }
    }
}
