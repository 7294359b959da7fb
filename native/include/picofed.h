/* picofed.h: the core's only public header.
 *
 * Integer only, no heap, no libc. The caller owns all memory: every stateful object has a size() and an init(mem, len).
 * Formats (frames, ledger records, updates, descriptors) are specified bit by bit in SPEC.md; the section is named
 * beside each function. All multi-byte fields on flash and on the wire are little-endian.
 *
 * Fixed-point formats (SPEC 2):
 *   input activation   int8   Q7   [-127, 127]
 *   hidden activation  int8   Q5   [0, 127]       ReLU capped at 127/32
 *   bias activation    128 (input layer, 1.0 in Q7) or 32 (hidden layers, 1.0 in Q5)
 *   weight             int16  Q11  [-16384, 16383]
 *   pre-activation     int32  Q18 (input layer) or Q16 (hidden layers)
 *   delta              int16  Q12  [-16383, 16383]
 *   accumulator        uint32 wrapping, Q19 (input layer) or Q17 (hidden layers)
 */
#ifndef PICOFED_H
#define PICOFED_H

#include <stddef.h>
#include <stdint.h>

/* Every function that can fail returns one of these; 0 or a count is success. SPEC 1.3 has the texts. */
typedef int32_t pf_status;
enum {
    PF_OK = 0,
    PF_E_ARGUMENT = -1, /* an argument is outside its documented range */
    PF_E_RANGE = -2,    /* the model or round would leave the proven fixed-point ranges */
    PF_E_MEMORY = -3,   /* the caller's buffer is too small or not 8-byte aligned */
    PF_E_STATE = -4,    /* calls out of order, e.g. an example before the noise is complete */
    PF_E_BUDGET = -5,   /* the release would exceed the privacy budget */
    PF_E_BLANK = -6,    /* the ledger or the seed store was never provisioned, or was erased */
    PF_E_FLASH = -7,    /* flash did not hold what was written, or a hook failed */
    PF_E_ENTROPY = -8,  /* the entropy source failed a health test */
    PF_E_FRAME = -9,    /* a frame or an encoded update is malformed */
    PF_E_CORRUPT = -10  /* flash holds records that this board's key did not write */
};

#define PF_VERSION 1u

/* ---- primitives ------------------------------------------------------------------------------------------------ */

/* BLAKE2b (RFC 7693) of len bytes under an optional key (key_len 0..64), out_len 1..64 bytes. */
void pf_blake2b(uint8_t *out, size_t out_len, const uint8_t *key, size_t key_len, const uint8_t *data, size_t len);
/* ChaCha20 (RFC 8439): out = data XOR keystream from block `counter`; data may be NULL for the keystream itself.
 * Returns the next block counter. */
uint32_t pf_chacha20(
    uint8_t *out, const uint8_t *data, size_t len, const uint8_t key[32], const uint8_t nonce[12], uint32_t counter);
/* X25519 (RFC 7748): raw shared secret, to be hashed before use. */
void pf_x25519(uint8_t shared[32], const uint8_t secret[32], const uint8_t public_key[32]);
void pf_x25519_public(uint8_t public_key[32], const uint8_t secret[32]);
/* EdDSA on Curve25519 with BLAKE2b, Monocypher's default signature (not RFC 8032's SHA-512). secret: 64 bytes, the seed
 * and the public key. Boards only check, so that only the host's build carries the signing code. */
void pf_eddsa_key_pair(uint8_t secret[64], uint8_t public_key[32], const uint8_t seed[32]);
void pf_eddsa_sign(uint8_t signature[64], const uint8_t secret[64], const uint8_t *data, size_t len);
/* 0 when the signature is genuine, PF_E_CORRUPT otherwise. */
pf_status pf_eddsa_check(const uint8_t signature[64], const uint8_t public_key[32], const uint8_t *data, size_t len);
/* Constant-time comparison: 0 when equal. */
int pf_differ(const uint8_t *a, const uint8_t *b, size_t len);
/* Overwrite with zeros in a way that is not optimised away. */
void pf_wipe(void *mem, size_t len);

/* ---- noise: PF-DG1 (SPEC 3) ------------------------------------------------------------------------------------ */

#define PF_LOG2_SIGMA_MIN 6u
#define PF_LOG2_SIGMA_MAX 25u
#define PF_CLIP_NORM_MAX 1048575u /* C < 2^20 */

typedef struct {
    uint8_t key[32];
    uint32_t words[80]; /* current five ChaCha20 blocks: 16 trials of five words */
    uint32_t counter;   /* next block */
    uint32_t used;      /* of the words, already consumed; 80 = none left */
    uint32_t m;         /* log2(sigma) - 1; the sampler itself takes m in 0..24 */
} pf_noise;

/* Discrete Gaussian with sigma = 2^log2_sigma, 1 <= log2_sigma <= 25 (releases demand >= PF_LOG2_SIGMA_MIN).
 * Nonce 0, counter from 0: a key is used for one stream only. */
pf_status pf_noise_init(pf_noise *noise, const uint8_t key[32], uint32_t log2_sigma);
/* Write n samples. Every trial consumes exactly five keystream words, whatever its outcome. */
void pf_noise_fill(pf_noise *noise, int32_t *out, size_t n);

/* ---- entropy (SPEC 4.1) ---------------------------------------------------------------------------------------- */

#define PF_ENTROPY_RAW_MIN 1024u /* bytes: 8192 raw bits, credited 0.1 bit a bit */
/* SP 800-90B repetition-count and adaptive-proportion tests over the raw bits, then out = BLAKE2b-256(raw).
 * PF_E_ENTROPY (and out wiped) when a test fails. */
pf_status pf_entropy_condition(uint8_t out[32], const uint8_t *raw, size_t len);

/* ---- flash ------------------------------------------------------------------------------------------------------ */

/* NOR semantics: erase sets a block to 0xff, program can only clear bits. Hooks return 0, or negative on failure.
 * Offsets count from the start of the region. A region has two erase blocks of block_size bytes. */
typedef struct {
    void *context;
    uint32_t block_size; /* power of two, 256..65536 */
    int (*read)(void *context, uint32_t offset, uint8_t *data, uint32_t len);
    int (*program)(void *context, uint32_t offset, const uint8_t *data, uint32_t len);
    int (*erase)(void *context, uint32_t offset);
} pf_flash;

/* ---- seed store and ratchet (SPEC 4) --------------------------------------------------------------------------- */

typedef struct {
    uint8_t chain[32]; /* K: the noise keys of this boot come from here, ratcheted at each use */
    uint32_t boot;     /* boots so far */
    uint32_t ready;
} pf_ratchet;

/* Write the first secret into a region (erases it). */
pf_status pf_ratchet_provision(const pf_flash *flash, const uint8_t secret[32]);
/* Once a boot: take the stored secret, derive K and the next stored secret from it, the boot counter, 32 conditioned
 * entropy bytes and the caller's context (unique id, time); write and verify the next secret BEFORE K may be used. */
pf_status pf_ratchet_boot(
    pf_ratchet *ratchet, const pf_flash *flash, const uint8_t entropy[32], const uint8_t *context, size_t context_len);
/* out = BLAKE2b-256(K, "noise" | le32(seq)); K = BLAKE2b-256(K, "ratchet"). No key is ever given twice. */
pf_status pf_ratchet_next(pf_ratchet *ratchet, uint32_t seq, uint8_t out[32]);

/* ---- privacy ledger (SPEC 5) ----------------------------------------------------------------------------------- */

#define PF_LEDGER_RECORD 32u
enum { PF_LEDGER_GENESIS = 1, PF_LEDGER_RELEASE = 2, PF_LEDGER_CARRY = 3, PF_LEDGER_TORN = 4 };

typedef struct {
    uint8_t key[32];
    uint32_t max_charge; /* what a torn record is charged, units of 2^-24 mu^2 */
    uint32_t seq;        /* of the newest record */
    uint32_t cumulative; /* units of 2^-24 mu^2, saturating */
    uint32_t generation; /* counts switches of erase block */
    uint32_t offset;     /* where the next record goes */
    uint32_t open;
} pf_ledger;

/* ceil(clip_norm^2 2^24 / (4^log2_sigma - 3)) * steps, in units of 2^-24 mu^2; 0xffffffff when it does not fit or an
 * argument is outside its range (docs/proofs/discrete-noise.md says why this bounds what a release costs). */
uint32_t pf_charge(uint32_t clip_norm, uint32_t log2_sigma, uint32_t steps);
/* Erase both blocks and write the first record. The caller passes the highest cumulative and seq known to anyone. */
pf_status pf_ledger_provision(const pf_flash *flash, const uint8_t key[32], uint32_t seq, uint32_t cumulative);
/* Scan. PF_E_BLANK: no record. PF_E_CORRUPT: records, none valid under the key. A torn tail is charged max_charge here
 * (a PF_LEDGER_TORN record is written) before the ledger opens. */
pf_status pf_ledger_open(pf_ledger *ledger, const pf_flash *flash, const uint8_t key[32], uint32_t max_charge);
/* Check the budget, write the record, read it back. Only after PF_OK may anything be sent. job: 4 bytes of its id. */
pf_status pf_ledger_charge(pf_ledger *ledger, const pf_flash *flash, uint32_t clip_norm, uint32_t log2_sigma,
    uint32_t steps, uint32_t job, uint32_t budget);

/* ---- frames (SPEC 6) ------------------------------------------------------------------------------------------- */

/* CRC-32 (IEEE 802.3, reflected, as zlib's): pass 0 first, then the previous result to go on. */
uint32_t pf_crc32(uint32_t crc, const uint8_t *data, size_t len);
/* Largest encoded size of a frame with len payload bytes. */
size_t pf_frame_bound(size_t len);
/* payload -> CRC appended -> COBS -> bytes 0x03 and 0x1d escaped -> delimited by 0x00 on both sides. Returns the
 * length. */
pf_status pf_frame_encode(uint8_t *out, size_t out_len, const uint8_t *payload, size_t len);
/* In place: data holds what stood between two delimiters. Returns the payload length, or PF_E_FRAME. */
pf_status pf_frame_decode(uint8_t *data, size_t len);

/* ---- record store (SPEC 9) ------------------------------------------------------------------------------------- */

/* A ring of slots, and what was found in it. */
typedef struct {
    uint32_t channels; /* 1..255 */
    uint32_t samples;  /* of a slot, 1..255 */
    uint32_t slots;    /* 1..2^31 - 1 */
    uint32_t count;    /* found so far: slots that exist */
    uint32_t next;     /* seq behind the newest of them */
    uint32_t session;  /* of the newest of them */
} pf_ring;

/* Bytes of a slot; 0 if the ring is outside its ranges. */
uint32_t pf_slot_bytes(const pf_ring *ring);
/* Take n slots, of which the first is slot `number` of the ring: len bytes of data were read, the rest is not there.
 * A slot that does not exist is marked in data, which has room for all n. Returns how many exist. data: aligned to 2.
 */
pf_status pf_slots_check(pf_ring *ring, uint32_t number, uint32_t n, uint8_t *data, size_t len);
/* The same, without the crc32 of slots that have their bit in `checked`: bit n of it, the lowest of a byte first, for
 * slot n of the ring. Sets and clears bits; who writes a slot clears its bit first. NULL: all are checked. */
pf_status pf_slots_check_once(pf_ring *ring, uint32_t number, uint32_t n, uint8_t *data, size_t len, uint8_t *checked);

/* A walk over slots from one seq on, which puts windows together. The caller sets the first four to begin with, and
 * zeros behind them. */
typedef struct {
    uint32_t window;     /* samples, 1..65535 */
    uint32_t stride;     /* window..65535 */
    uint32_t unlabelled; /* 1: windows without a label too */
    uint32_t seq;        /* of the slot to be looked at; counts up */
    uint32_t place;      /* of that slot in the data; 0 whenever the data are others */
    uint32_t within;     /* a window of this slot was given already */
    uint32_t behind;     /* index that goes on with the session, + 1; 0: none */
    uint32_t session;
    uint32_t start; /* sample of the session that the window begins with */
    uint32_t have;  /* samples of the window so far */
    uint32_t label;
} pf_walk;

#define PF_WALK_MORE 256
/* Go on over n slots that pf_slots_check took. Returns the label of the next window, with its samples in `out` (window
 * x channels), or PF_WALK_MORE: walk->seq is the slot behind the data. Slots may be taken anew between calls, from
 * walk->seq on: what no longer exists then ends the windows that it is part of. */
pf_status pf_windows_next(pf_walk *walk, const pf_ring *ring, uint32_t n, const uint8_t *data, int16_t *out);

/* ---- features (SPEC 8) ----------------------------------------------------------------------------------------- */

#define PF_IMU_AXES 6u
#define PF_IMU_FEATURES 45u
/* One window of 6-axis int16 samples (n x 6, interleaved; 16 <= n <= 128) to 45 input activations. */
pf_status pf_features_imu(int8_t out[PF_IMU_FEATURES], const int16_t *samples, size_t n);

#define PF_WINDOW_MIN 16u
#define PF_WINDOW_MAX 128u
/* Means of every `block` samples of a window, as input activations: n / block x 6. n: 16..128, a multiple of block;
 * seen: the first 1..n samples decide which wrist it is. */
pf_status pf_features_blocks(int8_t *out, const int16_t *samples, uint32_t n, uint32_t block, uint32_t seen);
/* n targets of the squared error, int16 Q12 little-endian, from activations: 32 times the value less that of `from`, of
 * which the `period` values are used over and over; period 0: the value itself. */
void pf_targets(uint8_t *out, const int8_t *values, size_t n, const int8_t *from, size_t period);

#define PF_FILTERS_MAX 64u
/* One layer of convolution, its largest outputs and ReLU (SPEC 8.6), over steps x channels activations (1..128, 1..64).
 * layer: its len bytes. Returns the number of outputs, step by step; out NULL: counts them only, and needs no `in`. */
pf_status pf_convolution(
    int8_t *out, size_t out_len, const int8_t *in, uint32_t steps, uint32_t channels, const uint8_t *layer, size_t len);

/* ---- from slots to records (SPEC 8, 9) ------------------------------------------------------------------------- */

enum { PF_FRONT_IMU45 = 0, PF_FRONT_BLOCKS = 1, PF_FRONT_CONVOLUTION = 2 };
enum { PF_TARGET_LABEL = 0, PF_TARGET_NEXT = 1, PF_TARGET_SELF = 2 };
#define PF_ROWS 8 /* records that are put together at most: as many as the trainer accumulates in one pass */

/* What a job makes of windows. */
typedef struct {
    uint32_t features;
    uint32_t target;
    uint32_t window;
    uint32_t block;   /* 0 with imu45 */
    uint32_t horizon; /* blocks to foretell; 0 but with PF_TARGET_NEXT */
    uint32_t inputs;  /* of a record, 1..1023 */
    uint32_t labels;  /* only windows of a label below it; 0: every window, where the target is no label */
    uint32_t rows;    /* records in the rows so far; the caller sets it to 0 when it used them up */
} pf_front;

/* Bytes of a record's target: 1 for a label, which is not written. 0 if the front is not what SPEC 8 allows. */
uint32_t pf_front_target_bytes(const pf_front *front);
/* One record: its inputs in `row`, its target unless that is a label. samples: window x 6. filters: len bytes, none but
 * with convolution. scratch: holds values of the record afterwards. PF_E_MEMORY where it is too small. */
pf_status pf_front_record(const pf_front *front, const uint8_t *filters, size_t len, const int16_t *samples,
    int8_t *row, uint8_t *target, int8_t *scratch, size_t scratch_len);
/* Go on with a walk (pf_windows_next) until PF_ROWS records are in rows and targets (PF_OK) or the slots are at an end
 * (PF_WALK_MORE). samples: room for a window. */
pf_status pf_front_rows(pf_front *front, const uint8_t *filters, size_t len, pf_walk *walk, const pf_ring *ring,
    uint32_t n, const uint8_t *slots, int16_t *samples, int8_t *rows, uint8_t *targets, int8_t *scratch,
    size_t scratch_len);

/* ---- training (SPEC 2, 7) -------------------------------------------------------------------------------------- */

#define PF_LAYERS_MAX 8u
#define PF_WIDTH_MAX 1023u
enum { PF_LOSS_SOFTMAX = 0, PF_LOSS_SQUARED = 1 };
enum { PF_MODE_GRADIENT = 0, PF_MODE_LOCAL = 1 };

/* Clip in place, exactly (SPEC 2.6): squares are sums over layers; the caller passes, per layer, delta and the squared
 * norm of the trainable activations (bias activation included where the bias is trained). before/after, not NULL:
 * squared norms. PF_E_RANGE: a |delta| above 16383, or a norm of 2^64 or more. */
pf_status pf_clip(int16_t *const *deltas, const uint16_t *delta_counts, const uint32_t *activation_squares,
    size_t layers, uint32_t clip_norm, uint64_t *before, uint64_t *after);

typedef struct pf_trainer pf_trainer;

/* Bytes that a trainer for this model descriptor (SPEC 7.1) needs, 0 if the descriptor is malformed or its worst case
 * would leave the proven ranges. Accumulators exist for the trainable subset only. */
size_t pf_trainer_size(const uint8_t *descriptor, size_t len, uint32_t mode);
/* mem: 8-byte aligned, at least pf_trainer_size() bytes; the trainer lives in it. */
pf_status pf_trainer_init(void *mem, size_t mem_len, const uint8_t *descriptor, size_t len, uint32_t mode);
/* Frozen weights that stay where they are, in flash for one (SPEC 12): the caller makes an image of them once and keeps
 * it unchanged for as long as the trainer lives. The trainer then holds the trained weights alone, and takes one
 * example at a time: the same bits in less memory and more time. */
/* Bytes of the image, 0 if the descriptor is refused. */
size_t pf_frozen_size(const uint8_t *descriptor, size_t len);
/* Bytes [at, at + n) of an image whose weights are all 0; at and n are even. */
pf_status pf_frozen_clear(uint8_t *out, uint32_t at, size_t n, const uint8_t *descriptor, size_t len);
/* Put those of the parameters [offset, offset + count), as for pf_trainer_set_weights, that lie in these bytes. */
pf_status pf_frozen_put(uint8_t *out, uint32_t at, size_t n, const uint8_t *descriptor, size_t len, uint32_t offset,
    const uint8_t *weights, size_t count);
/* As pf_trainer_size and pf_trainer_init. image: 4-byte aligned; PF_E_CORRUPT if it is not one for this model and for
 * the processor's order of weights. pf_trainer_set_weights writes trained weights, and refuses frozen ones that are not
 * the image's (PF_E_STATE, nothing is written). */
size_t pf_trainer_frozen_size(const uint8_t *descriptor, size_t len, uint32_t mode);
pf_status pf_trainer_frozen_init(void *mem, size_t mem_len, const uint8_t *descriptor, size_t len, uint32_t mode,
    const uint8_t *image, size_t image_len);
/* Counts: all parameters, trainable parameters, inputs, outputs. */
uint32_t pf_trainer_parameters(const pf_trainer *trainer);
uint32_t pf_trainer_trainable(const pf_trainer *trainer);
uint32_t pf_trainer_inputs(const pf_trainer *trainer);
uint32_t pf_trainer_outputs(const pf_trainer *trainer);
/* Write weights [offset, offset + n) of the full parameter vector (SPEC 7.2); little-endian int16, out of range =
 * PF_E_RANGE and nothing is written. */
pf_status pf_trainer_set_weights(pf_trainer *trainer, uint32_t offset, const uint8_t *data, size_t n);
pf_status pf_trainer_get_weights(const pf_trainer *trainer, uint32_t offset, uint8_t *data, size_t n);
/* The same for the trainable subset in its own order (SPEC 7.3). */
pf_status pf_trainer_set_subset(pf_trainer *trainer, uint32_t offset, const uint8_t *data, size_t n);
/* Begin a round or a local step: every accumulator waits for its noise. log2_sigma = 0 and clip_norm = 0: no noise, no
 * clipping, for the host's baselines; the MicroPython binding refuses it. */
pf_status pf_trainer_begin(pf_trainer *trainer, const uint8_t noise_key[32], uint32_t log2_sigma, uint32_t clip_norm);
/* Fill up to n accumulators with noise; returns how many still wait. */
pf_status pf_trainer_fill(pf_trainer *trainer, uint32_t n);
/* Forward, backward, clip, accumulate `count` examples. features: int8 count x inputs. targets: softmax: uint8 class a
 * record; squared error: int16 Q12 little-endian, outputs a record. PF_E_STATE while accumulators wait for noise. */
pf_status pf_trainer_examples(pf_trainer *trainer, const int8_t *features, const uint8_t *targets, uint32_t count);
/* Local mode: weights -= accumulators * multiplier / 2^shift (SPEC 7.5), 0 < multiplier < 2^16, shift <= 40. The next
 * step starts with pf_trainer_begin. */
pf_status pf_trainer_step(pf_trainer *trainer, uint32_t multiplier, uint32_t shift);
/* What is released: gradient mode: the accumulators, which take no further example from here on (a second release under
 * the same noise would show the difference); local mode: the change of the trainable weights, Q23, once a step is done.
 * NULL while there is nothing to release. The pointer stays good until the next pf_trainer_begin. */
const uint32_t *pf_trainer_release(pf_trainer *trainer);
/* Forward only: int32 pre-activations of the last layer. */
pf_status pf_trainer_logits(pf_trainer *trainer, const int8_t *features, int32_t *logits);

/* ---- update payloads (SPEC 7.6) -------------------------------------------------------------------------------- */

/* Round to multiples of 2^shift (0..30) and Rice-code. Post-processing of the release. Returns the length. */
pf_status pf_update_encode(uint8_t *out, size_t out_len, const uint32_t *values, size_t n, uint32_t shift);
/* The exact inverse up to the rounding: values in units of 1 (already multiplied by 2^shift). */
pf_status pf_update_decode(int32_t *values, size_t n, const uint8_t *data, size_t len);
/* What pf_update_encode would return with room enough, and what pf_update_decode makes of its result. */
pf_status pf_update_length(const uint32_t *values, size_t n, uint32_t shift);
void pf_update_round(int32_t *out, const uint32_t *values, size_t n, uint32_t shift);

/* ---- many clients at once (SPEC 7.7): for hosts, in no native module ------------------------------------------- */

/* One round of a job for all clients of a call; log2_sigma = 0 and clip_norm = 0: no noise, no clipping. */
typedef struct {
    uint32_t log2_sigma;
    uint32_t clip_norm;
    uint32_t steps; /* 1 in gradient mode */
    uint32_t multiplier;
    uint32_t shift;
    uint32_t round_shift; /* of the payload */
} pf_batch_round;

typedef struct {
    uint32_t weights; /* index of its vector among the weights */
    uint32_t first;   /* its records are [first, first + records) of features and targets */
    uint32_t records;
} pf_batch_client;

/* Run n clients one after the other on one trainer; bit for bit what each would release alone. weights: vectors as in
 * pf_trainer_set_weights; keys: 32 bytes for each client and step; values: n x trainable, what a server decodes from
 * the payloads; payloads: n places of payload_size bytes, or NULL; lengths: of the payloads. */
pf_status pf_batch_run(pf_trainer *trainer, const pf_batch_round *round, const pf_batch_client *clients, uint32_t n,
    const uint8_t *weights, const int8_t *features, const uint8_t *targets, const uint8_t *keys, int32_t *values,
    uint8_t *payloads, size_t payload_size, uint32_t *lengths);
/* pf_trainer_logits for n records; logits: n x outputs. */
pf_status pf_batch_logits(pf_trainer *trainer, const int8_t *features, uint32_t n, int32_t *logits);
/* total[i] += sum of the i-th int32, little-endian, of `count` vectors of n. |sum| <= 2^31 2^32 = 2^63 for any count:
 * the caller keeps count times the calls below 2^32. */
void pf_batch_sum(int64_t *total, size_t n, const uint8_t *const *vectors, uint32_t count);

/* ---- masked payloads (SPEC 10.4) ------------------------------------------------------------------------------- */

#define PF_MASK_BITS_MIN 8u
/* Round n values (1 to 2^25 - 1) to multiples of 2^shift (0..24), take them modulo 2^bits (8..32, shift + bits <= 32),
 * add the mask of `seed`, pack. Returns the length, ceil(n bits / 8). out may be the values' own memory. */
pf_status pf_mask_encode(uint8_t *out, size_t out_len, const uint32_t *values, size_t n, uint32_t shift, uint32_t bits,
    const uint8_t seed[32]);
/* The packed fields, masks and all. PF_E_FRAME: another length, or padding that is not 0. */
pf_status pf_mask_unpack(uint32_t *values, size_t n, uint32_t bits, const uint8_t *data, size_t len);
/* sum += weight * the mask of `seed`, modulo 2^bits. */
pf_status pf_mask_sum(uint32_t *sum, size_t n, uint32_t bits, const uint8_t seed[32], uint32_t weight);
/* Packed fields += the mask of `seed`, or -= if `minus` is 1, modulo 2^bits, in place. */
pf_status pf_mask_add(uint8_t *fields, size_t len, size_t n, uint32_t bits, const uint8_t seed[32], uint32_t minus);

/* ---- shares of a secret (SPEC 11.5) ---------------------------------------------------------------------------- */

#define PF_SHARE 32u
/* The share at point x (1..255) of a secret that any `threshold` (1..255) shares give back. coefficients: threshold - 1
 * times 32 random bytes, the same for all shares. In a time that depends on the threshold alone. */
pf_status pf_shamir_share(uint8_t share[PF_SHARE], const uint8_t secret[PF_SHARE], const uint8_t *coefficients,
    uint32_t threshold, uint32_t x);
/* The secret from `threshold` shares, 32 bytes each, at as many different points. */
pf_status pf_shamir_combine(uint8_t secret[PF_SHARE], const uint8_t *points, const uint8_t *shares, uint32_t threshold);

#endif
