/* mp_stores.h: flash regions behind Python objects; seed store and ledger in them. Part of micropython.c, which
 * includes it. */
#ifndef PF_MP_STORES_H
#define PF_MP_STORES_H

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
    python->read = mp_load_attr(object, NAME_READ);
    python->program = mp_load_attr(object, NAME_PROGRAM);
    python->erase = mp_load_attr(object, NAME_ERASE);
    python->scratch = m_malloc(SCRATCH);
    python->flash.read = flash_read;
    python->flash.program = flash_program;
    python->flash.erase = flash_erase;
    uint32_t size;
    int fits = take_u32(mp_load_attr(object, NAME_BLOCK_SIZE), &size);
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

#endif
