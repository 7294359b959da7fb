# The core as a MicroPython user C module: USER_C_MODULES=<folder above this one> MONOCYPHER_DIR=<folder of monocypher.c>.
PICOFED_NATIVE := $(USERMOD_DIR)

ifeq ($(wildcard $(MONOCYPHER_DIR)/monocypher.c),)
$(error MONOCYPHER_DIR must name a folder with monocypher.c and monocypher.h)
endif

SRC_USERMOD_C += $(PICOFED_NATIVE)/bindings/micropython.c
CFLAGS_USERMOD += -I$(PICOFED_NATIVE)/include -I$(PICOFED_NATIVE)/src -I$(MONOCYPHER_DIR) -DBLAKE2_NO_UNROLLING
