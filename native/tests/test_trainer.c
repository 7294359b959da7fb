/* Training against plain_trainer.h: whole models at random and at the extremes, subsets, batches, both modes; all of it
 * with every weight in the trainer, and with the frozen ones in an image that nobody can write to. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <sys/mman.h>

#include "plain_trainer.h"

#define MEMORY (4u << 20)
static uint64_t memory[MEMORY / 8];
static plain_trainer plain;
static int8_t features[64 * 1024];
static uint8_t targets[64 * 2048];
static uint8_t bytes[2 * PLAIN_PARAMETERS];
static const uint8_t key[32] = {1, 2, 3};
static int frozen;
static uint8_t *image;
static uint64_t windows = 5; /* state of the random windows */

static pf_trainer *trainer(void) {
    return (pf_trainer *)(void *)memory;
}

static void set_bytes(void) {
    int n = plain_count(&plain);
    for (int k = 0; k < n; k++) {
        bytes[2 * k] = (uint8_t)((uint32_t)plain.w[k] & 255u);
        bytes[2 * k + 1] = (uint8_t)((uint32_t)plain.w[k] >> 8 & 255u);
    }
}

static void put_weights(void) {
    set_bytes();
    CHECK_EQ(pf_trainer_set_weights(trainer(), 0, bytes, (size_t)plain_count(&plain)), PF_OK);
}

/* The image of the plain weights, made in windows, each from weights in pieces; returns its length. */
static size_t make_image(const uint8_t *descriptor, size_t len) {
    size_t size = pf_frozen_size(descriptor, len);
    uint32_t n = (uint32_t)plain_count(&plain);
    CHECK(size >= 16 && size % 8 == 0 && size <= MEMORY);
    if (image == NULL) {
        image = mmap(NULL, MEMORY, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(image != MAP_FAILED);
    }
    CHECK_EQ(mprotect(image, MEMORY, PROT_READ | PROT_WRITE), 0);
    memset(image, 0xa5, size + 64);
    for (uint32_t at = 0; at < size;) {
        uint32_t window = 2u + 2u * check_below(&windows, (uint32_t)size);
        window = window < size - at ? window : (uint32_t)size - at;
        uint8_t *out = malloc(window); /* its own, so that the sanitizer sees what is outside */
        CHECK_EQ(pf_frozen_clear(out, at, window, descriptor, len), PF_OK);
        for (uint32_t k = 0; k < n;) {
            uint32_t piece = 1u + check_below(&windows, n);
            piece = piece < n - k ? piece : n - k;
            CHECK_EQ(pf_frozen_put(out, at, window, descriptor, len, k, bytes + 2u * k, piece), PF_OK);
            k += piece;
        }
        memcpy(image + at, out, window);
        free(out);
        at += window;
    }
    CHECK_EQ(image[size], 0xa5);
    CHECK_EQ(mprotect(image, MEMORY, PROT_READ), 0);
    return size;
}

static void create(uint32_t mode) {
    uint8_t descriptor[128];
    size_t len = plain_descriptor(&plain, descriptor);
    size_t size = frozen ? pf_trainer_frozen_size(descriptor, len, mode) : pf_trainer_size(descriptor, len, mode);
    CHECK(size > 0 && size <= MEMORY);
    memset(memory, 0xa5, sizeof memory);
    if (frozen) {
        set_bytes();
        CHECK(size < pf_trainer_size(descriptor, len, mode));
        size_t image_len = make_image(descriptor, len);
        CHECK_EQ(pf_trainer_frozen_init(memory, size - 1, descriptor, len, mode, image, image_len), PF_E_MEMORY);
        CHECK_EQ(pf_trainer_frozen_init(memory, size, descriptor, len, mode, image, image_len - 1), PF_E_MEMORY);
        CHECK_EQ(pf_trainer_frozen_init(memory, size, descriptor, len, mode, image, image_len), PF_OK);
    } else {
        CHECK_EQ(pf_trainer_init(memory, size, descriptor, len, mode), PF_OK);
    }
    put_weights();
    CHECK_EQ(((uint8_t *)memory)[size], 0xa5);
}

static void check_weights(void) {
    static uint8_t read[2 * PLAIN_PARAMETERS];
    int n = plain_count(&plain);
    CHECK_EQ(pf_trainer_get_weights(trainer(), 0, read, (size_t)n), PF_OK);
    for (int k = 0; k < n; k++) {
        CHECK_EQ((int16_t)(uint16_t)(read[2 * k] | read[2 * k + 1] << 8), plain.w[k]);
    }
}

static void random_model(uint64_t *state, int widest) {
    plain.layers = 1 + (int)check_below(state, widest > 20 ? 3 : 8);
    plain.loss = (int)check_below(state, 2);
    for (int l = 0; l <= plain.layers; l++) {
        plain.widths[l] = 1 + (int)check_below(state, (uint32_t)widest);
    }
    if (!plain.loss && plain.widths[plain.layers] < 2) {
        plain.widths[plain.layers] = 2;
    }
    int trained = (int)check_below(state, (uint32_t)plain.layers);
    for (int l = 0; l < plain.layers; l++) {
        int *area = plain.area[l];
        int rows = plain.widths[l + 1], columns = plain.widths[l];
        memset(area, 0, sizeof plain.area[l]);
        if (l != trained && check_below(state, 3) == 0) {
            continue;
        }
        area[1] = rows;
        area[3] = columns;
        area[4] = (int)check_below(state, 2);
        if (check_below(state, 2)) {
            area[0] = (int)check_below(state, (uint32_t)rows);
            area[1] = area[0] + 1 + (int)check_below(state, (uint32_t)(rows - area[0]));
            area[2] = (int)check_below(state, (uint32_t)columns);
            area[3] = area[2] + 1 + (int)check_below(state, (uint32_t)(columns - area[2]));
        }
        if (check_below(state, 8) == 0) {
            area[2] = area[3] = 0;
            area[4] = 1;
        }
    }
}

/* kind 0: typical, 1: wide, 2: every value at an end of its range. */
static void random_values(uint64_t *state, int kind, int count) {
    int n = plain_count(&plain);
    uint32_t range = kind == 0 ? 600 : 16384;
    for (int k = 0; k < n; k++) {
        plain.w[k] = (int32_t)check_below(state, 2 * range) - (int32_t)range;
        if (kind == 2) {
            plain.w[k] = check_below(state, 2) ? 16383 : -16384;
        } else if (kind == 3) {
            plain.w[k] = 16383;
        }
    }
    for (int k = 0; k < count * plain.widths[0]; k++) {
        features[k] = (int8_t)((int)check_below(state, 255) - 127);
        if (kind == 2) {
            features[k] = check_below(state, 2) ? 127 : -127;
        } else if (kind == 3) {
            features[k] = 127;
        }
    }
    int outputs = plain.widths[plain.layers];
    int target_bytes = plain.loss ? 2 * outputs : 1;
    for (int k = 0; k < count * target_bytes; k++) {
        targets[k] = (uint8_t)(plain.loss ? check_below(state, 256) : check_below(state, (uint32_t)outputs));
    }
}

static void check_logits(void) {
    static plain_pass pass;
    static int64_t z[1024];
    static int32_t logits[1024];
    plain_forward(&plain, features, &pass, z);
    CHECK_EQ(pf_trainer_logits(trainer(), features, logits), PF_OK);
    for (int j = 0; j < plain.widths[plain.layers]; j++) {
        CHECK_EQ(logits[j], z[j]);
    }
}

/* Start the core's accumulators as noise and copy them. */
static void begin(uint32_t log2_sigma, uint32_t clip_norm) {
    uint32_t trainable = pf_trainer_trainable(trainer());
    CHECK_EQ(pf_trainer_begin(trainer(), key, log2_sigma, clip_norm), PF_OK);
    memset(plain.acc, 0, sizeof plain.acc);
    pf_noise noise;
    CHECK_EQ(pf_noise_init(&noise, key, log2_sigma), PF_OK);
    pf_noise_fill(&noise, (int32_t *)plain.acc, trainable);
    CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 1), PF_E_STATE);
    CHECK_EQ(pf_trainer_fill(trainer(), trainable / 3), trainable - trainable / 3);
    check_logits(); /* the noise goes on as if nothing had been */
    CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 1), PF_E_STATE);
    CHECK_EQ(pf_trainer_fill(trainer(), 0xffffffffu), 0);
    CHECK_EQ(pf_trainer_fill(trainer(), 5), 0);
}

static int plain_examples(int count, uint32_t clip_norm) {
    int clipped = 0;
    int target_bytes = plain.loss ? 2 * plain.widths[plain.layers] : 1;
    for (int e = 0; e < count; e++) {
        clipped += plain_example(&plain, features + e * plain.widths[0], targets + e * target_bytes, clip_norm);
    }
    return clipped;
}

static void check_accumulators(void) {
    CHECK_BYTES(pf_trainer_release(trainer()), plain.acc, 4 * (size_t)pf_trainer_trainable(trainer()));
}

static void begin_baseline(void) {
    CHECK_EQ(pf_trainer_begin(trainer(), NULL, 0, 0), PF_OK);
    memset(plain.acc, 0, sizeof plain.acc);
}

static void test_random_models(void) {
    uint64_t state = check_seed();
    int clipped = 0, examples = 0;
    for (int i = 0; i < 3000; i++) {
        int count = 1 + (int)check_below(&state, 9);
        random_model(&state, i % 20 == 0 ? 130 : 12);
        if (i % 10 == 9) { /* the host's baseline: neither noise nor clipping */
            random_values(&state, i % 4, count);
            create(PF_MODE_GRADIENT);
            begin_baseline();
            CHECK_EQ(pf_trainer_examples(trainer(), features, targets, (uint32_t)count), PF_OK);
            CHECK_EQ(plain_examples(count, 0), 0);
            check_accumulators();
            continue;
        }
        uint32_t clip_norm = 1u + (check_below(&state, PF_CLIP_NORM_MAX) >> check_below(&state, 18));
        random_values(&state, i % 4, count);
        create(PF_MODE_GRADIENT);
        check_weights();
        begin(6 + check_below(&state, 20), clip_norm);
        check_logits();
        CHECK_EQ(pf_trainer_examples(trainer(), features, targets, (uint32_t)count), PF_OK);
        clipped += plain_examples(count, clip_norm);
        examples += count;
        check_accumulators();
    }
    printf("  %d of %d examples were clipped\n", clipped, examples);
    CHECK(clipped > examples / 20 && clipped < examples);
}

/* The widest layers there are, every factor at the same end: the range proofs of forward, backward and norm. */
static void test_extremes(void) {
    const int shapes[][4] = {{1023, 2, 0, 0}, {1, 1023, 60, 0}, {1023, 60, 7, 0}, {60, 1023, 0, 0}, {7, 40, 1023, 1}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int loss = 0; loss < 2; loss++) {
            for (int kind = 2; kind < 4; kind++) {
                uint64_t state = 17 + s;
                plain.loss = loss;
                plain.layers = 0;
                for (int l = 0; l < 4 && shapes[s][l] != 0; l++) {
                    plain.layers = l;
                    plain.widths[l] = shapes[s][l];
                }
                if (!loss && (plain.widths[plain.layers] < 2 || plain.widths[plain.layers] > 255)) {
                    continue;
                }
                for (int l = 0; l < plain.layers; l++) {
                    int area[5] = {0, plain.widths[l + 1], 0, plain.widths[l], 1};
                    memcpy(plain.area[l], area, sizeof area);
                }
                random_values(&state, kind, 5);
                if (loss) {
                    memset(targets, 0x80, sizeof targets);
                }
                create(PF_MODE_GRADIENT);
                begin(25, PF_CLIP_NORM_MAX);
                check_logits();
                CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 5), PF_OK);
                (void)plain_examples(5, PF_CLIP_NORM_MAX);
                check_accumulators();
            }
        }
    }
}

/* Any way to cut the examples into calls gives the same accumulators, and so does their order. */
static void test_batches(void) {
    uint64_t state = check_seed();
    for (int i = 0; i < 300; i++) {
        int count = 1 + (int)check_below(&state, 30);
        random_model(&state, 12);
        random_values(&state, i % 3, count);
        int target_bytes = plain.loss ? 2 * plain.widths[plain.layers] : 1;
        create(PF_MODE_GRADIENT);
        begin(10, 5000);
        CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 0), PF_OK);
        for (int at = 0; at < count;) {
            int n = 1 + (int)check_below(&state, (uint32_t)(count - at));
            CHECK_EQ(pf_trainer_examples(
                         trainer(), features + at * plain.widths[0], targets + at * target_bytes, (uint32_t)n),
                PF_OK);
            at += n;
        }
        (void)plain_examples(count, 5000);
        check_accumulators();
    }
}

typedef struct {
    const plain_trainer *full;
    const uint32_t *acc;
} subset_context;

static void check_part(plain_trainer *p, int k, int l, int row, int column, void *context) {
    const subset_context *c = context;
    (void)p;
    CHECK_EQ(c->acc[k], c->full->acc[plain_weight_index(c->full, l, row, column)]);
}

/* What a subset accumulates without clipping is the matching part of the full gradient. */
static void test_subset_is_part(void) {
    static plain_trainer full;
    uint64_t state = check_seed();
    for (int i = 0; i < 300; i++) {
        random_model(&state, 12);
        random_values(&state, 0, 6);
        create(PF_MODE_GRADIENT);
        begin_baseline();
        CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 6), PF_OK);
        static uint32_t part[PLAIN_PARAMETERS];
        memcpy(part, pf_trainer_release(trainer()), 4 * (size_t)pf_trainer_trainable(trainer()));
        full = plain;
        for (int l = 0; l < full.layers; l++) {
            int area[5] = {0, full.widths[l + 1], 0, full.widths[l], 1};
            memcpy(full.area[l], area, sizeof area);
        }
        plain_trainer subset = plain;
        plain = full;
        create(PF_MODE_GRADIENT);
        begin_baseline();
        CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 6), PF_OK);
        memcpy(full.acc, pf_trainer_release(trainer()), 4 * (size_t)pf_trainer_trainable(trainer()));
        plain = subset;
        subset_context context = {&full, part};
        plain_walk(&plain, check_part, &context);
    }
}

static void plain_begin_local(plain_trainer *p, int k, int l, int row, int column, void *context) {
    (void)context;
    p->start[k] = p->w[plain_weight_index(p, l, row, column)];
    p->change[k] = 0;
}

static void plain_step(plain_trainer *p, int k, int l, int row, int column, void *context) {
    const int64_t *rate = context;
    int64_t v = (int64_t)(int32_t)p->acc[k] * rate[0];
    int64_t step = rate[1] ? (v + ((int64_t)1 << (rate[1] - 1))) >> rate[1] : v;
    p->change[k] = plain_sat(p->change[k] - step, -(1 << 30), (1 << 30) - 1);
    p->w[plain_weight_index(p, l, row, column)] =
        (int32_t)plain_sat(p->start[k] + ((p->change[k] + 2048) >> 12), -16384, 16383);
}

/* A second release under the same noise would show the difference of the records between the two. */
static void test_nothing_follows_a_release_under_its_noise(void) {
    uint64_t state = check_seed();
    random_model(&state, 10);
    random_values(&state, 0, 8);
    create(PF_MODE_GRADIENT);
    CHECK(pf_trainer_release(trainer()) == NULL);
    begin(10, 20000);
    CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 4), PF_OK);
    (void)plain_examples(4, 20000);
    check_accumulators();
    CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 4), PF_E_STATE);
    CHECK_EQ(pf_trainer_fill(trainer(), 1), 0);
    CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 4), PF_E_STATE);
    check_accumulators();
    begin(10, 20000);
    CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 4), PF_OK);
}

static void test_local_mode(void) {
    uint64_t state = check_seed();
    for (int i = 0; i < 600; i++) {
        int64_t rate[2] = {1 + check_below(&state, 65535), check_below(&state, 41)};
        random_model(&state, 10);
        random_values(&state, i % 3, 8);
        create(PF_MODE_LOCAL);
        plain_walk(&plain, plain_begin_local, NULL);
        CHECK(pf_trainer_release(trainer()) == NULL);
        int steps = 1 + (int)check_below(&state, 4);
        for (int s = 0; s < steps; s++) {
            CHECK_EQ(pf_trainer_step(trainer(), 1, 0), PF_E_STATE);
            begin(6 + check_below(&state, 20), 20000);
            CHECK(pf_trainer_release(trainer()) == NULL);
            CHECK_EQ(pf_trainer_examples(trainer(), features, targets, 8), PF_OK);
            (void)plain_examples(8, 20000);
            CHECK_EQ(pf_trainer_step(trainer(), 0, 0), PF_E_ARGUMENT);
            CHECK_EQ(pf_trainer_step(trainer(), 65536, 0), PF_E_ARGUMENT);
            CHECK_EQ(pf_trainer_step(trainer(), 1, 41), PF_E_ARGUMENT);
            CHECK_EQ(pf_trainer_step(trainer(), (uint32_t)rate[0], (uint32_t)rate[1]), PF_OK);
            plain_walk(&plain, plain_step, rate);
            check_weights();
            const int32_t *change = (const int32_t *)pf_trainer_release(trainer());
            for (uint32_t k = 0; k < pf_trainer_trainable(trainer()); k++) {
                CHECK_EQ(change[k], plain.change[k]);
            }
        }
        put_weights(); /* a new round: the change counts from here */
        CHECK(pf_trainer_release(trainer()) == NULL);
    }
}

/* Weights in pieces, through the whole vector and through the subset. */
static void test_weights(void) {
    uint64_t state = check_seed();
    static uint8_t piece[2 * PLAIN_PARAMETERS];
    for (int i = 0; i < 500; i++) {
        random_model(&state, 14);
        random_values(&state, 1, 1);
        create(PF_MODE_GRADIENT);
        int n = plain_count(&plain);
        uint32_t trainable = pf_trainer_trainable(trainer());
        CHECK_EQ(pf_trainer_parameters(trainer()), n);
        CHECK_EQ(pf_trainer_inputs(trainer()), plain.widths[0]);
        CHECK_EQ(pf_trainer_outputs(trainer()), plain.widths[plain.layers]);
        plain_walk(&plain, plain_begin_local, NULL); /* start[k] = the subset's weights */
        for (int at = 0; at < n;) {
            int len = 1 + (int)check_below(&state, (uint32_t)(n - at));
            CHECK_EQ(pf_trainer_get_weights(trainer(), (uint32_t)at, piece, (size_t)len), PF_OK);
            CHECK_BYTES(piece, bytes + 2 * at, 2 * (size_t)len);
            for (int k = 0; k < len; k++) {
                piece[2 * k] ^= 1;
            }
            CHECK_EQ(pf_trainer_set_weights(trainer(), (uint32_t)at, piece, (size_t)len), PF_OK);
            for (int k = at; k < at + len; k++) {
                plain.w[k] ^= 1;
            }
            at += len;
        }
        check_weights();
        for (uint32_t at = 0; at < trainable;) {
            uint32_t len = 1 + check_below(&state, trainable - at);
            for (uint32_t k = 0; k < len; k++) {
                piece[2 * k] = (uint8_t)((uint32_t)plain.start[at + k] & 255u);
                piece[2 * k + 1] = (uint8_t)((uint32_t)plain.start[at + k] >> 8 & 255u);
            }
            CHECK_EQ(pf_trainer_set_subset(trainer(), at, piece, len), PF_OK);
            at += len;
        }
        int64_t rate[2] = {1, 0}; /* with zero accumulators and changes: w = start on the subset */
        memset(plain.acc, 0, sizeof plain.acc);
        plain_walk(&plain, plain_step, rate);
        check_weights();
        piece[0] = 0xff;
        piece[1] = 0x3f;
        piece[2] = 0x00;
        piece[3] = 0x40; /* 16384 */
        if (n >= 2) {
            CHECK_EQ(pf_trainer_set_weights(trainer(), 0, piece, 2), PF_E_RANGE);
        }
        piece[0] = 0xff;
        piece[1] = 0xbf; /* -16385 */
        CHECK_EQ(pf_trainer_set_weights(trainer(), 0, piece, 1), PF_E_RANGE);
        CHECK_EQ(pf_trainer_set_weights(trainer(), (uint32_t)n, piece, 1), PF_E_ARGUMENT);
        CHECK_EQ(pf_trainer_set_weights(trainer(), (uint32_t)n, piece, 0), PF_OK);
        CHECK_EQ(pf_trainer_set_weights(trainer(), (uint32_t)n + 1, piece, 0), PF_E_ARGUMENT);
        CHECK_EQ(pf_trainer_set_weights(trainer(), 1, piece, SIZE_MAX), PF_E_ARGUMENT);
        CHECK_EQ(pf_trainer_set_subset(trainer(), trainable, piece, 1), PF_E_ARGUMENT);
        CHECK_EQ(pf_trainer_get_weights(trainer(), 0, piece, (size_t)n + 1), PF_E_ARGUMENT);
        CHECK_EQ(pf_trainer_get_weights(trainer(), 0xffffffffu, piece, 1), PF_E_ARGUMENT);
        check_weights();
    }
}

static void count_frozen(plain_trainer *p, int k, int l, int row, int column, void *context) {
    uint8_t *is_trained = context;
    (void)k;
    is_trained[plain_weight_index(p, l, row, column)] = 1;
}

/* A trainer with an image takes trained weights, and frozen ones only if they are the image's. */
static void test_image_weights(void) {
    uint64_t state = check_seed();
    static uint8_t piece[2 * PLAIN_PARAMETERS];
    static uint8_t is_trained[PLAIN_PARAMETERS];
    for (int i = 0; i < 300; i++) {
        random_model(&state, 14);
        random_values(&state, 1, 1);
        create(PF_MODE_GRADIENT);
        int n = plain_count(&plain);
        memset(is_trained, 0, sizeof is_trained);
        (void)plain_walk(&plain, count_frozen, is_trained);
        int at = (int)check_below(&state, (uint32_t)n);
        int len = 1 + (int)check_below(&state, (uint32_t)(n - at));
        memcpy(piece, bytes, 2 * (size_t)n);
        for (int k = at; k < at + len; k++) {
            if (is_trained[k]) {
                piece[2 * k] ^= 1;
                plain.w[k] ^= 1;
            }
        }
        CHECK_EQ(pf_trainer_set_weights(trainer(), (uint32_t)at, piece + 2 * at, (size_t)len), PF_OK);
        check_weights();
        int k = at + (int)check_below(&state, (uint32_t)len);
        piece[2 * k] ^= 1;
        CHECK_EQ(pf_trainer_set_weights(trainer(), (uint32_t)at, piece + 2 * at, (size_t)len),
            is_trained[k] ? PF_OK : PF_E_STATE);
        plain.w[k] ^= is_trained[k];
        check_weights();
    }
}

static void test_images_that_are_refused(void) {
    uint64_t state = check_seed();
    for (int i = 0; i < 50; i++) {
        uint8_t descriptor[128];
        random_model(&state, 14);
        random_values(&state, 1, 1);
        size_t len = plain_descriptor(&plain, descriptor);
        set_bytes();
        size_t size = make_image(descriptor, len);
        uint8_t *copy = malloc(size + 8);
        memcpy(copy, image, size);
        CHECK_EQ(pf_trainer_frozen_init(memory, MEMORY, descriptor, len, 0, copy, size), PF_OK);
        CHECK_EQ(pf_trainer_frozen_init(memory, MEMORY, descriptor, len, 2, copy, size), PF_E_ARGUMENT);
        CHECK_EQ(pf_trainer_frozen_init(memory, MEMORY, descriptor, len, 0, NULL, size), PF_E_MEMORY);
        CHECK_EQ(pf_trainer_frozen_init(memory, MEMORY, descriptor, len, 0, copy, 15), PF_E_MEMORY);
        CHECK_EQ(pf_trainer_frozen_init(memory, MEMORY, descriptor, len - 1, 0, copy, size), PF_E_ARGUMENT);
        uint32_t place = check_below(&state, 16);
        copy[place] ^= 2;
        CHECK_EQ(pf_trainer_frozen_init(memory, MEMORY, descriptor, len, 0, copy, size), PF_E_CORRUPT);
        descriptor[1] ^= 1; /* the other loss: another model */
        CHECK(pf_trainer_frozen_init(memory, MEMORY, descriptor, len, 0, image, size) != PF_OK);
        descriptor[1] ^= 1;
        memcpy(copy + 2, image, size);
        CHECK_EQ(pf_trainer_frozen_init(memory, MEMORY, descriptor, len, 0, copy + 2, size), PF_E_MEMORY);
        uint32_t n = (uint32_t)plain_count(&plain);
        CHECK_EQ(pf_frozen_clear(copy, 1, 2, descriptor, len), PF_E_ARGUMENT);
        CHECK_EQ(pf_frozen_clear(copy, 0, 3, descriptor, len), PF_E_ARGUMENT);
        CHECK_EQ(pf_frozen_clear(copy, 2, size, descriptor, len), PF_E_ARGUMENT);
        CHECK_EQ(pf_frozen_clear(copy, 0, SIZE_MAX - 1, descriptor, len), PF_E_ARGUMENT);
        CHECK_EQ(pf_frozen_put(copy, 0, 2, descriptor, len, n, bytes, 1), PF_E_ARGUMENT);
        CHECK_EQ(pf_frozen_put(copy, 0, 2, descriptor, len, 0xffffffffu, bytes, 1), PF_E_ARGUMENT);
        CHECK_EQ(pf_frozen_put(copy, 0, 2, descriptor, len, n, bytes, 0), PF_OK);
        const uint8_t large[2] = {0x00, 0x40}; /* 16384 */
        CHECK_EQ(pf_frozen_put(copy, 0, 2, descriptor, len, 0, large, 1), PF_E_RANGE);
        CHECK_EQ(pf_frozen_size(descriptor, len - 1), 0);
        CHECK_EQ(pf_trainer_frozen_size(descriptor, len - 1, 0), 0);
        CHECK_EQ(pf_trainer_frozen_size(descriptor, len, 2), 0);
        free(copy);
    }
}

int main(void) {
    for (frozen = 0; frozen < 2; frozen++) {
        printf("  %s\n", frozen ? "frozen weights in an image" : "all weights in the trainer");
        RUN(test_random_models);
        RUN(test_extremes);
        RUN(test_batches);
        RUN(test_subset_is_part);
        RUN(test_nothing_follows_a_release_under_its_noise);
        RUN(test_local_mode);
    }
    frozen = 0;
    RUN(test_weights);
    frozen = 1;
    RUN(test_image_weights);
    RUN(test_images_that_are_refused);
    return 0;
}
