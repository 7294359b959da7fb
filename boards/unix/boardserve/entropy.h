// The emulated board's entropy source: the host's, or one that a test can predict or break. See ../README.md.
#pragma once

#include <stddef.h>
#include <stdint.h>

// spec: value of PICOFED_ENTROPY_SEED or NULL; boot: how often this board started before. Returns -1 if spec is
// malformed.
int entropy_init(const char *spec, uint32_t boot);

// Write the next n bytes of the source to out.
void entropy_read(uint8_t *out, size_t n);
