#include "trainer.h"
#include "fixed.h"

#define PF_CHANGE_LIMIT ((int32_t)1 << 30)

void pf_trainer_restart(pf_trainer *trainer) {
    if (trainer->mode != PF_MODE_LOCAL) {
        return;
    }
    pf_place place;
    pf_place_seek(&place, &trainer->model, 1, 0);
    for (uint32_t k = 0; k < trainer->model.trainable; k++) {
        trainer->start[k] = (int16_t)pf_trainer_weight(trainer, &place);
        pf_place_next(&place, &trainer->model);
    }
    pf_zero(trainer->change, sizeof(int32_t) * trainer->model.trainable);
    trainer->stepped = 0;
    trainer->state = PF_TRAINER_IDLE;
}

/* n weights of a run (pf_place_run) of which the trainer holds all. */
static void pf_trainer_put_run(pf_trainer *trainer, const pf_place *place, const uint8_t *data, size_t n) {
    const pf_layer *layer = &trainer->model.layer[place->layer];
    const pf_layer_memory *memory = &trainer->layer[place->layer];
    pf_held held;
    pf_trainer_held(&held, trainer, layer);
    uint32_t row = place->row - held.row;
    if (place->column == layer->inputs) {
        for (size_t k = 0; k < n; k++) {
            memory->biases[row + k] = (int16_t)pf_weight_read(data, k);
        }
        return;
    }
    uint32_t column = place->column - held.column;
    uint32_t pair = pf_matrix_pair(held.rows, row);
    int16_t *to = memory->matrix + pf_matrix_index(held.rows, held.columns, row, column);
    int32_t even = pf_matrix_code(0, 0);
    for (const uint8_t *end = data + 2u * n; data != end; data += 2) {
        /* pf_matrix_code(column, weight) */
        *to = (int16_t)(pf_weight_read(data, 0) + (column & 1u ? 0 : even));
        to += column & 1u ? pair - 1u : 1u;
        column++;
    }
}

/* Weights of all the model, of which frozen ones may be in an image: then they must be those. */
static pf_status pf_trainer_write_held(pf_trainer *trainer, uint32_t offset, const uint8_t *data, size_t n) {
    pf_place place;
    pf_place_seek(&place, &trainer->model, 0, offset);
    for (size_t k = 0; k < n; k++) {
        if (!pf_trainer_holds(trainer, &place) && pf_trainer_weight(trainer, &place) != pf_weight_read(data, k)) {
            return PF_E_STATE;
        }
        pf_place_next(&place, &trainer->model);
    }
    pf_place_seek(&place, &trainer->model, 0, offset);
    for (size_t k = 0; k < n; k++) {
        if (pf_trainer_holds(trainer, &place)) {
            pf_trainer_put_weight(trainer, &place, pf_weight_read(data, k));
        }
        pf_place_next(&place, &trainer->model);
    }
    return PF_OK;
}

static pf_status pf_trainer_write(
    pf_trainer *trainer, uint32_t subset, uint32_t offset, const uint8_t *data, size_t n) {
    uint32_t total = subset ? trainer->model.trainable : trainer->model.parameters;
    if (offset > total || n > total - offset) {
        return PF_E_ARGUMENT;
    }
    for (size_t k = 0; k < n; k++) {
        int32_t weight = pf_weight_read(data, k);
        if (weight < PF_WEIGHT_MIN || weight > PF_WEIGHT_MAX) {
            return PF_E_RANGE;
        }
    }
    if (n == 0) {
        return PF_OK;
    }
    if (pf_trainer_split(trainer) && !subset) {
        pf_status status = pf_trainer_write_held(trainer, offset, data, n);
        if (status != PF_OK) {
            return status;
        }
    } else {
        pf_place place;
        pf_place_seek(&place, &trainer->model, subset, offset);
        while (n != 0) {
            size_t run = pf_place_run(&place, &trainer->model);
            run = run < n ? run : n;
            pf_trainer_put_run(trainer, &place, data, run);
            pf_place_skip(&place, &trainer->model, (uint32_t)run);
            data += 2u * run;
            n -= run;
        }
    }
    pf_trainer_restart(trainer);
    return PF_OK;
}

pf_status pf_trainer_set_weights(pf_trainer *trainer, uint32_t offset, const uint8_t *data, size_t n) {
    return pf_trainer_write(trainer, 0, offset, data, n);
}

pf_status pf_trainer_set_subset(pf_trainer *trainer, uint32_t offset, const uint8_t *data, size_t n) {
    return pf_trainer_write(trainer, 1, offset, data, n);
}

pf_status pf_trainer_get_weights(const pf_trainer *trainer, uint32_t offset, uint8_t *data, size_t n) {
    uint32_t total = trainer->model.parameters;
    if (offset > total || n > total - offset) {
        return PF_E_ARGUMENT;
    }
    if (n == 0) {
        return PF_OK;
    }
    pf_place place;
    pf_place_seek(&place, &trainer->model, 0, offset);
    for (size_t k = 0; k < n; k++) {
        pf_put_u16(data + 2u * k, (uint32_t)pf_trainer_weight(trainer, &place));
        pf_place_next(&place, &trainer->model);
    }
    return PF_OK;
}

/* floor(v / 2^shift), shift <= 40, in 32-bit shifts: a 64-bit shift by a variable would be a library call. */
static int64_t pf_shift_right(int64_t v, uint32_t shift) {
    int32_t high = (int32_t)(v >> 32);
    uint32_t low = (uint32_t)((uint64_t)v & 0xffffffffu);
    if (shift >= 32u) {
        return high >> (shift - 32u);
    }
    if (shift != 0) {
        low = low >> shift | (uint32_t)high << (32u - shift);
        high >>= shift;
    }
    return (int64_t)((uint64_t)(uint32_t)high << 32 | low);
}

/* The step of SPEC 7.5 for one accumulator; 0 < multiplier < 2^16. Within +-2^47. */
static int64_t pf_step(uint32_t accumulator, uint32_t multiplier, uint32_t shift) {
    /* high half: >= -2^15 * (2^16 - 1) > -2^31; low half: <= (2^16 - 1)^2 < 2^32 */
    int32_t high = ((int32_t)accumulator >> 16) * (int32_t)multiplier;
    uint32_t low = (accumulator & 0xffffu) * multiplier;
    int64_t v = (int64_t)high * 65536 + (int64_t)low;
    if (shift == 0) {
        return v;
    }
    /* 2^(shift - 1) <= 2^39: the sum stays below 2^48 */
    uint64_t half =
        shift > 32u ? (uint64_t)((uint32_t)1 << (shift - 33u)) << 32 : (uint64_t)((uint32_t)1 << (shift - 1u));
    return pf_shift_right(v + (int64_t)half, shift);
}

pf_status pf_trainer_step(pf_trainer *trainer, uint32_t multiplier, uint32_t shift) {
    if (trainer->mode != PF_MODE_LOCAL || trainer->state != PF_TRAINER_READY) {
        return PF_E_STATE;
    }
    if (multiplier == 0 || multiplier > 65535u || shift > 40u) {
        return PF_E_ARGUMENT;
    }
    pf_place place;
    pf_place_seek(&place, &trainer->model, 1, 0);
    for (uint32_t k = 0; k < trainer->model.trainable; k++) {
        int64_t change = trainer->change[k] - pf_step(trainer->accumulators[k], multiplier, shift);
        if (change < -(int64_t)PF_CHANGE_LIMIT) {
            change = -(int64_t)PF_CHANGE_LIMIT;
        } else if (change > PF_CHANGE_LIMIT - 1) {
            change = PF_CHANGE_LIMIT - 1;
        }
        int32_t limited = (int32_t)change;
        trainer->change[k] = limited;
        /* |limited| <= 2^30: + 2^11 fits; the shifted value is within 2^18 */
        int32_t weight = trainer->start[k] + ((limited + (1 << 11)) >> 12);
        pf_trainer_put_weight(trainer, &place, pf_limit(weight, PF_WEIGHT_MIN, PF_WEIGHT_MAX));
        pf_place_next(&place, &trainer->model);
    }
    trainer->stepped = 1;
    trainer->state = PF_TRAINER_IDLE;
    return PF_OK;
}
