# Runs at every start of the board. With a sensor: picofed.main.run(sensor), see the firmware's README.
import sys

# the root last: its data folder /picofed would be taken for the package
sys.path[:] = [place for place in sys.path if place] + [""]

import picofed.main  # noqa: E402

picofed.main.run()
