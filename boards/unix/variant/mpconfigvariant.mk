# MicroPython's unix port as a serial board: no TLS, no foreign code, no host terminal; one thread, as on the real boards.
PROG = micropython
MICROPY_PY_SSL = 0
MICROPY_SSL_MBEDTLS = 0
MICROPY_PY_BTREE = 0
MICROPY_PY_FFI = 0
MICROPY_PY_TERMIOS = 0
MICROPY_PY_THREAD = 0
FROZEN_MANIFEST =
