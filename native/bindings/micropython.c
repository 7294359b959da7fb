/* micropython.c: the core as MicroPython module `picofed_core`. Glue only; one source for the native module
 * (natmod.mk) and the user C module (micropython.mk).
 *
 * Functions work in the caller's buffers and return an int: 0 or a count, or a negative error code (SPEC 1.3), which
 * firmware/picofed/errors.py turns into an exception. A buffer that is too short or not aligned is refused with
 * PF_E_MEMORY, an integer outside uint32 with PF_E_ARGUMENT. Exceptions: TypeError for an argument of the wrong type,
 * and whatever a flash hook raises; the object that was being worked on is then closed (PF_E_STATE until opened again).
 *
 * Objects (trainer, ledger, ratchet) live in a bytearray of *_size() bytes that the caller keeps. A guard in front of
 * each says what it is and where it was made, so that a wrong, copied or moved buffer is refused.
 *
 * A flash is a Python object with block_size and read(offset, buffer), program(offset, bytes), erase(offset). */
#include "../src/unit.c" /* before MicroPython's headers, so that the core cannot come to need them */

#ifdef MICROPY_ENABLE_DYNRUNTIME
#include "py/dynruntime.h"
#else
#include "py/obj.h"
#include "py/objarray.h"
#include "py/runtime.h"
#endif

#ifdef MICROPY_ENABLE_DYNRUNTIME
#if defined(__GNUC__) && !defined(__clang__)
#define EXPORT __attribute__((externally_visible, used))
#else
#define EXPORT __attribute__((used))
#endif
/* Compilers call these for copies and initialisers even in freestanding code; a native module has no libc. */
EXPORT void *memcpy(void *to, const void *from, size_t len) {
    return mp_fun_table.memmove_(to, from, len);
}
EXPORT void *memset(void *mem, int value, size_t len) {
    return mp_fun_table.memset_(mem, value, len);
}
#endif

/* ---- arguments ------------------------------------------------------------------------------------------------- */

static mp_obj_t answer(pf_status status) {
    return mp_obj_new_int((mp_int_t)status); /* natmod: mp_obj_new_int takes mp_uint_t; the sign survives the cast */
}

/* 1 and the value if the object is an int in uint32, else 0. Never truncates: mp_obj_get_int is unsigned in a native
 * module, and a small int on a 32-bit board ends at 2^30. */
static int take_u32(mp_obj_t object, uint32_t *value) {
    if (mp_obj_is_small_int(object)) {
        mp_int_t small = MP_OBJ_SMALL_INT_VALUE(object);
        *value = (uint32_t)small;
        return small >= 0 && (mp_uint_t)small <= 0xffffffffu;
    }
    *value = (uint32_t)mp_obj_get_int_truncated(object);
    return mp_obj_is_true(mp_binary_op(MP_BINARY_OP_EQUAL, object, mp_obj_new_int_from_uint(*value)));
}

/* The memory of a buffer object; NULL if it is shorter than `len` or not aligned. */
static void *take_buffer(mp_obj_t object, mp_uint_t access, size_t len, size_t alignment, size_t *found) {
    mp_buffer_info_t info;
    mp_get_buffer_raise(object, &info, access);
    if (found != NULL) {
        *found = info.len;
    }
    if (info.len < len || ((uintptr_t)info.buf & (alignment - 1)) != 0) {
        return NULL;
    }
    /* an empty buffer may have no address; NULL would look like a refusal */
    return info.buf == NULL ? (void *)alignment : info.buf;
}

static const uint8_t *take_bytes(mp_obj_t object, size_t len) {
    return take_buffer(object, MP_BUFFER_READ, len, 1, NULL);
}

static uint8_t *take_out(mp_obj_t object, size_t len) {
    return take_buffer(object, MP_BUFFER_WRITE, len, 1, NULL);
}

#define TAKE_U32(name, object)                                                                                         \
    uint32_t name;                                                                                                     \
    if (!take_u32(object, &name)) {                                                                                    \
        return answer(PF_E_ARGUMENT);                                                                                  \
    }
#define REFUSE_NULL(pointer)                                                                                           \
    if ((pointer) == NULL) {                                                                                           \
        return answer(PF_E_MEMORY);                                                                                    \
    }

/* ---- guarded objects ------------------------------------------------------------------------------------------- */

enum { KIND_TRAINER = 0x50465401, KIND_LEDGER, KIND_RATCHET };

typedef struct {
    uint32_t kind;
    uint32_t len;        /* of the whole buffer */
    uint32_t where;      /* low bits of its address */
    uint32_t target_len; /* trainer: bytes of one record's target */
    uint32_t released;   /* trainer: encoded since it began; more records under the same noise would undo that noise */
    uint32_t unused;
    uint64_t object[1]; /* 8-byte aligned */
} guarded;

#define GUARD offsetof(guarded, object)

/* The buffer as an object to be made: cleared of its guard. */
static guarded *take_new(mp_obj_t object, size_t len) {
    guarded *new = take_buffer(object, MP_BUFFER_WRITE, GUARD + len, 8, NULL);
    if (new != NULL) {
        new->kind = 0;
    }
    return new;
}

static void finish_new(guarded *new, uint32_t kind, size_t len, uint32_t target_len) {
    new->kind = kind;
    new->len = (uint32_t)len;
    new->where = (uint32_t)(uintptr_t)new;
    new->target_len = target_len;
    new->released = 0;
}

/* The object in a buffer, or NULL if it was not made there. */
static void *take_object(mp_obj_t object, uint32_t kind) {
    size_t len;
    guarded *made = take_buffer(object, MP_BUFFER_RW, GUARD, 8, &len);
    if (made == NULL || made->kind != kind || made->len > len || made->where != (uint32_t)(uintptr_t)made) {
        return NULL;
    }
    return made->object;
}

static guarded *guard_of(void *object) {
    return (guarded *)(void *)((uint8_t *)object - GUARD);
}

#define TAKE(type, name, object, kind)                                                                                 \
    type *name = take_object(object, kind);                                                                            \
    if (name == NULL) {                                                                                                \
        return answer(PF_E_STATE);                                                                                     \
    }

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

/* ---- trainer --------------------------------------------------------------------------------------------------- */

/* trainer_size(descriptor, mode) -> bytes, or PF_E_RANGE if the model is refused */
static mp_obj_t core_trainer_size(mp_obj_t descriptor_in, mp_obj_t mode_in) {
    size_t len;
    const uint8_t *descriptor = take_buffer(descriptor_in, MP_BUFFER_READ, 0, 1, &len);
    TAKE_U32(mode, mode_in);
    size_t size = pf_trainer_size(descriptor, len, mode);
    return size == 0 ? answer(PF_E_RANGE) : mp_obj_new_int_from_uint(size + GUARD);
}
static MP_DEFINE_CONST_FUN_OBJ_2(core_trainer_size_obj, core_trainer_size);

/* trainer_init(mem, descriptor, mode) -> 0 */
static mp_obj_t core_trainer_init(mp_obj_t mem_in, mp_obj_t descriptor_in, mp_obj_t mode_in) {
    size_t len;
    const uint8_t *descriptor = take_buffer(descriptor_in, MP_BUFFER_READ, 0, 1, &len);
    TAKE_U32(mode, mode_in);
    size_t size = pf_trainer_size(descriptor, len, mode);
    if (size == 0) {
        return answer(PF_E_RANGE);
    }
    guarded *new = take_new(mem_in, size);
    REFUSE_NULL(new);
    pf_status status = pf_trainer_init(new->object, size, descriptor, len, mode);
    if (status == PF_OK) {
        uint32_t outputs = pf_trainer_outputs((const pf_trainer *)new->object);
        finish_new(new, KIND_TRAINER, GUARD + size, descriptor[1] == PF_LOSS_SOFTMAX ? 1 : 2 * outputs);
    }
    return answer(status);
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_trainer_init_obj, core_trainer_init);

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
    pf_status status = pf_trainer_begin(trainer, key, log2_sigma, clip_norm);
    if (status == PF_OK) {
        guard_of(trainer)->released = 0;
    }
    return answer(status);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_trainer_begin_obj, 4, 4, core_trainer_begin);

/* trainer_fill(mem, n) -> accumulators that still wait for noise */
static mp_obj_t core_trainer_fill(mp_obj_t mem_in, mp_obj_t n_in) {
    TAKE(pf_trainer, trainer, mem_in, KIND_TRAINER);
    TAKE_U32(n, n_in);
    return answer(pf_trainer_fill(trainer, n));
}
static MP_DEFINE_CONST_FUN_OBJ_2(core_trainer_fill_obj, core_trainer_fill);

/* trainer_examples(mem, features, targets, count) -> 0; PF_E_STATE once the round's release was encoded */
static mp_obj_t core_trainer_examples(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t features_len;
    size_t targets_len;
    TAKE(pf_trainer, trainer, args[0], KIND_TRAINER);
    const uint8_t *features = take_buffer(args[1], MP_BUFFER_READ, 0, 1, &features_len);
    const uint8_t *targets = take_buffer(args[2], MP_BUFFER_READ, 0, 1, &targets_len);
    TAKE_U32(count, args[3]);
    const guarded *guard = guard_of(trainer);
    if (guard->released) {
        return answer(PF_E_STATE);
    }
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
    pf_status length = pf_update_encode(out, len, release, pf_trainer_trainable(trainer), shift);
    if (length >= 0) {
        guard_of(trainer)->released = 1;
    }
    return answer(length);
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_trainer_encode_obj, core_trainer_encode);

/* trainer_wipe(mem) -> 0; the whole buffer, whatever is in it */
static mp_obj_t core_trainer_wipe(mp_obj_t mem_in) {
    size_t len;
    uint8_t *mem = take_buffer(mem_in, MP_BUFFER_WRITE, 0, 1, &len);
    pf_wipe(mem, len);
    return answer(PF_OK);
}
static MP_DEFINE_CONST_FUN_OBJ_1(core_trainer_wipe_obj, core_trainer_wipe);

/* ---- flash ------------------------------------------------------------------------------------------------------ */

#define SCRATCH 64u

typedef struct {
    pf_flash flash;
    mp_obj_t read;
    mp_obj_t program;
    mp_obj_t erase;
    uint8_t *scratch; /* on the heap: a hook that keeps its buffer must not keep a piece of the C stack */
} python_flash;

static int flash_read(void *context, uint32_t offset, uint8_t *data, uint32_t len) {
    python_flash *python = context;
    while (len > 0) {
        uint32_t n = len < SCRATCH ? len : SCRATCH;
        mp_obj_t args[2] = {mp_obj_new_int_from_uint(offset), mp_obj_new_bytearray_by_ref(n, python->scratch)};
        mp_call_function_n_kw(python->read, 2, 0, args);
        pf_copy(data, python->scratch, n);
        offset += n;
        data += n;
        len -= n;
    }
    return 0;
}

static int flash_program(void *context, uint32_t offset, const uint8_t *data, uint32_t len) {
    python_flash *python = context;
    mp_obj_t args[2] = {mp_obj_new_int_from_uint(offset), mp_obj_new_bytes(data, len)};
    mp_call_function_n_kw(python->program, 2, 0, args);
    return 0;
}

static int flash_erase(void *context, uint32_t offset) {
    python_flash *python = context;
    mp_obj_t args[1] = {mp_obj_new_int_from_uint(offset)};
    mp_call_function_n_kw(python->erase, 1, 0, args);
    return 0;
}

static int take_flash(mp_obj_t object, python_flash *python) {
    python->flash.context = python;
    python->read = mp_load_attr(object, MP_QSTR_read);
    python->program = mp_load_attr(object, MP_QSTR_program);
    python->erase = mp_load_attr(object, MP_QSTR_erase);
    python->scratch = m_malloc(SCRATCH);
    python->flash.read = flash_read;
    python->flash.program = flash_program;
    python->flash.erase = flash_erase;
    uint32_t size;
    int fits = take_u32(mp_load_attr(object, MP_QSTR_block_size), &size);
    python->flash.block_size = size;
    return fits && size >= 256 && size <= 65536 && (size & (size - 1)) == 0;
}

#define TAKE_FLASH(name, object)                                                                                       \
    python_flash name;                                                                                                 \
    if (!take_flash(object, &name)) {                                                                                  \
        return answer(PF_E_ARGUMENT);                                                                                  \
    }

/* ---- seed store and ratchet ------------------------------------------------------------------------------------ */

/* ratchet_size() -> bytes */
static mp_obj_t core_ratchet_size(void) {
    return mp_obj_new_int_from_uint(GUARD + sizeof(pf_ratchet));
}
static MP_DEFINE_CONST_FUN_OBJ_0(core_ratchet_size_obj, core_ratchet_size);

/* ratchet_provision(flash, secret) -> 0; erases the region */
static mp_obj_t core_ratchet_provision(mp_obj_t flash_in, mp_obj_t secret_in) {
    const uint8_t *secret = take_bytes(secret_in, 32);
    REFUSE_NULL(secret);
    TAKE_FLASH(flash, flash_in);
    return answer(pf_ratchet_provision(&flash.flash, secret));
}
static MP_DEFINE_CONST_FUN_OBJ_2(core_ratchet_provision_obj, core_ratchet_provision);

/* ratchet_boot(mem, flash, entropy, context) -> boots so far (after this one) */
static mp_obj_t core_ratchet_boot(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    guarded *new = take_new(args[0], sizeof(pf_ratchet));
    REFUSE_NULL(new);
    const uint8_t *entropy = take_bytes(args[2], 32);
    REFUSE_NULL(entropy);
    size_t context_len;
    const uint8_t *context = take_buffer(args[3], MP_BUFFER_READ, 0, 1, &context_len);
    TAKE_FLASH(flash, args[1]);
    pf_ratchet *ratchet = (pf_ratchet *)new->object;
    pf_zero(ratchet, sizeof *ratchet);
    /* the guard is set last: a hook that raises leaves an object that is refused */
    pf_status status = pf_ratchet_boot(ratchet, &flash.flash, entropy, context, context_len);
    if (status != PF_OK) {
        return answer(status);
    }
    finish_new(new, KIND_RATCHET, GUARD + sizeof *ratchet, 0);
    return mp_obj_new_int_from_uint(ratchet->boot);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_ratchet_boot_obj, 4, 4, core_ratchet_boot);

/* ratchet_next(mem, seq, out) -> 0; out: 32 bytes */
static mp_obj_t core_ratchet_next(mp_obj_t mem_in, mp_obj_t seq_in, mp_obj_t out_in) {
    TAKE(pf_ratchet, ratchet, mem_in, KIND_RATCHET);
    TAKE_U32(seq, seq_in);
    uint8_t *out = take_out(out_in, 32);
    REFUSE_NULL(out);
    return answer(pf_ratchet_next(ratchet, seq, out));
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_ratchet_next_obj, core_ratchet_next);

/* ---- ledger ---------------------------------------------------------------------------------------------------- */

/* charge(clip_norm, log2_sigma, steps) -> units, 2^32 - 1 if they do not fit or an argument is out of range */
static mp_obj_t core_charge(mp_obj_t clip_norm_in, mp_obj_t log2_sigma_in, mp_obj_t steps_in) {
    TAKE_U32(clip_norm, clip_norm_in);
    TAKE_U32(log2_sigma, log2_sigma_in);
    TAKE_U32(steps, steps_in);
    return mp_obj_new_int_from_uint(pf_charge(clip_norm, log2_sigma, steps));
}
static MP_DEFINE_CONST_FUN_OBJ_3(core_charge_obj, core_charge);

/* ledger_size() -> bytes */
static mp_obj_t core_ledger_size(void) {
    return mp_obj_new_int_from_uint(GUARD + sizeof(pf_ledger));
}
static MP_DEFINE_CONST_FUN_OBJ_0(core_ledger_size_obj, core_ledger_size);

/* ledger_provision(flash, key, seq, cumulative) -> 0; erases the region */
static mp_obj_t core_ledger_provision(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    const uint8_t *key = take_bytes(args[1], 32);
    REFUSE_NULL(key);
    TAKE_U32(seq, args[2]);
    TAKE_U32(cumulative, args[3]);
    TAKE_FLASH(flash, args[0]);
    return answer(pf_ledger_provision(&flash.flash, key, seq, cumulative));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_ledger_provision_obj, 4, 4, core_ledger_provision);

/* ledger_open(mem, flash, key, max_charge) -> 0 */
static mp_obj_t core_ledger_open(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    guarded *new = take_new(args[0], sizeof(pf_ledger));
    REFUSE_NULL(new);
    const uint8_t *key = take_bytes(args[2], 32);
    REFUSE_NULL(key);
    TAKE_U32(max_charge, args[3]);
    TAKE_FLASH(flash, args[1]);
    pf_ledger *ledger = (pf_ledger *)new->object;
    pf_zero(ledger, sizeof *ledger);
    pf_status status = pf_ledger_open(ledger, &flash.flash, key, max_charge);
    if (status == PF_OK) {
        finish_new(new, KIND_LEDGER, GUARD + sizeof *ledger, 0);
    }
    return answer(status);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_ledger_open_obj, 4, 4, core_ledger_open);

/* ledger_charge(mem, flash, clip_norm, log2_sigma, steps, job, budget) -> 0; job: 4 bytes of its id as uint32 */
static mp_obj_t core_ledger_charge(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    TAKE(pf_ledger, ledger, args[0], KIND_LEDGER);
    TAKE_U32(clip_norm, args[2]);
    TAKE_U32(log2_sigma, args[3]);
    TAKE_U32(steps, args[4]);
    TAKE_U32(job, args[5]);
    TAKE_U32(budget, args[6]);
    TAKE_FLASH(flash, args[1]);
    /* closed while hooks run: one that raises leaves a ledger that must be opened again, which finds what was torn */
    guarded *guard = guard_of(ledger);
    guard->kind = 0;
    pf_status status = pf_ledger_charge(ledger, &flash.flash, clip_norm, log2_sigma, steps, job, budget);
    guard->kind = KIND_LEDGER;
    return answer(status);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_ledger_charge_obj, 7, 7, core_ledger_charge);

/* ledger_head(mem) -> (seq, cumulative, generation, offset of the next record) */
static mp_obj_t core_ledger_head(mp_obj_t mem_in) {
    TAKE(pf_ledger, ledger, mem_in, KIND_LEDGER);
    if (!ledger->open) {
        return answer(PF_E_STATE);
    }
    mp_obj_t head[4] = {
        mp_obj_new_int_from_uint(ledger->seq),
        mp_obj_new_int_from_uint(ledger->cumulative),
        mp_obj_new_int_from_uint(ledger->generation),
        mp_obj_new_int_from_uint(ledger->offset),
    };
    return mp_obj_new_tuple(4, head);
}
static MP_DEFINE_CONST_FUN_OBJ_1(core_ledger_head_obj, core_ledger_head);

/* ---- module ---------------------------------------------------------------------------------------------------- */

#define ENTRIES                                                                                                        \
    ENTRY(MP_QSTR_blake2b, core_blake2b_obj)                                                                           \
    ENTRY(MP_QSTR_chacha20, core_chacha20_obj)                                                                         \
    ENTRY(MP_QSTR_x25519, core_x25519_obj)                                                                             \
    ENTRY(MP_QSTR_crc32, core_crc32_obj)                                                                               \
    ENTRY(MP_QSTR_noise, core_noise_obj)                                                                               \
    ENTRY(MP_QSTR_entropy_condition, core_entropy_condition_obj)                                                       \
    ENTRY(MP_QSTR_features_imu, core_features_imu_obj)                                                                 \
    ENTRY(MP_QSTR_frame_encode, core_frame_encode_obj)                                                                 \
    ENTRY(MP_QSTR_frame_decode, core_frame_decode_obj)                                                                 \
    ENTRY(MP_QSTR_trainer_size, core_trainer_size_obj)                                                                 \
    ENTRY(MP_QSTR_trainer_init, core_trainer_init_obj)                                                                 \
    ENTRY(MP_QSTR_trainer_counts, core_trainer_counts_obj)                                                             \
    ENTRY(MP_QSTR_trainer_set_weights, core_trainer_set_weights_obj)                                                   \
    ENTRY(MP_QSTR_trainer_set_subset, core_trainer_set_subset_obj)                                                     \
    ENTRY(MP_QSTR_trainer_get_weights, core_trainer_get_weights_obj)                                                   \
    ENTRY(MP_QSTR_trainer_begin, core_trainer_begin_obj)                                                               \
    ENTRY(MP_QSTR_trainer_fill, core_trainer_fill_obj)                                                                 \
    ENTRY(MP_QSTR_trainer_examples, core_trainer_examples_obj)                                                         \
    ENTRY(MP_QSTR_trainer_step, core_trainer_step_obj)                                                                 \
    ENTRY(MP_QSTR_trainer_logits, core_trainer_logits_obj)                                                             \
    ENTRY(MP_QSTR_trainer_encode, core_trainer_encode_obj)                                                             \
    ENTRY(MP_QSTR_trainer_wipe, core_trainer_wipe_obj)                                                                 \
    ENTRY(MP_QSTR_ratchet_size, core_ratchet_size_obj)                                                                 \
    ENTRY(MP_QSTR_ratchet_provision, core_ratchet_provision_obj)                                                       \
    ENTRY(MP_QSTR_ratchet_boot, core_ratchet_boot_obj)                                                                 \
    ENTRY(MP_QSTR_ratchet_next, core_ratchet_next_obj)                                                                 \
    ENTRY(MP_QSTR_charge, core_charge_obj)                                                                             \
    ENTRY(MP_QSTR_ledger_size, core_ledger_size_obj)                                                                   \
    ENTRY(MP_QSTR_ledger_provision, core_ledger_provision_obj)                                                         \
    ENTRY(MP_QSTR_ledger_open, core_ledger_open_obj)                                                                   \
    ENTRY(MP_QSTR_ledger_charge, core_ledger_charge_obj)                                                               \
    ENTRY(MP_QSTR_ledger_head, core_ledger_head_obj)

#ifdef MICROPY_ENABLE_DYNRUNTIME

EXPORT mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    (void)n_args;
    (void)n_kw;
    (void)args;
    MP_DYNRUNTIME_INIT_ENTRY
#define ENTRY(name, object) mp_store_global(name, MP_OBJ_FROM_PTR(&object));
    ENTRIES
#undef ENTRY
    mp_store_global(MP_QSTR_VERSION, MP_OBJ_NEW_SMALL_INT(PF_VERSION));
    MP_DYNRUNTIME_INIT_EXIT
}

#else

#define ENTRY(name, object) {MP_ROM_QSTR(name), MP_ROM_PTR(&object)},
static const mp_rom_map_elem_t core_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_picofed_core)},
    {MP_ROM_QSTR(MP_QSTR_VERSION), MP_ROM_INT(PF_VERSION)}, ENTRIES};
#undef ENTRY
static MP_DEFINE_CONST_DICT(core_globals, core_globals_table);
const mp_obj_module_t picofed_core_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&core_globals,
};
MP_REGISTER_MODULE(MP_QSTR_picofed_core, picofed_core_module);

#endif
