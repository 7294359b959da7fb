/* Every parser of the core on arbitrary bytes, under libFuzzer and sanitizers. The first byte chooses the parser, so
 * that one corpus serves all. Beyond not crashing: what is accepted must be what the format says it is. */
#include "fuzz.h"
#include "port.h"

#define BLOCK 256u

int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size); /* libFuzzer's own */

/* What is accepted encodes again, and decodes to the same. */
static void fuzz_frame(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, data, size);
    pf_status length = pf_frame_decode(copy, size);
    if (length >= 0) {
        REQUIRE((size_t)length < size);
        size_t bound = pf_frame_bound((size_t)length);
        uint8_t *again = malloc(bound + 1);
        pf_status encoded = pf_frame_encode(again, bound, copy, (size_t)length);
        REQUIRE(encoded > 2 && (size_t)encoded <= bound && again[0] == 0 && again[encoded - 1] == 0);
        pf_status back = pf_frame_decode(again + 1, (size_t)encoded - 2);
        REQUIRE(back == length && memcmp(again + 1, copy, (size_t)length) == 0);
        free(again);
    } else {
        REQUIRE(length == PF_E_FRAME);
    }
    free(copy);
}

static void fuzz_frame_encode(const uint8_t *data, size_t size) {
    size_t bound = pf_frame_bound(size);
    uint8_t *frame = malloc(bound + 1);
    pf_status length = pf_frame_encode(frame, bound, data, size);
    if (length > 0) {
        for (pf_status i = 1; i + 1 < length; i++) {
            REQUIRE(frame[i] != 0 && frame[i] != 0x03);
            REQUIRE(frame[i] != 0x1d || frame[i + 1] == 0x23 || frame[i + 1] == 0x3d);
        }
        REQUIRE(pf_frame_decode(frame + 1, (size_t)length - 2) == (pf_status)size);
        REQUIRE(memcmp(frame + 1, data, size) == 0);
    }
    free(frame);
}

/* What is accepted encodes again. */
static void fuzz_codec(const uint8_t *data, size_t size) {
    static int32_t values[256];
    if (size == 0) {
        return;
    }
    size_t n = data[0];
    pf_status status = pf_update_decode(values, n, data + 1, size - 1);
    REQUIRE(status == PF_OK || status == PF_E_FRAME);
    if (status == PF_OK) {
        uint8_t out[16 + 7 * 256];
        pf_status length = pf_update_encode(out, sizeof out, (const uint32_t *)values, n, data[2]);
        REQUIRE(length > 0);
        int32_t again[256];
        REQUIRE(pf_update_decode(again, n, out, (size_t)length) == PF_OK);
    }
}

static void fuzz_codec_encode(const uint8_t *data, size_t size) {
    if (size == 0) {
        return;
    }
    uint32_t values[64];
    int32_t back[64];
    size_t n = (size - 1) / 4 < 64 ? (size - 1) / 4 : 64;
    memcpy(values, data + 1, 4 * n);
    uint8_t *out = malloc(16 + 7 * n);
    uint32_t shift = data[0] % 32;
    pf_status length = pf_update_encode(out, 16 + 7 * n, values, n, shift);
    REQUIRE(shift <= 30 ? length > 0 : length == PF_E_ARGUMENT);
    REQUIRE(pf_update_length(values, n, shift) == length);
    if (length > 0) {
        REQUIRE(pf_update_decode(back, n, out, (size_t)length) == PF_OK);
        for (size_t i = 0; i < n; i++) {
            int64_t distance = (int64_t)back[i] - (int32_t)values[i];
            REQUIRE(distance <= (int64_t)1 << shift && -distance <= (int64_t)1 << shift);
        }
    }
    free(out);
}

/* A descriptor and then: weights, records and targets from the rest. */
static void fuzz_trainer(const uint8_t *data, size_t size) {
    if (size < 3) {
        return;
    }
    uint32_t mode = data[0] & 3u;
    size_t len = data[1] < size - 2 ? data[1] : size - 2;
    const uint8_t *descriptor = data + 2;
    const uint8_t *rest = descriptor + len;
    size_t left = size - 2 - len;
    size_t bytes = pf_trainer_size(descriptor, len, mode);
    if (bytes == 0 || bytes > 1u << 20) {
        return;
    }
    void *memory = malloc(bytes);
    REQUIRE(pf_trainer_init(memory, bytes - 1, descriptor, len, mode) == PF_E_MEMORY);
    REQUIRE(pf_trainer_init(memory, bytes, descriptor, len, mode) == PF_OK);
    pf_trainer *trainer = memory;
    uint32_t parameters = pf_trainer_parameters(trainer);
    uint32_t trainable = pf_trainer_trainable(trainer);
    uint32_t inputs = pf_trainer_inputs(trainer);
    uint32_t outputs = pf_trainer_outputs(trainer);
    REQUIRE(trainable > 0 && trainable <= parameters);
    size_t weights = left / 2 < parameters ? left / 2 : parameters;
    (void)pf_trainer_set_weights(trainer, 0, rest, weights);
    (void)pf_trainer_set_subset(trainer, trainable / 2, rest, weights < 8 ? weights : 8);
    REQUIRE(pf_trainer_set_weights(trainer, parameters, rest, 1) < 0);
    REQUIRE(pf_trainer_begin(trainer, key, 6u + (data[0] >> 2) % 20u, 1u + data[1] * 4000u) == PF_OK);
    while (pf_trainer_fill(trainer, 100) > 0) {
    }
    size_t one = 4 * (size_t)outputs + inputs;
    uint8_t *record = calloc(one, 1);
    for (size_t at = 0; at < 3 && left > 0; at++) {
        size_t take = left < one ? left : one;
        memcpy(record, rest, take);
        rest += take;
        left -= take;
        (void)pf_trainer_examples(trainer, (const int8_t *)record, record + inputs, 1);
    }
    if (mode == PF_MODE_LOCAL) {
        uint32_t multiplier = 1u + data[1] * 257u;
        uint32_t shift = data[0] % 43u;
        pf_status stepped = pf_trainer_step(trainer, multiplier, shift);
        REQUIRE(stepped == (multiplier < 1u << 16 && shift <= 40u ? PF_OK : PF_E_ARGUMENT));
        REQUIRE(stepped == PF_OK || (pf_trainer_release(trainer) == NULL && pf_trainer_step(trainer, 1, 40) == PF_OK));
    }
    int32_t *logits = malloc(sizeof(int32_t) * outputs);
    (void)pf_trainer_logits(trainer, (const int8_t *)record, logits);
    REQUIRE(pf_trainer_release(trainer) != NULL);
    free(logits);
    free(record);
    free(memory);
}

/* ---- flash ------------------------------------------------------------------------------------------------------ */

static uint8_t chip[2 * BLOCK];

static int chip_read(void *context, uint32_t offset, uint8_t *data, uint32_t len) {
    (void)context;
    REQUIRE(offset <= sizeof chip && len <= sizeof chip - offset);
    memcpy(data, chip + offset, len);
    return 0;
}

static int chip_program(void *context, uint32_t offset, const uint8_t *data, uint32_t len) {
    (void)context;
    REQUIRE(offset <= sizeof chip && len <= sizeof chip - offset);
    for (uint32_t i = 0; i < len; i++) {
        chip[offset + i] &= data[i];
    }
    return 0;
}

static int chip_erase(void *context, uint32_t offset) {
    (void)context;
    REQUIRE(offset == 0 || offset == BLOCK);
    memset(chip + offset, 0xff, BLOCK);
    return 0;
}

static const pf_flash flash = {NULL, BLOCK, chip_read, chip_program, chip_erase};

static void chip_load(const uint8_t *data, size_t size) {
    memset(chip, 0xff, sizeof chip);
    memcpy(chip, data, size < sizeof chip ? size : sizeof chip);
}

/* Tags by the key, where the first byte asks for them: otherwise no record would ever be valid. */
static void chip_sign(uint8_t which) {
    for (uint32_t slot = 0; slot < sizeof chip / 32; slot++) {
        if (which >> (slot & 7u) & 1u) {
            pf_blake2b(chip + 32 * slot + 24, 8, key, 32, chip + 32 * slot, 24);
        }
    }
}

/* Whatever is on flash: the ledger opens or says why not, never counts less than its newest record, and goes on. */
static void fuzz_ledger(const uint8_t *data, size_t size) {
    if (size < 2) {
        return;
    }
    chip_load(data + 2, size - 2);
    chip_sign(data[0]);
    pf_ledger ledger;
    pf_status status = pf_ledger_open(&ledger, &flash, key, 1000);
    REQUIRE(status == PF_OK || status == PF_E_BLANK || status == PF_E_CORRUPT || status == PF_E_FLASH);
    if (status != PF_OK) {
        return;
    }
    uint32_t before = ledger.cumulative;
    for (uint32_t i = 0; i < 20; i++) {
        uint32_t norm = 1u + data[1];
        status = pf_ledger_charge(&ledger, &flash, norm, 12, 1, 7, 1u << 31);
        if (status != PF_OK) {
            break;
        }
        REQUIRE(ledger.cumulative >= before + pf_charge(norm, 12, 1));
        before = ledger.cumulative;
    }
    pf_ledger again;
    status = pf_ledger_open(&again, &flash, key, 1000);
    REQUIRE(status != PF_OK || again.cumulative >= before);
    REQUIRE(pf_ledger_provision(&flash, key, 5, before) == PF_OK);
    REQUIRE(pf_ledger_open(&again, &flash, key, 1000) == PF_OK && again.cumulative == before);
}

/* Whatever is on flash: two boots with the same entropy never give the same key. */
static void fuzz_ratchet(const uint8_t *data, size_t size) {
    if (size < 1) {
        return;
    }
    chip_load(data + 1, size - 1);
    for (uint32_t slot = 0; slot < sizeof chip / 64; slot++) {
        if (data[0] >> slot & 1u) {
            memcpy(chip + 64 * slot, "PFS1", 4);
            memset(chip + 64 * slot + 40, 0, 8);
            pf_blake2b(chip + 64 * slot + 48, 16, chip + 64 * slot + 8, 32, chip + 64 * slot, 48);
        }
    }
    uint8_t given[3][32];
    uint32_t count = 0;
    for (uint32_t boot = 0; boot < 3; boot++) {
        pf_ratchet ratchet;
        pf_status status = pf_ratchet_boot(&ratchet, &flash, key, key, 16);
        REQUIRE(status == PF_OK || status == PF_E_BLANK || status == PF_E_CORRUPT || status == PF_E_FLASH);
        uint8_t out[32];
        if (status != PF_OK) {
            REQUIRE(pf_ratchet_next(&ratchet, 0, out) == PF_E_STATE);
            return;
        }
        REQUIRE(pf_ratchet_next(&ratchet, 0, out) == PF_OK);
        for (uint32_t i = 0; i < count; i++) {
            REQUIRE(memcmp(given[i], out, 32) != 0);
        }
        memcpy(given[count++], out, 32);
    }
}

static void fuzz_entropy(const uint8_t *data, size_t size) {
    static uint8_t raw[4096];
    uint8_t out[32];
    size_t n = size < sizeof raw ? size : sizeof raw;
    memset(raw, 0, sizeof raw);
    memcpy(raw, data, n);
    for (size_t i = n; n > 0 && i < PF_ENTROPY_RAW_MIN; i++) { /* repeated: short inputs reach the tests too */
        raw[i] = (uint8_t)(raw[i - n] + (i * 167u >> 3));
    }
    pf_status status = pf_entropy_condition(out, raw, n < PF_ENTROPY_RAW_MIN ? PF_ENTROPY_RAW_MIN : n);
    REQUIRE(status == PF_OK || (status == PF_E_ENTROPY && pf_filled_with(out, 0, 32)));
    REQUIRE(size >= PF_ENTROPY_RAW_MIN || pf_entropy_condition(out, raw, size) != PF_OK);
}

/* Steps, channels, a layer, and the inputs from its bytes again. */
static void fuzz_convolution(const uint8_t *data, size_t size) {
    if (size < 2) {
        return;
    }
    uint32_t steps = data[0];
    uint32_t channels = data[1];
    pf_status count = pf_convolution(NULL, 0, NULL, steps, channels, data + 2, size - 2);
    if (count < 0) {
        REQUIRE(count == PF_E_ARGUMENT);
        return;
    }
    REQUIRE(count > 0);
    size_t inputs = (size_t)steps * channels;
    int8_t *in = malloc(inputs);
    int8_t *out = malloc((size_t)count);
    for (size_t i = 0; i < inputs; i++) {
        in[i] = (int8_t)data[i * 7 % size];
    }
    REQUIRE(pf_convolution(out, (size_t)count - 1, in, steps, channels, data + 2, size - 2) == PF_E_MEMORY);
    REQUIRE(pf_convolution(out, (size_t)count, in, steps, channels, data + 2, size - 2) == count);
    for (pf_status i = 0; i < count; i++) {
        REQUIRE(out[i] >= 0);
    }
    free(out);
    free(in);
}

/* Layout, cut, slots at a time; then slots, whose crc is made to fit where the fourth byte says so. Windows and records
 * of whatever is there, in buffers of exactly their size. */
static void fuzz_records(const uint8_t *data, size_t size) {
    if (size < 8) {
        return;
    }
    pf_ring ring = {1u + data[0] % 6u, 1u + data[1] % 8u, 1u + data[2] % 16u, 0, 0, 0};
    pf_walk walk = {data[3], data[4], data[5] & 1u, 0, 0, 0, 0, 0, 0, 0, 0};
    uint32_t at_once = 1u + data[6] % 8u;
    uint32_t bytes = pf_slot_bytes(&ring);
    uint8_t *slots = malloc(bytes * at_once);
    int16_t *out = malloc(2 * ring.channels * (walk.window + 1u));
    uint32_t exist = 0;
    uint8_t signs = data[7];
    data += 8;
    size -= 8;
    uint32_t given = 0;
    for (uint32_t number = 0; number < ring.slots; number += at_once) {
        uint32_t n = ring.slots - number < at_once ? ring.slots - number : at_once;
        size_t len = size < bytes * n ? size : bytes * n;
        memcpy(slots, data, len);
        for (uint32_t k = 0; k < n && (k + 1u) * bytes <= len; k++) {
            if (signs >> (k & 7u) & 1u) {
                pf_put_u32(slots + (k + 1u) * bytes - 4u, pf_crc32(0, slots + k * bytes, bytes - 4u));
            }
        }
        data += len;
        size -= len;
        pf_status found = pf_slots_check(&ring, number, n, slots, len);
        REQUIRE(found >= 0 && (uint32_t)found <= len / bytes);
        exist += (uint32_t)found;
        walk.place = 0;
        pf_status label;
        while ((label = pf_windows_next(&walk, &ring, n, slots, out)) != PF_WALK_MORE) {
            REQUIRE(walk.window > 0 && walk.window <= walk.stride ? label >= 0 : label == PF_E_ARGUMENT);
            if (label < 0) {
                break;
            }
            REQUIRE(label < 255 || walk.unlabelled != 0);
            given++;
        }
        REQUIRE(label < 0 || walk.seq == number + n);
    }
    REQUIRE(ring.count == exist && (exist == 0) == (ring.next == 0));
    REQUIRE(given * walk.window <= exist * ring.samples);
    free(out);
    free(slots);
}

/* A front, filters, a window: refused, or within the room that it says it needs. */
static void fuzz_front(const uint8_t *data, size_t size) {
    if (size < 7) {
        return;
    }
    pf_front front = {data[0], data[1], data[2], data[3], data[4], data[5] | (data[6] & 3u) << 8, 3, 0};
    data += 7;
    size -= 7;
    uint32_t bytes = pf_front_target_bytes(&front);
    if (bytes == 0) {
        return;
    }
    int16_t *samples = malloc(12 * front.window);
    int8_t *row = malloc(front.inputs);
    uint8_t *target = malloc(bytes);
    int8_t *scratch = malloc(900);
    for (uint32_t i = 0; i < 6 * front.window; i++) {
        samples[i] = (int16_t)(size == 0 ? 0 : data[i % size] * 257u);
    }
    pf_status status = pf_front_record(&front, data, size, samples, row, target, scratch, 900);
    REQUIRE(status == PF_OK || front.features == PF_FRONT_CONVOLUTION || front.features == PF_FRONT_IMU45);
    free(scratch);
    free(target);
    free(row);
    free(samples);
}

/* By the first byte. Makefile and tests read the names here. */
static const struct {
    const char *name;
    void (*part)(const uint8_t *data, size_t size);
} parts[] = {
    {"frame", fuzz_frame},
    {"frame_encode", fuzz_frame_encode},
    {"codec", fuzz_codec},
    {"codec_encode", fuzz_codec_encode},
    {"trainer", fuzz_trainer},
    {"ledger", fuzz_ledger},
    {"ratchet", fuzz_ratchet},
    {"entropy", fuzz_entropy},
    {"convolution", fuzz_convolution},
    {"records", fuzz_records},
    {"front", fuzz_front},
    {"frozen", fuzz_frozen},
    {"mask", fuzz_mask},
    {"rows", fuzz_rows},
};
#define PARTS (sizeof parts / sizeof parts[0])

/* The parser that has all inputs to itself; PARTS: they share them. */
static size_t only = PARTS;
static unsigned long given[PARTS];

static void tell(void) {
    for (size_t at = 0; at < PARTS; at++) {
        fprintf(stderr, "%s: %lu inputs\n", parts[at].name, given[at]);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    const char *name = getenv("PARSER");
    if (name != NULL && strcmp(name, "all") != 0) {
        for (only = 0; only < PARTS && strcmp(name, parts[only].name) != 0; only++) {
        }
        REQUIRE(only < PARTS);
    }
    return atexit(tell);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    (void)seed;
    size = LLVMFuzzerMutate(data, size, max_size);
    if (size > 0 && only < PARTS) {
        data[0] = (uint8_t)only;
    }
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* not modulo their number: with one parser more, the corpus would be another */
    if (size > 0 && data[0] < PARTS && (only == PARTS || data[0] == only)) {
        given[data[0]]++;
        parts[data[0]].part(data + 1, size - 1);
    }
    return 0;
}
