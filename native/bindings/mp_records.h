/* mp_records.h: slots and windows of the record store. Part of micropython.c, which includes it. */
#ifndef PF_MP_RECORDS_H
#define PF_MP_RECORDS_H

/* ---- record store ---------------------------------------------------------------------------------------------- */

/* Room for n slots, or NULL. */
static uint8_t *take_slots(mp_obj_t object, const pf_ring *ring, uint32_t n) {
    size_t len;
    uint8_t *slots = take_buffer(object, MP_BUFFER_RW, 0, 2, &len);
    return slots != NULL && pf_multiply(n, pf_slot_bytes(ring)) <= len ? slots : NULL;
}

/* The bits of slots whose crc32 was checked, or NULL: a refusal where there is such an object. */
static uint8_t *take_checked(mp_obj_t object, const pf_ring *ring) {
    return take_buffer(object, MP_BUFFER_RW, (ring->slots & 0x7fffffffu) / 8u + 1u, 1, NULL);
}

/* slots_check(ring, number, n, slots, len[, checked]) -> how many of the n slots from `number` on exist; ring: array of
 * the six words of pf_ring, slots: buffer, of which len bytes were read, checked: a bit a slot, and one byte more */
static mp_obj_t core_slots_check(size_t n_args, const mp_obj_t *args) {
    pf_ring *ring = take_words(args[0], sizeof(pf_ring));
    REFUSE_NULL(ring);
    TAKE_U32(number, args[1]);
    TAKE_U32(n, args[2]);
    uint8_t *slots = take_slots(args[3], ring, n);
    REFUSE_NULL(slots);
    TAKE_U32(len, args[4]);
    uint8_t *checked = n_args == 5 ? NULL : take_checked(args[5], ring);
    if (n_args != 5) {
        REFUSE_NULL(checked);
    }
    return answer(pf_slots_check_once(ring, number, n, slots, len, checked));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_slots_check_obj, 5, 6, core_slots_check);

/* windows_next(walk, ring, n, slots, out) -> label of the window in `out` (int16), or 256 where the n slots are at an
 * end; walk: array of the words of pf_walk */
static mp_obj_t core_windows_next(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    pf_walk *walk = take_words(args[0], sizeof(pf_walk));
    const pf_ring *ring = take_words(args[1], sizeof(pf_ring));
    REFUSE_NULL(walk);
    REFUSE_NULL(ring);
    TAKE_U32(n, args[2]);
    const uint8_t *slots = take_slots(args[3], ring, n);
    REFUSE_NULL(slots);
    /* the window is checked to be below 2^16, channels < 2^8 */
    size_t room = (size_t)2 * ring->channels * (walk->window & 0xffffu);
    int16_t *out = take_buffer(args[4], MP_BUFFER_WRITE, room, 2, NULL);
    REFUSE_NULL(out);
    return answer(pf_windows_next(walk, ring, n, slots, out));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_windows_next_obj, 5, 5, core_windows_next);

/* ---- from slots to records ------------------------------------------------------------------------------------- */

/* A front whose parts fit together, or NULL; size: bytes of a target. */
static pf_front *take_front(mp_obj_t object, uint32_t *size) {
    pf_front *front = take_words(object, sizeof(pf_front));
    *size = front == NULL ? 0 : pf_front_target_bytes(front);
    return *size == 0 ? NULL : front;
}

/* front_record(front, filters, samples, row, target, scratch) -> 0; front: array of the words of pf_front, target: not
 * touched where it is a label */
static mp_obj_t core_front_record(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    uint32_t size;
    size_t len;
    size_t scratch_len;
    const pf_front *front = take_front(args[0], &size);
    if (front == NULL) {
        return answer(PF_E_ARGUMENT);
    }
    const uint8_t *filters = take_buffer(args[1], MP_BUFFER_READ, 0, 1, &len);
    const int16_t *samples =
        take_buffer(args[2], MP_BUFFER_READ, (size_t)(front->window & 0xffffu) * 2 * PF_IMU_AXES, 2, NULL);
    int8_t *row = take_buffer(args[3], MP_BUFFER_WRITE, front->inputs, 1, NULL);
    uint8_t *target = take_out(args[4], size);
    int8_t *scratch = take_buffer(args[5], MP_BUFFER_WRITE, 0, 1, &scratch_len);
    REFUSE_NULL(samples);
    REFUSE_NULL(row);
    REFUSE_NULL(target);
    return answer(pf_front_record(front, filters, len, samples, row, target, scratch, scratch_len));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_front_record_obj, 6, 6, core_front_record);

/* front_rows(front, filters, walk, held, ring, seek, readinto, slots, samples, rows, targets, scratch[,
 * checked]) */
enum {
    ROWS_FRONT,
    ROWS_FILTERS,
    ROWS_WALK,
    ROWS_HELD,
    ROWS_RING,
    ROWS_SEEK,
    ROWS_READINTO,
    ROWS_SLOTS,
    ROWS_SAMPLES,
    ROWS_ROWS,
    ROWS_TARGETS,
    ROWS_SCRATCH,
    ROWS_CHECKED,
    ROWS_ARGUMENTS
};

typedef struct {
    uint32_t n;   /* slots that were read */
    uint32_t end; /* seq behind the last one that the walk looks at */
} held_slots;

#define STORE_HEAD 32u /* bytes of the file before its slots */

/* Reads what is behind the slots that the walk is through with: PF_OK, or PF_WALK_MORE where there is nothing. What it
 * calls may do anything: no pointer into a buffer outlives it. */
static mp_obj_t read_on(size_t n_args, const mp_obj_t *args) {
    pf_walk *walk = take_words(args[ROWS_WALK], sizeof(pf_walk));
    held_slots *held = take_words(args[ROWS_HELD], sizeof(held_slots));
    pf_ring *ring = take_words(args[ROWS_RING], sizeof(pf_ring));
    REFUSE_NULL(walk);
    REFUSE_NULL(held);
    REFUSE_NULL(ring);
    if (walk->place < held->n) {
        return answer(PF_OK);
    }
    if (walk->seq >= held->end) {
        return answer(PF_WALK_MORE);
    }
    size_t room;
    uint8_t *slots = take_buffer(args[ROWS_SLOTS], MP_BUFFER_RW, 0, 2, &room);
    REFUSE_NULL(slots);
    uint32_t size = pf_slot_bytes(ring);
    if (size == 0 || room < size) {
        return answer(size == 0 ? PF_E_ARGUMENT : PF_E_MEMORY);
    }
    /* quotient * slots <= seq */
    uint32_t number = walk->seq - pf_divide(walk->seq, ring->slots) * ring->slots;
    uint32_t n = held->end - walk->seq;
    n = n < ring->slots - number ? n : ring->slots - number;
    n = pf_multiply(n, size) <= room ? n : pf_divide((uint32_t)room, size);
    uint64_t at = STORE_HEAD + pf_multiply(number, size);
    if (at > 0xffffffffu) {
        return answer(PF_E_ARGUMENT);
    }
    held->n = 0; /* until it was read */
    walk->place = 0;
    mp_obj_t arguments[1] = {mp_obj_new_int_from_uint((uint32_t)at)};
    mp_call_function_n_kw(args[ROWS_SEEK], 1, 0, arguments);
    /* n * size <= room */
    arguments[0] = n * size == room ? args[ROWS_SLOTS] : mp_obj_new_bytearray_by_ref(n * size, slots);
    mp_obj_t got = mp_call_function_n_kw(args[ROWS_READINTO], 1, 0, arguments);
    TAKE_U32(len, got);
    ring = take_words(args[ROWS_RING], sizeof(pf_ring));
    held = take_words(args[ROWS_HELD], sizeof(held_slots));
    REFUSE_NULL(ring);
    REFUSE_NULL(held);
    slots = take_slots(args[ROWS_SLOTS], ring, n);
    REFUSE_NULL(slots);
    uint8_t *checked = n_args == ROWS_CHECKED ? NULL : take_checked(args[ROWS_CHECKED], ring);
    if (n_args != ROWS_CHECKED) {
        REFUSE_NULL(checked);
    }
    pf_status found = pf_slots_check_once(ring, number, n, slots, len, checked);
    if (found < 0) {
        return answer(found);
    }
    held->n = n;
    return answer(PF_OK);
}

/* Makes records of the slots that were read, as pf_front_rows. */
static mp_obj_t rows_of_slots(const mp_obj_t *args) {
    uint32_t size;
    size_t len;
    size_t scratch_len;
    pf_front *front = take_front(args[ROWS_FRONT], &size);
    if (front == NULL) {
        return answer(PF_E_ARGUMENT);
    }
    const uint8_t *filters = take_buffer(args[ROWS_FILTERS], MP_BUFFER_READ, 0, 1, &len);
    pf_walk *walk = take_words(args[ROWS_WALK], sizeof(pf_walk));
    const held_slots *held = take_words(args[ROWS_HELD], sizeof(held_slots));
    const pf_ring *ring = take_words(args[ROWS_RING], sizeof(pf_ring));
    REFUSE_NULL(walk);
    REFUSE_NULL(held);
    REFUSE_NULL(ring);
    const uint8_t *slots = take_slots(args[ROWS_SLOTS], ring, held->n);
    int16_t *samples =
        take_buffer(args[ROWS_SAMPLES], MP_BUFFER_WRITE, (size_t)(front->window & 0xffffu) * 2 * PF_IMU_AXES, 2, NULL);
    int8_t *rows = take_buffer(args[ROWS_ROWS], MP_BUFFER_WRITE, (size_t)PF_ROWS * front->inputs, 1, NULL);
    uint8_t *targets = take_out(args[ROWS_TARGETS], (size_t)PF_ROWS * size);
    int8_t *scratch = take_buffer(args[ROWS_SCRATCH], MP_BUFFER_WRITE, 0, 1, &scratch_len);
    REFUSE_NULL(slots);
    REFUSE_NULL(samples);
    REFUSE_NULL(rows);
    REFUSE_NULL(targets);
    return answer(
        pf_front_rows(front, filters, len, walk, ring, held->n, slots, samples, rows, targets, scratch, scratch_len));
}

/* -> 0 once there are 8 records, or 256 at the end of the walk. held: array of two words, how many slots `slots` holds
 * and the seq at which the walk ends; where it needs others it calls seek(place) and readinto(buffer) of the store's
 * file. A call for each few slots would cost as much as what is done with them. */
static mp_obj_t core_front_rows(size_t n_args, const mp_obj_t *args) {
    for (;;) {
        mp_obj_t status = rows_of_slots(args);
        if (status != MP_OBJ_NEW_SMALL_INT(PF_WALK_MORE)) {
            return status;
        }
        status = read_on(n_args, args);
        if (status != MP_OBJ_NEW_SMALL_INT(PF_OK)) {
            return status;
        }
    }
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_front_rows_obj, ROWS_CHECKED, ROWS_ARGUMENTS, core_front_rows);

#endif
