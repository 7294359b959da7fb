#include "trainer.h"
#include "fixed.h"

/* Memory is laid out by one function, for size() with a base of 0 (then nothing is written) and for init(). No size
 * overflows 32 bits: a layer has fewer than 2^20 + 2^10 parameters, at most 12 bytes each, and there are 8 layers. */
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

static void pf_trainer_layer_layout(pf_arena *arena, const pf_layer *layer, pf_layer_memory *memory, uint32_t first) {
    memory->matrix = pf_arena_take(arena, sizeof(int16_t) * pf_matrix_elements(layer->outputs, layer->inputs));
    memory->biases = pf_arena_take(arena, sizeof(int16_t) * layer->outputs);
    memory->inputs = first ? NULL : pf_arena_take(arena, layer->inputs);
    memory->blocks = NULL;
    memory->deltas = NULL;
    if (pf_layer_rows(layer) != 0) {
        memory->blocks = pf_arena_take(arena, sizeof(int32_t) * pf_spread_words(pf_layer_columns(layer)));
        memory->deltas = pf_arena_take(arena, sizeof(int32_t) * PF_BATCH * pf_layer_rows(layer));
    }
}

/* trainer->model and trainer->mode are set. Returns the bytes used, the trainer's own included. */
static size_t pf_trainer_layout(pf_trainer *trainer, uint8_t *base) {
    const pf_model *model = &trainer->model;
    pf_arena arena;
    arena.base = base;
    arena.used = 0;
    (void)pf_arena_take(&arena, sizeof(pf_trainer));
    uint32_t outputs = 0, inputs = 0, sums = 0, wide = 0;
    for (uint32_t l = 0; l < model->layers; l++) {
        const pf_layer *layer = &model->layer[l];
        pf_trainer_layer_layout(&arena, layer, &trainer->layer[l], l == 0);
        outputs = pf_larger(outputs, pf_forward_outputs(layer->outputs));
        inputs = pf_larger(inputs, layer->inputs);
        if (l > model->first_trained) {
            sums = pf_larger(sums, (layer->inputs + 1u) & ~1u);
            if (pf_trainer_wide(model, l - 1u)) {
                wide = pf_larger(wide, layer->inputs);
            }
        }
    }
    trainer->accumulators = pf_arena_take(&arena, sizeof(uint32_t) * (model->trainable + PF_OUTER_SLACK));
    trainer->change = NULL;
    trainer->start = NULL;
    if (trainer->mode == PF_MODE_LOCAL) {
        trainer->change = pf_arena_take(&arena, sizeof(int32_t) * model->trainable);
        trainer->start = pf_arena_take(&arena, sizeof(int16_t) * model->trainable);
    }
    trainer->z = pf_arena_take(&arena, sizeof(int32_t) * outputs);
    trainer->delta = pf_arena_take(&arena, sizeof(int32_t) * outputs);
    trainer->sums = pf_arena_take(&arena, sizeof(int32_t) * sums);
    trainer->wide = wide == 0 ? NULL : pf_arena_take(&arena, sizeof(int64_t) * wide);
    trainer->scratch = pf_arena_take(&arena, sizeof(int32_t) * pf_forward_scratch(inputs));
    return arena.used;
}

size_t pf_trainer_size(const uint8_t *descriptor, size_t len, uint32_t mode) {
    pf_trainer trainer;
    if (mode > PF_MODE_LOCAL || pf_model_parse(&trainer.model, descriptor, len) != PF_OK) {
        return 0;
    }
    trainer.mode = mode;
    return pf_trainer_layout(&trainer, NULL);
}

pf_status pf_trainer_init(void *mem, size_t mem_len, const uint8_t *descriptor, size_t len, uint32_t mode) {
    pf_trainer *trainer = (pf_trainer *)mem;
    pf_model model;
    if (mode > PF_MODE_LOCAL) {
        return PF_E_ARGUMENT;
    }
    pf_status status = pf_model_parse(&model, descriptor, len);
    if (status != PF_OK) {
        return status;
    }
    size_t size = pf_trainer_size(descriptor, len, mode);
    if (mem == NULL || ((uintptr_t)mem & 7u) != 0 || mem_len < size) {
        return PF_E_MEMORY;
    }
    pf_zero(mem, size);
    pf_copy(&trainer->model, &model, sizeof model);
    trainer->mode = mode;
    (void)pf_trainer_layout(trainer, (uint8_t *)mem);
    for (uint32_t l = 0; l < model.layers; l++) {
        pf_matrix_clear(trainer->layer[l].matrix, model.layer[l].outputs, model.layer[l].inputs);
    }
    return PF_OK;
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
        pf_wipe(&trainer->noise, sizeof trainer->noise);
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
    pf_status status = pf_noise_init(&trainer->noise, noise_key, log2_sigma);
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
        pf_noise_fill(&trainer->noise, (int32_t *)trainer->accumulators + trainer->filled, n);
        trainer->filled += n;
        waiting -= n;
    }
    if (waiting == 0 && trainer->state == PF_TRAINER_FILLING) {
        /* whoever has the key can subtract the noise */
        pf_wipe(&trainer->noise, sizeof trainer->noise);
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
