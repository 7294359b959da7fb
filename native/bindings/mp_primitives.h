/* mp_primitives.h: functions without state. Part of micropython.c, which includes it. */
#ifndef PF_MP_PRIMITIVES_H
#define PF_MP_PRIMITIVES_H

/* ---- primitives ------------------------------------------------------------------------------------------------ */

/* blake2b(out, key, data) -> 0; out: 1..64 bytes, key: 0..64 */
static mp_obj_t core_blake2b(mp_obj_t out_in, mp_obj_t key_in, mp_obj_t data_in) {
    size_t out_len;
    size_t key_len;
    size_t len;
    uint8_t *out = take_buffer(out_in, MP_BUFFER_WRITE, 0, 1, &out_len);
    const uint8_t *key = take_buffer(key_in, MP_BUFFER_READ, 0, 1, &key_len);
    const uint8_t *data = take_buffer(data_in, MP_BUFFER_READ, 0, 1, &len);
    if (out_len < 1 || out_len > 64 || key_len > 64) {
        return answer(PF_E_ARGUMENT);
    }
    pf_blake2b(out, out_len, key, key_len, data, len);
    return answer(PF_OK);
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_blake2b_obj, core_blake2b);

/* chacha20(key, nonce, counter, buffer) -> next counter; XORs the keystream into buffer */
static mp_obj_t core_chacha20(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t len;
    const uint8_t *key = take_bytes(args[0], 32);
    const uint8_t *nonce = take_bytes(args[1], 12);
    uint8_t *buffer = take_buffer(args[3], MP_BUFFER_RW, 0, 1, &len);
    REFUSE_NULL(key);
    REFUSE_NULL(nonce);
    TAKE_U32(counter, args[2]);
    return mp_obj_new_int_from_uint(pf_chacha20(buffer, buffer, len, key, nonce, counter));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_chacha20_obj, 4, 4, core_chacha20);

/* x25519(out, secret, public) -> 0; public = None: the secret's own public key */
static mp_obj_t core_x25519(mp_obj_t out_in, mp_obj_t secret_in, mp_obj_t public_in) {
    uint8_t *out = take_out(out_in, 32);
    const uint8_t *secret = take_bytes(secret_in, 32);
    REFUSE_NULL(out);
    REFUSE_NULL(secret);
    if (public_in == mp_const_none) {
        pf_x25519_public(out, secret);
    } else {
        const uint8_t *public_key = take_bytes(public_in, 32);
        REFUSE_NULL(public_key);
        pf_x25519(out, secret, public_key);
    }
    return answer(PF_OK);
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_x25519_obj, core_x25519);

/* eddsa_check(signature, public, data) -> 0 if the signature is genuine */
static mp_obj_t core_eddsa_check(mp_obj_t signature_in, mp_obj_t public_in, mp_obj_t data_in) {
    size_t len;
    const uint8_t *signature = take_bytes(signature_in, 64);
    const uint8_t *public_key = take_bytes(public_in, 32);
    const uint8_t *data = take_buffer(data_in, MP_BUFFER_READ, 0, 1, &len);
    REFUSE_NULL(signature);
    REFUSE_NULL(public_key);
    return answer(pf_eddsa_check(signature, public_key, data, len));
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_eddsa_check_obj, core_eddsa_check);

/* differ(a, b) -> 0 if equal, in a time that depends on the lengths only */
static mp_obj_t core_differ(mp_obj_t a_in, mp_obj_t b_in) {
    size_t a_len;
    size_t b_len;
    const uint8_t *a = take_buffer(a_in, MP_BUFFER_READ, 0, 1, &a_len);
    const uint8_t *b = take_buffer(b_in, MP_BUFFER_READ, 0, 1, &b_len);
    return answer(a_len != b_len || pf_differ(a, b, a_len));
}
static MP_DEFINE_CONST_FUN_OBJ_2(core_differ_obj, core_differ);

/* crc32(data[, crc]) -> crc */
static mp_obj_t core_crc32(size_t n_args, const mp_obj_t *args) {
    size_t len;
    uint32_t crc = 0;
    const uint8_t *data = take_buffer(args[0], MP_BUFFER_READ, 0, 1, &len);
    if (n_args > 1 && !take_u32(args[1], &crc)) {
        return answer(PF_E_ARGUMENT);
    }
    return mp_obj_new_int_from_uint(pf_crc32(crc, data, len));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_crc32_obj, 1, 2, core_crc32);

/* mask_add(fields, n, bits, seed, minus) -> 0; packed fields += (minus 1: -=) the mask of a 32-byte seed */
static mp_obj_t core_mask_add(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t len;
    uint8_t *fields = take_buffer(args[0], MP_BUFFER_RW, 0, 1, &len);
    TAKE_U32(n, args[1]);
    TAKE_U32(bits, args[2]);
    const uint8_t *seed = take_bytes(args[3], 32);
    TAKE_U32(minus, args[4]);
    REFUSE_NULL(seed);
    return answer(pf_mask_add(fields, len, n, bits, seed, minus));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_mask_add_obj, 5, 5, core_mask_add);

/* shamir_share(out, secret, coefficients, x) -> 0; 32 bytes, with 32 of coefficients for each share that the threshold
 * is above 1 */
static mp_obj_t core_shamir_share(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t len;
    uint8_t *out = take_out(args[0], PF_SHARE);
    const uint8_t *secret = take_bytes(args[1], PF_SHARE);
    const uint8_t *coefficients = take_buffer(args[2], MP_BUFFER_READ, 0, 1, &len);
    TAKE_U32(x, args[3]);
    REFUSE_NULL(out);
    REFUSE_NULL(secret);
    if (len % PF_SHARE != 0 || len > 254 * PF_SHARE) { /* PF_SHARE is a power of two */
        return answer(PF_E_ARGUMENT);
    }
    return answer(pf_shamir_share(out, secret, coefficients, (uint32_t)(len / PF_SHARE) + 1, x));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_shamir_share_obj, 4, 4, core_shamir_share);

/* noise(key, log2_sigma, out) -> 0; fills out (int32) with samples. log2_sigma 1..25 */
static mp_obj_t core_noise(mp_obj_t key_in, mp_obj_t log2_sigma_in, mp_obj_t out_in) {
    size_t len;
    const uint8_t *key = take_bytes(key_in, 32);
    int32_t *out = take_buffer(out_in, MP_BUFFER_WRITE, 0, 4, &len);
    REFUSE_NULL(key);
    REFUSE_NULL(out);
    TAKE_U32(log2_sigma, log2_sigma_in);
    pf_noise noise;
    pf_status status = pf_noise_init(&noise, key, log2_sigma);
    if (status == PF_OK) {
        pf_noise_fill(&noise, out, len / 4);
        pf_wipe(&noise, sizeof noise);
    }
    return answer(status);
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_noise_obj, core_noise);

/* entropy_condition(raw, out) -> 0; out: 32 bytes */
static mp_obj_t core_entropy_condition(mp_obj_t raw_in, mp_obj_t out_in) {
    size_t len;
    const uint8_t *raw = take_buffer(raw_in, MP_BUFFER_READ, 0, 1, &len);
    uint8_t *out = take_out(out_in, 32);
    REFUSE_NULL(out);
    return answer(pf_entropy_condition(out, raw, len));
}
static MP_DEFINE_CONST_FUN_OBJ_2(core_entropy_condition_obj, core_entropy_condition);

/* features_imu(samples, n, out) -> 0; samples: n x 6 int16, out: 45 int8 */
static mp_obj_t core_features_imu(mp_obj_t samples_in, mp_obj_t n_in, mp_obj_t out_in) {
    TAKE_U32(n, n_in);
    if (n > 512) {
        return answer(PF_E_ARGUMENT);
    }
    const int16_t *samples = take_buffer(samples_in, MP_BUFFER_READ, (size_t)n * 2 * PF_IMU_AXES, 2, NULL);
    uint8_t *out = take_out(out_in, PF_IMU_FEATURES);
    REFUSE_NULL(samples);
    REFUSE_NULL(out);
    return answer(pf_features_imu((int8_t *)out, samples, n));
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_features_imu_obj, core_features_imu);

/* features_blocks(samples, n, block, seen, out) -> 0; samples: n x 6 int16, out: n / block x 6 int8 */
static mp_obj_t core_features_blocks(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    TAKE_U32(n, args[1]);
    TAKE_U32(block, args[2]);
    TAKE_U32(seen, args[3]);
    if (n > PF_WINDOW_MAX || block == 0) {
        return answer(PF_E_ARGUMENT);
    }
    const int16_t *samples = take_buffer(args[0], MP_BUFFER_READ, (size_t)n * 2 * PF_IMU_AXES, 2, NULL);
    uint8_t *out = take_out(args[4], (size_t)pf_divide(n, block) * PF_IMU_AXES);
    REFUSE_NULL(samples);
    REFUSE_NULL(out);
    return answer(pf_features_blocks((int8_t *)out, samples, n, block, seen));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_features_blocks_obj, 5, 5, core_features_blocks);

/* targets(values, from, out) -> 0; values, from: int8, from may be empty; out: 2 bytes a value */
static mp_obj_t core_targets(mp_obj_t values_in, mp_obj_t from_in, mp_obj_t out_in) {
    size_t n;
    size_t period;
    const uint8_t *values = take_buffer(values_in, MP_BUFFER_READ, 0, 1, &n);
    const uint8_t *from = take_buffer(from_in, MP_BUFFER_READ, 0, 1, &period);
    uint8_t *out = take_out(out_in, 2 * n);
    REFUSE_NULL(out);
    pf_targets(out, (const int8_t *)values, n, (const int8_t *)from, period);
    return answer(PF_OK);
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_targets_obj, core_targets);

/* convolution(in, steps, channels, layer, out) -> number of outputs; in: steps x channels int8. out = None: counts them
 * only */
static mp_obj_t core_convolution(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t len;
    size_t out_len = 0;
    int8_t *out = NULL;
    TAKE_U32(steps, args[1]);
    TAKE_U32(channels, args[2]);
    if (steps > PF_WINDOW_MAX || channels > PF_FILTERS_MAX) {
        return answer(PF_E_ARGUMENT);
    }
    const uint8_t *layer = take_buffer(args[3], MP_BUFFER_READ, 0, 1, &len);
    const int8_t *in = NULL;
    if (args[4] != mp_const_none) {
        in = take_buffer(args[0], MP_BUFFER_READ, (size_t)steps * channels, 1, NULL);
        out = take_buffer(args[4], MP_BUFFER_WRITE, 0, 1, &out_len);
        REFUSE_NULL(in);
    }
    return answer(pf_convolution(out, out_len, in, steps, channels, layer, len));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_convolution_obj, 5, 5, core_convolution);

/* frame_encode(payload, out) -> length */
static mp_obj_t core_frame_encode(mp_obj_t payload_in, mp_obj_t out_in) {
    size_t len;
    size_t out_len;
    const uint8_t *payload = take_buffer(payload_in, MP_BUFFER_READ, 0, 1, &len);
    uint8_t *out = take_buffer(out_in, MP_BUFFER_WRITE, 0, 1, &out_len);
    return answer(pf_frame_encode(out, out_len, payload, len));
}
static MP_DEFINE_CONST_FUN_OBJ_2(core_frame_encode_obj, core_frame_encode);

/* frame_decode(buffer, n) -> payload length; the first n bytes of buffer, in place */
static mp_obj_t core_frame_decode(mp_obj_t buffer_in, mp_obj_t n_in) {
    TAKE_U32(n, n_in);
    uint8_t *buffer = take_buffer(buffer_in, MP_BUFFER_RW, n, 1, NULL);
    REFUSE_NULL(buffer);
    return answer(pf_frame_decode(buffer, n));
}
static MP_DEFINE_CONST_FUN_OBJ_2(core_frame_decode_obj, core_frame_decode);

#endif
