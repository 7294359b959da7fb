/* Convolution against SPEC 8.6 in wide integers. */
#include "picofed.h"
#include "check.h"

#define HEAD 5

/* A random layer of at most 200 columns and 9 filters that fits `steps`; returns its length. */
static size_t make_layer(uint64_t *state, uint8_t *layer, uint32_t steps, uint32_t channels) {
    uint32_t most = 200 / channels < steps ? 200 / channels : steps;
    uint32_t width = 1 + check_below(state, most);
    uint32_t stride = 1 + check_below(state, 5);
    uint32_t places = (steps - width) / stride + 1;
    layer[0] = (uint8_t)width;
    layer[1] = (uint8_t)stride;
    layer[2] = (uint8_t)(1 + check_below(state, 9));
    layer[3] = (uint8_t)(1 + check_below(state, places));
    layer[4] = (uint8_t)check_below(state, 16);
    size_t n = layer[2] * ((size_t)width * channels + 1);
    uint32_t kind = check_below(state, 8);
    for (size_t k = 0; k < n; k++) {
        layer[HEAD + k] = (uint8_t)(kind == 0 ? 128 : kind == 1 ? 127 : check_below(state, 256));
    }
    return HEAD + n;
}

static void test_values(void) {
    uint64_t state = check_seed();
    static uint8_t layer[HEAD + 9 * 201];
    static int8_t in[128 * 64];
    static int8_t out[128 * 64 + 1];
    for (int i = 0; i < 1500; i++) {
        uint32_t steps = 1 + check_below(&state, 128);
        uint32_t channels = 1 + check_below(&state, 64);
        size_t len = make_layer(&state, layer, steps, channels);
        for (uint32_t k = 0; k < steps * channels; k++) {
            in[k] = (int8_t)(i % 9 == 0 ? -128 : i % 9 == 1 ? 127 : (int)check_below(&state, 256) - 128);
        }
        uint32_t width = layer[0], stride = layer[1], filters = layer[2], pool = layer[3];
        uint32_t rows = ((steps - width) / stride + 1) / pool;
        size_t count = (size_t)rows * filters;
        CHECK_EQ(pf_convolution(NULL, 0, NULL, steps, channels, layer, len), count);
        CHECK_EQ(pf_convolution(out, count - 1, in, steps, channels, layer, len), PF_E_MEMORY);
        out[count] = 77;
        CHECK_EQ(pf_convolution(out, count, in, steps, channels, layer, len), count);
        CHECK_EQ(out[count], 77);
        for (uint32_t u = 0; u < rows; u++) {
            for (uint32_t j = 0; j < filters; j++) {
                const int8_t *w = (const int8_t *)layer + HEAD + j * (width * channels + 1);
                int64_t largest = INT64_MIN;
                for (uint32_t t = u * pool; t < (u + 1) * pool; t++) {
                    int64_t z = 0;
                    for (uint32_t k = 0; k < width; k++) {
                        for (uint32_t c = 0; c < channels; c++) {
                            z += (int64_t)w[k * channels + c] * in[(t * stride + k) * channels + c];
                        }
                    }
                    largest = z > largest ? z : largest;
                }
                int64_t wanted = (largest + 128 * (int64_t)w[width * channels]) >> layer[4];
                wanted = wanted < 0 ? 0 : wanted > 127 ? 127 : wanted;
                CHECK_EQ(out[u * filters + j], wanted);
            }
        }
    }
}

static void test_refusals(void) {
    uint8_t layer[HEAD + 2 * 13] = {2, 1, 2, 1, 7}; /* 2 filters over 2 steps of 6 channels */
    CHECK_EQ(pf_convolution(NULL, 0, NULL, 10, 6, layer, sizeof layer), 9 * 2);
    CHECK_EQ(pf_convolution(NULL, 0, NULL, 10, 6, layer, sizeof layer - 1), PF_E_ARGUMENT);
    CHECK_EQ(pf_convolution(NULL, 0, NULL, 10, 6, layer, 4), PF_E_ARGUMENT);
    static const uint32_t sizes[][2] = {{0, 6}, {1, 6}, {129, 6}, {10, 0}, {10, 65}, {10, 5}, {10, 7}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CHECK_EQ(pf_convolution(NULL, 0, NULL, sizes[i][0], sizes[i][1], layer, sizeof layer), PF_E_ARGUMENT);
    }
    static const uint8_t wrong[][2] = {{0, 0}, {0, 3}, {1, 0}, {2, 0}, {2, 3}, {3, 0}, {3, 10}, {4, 16}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t kept = layer[wrong[i][0]];
        layer[wrong[i][0]] = wrong[i][1];
        CHECK_EQ(pf_convolution(NULL, 0, NULL, 10, 6, layer, sizeof layer), PF_E_ARGUMENT);
        layer[wrong[i][0]] = kept;
    }
    static uint8_t large[HEAD + 1 + 64 * 16];
    large[0] = 16;
    large[1] = large[2] = large[3] = 1;
    CHECK_EQ(pf_convolution(NULL, 0, NULL, 128, 64, large, sizeof large), PF_E_ARGUMENT); /* 1024 columns */
}

int main(void) {
    RUN(test_values);
    RUN(test_refusals);
    return 0;
}
