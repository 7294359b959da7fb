// The board's serial line: the master end of a pseudo-terminal that the emulator holds. See ../README.md.
#pragma once

#include <stdbool.h>

// Take the line up, at power-on. master: file descriptor, not blocking.
void line_start(int master);

// Forget the input that waits, as a hard reset does.
void line_clear(void);

// Look at the line and wait for input on it for up to timeout milliseconds; negative: at least until something happens.
void line_wait(int timeout);
