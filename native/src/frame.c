/* frame.c: payload | CRC-32 -> COBS -> bytes 0x03 and 0x1d escaped -> 0x00 on both sides (SPEC 6.1).
 *
 * COBS (Cheshire and Baker, IEEE/ACM Transactions on Networking 7:2, 1999): a code byte n stands for the n - 1 bytes
 * that follow, none of them 0, and a 0 behind them unless n = 255 or the data ends. A full block (n = 255) that ends
 * the data is not followed by another code. */
#include "picofed.h"
#include "port.h"

#define FRAME_PAYLOAD_MAX 1024u
#define FRAME_ESCAPE 0x1du
#define FRAME_INTERRUPT 0x03u
#define FRAME_FLIP 0x20u

size_t pf_frame_bound(size_t len) {
    /* COBS adds one byte per 254 begun (and one for the empty rest); escaping doubles at most; two delimiters */
    size_t stuffed = len + 4;
    for (size_t rest = len + 4;; rest -= 254) {
        stuffed++;
        if (rest <= 254) {
            return 2 * stuffed + 2;
        }
    }
}

static size_t frame_put(uint8_t *out, size_t at, uint8_t byte) {
    if (byte == FRAME_ESCAPE || byte == FRAME_INTERRUPT) {
        out[at++] = FRAME_ESCAPE;
        byte ^= FRAME_FLIP;
    }
    out[at++] = byte;
    return at;
}

/* Byte i of payload | crc. */
static uint8_t frame_source(const uint8_t *payload, size_t len, const uint8_t crc[4], size_t i) {
    return i < len ? payload[i] : crc[i - len];
}

pf_status pf_frame_encode(uint8_t *out, size_t out_len, const uint8_t *payload, size_t len) {
    if (len < 1 || len > FRAME_PAYLOAD_MAX) {
        return PF_E_ARGUMENT;
    }
    if (out_len < pf_frame_bound(len)) {
        return PF_E_MEMORY;
    }
    uint8_t crc[4];
    pf_put_u32(crc, pf_crc32(0, payload, len));
    size_t total = len + 4;
    size_t at = 0;
    size_t start = 0;
    int more = 1;
    out[at++] = 0;
    while (more) {
        size_t end = start;
        while (end < total && end - start < 254 && frame_source(payload, len, crc, end) != 0) {
            end++;
        }
        at = frame_put(out, at, (uint8_t)(end - start + 1));
        for (size_t i = start; i < end; i++) {
            at = frame_put(out, at, frame_source(payload, len, crc, i));
        }
        /* a zero is part of its block, also one that ends the data: then an empty block follows */
        more = end < total;
        start = end - start < 254 ? end + 1 : end;
    }
    out[at++] = 0;
    return (pf_status)at; /* <= 2 * (1028 + 5) + 2 */
}

/* Undo the escaping in place; returns the length. */
static pf_status frame_unescape(uint8_t *data, size_t len) {
    size_t at = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = data[i];
        if (byte == FRAME_INTERRUPT || byte == 0) {
            return PF_E_FRAME;
        }
        if (byte == FRAME_ESCAPE) {
            i++;
            if (i == len || (data[i] != (FRAME_ESCAPE ^ FRAME_FLIP) && data[i] != (FRAME_INTERRUPT ^ FRAME_FLIP))) {
                return PF_E_FRAME;
            }
            byte = data[i] ^ FRAME_FLIP;
        }
        data[at++] = byte; /* at <= i */
    }
    return (pf_status)at;
}

/* Undo COBS in place. data has no zeros. */
static pf_status frame_unstuff(uint8_t *data, size_t len) {
    size_t at = 0;
    size_t i = 0;
    while (i < len) {
        size_t count = (size_t)data[i++] - 1; /* >= 0, as there are no zeros */
        if (count > len - i) {
            return PF_E_FRAME;
        }
        for (size_t end = i + count; i < end; i++) {
            data[at++] = data[i]; /* at < i: a code byte was taken and nothing given for it yet */
        }
        if (count < 254 && i < len) {
            data[at++] = 0;
        }
    }
    return (pf_status)at;
}

pf_status pf_frame_decode(uint8_t *data, size_t len) {
    if (len > pf_frame_bound(FRAME_PAYLOAD_MAX)) {
        return PF_E_FRAME;
    }
    pf_status status = frame_unescape(data, len);
    if (status > 0) {
        status = frame_unstuff(data, (size_t)status);
    }
    if (status < 5 || status > (pf_status)FRAME_PAYLOAD_MAX + 4) {
        return PF_E_FRAME;
    }
    size_t payload = (size_t)status - 4;
    return pf_crc32(0, data, payload) == pf_get_u32(data + payload) ? (pf_status)payload : PF_E_FRAME;
}
