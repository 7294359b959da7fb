/* batch.c: many clients, and many updates, in one call: what the host's simulator and server spend their time in. Not
 * part of the native module. */
#include "trainer.h"
#include "wide.h"

/* The rounds that pf_trainer_begin, _fill, _examples, _step and _release would give, noise drawn by pf_wide_noise. */
static pf_status pf_batch_client_run(pf_trainer *trainer, const pf_batch_round *round, const uint8_t *keys,
    const int8_t *features, const uint8_t *targets, uint32_t records) {
    for (uint32_t step = 0; step < round->steps; step++) {
        pf_status status = pf_trainer_begin(trainer, keys, round->log2_sigma, round->clip_norm);
        if (status != PF_OK) {
            return status;
        }
        if (trainer->state == PF_TRAINER_FILLING) {
            pf_wide_noise((int32_t *)trainer->accumulators, trainer->model.trainable, keys, round->log2_sigma);
            trainer->filled = trainer->model.trainable;
            trainer->state = PF_TRAINER_READY;
            keys += 32;
        }
        status = pf_trainer_examples(trainer, features, targets, records);
        if (status == PF_OK && trainer->mode == PF_MODE_LOCAL) {
            status = pf_trainer_step(trainer, round->multiplier, round->shift);
        }
        if (status != PF_OK) {
            return status;
        }
    }
    return PF_OK;
}

pf_status pf_batch_run(pf_trainer *trainer, const pf_batch_round *round, const pf_batch_client *clients, uint32_t n,
    const uint8_t *weights, const int8_t *features, const uint8_t *targets, const uint8_t *keys, int32_t *values,
    uint8_t *payloads, size_t payload_size, uint32_t *lengths) {
    const pf_model *model = &trainer->model;
    size_t inputs = pf_trainer_inputs(trainer);
    size_t target_size = model->loss == PF_LOSS_SOFTMAX ? 1u : 2u * (size_t)pf_trainer_outputs(trainer);
    if (round->steps == 0 || (trainer->mode == PF_MODE_GRADIENT && round->steps != 1)) {
        return PF_E_ARGUMENT;
    }
    for (uint32_t k = 0; k < n; k++) {
        const pf_batch_client *client = &clients[k];
        /* a gradient leaves the weights as they are; local steps move them */
        if (k == 0 || trainer->mode == PF_MODE_LOCAL || client->weights != clients[k - 1u].weights) {
            const uint8_t *data = weights + (size_t)2u * model->parameters * client->weights;
            pf_status status = pf_trainer_set_weights(trainer, 0, data, model->parameters);
            if (status != PF_OK) {
                return status;
            }
        }
        pf_status status = pf_batch_client_run(trainer, round, keys + (size_t)32u * round->steps * k,
            features + inputs * client->first, targets + target_size * client->first, client->records);
        if (status != PF_OK) {
            return status;
        }
        const uint32_t *released = pf_trainer_release(trainer);
        if (payloads != NULL) {
            status = pf_update_encode(
                payloads + payload_size * k, payload_size, released, model->trainable, round->round_shift);
        } else {
            status = pf_update_length(released, model->trainable, round->round_shift);
        }
        if (status < 0) {
            return status;
        }
        lengths[k] = (uint32_t)status;
        pf_update_round(values + (size_t)model->trainable * k, released, model->trainable, round->round_shift);
    }
    return PF_OK;
}

pf_status pf_batch_logits(pf_trainer *trainer, const int8_t *features, uint32_t n, int32_t *logits) {
    for (uint32_t k = 0; k < n; k++) {
        pf_status status = pf_trainer_logits(trainer, features, logits);
        if (status != PF_OK) {
            return status;
        }
        features += pf_trainer_inputs(trainer);
        logits += pf_trainer_outputs(trainer);
    }
    return PF_OK;
}

#define BATCH_BLOCK 2048u /* sums of 8 bytes: 16 kB, which stay in the first cache over all vectors */

#if defined(__GNUC__) || defined(__clang__)
typedef int32_t __attribute__((may_alias, aligned(1))) pf_batch_word;
#define BATCH_WORDS 1
#endif

PF_WIDE_BODY int32_t batch_value(const uint8_t *data, size_t i) {
#if defined(BATCH_WORDS) && defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return ((const pf_batch_word *)(const void *)data)[i];
#else
    return (int32_t)pf_get_u32(data + 4u * i);
#endif
}

PF_WIDE_BODY void batch_sum(int64_t *total, size_t n, const uint8_t *const *vectors, size_t count) {
    for (size_t begin = 0; begin < n; begin += BATCH_BLOCK) {
        size_t size = n - begin < BATCH_BLOCK ? n - begin : BATCH_BLOCK;
        int64_t *out = total + begin;
        size_t k = 0;
        for (; k + 2u <= count; k += 2u) { /* two vectors for each load and store of a sum */
            const uint8_t *one = vectors[k] + 4u * begin;
            const uint8_t *two = vectors[k + 1u] + 4u * begin;
            for (size_t i = 0; i < size; i++) {
                out[i] += (int64_t)batch_value(one, i) + batch_value(two, i);
            }
        }
        if (k < count) {
            const uint8_t *one = vectors[k] + 4u * begin;
            for (size_t i = 0; i < size; i++) {
                out[i] += batch_value(one, i);
            }
        }
    }
}

#ifdef PF_WIDE_X86
__attribute__((target("avx2"))) static void batch_sum_avx2(
    int64_t *total, size_t n, const uint8_t *const *vectors, size_t count) {
    batch_sum(total, n, vectors, count);
}
#endif

void pf_batch_sum(int64_t *total, size_t n, const uint8_t *const *vectors, uint32_t count) {
#ifdef PF_WIDE_X86
    if (__builtin_cpu_supports("avx2")) {
        batch_sum_avx2(total, n, vectors, count);
        return;
    }
#endif
    batch_sum(total, n, vectors, count);
}
