/* front.c: what a job makes of the windows of the record store: inputs of its model, and targets (SPEC 8). */
#include "picofed.h"
#include "port.h"

#define FRONT_LAYERS 4u
#define FRONT_LAYER_HEAD 5u /* bytes of a layer of convolution before its weights */

/* Blocks of a window that the inputs are made of, and those behind them; 0 where the numbers do not go together. */
static uint32_t front_blocks(const pf_front *front) {
    if (front->window < PF_WINDOW_MIN || front->window > PF_WINDOW_MAX || front->block - 1u >= front->window) {
        return 0;
    }
    uint32_t blocks = pf_divide(front->window, front->block);
    return blocks * front->block == front->window ? blocks : 0; /* blocks * block <= window */
}

/* Bytes of a target, 0 where the numbers do not go together; blocks: of a window, where there are any. */
static uint32_t front_check(const pf_front *front, uint32_t *blocks) {
    uint32_t inputs = front->inputs;
    uint32_t target = front->target;
    if (inputs - 1u >= PF_WIDTH_MAX || target > PF_TARGET_SELF || (front->horizon != 0) != (target == PF_TARGET_NEXT)) {
        return 0;
    }
    if (front->features == PF_FRONT_IMU45) {
        if (front->block != 0 || front->horizon != 0 || inputs != PF_IMU_FEATURES) {
            return 0;
        }
    } else {
        *blocks = front_blocks(front);
        if (front->features > PF_FRONT_CONVOLUTION || front->horizon >= *blocks) {
            return 0;
        }
        /* blocks <= 128 */
        if (front->features == PF_FRONT_BLOCKS ? inputs != PF_IMU_AXES * (*blocks - front->horizon) : target != 0) {
            return 0;
        }
    }
    /* at most 2 * 1023 */
    return target == PF_TARGET_LABEL ? 1u : 2u * (target == PF_TARGET_SELF ? inputs : PF_IMU_AXES * front->horizon);
}

uint32_t pf_front_target_bytes(const pf_front *front) {
    uint32_t blocks;
    return front_check(front, &blocks);
}

/* The layers one after the other, from the steps x 6 activations that scratch begins with; the last one's outputs are
 * the inputs of the model. */
static pf_status front_convolve(const pf_front *front, const uint8_t *filters, size_t len, uint32_t steps, int8_t *row,
    int8_t *scratch, size_t scratch_len) {
    uint32_t channels = PF_IMU_AXES;
    size_t used = (size_t)PF_IMU_AXES * steps; /* of scratch, <= scratch_len */
    const int8_t *values = scratch;
    for (uint32_t layer = 0; layer < FRONT_LAYERS && len >= FRONT_LAYER_HEAD; layer++) {
        /* at most 5 + 255 * (255 * 255 + 1) */
        uint32_t size = FRONT_LAYER_HEAD + filters[2] * (filters[0] * channels + 1u);
        if (size > len) {
            break;
        }
        int8_t *out = size == len ? row : scratch + used;
        size_t room = size == len ? front->inputs : scratch_len - used;
        pf_status count = pf_convolution(out, room, values, steps, channels, filters, size);
        if (count < 0) {
            return count;
        }
        if (size == len) {
            return (uint32_t)count == front->inputs ? PF_OK : PF_E_ARGUMENT;
        }
        used += (size_t)count;
        values = out;
        channels = filters[2]; /* 1..64, as it was accepted */
        steps = pf_divide((uint32_t)count, channels);
        filters += size;
        len -= size;
    }
    return PF_E_ARGUMENT;
}

/* pf_front_record of a front that was checked. */
static pf_status front_record(const pf_front *front, uint32_t blocks, const uint8_t *filters, size_t len,
    const int16_t *samples, int8_t *row, uint8_t *target, int8_t *scratch, size_t scratch_len) {
    uint32_t inputs = front->inputs;
    pf_status status;
    if (front->features == PF_FRONT_IMU45) {
        status = pf_features_imu(row, samples, front->window);
    } else {
        uint32_t seen = front->window - front->horizon * front->block; /* horizon < blocks: at least a block */
        if (scratch_len < (size_t)PF_IMU_AXES * blocks) {
            return PF_E_MEMORY;
        }
        uint32_t whole = front->features == PF_FRONT_BLOCKS && front->horizon == 0; /* inputs = 6 blocks */
        status = pf_features_blocks(whole ? row : scratch, samples, front->window, front->block, seen);
        if (status == PF_OK && front->features == PF_FRONT_CONVOLUTION) {
            return front_convolve(front, filters, len, blocks, row, scratch, scratch_len);
        }
        if (!whole) {
            pf_copy(row, scratch, inputs);
        }
        if (front->target == PF_TARGET_NEXT) {
            const int8_t *behind = scratch + inputs;
            pf_targets(target, behind, (size_t)PF_IMU_AXES * front->horizon, behind - PF_IMU_AXES, PF_IMU_AXES);
        }
    }
    if (front->target == PF_TARGET_SELF) {
        pf_targets(target, row, inputs, row, 0);
    }
    return status;
}

pf_status pf_front_record(const pf_front *front, const uint8_t *filters, size_t len, const int16_t *samples,
    int8_t *row, uint8_t *target, int8_t *scratch, size_t scratch_len) {
    uint32_t blocks = 0;
    if (front_check(front, &blocks) == 0) {
        return PF_E_ARGUMENT;
    }
    return front_record(front, blocks, filters, len, samples, row, target, scratch, scratch_len);
}

pf_status pf_front_rows(pf_front *front, const uint8_t *filters, size_t len, pf_walk *walk, const pf_ring *ring,
    uint32_t n, const uint8_t *slots, int16_t *samples, int8_t *rows, uint8_t *targets, int8_t *scratch,
    size_t scratch_len) {
    uint32_t blocks = 0;
    uint32_t size = front_check(front, &blocks);
    if (size == 0 || ring->channels != PF_IMU_AXES || walk->window != front->window) {
        return PF_E_ARGUMENT;
    }
    while (front->rows < PF_ROWS) {
        pf_status label = pf_windows_next(walk, ring, n, slots, samples);
        if (label < 0 || label == PF_WALK_MORE) {
            return label;
        }
        if ((front->target == PF_TARGET_LABEL || front->labels != 0) && (uint32_t)label >= front->labels) {
            continue;
        }
        /* rows < 8, inputs < 2^10, size < 2^11 */
        uint8_t *target = targets + front->rows * size;
        pf_status status = front_record(
            front, blocks, filters, len, samples, rows + front->rows * front->inputs, target, scratch, scratch_len);
        if (status < 0) {
            return status;
        }
        if (front->target == PF_TARGET_LABEL) {
            *target = (uint8_t)label;
        }
        front->rows++;
    }
    return PF_OK;
}
