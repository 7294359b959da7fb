"""Sources, builds and their cache: what picofed compiles, from package registries or a git checkout.

`layout`   where the repository is                `cache`    checked, locked, atomic cache entries
`sources`  MicroPython, Monocypher, sensor data   `debian`   source and binary packages of another Debian
suite `build`    mpy-cross, the unix board, natmods     `command`  running a tool with a log
"""
