/* unit.c: the whole core as one translation unit, Monocypher included. The bindings compile this and nothing else:
 * a MicroPython native module must not have more than one (mpy_ld can mix up entries relative to a section), and in one
 * unit what is not used can be left out (GCC: -fwhole-program).
 *
 * Monocypher is not part of this repository: its folder (monocypher.c, monocypher.h) is on the include path. Its
 * warnings are not ours. */
#ifdef __clang__
/* For clang, which has no -fwhole-program: everything is static, so that it too leaves out what is not used. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunused-function"
#pragma clang attribute push(__attribute__((internal_linkage)), apply_to = function)
#endif

#if defined(__GNUC__) || defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include "monocypher.c"
#undef FOR
#undef FOR_T
#undef COPY
#undef ZERO
#undef MIN
#undef MAX
#undef LSB
#undef G
#undef ROUND
#if defined(__GNUC__) || defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include "lmul.c"
#include "crypto.c"
#include "noise_exp.c"
#include "noise.c"
#include "entropy.c"
#include "ratchet.c"
#include "ledger.c"
#include "crc32.c"
#include "frame.c"
#include "records.c"
#include "codec.c"
#include "mask.c"
#include "shamir.c"
#include "features.c"
#include "blocks.c"
#include "convolution.c"
#include "front.c"
#include "model.c"
#include "fixed.c"
#include "clip.c"
#include "kernels_c.c"
#include "kernels_thumb.c"
#include "frozen.c"
#include "weights.c"
#include "single.c"
#include "example.c"
#include "elements.c"
#include "trainer.c"

#ifdef __clang__
#pragma clang attribute pop
#pragma clang diagnostic pop
#endif
