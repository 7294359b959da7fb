/* mp_arguments.h: integers and buffers from MicroPython, and objects that live in a caller's bytearray. Part of
 * micropython.c, which includes it. */
#ifndef PF_MP_ARGUMENTS_H
#define PF_MP_ARGUMENTS_H

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

/* An array of words that a struct of the core lies in. */
static PF_NOINLINE void *take_words(mp_obj_t object, size_t len) {
    return take_buffer(object, MP_BUFFER_RW, len, 4, NULL);
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
    uint64_t object[1];  /* 8-byte aligned */
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

#endif
