/* frozen.h: images of frozen weights (SPEC 12), which a trainer reads where they lie, in flash for one. */
#ifndef PF_FROZEN_H
#define PF_FROZEN_H

#include "model.h"

#define PF_FROZEN_HEAD 16u

/* Where a layer's parts begin in an image; 0 for a part that is trained as a whole. */
typedef struct {
    uint32_t matrix;
    uint32_t biases;
    uint32_t end;
} pf_frozen_parts;

/* at: where the layer before ends, PF_FROZEN_HEAD for the first. */
void pf_frozen_layout(pf_frozen_parts *parts, const pf_layer *layer, uint32_t at);
/* PF_E_MEMORY: too short or not 4-byte aligned. PF_E_CORRUPT: not an image for this model and these kernels. */
pf_status pf_frozen_check(
    const pf_model *model, const uint8_t *descriptor, size_t len, const uint8_t *image, size_t image_len);

#endif
