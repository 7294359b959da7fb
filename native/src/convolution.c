/* convolution.c: one layer of convolution over time (SPEC 8.6). A filter is slid over what lies in memory as it is: the
 * inputs under it are neighbours, so that every product of filter and window is one run of products. What is done does
 * not depend on the values. */
#include "picofed.h"
#include "fixed.h"
#include "port.h"

#define PF_CONVOLUTION_HEAD 5u

/* Two sums of w_i a_i, n > 0 products, each within 2^14: |sum| <= 1023 * 2^14 < 2^24. Two filters at once, so that an
 * input is loaded for two products; one index for all three, as a signed byte is loaded by two registers on ARMv6-M. */
static PF_NOINLINE void pf_convolution_sums(
    int32_t sums[2], const int8_t *one, const int8_t *two, const int8_t *a, uint32_t n) {
    int32_t first = 0;
    int32_t second = 0;
    uint32_t i = n;
    do {
        i--;
        int32_t value = a[i];
        first += one[i] * value;
        second += two[i] * value;
        PF_OPAQUE(i);
    } while (i != 0);
    sums[0] = first;
    sums[1] = second;
}

PF_INLINE int8_t pf_convolution_output(int32_t sum, int32_t bias, uint32_t right) {
    return (int8_t)pf_limit((sum + bias * 128) >> right, 0, 127); /* within 2^24 + 2^14 */
}

pf_status pf_convolution(int8_t *out, size_t out_len, const int8_t *in, uint32_t steps, uint32_t channels,
    const uint8_t *layer, size_t len) {
    if (len < PF_CONVOLUTION_HEAD || steps == 0 || steps > PF_WINDOW_MAX || channels == 0 ||
        channels > PF_FILTERS_MAX) {
        return PF_E_ARGUMENT;
    }
    uint32_t width = layer[0];
    uint32_t stride = layer[1];
    uint32_t filters = layer[2];
    uint32_t pool = layer[3];
    uint32_t right = layer[4];
    uint32_t columns = width * channels; /* <= 255 * 64 */
    if (width == 0 || width > steps || columns > PF_WIDTH_MAX || stride == 0 || filters == 0 ||
        filters > PF_FILTERS_MAX || pool == 0 || right > 15u ||
        len != PF_CONVOLUTION_HEAD + (size_t)filters * (columns + 1u)) { /* <= 64 * 1024 */
        return PF_E_ARGUMENT;
    }
    uint32_t rows = pf_divide(pf_divide(steps - width, stride) + 1u, pool);
    if (rows == 0) {
        return PF_E_ARGUMENT;
    }
    if (out == NULL) {
        return (pf_status)(rows * filters); /* <= 128 * 64 */
    }
    if (out_len < (size_t)rows * filters) {
        return PF_E_MEMORY;
    }
    const int8_t *weights = (const int8_t *)layer + PF_CONVOLUTION_HEAD;
    uint32_t apart = stride * channels; /* <= 255 * 64 */
    for (uint32_t t = 0; t < rows; t++) {
        const int8_t *first = in + t * pool * apart; /* t pool < places, each within `in` */
        const int8_t *filter = weights;
        for (uint32_t j = 0; j < filters; j += 2u) {
            uint32_t both = (uint32_t)(j + 1u < filters);
            const int8_t *next = filter + both * (columns + 1u); /* a last one alone is its own neighbour */
            const int8_t *place = first;
            int32_t largest[2];
            pf_convolution_sums(largest, filter, next, place, columns);
            for (uint32_t p = 1; p < pool; p++) {
                int32_t sums[2];
                place += apart;
                pf_convolution_sums(sums, filter, next, place, columns);
                for (uint32_t k = 0; k < 2u; k++) {
                    int32_t above = sums[k] - largest[k]; /* within 2^25 */
                    largest[k] += above & ~(above >> 31);
                }
            }
            *out++ = pf_convolution_output(largest[0], filter[columns], right);
            if (both) {
                *out++ = pf_convolution_output(largest[1], next[columns], right);
            }
            filter = next + columns + 1u;
        }
    }
    return (pf_status)(rows * filters);
}
