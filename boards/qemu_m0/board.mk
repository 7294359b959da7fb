BOARD_NAME = QEMU microbit
MCU_NAME = Cortex-M0
CROSS_COMPILE ?= arm-none-eabi-
CPU_FLAGS = -mthumb -mcpu=cortex-m0 -mfloat-abi=soft
MACHINE = machine_nrf51
START = start_arm
GC_HELPER = shared/runtime/gchelper_native.o shared/runtime/gchelper_thumb1.o
MPY_CROSS_FLAGS = -march=armv6m
