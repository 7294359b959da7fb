BOARDSERVE_DIR := $(USERMOD_DIR)
SRC_USERMOD_C += $(BOARDSERVE_DIR)/boardserve.c $(BOARDSERVE_DIR)/line.c $(BOARDSERVE_DIR)/virtual_time.c
# What all emulated boards share.
BOARDS_DIR := $(abspath $(BOARDSERVE_DIR)/../..)
vpath common/%.c $(BOARDS_DIR)
CFLAGS_USERMOD += -I$(BOARDS_DIR)/common
SRC_THIRDPARTY_C += common/entropy.c common/functions.c
# The REPL that bare-metal ports serve over their serial line; the unix port does not build it by itself.
SRC_THIRDPARTY_C += shared/runtime/pyexec.c
LDFLAGS_USERMOD += -lpthread
# Whoever turns Ctrl-C on and off for a serial line talks to ours, not to the host's terminal.
$(BUILD)/shared/runtime/pyexec.o $(BUILD)/py/modmicropython.o: CFLAGS += -Dmp_hal_set_interrupt_char=line_set_interrupt_char
# Waits and clocks that virtual time can jump over.
VIRTUAL = -Dpoll=virtual_poll -Dclock_gettime=virtual_clock_gettime -Dgettimeofday=virtual_gettimeofday
$(BUILD)/extmod/modselect.o $(BUILD)/extmod/modtime.o $(BUILD)/unix_mphal.o: CFLAGS += $(VIRTUAL)
