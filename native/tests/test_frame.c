/* Frames: known bytes, round trips, and every way of damaging one. */
#include "check.h"
#include "picofed.h"
#include "port.h"

#define ENCODED_MAX 2200u

/* The decoder sees a buffer of exactly this length, so that the address sanitizer watches both ends. */
static pf_status decode(const uint8_t *data, size_t len, uint8_t *payload) {
    uint8_t *exact = (uint8_t *)malloc(len == 0 ? 1 : len);
    memcpy(exact, data, len);
    pf_status status = pf_frame_decode(exact, len);
    if (status > 0) {
        memcpy(payload, exact, (size_t)status);
    }
    free(exact);
    return status;
}

static size_t encode(const uint8_t *payload, size_t len, uint8_t out[ENCODED_MAX]) {
    size_t bound = pf_frame_bound(len);
    CHECK(bound <= ENCODED_MAX);
    uint8_t *exact = (uint8_t *)malloc(bound);
    pf_status status = pf_frame_encode(exact, bound, payload, len);
    CHECK(status > 0 && (size_t)status <= bound);
    memcpy(out, exact, (size_t)status);
    free(exact);
    CHECK(out[0] == 0 && out[status - 1] == 0);
    for (pf_status i = 1; i < status - 1; i++) {
        CHECK(out[i] != 0 && out[i] != 3);
    }
    return (size_t)status;
}

static void check_round_trip(const uint8_t *payload, size_t len) {
    uint8_t out[ENCODED_MAX];
    uint8_t back[1024];
    size_t n = encode(payload, len, out);
    CHECK_EQ(decode(out + 1, n - 2, back), len);
    CHECK_BYTES(back, payload, len);
}

static void test_known_bytes(void) {
    uint8_t out[64];
    CHECK_EQ(pf_crc32(0, (const uint8_t *)"123456789", 9), 0xcbf43926u);
    CHECK_EQ(pf_crc32(pf_crc32(0, (const uint8_t *)"1234", 4), (const uint8_t *)"56789", 5), 0xcbf43926u);
    uint8_t payload[5] = {0x11, 0x00, 0x03, 0x1d, 0x00};
    uint8_t wanted[32] = {0, 2, 0x11, 0x1d, 0x23, 0x1d, 0x23, 0x1d, 0x3d};
    pf_status n = pf_frame_encode(out, sizeof out, payload, 5);
    CHECK(n > 9);
    CHECK_BYTES(out, wanted, 9); /* 02 11 | 03 03 1d | 05 crc, escaped */
    CHECK_EQ(out[9], 5);
    CHECK_EQ(pf_frame_encode(out, sizeof out, payload, 0), PF_E_ARGUMENT);
    CHECK_EQ(pf_frame_encode(out, sizeof out, payload, 1025), PF_E_ARGUMENT);
    CHECK_EQ(pf_frame_encode(out, pf_frame_bound(5) - 1, payload, 5), PF_E_MEMORY);
}

static void test_round_trips(void) {
    uint64_t random = check_seed();
    uint8_t payload[1024];
    static const uint8_t fills[] = {0x00, 0x01, 0x03, 0x1d, 0x23, 0xff};
    for (size_t len = 1; len <= 1024; len++) {
        for (size_t f = 0; f < sizeof fills; f++) {
            memset(payload, fills[f], len);
            check_round_trip(payload, len);
        }
        uint32_t range = 1 + check_below(&random, 256); /* small ranges: many zeros */
        for (size_t i = 0; i < len; i++) {
            payload[i] = (uint8_t)check_below(&random, range);
        }
        check_round_trip(payload, len);
    }
}

static void check_damage(const uint8_t *payload, size_t len) {
    uint8_t out[ENCODED_MAX];
    uint8_t bad[ENCODED_MAX];
    uint8_t back[1024];
    size_t n = encode(payload, len, out) - 2;
    const uint8_t *body = out + 1;
    for (size_t i = 0; i < n; i++) {
        memcpy(bad, body, n);
        for (uint32_t value = 0; value < 256; value++) { /* changed */
            bad[i] = (uint8_t)value;
            pf_status status = decode(bad, n, back);
            CHECK(value == body[i] ? status == (pf_status)len : status == PF_E_FRAME);
        }
        memcpy(bad, body, i); /* dropped */
        memcpy(bad + i, body + i + 1, n - i - 1);
        int same = decode(bad, n - 1, back) > 0;
        CHECK(!same);
        memcpy(bad, body, i + 1); /* doubled */
        memcpy(bad + i + 1, body + i, n - i);
        CHECK_EQ(decode(bad, n + 1, back), PF_E_FRAME);
        CHECK_EQ(decode(body, i, back), PF_E_FRAME); /* cut short */
        if (i + 1 < n && body[i] != body[i + 1]) {   /* swapped */
            memcpy(bad, body, n);
            bad[i] = body[i + 1];
            bad[i + 1] = body[i];
            CHECK_EQ(decode(bad, n, back), PF_E_FRAME);
        }
    }
}

static void test_every_damage_is_seen(void) {
    uint64_t random = check_seed();
    uint8_t payload[300];
    for (int round = 0; round < 12; round++) {
        size_t len = 1 + check_below(&random, round < 10 ? 60 : 300);
        uint32_t range = round % 3 == 0 ? 4 : round % 3 == 1 ? 32 : 256;
        for (size_t i = 0; i < len; i++) {
            payload[i] = (uint8_t)check_below(&random, range);
        }
        check_damage(payload, len);
    }
}

static void test_garbage_is_refused_within_bounds(void) {
    uint64_t random = check_seed();
    uint8_t data[ENCODED_MAX];
    uint8_t back[1024];
    for (int i = 0; i < 100000; i++) {
        size_t len = check_below(&random, i % 100 == 0 ? ENCODED_MAX : 40);
        uint32_t range = 1 + check_below(&random, 256);
        for (size_t n = 0; n < len; n++) {
            data[n] = (uint8_t)check_below(&random, range);
        }
        CHECK_EQ(decode(data, len, back), PF_E_FRAME); /* a wrong acceptance has probability 2^-32 */
    }
    CHECK_EQ(decode(data, 0, back), PF_E_FRAME);
}

static void test_escapes_are_not_optional(void) {
    uint8_t payload[3] = {0x11, 0x03, 0x12};
    uint8_t out[ENCODED_MAX];
    uint8_t back[1024];
    size_t n = encode(payload, 3, out) - 2;
    CHECK_EQ(decode(out + 1, n, back), 3);
    CHECK(out[3] == 0x1d && out[4] == 0x23);
    out[3] = 0x03; /* the byte itself, which a console would have taken for Ctrl-C */
    memmove(out + 4, out + 5, n - 4);
    CHECK_EQ(decode(out + 1, n - 1, back), PF_E_FRAME);
    encode(payload, 3, out);
    out[4] = 0x11 ^ 0x20; /* an escape of a byte that needs none */
    CHECK_EQ(decode(out + 1, n, back), PF_E_FRAME);
}

static void test_longer_than_a_payload_may_be(void) {
    uint8_t data[ENCODED_MAX];
    uint8_t back[1024];
    /* 1024 zeros, one other byte and a crc that needs no escape: well formed, but one byte too long */
    uint8_t payload[1025] = {0};
    uint8_t crc[4];
    int plain = 0;
    while (!plain) {
        payload[1024]++;
        pf_put_u32(crc, pf_crc32(0, payload, 1025));
        plain = payload[1024] > 0x1d && crc[0] > 0x1d && crc[1] > 0x1d && crc[2] > 0x1d && crc[3] > 0x1d;
    }
    memset(data, 1, 1024);
    data[1024] = 6;
    data[1025] = payload[1024];
    memcpy(data + 1026, crc, 4);
    CHECK_EQ(decode(data, 1030, back), PF_E_FRAME);
    uint8_t frame[ENCODED_MAX];
    size_t n = encode(payload, 1024, frame); /* the zeros alone pass */
    CHECK_EQ(decode(frame + 1, n - 2, back), 1024);
    memset(data, 1, sizeof data);
    CHECK_EQ(decode(data, pf_frame_bound(1024) + 1, back), PF_E_FRAME);
}

int main(void) {
    RUN(test_known_bytes);
    RUN(test_round_trips);
    RUN(test_every_damage_is_seen);
    RUN(test_garbage_is_refused_within_bounds);
    RUN(test_escapes_are_not_optional);
    RUN(test_longer_than_a_payload_may_be);
    return 0;
}
