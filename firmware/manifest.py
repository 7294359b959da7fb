# Freezes the firmware into a MicroPython build: make ... FROZEN_MANIFEST=<this file>. The native module comes along as
# a user C module (native/micropython.mk, native/micropython.cmake) or, as picofed_core.mpy, on the file system. main.py
# stays a file: a frozen one would hide that of a board with a sensor.
import os

package("picofed")
# What all of it was made of, for `picofed flash` to compare: a module that picofed's own builds make.
if os.environ.get("PICOFED_GENERATED"):
    module("picofed_sources.py", base_path=os.environ["PICOFED_GENERATED"])
