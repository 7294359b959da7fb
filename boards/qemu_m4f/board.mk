BOARD_NAME = QEMU mps2-an386
MCU_NAME = Cortex-M4F
CROSS_COMPILE ?= arm-none-eabi-
CPU_FLAGS = -mthumb -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16
MACHINE = machine_mps2
CFLAGS = -DMHZ=25 -DUART=0x40004000 -DUART_IRQ=0 -DTIMER=0x40000000 -DFPGAIO=0x40028000
START = start_arm
GC_HELPER = shared/runtime/gchelper_native.o shared/runtime/gchelper_thumb2.o
MPY_CROSS_FLAGS = -march=armv7emsp
