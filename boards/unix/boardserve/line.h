// The board's serial line: a thread that plays the UART between stdin/stdout and the master end of a pseudo-terminal.
#pragma once

#include <stdbool.h>

// Take the line up. master: file descriptor of the pty's master end. The caller's stdin and stdout become pipes to the
// line. Input that waited when line_stop(true) was called is still there. Exits the process where the host refuses.
void line_start(int master);

// Flush what was printed and stop the thread. keep_input: leave unread input for the process image that is to come.
void line_stop(bool keep_input);

// From now on byte `c` on the line raises KeyboardInterrupt and is not passed on; -1: every byte is data.
void line_set_interrupt_char(char c);
