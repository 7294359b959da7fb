# The core as a MicroPython native module, for MicroPython's own rules (py/dynruntime.mk):
#   make -f <here>/natmod.mk MPY_DIR=... MONOCYPHER_DIR=... ARCH=x64 BUILD=...
# The module is written to the working folder, which must hold a file called Makefile (upstream's rules depend on one).
NATIVE := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))

ifeq ($(wildcard $(MPY_DIR)/py/dynruntime.mk),)
$(error MPY_DIR must name a MicroPython source tree)
endif
ifeq ($(wildcard $(MONOCYPHER_DIR)/monocypher.c),)
$(error MONOCYPHER_DIR must name a folder with monocypher.c and monocypher.h)
endif

MOD ?= picofed_core
ARCH ?= x64
SRC = $(NATIVE)/bindings/micropython.c
# 64-bit products and shifts on 32-bit targets come from the compiler's runtime library.
LINK_RUNTIME ?= 1

CFLAGS += -I$(NATIVE)/include -I$(NATIVE)/src -I$(MONOCYPHER_DIR)
# A module lives in the board's RAM: rolled up, BLAKE2b is 16 kB smaller on ARMv6-M.
CFLAGS += -DBLAKE2_NO_UNROLLING

# Of these, GCC's product of 64 bits for ARMv6-M takes a time that depends on the factors: src/lmul.c.
ifeq ($(ARCH),armv6m)
CFLAGS += -DPF_OWN_LMUL
endif

include $(MPY_DIR)/py/dynruntime.mk

# No libc: loops must not become calls of memset and memcpy. Behind upstream's flags, so that these win.
CFLAGS += -fno-tree-loop-distribute-patterns
# One unit holds everything: what the module does not use is left out. Clang has no such option: unit.c does it there.
ifeq ($(findstring clang,$(shell $(CROSS)gcc --version 2>/dev/null)),)
CFLAGS += -fwhole-program
endif
# Warnings apply to our sources; Monocypher is shielded in unit.c.
CFLAGS += -Wextra -Wno-unused-parameter

SOURCES := $(wildcard $(NATIVE)/src/*.[ch] $(NATIVE)/include/*.h $(NATIVE)/bindings/*.h)
$(SRC_O): $(SOURCES)
