BOARD_NAME = QEMU virt
MCU_NAME = RV32IMAC
CROSS_COMPILE ?= riscv64-unknown-elf-
# The ISA of 2017 has the CSR instructions without naming an extension: old and new compilers take it alike.
CPU_FLAGS = -march=rv32imac -mabi=ilp32 -misa-spec=2.2 --specs=picolibc.specs
CPU_ASFLAGS = -march=rv32imac -mabi=ilp32 -misa-spec=2.2
MACHINE = machine_virt
START = start_rv32
GC_HELPER = shared/runtime/gchelper_native.o shared/runtime/gchelper_rv32i.o
MPY_CROSS_FLAGS = -march=rv32imc
