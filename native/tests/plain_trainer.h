/* plain_trainer.h: SPEC 2 and 7 word for word, in wide integers and obvious loops: what the core is compared with. */
#ifndef PLAIN_TRAINER_H
#define PLAIN_TRAINER_H

#include "picofed.h"
#include "check.h"

#define PLAIN_PARAMETERS 70000

typedef struct {
    int layers, loss, widths[9];
    int area[8][5]; /* row_begin, row_end, column_begin, column_end, bias */
    int32_t w[PLAIN_PARAMETERS];
    uint32_t acc[PLAIN_PARAMETERS];
    int64_t change[PLAIN_PARAMETERS];
    int32_t start[PLAIN_PARAMETERS];
} plain_trainer;

static int64_t plain_sat(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
}

static size_t plain_descriptor(const plain_trainer *p, uint8_t *out) {
    size_t n = 0;
    out[n++] = 1;
    out[n++] = (uint8_t)p->loss;
    out[n++] = (uint8_t)p->layers;
    out[n++] = 0;
    for (int l = 0; l <= p->layers; l++) {
        out[n++] = (uint8_t)(p->widths[l] & 255);
        out[n++] = (uint8_t)(p->widths[l] >> 8);
    }
    for (int l = 0; l < p->layers; l++) {
        for (int k = 0; k < 4; k++) {
            out[n++] = (uint8_t)(p->area[l][k] & 255);
            out[n++] = (uint8_t)(p->area[l][k] >> 8);
        }
        out[n++] = (uint8_t)p->area[l][4];
        out[n++] = 0;
    }
    return n;
}

static int plain_layer_start(const plain_trainer *p, int l) {
    int at = 0;
    for (int k = 0; k < l; k++) {
        at += p->widths[k + 1] * (p->widths[k] + 1);
    }
    return at;
}

static int plain_count(const plain_trainer *p) {
    return plain_layer_start(p, p->layers);
}

static int plain_weight_index(const plain_trainer *p, int l, int row, int column) {
    int at = plain_layer_start(p, l);
    return column == p->widths[l] ? at + p->widths[l + 1] * p->widths[l] + row : at + row * p->widths[l] + column;
}

/* Calls visit for every trainable parameter in the order of SPEC 7.3: its number, layer, row, column (inputs = bias).
 */
static int plain_walk(plain_trainer *p, void (*visit)(plain_trainer *, int, int, int, int, void *), void *context) {
    int k = 0;
    for (int l = 0; l < p->layers; l++) {
        const int *area = p->area[l];
        for (int row = area[0]; row < area[1]; row++) {
            for (int column = area[2]; column < area[3]; column++, k++) {
                visit(p, k, l, row, column, context);
            }
        }
        if (area[4]) {
            for (int row = area[0]; row < area[1]; row++, k++) {
                visit(p, k, l, row, p->widths[l], context);
            }
        }
    }
    return k;
}

typedef struct {
    int a[9][1024];
    int64_t delta[8][1024];
} plain_pass;

static void plain_forward(const plain_trainer *p, const int8_t *features, plain_pass *pass, int64_t *z) {
    for (int i = 0; i < p->widths[0]; i++) {
        pass->a[0][i] = features[i];
    }
    for (int l = 0; l < p->layers; l++) {
        for (int j = 0; j < p->widths[l + 1]; j++) {
            z[j] = (int64_t)p->w[plain_weight_index(p, l, j, p->widths[l])] * (l == 0 ? 128 : 32);
            for (int i = 0; i < p->widths[l]; i++) {
                z[j] += (int64_t)p->w[plain_weight_index(p, l, j, i)] * pass->a[l][i];
            }
            CHECK(z[j] >= INT32_MIN && z[j] <= INT32_MAX);
            if (l + 1 < p->layers) {
                pass->a[l + 1][j] = (int)plain_sat(z[j] >> ((l == 0 ? 18 : 16) - 5), 0, 127);
            }
        }
    }
}

static int64_t plain_table[33] = {65536, 64132, 62757, 61413, 60097, 58809, 57549, 56316, 55109, 53928, 52773, 51642,
    50535, 49452, 48393, 47356, 46341, 45348, 44376, 43425, 42495, 41584, 40693, 39821, 38968, 38133, 37316, 36516,
    35734, 34968, 34219, 33486, 32768};

static void plain_loss(const plain_trainer *p, const int64_t *z, const uint8_t *target, int64_t *delta) {
    int n = p->widths[p->layers], f = p->layers == 1 ? 18 : 16;
    int64_t largest = z[0], sum = 0;
    for (int j = 0; j < n; j++) {
        largest = z[j] > largest ? z[j] : largest;
        int32_t wanted = (int16_t)(uint16_t)(target[p->loss ? 2 * j : 0] | target[p->loss ? 2 * j + 1 : 0] << 8);
        delta[j] = plain_sat((z[j] >> (f - 12)) - wanted, -16383, 16383);
    }
    if (p->loss) {
        return;
    }
    for (int j = 0; j < n; j++) {
        int64_t t = (largest - z[j]) >> (f - 10), u = (t * 94548) >> 16, l = u & 31;
        delta[j] = 0;
        if (t < 11264) {
            delta[j] =
                ((plain_table[u >> 5 & 31] * (32 - l) + plain_table[(u >> 5 & 31) + 1] * l + 16) >> 5) >> (u >> 10);
        }
        sum += delta[j];
    }
    for (int j = 0; j < n; j++) {
        delta[j] = ((delta[j] * (2147483647 / sum) + (1 << 18)) >> 19) - (j == target[0] ? 4096 : 0);
    }
}

static void plain_backward(const plain_trainer *p, plain_pass *pass, int l) {
    for (int i = 0; i < p->widths[l]; i++) {
        int64_t s = 0;
        for (int j = 0; j < p->widths[l + 1]; j++) {
            s += (int64_t)p->w[plain_weight_index(p, l, j, i)] * pass->delta[l][j];
        }
        int open = pass->a[l][i] > 0 && pass->a[l][i] < 127;
        pass->delta[l - 1][i] = open ? plain_sat((s + 1024) >> 11, -16383, 16383) : 0;
    }
}

static void plain_add(plain_trainer *p, int k, int l, int row, int column, void *context) {
    const plain_pass *pass = context;
    int64_t a = column == p->widths[l] ? (l == 0 ? 128 : 32) : pass->a[l][column];
    p->acc[k] += (uint32_t)(pass->delta[l][row] * a);
}

/* One example; clip_norm 0: no clipping. Returns 1 if it was clipped. */
static int plain_example(plain_trainer *p, const int8_t *features, const uint8_t *target, uint64_t clip_norm) {
    static plain_pass pass;
    static int64_t z[1024];
    plain_forward(p, features, &pass, z);
    plain_loss(p, z, target, pass.delta[p->layers - 1]);
    for (int l = p->layers - 1; l > 0; l--) {
        plain_backward(p, &pass, l);
    }
    unsigned __int128 n = 0;
    for (int l = 0; l < p->layers; l++) {
        unsigned __int128 d = 0, a = 0;
        for (int row = p->area[l][0]; row < p->area[l][1]; row++) {
            d += (uint64_t)(pass.delta[l][row] * pass.delta[l][row]);
        }
        for (int column = p->area[l][2]; column < p->area[l][3]; column++) {
            a += (uint64_t)(pass.a[l][column] * pass.a[l][column]);
        }
        a += p->area[l][4] ? (l == 0 ? 16384 : 1024) : 0;
        n += d * a;
    }
    CHECK(n >> 64 == 0);
    int clipped = clip_norm != 0 && n > (unsigned __int128)clip_norm * clip_norm;
    if (clipped) {
        uint64_t low = 0, high = (uint64_t)1 << 33; /* q = ceil(sqrt n) */
        while (low < high) {
            uint64_t middle = (low + high) / 2;
            if ((unsigned __int128)middle * middle >= n) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        int64_t f = (int64_t)((clip_norm << 15) / low);
        for (int l = 0; l < p->layers; l++) {
            for (int row = p->area[l][0]; row < p->area[l][1]; row++) {
                pass.delta[l][row] = pass.delta[l][row] * f / 32768;
            }
        }
    }
    plain_walk(p, plain_add, &pass);
    return clipped;
}

#endif
