# What picofed's MicroPython for the Pico freezes beside what upstream's port needs. PICOFED_FROZEN=1 in the build's
# environment: picofed itself too, and a start-up that keeps 144 kB of flash out of the file system for it.
import os

include("$(MPY_DIR)/extmod/asyncio")
freeze("$(PORT_DIR)/modules", ("rp2.py", "_boot_fat.py"))
if os.environ.get("PICOFED_FROZEN") == "1":
    include("../../firmware/manifest.py")
    freeze("frozen", "_boot.py")
else:
    freeze("$(PORT_DIR)/modules", "_boot.py")
