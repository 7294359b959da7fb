/* records.c: which slots of the record store exist, and the windows that lie in them (SPEC 9). The file is the
 * caller's: it hands over as many slots at a time as it has room for. */
#include "picofed.h"
#include "armv6m.h"
#include "port.h"

#define SLOT_HEAD 12u            /* bytes before a slot's samples; its crc32 comes behind them */
#define SLOT_VALID 10u           /* the byte that says how many samples count; 0: no slot */
#define SLOT_BLANK 0xffffffffu   /* seq of no slot */
#define SLOT_RESIDUE 0x2144df1cu /* crc32 of anything with its own crc32 behind it */
#define SLOT_NO_LABEL 255u
#define WALK_MIXED 256u /* beside the label of a window: another one was seen */
#define WALK_LONGEST 65535u

uint32_t pf_slot_bytes(const pf_ring *ring) {
    if (ring->channels - 1u >= 255u || ring->samples - 1u >= 255u || ring->slots - 1u >= 0x7fffffffu) {
        return 0;
    }
    return SLOT_HEAD + 2u * ring->channels * ring->samples + 4u; /* <= 2 * 255^2 + 16 < 2^17 */
}

pf_status pf_slots_check(pf_ring *ring, uint32_t number, uint32_t n, uint8_t *data, size_t len) {
    return pf_slots_check_once(ring, number, n, data, len, NULL);
}

pf_status pf_slots_check_once(pf_ring *ring, uint32_t number, uint32_t n, uint8_t *data, size_t len, uint8_t *checked) {
    uint32_t size = pf_slot_bytes(ring);
    if (size == 0 || number >= ring->slots || n > ring->slots - number) {
        return PF_E_ARGUMENT;
    }
    uint32_t laps = 0; /* a known multiple of ring->slots: neighbours mostly have the same seq - number */
    pf_status found = 0;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t exists = 0;
        if (len >= size) {
            len -= size;
            uint32_t seq = pf_get_u32(data);
            uint32_t ahead = seq - number;
            if (seq != SLOT_BLANK && seq >= number && data[SLOT_VALID] - 1u < ring->samples) {
                /* quotient * slots <= ahead < 2^32 */
                exists = ahead == laps || pf_divide(ahead, ring->slots) * ring->slots == ahead;
            }
            uint32_t bit = 1u << (number & 7u);
            uint32_t known = checked == NULL ? 0 : checked[number >> 3] & bit;
            exists = exists != 0 && (known != 0 || pf_crc32(0, data, size) == SLOT_RESIDUE);
            if (checked != NULL) {
                checked[number >> 3] = (uint8_t)((checked[number >> 3] & ~bit) | (exists != 0 ? bit : 0));
            }
            if (exists != 0) {
                laps = ahead;
                found++; /* <= n < 2^31 */
                ring->count++;
                if (seq >= ring->next) {
                    ring->next = seq + 1u; /* seq < 2^32 - 1 */
                    ring->session = pf_get_u32(data + 4);
                }
            }
        } else {
            len = 0;
        }
        if (exists == 0) {
            data[SLOT_VALID] = 0;
        }
        data += size;
        number++;
    }
    return found;
}

#ifdef PF_KERNELS_THUMB
/* From `in` up to `end`, 16 bytes at a time; both aligned to 4. */
PF_NAKED static void records_copy_words(
    int16_t *out PF_UNUSED, const int16_t *in PF_UNUSED, const int16_t *end PF_UNUSED) {
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r6, lr}\n"
                     "b 2f\n"
                     "1:\n ldmia r1!, {r3-r6}\n stmia r0!, {r3-r6}\n"
                     "2:\n cmp r1, r2\n bne 1b\n"
                     "pop {r4-r6, pc}\n" PF_CLOBBERS);
}
#elif defined(PF_WORDS)
static void records_copy_words(int16_t *out, const int16_t *in, const int16_t *end) {
    pf_word *to = (pf_word *)(void *)out;
    for (const pf_word *from = (const pf_word *)(const void *)in; (const void *)from != (const void *)end;) {
        *to++ = *from++;
        PF_OPAQUE(from);
    }
}
#endif

static void records_copy(int16_t *out, const int16_t *in, uint32_t n) {
#ifdef PF_WORDS
    if ((((uintptr_t)out | (uintptr_t)in) & 3u) == 0) {
        uint32_t whole = n & ~7u;
        records_copy_words(out, in, in + whole);
        in += whole;
        out += whole;
        n -= whole;
    }
#endif
    for (const int16_t *end = in + n; in != end;) {
        *out++ = *in++;
        PF_OPAQUE(in);
    }
}

/* The first sample of the next slot's windows: a multiple of the stride, in that slot or behind it. */
static void walk_begin(pf_walk *walk, uint32_t first) {
    uint32_t before = pf_divide(first + walk->stride - 1u, walk->stride); /* first < 2^24, stride < 2^16 */
    walk->start = before * walk->stride;                                  /* < first + stride < 2^25 */
    walk->have = 0;
}

pf_status pf_windows_next(pf_walk *walk, const pf_ring *ring, uint32_t n, const uint8_t *data, int16_t *out) {
    uint32_t size = pf_slot_bytes(ring);
    uint32_t channels = ring->channels;
    if (size == 0 || walk->window == 0 || walk->window > walk->stride || walk->stride > WALK_LONGEST ||
        walk->have >= walk->window || walk->place > n) {
        return PF_E_ARGUMENT;
    }
    for (data += (size_t)size * walk->place; walk->place < n; data += size) {
        uint32_t valid = data[SLOT_VALID];
        if (valid == 0 || valid > ring->samples || pf_get_u32(data) != walk->seq) {
            walk->behind = 0;
            valid = 0;
        }
        uint32_t index = pf_get_u16(data + 8);
        uint32_t first = index * ring->samples; /* < 2^16 * 2^8 */
        if (valid != 0 && walk->within == 0) {
            uint32_t session = pf_get_u32(data + 4);
            if (walk->behind != index + 1u || walk->session != session) {
                walk->session = session;
                walk_begin(walk, first);
            }
            walk->behind = valid == ring->samples ? index + 2u : 0;
            walk->within = 1;
        }
        /* start + have >= first in what was just begun, and stays so: a slot's samples are used up or skipped. Slots
         * that are not what they were cannot lead outside of one. */
        while (valid != 0 && walk->start + walk->have - first < valid) {
            if (walk->have == 0) {
                walk->label = data[SLOT_VALID + 1u];
            } else if (walk->label != data[SLOT_VALID + 1u]) {
                walk->label |= WALK_MIXED;
            }
            uint32_t at = walk->start + walk->have - first;
            uint32_t missing = walk->window - walk->have;
            uint32_t count = valid - at < missing ? valid - at : missing;
            /* have + count <= window < 2^16, at + count <= valid < 2^8; channels < 2^8 */
            records_copy(out + walk->have * channels, (const int16_t *)(const void *)(data + SLOT_HEAD) + at * channels,
                count * channels);
            walk->have += count;
            if (walk->have == walk->window) {
                uint32_t label = walk->label;
                walk->have = 0;
                walk->start += walk->stride; /* < 2^25 + 2^16 */
                if (label < SLOT_NO_LABEL || (label == SLOT_NO_LABEL && walk->unlabelled != 0)) {
                    return (pf_status)label;
                }
            }
        }
        walk->within = 0;
        walk->place++;
        walk->seq++;
    }
    return PF_WALK_MORE;
}
