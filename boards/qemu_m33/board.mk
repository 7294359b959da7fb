BOARD_NAME = QEMU mps2-an505
MCU_NAME = Cortex-M33
CROSS_COMPILE ?= arm-none-eabi-
CPU_FLAGS = -mthumb -mcpu=cortex-m33 -mfloat-abi=hard -mfpu=fpv5-sp-d16
MACHINE = machine_mps2
# The secure aliases: the core starts in the secure state and stays there.
CFLAGS = -DMHZ=20 -DUART=0x50200000 -DUART_IRQ=32 -DTIMER=0x50000000 -DFPGAIO=0x50302000
START = start_arm
GC_HELPER = shared/runtime/gchelper_generic.o
MPY_CROSS_FLAGS = -march=armv7emsp
