#include "elements.h"

/* The ARMv6-M kernels; thumb.h says how they work. */
#ifdef PF_KERNELS_THUMB
#include "thumb.h"

#define PF_LOW_BIAS 16384
#define PF_PAIRS(columns) (((columns) + 1u) / 2u)

/* Whole groups of six rows. */
static uint32_t pf_thumb_sixes(uint32_t rows) {
    return rows * 10923u >> 16; /* rows / 6 for rows < 2^13: 10923 = ceil(2^16 / 6) */
}

uint32_t pf_matrix_elements(uint32_t rows, uint32_t columns) {
    return ((rows + 1u) & ~1u) * 2u * PF_PAIRS(columns); /* <= 1024^2 */
}

void pf_matrix_clear(int16_t *matrix, uint32_t rows, uint32_t columns) {
    uint32_t n = pf_matrix_elements(rows, columns);
    for (uint32_t i = 0; i < n; i += 2u) {
        matrix[i] = PF_LOW_BIAS;
        matrix[i + 1u] = 0;
    }
}

/* Rows in the group that begins with row `first`: 6, or what remains, rounded up to even. */
static uint32_t pf_thumb_group(uint32_t rows, uint32_t first) {
    uint32_t left = (rows + 1u - first) & ~1u;
    return left < 6u ? left : 6u;
}

uint32_t pf_matrix_index(uint32_t rows, uint32_t columns, uint32_t row, uint32_t column) {
    uint32_t first = 6u * pf_thumb_sixes(row);
    uint32_t group = pf_thumb_group(rows, first);
    return 2u * (first * PF_PAIRS(columns) + (column >> 1) * group + row - first) + (column & 1u);
}

uint32_t pf_matrix_pair(uint32_t rows, uint32_t row) {
    return 2u * pf_thumb_group(rows, 6u * pf_thumb_sixes(row));
}

int16_t pf_matrix_code(uint32_t column, int32_t value) {
    return (int16_t)(value + (column & 1u ? 0 : PF_LOW_BIAS)); /* 0..2^15 - 1 in the low half */
}

void pf_matrix_put(int16_t *matrix, uint32_t rows, uint32_t columns, uint32_t row, uint32_t column, int32_t value) {
    matrix[pf_matrix_index(rows, columns, row, column)] = pf_matrix_code(column, value);
}

int32_t pf_matrix_get(const int16_t *matrix, uint32_t rows, uint32_t columns, uint32_t row, uint32_t column) {
    return matrix[pf_matrix_index(rows, columns, row, column)] - (column & 1u ? 0 : PF_LOW_BIAS);
}

uint32_t pf_forward_scratch(uint32_t columns) {
    return 1u + 2u * PF_PAIRS(columns);
}

uint32_t pf_forward_outputs(uint32_t rows) {
    return (rows + 1u) & ~1u;
}

/* The last, incomplete block: n < 4 columns. */
static uint32_t pf_spread_end(int32_t *out, const int8_t *a, uint32_t n) {
    uint32_t squares = 0;
    for (uint32_t i = 0; i < n; i++) {
        int32_t value = a[i];
        out[i] = value;
        squares += (uint32_t)(value * value); /* <= 127^2 */
    }
    return squares;
}

/* The first word of the scratch and the factors of what is left behind `done` columns (even). */
static void pf_factors_end(int32_t *scratch, const int8_t *a, uint32_t done, uint32_t columns, int32_t even) {
    int32_t *factors = scratch + 1u + done;
    for (uint32_t i = done; i < columns; i += 2u) {
        int32_t a0 = a[i];
        int32_t a1 = i + 1u < columns ? a[i + 1u] : 0;
        even += a0;
        *factors++ = a1 - a0 * 65536; /* < 2^23 + 2^7 */
        *factors++ = a0;
    }
    scratch[0] = -even * PF_LOW_BIAS; /* < 512 * 127 * 2^14 < 2^30 */
}

void pf_factors(int32_t *scratch, const int8_t *a, uint32_t columns) {
    uint32_t whole = columns & ~1u;
    int32_t even = whole == 0 ? 0 : pf_thumb_factors(scratch + 1, a, a + whole);
    pf_factors_end(scratch, a, whole, columns, even);
}

uint32_t pf_factors_spread(int32_t *scratch, int32_t *blocks, uint32_t example, const int8_t *a, uint32_t columns) {
    uint32_t whole = columns & ~3u;
    int32_t *out = blocks + 4u * example;
    uint64_t sums = 0;
    if (whole != 0) {
        sums = pf_thumb_factors_spread(out, a, scratch + 1, a + whole);
        if (whole == columns) {
            scratch[0] = -(int32_t)(uint32_t)(sums >> 32) * PF_LOW_BIAS; /* as pf_factors_end does */
            return (uint32_t)sums;
        }
    }
    pf_factors_end(scratch, a, whole, columns, (int32_t)(uint32_t)(sums >> 32));
    return (uint32_t)sums + pf_spread_end(out + PF_BATCH * whole, a + whole, columns - whole);
}

void pf_forward(
    int32_t *z, const int16_t *matrix, uint32_t rows, uint32_t columns, const int8_t *a, const int32_t *scratch) {
    (void)a;
    uint32_t pairs = PF_PAIRS(columns);
    const int32_t *end = scratch + 1u + 2u * pairs;
    uint32_t thirds = (pairs + 2u) * 21846u >> 16; /* (pairs + 2) / 3 for pairs <= 512: 21846 = ceil(2^16 / 3) */
    uint32_t skip = 3u * thirds - pairs;
    uint32_t groups = pf_thumb_sixes(rows + 1u); /* five rows left over make a group of six, too */
    if (groups != 0) {
        uint32_t sixths = (pairs + 5u) * 10923u >> 16; /* / 6, as above */
        pf_thumb_forward6(matrix, scratch, end, z, (6u * sixths - pairs) * PF_FORWARD_PAIR6_BYTES, groups);
        matrix += 12u * pairs * groups;
        z += 6u * groups;
    }
    uint32_t left = ((rows + 1u) & ~1u) - 6u * groups; /* 0, 2 or 4 */
    if (left == 4u) {
        pf_thumb_forward4(matrix, scratch, end, z, skip);
    } else if (left == 2u) {
        pf_thumb_forward2(matrix, scratch, end, z, skip);
    }
}

void pf_backward(int32_t *s, const int16_t *matrix, uint32_t rows, uint32_t columns, const int32_t *delta,
    uint32_t begin, uint32_t end) {
    uint32_t pairs = PF_PAIRS(columns);
    const int32_t *s_end = s + 2u * pairs;
    uint32_t sum = 0;
    for (const int32_t *d = delta + begin; d != delta + end; d++) {
        sum += (uint32_t)*d;
    }
    pf_thumb_fill(s, 0u - sum * PF_LOW_BIAS, s_end);
    matrix += 2u * pairs * begin;
    for (uint32_t j = begin; j < end; j += 6u) {
        uint32_t group = pf_thumb_group(rows, j);
        if (group == 6u) {
            pf_thumb_backward6(matrix, s, s_end, delta + j);
        } else if (group == 4u) {
            pf_thumb_backward4(matrix, s, s_end, delta + j);
        } else {
            pf_thumb_backward2(matrix, s, s_end, delta + j);
        }
        matrix += 12u * pairs;
    }
}

void pf_backward_add(int32_t *s, uint32_t column, const int16_t *matrix, uint32_t rows, uint32_t columns,
    const int32_t *delta, int32_t *scratch) {
    pf_backward(scratch, matrix, rows, columns, delta, 0, rows);
    for (uint32_t i = 0; i < columns; i++) {
        uint32_t sum = (uint32_t)pf_sum_get(scratch, i);
        uint32_t to = column + i;
        s[to] = (int32_t)((uint32_t)s[to] + sum);
        if (to & 1u) { /* it counts 2^16 times in the other column's word */
            s[to - 1u] = (int32_t)((uint32_t)s[to - 1u] + (sum << 16));
        }
    }
}

uint32_t pf_spread(int32_t *blocks, uint32_t example, const int8_t *a, uint32_t columns) {
    uint32_t squares = 0;
    uint32_t whole = columns & ~3u;
    int32_t *out = blocks + 4u * example;
    if (whole != 0) {
        squares = pf_thumb_spread(out, a, a + whole);
    }
    return squares + pf_spread_end(out + PF_BATCH * whole, a + whole, columns - whole);
}

void pf_outer(
    uint32_t *acc, uint32_t rows, uint32_t columns, const int32_t *blocks, const int32_t *deltas, uint32_t examples) {
    pf_outer_frame frame;
    uint32_t count = (columns + 3u) / 4u;
    frame.deltas = deltas;
    frame.deltas_end = deltas + PF_BATCH * rows;
    frame.blocks = blocks;
    frame.blocks_end = blocks + 4u * PF_BATCH * count;
    frame.pad = 4u * (4u * count - columns);
    if (examples > PF_BATCH / 2u) {
        pf_thumb_outer8(acc, &frame);
    } else {
        pf_thumb_outer4(acc, &frame);
    }
}

void pf_outer_one(
    uint32_t *acc, uint32_t rows, uint32_t columns, const int8_t *a, const int32_t *deltas, int32_t *scratch) {
    int32_t *end = scratch;
    for (uint32_t i = 0; i < columns; i++) {
        *end++ = a[i];
    }
    if (columns & 1u) {
        *end++ = 0; /* added to the accumulator behind the row */
    }
    for (uint32_t j = 0; j < rows; j++) {
        pf_thumb_outer_one(acc, scratch, deltas[j], end);
        acc += columns;
    }
}

#endif
