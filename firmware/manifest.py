# Freezes the firmware into a MicroPython build: make ... FROZEN_MANIFEST=<this file>. The native module comes along as
# a user C module (native/micropython.mk, native/micropython.cmake) or, as picofed_core.mpy, on the file system. main.py
# stays a file: a frozen one would hide that of a board with a sensor.
package("picofed")
