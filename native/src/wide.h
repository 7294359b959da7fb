/* wide.h: loops of the host's simulator and server that are written for wide registers. Not part of the native module.
 */
#ifndef PF_WIDE_H
#define PF_WIDE_H

#include "port.h"

/* A function that is compiled twice, for the baseline and for AVX2; which one runs is decided at run time. Inlined into
 * both, so that all it calls is compiled twice as well. */
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define PF_WIDE_X86 1
#endif
#if defined(__GNUC__) || defined(__clang__)
#define PF_WIDE_BODY static inline __attribute__((always_inline))
#else
#define PF_WIDE_BODY static inline
#endif

/* The first n samples of the stream that pf_noise_init(key, log2_sigma) and pf_noise_fill give, bit for bit. Leaves
 * keystream on the stack: for simulations, whose noise is known anyway. log2_sigma: 1..25. */
void pf_wide_noise(int32_t *out, size_t n, const uint8_t key[32], uint32_t log2_sigma);

#endif
