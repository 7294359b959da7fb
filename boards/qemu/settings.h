// What the emulator tells the board: lines `name=value` in the host's file state/settings. See README.md.
#pragma once

#include <stdint.h>

void settings_read(void);
const char *setting(const char *name); // or NULL
uint32_t setting_number(const char *name, uint32_t otherwise);

// Decimal digits up to the first other character.
uint32_t number(const char *digits);
