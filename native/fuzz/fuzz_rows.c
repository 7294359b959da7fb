/* From slots to rows of records in one pass (SPEC 8, 9): what the passes make, window by window makes too. */
#include "fuzz.h"
#include "port.h"

#define SCRATCH 900u
#define HEAD 14u

static uint8_t *take(const uint8_t **data, size_t *size, size_t n) {
    uint8_t *copy = calloc(n + 1, 1);
    size_t there = n < *size ? n : *size;
    memcpy(copy, *data, there);
    *data += there;
    *size -= there;
    return copy;
}

/* Records one by one, from windows of a walk of its own; returns how many of them are in the rows. */
static uint32_t compare(const pf_front *front, const uint8_t *filters, size_t len, pf_walk walk, const pf_ring *ring,
    const uint8_t *slots, const int8_t *rows, const uint8_t *targets) {
    uint32_t size = pf_front_target_bytes(front);
    int16_t *samples = malloc(12 * front->window);
    int8_t *row = malloc(front->inputs);
    uint8_t *target = malloc(size);
    int8_t *scratch = malloc(SCRATCH);
    uint32_t made = 0;
    while (made < front->rows) {
        pf_status label = pf_windows_next(&walk, ring, ring->slots, slots, samples);
        REQUIRE(label >= 0 && label != PF_WALK_MORE);
        if ((front->target == PF_TARGET_LABEL || front->labels != 0) && (uint32_t)label >= front->labels) {
            continue;
        }
        REQUIRE(pf_front_record(front, filters, len, samples, row, target, scratch, SCRATCH) == PF_OK);
        target[0] = front->target == PF_TARGET_LABEL ? (uint8_t)label : target[0];
        REQUIRE(memcmp(row, rows + made * front->inputs, front->inputs) == 0);
        REQUIRE(memcmp(target, targets + made * size, size) == 0);
        made++;
    }
    free(scratch);
    free(target);
    free(row);
    free(samples);
    return made;
}

/* A front, a cut, a ring, filters, and slots, whose crc is made to fit where a byte says so. */
void fuzz_rows(const uint8_t *data, size_t size) {
    if (size < HEAD) {
        return;
    }
    pf_front front = {data[0], data[1], data[2], data[3], data[4], data[5] | (data[6] & 3u) << 8, data[7], 0};
    pf_ring ring = {data[8] == 255u ? 5u : PF_IMU_AXES, 1u + data[9] % 64u, 1u + data[10] % 12u, 0, 0, 0};
    uint32_t window = front.window + (data[8] == 254u);
    pf_walk walk = {window, window + data[8] % 16u, data[11] & 1u, 0, 0, 0, 0, 0, 0, 0, 0};
    uint8_t signs = data[12];
    size_t len = data[13];
    data += HEAD;
    size -= HEAD;
    len = len < size ? len : size;
    uint8_t *filters = take(&data, &size, len);
    uint32_t bytes = pf_slot_bytes(&ring);
    size_t there = size < bytes * ring.slots ? size : bytes * ring.slots;
    uint8_t *slots = take(&data, &size, bytes * ring.slots);
    for (uint32_t k = 0; (k + 1u) * bytes <= there; k++) {
        if (signs >> (k & 7u) & 1u) {
            pf_put_u32(slots + (k + 1u) * bytes - 4u, pf_crc32(0, slots + k * bytes, bytes - 4u));
        }
    }
    REQUIRE(pf_slots_check(&ring, 0, ring.slots, slots, there) >= 0);
    uint32_t target = pf_front_target_bytes(&front);
    int16_t *samples = malloc(12 * front.window + 1u);
    int8_t *rows = malloc(PF_ROWS * front.inputs + 1u);
    uint8_t *targets = malloc(PF_ROWS * target + 1u);
    int8_t *scratch = malloc(SCRATCH);
    pf_status status;
    do {
        pf_walk before = walk;
        front.rows = 0;
        status = pf_front_rows(
            &front, filters, len, &walk, &ring, ring.slots, slots, samples, rows, targets, scratch, SCRATCH);
        REQUIRE(front.rows <= PF_ROWS && (status == PF_OK) == (front.rows == PF_ROWS));
        REQUIRE(target != 0 || status == PF_E_ARGUMENT);
        if (target != 0 && front.rows != 0) {
            REQUIRE(compare(&front, filters, len, before, &ring, slots, rows, targets) == front.rows);
        }
    } while (status == PF_OK);
    free(scratch);
    free(targets);
    free(rows);
    free(samples);
    free(slots);
    free(filters);
}
