/* kernels.h: the inner loops of training, in two versions behind one interface: kernels_c.c anywhere, kernels_thumb.c
 * on ARMv6-M. Both give the same bits (tests/native/test_kernels_thumb.py); only the order of a matrix in memory
 * differs, so that matrices are read and written through pf_matrix_get and pf_matrix_put alone. */
#ifndef PF_KERNELS_H
#define PF_KERNELS_H

#include "armv6m.h"

/* Examples accumulated in one pass, so that an accumulator is loaded and stored once for all of them. */
#define PF_BATCH 8u
/* Rows that one backward call may sum in 32 bits: 6 * 2^14 * 16383 < 2^31. */
#define PF_BACKWARD_ROWS 6u
/* Words behind the accumulators that pf_outer may rewrite (with the values they have). */
#define PF_OUTER_SLACK 3u

/* Which order that is: images of frozen weights say it (SPEC 12). */
#ifdef PF_KERNELS_THUMB
#define PF_MATRIX_ORDER 1u
#else
#define PF_MATRIX_ORDER 0u
#endif

/* Elements (int16) that a matrix of this many rows and columns (1..1023 each) occupies; it begins 4-byte aligned and
 * is to be set to zeros by pf_matrix_clear before anything else. */
uint32_t pf_matrix_elements(uint32_t rows, uint32_t columns);
void pf_matrix_clear(int16_t *matrix, uint32_t rows, uint32_t columns);
void pf_matrix_put(int16_t *matrix, uint32_t rows, uint32_t columns, uint32_t row, uint32_t column, int32_t value);
/* Where an element is, and the int16 that stands for its value there: all that pf_matrix_put does. A 0 at element i has
 * the code pf_matrix_code(i, 0). */
uint32_t pf_matrix_index(uint32_t rows, uint32_t columns, uint32_t row, uint32_t column);
int16_t pf_matrix_code(uint32_t column, int32_t value);
/* From an element to that two columns further in its row. */
uint32_t pf_matrix_pair(uint32_t rows, uint32_t row);
int32_t pf_matrix_get(const int16_t *matrix, uint32_t rows, uint32_t columns, uint32_t row, uint32_t column);

/* Words of scratch that pf_forward needs for this many columns, and words of z for this many rows. */
uint32_t pf_forward_scratch(uint32_t columns);
uint32_t pf_forward_outputs(uint32_t rows);
/* Prepare the scratch for pf_forward; the second also does pf_spread's work. a: int8 within +-127, any alignment. */
void pf_factors(int32_t *scratch, const int8_t *a, uint32_t columns);
uint32_t pf_factors_spread(int32_t *scratch, int32_t *blocks, uint32_t example, const int8_t *a, uint32_t columns);
/* z_j = sum_i w_ji a_i, exact: 1023 * 2^14 * 127 < 2^31. scratch: prepared for the same a. */
void pf_forward(
    int32_t *z, const int16_t *matrix, uint32_t rows, uint32_t columns, const int8_t *a, const int32_t *scratch);

/* s_i = sum over rows j in [begin, end) of w_ji delta_j, modulo 2^32: pf_sum_get(s, i). begin: a multiple of
 * PF_BACKWARD_ROWS; end: one too, or rows. s: columns rounded up to even. delta: words, pf_forward_outputs(rows) of
 * them, zeros from `rows` on. */
void pf_backward(int32_t *s, const int16_t *matrix, uint32_t rows, uint32_t columns, const int32_t *delta,
    uint32_t begin, uint32_t end);
/* Adds those of another matrix, over all its rows, to the sums from `column` on. scratch: pf_forward_scratch(columns).
 */
void pf_backward_add(int32_t *s, uint32_t column, const int16_t *matrix, uint32_t rows, uint32_t columns,
    const int32_t *delta, int32_t *scratch);

/* A sum, out of the way in which the kernels keep the sums of two neighbouring columns. */
PF_INLINE int32_t pf_sum_get(const int32_t *s, uint32_t i) {
#ifdef PF_KERNELS_THUMB
    if ((i & 1u) == 0) {
        return (int32_t)((uint32_t)s[i] - ((uint32_t)s[i + 1u] << 16));
    }
#endif
    return s[i];
}

/* Words of the activation blocks for this many columns: [block of 4 columns][example of the batch][column]. */
uint32_t pf_spread_words(uint32_t columns);
/* Write one example's activations into the blocks and return their sum of squares, <= 1023 * 127^2 < 2^24. Columns
 * beyond the last must hold zeros (the caller clears the blocks once). */
uint32_t pf_spread(int32_t *blocks, uint32_t example, const int8_t *a, uint32_t columns);
/* acc[j][i] += sum over the batch of deltas[j][e] a[e][i], modulo 2^32: |delta a| <= 16383 * 127 < 2^21, PF_BATCH of
 * them < 2^24. acc: rows x columns (both > 0) words, then PF_OUTER_SLACK. deltas: [row][example], zeros from `examples`
 * on. */
void pf_outer(
    uint32_t *acc, uint32_t rows, uint32_t columns, const int32_t *blocks, const int32_t *deltas, uint32_t examples);
/* acc[j][i] += deltas[j] a[i] for one example, otherwise the same. scratch: pf_forward_scratch(columns). */
void pf_outer_one(
    uint32_t *acc, uint32_t rows, uint32_t columns, const int8_t *a, const int32_t *deltas, int32_t *scratch);

#endif
