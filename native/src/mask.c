/* mask.c: the payload of a masked update: fields of so many bits, hidden by a keystream until they are summed
 * (SPEC 10.4). Nothing branches on a value or on the keystream. */
#include "picofed.h"
#include "port.h"

#define MASK_SHIFT_MAX 16u
#define MASK_BLOCK 64u

/* Fields from a run of little-endian words: ChaCha20's keystream under `key`, or `data` if key is NULL. */
typedef struct {
    const uint8_t *key;
    const uint8_t *data;
    size_t len; /* bytes of data left */
    uint8_t block[MASK_BLOCK];
    uint32_t counter;
    uint32_t at;   /* next byte of the block */
    uint32_t word; /* its low `left` bits are still to be given, above them it is 0 */
    uint32_t left;
} mask_reader;

static void mask_open(mask_reader *reader, const uint8_t *key, const uint8_t *data, size_t len) {
    reader->key = key;
    reader->data = data;
    reader->len = len;
    reader->counter = 0;
    reader->at = MASK_BLOCK;
    reader->word = 0;
    reader->left = 0;
}

static uint32_t mask_word(mask_reader *reader) {
    uint32_t word = 0;
    if (reader->key == NULL) {
        for (uint32_t i = 0; i < 4 && reader->len > 0; i++) {
            word |= (uint32_t)*reader->data++ << (8 * i); /* < 2^32 */
            reader->len--;
        }
        return word;
    }
    if (reader->at == MASK_BLOCK) {
        uint8_t nonce[12];
        pf_zero(nonce, sizeof nonce);
        reader->counter = pf_chacha20(reader->block, NULL, MASK_BLOCK, reader->key, nonce, reader->counter);
        reader->at = 0;
    }
    word = pf_get_u32(reader->block + reader->at);
    reader->at += 4;
    return word;
}

static uint32_t mask_limit(uint32_t bits) {
    return 0xffffffffu >> (32 - bits); /* bits is 16..32 */
}

static uint32_t mask_next(mask_reader *reader, uint32_t bits) {
    uint32_t value = reader->word;
    if (reader->left >= bits) { /* so bits < 32, as left < 32 */
        reader->word >>= bits;
        reader->left -= bits;
    } else {
        uint32_t word = mask_word(reader);
        uint32_t taken = bits - reader->left; /* 1..32 */
        value |= word << reader->left;        /* left < 32; what goes beyond 32 bits is in `word` still */
        reader->word = taken == 32 ? 0 : word >> taken;
        reader->left = 32 - taken;
    }
    return value & mask_limit(bits);
}

/* Fields to a run of bits, the lowest of each byte first. */
typedef struct {
    uint8_t *out;
    uint32_t word;
    uint32_t filled; /* bits of word, < 32 */
} mask_writer;

static void mask_put(mask_writer *writer, uint32_t field, uint32_t bits) {
    writer->word |= field << writer->filled;
    if (writer->filled + bits < 32) {
        writer->filled += bits;
        return;
    }
    pf_put_u32(writer->out, writer->word);
    writer->out += 4;
    writer->word = writer->filled == 0 ? 0 : field >> (32 - writer->filled); /* 1..31 */
    writer->filled = writer->filled + bits - 32;
}

static void mask_end(mask_writer *writer, const uint8_t *end) {
    while (writer->out < end) {
        *writer->out++ = (uint8_t)(writer->word & 0xffu);
        writer->word >>= 8;
    }
}

/* Bytes of n fields, 0 if there are too many or an argument is out of range. n < 2^25: 32 n < 2^30. */
static size_t mask_length(size_t n, uint32_t bits) {
    return bits < PF_MASK_BITS_MIN || bits > 32 || n >= (size_t)1 << 25 ? 0 : (n * bits + 7) >> 3;
}

pf_status pf_mask_encode(uint8_t *out, size_t out_len, const uint32_t *values, size_t n, uint32_t shift, uint32_t bits,
    const uint8_t seed[32]) {
    size_t len = mask_length(n, bits);
    if (len == 0 || shift + bits > 32 || shift > MASK_SHIFT_MAX) {
        return PF_E_ARGUMENT;
    }
    if (len > out_len) {
        return PF_E_MEMORY;
    }
    mask_reader reader;
    mask_open(&reader, seed, NULL, 0);
    mask_writer writer = {out, 0, 0};
    for (size_t i = 0; i < n; i++) {
        int32_t v = (int32_t)values[i];
        int32_t q = shift == 0 ? v : (v >> shift) + (v >> (shift - 1) & 1); /* |q| <= 2^30 for shift >= 1 */
        /* at most as many bytes as values were read: out may be values itself */
        mask_put(&writer, ((uint32_t)q + mask_next(&reader, bits)) & mask_limit(bits), bits);
    }
    mask_end(&writer, out + len);
    pf_wipe(&reader, sizeof reader);
    return (pf_status)len;
}

pf_status pf_mask_unpack(uint32_t *values, size_t n, uint32_t bits, const uint8_t *data, size_t len) {
    size_t wanted = mask_length(n, bits);
    if (wanted == 0) {
        return PF_E_ARGUMENT;
    }
    uint32_t over = (uint32_t)(n * bits & 7u); /* bits used of the last byte; 0: all */
    if (len != wanted || (over != 0 && data[len - 1] >> over != 0)) {
        return PF_E_FRAME;
    }
    mask_reader reader;
    mask_open(&reader, NULL, data, len);
    for (size_t i = 0; i < n; i++) {
        values[i] = mask_next(&reader, bits);
    }
    return PF_OK;
}

pf_status pf_mask_sum(uint32_t *sum, size_t n, uint32_t bits, const uint8_t seed[32], uint32_t weight) {
    if (mask_length(n, bits) == 0) {
        return PF_E_ARGUMENT;
    }
    mask_reader reader;
    mask_open(&reader, seed, NULL, 0);
    for (size_t i = 0; i < n; i++) {
        sum[i] = (sum[i] + mask_next(&reader, bits) * weight) & mask_limit(bits); /* modulo 2^32, then 2^bits */
    }
    pf_wipe(&reader, sizeof reader);
    return PF_OK;
}

pf_status pf_mask_add(uint8_t *fields, size_t len, size_t n, uint32_t bits, const uint8_t seed[32], uint32_t minus) {
    if (mask_length(n, bits) == 0 || minus > 1) {
        return PF_E_ARGUMENT;
    }
    if (len != mask_length(n, bits)) {
        return PF_E_FRAME;
    }
    mask_reader packed;
    mask_reader mask;
    mask_open(&packed, NULL, fields, len);
    mask_open(&mask, seed, NULL, 0);
    mask_writer writer = {fields, 0, 0};
    for (size_t i = 0; i < n; i++) {
        /* the words that are written have all been read: the writer is behind by what is not a whole word */
        uint32_t added = (mask_next(&mask, bits) ^ (0u - minus)) + minus; /* modulo 2^32: the mask, or its negative */
        mask_put(&writer, (mask_next(&packed, bits) + added) & mask_limit(bits), bits);
    }
    mask_end(&writer, fields + len);
    pf_wipe(&mask, sizeof mask);
    return PF_OK;
}
