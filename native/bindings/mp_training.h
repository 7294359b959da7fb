/* mp_training.h: the trainer. Part of micropython.c, which includes it. */
#ifndef PF_MP_TRAINING_H
#define PF_MP_TRAINING_H

/* ---- trainer --------------------------------------------------------------------------------------------------- */

/* trainer_size(descriptor, mode) -> bytes; PF_E_ARGUMENT or PF_E_RANGE if the model is refused */
static mp_obj_t core_trainer_size(mp_obj_t descriptor_in, mp_obj_t mode_in) {
    size_t len;
    const uint8_t *descriptor = take_buffer(descriptor_in, MP_BUFFER_READ, 0, 1, &len);
    TAKE_U32(mode, mode_in);
    size_t size = pf_trainer_size(descriptor, len, mode);
    if (size == 0) {
        return answer(pf_trainer_init(NULL, 0, descriptor, len, mode)); /* says why */
    }
    return mp_obj_new_int_from_uint(size + GUARD);
}
static MP_DEFINE_CONST_FUN_OBJ_2(core_trainer_size_obj, core_trainer_size);

static void finish_trainer(guarded *new, size_t size, const uint8_t *descriptor) {
    uint32_t outputs = pf_trainer_outputs((const pf_trainer *)new->object);
    finish_new(new, KIND_TRAINER, GUARD + size, descriptor[1] == PF_LOSS_SOFTMAX ? 1 : 2 * outputs);
}

/* trainer_init(mem, descriptor, mode) -> 0 */
static mp_obj_t core_trainer_init(mp_obj_t mem_in, mp_obj_t descriptor_in, mp_obj_t mode_in) {
    size_t len;
    const uint8_t *descriptor = take_buffer(descriptor_in, MP_BUFFER_READ, 0, 1, &len);
    TAKE_U32(mode, mode_in);
    size_t size = pf_trainer_size(descriptor, len, mode);
    if (size == 0) {
        return answer(pf_trainer_init(NULL, 0, descriptor, len, mode));
    }
    guarded *new = take_new(mem_in, size);
    REFUSE_NULL(new);
    pf_status status = pf_trainer_init(new->object, size, descriptor, len, mode);
    if (status == PF_OK) {
        finish_trainer(new, size, descriptor);
    }
    return answer(status);
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_trainer_init_obj, core_trainer_init);

#ifndef PF_WITHOUT_IMAGES

/* frozen_size(descriptor) -> bytes of the image of a model's frozen weights; PF_E_ARGUMENT if the model is refused */
static mp_obj_t core_frozen_size(mp_obj_t descriptor_in) {
    size_t len;
    const uint8_t *descriptor = take_buffer(descriptor_in, MP_BUFFER_READ, 0, 1, &len);
    size_t size = pf_frozen_size(descriptor, len);
    return size == 0 ? answer(PF_E_ARGUMENT) : mp_obj_new_int_from_uint(size);
}
static MP_DEFINE_CONST_FUN_OBJ_1(core_frozen_size_obj, core_frozen_size);

/* frozen_clear(out, at, descriptor) -> 0; out becomes the image from `at` on, with weights that are 0 */
static mp_obj_t core_frozen_clear(mp_obj_t out_in, mp_obj_t at_in, mp_obj_t descriptor_in) {
    size_t n;
    uint8_t *out = take_buffer(out_in, MP_BUFFER_WRITE, 0, 1, &n);
    TAKE_U32(at, at_in);
    size_t len;
    const uint8_t *descriptor = take_buffer(descriptor_in, MP_BUFFER_READ, 0, 1, &len);
    return answer(pf_frozen_clear(out, at, n, descriptor, len));
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_frozen_clear_obj, core_frozen_clear);

/* frozen_put(out, at, descriptor, offset, data) -> 0; data: int16, as many as it holds, of which those are put into out
 * that lie there */
static mp_obj_t core_frozen_put(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t n;
    uint8_t *out = take_buffer(args[0], MP_BUFFER_WRITE, 0, 1, &n);
    TAKE_U32(at, args[1]);
    size_t len;
    const uint8_t *descriptor = take_buffer(args[2], MP_BUFFER_READ, 0, 1, &len);
    TAKE_U32(offset, args[3]);
    size_t data_len;
    const uint8_t *data = take_buffer(args[4], MP_BUFFER_READ, 0, 1, &data_len);
    if ((data_len & 1) != 0) {
        return answer(PF_E_ARGUMENT);
    }
    return answer(pf_frozen_put(out, at, n, descriptor, len, offset, data, data_len / 2));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_frozen_put_obj, 5, 5, core_frozen_put);

/* trainer_frozen_size(descriptor, mode) -> bytes, as trainer_size; the image is not counted */
static mp_obj_t core_trainer_frozen_size(mp_obj_t descriptor_in, mp_obj_t mode_in) {
    size_t len;
    const uint8_t *descriptor = take_buffer(descriptor_in, MP_BUFFER_READ, 0, 1, &len);
    TAKE_U32(mode, mode_in);
    size_t size = pf_trainer_frozen_size(descriptor, len, mode);
    if (size == 0) {
        return answer(pf_trainer_init(NULL, 0, descriptor, len, mode)); /* says why */
    }
    return mp_obj_new_int_from_uint(size + GUARD);
}
static MP_DEFINE_CONST_FUN_OBJ_2(core_trainer_frozen_size_obj, core_trainer_frozen_size);

/* trainer_frozen_init(mem, descriptor, mode, image) -> 0; the caller keeps the image for as long as mem is used */
static mp_obj_t core_trainer_frozen_init(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t len;
    const uint8_t *descriptor = take_buffer(args[1], MP_BUFFER_READ, 0, 1, &len);
    TAKE_U32(mode, args[2]);
    size_t image_len;
    const uint8_t *image = take_buffer(args[3], MP_BUFFER_READ, 0, 4, &image_len);
    REFUSE_NULL(image);
    size_t size = pf_trainer_frozen_size(descriptor, len, mode);
    if (size == 0) {
        return answer(pf_trainer_init(NULL, 0, descriptor, len, mode));
    }
    guarded *new = take_new(args[0], size);
    REFUSE_NULL(new);
    pf_status status = pf_trainer_frozen_init(new->object, size, descriptor, len, mode, image, image_len);
    if (status == PF_OK) {
        finish_trainer(new, size, descriptor);
    }
    return answer(status);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_trainer_frozen_init_obj, 4, 4, core_trainer_frozen_init);

#endif

/* trainer_counts(mem) -> (parameters, trainable, inputs, outputs) */
static mp_obj_t core_trainer_counts(mp_obj_t mem_in) {
    TAKE(pf_trainer, trainer, mem_in, KIND_TRAINER);
    mp_obj_t counts[4] = {
        mp_obj_new_int_from_uint(pf_trainer_parameters(trainer)),
        mp_obj_new_int_from_uint(pf_trainer_trainable(trainer)),
        mp_obj_new_int_from_uint(pf_trainer_inputs(trainer)),
        mp_obj_new_int_from_uint(pf_trainer_outputs(trainer)),
    };
    return mp_obj_new_tuple(4, counts);
}
static MP_DEFINE_CONST_FUN_OBJ_1(core_trainer_counts_obj, core_trainer_counts);

static mp_obj_t move_weights(mp_obj_t mem_in, mp_obj_t offset_in, mp_obj_t data_in, int what) {
    size_t len;
    uint8_t *data = take_buffer(data_in, what == 2 ? MP_BUFFER_WRITE : MP_BUFFER_READ, 0, 1, &len);
    TAKE(pf_trainer, trainer, mem_in, KIND_TRAINER);
    TAKE_U32(offset, offset_in);
    if ((len & 1) != 0) {
        return answer(PF_E_ARGUMENT);
    }
    if (what == 0) {
        return answer(pf_trainer_set_weights(trainer, offset, data, len / 2));
    }
    if (what == 1) {
        return answer(pf_trainer_set_subset(trainer, offset, data, len / 2));
    }
    return answer(pf_trainer_get_weights(trainer, offset, data, len / 2));
}

/* trainer_set_weights(mem, offset, data) -> 0; data: int16, as many as it holds */
static mp_obj_t core_trainer_set_weights(mp_obj_t mem, mp_obj_t offset, mp_obj_t data) {
    return move_weights(mem, offset, data, 0);
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_trainer_set_weights_obj, core_trainer_set_weights);

/* trainer_set_subset(mem, offset, data) -> 0; in the order of the trained parameters */
static mp_obj_t core_trainer_set_subset(mp_obj_t mem, mp_obj_t offset, mp_obj_t data) {
    return move_weights(mem, offset, data, 1);
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_trainer_set_subset_obj, core_trainer_set_subset);

/* trainer_get_weights(mem, offset, out) -> 0 */
static mp_obj_t core_trainer_get_weights(mp_obj_t mem, mp_obj_t offset, mp_obj_t out) {
    return move_weights(mem, offset, out, 2);
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_trainer_get_weights_obj, core_trainer_get_weights);

/* trainer_begin(mem, key, log2_sigma, clip_norm) -> 0; a board cannot train without noise: log2_sigma >= 6 */
static mp_obj_t core_trainer_begin(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    TAKE(pf_trainer, trainer, args[0], KIND_TRAINER);
    const uint8_t *key = take_bytes(args[1], 32);
    REFUSE_NULL(key);
    TAKE_U32(log2_sigma, args[2]);
    TAKE_U32(clip_norm, args[3]);
    if (log2_sigma < PF_LOG2_SIGMA_MIN || clip_norm == 0) {
        return answer(PF_E_ARGUMENT);
    }
    return answer(pf_trainer_begin(trainer, key, log2_sigma, clip_norm));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_trainer_begin_obj, 4, 4, core_trainer_begin);

/* trainer_fill(mem, n) -> accumulators that still wait for noise */
static mp_obj_t core_trainer_fill(mp_obj_t mem_in, mp_obj_t n_in) {
    TAKE(pf_trainer, trainer, mem_in, KIND_TRAINER);
    TAKE_U32(n, n_in);
    return answer(pf_trainer_fill(trainer, n));
}
static MP_DEFINE_CONST_FUN_OBJ_2(core_trainer_fill_obj, core_trainer_fill);

/* trainer_examples(mem, features, targets, count) -> 0; PF_E_STATE once the release was encoded */
static mp_obj_t core_trainer_examples(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t features_len;
    size_t targets_len;
    TAKE(pf_trainer, trainer, args[0], KIND_TRAINER);
    const uint8_t *features = take_buffer(args[1], MP_BUFFER_READ, 0, 1, &features_len);
    const uint8_t *targets = take_buffer(args[2], MP_BUFFER_READ, 0, 1, &targets_len);
    TAKE_U32(count, args[3]);
    const guarded *guard = guard_of(trainer);
    if (pf_multiply(count, pf_trainer_inputs(trainer)) > features_len ||
        pf_multiply(count, guard->target_len) > targets_len) {
        return answer(PF_E_MEMORY);
    }
    return answer(pf_trainer_examples(trainer, (const int8_t *)features, targets, count));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_trainer_examples_obj, 4, 4, core_trainer_examples);

/* trainer_step(mem, multiplier, shift) -> 0 */
static mp_obj_t core_trainer_step(mp_obj_t mem_in, mp_obj_t multiplier_in, mp_obj_t shift_in) {
    TAKE(pf_trainer, trainer, mem_in, KIND_TRAINER);
    TAKE_U32(multiplier, multiplier_in);
    TAKE_U32(shift, shift_in);
    return answer(pf_trainer_step(trainer, multiplier, shift));
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_trainer_step_obj, core_trainer_step);

/* trainer_logits(mem, features, out) -> 0; out: int32, one an output */
static mp_obj_t core_trainer_logits(mp_obj_t mem_in, mp_obj_t features_in, mp_obj_t out_in) {
    TAKE(pf_trainer, trainer, mem_in, KIND_TRAINER);
    const uint8_t *features = take_bytes(features_in, pf_trainer_inputs(trainer));
    int32_t *out = take_buffer(out_in, MP_BUFFER_WRITE, (size_t)4 * pf_trainer_outputs(trainer), 4, NULL);
    REFUSE_NULL(features);
    REFUSE_NULL(out);
    return answer(pf_trainer_logits(trainer, (const int8_t *)features, out));
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_trainer_logits_obj, core_trainer_logits);

/* trainer_encode(mem, shift, out) -> length of the encoded release */
static mp_obj_t core_trainer_encode(mp_obj_t mem_in, mp_obj_t shift_in, mp_obj_t out_in) {
    TAKE(pf_trainer, trainer, mem_in, KIND_TRAINER);
    TAKE_U32(shift, shift_in);
    size_t len;
    uint8_t *out = take_buffer(out_in, MP_BUFFER_WRITE, 0, 1, &len);
    const uint32_t *release = pf_trainer_release(trainer);
    if (release == NULL) {
        return answer(PF_E_STATE);
    }
    return answer(pf_update_encode(out, len, release, pf_trainer_trainable(trainer), shift));
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_trainer_encode_obj, core_trainer_encode);

/* trainer_mask(mem, shift, bits, seed, out) -> length of the release, packed under the mask of a 32-byte seed */
static mp_obj_t core_trainer_mask(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    TAKE(pf_trainer, trainer, args[0], KIND_TRAINER);
    TAKE_U32(shift, args[1]);
    TAKE_U32(bits, args[2]);
    const uint8_t *seed = take_bytes(args[3], 32);
    size_t len;
    uint8_t *out = take_buffer(args[4], MP_BUFFER_WRITE, 0, 1, &len);
    REFUSE_NULL(seed);
    const uint32_t *release = pf_trainer_release(trainer);
    if (release == NULL) {
        return answer(PF_E_STATE);
    }
    return answer(pf_mask_encode(out, len, release, pf_trainer_trainable(trainer), shift, bits, seed));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_trainer_mask_obj, 5, 5, core_trainer_mask);

/* trainer_wipe(mem) -> 0; the whole buffer, whatever is in it */
static mp_obj_t core_trainer_wipe(mp_obj_t mem_in) {
    size_t len;
    uint8_t *mem = take_buffer(mem_in, MP_BUFFER_WRITE, 0, 1, &len);
    pf_wipe(mem, len);
    return answer(PF_OK);
}
static MP_DEFINE_CONST_FUN_OBJ_1(core_trainer_wipe_obj, core_trainer_wipe);

#endif
