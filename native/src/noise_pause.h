/* noise_pause.h: a noise stream without its buffer, for whoever needs that memory meanwhile. */
#ifndef PF_NOISE_PAUSE_H
#define PF_NOISE_PAUSE_H

#include "picofed.h"

typedef struct {
    uint8_t key[32];
    uint32_t counter;
    uint32_t used;
    uint32_t m;
} pf_noise_pause;

/* Whoever has a pause can draw the noise: wipe it. */
void pf_noise_hold(pf_noise_pause *pause, const pf_noise *noise);
void pf_noise_resume(pf_noise *noise, const pf_noise_pause *pause);

#endif
