# Freezes the firmware into a MicroPython build: make ... FROZEN_MANIFEST=<this file>. The native module comes along as
# a user C module (native/micropython.mk) or, as picofed_core.mpy, on the file system.
package("picofed")
module("main.py")
