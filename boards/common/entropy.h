// An emulated board's entropy source: the host's, or one that a test can predict or break. See ../unix/README.md.
#pragma once

#include <stddef.h>
#include <stdint.h>

// spec: one of the values that the README lists, NULL for the host's; boot: how often this board started before.
// Returns -1 if spec is malformed. The stream is read from its beginning.
int entropy_init(const char *spec, uint32_t boot);

// Write the next n bytes of the source to out.
void entropy_read(uint8_t *out, size_t n);

// Given by the port: n bytes of the host's randomness.
void entropy_from_host(uint8_t *out, size_t n);
