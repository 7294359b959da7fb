/* Masked fields (SPEC 10.4, 11.6) and shares of a secret (SPEC 11.5). */
#include "fuzz.h"

#define FIELDS 64u

/* Packed fields: what is taken is packed as the format says, and masks that go on come off again. */
static void fields(uint32_t bits, size_t n, const uint8_t *data, size_t size) {
    uint32_t values[FIELDS];
    pf_status status = pf_mask_unpack(values, n, bits, data, size);
    REQUIRE(status == PF_OK || status == PF_E_FRAME || status == PF_E_ARGUMENT);
    if (status != PF_OK) {
        return;
    }
    REQUIRE(size == (n * bits + 7) / 8);
    uint8_t *fields = malloc(size);
    memcpy(fields, data, size);
    uint32_t masks[FIELDS] = {0};
    REQUIRE(pf_mask_sum(masks, n, bits, key, 1) == PF_OK);
    REQUIRE(pf_mask_add(fields, size, n, bits, key, 0) == PF_OK);
    uint32_t masked[FIELDS];
    REQUIRE(pf_mask_unpack(masked, n, bits, fields, size) == PF_OK);
    for (size_t i = 0; i < n; i++) {
        uint32_t within = bits == 32u ? 0xffffffffu : ((uint32_t)1 << bits) - 1u;
        REQUIRE(values[i] <= within && masked[i] == ((values[i] + masks[i]) & within));
    }
    REQUIRE(pf_mask_add(fields, size, n, bits, key, 1) == PF_OK && memcmp(fields, data, size) == 0);
    free(fields);
    uint32_t released[FIELDS]; /* and what it is encoded to, in the same place */
    for (size_t i = 0; i < n; i++) {
        released[i] = values[i] << (32u - bits);
    }
    status = pf_mask_encode((uint8_t *)released, sizeof released, released, n, 32u - bits, bits, key);
    REQUIRE(status == (pf_status)size && pf_mask_unpack(masks, n, bits, (uint8_t *)released, size) == PF_OK);
    REQUIRE(memcmp(masks, masked, 4 * n) == 0);
}

/* Any `threshold` shares give the secret back; shares at points that are not different, or 0, are refused. */
static void shares(const uint8_t *data, size_t size) {
    uint32_t threshold = 1u + data[0] % 8u;
    if (size < 1 + threshold + PF_SHARE * threshold) {
        return;
    }
    const uint8_t *points = data + 1;
    const uint8_t *secret = points + threshold;
    uint8_t given[8 * PF_SHARE];
    uint32_t good = 1;
    for (uint32_t i = 0; i < threshold; i++) {
        good &= points[i] != 0 && memchr(points, points[i], i) == NULL;
        pf_status status = pf_shamir_share(given + PF_SHARE * i, secret, secret + PF_SHARE, threshold, points[i]);
        REQUIRE(status == (points[i] != 0 ? PF_OK : PF_E_ARGUMENT));
    }
    uint8_t back[PF_SHARE];
    pf_status status = pf_shamir_combine(back, points, good ? given : secret, threshold);
    REQUIRE(status == (good ? PF_OK : PF_E_ARGUMENT));
    REQUIRE(!good || memcmp(back, secret, PF_SHARE) == 0);
}

void fuzz_mask(const uint8_t *data, size_t size) {
    if (size < 3) {
        return;
    }
    if (data[0] & 1u) {
        shares(data + 1, size - 1);
    } else {
        fields(data[1] % 40u, data[2] % (FIELDS + 1u), data + 3, size - 3);
    }
}
