/* Clipping: never above C in exact arithmetic, and exactly the formula of SPEC 2.6. */
#include "picofed.h"
#include "check.h"
#include "../src/clip.h"

typedef unsigned __int128 wide;

typedef struct {
    int16_t delta[PF_LAYERS_MAX][64];
    int16_t *pointers[PF_LAYERS_MAX];
    uint16_t counts[PF_LAYERS_MAX];
    uint32_t squares[PF_LAYERS_MAX];
    size_t layers;
} clip_case;

static wide norm(const clip_case *c) {
    wide n = 0;
    for (size_t l = 0; l < c->layers; l++) {
        wide d = 0;
        for (int j = 0; j < c->counts[l]; j++) {
            d += (wide)((int32_t)c->delta[l][j] * c->delta[l][j]);
        }
        n += d * c->squares[l];
    }
    return n;
}

static wide root_ceil(wide n) {
    wide low = 0, high = (wide)1 << 33;
    while (low < high) {
        wide middle = (low + high) / 2;
        if (middle * middle >= n) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static void check_clip(clip_case *c, uint32_t clip_norm) {
    clip_case was = *c;
    uint64_t before, after;
    wide n = norm(c);
    for (size_t l = 0; l < c->layers; l++) {
        c->pointers[l] = c->delta[l];
    }
    pf_status status = pf_clip(c->pointers, c->counts, c->squares, c->layers, clip_norm, &before, &after);
    if (n >> 64 != 0) {
        CHECK_EQ(status, PF_E_RANGE);
        CHECK(memcmp(c->delta, was.delta, sizeof was.delta) == 0);
        return;
    }
    CHECK_EQ(status, PF_OK);
    CHECK(before == n);
    CHECK(after == norm(c));
    CHECK(norm(c) <= (wide)clip_norm * clip_norm);
    int32_t f = 32768;
    if (n > (wide)clip_norm * clip_norm) {
        f = (int32_t)(((wide)clip_norm << 15) / root_ceil(n));
    }
    for (size_t l = 0; l < c->layers; l++) {
        for (int j = 0; j < c->counts[l]; j++) {
            CHECK_EQ(c->delta[l][j], (int32_t)was.delta[l][j] * f / 32768);
        }
    }
}

static void fill(clip_case *c, uint64_t *state, uint32_t kind) {
    c->layers = 1 + check_below(state, kind % 7 == 0 ? PF_LAYERS_MAX : 2);
    for (size_t l = 0; l < c->layers; l++) {
        c->counts[l] = (uint16_t)check_below(state, kind % 3 == 0 ? 65 : 6);
        uint32_t range = (uint32_t)1 << check_below(state, 15);
        for (int j = 0; j < c->counts[l]; j++) {
            int32_t v = (int32_t)check_below(state, 2 * range) - (int32_t)range;
            if (kind % 5 == 0) {
                v = check_below(state, 2) ? 16383 : -16383;
            }
            c->delta[l][j] = (int16_t)(v < -16383 ? -16383 : v);
        }
        c->squares[l] = (uint32_t)check_random(state) >> check_below(state, 32);
        if (kind % 11 == 0) {
            c->squares[l] = 1023u * 127u * 127u + 16384u;
        }
    }
}

static void test_random(void) {
    uint64_t state = check_seed();
    clip_case c;
    for (uint32_t i = 0; i < 1000000; i++) {
        fill(&c, &state, i);
        uint32_t clip_norm = 1u + (check_below(&state, PF_CLIP_NORM_MAX) >> check_below(&state, 20));
        wide n = norm(&c);
        if (i % 4 == 0 && n != 0 && n >> 40 == 0) { /* adversarial: C at, just below or just above the norm */
            uint32_t root = (uint32_t)root_ceil(n);
            root += check_below(&state, 3);
            clip_norm = root < 2 ? 1 : root - 1 > PF_CLIP_NORM_MAX ? PF_CLIP_NORM_MAX : root - 1;
        }
        check_clip(&c, clip_norm);
    }
}

static void test_extremes(void) {
    static int16_t large[65535];
    for (size_t i = 0; i < 65535; i++) {
        large[i] = i & 1 ? 16383 : -16383;
    }
    int16_t *pointers[1] = {large};
    uint16_t counts[1] = {65535};
    uint32_t squares[1] = {1048576u}; /* 65535 * 16383^2 * 2^20 is just below 2^64 */
    uint64_t before, after;
    CHECK_EQ(pf_clip(pointers, counts, squares, 1, PF_CLIP_NORM_MAX, &before, &after), PF_OK);
    CHECK(before == (uint64_t)65535 * 16383 * 16383 * 1048576);
    CHECK(after <= (uint64_t)PF_CLIP_NORM_MAX * PF_CLIP_NORM_MAX);
    squares[0] = 0xffffffffu;
    large[0] = 16383;
    for (size_t i = 0; i < 65535; i++) {
        large[i] = 16383;
    }
    CHECK_EQ(pf_clip(pointers, counts, squares, 1, 1, &before, &after), PF_E_RANGE);
    CHECK_EQ(large[65534], 16383);
}

/* What a square root between 2^32 - 1 and 2^32 gives: the formula's q is then 2^32. */
static void test_factor_at_the_top(void) {
    for (uint32_t shift = 0; shift < 20; shift++) {
        uint32_t c = PF_CLIP_NORM_MAX >> shift;
        CHECK_EQ(pf_clip_factor(UINT64_MAX, c), c >> 17);
        CHECK_EQ(pf_clip_factor((uint64_t)c * c, c), 32768);
        CHECK_EQ(pf_clip_factor((uint64_t)c * c + 1, c), ((uint64_t)c << 15) / (c + 1));
    }
    CHECK_EQ(pf_clip_factor(UINT64_MAX, 0), 32768); /* no clipping */
    CHECK_EQ(pf_clip_factor(0, 1), 32768);
}

static void test_refusals(void) {
    int16_t delta[2] = {5, -16383};
    int16_t *pointers[9] = {delta};
    uint16_t counts[9] = {2};
    uint32_t squares[9] = {100};
    uint64_t before = 7, after = 7;
    CHECK_EQ(pf_clip(pointers, counts, squares, 0, 10, &before, &after), PF_E_ARGUMENT);
    CHECK_EQ(pf_clip(pointers, counts, squares, 9, 10, &before, &after), PF_E_ARGUMENT);
    CHECK_EQ(pf_clip(pointers, counts, squares, 1, 0, &before, &after), PF_E_ARGUMENT);
    CHECK_EQ(pf_clip(pointers, counts, squares, 1, PF_CLIP_NORM_MAX + 1, &before, &after), PF_E_ARGUMENT);
    delta[1] = -16384;
    CHECK_EQ(pf_clip(pointers, counts, squares, 1, 10, &before, &after), PF_E_RANGE);
    delta[1] = INT16_MIN;
    CHECK_EQ(pf_clip(pointers, counts, squares, 1, 10, &before, &after), PF_E_RANGE);
    CHECK(before == 7 && after == 7 && delta[0] == 5 && delta[1] == INT16_MIN);
}

int main(void) {
    RUN(test_random);
    RUN(test_extremes);
    RUN(test_factor_at_the_top);
    RUN(test_refusals);
    return 0;
}
