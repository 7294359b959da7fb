# Runs at every start of the board. With a sensor: picofed.main.run(sensor), see the firmware's README.
import picofed.main

picofed.main.run()
