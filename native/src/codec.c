/* codec.c: the payload of an update: rounding and Rice codes (SPEC 7.6). */
#include "picofed.h"
#include "port.h"

#define CODEC_HEADER 3u
#define CODEC_VERSION 1u
#define CODEC_SHIFT_MAX 30u
#define CODEC_ESCAPE 24u /* so many ones announce 32 plain bits */

static uint32_t codec_quantize(uint32_t value, uint32_t shift) {
    int32_t v = (int32_t)value;
    int32_t q = shift == 0 ? v : (v >> shift) + (v >> (shift - 1) & 1); /* |q| <= 2^30 for shift >= 1 */
    return (uint32_t)q << 1 ^ (q < 0 ? 0xffffffffu : 0u);
}

/* How often u can be halved before it is below CODEC_ESCAPE: the smallest k whose code for u has no escape. At most 28.
 */
static uint32_t codec_escaped(uint32_t u) {
    uint32_t k = 0;
    for (uint32_t step = 16; step != 0; step >>= 1) {
        k += u >> (k + step - 1) >= CODEC_ESCAPE ? step : 0; /* k + step <= 31 */
    }
    return k;
}

/* The k with the fewest bits, and how many. n < 2^25, so that 56 n < 2^31. */
static uint32_t codec_best(const uint32_t *values, size_t n, uint32_t shift, uint32_t *bits) {
    /* by k: the bits beyond the 1 + k that a code has at least; no k above CODEC_SHIFT_MAX is chosen, but up to
       codec_escaped() + 4 <= 32 is written */
    uint32_t extra[CODEC_SHIFT_MAX + 3];
    uint32_t escapes[CODEC_SHIFT_MAX + 1]; /* values with an escape for every smaller k, and none from this k on */
    pf_zero(extra, sizeof extra);
    pf_zero(escapes, sizeof escapes);
    for (size_t i = 0; i < n; i++) {
        uint32_t u = codec_quantize(values[i], shift);
        if (u != 0) {
            uint32_t k = codec_escaped(u);
            uint32_t ones = u >> k; /* < 24: nothing is left after five halvings */
            escapes[k]++;
            extra[k] += ones;
            extra[k + 1] += ones >> 1;
            extra[k + 2] += ones >> 2;
            extra[k + 3] += ones >> 3;
            extra[k + 4] += ones >> 4;
        }
    }
    uint32_t best = 0;
    uint32_t escaped = 0;
    for (uint32_t k = CODEC_SHIFT_MAX;; k--) {
        extra[k] += escaped * (CODEC_ESCAPE + 31u - k) + (uint32_t)n * (1 + k);
        escaped += escapes[k];
        if (k == 0) {
            break;
        }
    }
    for (uint32_t k = 1; k <= CODEC_SHIFT_MAX; k++) {
        best = extra[k] < extra[best] ? k : best;
    }
    *bits = extra[best];
    return best;
}

typedef struct {
    uint8_t *out;
    uint32_t pending; /* bits not yet written, lowest first */
    uint32_t count;   /* of them, < 8 between calls */
} codec_writer;

/* count <= 24, value < 2^count */
static void codec_put(codec_writer *writer, uint32_t value, uint32_t count) {
    writer->pending |= value << writer->count; /* < 2^(24 + 7) */
    writer->count += count;
    while (writer->count >= 8) {
        *writer->out++ = (uint8_t)(writer->pending & 0xffu);
        writer->pending >>= 8;
        writer->count -= 8;
    }
}

static void codec_put_wide(codec_writer *writer, uint32_t value, uint32_t count) {
    if (count > 16) {
        codec_put(writer, value & 0xffffu, 16);
        value >>= 16;
        count -= 16;
    }
    codec_put(writer, value, count);
}

pf_status pf_update_length(const uint32_t *values, size_t n, uint32_t shift) {
    if (shift > CODEC_SHIFT_MAX || n >= (size_t)1 << 25) {
        return PF_E_ARGUMENT;
    }
    uint32_t bits;
    (void)codec_best(values, n, shift, &bits);
    return (pf_status)(CODEC_HEADER + ((bits + 7) >> 3)); /* < 2^28 */
}

pf_status pf_update_encode(uint8_t *out, size_t out_len, const uint32_t *values, size_t n, uint32_t shift) {
    if (shift > CODEC_SHIFT_MAX || n >= (size_t)1 << 25) {
        return PF_E_ARGUMENT;
    }
    uint32_t bits;
    uint32_t k = codec_best(values, n, shift, &bits);
    size_t len = CODEC_HEADER + ((bits + 7) >> 3);
    if (len > out_len) {
        return PF_E_MEMORY;
    }
    out[0] = CODEC_VERSION;
    out[1] = (uint8_t)shift;
    out[2] = (uint8_t)k;
    codec_writer writer;
    writer.out = out + CODEC_HEADER;
    writer.pending = 0;
    writer.count = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t u = codec_quantize(values[i], shift);
        uint32_t ones = u >> k;
        if (ones < CODEC_ESCAPE) {
            uint32_t unary = ((uint32_t)1 << ones) - 1; /* ones, and a zero behind them */
            uint32_t low = u & (((uint32_t)1 << k) - 1);
            if (ones + 1 + k <= 24) {
                codec_put(&writer, unary | low << (ones + 1), ones + 1 + k);
            } else {
                codec_put(&writer, unary, ones + 1);
                codec_put_wide(&writer, low, k);
            }
        } else {
            codec_put(&writer, 0xffffffu, CODEC_ESCAPE);
            codec_put_wide(&writer, u, 32);
        }
    }
    if (writer.count != 0) {
        *writer.out = (uint8_t)writer.pending;
    }
    return (pf_status)len;
}

typedef struct {
    const uint8_t *data;
    size_t left; /* bits */
    uint32_t bit;
} codec_reader;

/* Next bit; 0 behind the end, where the caller looks at left. */
static uint32_t codec_get(codec_reader *reader, size_t *missing) {
    if (reader->left == 0) {
        *missing += 1;
        return 0;
    }
    uint32_t value = (uint32_t)*reader->data >> reader->bit & 1u;
    reader->left--;
    reader->bit = (reader->bit + 1) & 7u;
    reader->data += reader->bit == 0;
    return value;
}

static uint32_t codec_get_wide(codec_reader *reader, uint32_t count, size_t *missing) {
    uint32_t value = 0;
    for (uint32_t i = 0; i < count; i++) {
        value |= codec_get(reader, missing) << i; /* i < 32 */
    }
    return value;
}

static int32_t codec_restore(uint32_t u, uint32_t shift) {
    uint32_t magnitude = u >> 1; /* of q, or of -1 - q if the low bit is set; < 2^31 */
    uint32_t limit = 0x7fffffffu >> shift;
    if (u & 1u) {
        /* q 2^shift = -(magnitude + 1) 2^shift >= -2^31 iff magnitude <= limit */
        return magnitude > limit ? -0x7fffffff - 1 : -(int32_t)(magnitude << shift) - (int32_t)((1u << shift) - 1) - 1;
    }
    return magnitude > limit ? 0x7fffffff : (int32_t)(magnitude << shift);
}

void pf_update_round(int32_t *out, const uint32_t *values, size_t n, uint32_t shift) {
    for (size_t i = 0; i < n; i++) {
        uint32_t u = codec_quantize(values[i], shift);
        PF_OPAQUE(u); /* GCC 12 warns of what it makes of this loop in wide registers */
        out[i] = codec_restore(u, shift);
    }
}

pf_status pf_update_decode(int32_t *values, size_t n, const uint8_t *data, size_t len) {
    if (len < CODEC_HEADER || data[0] != CODEC_VERSION || data[1] > CODEC_SHIFT_MAX || data[2] > CODEC_SHIFT_MAX ||
        len - CODEC_HEADER > ((size_t)-1 >> 3)) {
        return PF_E_FRAME;
    }
    uint32_t shift = data[1];
    uint32_t k = data[2];
    size_t missing = 0;
    codec_reader reader;
    reader.data = data + CODEC_HEADER;
    reader.left = (len - CODEC_HEADER) << 3;
    reader.bit = 0;
    for (size_t i = 0; i < n && missing == 0; i++) {
        uint32_t ones = 0;
        while (ones < CODEC_ESCAPE && codec_get(&reader, &missing)) {
            ones++;
        }
        uint32_t u;
        if (ones < CODEC_ESCAPE) {
            u = ones << k | codec_get_wide(&reader, k, &missing);
            if (u >> k != ones) { /* more than 32 bits */
                return PF_E_FRAME;
            }
        } else {
            u = codec_get_wide(&reader, 32, &missing);
            if (u >> k < CODEC_ESCAPE) { /* there is a shorter code: only one encoding is accepted */
                return PF_E_FRAME;
            }
        }
        values[i] = codec_restore(u, shift);
    }
    if (missing != 0 || reader.left >= 8 || codec_get_wide(&reader, (uint32_t)reader.left, &missing) != 0) {
        return PF_E_FRAME;
    }
    return PF_OK;
}
