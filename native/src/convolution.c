/* convolution.c: one layer of convolution over time (SPEC 8.6). A filter is slid over what lies in memory as it is: the
 * inputs under it are neighbours, so that every product of filter and window is one run of products. What is done does
 * not depend on the values. */
#include "picofed.h"
#include "fixed.h"
#include "port.h"

#define PF_CONVOLUTION_HEAD 5u

/* sum of w_i a_i, n > 0 products, each within 2^14: |sum| <= 1023 * 2^14 < 2^24 */
static PF_NOINLINE int32_t pf_convolution_sum(const int8_t *w, const int8_t *a, uint32_t n) {
    const int8_t *end = w + n;
    int32_t sum = 0;
    do {
        sum += *w++ * *a++;
    } while (w != end);
    return sum;
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
        const int8_t *filter = weights;
        for (uint32_t j = 0; j < filters; j++) {
            const int8_t *place = in;
            int32_t largest = pf_convolution_sum(filter, place, columns);
            for (uint32_t p = 1; p < pool; p++) {
                place += apart;
                int32_t above = pf_convolution_sum(filter, place, columns) - largest; /* within 2^25 */
                largest += above & ~(above >> 31);
            }
            largest += filter[columns] * 128; /* within 2^24 + 2^14 */
            *out++ = (int8_t)pf_limit(largest >> right, 0, 127);
            filter += columns + 1u;
        }
        in += pool * apart; /* pool <= steps: <= 128 * 255 * 64 */
    }
    return (pf_status)(rows * filters);
}
