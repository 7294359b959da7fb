/* mask.c: the payload of a masked update: fields of so many bits, hidden by a keystream until they are summed
 * (SPEC 10.4). Nothing branches on a value or on the keystream. */
#include "picofed.h"
#include "port.h"

#define MASK_SHIFT_MAX (32u - PF_MASK_BITS_MIN)
#define MASK_WORDS 64u /* of keystream at once: what a call of ChaCha20 costs beside its blocks is shared by four */

/* ChaCha20's keystream, read as little-endian words. */
typedef struct {
    const uint8_t *key;
    const uint8_t *place; /* of the next word */
    uint32_t counter;
    uint8_t bytes[4 * MASK_WORDS];
} mask_stream;

static PF_NOINLINE void mask_refill(mask_stream *stream) {
    uint8_t nonce[12];
    pf_zero(nonce, sizeof nonce);
    stream->counter = pf_chacha20(stream->bytes, NULL, 4 * MASK_WORDS, stream->key, nonce, stream->counter);
    stream->place = stream->bytes;
}

static void mask_open(mask_stream *stream, const uint8_t *key) {
    stream->key = key;
    stream->counter = 0;
    mask_refill(stream);
}

/* A call would cost as much again. */
PF_ALWAYS_INLINE uint32_t mask_word(mask_stream *stream) {
    if (stream->place == stream->bytes + sizeof stream->bytes) {
        mask_refill(stream);
    }
    const uint8_t *place = stream->place;
    stream->place = place + 4;
#ifdef PF_WORDS
    return *(const pf_word *)(const void *)place; /* behind words: aligned */
#else
    return pf_get_u32(place);
#endif
}

static uint32_t mask_limit(uint32_t bits) {
    return 0xffffffffu >> (32 - bits); /* bits is PF_MASK_BITS_MIN..32 */
}

/* Words from bytes, the last ones filled up with zeros. */
typedef struct {
    const uint8_t *data;
    const uint8_t *end;
} mask_bytes;

static uint32_t mask_read(mask_bytes *from) {
    uint32_t word = 0;
    if (from->end - from->data >= 4) {
        word = pf_get_u32(from->data);
        from->data += 4;
        return word;
    }
    for (uint32_t i = 0; from->data < from->end; i += 8) { /* i < 24 */
        word |= (uint32_t)*from->data++ << i;
    }
    return word;
}

/* The field that begins at bit `at` of `word` and goes on in `next`; above it, anything. at < 32. */
PF_INLINE uint32_t mask_field(uint32_t word, uint32_t next, uint32_t at) {
    return word >> at | next << 1 << (31 - at);
}

/* Fields to words, the lowest bit first: `packed` ends with those so far, 32 - left bits, and begins with anything.
 * Every run of fields of so many bits is at the same bit of a word: what is read, too, has `left` bits of its word yet
 * to come. 1 <= left <= 32. */
typedef struct {
    uint8_t *out;
    uint32_t packed;
    uint32_t left;
} mask_writer;

/* Does the next field fill the word, so that the one behind is needed? */
PF_ALWAYS_INLINE int mask_fills(const mask_writer *writer, uint32_t bits) {
    return writer->left <= bits;
}

/* What a field that fills the word has in the one behind. */
PF_ALWAYS_INLINE uint32_t mask_upper(const mask_writer *writer, uint32_t next) {
    return next << (writer->left - 1) << 1; /* left - 1 < 32 */
}

/* What of `next` is to come, behind a field of that many bits. */
PF_ALWAYS_INLINE uint32_t mask_behind(const mask_writer *writer, uint32_t next, uint32_t bits) {
    return next >> (bits - writer->left); /* 1 <= left <= bits <= 32 */
}

/* A field that does not fill the word, so of fewer than 32 bits; above these it may have anything. */
PF_ALWAYS_INLINE void mask_put(mask_writer *writer, uint32_t field, uint32_t bits) {
    writer->packed = writer->packed >> bits | field << (32 - bits);
    writer->left -= bits;
}

/* One that fills it. */
PF_ALWAYS_INLINE void mask_fill(mask_writer *writer, uint32_t field, uint32_t bits) {
    pf_put_u32(writer->out, writer->packed >> (writer->left - 1) >> 1 | field << (32 - writer->left));
    writer->out += 4;
    writer->packed = field << (32 - bits); /* its last bits are what did not fit */
    writer->left += 32 - bits;             /* 1 <= left <= bits before: 33 - bits <= left <= 32 */
}

static void mask_end(mask_writer *writer, const uint8_t *end) {
    uint32_t word = writer->packed >> (writer->left - 1) >> 1;
    while (writer->out < end) {
        *writer->out++ = (uint8_t)(word & 0xffu);
        word >>= 8;
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
    mask_stream stream;
    mask_open(&stream, seed);
    mask_writer writer = {out, 0, 32};
    uint32_t word = mask_word(&stream);
    uint32_t half = (uint32_t)1 << shift >> 1;
    const uint32_t *end = values + n;
    do {
        uint32_t value = *values++;
        PF_OPAQUE(values); /* keeps it in a register */
        /* the value over 2^shift, rounded, and its mask, modulo 2^bits: as shift + bits <= 32, what the logical shift
         * makes of the sign lies above, and so does a carry out of 32 bits */
        uint32_t field = ((value + half) >> shift) + word;
        if (!mask_fills(&writer, bits)) {
            mask_put(&writer, field, bits);
            word >>= bits;
        } else {
            uint32_t next = mask_word(&stream);
            field += mask_upper(&writer, next);
            word = mask_behind(&writer, next, bits);
            /* at most as many bytes as values were read: out may be values itself */
            mask_fill(&writer, field, bits);
        }
    } while (values != end);
    mask_end(&writer, out + len);
    pf_wipe(&stream, sizeof stream);
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
    mask_bytes from = {data, data + len};
    uint32_t limit = mask_limit(bits);
    uint32_t word = mask_read(&from);
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t next = at + bits >= 32 ? mask_read(&from) : word;
        values[i] = mask_field(word, next, at) & limit;
        word = next;
        at = (at + bits) & 31u;
    }
    return PF_OK;
}

pf_status pf_mask_sum(uint32_t *sum, size_t n, uint32_t bits, const uint8_t seed[32], uint32_t weight) {
    if (mask_length(n, bits) == 0) {
        return PF_E_ARGUMENT;
    }
    mask_stream stream;
    mask_open(&stream, seed);
    uint32_t limit = mask_limit(bits);
    uint32_t word = mask_word(&stream);
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t next = at + bits >= 32 ? mask_word(&stream) : word;
        sum[i] = (sum[i] + mask_field(word, next, at) * weight) & limit; /* modulo 2^32, then 2^bits */
        word = next;
        at = (at + bits) & 31u;
    }
    pf_wipe(&stream, sizeof stream);
    return PF_OK;
}

pf_status pf_mask_add(uint8_t *fields, size_t len, size_t n, uint32_t bits, const uint8_t seed[32], uint32_t minus) {
    if (mask_length(n, bits) == 0 || minus > 1) {
        return PF_E_ARGUMENT;
    }
    if (len != mask_length(n, bits)) {
        return PF_E_FRAME;
    }
    mask_stream stream;
    mask_open(&stream, seed);
    mask_bytes from = {fields, fields + len};
    mask_writer writer = {fields, 0, 32};
    uint32_t word = mask_word(&stream);
    uint32_t packed = mask_read(&from);
    do {
        uint32_t field = packed + ((word ^ (0u - minus)) + minus); /* with the mask, or its negative */
        if (!mask_fills(&writer, bits)) {
            mask_put(&writer, field, bits);
            word >>= bits;
            packed >>= bits;
        } else {
            /* a word is written when it and the next one have been read */
            uint32_t next = mask_word(&stream);
            uint32_t behind = mask_read(&from);
            field += mask_upper(&writer, behind) + ((mask_upper(&writer, next) ^ (0u - minus)) + minus);
            word = mask_behind(&writer, next, bits);
            packed = mask_behind(&writer, behind, bits);
            mask_fill(&writer, field, bits);
        }
    } while (--n != 0);
    mask_end(&writer, fields + len);
    pf_wipe(&stream, sizeof stream);
    return PF_OK;
}
