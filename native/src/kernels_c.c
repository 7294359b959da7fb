#include "kernels.h"

/* Activation blocks are the same in both versions. */
uint32_t pf_spread_words(uint32_t columns) {
    return (columns + 3u) / 4u * (4u * PF_BATCH);
}

#ifndef PF_KERNELS_THUMB

/* Compiled twice on hosts that can choose when the program is loaded (bindings/cffi_build.py): simulations spend most
 * of their time in these loops. */
#ifdef PF_KERNELS_CLONED
#define PF_CLONED __attribute__((target_clones("avx2", "default")))
#else
#define PF_CLONED
#endif

uint32_t pf_matrix_elements(uint32_t rows, uint32_t columns) {
    return rows * columns + (rows * columns & 1u); /* <= 1023^2 + 1 */
}

void pf_matrix_clear(int16_t *matrix, uint32_t rows, uint32_t columns) {
    pf_zero(matrix, sizeof(int16_t) * pf_matrix_elements(rows, columns));
}

uint32_t pf_matrix_index(uint32_t rows, uint32_t columns, uint32_t row, uint32_t column) {
    (void)rows;
    return row * columns + column; /* < 1023^2 */
}

uint32_t pf_matrix_pair(uint32_t rows, uint32_t row) {
    (void)rows;
    (void)row;
    return 2u;
}

int16_t pf_matrix_code(uint32_t column, int32_t value) {
    (void)column;
    return (int16_t)value;
}

void pf_matrix_put(int16_t *matrix, uint32_t rows, uint32_t columns, uint32_t row, uint32_t column, int32_t value) {
    (void)rows;
    matrix[row * columns + column] = (int16_t)value;
}

int32_t pf_matrix_get(const int16_t *matrix, uint32_t rows, uint32_t columns, uint32_t row, uint32_t column) {
    (void)rows;
    return matrix[row * columns + column];
}

uint32_t pf_forward_scratch(uint32_t columns) {
    (void)columns;
    return 0;
}

uint32_t pf_forward_outputs(uint32_t rows) {
    return rows;
}

void pf_factors(int32_t *scratch, const int8_t *a, uint32_t columns) {
    (void)scratch;
    (void)a;
    (void)columns;
}

uint32_t pf_factors_spread(int32_t *scratch, int32_t *blocks, uint32_t example, const int8_t *a, uint32_t columns) {
    (void)scratch;
    return pf_spread(blocks, example, a, columns);
}

PF_CLONED void pf_forward(
    int32_t *z, const int16_t *matrix, uint32_t rows, uint32_t columns, const int8_t *a, const int32_t *scratch) {
    (void)scratch;
    for (uint32_t j = 0; j < rows; j++) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < columns; i++) {
            sum += matrix[i] * a[i]; /* |w a| <= 2^14 * 127, 1023 of them < 2^31 */
        }
        z[j] = sum;
        matrix += columns;
    }
}

PF_CLONED static void pf_backward_rows(
    int32_t *s, const int16_t *matrix, uint32_t rows, uint32_t columns, const int32_t *delta) {
    for (uint32_t j = 0; j < rows; j++) {
        int32_t d = delta[j];
        for (uint32_t i = 0; i < columns; i++) {
            s[i] = (int32_t)((uint32_t)s[i] + (uint32_t)(matrix[i] * d)); /* |w d| <= 2^14 * 16383 < 2^28 */
        }
        matrix += columns;
    }
}

void pf_backward(int32_t *s, const int16_t *matrix, uint32_t rows, uint32_t columns, const int32_t *delta,
    uint32_t begin, uint32_t end) {
    (void)rows;
    pf_zero(s, sizeof(int32_t) * columns);
    pf_backward_rows(s, matrix + begin * columns, end - begin, columns, delta + begin);
}

void pf_backward_add(int32_t *s, uint32_t column, const int16_t *matrix, uint32_t rows, uint32_t columns,
    const int32_t *delta, int32_t *scratch) {
    (void)scratch;
    pf_backward_rows(s + column, matrix, rows, columns, delta);
}

uint32_t pf_spread(int32_t *blocks, uint32_t example, const int8_t *a, uint32_t columns) {
    uint32_t squares = 0;
    int32_t *out = blocks + 4u * example;
    for (uint32_t i = 0; i < columns; i++) {
        int32_t value = a[i];
        out[(i & ~3u) * PF_BATCH + (i & 3u)] = value;
        squares += (uint32_t)(value * value); /* <= 127^2 */
    }
    return squares;
}

#ifdef PF_KERNELS_CLONED

/* Four columns at a time, which wide registers like and small processors do not. */
PF_CLONED void pf_outer(
    uint32_t *acc, uint32_t rows, uint32_t columns, const int32_t *blocks, const int32_t *deltas, uint32_t examples) {
    (void)examples;
    for (uint32_t j = 0; j < rows; j++) {
        const int32_t *d = deltas + PF_BATCH * j;
        const int32_t *a = blocks;
        for (uint32_t left = columns; left != 0; a += 4u * PF_BATCH) {
            uint32_t sums[4] = {0, 0, 0, 0};
            for (uint32_t e = 0; e < PF_BATCH; e++) {
                for (uint32_t i = 0; i < 4u; i++) {
                    sums[i] += (uint32_t)(d[e] * a[4u * e + i]); /* each product < 2^21 in size */
                }
            }
            if (left < 4u) {
                for (uint32_t i = 0; i < left; i++) {
                    acc[i] += sums[i];
                }
                acc += left;
                break;
            }
            for (uint32_t i = 0; i < 4u; i++) {
                acc[i] += sums[i];
            }
            acc += 4;
            left -= 4u;
        }
    }
}

#else

void pf_outer(
    uint32_t *acc, uint32_t rows, uint32_t columns, const int32_t *blocks, const int32_t *deltas, uint32_t examples) {
    (void)examples;
    for (uint32_t j = 0; j < rows; j++) {
        const int32_t *d = deltas + PF_BATCH * j;
        for (uint32_t i = 0; i < columns; i++) {
            const int32_t *a = blocks + (i & ~3u) * PF_BATCH + (i & 3u);
            int32_t sum = 0;
            for (uint32_t e = 0; e < PF_BATCH; e++) {
                sum += d[e] * a[4u * e]; /* each product < 2^21 in size */
            }
            acc[i] += (uint32_t)sum;
        }
        acc += columns;
    }
}

#endif

PF_CLONED void pf_outer_one(
    uint32_t *acc, uint32_t rows, uint32_t columns, const int8_t *a, const int32_t *deltas, int32_t *scratch) {
    (void)scratch;
    for (uint32_t j = 0; j < rows; j++) {
        int32_t d = deltas[j];
        for (uint32_t i = 0; i < columns; i++) {
            acc[i] += (uint32_t)(d * a[i]); /* < 2^21 */
        }
        acc += columns;
    }
}

#endif
