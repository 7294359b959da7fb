@ Start of the boot ROM stand-in: vectors, the tables by which firmware finds ROM functions (RP2040 data sheet, 2.8.2
@ and 2.8.3), start of the second-stage boot loader, and the functions that the emulator does itself, at breakpoints.
    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .equ FLASH, 0x10000000
    .equ BOOT2_AT, 0x20041f00           @ top of SRAM: where the second stage is linked to run
    .equ BOOT2_WORDS, 64

    .section .vectors, "ax"
    .word BOOT2_AT                      @ first stack pointer
    .word start + 1
    .word fault + 1                     @ NMI
    .word fault + 1                     @ HardFault
    .byte 'M', 'u', 1, 3                @ firmware asks for version 3: the last chip revision
    .hword functions
    .hword data
    .hword lookup + 1

    .section .text.start, "ax"
    .thumb_func
    .global start
start:
    ldr r0, =FLASH
    ldr r1, =BOOT2_AT
    movs r4, r1
    movs r2, #BOOT2_WORDS
1:  ldmia r0!, {r3}
    stmia r1!, {r3}
    subs r2, #1
    bne 1b
    adds r4, #1                         @ Thumb
    movs r3, #0                         @ a second stage that returns to 0 goes on with what is behind it in flash
    mov lr, r3
    bx r4

    .thumb_func
fault:
    bkpt #0xee
    b fault

    @ r0: table, r1: code -> r0: the 16 bits filed under it, or 0
    .thumb_func
lookup:
    ldrh r2, [r0]
    cmp r2, #0
    beq 1f
    cmp r2, r1
    beq 2f
    adds r0, #4
    b lookup
1:  movs r0, #0
    bx lr
2:  ldrh r0, [r0, #2]
    bx lr

    .macro done_by_emulator name, number
    .thumb_func
\name:
    bkpt #\number
    bx lr
    .endm
    done_by_emulator flash_range_erase, 0xf0
    done_by_emulator flash_range_program, 0xf1
    done_by_emulator reset_to_usb_boot, 0xf2
    done_by_emulator missing, 0xef

    .thumb_func
nothing:                                @ the emulated flash is always connected, and there is no cache to flush
    bx lr
    .ltorg

    .section .tables, "a"
    .macro function first, second, name
    .byte \first, \second
    .hword \name + 1
    .endm
    .macro datum first, second, name
    .byte \first, \second
    .hword \name
    .endm

    .balign 4
functions:
    function 'P', '3', rom_popcount
    function 'R', '3', rom_reverse
    function 'L', '3', rom_clz
    function 'T', '3', rom_ctz
    function 'M', 'S', rom_memset
    function 'S', '4', rom_memset
    function 'M', 'C', rom_memcpy
    function 'C', '4', rom_memcpy
    function 'U', 'B', reset_to_usb_boot
    function 'I', 'F', nothing
    function 'E', 'X', nothing
    function 'R', 'E', flash_range_erase
    function 'R', 'P', flash_range_program
    function 'F', 'C', nothing
    function 'C', 'X', nothing
    .word 0
data:
    datum 'C', 'R', note
    datum 'S', 'F', floats
    datum 'S', 'D', doubles
    .word 0
note:
    .asciz "boot ROM of an emulated RP2040"

    @ Offsets are fixed by the data sheet; the byte before the last one in front of a table is its number of words.
    .balign 4
    .byte 0, 0, 32, 0
floats:
    .word float_add, float_subtract, float_multiply, float_divide               @ 0x00
    .word missing + 1, missing + 1, missing + 1, float_to_int                   @ 0x10
    .word float_to_fixed, float_to_uint, float_to_ufixed, float_from_int        @ 0x20
    .word missing + 1, float_from_uint, missing + 1, missing + 1                @ 0x30
    .word missing + 1, missing + 1, missing + 1, missing + 1                    @ 0x40
    .word missing + 1, missing + 1, missing + 1, float_from_int64               @ 0x50
    .word missing + 1, float_from_uint64, missing + 1, float_to_int64           @ 0x60
    .word missing + 1, float_to_uint64, missing + 1, float_to_double            @ 0x70
    .byte 0, 0, 32, 0
doubles:
    .word double_add, double_subtract, double_multiply, double_divide
    .word missing + 1, missing + 1, missing + 1, double_to_int
    .word missing + 1, double_to_uint, missing + 1, double_from_int
    .word missing + 1, double_from_uint, missing + 1, missing + 1
    .word missing + 1, missing + 1, missing + 1, missing + 1
    .word missing + 1, missing + 1, missing + 1, double_from_int64
    .word missing + 1, double_from_uint64, missing + 1, double_to_int64
    .word missing + 1, double_to_uint64, missing + 1, double_to_float
