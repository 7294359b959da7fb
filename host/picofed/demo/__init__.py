"""The main job from end to end: emulated watches with one wearer each learn to tell exercises apart, privately.

`recipe` is the job, `boards` the emulated fleet, `baselines` what the result is compared with, `run` does it all.
"""
