/* Slots and windows of the record store against SPEC 9 by hand; random stores are compared in tests/native/agreement.
 */
#include "check.h"
#include "picofed.h"
#include "port.h"

#define CHANNELS 2u
#define SAMPLES 4u
#define SIZE 32u
#define SLOTS 8u

static const pf_ring empty = {CHANNELS, SAMPLES, SLOTS, 0, 0, 0};

/* A slot whose samples say which session they are of, and which of it. */
static void put(uint8_t *slot, uint32_t seq, uint32_t session, uint32_t index, uint32_t valid, uint32_t label) {
    memset(slot, 0, SIZE);
    pf_put_u32(slot, seq);
    pf_put_u32(slot + 4, session);
    pf_put_u16(slot + 8, index);
    slot[10] = (uint8_t)valid;
    slot[11] = (uint8_t)label;
    for (uint32_t t = 0; t < valid; t++) {
        pf_put_u16(slot + 12 + 4 * t, session);
        pf_put_u16(slot + 14 + 4 * t, SAMPLES * index + t);
    }
    pf_put_u32(slot + SIZE - 4, pf_crc32(0, slot, SIZE - 4));
}

/* Slots 1 to 3, of which only the first and the third have their bit. */
static void test_a_crc_is_checked_once(void) {
    uint8_t slots[3 * SIZE];
    uint8_t checked[2] = {0x01, 0xff}; /* what is said of others stays */
    pf_ring ring = empty;
    for (uint32_t k = 0; k < 3; k++) {
        put(slots + k * SIZE, 17 + k, 5, k, 4, 1);
    }
    CHECK_EQ(pf_slots_check_once(&ring, 1, 3, slots, sizeof slots, checked), 3);
    CHECK_EQ(checked[0], 0x0f);
    for (uint32_t k = 0; k < 3; k++) {
        slots[k * SIZE + 13] ^= 1; /* of a sample */
    }
    checked[0] = 0x0b;
    CHECK_EQ(pf_slots_check_once(&ring, 1, 3, slots, sizeof slots, checked), 2);
    CHECK_EQ(slots[10], 4);
    CHECK_EQ(slots[SIZE + 10], 0);
    CHECK_EQ(slots[2 * SIZE + 10], 4);
    CHECK_EQ(checked[0], 0x0b);
    /* what is at the wrong place does not exist, whatever its bit says */
    checked[0] = 0x0f;
    put(slots, 17, 5, 0, 4, 1);
    CHECK_EQ(pf_slots_check_once(&ring, 2, 1, slots, SIZE, checked), 0);
    CHECK_EQ(checked[0], 0x0b);
    CHECK_EQ(checked[1], 0xff);
    put(slots, 17, 5, 0, 4, 1);
    CHECK_EQ(pf_slots_check_once(&ring, 1, 3, slots, sizeof slots, NULL), 1);
}

static pf_walk walk_of(uint32_t window, uint32_t stride, uint32_t seq) {
    pf_walk walk = {window, stride, 0, seq, 0, 0, 0, 0, 0, 0, 0};
    return walk;
}

/* The next window of n slots in a buffer of exactly their size is this one. */
static void expect(pf_walk *walk, uint32_t n, const uint8_t *slots, int label, int session, int first) {
    uint8_t *exact = malloc(SIZE * n);
    static int16_t out[CHANNELS * 5]; /* a window may come in parts */
    memcpy(exact, slots, SIZE * n);
    CHECK_EQ(pf_windows_next(walk, &empty, n, exact, out), label);
    for (uint32_t t = 0; label != PF_WALK_MORE && t < walk->window; t++) {
        CHECK_EQ(out[2 * t], session);
        CHECK_EQ(out[2 * t + 1], first + (int)t);
    }
    free(exact);
}

static void test_what_a_slot_is(void) {
    uint8_t slots[3 * SIZE];
    pf_ring ring = empty;
    put(slots, 17, 5, 0, 4, 1);
    put(slots + SIZE, 18, 6, 0, 1, 2);
    put(slots + 2 * SIZE, 11, 3, 0, 4, 1);
    CHECK_EQ(pf_slots_check(&ring, 1, 3, slots, sizeof slots), 3);
    CHECK_EQ(ring.count, 3);
    CHECK_EQ(ring.next, 19);
    CHECK_EQ(ring.session, 6);
    CHECK_EQ(slots[10], 4);
    /* at another place than seq says; what was not read */
    put(slots, 16, 5, 0, 4, 1);
    CHECK_EQ(pf_slots_check(&ring, 1, 3, slots, 2 * SIZE + SIZE - 1), 1);
    CHECK_EQ(slots[10], 0);
    CHECK_EQ(slots[SIZE + 10], 1);
    CHECK_EQ(slots[2 * SIZE + 10], 0);
    /* seq below the place, no seq, no samples, too many, each with its crc */
    const uint32_t wrong[4][3] = {{1, 2, 4}, {0xffffffff, 7, 4}, {1, 1, 0}, {1, 1, 5}};
    for (int i = 0; i < 4; i++) {
        memset(slots, 0, SIZE);
        pf_put_u32(slots, wrong[i][0]);
        slots[10] = (uint8_t)wrong[i][2];
        pf_put_u32(slots + SIZE - 4, pf_crc32(0, slots, SIZE - 4));
        CHECK_EQ(pf_slots_check(&ring, wrong[i][1], 1, slots, SIZE), 0);
        CHECK_EQ(slots[10], 0);
    }
    /* every bit counts */
    for (uint32_t bit = 0; bit < 8 * SIZE; bit++) {
        put(slots, 4, 1, 2, 3, 4);
        slots[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK_EQ(pf_slots_check(&ring, 4, 1, slots, SIZE), 0);
    }
}

static void test_windows_across_slots(void) {
    uint8_t slots[5 * SIZE];
    put(slots, 3, 7, 0, 4, 9);
    put(slots + SIZE, 4, 7, 1, 4, 9);
    put(slots + 2 * SIZE, 5, 7, 2, 4, 8);
    put(slots + 3 * SIZE, 6, 7, 3, 4, 8);
    put(slots + 4 * SIZE, 7, 7, 4, 2, 8);
    pf_walk walk = walk_of(5, 6, 3);
    expect(&walk, 5, slots, 9, 7, 0);
    /* 6..10 has two labels */
    expect(&walk, 5, slots, 8, 7, 12);
    expect(&walk, 5, slots, PF_WALK_MORE, 0, 0);
    CHECK_EQ(walk.seq, 8);
    /* the same, a slot at a time */
    walk = walk_of(5, 6, 3);
    expect(&walk, 1, slots, PF_WALK_MORE, 0, 0);
    walk.place = 0;
    expect(&walk, 1, slots + SIZE, 9, 7, 0);
    expect(&walk, 1, slots + SIZE, PF_WALK_MORE, 0, 0);
    walk.place = 0;
    expect(&walk, 3, slots + 2 * SIZE, 8, 7, 12);
}

static void test_a_slot_that_is_gone_meanwhile(void) {
    uint8_t slots[3 * SIZE];
    put(slots, 3, 7, 0, 4, 9);
    put(slots + SIZE, 4, 7, 1, 4, 9);
    put(slots + 2 * SIZE, 5, 7, 2, 4, 9);
    pf_walk walk = walk_of(2, 2, 3);
    expect(&walk, 3, slots, 9, 7, 0);
    put(slots, 11, 8, 0, 4, 1);
    walk.place = 0;
    /* 2..3 went with it */
    expect(&walk, 3, slots, 9, 7, 4);
    /* one that is still there goes on where it was */
    walk.place = 0;
    expect(&walk, 2, slots + SIZE, 9, 7, 6);
    expect(&walk, 2, slots + SIZE, 9, 7, 8);
}

static void test_labels(void) {
    uint8_t slots[2 * SIZE];
    put(slots, 0, 1, 0, 4, 255);
    put(slots + SIZE, 1, 2, 0, 4, 254);
    pf_walk walk = walk_of(4, 4, 0);
    expect(&walk, 2, slots, 254, 2, 0);
    walk = walk_of(4, 4, 0);
    walk.unlabelled = 1;
    expect(&walk, 2, slots, 255, 1, 0);
    expect(&walk, 2, slots, 254, 2, 0);
}

static void test_refusals(void) {
    uint8_t slots[SIZE] = {0};
    int16_t out[16];
    pf_ring ring = empty;
    CHECK_EQ(pf_slot_bytes(&ring), SIZE);
    CHECK_EQ(pf_slots_check(&ring, SLOTS, 1, slots, SIZE), PF_E_ARGUMENT);
    CHECK_EQ(pf_slots_check(&ring, 2, SLOTS - 1, slots, SIZE), PF_E_ARGUMENT);
    pf_walk walk = walk_of(4, 4, 0);
    for (int i = 0; i < 6; i++) {
        pf_ring other = empty;
        uint32_t *words[3] = {&other.channels, &other.samples, &other.slots};
        *words[i % 3] = i < 3 ? 0 : 0x80000000u;
        CHECK_EQ(pf_slot_bytes(&other), 0);
        CHECK_EQ(pf_slots_check(&other, 0, 0, slots, SIZE), PF_E_ARGUMENT);
        CHECK_EQ(pf_windows_next(&walk, &other, 0, slots, out), PF_E_ARGUMENT);
    }
    const uint32_t wrong[4][4] = {{0, 4, 0, 0}, {5, 4, 0, 0}, {4, 65536, 0, 0}, {4, 4, 4, 0}};
    for (int i = 0; i < 4; i++) {
        walk = walk_of(wrong[i][0], wrong[i][1], 0);
        walk.have = wrong[i][2];
        CHECK_EQ(pf_windows_next(&walk, &ring, 1, slots, out), PF_E_ARGUMENT);
    }
    walk = walk_of(4, 4, 0);
    walk.place = 2;
    CHECK_EQ(pf_windows_next(&walk, &ring, 1, slots, out), PF_E_ARGUMENT);
}

int main(void) {
    RUN(test_what_a_slot_is);
    RUN(test_a_crc_is_checked_once);
    RUN(test_windows_across_slots);
    RUN(test_a_slot_that_is_gone_meanwhile);
    RUN(test_labels);
    RUN(test_refusals);
    return 0;
}
