#include "trainer.h"
#include "fixed.h"

/* Memory is laid out by one function, for size() with a base of 0 (then nothing is written) and for init(). No size
 * overflows 32 bits: a layer has fewer than 2^20 + 2^10 parameters, at most 12 bytes each, and there are 8 layers. Not
 * more than the model's own layers are in memory, of either array of them. */
typedef struct {
    uint8_t *base;
    size_t used;
} pf_arena;

static void *pf_arena_take(pf_arena *arena, size_t bytes) {
    void *mem = arena->base == NULL ? NULL : arena->base + arena->used;
    arena->used += (bytes + 7u) & ~(size_t)7u;
    return mem;
}

static uint32_t pf_larger(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

/* Whether the deltas of layer l + 1 could make 32-bit sums overflow on the way to layer l (SPEC 2.5): softmax deltas
 * cannot (sum |delta| <= 2^13 + 2^7, times 2^14 < 2^28), nor can up to PF_BACKWARD_ROWS of any others. */
static uint32_t pf_trainer_wide(const pf_model *model, uint32_t l) {
    uint32_t last = l + 2u == model->layers;
    return !(last && model->loss == PF_LOSS_SOFTMAX) && model->layer[l + 1u].outputs > PF_BACKWARD_ROWS;
}

/* The size without memory: what the pointers would be is written where nobody reads it. */
static pf_layer_memory *pf_trainer_layer(
    pf_trainer *trainer, const uint8_t *base, uint32_t l, pf_layer_memory *nowhere) {
    return base == NULL ? nowhere : &trainer->layer[l];
}

static size_t pf_model_bytes(const pf_model *model) {
    return offsetof(pf_model, layer) + sizeof(pf_layer) * model->layers;
}

/* What a layer keeps from one example to the next. */
static void pf_trainer_layer_weights(
    pf_arena *arena, const pf_trainer *trainer, const pf_layer *layer, pf_layer_memory *memory) {
    pf_held held;
    pf_trainer_held(&held, trainer, layer);
    uint32_t elements = held.rows == 0 || held.columns == 0 ? 0 : pf_matrix_elements(held.rows, held.columns);
    memory->matrix = pf_arena_take(arena, sizeof(int16_t) * elements);
    memory->biases =
        pf_arena_take(arena, sizeof(int16_t) * (!pf_trainer_split(trainer) || layer->bias ? held.rows : 0u));
}

static void pf_trainer_layer_example(
    pf_arena *arena, const pf_trainer *trainer, const pf_layer *layer, pf_layer_memory *memory, uint32_t first) {
    uint32_t examples = !pf_trainer_split(trainer) ? PF_BATCH : 1u;
    memory->inputs = first ? NULL : pf_arena_take(arena, layer->inputs);
    memory->blocks = NULL;
    memory->deltas = NULL;
    if (pf_layer_rows(layer) != 0) {
        if (!pf_trainer_split(trainer)) {
            memory->blocks = pf_arena_take(arena, sizeof(int32_t) * pf_spread_words(pf_layer_columns(layer)));
        }
        memory->deltas = pf_arena_take(arena, sizeof(int32_t) * examples * pf_layer_rows(layer));
    }
}

/* Words of the largest z, of the deltas, and of the sums of the way back. */
typedef struct {
    uint32_t z, delta, inputs, sums, wide;
} pf_trainer_widest;

static void pf_trainer_widths(pf_trainer_widest *widest, const pf_trainer *trainer) {
    const pf_model *model = &trainer->model;
    pf_zero(widest, sizeof *widest);
    for (uint32_t l = 0; l < model->layers; l++) {
        const pf_layer *layer = &model->layer[l];
        uint32_t outputs = pf_forward_outputs(layer->outputs);
        widest->z = pf_larger(widest->z, outputs);
        widest->inputs = pf_larger(widest->inputs, layer->inputs);
        if (l >= model->first_trained) {
            uint32_t before = pf_trainer_split(trainer) ? 0 : widest->delta; /* deltas wait for their clipping factor */
            widest->delta = pf_larger(widest->delta, before + outputs);
        }
        if (l > model->first_trained) {
            /* one more than even, which nothing needs now: docs/benchmark-ftte.md chose its subsets by these sizes */
            widest->sums = pf_larger(widest->sums, ((layer->inputs + 1u) & ~1u) + 1u);
            if (pf_trainer_wide(model, l - 1u)) {
                widest->wide = pf_larger(widest->wide, layer->inputs);
            }
        }
    }
}

/* trainer->model, mode and image are set. Returns the bytes used, the trainer's own included. */
static size_t pf_trainer_layout(pf_trainer *trainer, uint8_t *base) {
    const pf_model *model = &trainer->model;
    pf_layer_memory nowhere;
    pf_arena arena;
    arena.base = base;
    arena.used = 0;
    (void)pf_arena_take(&arena, offsetof(pf_trainer, model) + pf_model_bytes(model));
    trainer->layer = pf_arena_take(&arena, sizeof(pf_layer_memory) * model->layers);
    for (uint32_t l = 0; l < model->layers; l++) {
        pf_trainer_layer_weights(&arena, trainer, &model->layer[l], pf_trainer_layer(trainer, base, l, &nowhere));
    }
    trainer->accumulators = pf_arena_take(&arena, sizeof(uint32_t) * (model->trainable + PF_OUTER_SLACK));
    trainer->change = NULL;
    trainer->start = NULL;
    if (trainer->mode == PF_MODE_LOCAL) {
        trainer->change = pf_arena_take(&arena, sizeof(int32_t) * model->trainable);
        trainer->start = pf_arena_take(&arena, sizeof(int16_t) * model->trainable);
    }
    size_t noise_at = arena.used;
    trainer->noise = pf_arena_take(&arena, sizeof(pf_noise));
    size_t noise_end = arena.used;
    if (pf_trainer_split(trainer)) {
        arena.used = noise_at;
    }
    pf_trainer_widest widest;
    pf_trainer_widths(&widest, trainer);
    for (uint32_t l = 0; l < model->layers; l++) {
        pf_trainer_layer_example(
            &arena, trainer, &model->layer[l], pf_trainer_layer(trainer, base, l, &nowhere), l == 0);
    }
    trainer->z = pf_arena_take(&arena, sizeof(int32_t) * widest.z);
    trainer->delta = pf_arena_take(&arena, sizeof(int32_t) * widest.delta);
    trainer->sums = pf_arena_take(&arena, sizeof(int32_t) * widest.sums);
    trainer->wide = widest.wide == 0 ? NULL : pf_arena_take(&arena, sizeof(int64_t) * widest.wide);
    trainer->scratch = pf_arena_take(&arena, sizeof(int32_t) * pf_forward_scratch(widest.inputs));
    return arena.used > noise_end ? arena.used : noise_end;
}

static size_t pf_trainer_bytes(const uint8_t *descriptor, size_t len, uint32_t mode, const uint8_t *image) {
    pf_trainer trainer;
    if (mode > PF_MODE_LOCAL || pf_model_parse(&trainer.model, descriptor, len) != PF_OK) {
        return 0;
    }
    trainer.mode = mode;
    trainer.image = image;
    return pf_trainer_layout(&trainer, NULL);
}

size_t pf_trainer_size(const uint8_t *descriptor, size_t len, uint32_t mode) {
    return pf_trainer_bytes(descriptor, len, mode, NULL);
}

size_t pf_trainer_frozen_size(const uint8_t *descriptor, size_t len, uint32_t mode) {
    return pf_trainer_bytes(descriptor, len, mode, descriptor); /* any image at all: its address does not matter */
}

static void pf_trainer_attach(pf_trainer *trainer) {
    pf_frozen_parts parts;
    parts.end = PF_FROZEN_HEAD;
    for (uint32_t l = 0; l < trainer->model.layers; l++) {
        pf_layer_memory *memory = &trainer->layer[l];
        pf_frozen_layout(&parts, &trainer->model.layer[l], parts.end);
        /* aligned: the image is to 4 bytes, its parts are to 8 */
        memory->frozen = parts.matrix == 0 ? NULL : (const int16_t *)(const void *)(trainer->image + parts.matrix);
        memory->frozen_biases =
            parts.biases == 0 ? NULL : (const int16_t *)(const void *)(trainer->image + parts.biases);
    }
}

static pf_status pf_trainer_make(void *mem, size_t mem_len, const uint8_t *descriptor, size_t len, uint32_t mode,
    const uint8_t *image, size_t image_len, uint32_t frozen) {
    pf_trainer *trainer = (pf_trainer *)mem;
    pf_model model;
    if (mode > PF_MODE_LOCAL) {
        return PF_E_ARGUMENT;
    }
    pf_status status = pf_model_parse(&model, descriptor, len);
    if (status == PF_OK && frozen) {
        status = pf_frozen_check(&model, descriptor, len, image, image_len);
    }
    if (status != PF_OK) {
        return status;
    }
    size_t size = pf_trainer_bytes(descriptor, len, mode, image);
    if (mem == NULL || ((uintptr_t)mem & 7u) != 0 || mem_len < size) {
        return PF_E_MEMORY;
    }
    pf_zero(mem, size);
    pf_copy(&trainer->model, &model, pf_model_bytes(&model));
    trainer->mode = mode;
    trainer->image = image;
    (void)pf_trainer_layout(trainer, (uint8_t *)mem);
    for (uint32_t l = 0; l < model.layers; l++) {
        pf_held held;
        pf_trainer_held(&held, trainer, &model.layer[l]);
        if (held.rows != 0 && held.columns != 0) {
            pf_matrix_clear(trainer->layer[l].matrix, held.rows, held.columns);
        }
    }
    if (pf_trainer_split(trainer)) {
        pf_trainer_attach(trainer);
    }
    return PF_OK;
}

pf_status pf_trainer_init(void *mem, size_t mem_len, const uint8_t *descriptor, size_t len, uint32_t mode) {
    return pf_trainer_make(mem, mem_len, descriptor, len, mode, NULL, 0, 0);
}

pf_status pf_trainer_frozen_init(void *mem, size_t mem_len, const uint8_t *descriptor, size_t len, uint32_t mode,
    const uint8_t *image, size_t image_len) {
    return pf_trainer_make(mem, mem_len, descriptor, len, mode, image, image_len, 1);
}

uint32_t pf_trainer_parameters(const pf_trainer *trainer) {
    return trainer->model.parameters;
}

uint32_t pf_trainer_trainable(const pf_trainer *trainer) {
    return trainer->model.trainable;
}

uint32_t pf_trainer_inputs(const pf_trainer *trainer) {
    return trainer->model.layer[0].inputs;
}

uint32_t pf_trainer_outputs(const pf_trainer *trainer) {
    return trainer->model.layer[trainer->model.layers - 1u].outputs;
}

pf_status pf_trainer_begin(pf_trainer *trainer, const uint8_t noise_key[32], uint32_t log2_sigma, uint32_t clip_norm) {
    if (log2_sigma == 0 && clip_norm == 0) {
        pf_wipe(trainer->noise, sizeof *trainer->noise);
        pf_zero(trainer->accumulators, sizeof(uint32_t) * trainer->model.trainable);
        trainer->clip_norm = 0;
        trainer->filled = trainer->model.trainable;
        trainer->state = PF_TRAINER_READY;
        return PF_OK;
    }
    if (noise_key == NULL || log2_sigma < PF_LOG2_SIGMA_MIN || log2_sigma > PF_LOG2_SIGMA_MAX || clip_norm == 0 ||
        clip_norm > PF_CLIP_NORM_MAX) {
        return PF_E_ARGUMENT;
    }
    pf_status status = pf_noise_init(trainer->noise, noise_key, log2_sigma);
    if (status != PF_OK) {
        return status;
    }
    trainer->clip_norm = clip_norm;
    trainer->filled = 0;
    trainer->state = PF_TRAINER_FILLING;
    return PF_OK;
}

pf_status pf_trainer_fill(pf_trainer *trainer, uint32_t n) {
    if (trainer->state == PF_TRAINER_IDLE) {
        return PF_E_STATE;
    }
    uint32_t waiting = trainer->model.trainable - trainer->filled;
    if (n > waiting) {
        n = waiting;
    }
    if (n > 0) {
        pf_noise_fill(trainer->noise, (int32_t *)trainer->accumulators + trainer->filled, n);
        trainer->filled += n;
        waiting -= n;
    }
    if (waiting == 0 && trainer->state == PF_TRAINER_FILLING) {
        /* whoever has the key can subtract the noise */
        pf_wipe(trainer->noise, sizeof *trainer->noise);
        trainer->state = PF_TRAINER_READY;
    }
    return (pf_status)waiting; /* < 2^23 */
}

const uint32_t *pf_trainer_release(pf_trainer *trainer) {
    if (trainer->mode == PF_MODE_LOCAL) {
        return trainer->state == PF_TRAINER_IDLE && trainer->stepped ? (const uint32_t *)trainer->change : NULL;
    }
    if (trainer->state != PF_TRAINER_READY && trainer->state != PF_TRAINER_RELEASED) {
        return NULL;
    }
    trainer->state = PF_TRAINER_RELEASED;
    return trainer->accumulators;
}
