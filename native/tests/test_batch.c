/* Many at once: the wide sampler, batches of clients and sums of updates, each against one at a time. */
#include "check.h"
#include "noise_trial.h"
#include "picofed.h"
#include "wide.h"

/* The same sampler with a margin so wide that the exact threshold decides a good part of the trials, which it does once
 * in 2^27 trials otherwise. */
#undef PF_NOISE_MARGIN
#define PF_NOISE_MARGIN 0x10000000u
#define pf_wide_noise pf_wide_noise_exactly
#include "../src/wide.c"
#undef pf_wide_noise

#define SAMPLES 3000u
#define CLIENTS 5u
#define RECORDS 40u

static uint64_t seed;

static void random_bytes(uint8_t *out, size_t len) {
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)check_below(&seed, 256);
    }
}

static void test_wide_noise_is_the_boards_noise(void) {
    static int32_t one[SAMPLES], wide[SAMPLES + 1], exact[SAMPLES];
    for (int i = 0; i < 200; i++) {
        uint8_t key[32];
        random_bytes(key, 32);
        uint32_t log2_sigma = 1 + check_below(&seed, 25);
        size_t n = check_below(&seed, i < 100 ? 300 : SAMPLES);
        pf_noise noise;
        CHECK_EQ(pf_noise_init(&noise, key, log2_sigma), PF_OK);
        pf_noise_fill(&noise, one, n);
        wide[n] = 77;
        pf_wide_noise(wide, n, key, log2_sigma);
        CHECK_BYTES(wide, one, 4 * n);
        CHECK_EQ(wide[n], 77);
        wide_fill_plain(wide, n, key, log2_sigma - 1);
        CHECK_BYTES(wide, one, 4 * n);
        if (i % 20 == 0) {
            pf_wide_noise_exactly(exact, n, key, log2_sigma);
            CHECK_BYTES(exact, one, 4 * n);
        }
    }
}

/* An MLP 9-6-4 of which a rectangle of the first layer and the whole second one are trained. */
static const uint8_t descriptor[] = {
    1, 0, 2, 0, 9, 0, 6, 0, 4, 0, 1, 0, 5, 0, 2, 0, 9, 0, 1, 0, 0, 0, 4, 0, 0, 0, 6, 0, 1, 0};
#define PARAMETERS 88u
#define TRAINABLE 60u

static void check_batch(uint32_t mode, const pf_batch_round *round) {
    static uint64_t memory[2][1024];
    static uint8_t weights[3 * 2 * PARAMETERS], features[9 * RECORDS], targets[RECORDS], keys[CLIENTS * 3 * 32];
    static uint8_t payloads[CLIENTS][600], alone[600];
    int32_t values[CLIENTS * TRAINABLE], wanted[TRAINABLE], again[CLIENTS * TRAINABLE];
    uint32_t lengths[CLIENTS], plain_lengths[CLIENTS];
    pf_batch_client clients[CLIENTS];
    pf_trainer *batch = (pf_trainer *)memory[0], *single = (pf_trainer *)memory[1];
    CHECK_EQ(pf_trainer_init(memory[0], sizeof memory[0], descriptor, sizeof descriptor, mode), PF_OK);
    CHECK_EQ(pf_trainer_init(memory[1], sizeof memory[1], descriptor, sizeof descriptor, mode), PF_OK);
    CHECK_EQ(pf_trainer_parameters(batch), PARAMETERS);
    CHECK_EQ(pf_trainer_trainable(batch), TRAINABLE);
    for (uint32_t i = 0; i < 3 * PARAMETERS; i++) {
        uint32_t w = check_below(&seed, 4000) - 2000u;
        weights[2 * i] = (uint8_t)(w & 255);
        weights[2 * i + 1] = (uint8_t)(w >> 8 & 255);
    }
    for (uint32_t i = 0; i < sizeof features; i++) {
        features[i] = (uint8_t)(check_below(&seed, 255) - 127u);
    }
    for (uint32_t i = 0; i < RECORDS; i++) {
        targets[i] = (uint8_t)check_below(&seed, 4);
    }
    random_bytes(keys, sizeof keys);
    for (uint32_t k = 0; k < CLIENTS; k++) {
        clients[k].weights = check_below(&seed, 3);
        clients[k].first = check_below(&seed, RECORDS);
        clients[k].records = check_below(&seed, RECORDS + 1 - clients[k].first);
    }
    const int8_t *rows = (const int8_t *)features;
    CHECK_EQ(pf_batch_run(batch, round, clients, CLIENTS, weights, rows, targets, keys, values, payloads[0],
                 sizeof payloads[0], lengths),
        PF_OK);
    CHECK_EQ(pf_batch_run(batch, round, clients, CLIENTS, weights, rows, targets, keys, again, NULL, 0, plain_lengths),
        PF_OK);
    CHECK_BYTES(again, values, sizeof values);
    CHECK_BYTES(plain_lengths, lengths, sizeof lengths);
    for (uint32_t k = 0; k < CLIENTS; k++) {
        const pf_batch_client *c = &clients[k];
        CHECK_EQ(pf_trainer_set_weights(single, 0, weights + 2 * PARAMETERS * c->weights, PARAMETERS), PF_OK);
        for (uint32_t s = 0; s < round->steps; s++) {
            const uint8_t *key = keys + 32 * (round->steps * k + s);
            CHECK_EQ(pf_trainer_begin(single, key, round->log2_sigma, round->clip_norm), PF_OK);
            CHECK_EQ(pf_trainer_fill(single, TRAINABLE), 0);
            CHECK_EQ(pf_trainer_examples(single, rows + 9 * c->first, targets + c->first, c->records), PF_OK);
            if (mode == PF_MODE_LOCAL) {
                CHECK_EQ(pf_trainer_step(single, round->multiplier, round->shift), PF_OK);
            }
        }
        pf_status length =
            pf_update_encode(alone, sizeof alone, pf_trainer_release(single), TRAINABLE, round->round_shift);
        CHECK_EQ(lengths[k], length);
        CHECK_BYTES(payloads[k], alone, (size_t)length);
        CHECK_EQ(pf_update_decode(wanted, TRAINABLE, alone, (size_t)length), PF_OK);
        CHECK_BYTES(values + TRAINABLE * k, wanted, sizeof wanted);
    }
    int32_t logits[4 * RECORDS], one[4];
    CHECK_EQ(pf_batch_logits(batch, rows, RECORDS, logits), PF_OK);
    for (uint32_t i = 0; i < RECORDS; i++) {
        CHECK_EQ(pf_trainer_logits(batch, rows + 9 * i, one), PF_OK);
        CHECK_BYTES(logits + 4 * i, one, sizeof one);
    }
}

static void test_a_batch_is_its_clients_one_by_one(void) {
    for (int i = 0; i < 60; i++) {
        pf_batch_round round = {6 + check_below(&seed, 20), 1 + check_below(&seed, 1u << 19), 1, 0, 0, 0};
        round.round_shift = check_below(&seed, 25);
        if (i % 5 == 0) {
            round.log2_sigma = round.clip_norm = 0;
        }
        check_batch(PF_MODE_GRADIENT, &round);
        round.steps = 1 + check_below(&seed, 3);
        round.multiplier = 1 + check_below(&seed, 65535);
        round.shift = check_below(&seed, 41);
        check_batch(PF_MODE_LOCAL, &round);
    }
}

static void test_a_batch_refuses_what_a_trainer_refuses(void) {
    static uint64_t memory[1024];
    uint8_t weights[2 * PARAMETERS] = {0}, keys[64] = {0}, target = 4;
    int8_t features[9] = {0};
    int32_t values[TRAINABLE];
    uint32_t length;
    pf_batch_client client = {0, 0, 1};
    pf_batch_round round = {10, 1000, 2, 0, 0, 0};
    pf_trainer *trainer = (pf_trainer *)memory;
    CHECK_EQ(pf_trainer_init(memory, sizeof memory, descriptor, sizeof descriptor, PF_MODE_GRADIENT), PF_OK);
#define TRY() pf_batch_run(trainer, &round, &client, 1, weights, features, &target, keys, values, NULL, 0, &length)
    CHECK_EQ(TRY(), PF_E_ARGUMENT); /* two steps of a gradient */
    round.steps = 1;
    CHECK_EQ(TRY(), PF_E_ARGUMENT); /* no such class */
    target = 3;
    CHECK_EQ(TRY(), PF_OK);
    round.round_shift = 31;
    CHECK_EQ(TRY(), PF_E_ARGUMENT);
    round.round_shift = 0;
    round.log2_sigma = 5;
    CHECK_EQ(TRY(), PF_E_ARGUMENT);
    round.log2_sigma = 10;
    features[3] = -128;
    CHECK_EQ(TRY(), PF_E_ARGUMENT);
    features[3] = 0;
    weights[1] = 0x80;
    CHECK_EQ(TRY(), PF_E_RANGE);
#undef TRY
}

static void test_sums_are_exact(void) {
    enum { VECTORS = 7, LONGEST = 5000 };
    static uint8_t data[VECTORS][4 * LONGEST + 1];
    static int64_t total[LONGEST + 1];
    const uint8_t *vectors[VECTORS];
    for (int i = 0; i < 30; i++) {
        size_t n = check_below(&seed, LONGEST + 1);
        uint32_t count = check_below(&seed, VECTORS + 1);
        for (uint32_t k = 0; k < count; k++) {
            vectors[k] = data[k] + check_below(&seed, 2); /* at any alignment */
            random_bytes(data[k], sizeof data[k]);
            if (i == 0) {
                memset(data[k], 0x80, sizeof data[k]);
            }
        }
        for (size_t j = 0; j <= n; j++) {
            total[j] = (int64_t)j << 40;
        }
        pf_batch_sum(total, n, vectors, count);
        for (size_t j = 0; j <= n; j++) {
            int64_t wanted = (int64_t)j << 40;
            for (uint32_t k = 0; k < count && j < n; k++) {
                const uint8_t *at = vectors[k] + 4 * j;
                wanted +=
                    (int32_t)((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);
            }
            CHECK_EQ(total[j], wanted);
        }
    }
}

int main(void) {
    seed = check_seed();
    RUN(test_wide_noise_is_the_boards_noise);
    RUN(test_a_batch_is_its_clients_one_by_one);
    RUN(test_a_batch_refuses_what_a_trainer_refuses);
    RUN(test_sums_are_exact);
    return 0;
}
