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

/* slots_check(ring, number, n, slots, len) -> how many of the n slots from `number` on exist; ring: array of the six
 * words of pf_ring, slots: buffer, of which len bytes were read */
static mp_obj_t core_slots_check(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    pf_ring *ring = take_buffer(args[0], MP_BUFFER_RW, sizeof(pf_ring), 4, NULL);
    REFUSE_NULL(ring);
    TAKE_U32(number, args[1]);
    TAKE_U32(n, args[2]);
    uint8_t *slots = take_slots(args[3], ring, n);
    REFUSE_NULL(slots);
    TAKE_U32(len, args[4]);
    return answer(pf_slots_check(ring, number, n, slots, len));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_slots_check_obj, 5, 5, core_slots_check);

/* windows_next(walk, ring, n, slots, out) -> label of the window in `out` (int16), or 256 where the n slots are at an
 * end; walk: array of the words of pf_walk */
static mp_obj_t core_windows_next(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    pf_walk *walk = take_buffer(args[0], MP_BUFFER_RW, sizeof(pf_walk), 4, NULL);
    const pf_ring *ring = take_buffer(args[1], MP_BUFFER_READ, sizeof(pf_ring), 4, NULL);
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
    pf_front *front = take_buffer(object, MP_BUFFER_RW, sizeof(pf_front), 4, NULL);
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

/* front_rows(front, filters, walk, ring, n, slots, samples, rows, targets, scratch) -> 0 once there are 8 records, or
 * 256 where the n slots are at an end */
static mp_obj_t core_front_rows(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    uint32_t size;
    size_t len;
    size_t scratch_len;
    pf_front *front = take_front(args[0], &size);
    if (front == NULL) {
        return answer(PF_E_ARGUMENT);
    }
    const uint8_t *filters = take_buffer(args[1], MP_BUFFER_READ, 0, 1, &len);
    pf_walk *walk = take_buffer(args[2], MP_BUFFER_RW, sizeof(pf_walk), 4, NULL);
    const pf_ring *ring = take_buffer(args[3], MP_BUFFER_READ, sizeof(pf_ring), 4, NULL);
    REFUSE_NULL(walk);
    REFUSE_NULL(ring);
    TAKE_U32(n, args[4]);
    const uint8_t *slots = take_slots(args[5], ring, n);
    int16_t *samples =
        take_buffer(args[6], MP_BUFFER_WRITE, (size_t)(front->window & 0xffffu) * 2 * PF_IMU_AXES, 2, NULL);
    int8_t *rows = take_buffer(args[7], MP_BUFFER_WRITE, (size_t)PF_ROWS * front->inputs, 1, NULL);
    uint8_t *targets = take_out(args[8], (size_t)PF_ROWS * size);
    int8_t *scratch = take_buffer(args[9], MP_BUFFER_WRITE, 0, 1, &scratch_len);
    REFUSE_NULL(slots);
    REFUSE_NULL(samples);
    REFUSE_NULL(rows);
    REFUSE_NULL(targets);
    return answer(
        pf_front_rows(front, filters, len, walk, ring, n, slots, samples, rows, targets, scratch, scratch_len));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(core_front_rows_obj, 10, 10, core_front_rows);

#endif
